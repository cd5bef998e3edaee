#include "core/arena.h"

#include "base/assert.h"
#include "base/fd.h"
#include "core/handover.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define BLOCKS_PER_RECORD 3u /* input, output, and what a class keeps for itself */

static size_t round_up(size_t value, size_t step)
{
    return (value + step - 1) / step * step;
}

static uint64_t layout_hash(void)
{
    const uint64_t parts[] = {sizeof(struct arena_core),
                              sizeof(struct record),
                              sizeof(struct record_head),
                              sizeof(struct intent),
                              ARENA_BLOCK_SIZE,
                              RECORD_PROTOCOL_BYTES,
                              ARENA_LOG_SIZE};
    uint64_t hash = 14695981039346656037ULL;

    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        hash = (hash ^ parts[i]) * 1099511628211ULL;
    return hash;
}

static void arena_place(struct arena *arena, uint32_t record_count)
{
    arena->records_offset = round_up(ARENA_PAGE_SIZE + sizeof(struct arena_core), ARENA_PAGE_SIZE);
    arena->blocks_offset =
        arena->records_offset + round_up((size_t)record_count * sizeof(struct record), ARENA_PAGE_SIZE);
    arena->logs_offset = arena->blocks_offset + (size_t)record_count * BLOCKS_PER_RECORD * ARENA_BLOCK_SIZE;
}

static size_t arena_total(struct arena *arena, uint32_t record_count)
{
    arena_place(arena, record_count);
    return arena->logs_offset + (size_t)ARENA_LOGS_MAX * ARENA_LOG_SIZE;
}

static int arena_attach(struct arena *arena, size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, arena->fd, 0);

    if (memory == MAP_FAILED)
        return err_from_errno(errno);
    /* A core dump of a worker must neither be huge nor show the clients' bytes. */
    (void)madvise(memory, size, MADV_DONTDUMP);
    arena->size = size;
    arena->page = memory;
    arena->core = (struct arena_core *)((char *)memory + ARENA_PAGE_SIZE);
    return 0;
}

static void arena_find_parts(struct arena *arena)
{
    arena_place(arena, arena->core->record_count);
    arena->records = (struct record *)((char *)arena->page + arena->records_offset);
    arena->blocks = (char *)arena->page + arena->blocks_offset;
    arena->logs = (char *)arena->page + arena->logs_offset;
}

static void forget_descriptors(struct arena_core *core)
{
    core->epoll_fd = core->wakeup_fd = core->keeper_pidfd = -1;
    memset(&core->handover, 0, sizeof core->handover);
    for (unsigned i = 0; i < HANDOVER_LINKS; i++)
        core->handover.links[i].socket_fd = core->handover.links[i].page_fd = -1;
    for (unsigned i = 0; i < ARENA_LOGS_MAX; i++) {
        core->logs[i].fd = -1;
        core->logs[i].writer = 0;
        core->logs[i].length =
            0; /* without the lock nobody can tell whether it was written: it is written again */
    }
}

static void arena_write_headers(struct arena *arena, uint32_t slot, uint32_t generation, uint32_t records)
{
    arena->page->magic = ARENA_MAGIC;
    arena->page->wire_version = ARENA_WIRE_VERSION;
    arena->page->slot = slot;
    arena->page->generation = generation;
    arena->page->size = arena->size;
    arena->core->magic = ARENA_MAGIC;
    arena->core->layout = layout_hash();
    arena->core->record_count = records;
    arena->core->block_count = records * BLOCKS_PER_RECORD;
    forget_descriptors(arena->core);
    arena->core->next_serial = 1;
}

