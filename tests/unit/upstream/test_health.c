/* Health of one member: arithmetic over two words. */
#include "upstream/health.h"

#include "unit.h"

static const struct upstream_passive passive = {3, 1000, 500, 3000};
static const struct upstream_check check = {.kind = UPSTREAM_CHECK_HTTP, .path = "/", .rise = 2, .fall = 3};

/* --- passive --- */

static void so_many_failures_in_a_window_put_a_server_aside(void **state)
{
    uint64_t word = 0;
    (void)state;

    word = health_fail(word, &passive, 10000);
    word = health_fail(word, &passive, 10100);
    assert_false(health_is_ejected(word, 10100));
    word = health_fail(word, &passive, 10200);
    assert_true(health_is_ejected(word, 10200));
    assert_int_equal(health_ejected_until_ms(word), 10700);
    assert_true(health_is_ejected(word, 10699));
    assert_false(health_is_ejected(word, 10700));
}

static void failures_further_apart_than_the_window_do_not(void **state)
{
    uint64_t word = 0;
    (void)state;

    for (uint64_t now = 10000; now < 40000; now += 501) {
        word = health_fail(word, &passive, now);
        assert_false(health_is_ejected(word, now));
    }
}

static void a_failure_after_its_time_puts_it_aside_at_once_and_for_twice_as_long(void **state)
{
    static const uint64_t lengths[] = {1000, 2000, 3000, 3000, 3000};
    uint64_t word = 0, now = 10000;
    (void)state;

    for (int i = 0; i < 3; i++)
        word = health_fail(word, &passive, now);
    for (unsigned i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        now = health_ejected_until_ms(word);
        word = health_fail(word, &passive, now);
        assert_int_equal(health_ejected_until_ms(word), now + lengths[i]);
    }
    for (int i = 0; i < 1000; i++) /* the backoff has no end that it could fall over */
        word = health_fail(word, &passive, health_ejected_until_ms(word));
    assert_true(health_ejected_until_ms(word) > now);
}

static void what_ends_while_it_is_aside_tells_nothing(void **state)
{
    uint64_t word = 0;
    (void)state;

    for (int i = 0; i < 3; i++)
        word = health_fail(word, &passive, 10000);
    assert_int_equal(health_fail(word, &passive, 10100), word);
    assert_int_equal(health_succeed(word, 10100), word);
}

static void a_success_after_its_time_brings_it_back_and_a_quiet_window_makes_the_next_time_short(void **state)
{
    uint64_t word = 0;
    (void)state;

    for (int i = 0; i < 3; i++)
        word = health_fail(word, &passive, 10000);
    word = health_succeed(word, 10500);
    assert_int_equal(health_ejected_until_ms(word), 0);
    for (int i = 0; i < 3; i++)
        word = health_fail(word, &passive, 10600);
    assert_int_equal(health_ejected_until_ms(word), 11600); /* soon again: twice as long */
    word = health_succeed(word, 11600);
    for (int i = 0; i < 3; i++)
        word = health_fail(word, &passive, 20000);
    assert_int_equal(health_ejected_until_ms(word), 20500);
}

static void successes_of_a_well_one_change_no_word(void **state)
{
    uint64_t word = health_fail(0, &passive, 10000);
    (void)state;

    assert_int_equal(health_succeed(word, 10001), word);
    assert_int_equal(health_succeed(0, 10001), 0);
}

static void without_a_number_nobody_is_put_aside(void **state)
{
    static const struct upstream_passive off = {.failures = 0};
    uint64_t word = 0;
    (void)state;

    for (uint64_t i = 0; i < 100; i++)
        word = health_fail(word, &off, 10000);
    assert_int_equal(word, 0);
}

static void a_lift_ends_it_before_its_time(void **state)
{
    uint64_t word = 0;
    (void)state;

    for (int i = 0; i < 3; i++)
        word = health_fail(word, &passive, 10000);
    assert_false(health_is_ejected(health_lift(word, 10001), 10001));
    assert_int_equal(health_lift(0, 10001), 0);
}

/* --- checks --- */

static void a_server_falls_after_so_many_bad_checks_in_a_row_and_rises_after_so_many_good_ones(void **state)
{
    static const char results[] = "bbgbbbgbgg", downs[] = "0000011110";
    uint64_t word = 0;
    (void)state;

    for (unsigned i = 0; results[i]; i++) {
        word = health_check(word, &check, results[i] == 'g', 10000 + i);
        assert_int_equal(health_is_down(word), downs[i] == '1');
    }
    assert_int_equal(HEALTH_MARK_MS(word), 10009);
}

static void of_a_server_that_nobody_has_seen_the_first_good_check_is_enough(void **state)
{
    uint64_t word = health_check(0, &check, 1, 10000);
    (void)state;

    assert_int_equal(HEALTH_STATE(word), HEALTH_UP);
}

static void the_usual_answers_are_good_unless_others_are_named(void **state)
{
    struct upstream_check named = {.expect = {{200, 204}, {401, 401}}, .expect_count = 2};
    (void)state;

    assert_true(health_expects(&check, 200) && health_expects(&check, 399));
    assert_false(health_expects(&check, 199) || health_expects(&check, 400) || health_expects(&check, 0));
    assert_true(health_expects(&named, 204) && health_expects(&named, 401));
    assert_false(health_expects(&named, 205) || health_expects(&named, 301) || health_expects(&named, 0));
}

/* --- slow start --- */

static void a_server_that_comes_back_gets_more_and_more(void **state)
{
    (void)state;
    assert_int_equal(health_ramp(0, 1000, 5), HEALTH_WHOLE);
    assert_int_equal(health_ramp(10000, 0, 10000), HEALTH_WHOLE);
    assert_int_equal(health_ramp(10000, 1000, 10000), 1);
    assert_int_equal(health_ramp(10000, 1000, 10500), HEALTH_WHOLE / 2);
    assert_int_equal(health_ramp(10000, 1000, 11000), HEALTH_WHOLE);
    assert_int_equal(health_ramp(10000, 1000, 9000), 1);
}

#define TEST(name) cmocka_unit_test(name)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(so_many_failures_in_a_window_put_a_server_aside),
        TEST(failures_further_apart_than_the_window_do_not),
        TEST(a_failure_after_its_time_puts_it_aside_at_once_and_for_twice_as_long),
        TEST(what_ends_while_it_is_aside_tells_nothing),
        TEST(a_success_after_its_time_brings_it_back_and_a_quiet_window_makes_the_next_time_short),
        TEST(successes_of_a_well_one_change_no_word),
        TEST(without_a_number_nobody_is_put_aside),
        TEST(a_lift_ends_it_before_its_time),
        TEST(a_server_falls_after_so_many_bad_checks_in_a_row_and_rises_after_so_many_good_ones),
        TEST(of_a_server_that_nobody_has_seen_the_first_good_check_is_enough),
        TEST(the_usual_answers_are_good_unless_others_are_named),
        TEST(a_server_that_comes_back_gets_more_and_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
