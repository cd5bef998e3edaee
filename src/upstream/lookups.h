/* Looks up the names of upstream servers that are due, in the worker's pool threads (upstream/resolve.h), and reports what was
 * found to the shared table.
 *
 * Only a part of the threads: a name server that is silent must not hold up the reading of files. A worker that is killed
 * leaves a claim that runs out (POOLS_LOOKUP_NS), and sockets that are in no record. */
#ifndef HOLDFAST_UPSTREAM_LOOKUPS_H
#define HOLDFAST_UPSTREAM_LOOKUPS_H

#include "loop/pool.h"
#include "upstream/pools.h"

struct lookups;

/* `threads` is the worker's pool, of `thread_count`; both and `pools` are borrowed until lookups_stop. 0 or ERR_NO_MEMORY. */
WARN_UNUSED int lookups_start(struct lookups **lookups, struct pools *pools,
                              const struct upstream_config *config, struct pool *threads,
                              unsigned thread_count);
/* Starts what is due. Call it after pools_tick. */
void lookups_turn(struct lookups *lookups, uint64_t now_ns);
/* After pool_stop: frees it, or leaves it to a thread that stays behind in its gate. Sets it to NULL. */
void lookups_stop(struct lookups **lookups);

#endif
