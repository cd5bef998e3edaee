/* What is known of upstream servers, for status and metrics: read from the shared table by any process that has it, master
 * or worker, without a configuration. */
#ifndef HOLDFAST_UPSTREAM_STATUS_H
#define HOLDFAST_UPSTREAM_STATUS_H

#include "base/bytes.h"
#include "core/board.h"
#include "upstream/table.h"

#include <stdint.h>

/* One server as it is now. Texts are borrowed from the table for as long as somebody has the server; they are whole. */
struct upstream_shown {
    const char *pool, *server, *address;
    const char *state;   /* "up", "down" (by its checks), "ejected" (by requests) */
    const char *check;   /* "up", "down", "unknown"; "none": there has been none */
    uint64_t ejected_ms; /* how much longer; 0: it is not */
    uint64_t requests, failures, ejections, checks, checks_failed;
    uint32_t active, weight, max;
    int is_backup;
};

/* All servers that any worker has, by pool and in the order of the configuration. Calls `show` for each. `shared` NULL or
 * not yet a table: none. */
typedef void (*upstream_show_fn)(void *context, const struct upstream_shown *shown);
void upstream_show_all(const void *shared, const struct board *board, uint64_t now_ns, upstream_show_fn show,
                       void *context);
/* The same as JSON: an object with "pools" and "names" (docs/control.md). The caller frees it; NULL: no memory. */
char *upstream_describe(const void *shared, const struct board *board);

#endif
