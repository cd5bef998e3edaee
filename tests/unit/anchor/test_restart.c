#include "anchor/restart.h"

#include "base/clock.h"
#include "unit.h"

#define MS NS_PER_MS
#define S NS_PER_S

/* A master that was started just before dies at `now_ns`. */
static uint64_t fast_death(struct restart *restart, uint64_t now_ns)
{
    return restart_after_death(restart, now_ns - 1 * MS, now_ns);
}

static void five_fast_deaths_cost_nothing_and_then_the_wait_doubles(void **state)
{
    struct restart restart = {.ready_ever = 1};
    const uint64_t wanted[] = {0, 0, 0, 0, 0, 100, 200, 400, 800, 1600, 3200, 5000, 5000};
    uint64_t now_ns = 1000 * S;
    (void)state;
    for (unsigned i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        uint64_t wait_ms = fast_death(&restart, now_ns);
        assert_int_equal(wait_ms, wanted[i]);
        now_ns += wait_ms * MS + 2 * MS;
    }
}

static void deaths_spread_over_more_than_the_window_cost_nothing(void **state)
{
    struct restart restart = {.ready_ever = 1};
    uint64_t now_ns = 1000 * S;
    (void)state;
    for (int i = 0; i < 100; i++, now_ns += 2001 * MS)
        assert_int_equal(restart_after_death(&restart, now_ns - 2000 * MS, now_ns), 0);
}

static void a_master_that_lived_long_ends_the_slowing_down(void **state)
{
    struct restart restart = {.ready_ever = 1};
    uint64_t now_ns = 1000 * S;
    (void)state;
    for (int i = 0; i < 8; i++)
        fast_death(&restart, now_ns);
    assert_true(fast_death(&restart, now_ns) > 0);
    assert_int_equal(restart_after_death(&restart, now_ns, now_ns + 10 * S), 0);
    assert_int_equal(restart.deaths_in_row, 1);
}

static void ten_deaths_in_a_row_are_hopeless_only_if_none_was_ever_ready(void **state)
{
    struct restart never = {0}, once = {0};
    uint64_t now_ns = 1000 * S;
    (void)state;
    restart_ready(&once);
    for (int i = 1; i <= 10; i++) {
        assert_false(restart_hopeless(&never, 1));
        restart_after_death(&never, now_ns, now_ns + 60 * S); /* however long they lived */
        fast_death(&once, now_ns);
        now_ns += 60 * S;
    }
    assert_true(restart_hopeless(&never, 0));
    assert_false(restart_hopeless(&once, 0));
}

static void a_stop_that_was_asked_for_makes_ten_deaths_hopeless(void **state)
{
    struct restart restart = {0};
    (void)state;
    restart_ready(&restart);
    for (int i = 0; i < 10; i++) {
        assert_false(restart_hopeless(&restart, 1));
        fast_death(&restart, 1000 * S);
    }
    assert_true(restart_hopeless(&restart, 1));
    restart_ready(&restart);
    assert_false(restart_hopeless(&restart, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(five_fast_deaths_cost_nothing_and_then_the_wait_doubles),
        cmocka_unit_test(deaths_spread_over_more_than_the_window_cost_nothing),
        cmocka_unit_test(a_master_that_lived_long_ends_the_slowing_down),
        cmocka_unit_test(ten_deaths_in_a_row_are_hopeless_only_if_none_was_ever_ready),
        cmocka_unit_test(a_stop_that_was_asked_for_makes_ten_deaths_hopeless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
