#include "core/redo.h"

#include "base/assert.h"
#include "core/arena.h"

#include <stddef.h>

static struct redo *redo_of(struct arena *arena)
{
    return &arena->core->redo;
}

static _Atomic uint64_t *word_at(struct arena *arena, uint64_t offset)
{
    return (_Atomic uint64_t *)(void *)((char *)arena->page + offset);
}

void redo_begin(struct arena *arena)
{
    redo_of(arena)->count = 0;
    redo_of(arena)->partner = 0;
}

static struct redo_word *find(struct arena *arena, uint64_t offset)
{
    struct redo *redo = redo_of(arena);

    for (uint32_t i = 0; i < redo->count; i++)
        if (redo->words[i].offset == offset)
            return &redo->words[i];
    return NULL;
}

static uint64_t offset_of(const struct arena *arena, const _Atomic uint64_t *word)
{
    return (uint64_t)((uintptr_t)word - (uintptr_t)arena->page);
}

void redo_set(struct arena *arena, _Atomic uint64_t *word, uint64_t value)
{
    struct redo *redo = redo_of(arena);
    const uint64_t offset = offset_of(arena, word);
    struct redo_word *noted = find(arena, offset);

    if (!noted) {
        MUST(redo->count < REDO_WORDS && offset % sizeof *word == 0 && offset < arena->size);
        noted = &redo->words[redo->count++];
        noted->offset = offset;
    }
    noted->value = value;
}

uint64_t redo_value(struct arena *arena, _Atomic uint64_t *word)
{
    const struct redo_word *noted = find(arena, offset_of(arena, word));

    return noted ? noted->value : atomic_load_explicit(word, memory_order_relaxed);
}

void redo_add(struct arena *arena, _Atomic uint64_t *word, uint64_t difference)
{
    redo_set(arena, word, redo_value(arena, word) + difference);
}

void redo_partner(struct arena *arena, const struct record *partner)
{
    redo_of(arena)->partner = arena_number(arena, partner) + 1;
}

/* As often as needed: what is stored are values. */
static void store_all(struct arena *arena)
{
    const struct redo *redo = redo_of(arena);

    if (redo->partner && ARENA_SHARED) /* a plain fork has one head (record_begin) */
        arena_record(arena, redo->partner - 1)->current = redo->partner_current;
    COMPILER_BARRIER();

    for (uint32_t i = 0; i < redo->count; i++)
        /* Whoever reads how far a log is made wants to see the line, too. */
        atomic_store_explicit(word_at(arena, redo->words[i].offset), redo->words[i].value,
                              memory_order_release);
}

void redo_commit(struct arena *arena, struct record *record)
{
    struct redo *redo = redo_of(arena);

    if (!redo->count && !redo->partner) {
        record_commit(record);
        return;
    }
    redo->record = arena_number(arena, record);
    redo->current = record->current + 1;
    if (redo->partner)
        redo->partner_current = arena_record(arena, redo->partner - 1)->current + 1;
    COMPILER_BARRIER();
    redo->is_armed = 1;
    record_commit(record); /* with barriers around it */
    store_all(arena);
    COMPILER_BARRIER();
    redo->is_armed = 0;
    COMPILER_BARRIER();
    redo->count = 0;
    redo->partner = 0;
}

int redo_settle(struct arena *arena)
{
    struct redo *redo = redo_of(arena);
    int has_happened;

    if (!redo->is_armed)
        return 0;
    has_happened = redo->record < arena_records_limit(arena) && redo->count <= REDO_WORDS &&
                   redo->partner <= arena_records_limit(arena) &&
                   arena_record(arena, redo->record)->current == redo->current;
    if (has_happened)
        store_all(arena);
    COMPILER_BARRIER();
    redo->is_armed = 0;
    redo->count = 0;
    redo->partner = 0;
    return has_happened;
}
