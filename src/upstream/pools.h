/* Pools of upstream servers in one worker: which server takes a request, and what is known of each.
 *
 * What counts across workers and deaths lies in the shared table (upstream/table.h): health, counts, claims of checks and of
 * names, the addresses that names have now. This struct is an index over it, made anew by each worker; losing it loses
 * nothing.
 *
 * A **member** is one address of one server of one pool. Its number names a place in the shared table and which use of that
 * place it is: it is the same in all workers and generations, never 0, and is never given to anybody else (before a place has
 * been used 65,535 times). So the record of a leg can name it; whether the present configuration has it still, pools_has_member
 * says.
 *
 * An **active place** is one request under way at a member, counted in this slot's own row of the table. The order keeps the
 * row from ever saying too little, whatever instruction a SIGKILL hits: pools_pick (row + 1), then commit the record that
 * holds the place; commit that it no longer does, then pools_release (row - 1). At a revival the row is counted anew:
 *
 *   pools_start, pools_recount_begin, pools_recount for each record that holds a place, pools_recount_end
 *
 * and holds the dead worker's count until pools_recount_end, so that `max` is not exceeded meanwhile.
 *
 * All functions are for the loop thread; none blocks, calls back, or allocates after pools_start, except pools_tick when the
 * addresses of a name have changed. */
#ifndef HOLDFAST_UPSTREAM_POOLS_H
#define HOLDFAST_UPSTREAM_POOLS_H

#include "base/bytes.h"
#include "core/board.h"
#include "upstream/config.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define POOLS_NO_MEMBER 0u
#define POOLS_QUEUE_LOOK_NS                                                                                  \
    10000000ULL /* who waits at ERR_BUSY asks again at its own releases, and this often: other workers
                                           release, too */

struct pools;

/* --- life --- */

struct pools_start {
    const struct upstream_config *config; /* borrowed until pools_stop */
    const struct board *board; /* borrowed; rows of slots that are gone do not count; NULL: all rows do */
    void *shared; /* the memory that all workers share (worker->shared), or NULL: nothing is shared (tests) */
    int shared_fd;  /* its descriptor (FD_POOLS): pages are allocated before they are touched; -1: they are */
    uint32_t place; /* this slot's on the board, below BOARD_SLOTS */
};

/* Joins the members that are known; names without addresses join when pools_tick sees them. `*pools` is the caller's to
 * stop. 0; ERR_NO_MEMORY; ERR_VERSION: another build's table; ERR_LIMIT: the table is full. */
WARN_UNUSED int pools_start(struct pools **pools, const struct pools_start *start, uint64_t now_ns);
/* Frees it and sets it to NULL. The row stays as it is: a worker that becomes keeper is followed by another. */
void pools_stop(struct pools **pools);
/* The slot leaves for good (drained): nothing of it counts any more. */
void pools_leave(struct pools *pools);

/* Revival and first start alike; see above. */
void pools_recount_begin(struct pools *pools);
void pools_recount(struct pools *pools, uint32_t member);
void pools_recount_end(struct pools *pools);

/* --- requests --- */

struct pools_wish {
    uint64_t hash;                      /* of what the pool balances by (pools_hash); HASH only */
    uint32_t tried[UPSTREAM_TRIES_MAX]; /* members that this request has tried */
    uint32_t tried_count;
};

/* A hash of some bytes for struct pools_wish: the same in every worker, version and machine. */
uint64_t pools_hash(struct slice bytes);

/* Chooses a member and takes one of its active places. `pool` is an index of config->pools.
 * 0 and *member.
 * ERR_BUSY: wait (queue) and ask again. *reason is static: "pool_full" (every member that could be asked is at its `max`),
 * "pool_empty" (names are looked up for the first time).
 * ERR_UNREACHABLE: none can be asked. *reason: "dns_failed" (no addresses are known, and the names' last lookup failed),
 * "no_server_up" (checks say that all are down, or all others were tried). */
WARN_UNUSED int pools_pick(struct pools *pools, uint32_t pool, const struct pools_wish *wish, uint64_t now_ns,
                           uint32_t *member, struct slice *reason);
/* Takes one more active place of a certain member, as pools_pick does (a check, an upgrade of what was idle). 0; ERR_BUSY:
 * it is at its max. */
