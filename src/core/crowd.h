/* How many connections each client's address has in all workers together: core's part of the shared memory (shared.h).
 *
 * From offset 0 of that part, which is a page's multiple:
 *
 *   head   CROWD_HEAD_SIZE bytes, `struct crowd_head`: which rows are in use, and the seed of the hash
 *   rows   BOARD_SLOTS rows of CROWD_PLACES `struct crowd_place`: the clients of one slot, by its place on the board
 *
 * All zero is an empty crowd. It is touched, and has memory, only where clients are limited (max_connections_per_client).
 *
 * Nobody holds a lock, and anybody may be killed between any two instructions:
 *
 * - A row has one writer, the slot's worker; how many connections each client has in it the worker knows from an index of its
 *   own (clients.h). A client's place is one of CROWD_PROBES that follow its home, in all rows the same ones.
 * - A place never goes back to no key, and a new key takes the first place that counts nobody: behind a place without a key
 *   nobody has to look. A place changes its key while it counts nobody, so that a reader who took the former key for its own
 *   counts too many, never too few.
 * - The limit is kept by announcing: the own count is raised, then all rows are added up, and it is lowered again where the
 *   sum is too high. Of two that announce at once both may withdraw, never both stay.
 * - It is raised before a connection is served, and lowered when its end is decided: after a death the row says too much,
 *   never too little, until the next worker has rebuilt its index and stores what that says (crowd_recount).
 * - Rows of slots that the board has no longer do not count, so that a slot that is gone holds nothing. Who takes the place
 *   next begins with a recount, of nobody.
 *
 * A client for whom no place is free is counted by each worker alone. */
#ifndef HOLDFAST_CORE_CROWD_H
#define HOLDFAST_CORE_CROWD_H

#include "core/board.h"
#include "core/clients.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define CROWD_VERSION 0x31303044574f5243ULL /* the bytes CROWD001 in memory order: counts with the layout */
#define CROWD_PLACES 65536u /* of a row: 1 MiB, for twice as many clients as should be there at once */
#define CROWD_PROBES 16u
#define CROWD_HEAD_SIZE 4096u

struct crowd_head {
    _Atomic uint64_t version;
    _Atomic uint64_t seed; /* random, as clients choose their addresses; 0: nobody has set it */
    _Atomic uint32_t row_limit, reserved;    /* no row is used from here on */
    _Atomic uint32_t rows_used[BOARD_SLOTS]; /* its memory may be touched */
};
_Static_assert(sizeof(struct crowd_head) <= CROWD_HEAD_SIZE, "the head has its page");

struct crowd_place {
    _Atomic uint64_t key; /* clients_key; 0: nobody was here yet */
    _Atomic uint32_t connections;
    uint32_t reserved;
};
#define CROWD_ROW_SIZE (CROWD_PLACES * sizeof(struct crowd_place))
#define CROWD_SIZE (CROWD_HEAD_SIZE + BOARD_SLOTS * CROWD_ROW_SIZE)

/* The shared memory: what the classes share, `shared_size` bytes, and core's part behind it. */
#define CROWD_AT(shared_size) (((size_t)(shared_size) + 4095u) & ~(size_t)4095u)
#define CROWD_SHARED_SIZE(shared_size) (CROWD_AT(shared_size) + CROWD_SIZE)

/* One worker's view. All zero: each worker counts by itself. */
struct crowd {
    char *memory;              /* borrowed; NULL: nothing is shared */
    const struct board *board; /* borrowed; NULL: all rows count */
    uint32_t place;
    int is_recounted; /* until then the row is the predecessor's, and stays as it is */
    uint64_t seed;
};

/* Takes the row of `place` in the part that lies at `offset` of `fd` and is mapped at `memory`. fd -1: the memory of one
 * process. What stands in the row holds until crowd_recount. 0; ERR_VERSION, ERR_NO_MEMORY: each worker counts by itself. */
WARN_UNUSED int crowd_open(struct crowd *crowd, void *memory, int fd, size_t offset, uint32_t place,
                           const struct board *board);
/* Stores what this worker's index says, whatever the row said before. */
void crowd_recount(struct crowd *crowd, const struct clients *clients);
/* One connection more of a client that has `connections` here with it. 0; ERR_LIMIT: with it all workers would have more
 * than `limit`, and it was not counted. */
WARN_UNUSED int crowd_enter(struct crowd *crowd, uint64_t key, uint32_t connections, uint64_t limit);
/* A client has so many connections here from now on. Before the recount: nothing, it will say so. */
void crowd_leave(struct crowd *crowd, uint64_t key, uint32_t connections);
/* How many a client has in all workers that count. */
uint64_t crowd_sum(const struct crowd *crowd, uint64_t key);

#endif
