#include "core/arena.h"

#include "base/fd.h"
#include "core/blocks.h"
#include "small_filesystem.h"
#include "unit.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define RECORDS 1000u

static struct arena arena;
static struct blocks blocks;

static int setup(void **state)
{
    (void)state;
    return arena_create(&arena, 3, 7, RECORDS) || blocks_init(&blocks, &arena);
}

static int teardown(void **state)
{
    (void)state;
    blocks_fini(&blocks);
    arena_close(&arena);
    return 0;
}

static uint64_t bytes_allocated(void)
{
    struct stat status;

    assert_int_equal(fstat(arena.fd, &status), 0);
    return (uint64_t)status.st_blocks * 512;
}

/* --- making and mapping --- */

static void a_new_arena_says_what_it_is_and_is_sealed(void **state)
{
    int seals = fcntl(arena.fd, F_GET_SEALS);
    (void)state;

    assert_int_equal(arena.page->magic, ARENA_MAGIC);
    assert_memory_equal(&arena.page->magic, "HHOLFST1", 8);
    assert_int_equal(arena.page->wire_version, ARENA_WIRE_VERSION);
    assert_int_equal(arena.page->slot, 3);
    assert_int_equal(arena.page->generation, 7);
    assert_int_equal(arena.page->size, arena.size);
    assert_int_equal(arena.core->record_count, RECORDS);
    assert_int_equal(arena.core->epoll_fd, -1);
    assert_int_equal(seals & (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL | F_SEAL_WRITE),
                     F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
    assert_true(fcntl(arena.fd, F_GETFD) & FD_CLOEXEC);
    assert_int_not_equal(ftruncate(arena.fd, 4096), 0);
    assert_int_equal(arena_records_limit(&arena), 0);
}

static void a_mapping_shows_what_another_one_writes(void **state)
{
    struct arena other;
    struct arena_page *page;
    (void)state;

    assert_int_equal(arena_record_reserve(&arena, 5), 0);
    assert_int_equal(arena_block_reserve(&arena, 2), 0);
    assert_int_equal(arena_map(&other, dup(arena.fd)), 0);
    arena_record(&arena, 5)->rx = 99;
    strcpy(arena_block(&arena, 2), "a ring");
    assert_int_equal(arena_record(&other, 5)->rx, 99);
    assert_string_equal(arena_block(&other, 2), "a ring");
    assert_int_equal(arena_number(&other, arena_record(&other, 5)), 5);
    assert_int_equal(arena_page_map(arena.fd, &page), 0);
    page->order = ARENA_ORDER_DRAIN;
    assert_int_equal(other.page->order, ARENA_ORDER_DRAIN);
    arena_page_unmap(&page);
    assert_null(page);
    arena_close(&other);
    assert_int_equal(other.fd, -1);
}

static void sizes_that_make_no_sense_are_refused(void **state)
{
    struct arena other;
    (void)state;

    assert_int_equal(arena_create(&other, 0, 1, 0), ERR_INVALID);
    assert_int_equal(arena_create(&other, 0, 1, (1u << 24) + 1), ERR_INVALID);
    assert_int_equal(arena_create(&other, 0, 1, 1), 0);
    assert_int_equal(arena_record_reserve(&other, 0), 0);
    assert_int_equal(arena_record_reserve(&other, 1), ERR_LIMIT);
    assert_int_equal(arena_records_limit(&other), 1);
    arena_close(&other);
}

static void garbage_is_no_arena(void **state)
{
    struct arena other;
    struct arena_page *page;
    int fd = fd_memfd("garbage", 1 << 20, 0);
    (void)state;

    assert_int_equal(arena_map(&other, fd), ERR_INVALID);
    assert_int_equal(arena_page_map(fd, &page), ERR_INVALID);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC); /* still the caller's */
    fd_close(&fd);
    assert_int_equal(arena_map(&other, -1), ERR_INVALID);
    assert_int_equal(arena_page_map(-1, &page), ERR_INVALID);
}

/* A copy of the first `length` bytes, which a real arena would not let us change. */
static int copy_of_arena(size_t length)
{
    int fd = fd_memfd("copy", length, 0);

    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, arena.page, length, 0), length);
    return fd;
}

static void what_is_too_small_is_no_arena(void **state)
{
    const size_t lengths[] = {0,
                              1,
                              ARENA_PAGE_SIZE - 1,
                              ARENA_PAGE_SIZE,
                              ARENA_PAGE_SIZE + sizeof(struct arena_core) - 1,
                              arena.records_offset,
                              arena.blocks_offset};
    (void)state;

    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        int fd = copy_of_arena(lengths[i]);
        struct arena other;

        assert_int_equal(arena_map(&other, fd), ERR_INVALID);
        fd_close(&fd);
    }
}

