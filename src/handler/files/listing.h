/* The list of a folder, as a page or as JSON.
 *
 *     {"path": "/a/", "truncated": false, "entries": [
 *         {"name": "b", "type": "folder", "modified": "2026-01-01T00:00:00Z"},
 *         {"name": "c.txt", "type": "file", "modified": "...", "size": 12}]}
 *
 * Folders come first, whatever the order. Names are bytes: in JSON those that are no UTF-8 become U+FFFD (RFC 8259 section
 * 8.1); the page's links hold them as they are, percent-encoded. A list has LISTING_ENTRIES_MAX entries at most and says
 * when there were more. */
#ifndef HOLDFAST_HANDLER_FILES_LISTING_H
#define HOLDFAST_HANDLER_FILES_LISTING_H

#include "base/bytes.h"

#include <stddef.h>
#include <stdint.h>

#define LISTING_ENTRIES_MAX 10000u
#define LISTING_BYTES_MAX (8u << 20) /* of a page */

enum listing_order { LISTING_BY_NAME, LISTING_BY_SIZE, LISTING_BY_TIME, LISTING_ORDERS };

struct listing_style {
    enum listing_order order;
    int is_descending;
    int is_json;
};

struct listing_entry {
    char *name; /* owned */
    int is_folder;
    uint64_t size;      /* bytes; 0 for a folder */
    int64_t modified_s; /* since 1970 */
};

struct listing {
    const char *path;              /* borrowed; as it is shown, with a slash at both ends */
    struct listing_entry *entries; /* owned */
    size_t count;
    int is_truncated;
};

/* Reads the folder `path` beneath the descriptor `root` ("" is root itself; a slash at the end does no harm). Only files
 * and folders, and links that lead to such beneath root. 0; -1 with errno. listing_fini in either case. Any thread. */
WARN_UNUSED int listing_read(struct listing *listing, int root, const char *path, int shows_hidden);
void listing_fini(struct listing *listing);
void listing_sort(struct listing *listing, enum listing_order order, int is_descending);

/* Makes the page into memory from malloc, the caller's afterwards; entries that do not fit into `limit` bytes are left out,
 * and the page says so. 0; ERR_NO_MEMORY; ERR_LIMIT: not even an empty page fits. */
WARN_UNUSED int listing_write(struct listing *listing, const struct listing_style *style, size_t limit,
                              char **out, size_t *length);

/* What a query asks for: sort=name|size|modified, order=asc|desc; whatever else stands there does not matter. */
struct listing_style listing_style_of(struct slice query);

#endif
