/* Which paths a route is for. Compared with the decoded path (h1_path_decode), byte by byte, case and all.
 * (The backslashes keep this comment whole; nobody writes them.)
 *
 *   /about       this path and no other
 *   /images/\*    everything beneath /images, and /images itself
 *   *.php        every path that ends so; at least one byte more comes before it
 *   /docs/\*.md   both: beneath /docs, and ending so
 *   /\*  or  *   every path
 *
 * That /images/\* holds for /images, too, is on purpose: whoever closes off a folder does not mean to leave its door
 * open. One star, and where it may stand is all there is: more is for `pattern`. */
#ifndef HOLDFAST_HTTP_PATH_PATTERN_H
#define HOLDFAST_HTTP_PATH_PATTERN_H

#include "base/bytes.h"
#include "http/storage.h"

struct path_pattern {
    struct slice text;   /* as written; in the storage */
    struct slice prefix; /* with a star: ends in a slash; otherwise the whole path */
    struct slice suffix; /* with a star: what follows it, without a slash */
    int has_star;
};

/* 0; ERR_SYNTAX: it can never match or is not understood, and *problem and *hint (NULL for none) are constant texts
 * that go behind the pattern in a message ("begins with no slash"); ERR_NO_MEMORY. */
WARN_UNUSED int path_pattern_compile(struct storage *storage, struct slice text, struct path_pattern *pattern,
                                     const char **problem, const char **hint);
int path_pattern_matches(const struct path_pattern *pattern, struct slice path);
/* What the star stands for in a path that matches; empty without a star. Borrowed from the path. */
struct slice path_pattern_rest(const struct path_pattern *pattern, struct slice path);
/* 1: every path that `inner` matches `outer` matches, too. */
int path_pattern_covers(const struct path_pattern *outer, const struct path_pattern *inner);
/* 1: there is a path that both match. */
int path_pattern_meets(const struct path_pattern *a, const struct path_pattern *b);

#endif
