/* Routes: which part of a site answers a request, and how.
 *
 * A site's own statements are a route, too: the one that takes every path. Routes stand inside of routes. Of the
 * routes in a block those are looked at from top to bottom, and the first whose path pattern and `match` fit takes the
 * request, for good: then the routes inside of it are looked at in the same way, and where none fits it answers
 * itself. There is no way back to a later route.
 *
 * Everything that a route does not say it has from the block around it: header changes add up (the outer ones first),
 * error pages by their status; of other settings the innermost one counts. A route without an answer of its own has
 * also that from outside, together with its `strip` and `rewrite`.
 *
 * Compiled from the configuration by src/main, in a storage; afterwards only read. The values stand in each route
 * after routes_inherit, so nobody needs to look further than at the route that was found. */
#ifndef HOLDFAST_HTTP_ROUTES_H
#define HOLDFAST_HTTP_ROUTES_H

#include "base/bytes.h"
#include "core/client_net.h"
#include "http/config.h"
#include "http/path_pattern.h"
#include "http/proxy.h"
#include "http/route_test.h"
#include "http/storage.h"
#include "http/template.h"

#include <stddef.h>
#include <stdint.h>

#define HTTP_ROUTES_MAX 4096 /* in a configuration, those of sites and of the top level with them */
#define ROUTE_PATH_MAX 8192u /* bytes that a path or a query can grow to by `rewrite` */

#define ROUTE_ANSWER_TABLE(X)                                                                                \
    X(NONE, "")                                                                                              \
    X(FILES, "files")                                                                                        \
    X(RESPOND, "respond")                                                                                    \
    X(REDIRECT, "redirect")                                                                                  \
    X(DEMO, "demo")                                                                                          \
    X(STATUS, "status")                                                                                      \
    X(METRICS, "metrics")                                                                                    \
    X(READY, "ready")                                                                                        \
    X(PROXY, "proxy")

enum route_answer {
#define ROUTE_ANSWER_ENUM(name, text) ROUTE_##name,
    ROUTE_ANSWER_TABLE(ROUTE_ANSWER_ENUM)
#undef ROUTE_ANSWER_ENUM
        ROUTE_ANSWERS
};

/* One change of a header; they are made in their order, to every response of the route. */
struct route_header {
    const struct route_header *next;
    enum route_header_change { ROUTE_HEADER_SET, ROUTE_HEADER_ADD, ROUTE_HEADER_REMOVE } change;
    struct slice name;            /* a token (RFC 9110 section 5.1), as written */
    const struct template *value; /* NULL: REMOVE */
};

/* One change of the path before the answer sees it. */
struct route_edit {
    const struct route_edit *next;
    struct slice strip;             /* a prefix that begins with a slash and ends with none; or empty: */
    const struct template *rewrite; /* a path as sent, perhaps with a query */
};

struct route_error_page {
    const struct route_error_page *next;
    int status;
    uint64_t offset, length; /* where its bytes lie in the snapshot; offset 0: nowhere */
    struct slice type;       /* static */
};

enum route_compress { ROUTE_COMPRESS_OFF, ROUTE_COMPRESS_ON, ROUTE_COMPRESS_LISTED };

enum route_log_format { ROUTE_LOG_COMBINED, ROUTE_LOG_JSON };

/* What an inner block has from the outer one unless it says otherwise. */
struct route_settings {
    /* Files. */
    const struct slice *index; /* names that answer for a folder, tried in their order */
    size_t index_count;
    int listing;          /* folders without an index show what is in them */
    int precompressed;    /* a file's .br, .zst or .gz sibling may be sent for it */
    int hidden;           /* names that begin with a dot are served, too */
    const char *fallback; /* the path, decoded, that answers where there is no file; NULL: 404 */

    /* Responses. */
    enum route_compress compress;
    const struct slice
        *compress_types; /* LISTED: "text/html", or "text/" and a star for all of a kind; lower case */
    size_t compress_type_count;
    uint64_t compress_min;     /* bytes; smaller files are sent as they are */
    const char *cache_control; /* value of Cache-Control for 200, 206 and 304; NULL: none */

    /* Requests. */
    uint64_t max_body;       /* bytes; 0: no limit */
    uint64_t min_body_rate;  /* bytes a second, see HTTP_RATE_GRACE_MS; 0: no limit */
    uint64_t min_write_rate; /* the same */
    const struct client_net
        *trust; /* proxies before us: what they say of the client is believed (client.h) */
    size_t trust_count;

    /* Log. */
    uint16_t access_log; /* number in core_settings.logs, and 1; 0: none */
    enum route_log_format access_log_format;
};