WARN_UNUSED int pools_take(struct pools *pools, uint32_t member);
/* The same of a request that is under way already, whatever the max: another worker had it, and gives its place back. */
void pools_take_over(struct pools *pools, uint32_t member);
/* Gives a place back; after the commit by which the record no longer holds it. */
void pools_release(struct pools *pools, uint32_t member);

enum pools_outcome {
    POOLS_OK,             /* a whole answer, whatever its status */
    POOLS_CONNECT_FAILED, /* refused, no route, or not in time */
    POOLS_TIMED_OUT,      /* nothing came, or too slowly */
    POOLS_BAD_ANSWER,     /* not HTTP, or it ended too early */
    POOLS_RESET,          /* the connection was reset under way */
};
/* Tells how a try ended, once for each. An idle connection that ended on its own is nobody's failure: do not report it. */
void pools_report(struct pools *pools, uint32_t member, enum pools_outcome outcome, uint64_t now_ns);
/* 1 and one unit of the pool's budget is spent: another try is allowed. Tries and time are the caller's to count
 * (upstream_pool.retries). */
int pools_may_retry(struct pools *pools, uint32_t pool);

/* --- members --- */

/* Where to connect. 0; ERR_NOT_FOUND: nobody is there any more. Good for members of former configurations, too. */
WARN_UNUSED int pools_address(const struct pools *pools, uint32_t member, struct sockaddr_storage *address,
                              socklen_t *length);
/* 1 if this configuration has it: an idle connection to another one is to be closed. */
int pools_has_member(const struct pools *pools, uint32_t member);
/* The pool's index in the configuration, or UINT32_MAX. */
uint32_t pools_pool_of(const struct pools *pools, uint32_t member);
/* Texts for logs: "app", "10.0.0.1:3000" (as written), "10.0.0.1:3000" (the address in use). Borrowed for as long as the
 * member is referred to; "-" if nobody is there. */
struct slice pools_member_pool(const struct pools *pools, uint32_t member);
struct slice pools_member_server(const struct pools *pools, uint32_t member);
struct slice pools_member_address(const struct pools *pools, uint32_t member);
/* 1 if pools_pick could choose it now: neither down nor ejected. */
int pools_is_up(const struct pools *pools, uint32_t member, uint64_t now_ns);

/* --- what is to be done, by one worker alone --- */

/* Takes up what has changed in the table (addresses of names). Call it when its time has come; returns when it wants to be
 * called next (CLOCK_MONOTONIC), UINT64_MAX: never. Then take what is due, with the following two, until they return 0.
 * At most once a second something is looked at again, with names or checks in the configuration. */
uint64_t pools_tick(struct pools *pools, uint64_t now_ns);

/* A check that is due and now ours: 1, the member, and its pool, which says how to check it. Whether we live to report it or not, the
 * next one is due after the interval. */
int pools_take_check(struct pools *pools, uint64_t now_ns, uint32_t *member,
                     const struct upstream_pool **pool);
/* How it ended: the status of the answer (0: it was to connect, and has), or why there was none (negative, of base/err.h). */
void pools_report_check(struct pools *pools, uint32_t member, int result, uint64_t now_ns);

/* A name that is to be looked up and now ours, for as long as POOLS_LOOKUP_NS; if it is not reported by then, somebody else
 * takes it. 1 and the server (kind HOST or SRV), and a ticket to report with. */
#define POOLS_LOOKUP_NS 10000000000ULL
int pools_take_name(struct pools *pools, uint64_t now_ns, uint32_t *ticket,
                    const struct upstream_server **server);

/* One address that a name has. */
struct pools_found {
    struct sockaddr_storage address; /* IPv4 or IPv6, with its port */
    uint32_t weight;                 /* of SRV, 0: 1; of A and AAAA: 1. Times the server's own */
    uint32_t is_backup;              /* SRV: not the lowest priority number that was found */
};
#define POOLS_FOUND_MAX 32u /* of one name; more are left out */
/* What was found, and for how long it holds (TTL of the raw answer). Without any, or with `failed`, the former addresses
 * stay, and it is tried again soon, with backoff. */
void pools_report_name(struct pools *pools, uint32_t ticket, const struct pools_found *found, size_t count,
                       uint64_t ttl_ms, int failed, uint64_t now_ns);

#endif