static void an_arena_of_another_build_is_told_from_garbage(void **state)
{
    int fd = copy_of_arena(arena.blocks_offset);
    uint64_t other_layout = arena.core->layout + 1;
    struct arena_page *page;
    struct arena other;
    (void)state;

    assert_int_equal(pwrite(fd, &other_layout, sizeof other_layout,
                            ARENA_PAGE_SIZE + (off_t)offsetof(struct arena_core, layout)),
                     sizeof other_layout);
    assert_int_equal(arena_map(&other, fd), ERR_VERSION);
    assert_int_equal(arena_page_map(fd, &page), 0); /* its first page can be read all the same */
    assert_int_equal(page->slot, 3);
    page->wire_version++;
    assert_int_equal(arena_map(&other, fd), ERR_VERSION);
    arena_page_unmap(&page);
    fd_close(&fd);
}

/* --- extents --- */

static void records_come_into_use_by_extents(void **state)
{
    uint64_t before = bytes_allocated();
    (void)state;

    if (!ARENA_SHARED)
        skip();
    assert_int_equal(arena_record_reserve(&arena, 0), 0);
    assert_int_equal(arena_records_limit(&arena), ARENA_RECORD_EXTENT);
    assert_int_equal(bytes_allocated(), before + ARENA_RECORD_EXTENT * sizeof(struct record));
    assert_int_equal(arena_record_reserve(&arena, ARENA_RECORD_EXTENT - 1), 0);
    assert_int_equal(arena_records_limit(&arena), ARENA_RECORD_EXTENT);
    assert_int_equal(arena_record_reserve(&arena, 3 * ARENA_RECORD_EXTENT), 0);
    assert_int_equal(arena_records_limit(&arena), 4 * ARENA_RECORD_EXTENT);
    assert_int_equal(bytes_allocated(), before + 4 * ARENA_RECORD_EXTENT * sizeof(struct record));
    assert_int_equal(arena_record_reserve(&arena, RECORDS - 1), 0);
    assert_int_equal(arena_records_limit(&arena), RECORDS);
    assert_int_equal(arena_record_reserve(&arena, RECORDS), ERR_LIMIT);
    for (uint32_t n = 0; n < RECORDS; n++)
        assert_int_equal(arena_record(&arena, n)->life, RECORD_FREE);
}

/* A file in a small tmpfs instead of the memfd. 0, or -1 where that is not allowed. */
static int move_to_small_filesystem(unsigned pages)
{
    int fd = small_filesystem_open((size_t)pages * ARENA_PAGE_SIZE);

    if (fd < 0 || ftruncate(fd, (off_t)arena.size) ||
        pwrite(fd, arena.page, arena.records_offset, 0) != (ssize_t)arena.records_offset)
        return -1;
    arena_close(&arena);
    return arena_map(&arena, fd) ? -1 : 0;
}

/* In a process of its own, since there is no way back from the namespace. The first thing that does not hold, or 0. */
static int what_fails_without_space(void)
{
    const unsigned header = (unsigned)(arena.records_offset / ARENA_PAGE_SIZE);
    const unsigned extent = ARENA_RECORD_EXTENT * sizeof(struct record) / ARENA_PAGE_SIZE;

    if (move_to_small_filesystem(header + 1 + extent + extent / 2))
        return 100;
    if (arena_record_reserve(&arena, 0))
        return 1;
    if (arena_record_reserve(&arena, ARENA_RECORD_EXTENT) != ERR_NO_MEMORY)
        return 2;
    if (arena_block_reserve(&arena, 0) != ERR_NO_MEMORY || blocks_take(&blocks) != ERR_NO_MEMORY)
        return 3;
    if (arena_records_limit(&arena) != ARENA_RECORD_EXTENT || arena.core->block_extents || blocks.in_use)
        return 4;
    memset(arena_record(&arena, 0), 1, ARENA_RECORD_EXTENT * sizeof(struct record)); /* no SIGBUS */
    return 0;
}

static void an_extent_that_cannot_be_had_refuses_and_changes_nothing(void **state)
{
    int status = 0;
    pid_t pid;
    (void)state;

    if (!ARENA_SHARED)
        skip();
    pid = fork();
    if (pid == 0)
        _exit(what_fails_without_space());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (status == 100 << 8)
        skip();
    assert_int_equal(status, 0);
}

/* --- forgetting --- */

