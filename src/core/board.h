/* The board: what everybody may read about the server, in one memfd that the anchor holds as `board`.
 *
 * The first page of an arena (arena.h) lies here and not in its arena, so that a worker can read those of its siblings:
 * status and metrics are answered by any worker, for all of them, and cost the others nothing. Keeper and worker map their
 * page over the first page of their arena; for them nothing is different. It reads, from offset 0:
 *
 *   head    BOARD_HEAD_SIZE bytes, `struct board`: written by the master only
 *   pages   BOARD_SLOTS pages: number i belongs to slots[i] of the head, as long as that is in use
 *
 * What slots counted that are gone stays in `past`, so that no total ever falls. Two copies and one word, as with a
 * record's head: a master that dies in between counts nothing twice.
 *
 * A frozen wire format, as the page: masters and workers may be of different versions. Fields are only added at the end,
 * and the version counts; who finds another version reads nothing. A worker maps it read only. */
#ifndef HOLDFAST_CORE_BOARD_H
#define HOLDFAST_CORE_BOARD_H

#include "base/err.h"
#include "core/arena.h"

#include <stdatomic.h>
#include <stdint.h>

#define BOARD_MAGIC 0x3144524f42464848ULL /* the bytes HHFBORD1 in memory order */
#define BOARD_VERSION 1u
#define BOARD_SLOTS 256u /* MASTER_SLOTS_MAX */
#define BOARD_HEAD_SIZE 12288u
#define BOARD_SIZE (BOARD_HEAD_SIZE + BOARD_SLOTS * ARENA_PAGE_SIZE)
#define BOARD_WORD_MAX 16 /* bytes of a name, with its NUL */

/* Totals over slots. */
struct board_totals {
    uint64_t accepted, requests, deaths, revivals, takeovers, poisoned, crash_loops, reconciled, odd;
    uint64_t counters[ARENA_COUNTERS];
};

struct board {
    uint64_t magic;
    uint32_t version;
    _Atomic uint32_t generation; /* the present one */
    _Atomic int32_t anchor_pid, master_pid;
    _Atomic uint64_t masters_started; /* how many there have been */
    _Atomic uint64_t started_ns;      /* of the server, CLOCK_MONOTONIC */
    _Atomic uint32_t counters_lie;
    uint32_t reserved;
    char phase[BOARD_WORD_MAX], drain[BOARD_WORD_MAX];
    struct board_slot {
        _Atomic uint32_t is_used; /* its page counts */
        _Atomic uint32_t generation, number, reserved;
    } slots[BOARD_SLOTS];
    /* of slots that are gone; past[past_current & 1] counts */
    _Atomic uint32_t past_current;
    uint32_t reserved_past;
    struct board_past {
        uint64_t serial; /* of the slot that was added last */
        struct board_totals totals;
    } past[2];
    _Atomic uint64_t next_serial;
    _Atomic uint64_t serials[BOARD_SLOTS]; /* unique for each use of a place */
};
_Static_assert(sizeof(struct board) <= BOARD_HEAD_SIZE, "the head has its pages");

/* --- the master's --- */

/* A new memfd with an empty board. The descriptor or an error. */
WARN_UNUSED int board_create(void);
/* Maps a board, to be written to if `is_writable`. 0; ERR_VERSION; ERR_INVALID: it is none. */
WARN_UNUSED int board_map(int fd, int is_writable, struct board **board);
void board_unmap(struct board **board);
/* Puts a slot's page on place i: a copy of the arena's own first page. 0, ERR_NO_MEMORY. */
WARN_UNUSED int board_use(struct board *board, int fd, unsigned place, const struct arena_page *page);
/* The slot is gone: what it counted belongs to the past. */
void board_release(struct board *board, unsigned place);

/* --- everybody's --- */

static inline struct arena_page *board_page(const struct board *board, unsigned place)
{
    return (struct arena_page *)(void *)((uintptr_t)board + BOARD_HEAD_SIZE +
                                         (size_t)place * ARENA_PAGE_SIZE);
}

/* The page of place i, or NULL if nobody is there. */
const struct arena_page *board_used_page(const struct board *board, unsigned place);
/* The place of a slot, or an error. */
WARN_UNUSED int board_find(const struct board *board, uint32_t generation, uint32_t number);
/* Maps the slot's page over the first page of its arena. 0, or an error: then nothing has changed. */
WARN_UNUSED int board_lay_over(int fd, struct arena *arena);
/* Adds up what all slots counted, past and present. */
void board_sum(const struct board *board, struct board_totals *totals);
/* The same of one page. */
void board_add_page(struct board_totals *totals, const struct arena_page *page);

#endif
