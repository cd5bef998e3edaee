/* Which blocks of the arena are free: a private index over the arena, rebuilt from the records at each revival.
 * The lowest free block is given first, so that unused extents gather at the end and can be given back.
 *
 * A block may be given in parts, for what is small and stays long. The arena does not know which ones are: whoever names a
 * part says so. */
#ifndef HOLDFAST_CORE_BLOCKS_H
#define HOLDFAST_CORE_BLOCKS_H

#include "base/err.h"
#include "core/arena.h"

#define BLOCKS_PARTS 8u /* of a block */
#define BLOCKS_PART_SIZE (ARENA_BLOCK_SIZE / BLOCKS_PARTS)

struct blocks {
    struct arena *arena; /* borrowed for life */
    uint64_t *used;      /* owned bitmap: 1 = in use */
    uint64_t *roomy;     /* owned bitmap: 1 = given in parts, and not all of them are in use */
    uint8_t *parts;      /* owned, by block: a bit for each part in use */
    uint32_t words, hint;
    uint32_t roomy_hint; /* no word before has a roomy block */
    uint32_t in_use;
};

WARN_UNUSED int blocks_init(struct blocks *blocks, struct arena *arena);
void blocks_fini(struct blocks *blocks);
/* Marks a block as used that a record names. ERR_INVALID if it is used already or does not exist. */
WARN_UNUSED int blocks_claim(struct blocks *blocks, uint32_t number);
/* Takes a free block: its number, or ERR_NO_MEMORY / ERR_LIMIT. */
WARN_UNUSED int64_t blocks_take(struct blocks *blocks);
void blocks_give(struct blocks *blocks, uint32_t number);
/* The same for parts; a part's number is its block's, times BLOCKS_PARTS, and which one it is. */
WARN_UNUSED int blocks_claim_part(struct blocks *blocks, uint32_t number);
WARN_UNUSED int64_t blocks_take_part(struct blocks *blocks);
void blocks_give_part(struct blocks *blocks, uint32_t number);
static inline char *blocks_part(const struct arena *arena, uint32_t number)
{
    return arena->blocks + (size_t)number * BLOCKS_PART_SIZE;
}
/* Gives whole unused extents at the end back to the system, keeping `spare` of them. */
void blocks_trim(struct blocks *blocks, uint32_t spare);

#endif
