/* Which blocks of the arena are free: a private index over the arena, rebuilt from the records at each revival.
 * The lowest free block is given first, so that unused extents gather at the end and can be given back. */
#ifndef HOLDFAST_CORE_BLOCKS_H
#define HOLDFAST_CORE_BLOCKS_H

#include "base/err.h"
#include "core/arena.h"

struct blocks {
    struct arena *arena; /* borrowed for life */
    uint64_t *used;      /* owned bitmap: 1 = in use */
    uint32_t words, hint;
    uint32_t in_use;
};

WARN_UNUSED int blocks_init(struct blocks *blocks, struct arena *arena);
void blocks_fini(struct blocks *blocks);
/* Marks a block as used that a record names. ERR_INVALID if it is used already or does not exist. */
WARN_UNUSED int blocks_claim(struct blocks *blocks, uint32_t number);
/* Takes a free block: its number, or ERR_NO_MEMORY / ERR_LIMIT. */
WARN_UNUSED int64_t blocks_take(struct blocks *blocks);
void blocks_give(struct blocks *blocks, uint32_t number);
/* Gives whole unused extents at the end back to the system, keeping `spare` of them. */
void blocks_trim(struct blocks *blocks, uint32_t spare);

#endif
