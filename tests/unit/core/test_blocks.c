/* Which blocks are in use: an index that each worker makes anew from what records name. */
#include "core/blocks.h"

#include "unit.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define RECORDS 128u

static struct arena arena;
static struct blocks blocks;

static int setup(void **state)
{
    (void)state;
    if (arena_create(&arena, 0, 1, RECORDS))
        return -1;
    return blocks_init(&blocks, &arena);
}

static int teardown(void **state)
{
    (void)state;
    blocks_fini(&blocks);
    arena_close(&arena);
    return 0;
}

static uint32_t take(void)
{
    int64_t number = blocks_take(&blocks);

    assert_true(number >= 0);
    return (uint32_t)number;
}

static void the_lowest_free_block_is_taken_and_may_be_written_to(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 130; i++) {
        assert_int_equal(take(), i);
        arena_block(&arena, i)[ARENA_BLOCK_SIZE - 1] = 'x';
        assert_int_equal(arena.page->blocks_used, i + 1);
    }
    blocks_give(&blocks, 100);
    blocks_give(&blocks, 3);
    assert_int_equal(arena.page->blocks_used, 128);
    assert_int_equal(take(), 3);
    assert_int_equal(take(), 100);
    assert_int_equal(take(), 130);
}

static void when_all_are_in_use_there_is_none_until_one_is_given_back(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < arena.core->block_count; i++)
        assert_int_equal(take(), i);
    assert_int_equal(blocks_take(&blocks), ERR_LIMIT);
    blocks_give(&blocks, 77);
    assert_int_equal(take(), 77);
    assert_int_equal(blocks_take(&blocks), ERR_LIMIT);
}

static void a_block_is_claimed_once_and_only_where_it_was_ever_reserved(void **state)
{
    struct blocks next;
    (void)state;

    assert_int_equal(take(), 0);
    assert_int_equal(take(), 1);
    assert_int_equal(blocks_init(&next, &arena), 0); /* of the next worker */
    assert_int_equal(blocks_claim(&next, 1), 0);
    assert_int_equal(blocks_claim(&next, 1), ERR_INVALID); /* by a second record */
    assert_int_equal(blocks_claim(&next, ARENA_BLOCK_EXTENT), ERR_INVALID);
    assert_int_equal(blocks_claim(&next, UINT32_MAX), ERR_INVALID);
    assert_int_equal(arena.page->blocks_used, 1);
    assert_int_equal(blocks_take(&next), 0);
    assert_int_equal(blocks_take(&next), 2);
    blocks_fini(&next);
}

/* How the process ends that gives this block back. */
static int signal_of_giving(uint32_t number)
{
    pid_t pid = fork();
    int status = 0;

    if (pid == 0) {
        (void)setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        (void)dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), STDERR_FILENO);
        blocks_give(&blocks, number);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void what_is_not_in_use_cannot_be_given_back(void **state)
{
    (void)state;
    assert_int_equal(take(), 0);
    assert_int_equal(signal_of_giving(0), 0);
    assert_int_equal(signal_of_giving(1), SIGABRT);
    assert_int_equal(signal_of_giving(arena.core->block_count), SIGABRT);
}

static void free_extents_at_the_end_are_given_back_but_for_the_spare_ones(void **state)
{
    (void)state;
    if (!ARENA_SHARED)
        skip(); /* private memory is not given back */
    for (uint32_t i = 0; i < 5 * ARENA_BLOCK_EXTENT; i++)
        (void)take();
    assert_int_equal(arena.core->block_extents, 5);
    for (uint32_t i = ARENA_BLOCK_EXTENT + 1; i < 5 * ARENA_BLOCK_EXTENT; i++)
        blocks_give(&blocks, i);
    blocks_trim(&blocks, 2);
    assert_int_equal(arena.core->block_extents, 4); /* the second one has one block in use */
    blocks_trim(&blocks, 0);
    assert_int_equal(arena.core->block_extents, 2);
    assert_int_equal(take(), ARENA_BLOCK_EXTENT + 1);
    blocks_give(&blocks, ARENA_BLOCK_EXTENT + 1);
    blocks_give(&blocks, ARENA_BLOCK_EXTENT);
    for (uint32_t i = 0; i < ARENA_BLOCK_EXTENT; i++)
        blocks_give(&blocks, i);
    blocks_trim(&blocks, 0);
    assert_int_equal(arena.core->block_extents, 0);
    assert_int_equal(take(), 0); /* and it is there again when it is needed */
    arena_block(&arena, 0)[0] = 'x';
}

