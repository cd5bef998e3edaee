#include "core/blocks.h"

#include "base/assert.h"

#include <stdlib.h>

int blocks_init(struct blocks *blocks, struct arena *arena)
{
    *blocks = (struct blocks){.arena = arena, .words = (arena->core->block_count + 63) / 64};
    blocks->used = calloc(blocks->words, sizeof *blocks->used);
    blocks->roomy = calloc(blocks->words, sizeof *blocks->roomy);
    blocks->parts = calloc(arena->core->block_count, sizeof *blocks->parts);
    if (blocks->used && blocks->roomy && blocks->parts)
        return 0;
    blocks_fini(blocks);
    return ERR_NO_MEMORY;
}

void blocks_fini(struct blocks *blocks)
{
    free(blocks->used);
    free(blocks->roomy);
    free(blocks->parts);
    blocks->used = blocks->roomy = NULL;
    blocks->parts = NULL;
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

/* --- in parts --- */

#define ALL_PARTS ((1u << BLOCKS_PARTS) - 1)
_Static_assert(ALL_PARTS <= UINT8_MAX, "a bit for each part");

static void set_parts(struct blocks *blocks, uint32_t block, unsigned parts)
{
    const uint64_t bit = 1ULL << (block % 64);

    blocks->parts[block] = (uint8_t)parts;
    blocks->roomy[block / 64] &= ~bit;
    if (!parts || parts == ALL_PARTS)
        return;
    blocks->roomy[block / 64] |= bit;
    if (block / 64 < blocks->roomy_hint)
        blocks->roomy_hint = block / 64;
}

static int64_t block_with_room(struct blocks *blocks)
{
    while (blocks->roomy_hint < blocks->words && !blocks->roomy[blocks->roomy_hint])
        blocks->roomy_hint++;
    if (blocks->roomy_hint == blocks->words)
        return blocks_take(blocks);
    return blocks->roomy_hint * 64 + (uint32_t)__builtin_ctzll(blocks->roomy[blocks->roomy_hint]);
}

int blocks_claim_part(struct blocks *blocks, uint32_t number)
{
    const uint32_t block = number / BLOCKS_PARTS, bit = 1u << (number % BLOCKS_PARTS);
    int result = 0;

    if (block >= blocks->arena->core->block_extents * ARENA_BLOCK_EXTENT || blocks->parts[block] & bit)
        return ERR_INVALID;
    if (!blocks->parts[block])
        result = blocks_claim(blocks, block);
    if (!result)
        set_parts(blocks, block, blocks->parts[block] | bit);
    return result;
}

int64_t blocks_take_part(struct blocks *blocks)
{
    const int64_t block = block_with_room(blocks);
    unsigned part;

    if (block < 0)
        return block;
    part = (unsigned)__builtin_ctz(~(unsigned)blocks->parts[block]);
    set_parts(blocks, (uint32_t)block, blocks->parts[block] | 1u << part);
    return block * BLOCKS_PARTS + part;
}

void blocks_give_part(struct blocks *blocks, uint32_t number)
{
    const uint32_t block = number / BLOCKS_PARTS, bit = 1u << (number % BLOCKS_PARTS);

    MUST(block < blocks->arena->core->block_count && blocks->parts[block] & bit);
    set_parts(blocks, block, blocks->parts[block] & ~bit);
    if (!blocks->parts[block])
        blocks_give(blocks, block);
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
