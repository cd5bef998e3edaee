/* The board: pages of slots side by side, and totals that never fall. */
#include "core/board.h"

#include "base/fd.h"
#include "unit.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

static int fd;
static struct board *board;
static struct arena arenas[2];

static int setup(void **state)
{
    (void)state;
    fd = board_create();
    if (fd < 0 || board_map(fd, 1, &board))
        return -1;
    for (unsigned i = 0; i < 2; i++)
        if (arena_create(&arenas[i], i, 1, 256) || board_use(board, fd, i + 5, arenas[i].page) ||
            board_lay_over(fd, &arenas[i]))
            return -1;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_close(&arenas[0]);
    arena_close(&arenas[1]);
    board_unmap(&board);
    fd_close(&fd);
    return 0;
}

static void what_a_worker_writes_into_its_page_everybody_reads(void **state)
{
    struct board *seen;
    (void)state;

    assert_int_equal(board_map(fd, 0, &seen), 0);
    arenas[1].page->connections = 42;
    assert_int_equal(board_find(seen, 1, 1), 6);
    assert_int_equal(board_used_page(seen, 6)->connections, 42);
    assert_null(board_used_page(seen, 0));
    assert_int_equal(board_find(seen, 2, 1), ERR_NOT_FOUND);
    assert_int_equal(arenas[1].core->magic, ARENA_MAGIC); /* the rest of the arena is where it was */
    board_unmap(&seen);
}

static void what_a_slot_counted_stays_when_it_goes(void **state)
{
    struct board_totals totals;
    (void)state;

    arenas[0].page->requests = 10;
    arenas[1].page->requests = 5;
    arenas[1].page->counters[3] = 7;
    board_release(board, 6);
    board_sum(board, &totals);
    assert_int_equal(totals.requests, 15);
    assert_int_equal(totals.counters[3], 7);
    board_release(board, 6); /* nobody is there any more */
    board_sum(board, &totals);
    assert_int_equal(totals.requests, 15);
    board_release(board, 5);
    board_sum(board, &totals);
    assert_int_equal(totals.requests, 15);
}

static void a_place_used_again_begins_with_nothing(void **state)
{
    struct board_totals totals;
    struct arena again;
    (void)state;

    arenas[1].page->requests = 5;
    board_release(board, 6);
    assert_int_equal(arena_create(&again, 1, 2, 256), 0);
    assert_int_equal(board_use(board, fd, 6, again.page), 0);
    assert_int_equal(board_used_page(board, 6)->requests, 0);
    board_page(board, 6)->requests = 2;
    board_sum(board, &totals);
    assert_int_equal(totals.requests, 7);
    board_release(board, 6);
    board_sum(board, &totals);
    assert_int_equal(totals.requests, 7);
    arena_close(&again);
}

/* The master died between the two stores of board_release. */
static void a_slot_that_was_added_is_not_added_again(void **state)
{
    struct board_totals totals;
    (void)state;

    arenas[1].page->requests = 5;
    board_release(board, 6);
    board->slots[6].is_used = 1;
    board_sum(board, &totals);
    assert_int_equal(totals.requests, 5);
    board_release(board, 6);
    board_sum(board, &totals);
    assert_int_equal(totals.requests, 5);
}

static void what_is_no_board_is_refused(void **state)
{
    struct board *none;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC), other = fd_memfd("other", BOARD_SIZE, 0);
    (void)state;

    assert_int_equal(board_map(null, 0, &none), ERR_INVALID);
    assert_int_equal(board_map(-1, 0, &none), ERR_INVALID);
    assert_int_equal(board_map(other, 0, &none), ERR_VERSION);
    assert_null(none);
    board->version++;
    assert_int_equal(board_map(fd, 0, &none), ERR_VERSION);
    close(null);
    close(other);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(what_a_worker_writes_into_its_page_everybody_reads),
        CASE(what_a_slot_counted_stays_when_it_goes),
        CASE(a_place_used_again_begins_with_nothing),
        CASE(a_slot_that_was_added_is_not_added_again),
        CASE(what_is_no_board_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