static uint32_t take_part(void)
{
    int64_t number = blocks_take_part(&blocks);

    assert_true(number >= 0);
    return (uint32_t)number;
}

static void parts_fill_a_block_and_give_it_back_with_the_last_of_them(void **state)
{
    (void)state;
    assert_int_equal(take(), 0);
    for (uint32_t i = 0; i < BLOCKS_PARTS; i++) {
        assert_int_equal(take_part(), BLOCKS_PARTS + i);
        blocks_part(&arena, BLOCKS_PARTS + i)[BLOCKS_PART_SIZE - 1] = (char)i;
    }
    assert_ptr_equal(blocks_part(&arena, BLOCKS_PARTS), arena_block(&arena, 1));
    assert_int_equal(blocks.in_use, 2);
    assert_int_equal(take_part(), 2 * BLOCKS_PARTS);
    assert_int_equal(take(), 3);
    blocks_give_part(&blocks, BLOCKS_PARTS + 5);
    assert_int_equal(take_part(), BLOCKS_PARTS + 5); /* before the emptier one behind */
    blocks_give_part(&blocks, 2 * BLOCKS_PARTS);
    assert_int_equal(blocks.in_use, 3);
    assert_int_equal(take(), 2);
    for (uint32_t i = 0; i < BLOCKS_PARTS; i++)
        blocks_give_part(&blocks, BLOCKS_PARTS + i);
    assert_int_equal(take(), 1);
}

static void a_part_is_claimed_once_and_never_of_a_block_that_is_whole(void **state)
{
    struct blocks next;
    (void)state;

    assert_int_equal(take(), 0);
    assert_int_equal(take_part(), BLOCKS_PARTS);
    assert_int_equal(take_part(), BLOCKS_PARTS + 1);
    assert_int_equal(blocks_init(&next, &arena), 0); /* of the next worker */
    assert_int_equal(blocks_claim(&next, 0), 0);
    assert_int_equal(blocks_claim_part(&next, BLOCKS_PARTS + 1), 0);
    assert_int_equal(blocks_claim_part(&next, BLOCKS_PARTS + 1), ERR_INVALID);
    assert_int_equal(blocks_claim_part(&next, 3), ERR_INVALID);
    assert_int_equal(blocks_claim(&next, 1), ERR_INVALID);
    assert_int_equal(blocks_claim_part(&next, ARENA_BLOCK_EXTENT * BLOCKS_PARTS), ERR_INVALID);
    assert_int_equal(blocks_claim_part(&next, UINT32_MAX), ERR_INVALID);
    assert_int_equal(blocks_take_part(&next), BLOCKS_PARTS);
    assert_int_equal(blocks_take_part(&next), BLOCKS_PARTS + 2);
    blocks_fini(&next);
}

static void without_a_block_there_is_no_part_but_in_those_that_have_room(void **state)
{
    (void)state;
    for (uint32_t i = 1; i < arena.core->block_count; i++)
        (void)take();
    for (uint32_t i = 0; i < BLOCKS_PARTS; i++)
        (void)take_part();
    assert_int_equal(blocks_take_part(&blocks), ERR_LIMIT);
    assert_int_equal(blocks_take(&blocks), ERR_LIMIT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_lowest_free_block_is_taken_and_may_be_written_to),
        TEST(when_all_are_in_use_there_is_none_until_one_is_given_back),
        TEST(a_block_is_claimed_once_and_only_where_it_was_ever_reserved),
        TEST(what_is_not_in_use_cannot_be_given_back),
        TEST(free_extents_at_the_end_are_given_back_but_for_the_spare_ones),
        TEST(parts_fill_a_block_and_give_it_back_with_the_last_of_them),
        TEST(a_part_is_claimed_once_and_never_of_a_block_that_is_whole),
        TEST(without_a_block_there_is_no_part_but_in_those_that_have_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