/* Bits of http_route.given: what the block itself says of the settings. */
enum route_given {
    ROUTE_GIVES_INDEX = 1,
    ROUTE_GIVES_LISTING = 2,
    ROUTE_GIVES_PRECOMPRESSED = 4,
    ROUTE_GIVES_HIDDEN = 8,
    ROUTE_GIVES_FALLBACK = 16,
    ROUTE_GIVES_COMPRESS = 32,
    ROUTE_GIVES_CACHE = 64,
    ROUTE_GIVES_MAX_BODY = 128,
    ROUTE_GIVES_MIN_BODY_RATE = 256,
    ROUTE_GIVES_MIN_WRITE_RATE = 512,
    ROUTE_GIVES_ACCESS_LOG = 1024,
    ROUTE_GIVES_COMPRESS_MIN = 2048,
    ROUTE_GIVES_TRUST = 4096,
};

struct http_proxy;

struct http_route {
    /* What it is. */
    const char *text; /* its patterns as written, or the site's addresses; "" for the top level */
    const char *file; /* where it stands */
    uint32_t line;
    uint32_t number; /* from 0, less than http_config.route_count: for tables of those who answer */
    struct http_route *parent, *next, *first_child, *last_child;

    /* When it is taken. Without patterns: every path. */
    const struct path_pattern *patterns;
    size_t pattern_count;
    struct route_test *tests;

    /* What it does. */
    enum route_answer answer;       /* NONE: 404 */
    uint32_t folder;                /* FILES: index in http_config.folders */
    int status;                     /* RESPOND, REDIRECT */
    const struct http_proxy *proxy; /* PROXY */
    const struct template *target;  /* REDIRECT: the Location; RESPOND: the text, NULL for none */
    const struct route_edit *edits;
    const struct route_header *headers;
    const struct route_header *request_headers; /* the same for what is sent on to upstream servers */
    const struct route_error_page *error_pages; /* the first of a status counts */
    struct route_settings settings;
    uint32_t given; /* enum route_given */
};

/* A new last child of `parent` (NULL: the outermost), without anything. NULL: no memory. */
struct http_route *route_new(struct storage *storage, struct http_route *parent);
/* Gives the route what it has from its parent, which has its own already. 0 or ERR_NO_MEMORY. Once per route. */
WARN_UNUSED int route_inherit(struct storage *storage, struct http_route *route);
/* The earlier sibling that takes every request that this route could take, or NULL. Sees patterns one by one, so that
 * several siblings that hide it only together are seen, too (then it is the first of them). */
const struct http_route *route_hidden_by(const struct http_route *route);
/* 1: no path of this route ever gets into the block around it. */
int route_lies_outside(const struct http_route *route);
/* The groups of the `pattern` that {match.N} speaks of: the innermost one around. -1: there is none. */
int route_group_count(const struct http_route *route);

/* The request with the client that it has for this route, by the route's `trust`; *memory holds the address. For its `match`,
 * too: `trust` in a block counts for the whole of it. */
struct route_request route_sees(const struct http_route *route, const struct route_request *request,
                                struct sockaddr_storage *memory);

/* Finds what answers. 0 and *route; ERR_NOT_FOUND: nothing does, answer 404; ERR_LIMIT: a `pattern` has reached its
 * limits, and *route (set then, too) is where: answer 500. `site` must have routes (site->route). */
WARN_UNUSED int routes_match(const struct http_site *site, const struct route_request *request,
                             const struct http_route **route);

/* What became of a route on the way. */
enum route_verdict {
    ROUTE_TAKEN,
    ROUTE_OTHER_PATH,  /* no pattern matches */
    ROUTE_TEST_FAILED, /* `failed` says which */
    ROUTE_TEST_UNKNOWN /* `failed` reached its limits */
};
typedef void (*route_trace_fn)(void *context, const struct http_route *route, unsigned depth,
                               enum route_verdict verdict, const struct route_test *failed);
/* The same as routes_match, telling of every route that was looked at, in that order. */
WARN_UNUSED int routes_trace(const struct http_site *site, const struct route_request *request,
                             const struct http_route **route, route_trace_fn trace, void *context);
/* The same in words, a line for each and a last one for the answer; for `holdfast explain`. Returns as routes_match. */
int routes_explain(const struct http_config *config, const struct http_site *site,
                   const struct route_request *request, struct text *out);

/* The path and query that the answer is to look at: the request's, changed by the route's edits; the path decoded.
 * Both texts are emptied first. 0; ERR_NO_SPACE; ERR_INVALID: a `rewrite` with this request's values is no path. */
WARN_UNUSED int route_edit_target(const struct http_route *route, const struct route_request *request,
                                  struct text *path, struct text *query);

/* The values of templates: a template_value_fn whose context is a struct route_context. */
struct route_context {
    const struct http_route *route;
    const struct route_request *request;
};
void route_value(const void *context, enum template_value value, struct slice argument, struct text *out);

#endif