int arena_create(struct arena *arena, uint32_t slot, uint32_t generation, uint32_t record_count)
{
    const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
    size_t size = arena_total(arena, record_count);
    int result;

    *arena = (struct arena){.fd = -1};
    if (record_count == 0 || record_count > (1u << 24))
        return ERR_INVALID;
    arena->fd = fd_memfd("holdfast-arena", size, 0);
    if (arena->fd < 0)
        return arena->fd;
    arena_place(arena, record_count);
    result = fallocate(arena->fd, 0, 0, (off_t)arena->records_offset) ? err_from_errno(errno) : 0;
    if (!result && fcntl(arena->fd, F_ADD_SEALS, seals))
        result = err_from_errno(errno);
    if (!result)
        result = arena_attach(arena, size);
    if (result) {
        fd_close(&arena->fd);
        return result;
    }
    arena_write_headers(arena, slot, generation, record_count);
    arena_find_parts(arena);
    return 0;
}

int arena_map(struct arena *arena, int fd)
{
    off_t size = lseek(fd, 0, SEEK_END);
    int result;

    *arena = (struct arena){.fd = fd};
    if (size < (off_t)(ARENA_PAGE_SIZE + sizeof(struct arena_core)))
        return ERR_INVALID;
    result = arena_attach(arena, (size_t)size);
    if (result)
        return result;
    if (arena->page->magic != ARENA_MAGIC || arena->core->magic != ARENA_MAGIC)
        result = ERR_INVALID;
    else if (arena->core->layout != layout_hash() || arena->page->wire_version != ARENA_WIRE_VERSION)
        result = ERR_VERSION;
    else if (arena_total(arena, arena->core->record_count) != arena->size)
        result = ERR_INVALID; /* cut short: its parts would lie beyond its end */
    if (result) {
        munmap(arena->page, arena->size);
        arena->page = NULL;
        return result;
    }
    arena_find_parts(arena);
    return 0;
}

int arena_page_map(int fd, struct arena_page **page)
{
    void *memory;

    if (lseek(fd, 0, SEEK_END) < (off_t)ARENA_PAGE_SIZE)
        return ERR_INVALID;
    memory = mmap(NULL, ARENA_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED)
        return err_from_errno(errno);
    *page = memory;
    if ((*page)->magic == ARENA_MAGIC)
        return 0;
    arena_page_unmap(page);
    return ERR_INVALID;
}

void arena_page_unmap(struct arena_page **page)
{
    if (*page)
        munmap(*page, ARENA_PAGE_SIZE);
    *page = NULL;
}

void arena_close(struct arena *arena)
{
    if (arena->page)
        munmap(arena->page, arena->size);
    arena->page = NULL;
    fd_close(&arena->fd);
}

void arena_make_private(struct arena *arena)
{
    void *from = (char *)arena->page + arena->records_offset;
    void *memory = mmap(from, arena->size - arena->records_offset, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);

    MUST(memory == from);
    forget_descriptors(arena->core);
    arena->page->connections = arena->page->connected = 0;
}

void arena_reset(struct arena *arena)
{
    uint32_t limit = arena_records_limit(arena);

    (void)redo_settle(arena); /* as long as the record can tell */
    for (uint32_t n = 0; n < limit; n++)
        memset(&arena->records[n], 0, sizeof arena->records[n]);
    memset(arena->core->intents, 0, sizeof arena->core->intents);
    /* Blame outlives neither its intents nor its record: it would fall on whoever is there next. */
    arena->core->fault = arena->core->blamed = arena->core->watchdog_kill = 0;
    forget_descriptors(arena->core);
    arena->page->connections = arena->page->connected = 0;
    arena->page->handover_links = 0;
}

/* --- extents --- */

/* Records and blocks are two arrays that come into use by extents. */
struct extents {
    _Atomic uint32_t *count; /* in use, in the core */
    uint32_t items;          /* of one extent */
    size_t begin, end;       /* of the array; its last extent ends where the array ends */
    size_t length;           /* of one extent */
};

static struct extents record_extents(const struct arena *arena)
{
    return (struct extents){&arena->core->record_extents, ARENA_RECORD_EXTENT, arena->records_offset,
                            arena->blocks_offset, ARENA_RECORD_EXTENT * sizeof(struct record)};
}

