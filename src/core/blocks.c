#include "core/blocks.h"

#include "base/assert.h"

#include <stdlib.h>

int blocks_init(struct blocks *blocks, struct arena *arena)
{
    *blocks = (struct blocks){.arena = arena, .words = (arena->core->block_count + 63) / 64};
    blocks->used = calloc(blocks->words, sizeof *blocks->used);
    return blocks->used ? 0 : ERR_NO_MEMORY;
}

void blocks_fini(struct blocks *blocks)
{
    free(blocks->used);
    blocks->used = NULL;
}

static void mark(struct blocks *blocks, uint32_t number)
{
    blocks->used[number / 64] |= 1ULL << (number % 64);
    blocks->in_use++;
    arena_count_set(&blocks->arena->page->blocks_used, blocks->in_use);
}

int blocks_claim(struct blocks *blocks, uint32_t number)
{
    if (number >= blocks->arena->core->block_extents * ARENA_BLOCK_EXTENT)
        return ERR_INVALID;
    if (blocks->used[number / 64] >> (number % 64) & 1)
        return ERR_INVALID;
    mark(blocks, number);
    return 0;
}

int64_t blocks_take(struct blocks *blocks)
{
    for (uint32_t word = blocks->hint; word < blocks->words; word++) {
        uint32_t number;
        int result;

        if (blocks->used[word] == UINT64_MAX)
            continue;
        number = word * 64 + (uint32_t)__builtin_ctzll(~blocks->used[word]);
        result = arena_block_reserve(blocks->arena, number);
        if (result)
            return result;
        blocks->hint = word;
        mark(blocks, number);
        return number;
    }
    return ERR_LIMIT;
}

void blocks_give(struct blocks *blocks, uint32_t number)
{
    MUST(number < blocks->arena->core->block_count && (blocks->used[number / 64] >> (number % 64) & 1));
    blocks->used[number / 64] &= ~(1ULL << (number % 64));
    blocks->in_use--;
    arena_count_set(&blocks->arena->page->blocks_used, blocks->in_use);
    if (number / 64 < blocks->hint)
        blocks->hint = number / 64;
}

static int extent_is_free(const struct blocks *blocks, uint32_t extent)
{
    uint32_t first = extent * ARENA_BLOCK_EXTENT;
    uint64_t mask = ((1ULL << ARENA_BLOCK_EXTENT) - 1) << (first % 64);

    _Static_assert(64 % ARENA_BLOCK_EXTENT == 0, "an extent lies within one word");
    return !(blocks->used[first / 64] & mask);
}

void blocks_trim(struct blocks *blocks, uint32_t spare)
{
    uint32_t keep = blocks->arena->core->block_extents;

    while (keep > 0 && extent_is_free(blocks, keep - 1))
        keep--;
    arena_trim_blocks(blocks->arena, keep + spare);
}
