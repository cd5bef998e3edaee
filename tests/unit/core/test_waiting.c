/* The lists of those who wait: order, change of list, sorting. */
#include "core/waiting.h"

#include "unit.h"

#define NUMBERS 64u

static struct waiting waiting;

static int setup(void **state)
{
    (void)state;
    return waiting_init(&waiting, NUMBERS);
}

static int teardown(void **state)
{
    (void)state;
    waiting_fini(&waiting);
    return 0;
}

/* Takes all of a list, first to last. */
static void assert_order(enum waiting_for kind, const uint32_t *numbers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(waiting_first(&waiting, kind), numbers[i]);
        waiting_put(&waiting, numbers[i], WAITING_NOT);
    }
    assert_int_equal(waiting_first(&waiting, kind), WAITING_NOBODY);
}

static void who_came_first_is_first(void **state)
{
    (void)state;
    assert_int_equal(waiting_first(&waiting, WAITING_IDLE), WAITING_NOBODY);
    for (uint32_t n = 10; n < 15; n++)
        waiting_put(&waiting, n, WAITING_IDLE);
    assert_order(WAITING_IDLE, (const uint32_t[]){10, 11, 12, 13, 14}, 5);
}

static void who_is_put_again_goes_to_the_end(void **state)
{
    (void)state;
    for (uint32_t n = 0; n < 4; n++)
        waiting_put(&waiting, n, WAITING_IDLE);
    waiting_put(&waiting, 0, WAITING_IDLE);
    waiting_put(&waiting, 2, WAITING_IDLE);
    waiting_put(&waiting, 2, WAITING_IDLE);
    assert_order(WAITING_IDLE, (const uint32_t[]){1, 3, 0, 2}, 4);
}

static void the_first_the_last_and_one_between_can_be_taken_away(void **state)
{
    (void)state;
    for (uint32_t n = 0; n < 6; n++)
        waiting_put(&waiting, n, WAITING_BEGUN);
    waiting_put(&waiting, 0, WAITING_NOT);
    waiting_put(&waiting, 5, WAITING_NOT);
    waiting_put(&waiting, 3, WAITING_NOT);
    waiting_put(&waiting, 3, WAITING_NOT);
    waiting_put(&waiting, 7, WAITING_BEGUN);
    assert_order(WAITING_BEGUN, (const uint32_t[]){1, 2, 4, 7}, 4);
}

static void nobody_is_in_two_lists(void **state)
{
    (void)state;
    waiting_put(&waiting, 1, WAITING_IDLE);
    waiting_put(&waiting, 2, WAITING_IDLE);
    waiting_put(&waiting, 3, WAITING_BEGUN);
    waiting_put(&waiting, 1, WAITING_BEGUN);
    assert_order(WAITING_BEGUN, (const uint32_t[]){3, 1}, 2);
    assert_order(WAITING_IDLE, (const uint32_t[]){2}, 1);
}

static uint64_t time_of(const void *context, uint32_t number)
{
    return ((const uint64_t *)context)[number];
}

static void sorting_puts_them_in_the_order_of_their_times(void **state)
{
    static const uint64_t times[NUMBERS] = {
        [1] = 50, [2] = 10, [3] = 40, [4] = 20, [5] = 30, [6] = 7, [7] = 3};
    (void)state;

    waiting_sort(&waiting, time_of, times); /* of nobody */
    for (uint32_t n = 1; n <= 5; n++)
        waiting_put(&waiting, n, WAITING_IDLE);
    waiting_put(&waiting, 6, WAITING_BEGUN);
    waiting_put(&waiting, 7, WAITING_BEGUN);
    waiting_sort(&waiting, time_of, times);
    assert_order(WAITING_IDLE, (const uint32_t[]){2, 4, 5, 3, 1}, 5);
    assert_order(WAITING_BEGUN, (const uint32_t[]){7, 6}, 2);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(who_came_first_is_first),
        CASE(who_is_put_again_goes_to_the_end),
        CASE(the_first_the_last_and_one_between_can_be_taken_away),
        CASE(nobody_is_in_two_lists),
        CASE(sorting_puts_them_in_the_order_of_their_times),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