static struct extents block_extents(const struct arena *arena)
{
    return (struct extents){&arena->core->block_extents, ARENA_BLOCK_EXTENT, arena->blocks_offset,
                            arena->logs_offset, (size_t)ARENA_BLOCK_EXTENT * ARENA_BLOCK_SIZE};
}

static int extent_allocate(const struct arena *arena, const struct extents *extents, uint32_t number,
                           int mode)
{
    size_t at = extents->begin + number * extents->length;
    size_t length = at + extents->length > extents->end ? extents->end - at : extents->length;

    if (!ARENA_SHARED || !fallocate(arena->fd, mode, (off_t)at, (off_t)length))
        return 0;
    return errno == EINTR ? ERR_AGAIN : ERR_NO_MEMORY;
}

/* An extent is allocated first and counted then: a death in between only allocates it twice. */
static int extents_reserve(const struct arena *arena, const struct extents *extents, uint32_t item)
{
    while (item >= *extents->count * extents->items) {
        int result = extent_allocate(arena, extents, *extents->count, 0);

        if (result)
            return result;
        *extents->count += 1;
    }
    return 0;
}

/* Uncounted first: a death in between leaves memory that extents_reserve finds allocated, its records FREE. */
static void extents_cut(const struct arena *arena, const struct extents *extents, uint32_t keep)
{
    while (ARENA_SHARED && *extents->count > keep) {
        *extents->count -= 1;
        (void)extent_allocate(arena, extents, *extents->count, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
    }
}

int arena_record_reserve(struct arena *arena, uint32_t number)
{
    const struct extents extents = record_extents(arena);

    return number < arena->core->record_count ? extents_reserve(arena, &extents, number) : ERR_LIMIT;
}

int arena_block_reserve(struct arena *arena, uint32_t number)
{
    const struct extents extents = block_extents(arena);

    return number < arena->core->block_count ? extents_reserve(arena, &extents, number) : ERR_LIMIT;
}

int arena_log_reserve(struct arena *arena, uint32_t number)
{
    const struct extents logs = {NULL, 1, arena->logs_offset, arena->size, ARENA_LOG_SIZE};

    return number < ARENA_LOGS_MAX ? extent_allocate(arena, &logs, number, 0) : ERR_LIMIT;
}

int arena_is_own_descriptor(const struct arena *arena, int fd)
{
    const struct arena_core *core = arena->core;

    if (fd < 0)
        return 0;
    for (unsigned i = 0; i < ARENA_LOGS_MAX; i++)
        if (core->logs[i].fd == fd)
            return 1;
    if (handover_has_descriptor(arena, fd))
        return 1;
    return fd == core->epoll_fd || fd == core->wakeup_fd || fd == core->keeper_pidfd;
}

static int extent_is_free(const struct arena *arena, uint32_t extent)
{
    const struct record *first = &arena->records[(size_t)extent * ARENA_RECORD_EXTENT];

    for (uint32_t i = 0; i < ARENA_RECORD_EXTENT; i++)
        if (extent * ARENA_RECORD_EXTENT + i < arena->core->record_count && first[i].life != RECORD_FREE)
            return 0;
    return 1;
}

uint32_t arena_trim_records(struct arena *arena, uint32_t spare)
{
    const struct extents extents = record_extents(arena);
    uint32_t keep = *extents.count;

    while (keep > 0 && extent_is_free(arena, keep - 1))
        keep--;
    extents_cut(arena, &extents, keep + spare);
    return *extents.count;
}

void arena_trim_blocks(struct arena *arena, uint32_t keep)
{
    const struct extents extents = block_extents(arena);

    extents_cut(arena, &extents, keep);
}

uint32_t arena_records_limit(const struct arena *arena)
{
    uint32_t limit = arena->core->record_extents * ARENA_RECORD_EXTENT;

    return limit < arena->core->record_count ? limit : arena->core->record_count;
}