static void a_reset_frees_every_record_and_blames_nobody(void **state)
{
    struct arena_core *core = arena.core;
    (void)state;

    assert_int_equal(arena_record_reserve(&arena, 200), 0);
    arena_record(&arena, 0)->life = RECORD_OPEN;
    arena_record(&arena, 200)->life = RECORD_CLOSING;
    core->intents[0].record = 201;
    core->intents[64].request = 5;
    core->fault = 1;
    core->blamed = 201;
    core->watchdog_kill = 1;
    core->epoll_fd = 6;
    core->next_serial = 77;
    arena.page->connections = 2;
    arena_reset(&arena);
    for (uint32_t n = 0; n < arena_records_limit(&arena); n++)
        assert_int_equal(arena_record(&arena, n)->life, RECORD_FREE);
    assert_int_equal(core->intents[0].record, 0);
    assert_int_equal(core->intents[64].request, 0);
    assert_int_equal(core->fault, 0); /* the next innocent connection of that number would bear it */
    assert_int_equal(core->blamed, 0);
    assert_int_equal(core->watchdog_kill, 0);
    assert_int_equal(core->epoll_fd, -1);
    assert_int_equal(core->next_serial, 77); /* serials are never used twice */
    assert_int_equal(arena.page->connections, 0);
}

/* --- blocks --- */

static void the_lowest_free_block_is_given_first(void **state)
{
    (void)state;
    for (int i = 0; i < 200; i++)
        assert_int_equal(blocks_take(&blocks), i);
    blocks_give(&blocks, 130);
    blocks_give(&blocks, 7);
    blocks_give(&blocks, 70);
    assert_int_equal(blocks.in_use, 197);
    assert_int_equal(arena.page->blocks_used, 197);
    assert_int_equal(blocks_take(&blocks), 7);
    assert_int_equal(blocks_take(&blocks), 70);
    assert_int_equal(blocks_take(&blocks), 130);
    assert_int_equal(blocks_take(&blocks), 200);
}

static void blocks_end_somewhere(void **state)
{
    struct arena small;
    struct blocks few;
    int64_t last = 0;
    unsigned count = 0;
    (void)state;

    assert_int_equal(arena_create(&small, 0, 1, 3), 0);
    assert_int_equal(blocks_init(&few, &small), 0);
    while ((last = blocks_take(&few)) >= 0)
        arena_block(&small, (uint32_t)last)[ARENA_BLOCK_SIZE - 1] = (char)++count;
    assert_int_equal(last, ERR_LIMIT);
    assert_int_equal(count, small.core->block_count);
    blocks_give(&few, 1);
    assert_int_equal(blocks_take(&few), 1);
    assert_int_equal(blocks_take(&few), ERR_LIMIT);
    blocks_fini(&few);
    arena_close(&small);
}

static void a_block_is_claimed_by_one_record_only(void **state)
{
    (void)state;
    assert_int_equal(blocks_claim(&blocks, 3), ERR_INVALID); /* no extent has it yet */
    assert_int_equal(arena_block_reserve(&arena, 3), 0);
    assert_int_equal(blocks_claim(&blocks, 3), 0);
    assert_int_equal(blocks_claim(&blocks, 3), ERR_INVALID);
    assert_int_equal(blocks_claim(&blocks, UINT32_MAX), ERR_INVALID);
    assert_int_equal(blocks_take(&blocks), 0);
    assert_int_equal(blocks_take(&blocks), 1);
    assert_int_equal(blocks_take(&blocks), 2);
    assert_int_equal(blocks_take(&blocks), 4);
}

static void unused_extents_at_the_end_go_back_to_the_system(void **state)
{
    const uint64_t extent = (uint64_t)ARENA_BLOCK_EXTENT * ARENA_BLOCK_SIZE;
    uint64_t before = bytes_allocated();
    (void)state;

    if (!ARENA_SHARED)
        skip();
    for (unsigned i = 0; i < 10 * ARENA_BLOCK_EXTENT; i++)
        assert_int_equal(blocks_take(&blocks), i);
    assert_int_equal(bytes_allocated(), before + 10 * extent);
    memset(arena_block(&arena, 9 * ARENA_BLOCK_EXTENT), 'x', ARENA_BLOCK_SIZE);
    for (unsigned i = 4 * ARENA_BLOCK_EXTENT + 1; i < 10 * ARENA_BLOCK_EXTENT; i++)
        blocks_give(&blocks, i);
    blocks_trim(&blocks, 2); /* the fifth extent has one block in use; two more are kept */
    assert_int_equal(arena.core->block_extents, 7);
    assert_int_equal(bytes_allocated(), before + 7 * extent);
    blocks_trim(&blocks, 2);
    assert_int_equal(arena.core->block_extents, 7);
    blocks_trim(&blocks, 0);
    assert_int_equal(arena.core->block_extents, 5);
    for (unsigned i = 4 * ARENA_BLOCK_EXTENT + 1; i < 10 * ARENA_BLOCK_EXTENT; i++)
        assert_int_equal(blocks_take(&blocks), i);
    assert_int_equal(arena_block(&arena, 9 * ARENA_BLOCK_EXTENT)[0], 0);
}

