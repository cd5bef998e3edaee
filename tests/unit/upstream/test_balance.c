/* Which of several members takes a request. */
#include "upstream/balance.h"

#include "unit.h"

#include <string.h>

#define MANY 60000

static int64_t accounts[8];
static struct balance_choice choices[8];

static void members(const uint32_t *weights, uint32_t count)
{
    memset(accounts, 0, sizeof accounts);
    for (uint32_t i = 0; i < count; i++)
        choices[i] = (struct balance_choice){
            .weight = weights[i], .current = &accounts[i], .hash = 0x9e3779b97f4a7c15ULL * (i + 1)};
}

static void round_robin_is_smooth(void **state)
{
    char order[15] = "";
    (void)state;

    members((const uint32_t[]){5, 1, 1}, 3);
    for (unsigned i = 0; i < 14; i++)
        order[i] = (char)('A' + balance_round_robin(choices, 3));
    assert_string_equal(order, "AABACAAAABACAA");
}

static void round_robin_gives_each_its_weight_exactly(void **state)
{
    static const uint32_t weights[] = {1, 2, 3, 4};
    unsigned counts[4] = {0};
    (void)state;

    members(weights, 4);
    for (unsigned i = 0; i < 10000; i++)
        counts[balance_round_robin(choices, 4)]++;
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(counts[i], 1000 * weights[i]);
}

static void whoever_has_no_weight_is_left_out(void **state)
{
    uint64_t lot = 1;
    (void)state;

    members((const uint32_t[]){0, 3, 0}, 3);
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(balance_round_robin(choices, 3), 1);
        assert_int_equal(balance_least(choices, 3), 1);
        assert_int_equal(balance_random_two(choices, 3, &lot), 1);
        assert_int_equal(balance_hash(choices, 3, i), 1);
    }
    choices[1].weight = 0;
    assert_int_equal(balance_round_robin(choices, 3), -1);
    assert_int_equal(balance_least(choices, 3), -1);
    assert_int_equal(balance_random_two(choices, 3, &lot), -1);
    assert_int_equal(balance_hash(choices, 3, 5), -1);
    assert_int_equal(balance_round_robin(choices, 0), -1);
}

static void the_one_with_the_fewest_for_its_weight_is_taken(void **state)
{
    (void)state;
    members((const uint32_t[]){1, 1, 2}, 3);
    choices[0].active = 3;
    choices[1].active = 2;
    choices[2].active = 4;
    assert_int_equal(balance_least(choices, 3), 2);
    choices[2].active = 6;
    assert_int_equal(balance_least(choices, 3), 1);
}

static void among_equally_busy_ones_it_goes_round(void **state)
{
    unsigned counts[3] = {0};
    (void)state;

    members((const uint32_t[]){1, 1, 1}, 3);
    for (unsigned i = 0; i < 300; i++)
        counts[balance_least(choices, 3)]++;
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(counts[i], 100);
}

static void of_two_by_lot_the_less_busy_one_is_taken_so_the_busiest_never_is(void **state)
{
    unsigned counts[3] = {0};
    uint64_t lot = 42;
    (void)state;

    members((const uint32_t[]){1, 1, 1}, 3);
    choices[0].active = 9;
    choices[1].active = 1;
    choices[2].active = 1;
    for (unsigned i = 0; i < MANY; i++)
        counts[balance_random_two(choices, 3, &lot)]++;
    assert_int_equal(counts[0], 0);
    assert_in_range(counts[1], MANY * 45 / 100, MANY * 55 / 100);
}

static void the_lot_follows_the_weights(void **state)
{
    unsigned heavy = 0;
    uint64_t lot = 7;
    (void)state;

    members((const uint32_t[]){100, 100, 200, 200}, 4);
    for (unsigned i = 0; i < MANY; i++)
        heavy += balance_random_two(choices, 4, &lot) >= 2;
    assert_true(heavy > MANY * 65 / 100); /* they are drawn twice as often, and bear more */
}

static void a_hash_always_finds_the_same_member_and_spreads_by_weight(void **state)
{
    static const uint32_t weights[] = {256, 256, 512, 1024};
    unsigned counts[4] = {0};
    (void)state;

    members(weights, 4);
    for (uint64_t i = 0; i < MANY; i++) {
        const int one = balance_hash(choices, 4, i * 7919);

        assert_int_equal(balance_hash(choices, 4, i * 7919), one);
        counts[one]++;
    }
    for (unsigned i = 0; i < 4; i++) {
        const unsigned expected = MANY / 8 * (weights[i] / 256);

        assert_in_range(counts[i], expected * 95 / 100, expected * 105 / 100);
    }
}

static void only_the_requests_of_a_member_that_leaves_move_and_they_come_back(void **state)
{
    (void)state;
    members((const uint32_t[]){256, 256, 768, 256, 256}, 5);
    for (uint64_t i = 0; i < MANY; i++) {
        const int before = balance_hash(choices, 5, i * 104729);
        int without;

        choices[2].weight = 0;
        without = balance_hash(choices, 5, i * 104729);
        choices[2].weight = 768;
        if (before == 2)
            assert_int_not_equal(without, 2);
        else
            assert_int_equal(without, before);
        assert_int_equal(balance_hash(choices, 5, i * 104729), before);
    }
}

static void the_largest_numbers_do_not_overflow(void **state)
{
    uint64_t lot = 3;
    (void)state;

    members((const uint32_t[]){BALANCE_WEIGHT_MAX, BALANCE_WEIGHT_MAX, 1}, 3);
    choices[0].active = choices[1].active = choices[2].active = 0x7fffffff;
    for (uint64_t i = 0; i < 1000; i++) {
        assert_in_range(balance_round_robin(choices, 3), 0, 1);
        assert_in_range(balance_least(choices, 3), 0, 1);
        assert_in_range(balance_random_two(choices, 3, &lot), 0, 2);
        assert_in_range(balance_hash(choices, 3, i), 0, 2);
    }
}

#define TEST(name) cmocka_unit_test(name)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(round_robin_is_smooth),
        TEST(round_robin_gives_each_its_weight_exactly),
        TEST(whoever_has_no_weight_is_left_out),
        TEST(the_one_with_the_fewest_for_its_weight_is_taken),
        TEST(among_equally_busy_ones_it_goes_round),
        TEST(of_two_by_lot_the_less_busy_one_is_taken_so_the_busiest_never_is),
        TEST(the_lot_follows_the_weights),
        TEST(a_hash_always_finds_the_same_member_and_spreads_by_weight),
        TEST(only_the_requests_of_a_member_that_leaves_move_and_they_come_back),
        TEST(the_largest_numbers_do_not_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
