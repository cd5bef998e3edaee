/* Whose turn it is: the queue of a pool, and who holds a place. */
#include "upstream/turns.h"

#include "base/clock.h"
#include "unit.h"

#include <netinet/in.h>
#include <string.h>

#define RECORDS 64u
#define NOW_NS (1000 * NS_PER_S)

static struct worker worker;
static struct arena_core core;
static struct conn_side sides[RECORDS];
static uint32_t again[RECORDS];
static struct upstream_server server;
static struct upstream_pool pool;
static struct upstream_config config;
static struct pools *pools;
static struct turns *turns;
static struct record records[RECORDS];

static int setup(void **state)
{
    struct sockaddr_in *address = (void *)&server.address;
    const struct pools_start start = {.config = &config, .shared_fd = -1};

    (void)state;
    server = (struct upstream_server){
        .text = SLICE_LITERAL("127.0.0.1:1"), .kind = UPSTREAM_ADDRESS, .weight = 1, .max = 1};
    *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(1)};
    server.length = sizeof *address;
    pool = (struct upstream_pool){.name = SLICE_LITERAL("app"), .servers = &server, .server_count = 1};
    config = (struct upstream_config){.pools = &pool, .pool_count = 1};
    core = (struct arena_core){.record_count = RECORDS};
    memset(sides, 0, sizeof sides);
    worker = (struct worker){.now_ns = NOW_NS, .side = sides, .again = again};
    worker.arena.core = &core;
    worker.arena.records = records;
    assert_int_equal(pools_start(&pools, &start, NOW_NS), 0);
    assert_int_equal(turns_start(&turns, &worker, pools), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    turns_stop(&turns);
    pools_stop(&pools);
    return 0;
}

static int pick(unsigned client, uint32_t *member)
{
    const struct pools_wish wish = {.hash = 0};
    struct slice reason;

    return turns_pick(turns, &records[client], 0, &wish, member, &reason);
}

/* Who was woken, in this order. */
static void woken(unsigned count, unsigned first)
{
    assert_int_equal(worker.again_count, count);
    if (count)
        assert_int_equal(again[0], first);
    for (unsigned i = 0; i < count; i++)
        sides[again[i]].is_again = 0;
    worker.again_count = 0;
}

static void who_is_due_first_is_woken_first_in_whatever_order_they_come(void **state)
{
    uint32_t member;

    (void)state;
    turns_recounted(turns);
    assert_int_equal(pick(1, &member), 0);
    turns_hold(turns, &records[1]);
    turns_wait(turns, &records[5], 0, NOW_NS + 30, 0);
    turns_wait(turns, &records[6], 0, NOW_NS + 10, 0);
    turns_wait(turns, &records[7], 0, NOW_NS + 20, 0);
    turns_wait(turns, &records[6], 0, NOW_NS + 99, 0); /* it waits already */
    assert_int_equal(turns_waiting(turns, 0), 3);
    turns_let_go(turns, 1, member);
    woken(1, 6);
    turns_leave(turns, &records[6]);
    woken(1, 7);
    turns_leave(turns, &records[5]); /* from the end */
    woken(1, 7);
    turns_leave(turns, &records[7]);
    woken(0, 0);
    assert_int_equal(turns_waiting(turns, 0), 0);
    turns_leave(turns, &records[7]);
    assert_int_equal(turns_waiting(turns, 0), 0);
}

static void nobody_goes_before_the_one_who_was_told_of_a_place(void **state)
{
    uint32_t member, other;

    (void)state;
    turns_recounted(turns);
    assert_int_equal(pick(1, &member), 0);
    turns_hold(turns, &records[1]);
    assert_int_equal(pick(2, &other), ERR_BUSY);
    turns_wait(turns, &records[2], 0, NOW_NS + 10, 0);
    turns_let_go(turns, 1, member);
    assert_int_equal(pick(3, &other), ERR_BUSY);
    assert_int_equal(pick(2, &other), 0);
    turns_leave(turns, &records[2]);
}

static void a_place_is_given_back_once(void **state)
{
    uint32_t member, other;

    (void)state;
    turns_recounted(turns);
    assert_int_equal(pick(1, &member), 0);
    turns_hold(turns, &records[1]);
    turns_let_go(turns, 1, member);
    turns_let_go(turns, 1, member);
    assert_int_equal(pick(2, &member), 0);
    assert_int_equal(pick(3, &other), ERR_BUSY);
    turns_hold(turns, &records[2]);
    turns_unhold(turns, &records[2]); /* the caller has it again */
    turns_let_go(turns, 2, member);
    assert_int_equal(pick(3, &other), ERR_BUSY);
    pools_release(pools, member);
    assert_int_equal(pick(3, &other), 0);
}

static void what_records_hold_after_a_death_counts_and_nothing_else(void **state)
{
    uint32_t member, other;

    (void)state;
    turns_recounted(turns);
    assert_int_equal(pick(1, &member), 0);
    turns_stop(&turns); /* the worker dies; the table stays */
    assert_int_equal(turns_start(&turns, &worker, pools), 0);
    turns_revived(turns, &records[1], member);
    turns_recounted(turns);
    assert_int_equal(pick(2, &other), ERR_BUSY);
    turns_let_go(turns, 1, member);
    assert_int_equal(pick(2, &other), 0);
    turns_stop(&turns);
    assert_int_equal(turns_start(&turns, &worker, pools), 0);
    turns_recounted(turns); /* nobody holds it */
    assert_int_equal(pick(3, &other), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(who_is_due_first_is_woken_first_in_whatever_order_they_come, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(nobody_goes_before_the_one_who_was_told_of_a_place, setup, teardown),
        cmocka_unit_test_setup_teardown(a_place_is_given_back_once, setup, teardown),
        cmocka_unit_test_setup_teardown(what_records_hold_after_a_death_counts_and_nothing_else, setup,
                                        teardown),
    };

    return cmocka_run_group_tests_name("turns", tests, NULL, NULL);
}
