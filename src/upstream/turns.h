/* Whose turn it is at the pools of one worker: which connection holds a place at a server, and who waits for one. Common to all
 * that pass something on to pools, so that who waited longest is first, whatever he speaks.
 *
 * An index, made anew by a revival: the record that holds a place names the member (turns_revived), and who waits comes back
 * when it is driven. Who began to wait first is due first, so the order is found again.
 *
 *   turns_pick -> (a leg is made) turns_hold -> commit of the record that names it -> … -> commit that it no longer does
 *     -> turns_let_go
 *
 * All functions are for the loop thread. Clients and legs are records, by their numbers. */
#ifndef HOLDFAST_UPSTREAM_TURNS_H
#define HOLDFAST_UPSTREAM_TURNS_H

#include "base/list.h"
#include "core/worker.h"
#include "upstream/pools.h"

struct turns_link {
    struct list_link link; /* first; of the pool's queue */
    uint64_t due_ns;
    uint16_t pool;     /* and 1; 0: it does not wait */
    uint8_t holds;     /* as a leg: a place of its member */
    uint8_t has_tried; /* while it waits: some servers */
};

struct turns {
    struct worker *worker;    /* borrowed */
    struct pools *pools;      /* borrowed */
    int is_recounted;         /* the places that a former worker's legs hold are counted */
    struct turns_link *links; /* owned, by number */
    struct list queues[UPSTREAM_POOLS_MAX];
    uint32_t count[UPSTREAM_POOLS_MAX];
};

/* Before a worker's first connection. `pools` is borrowed until turns_stop, which *turns is to be given to in any case. 0 or
 * ERR_NO_MEMORY. */
WARN_UNUSED int turns_start(struct turns **turns, struct worker *worker, struct pools *pools);
void turns_stop(struct turns **turns);

/* At a revival, or when a connection has come from another worker: the leg is a client's, and holds a place of that member. */
void turns_revived(struct turns *turns, const struct record *leg, uint32_t member);
/* All records have said what they hold (core/revival.h): what a former worker held and no record does is free for others. Called
 * again it does nothing. To be called before anything below. */
void turns_recounted(struct turns *turns);

/* --- places --- */

/* As pools_pick, except that nobody goes before the one who waits longest: then ERR_BUSY, and that one is driven. */
WARN_UNUSED int turns_pick(struct turns *turns, const struct record *client, uint32_t pool,
                           const struct pools_wish *wish, uint32_t *member, struct slice *reason);
/* A place that was picked is the leg's from now on; or is not after all, and the caller's again. */
void turns_hold(struct turns *turns, const struct record *leg);
void turns_unhold(struct turns *turns, const struct record *leg);
/* Gives the place back, if the leg of that number holds one, and wakes who waits. */
void turns_let_go(struct turns *turns, uint32_t leg, uint32_t member);

/* --- the queue of a pool --- */

/* The client waits until due_ns; it is driven (worker_again) when it is its turn, and is to ask again from time to time: other
 * workers give places back, too (worker_again_later). `has_tried`: some servers, so that it may be for the others alone that it
 * waits; then those who come later do not wait for it. Nothing happens if it waits already. */
void turns_wait(struct turns *turns, const struct record *client, uint32_t pool, uint64_t due_ns,
                int has_tried);
/* It waits no longer. As it may have been told of a place, the next one looks whether there is another. */
void turns_leave(struct turns *turns, const struct record *client);
/* A place has become free. */
void turns_wake(struct turns *turns, uint32_t pool);
/* How many wait. */
static inline uint32_t turns_waiting(const struct turns *turns, uint32_t pool)
{
    return turns->count[pool];
}

#endif