/* Here the last extent of records would reach into the blocks, whose first one is the first that is given out. */
static void unused_records_go_back_to_the_system_and_leave_the_blocks_alone(void **state)
{
    uint64_t before = bytes_allocated();
    int64_t block;
    (void)state;

    if (!ARENA_SHARED)
        skip();
    assert_true(RECORDS % ARENA_RECORD_EXTENT != 0);
    assert_int_equal(arena_record_reserve(&arena, RECORDS - 1), 0);
    block = blocks_take(&blocks);
    assert_int_equal(block, 0);
    memset(arena_block(&arena, 0), 'x', ARENA_BLOCK_SIZE);
    arena_record(&arena, ARENA_RECORD_EXTENT)->life = RECORD_OPEN; /* in the second extent */

    assert_int_equal(arena_trim_records(&arena, 1), 3);
    for (uint32_t i = 0; i < ARENA_BLOCK_SIZE; i++)
        assert_int_equal(arena_block(&arena, 0)[i], 'x');
    assert_int_equal(arena_record(&arena, ARENA_RECORD_EXTENT)->life, RECORD_OPEN);
    assert_int_equal(bytes_allocated() - before,
                     3 * ARENA_RECORD_EXTENT * sizeof(struct record) + ARENA_BLOCK_EXTENT * ARENA_BLOCK_SIZE);
}

/* --- the record --- */

static void what_was_not_committed_has_not_happened(void **state)
{
    struct record *record = arena_record(&arena, 0);
    struct record_head *head;
    (void)state;

    if (!ARENA_SHARED)
        skip();
    assert_int_equal(arena_record_reserve(&arena, 0), 0);
    head = record_begin(record);
    head->taken = 10;
    record_commit(record);
    for (int i = 0; i < 3; i++) {
        head = record_begin(record);
        assert_int_equal(head->taken, 10); /* the spare is made anew each time */
        head->taken = 20;
        head->shut = 1;
        assert_int_equal(record_head(record)->taken, 10);
    }
    assert_int_equal(record_head(record)->shut, 0);
    record_commit(record);
    assert_int_equal(record_head(record)->taken, 20);
    assert_int_equal(record_head(record)->shut, 1);
}

/* 2^20 events of which any may be the last: two words that change together never differ. */
static void a_death_never_shows_half_an_event(void **state)
{
    struct record *record = arena_record(&arena, 0);
    (void)state;

    if (!ARENA_SHARED)
        skip();
    assert_int_equal(arena_record_reserve(&arena, 0), 0);
    for (uint64_t round = 0; round < 100; round++) {
        uint64_t before = record_head(record)->taken;
        pid_t pid = fork();

        while (pid == 0) {
            struct record_head *head = record_begin(record);

            head->taken++;
            head->file_offset++;
            record_commit(record);
        }
        while (record_head(record)->taken == before)
            ;
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        assert_int_equal(record_head(record)->taken, record_head(record)->file_offset);
    }
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_new_arena_says_what_it_is_and_is_sealed),
        CASE(a_mapping_shows_what_another_one_writes),
        CASE(sizes_that_make_no_sense_are_refused),
        CASE(garbage_is_no_arena),
        CASE(what_is_too_small_is_no_arena),
        CASE(an_arena_of_another_build_is_told_from_garbage),
        CASE(records_come_into_use_by_extents),
        CASE(an_extent_that_cannot_be_had_refuses_and_changes_nothing),
        CASE(a_reset_frees_every_record_and_blames_nobody),
        CASE(the_lowest_free_block_is_given_first),
        CASE(blocks_end_somewhere),
        CASE(a_block_is_claimed_by_one_record_only),
        CASE(unused_extents_at_the_end_go_back_to_the_system),
        CASE(unused_records_go_back_to_the_system_and_leave_the_blocks_alone),
        CASE(what_was_not_committed_has_not_happened),
        CASE(a_death_never_shows_half_an_event),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
