/* The directives of the process model: what they set, what they refuse, what holds without them. */
#include "main/settings.h"

#include "built.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* With a site, so that it is whole. */
static size_t build(const char *lines)
{
    char text[1024];

    snprintf(text, sizeof text, "%s\nsite :8080 {\n respond 200\n}\n", lines);
    assert_int_equal(built_settings(text, NULL), 0);
    return built_diagnostics.count;
}

static void assert_refused(const char *lines, const char *message)
{
    assert_int_equal(build(lines), 1);
    if (!strstr(built_diagnostics.list[0].message, message))
        fail_msg("%s: %s", lines, built_diagnostics.list[0].message);
}

static void without_them_the_defaults_hold(void **state)
{
    (void)state;
    assert_int_equal(build(""), 0);
    assert_true(built_core.workers >= 1);
    assert_int_equal(built_core.watchdog_ms, 10000);
    assert_int_equal(built_core.drain_ms, 30000);
    assert_int_equal(built_core.max_connections_per_client, 0);
}

static void numbers_of_workers_are_bounded(void **state)
{
    (void)state;
    assert_int_equal(build("workers 3"), 0);
    assert_int_equal(built_core.workers, 3);
    assert_int_equal(build("workers auto"), 0);
    assert_true(built_core.workers >= 1 && built_core.workers <= CORE_WORKERS_MAX);
    assert_refused("workers 0", "\"0\" is too small");
    assert_refused("workers 65", "\"65\" is too large");
    assert_refused("workers many", "\"many\" is not a number");
}

static void a_watchdog_may_be_off(void **state)
{
    (void)state;
    assert_int_equal(build("watchdog 2500ms"), 0);
    assert_int_equal(built_core.watchdog_ms, 2500);
    assert_int_equal(build("watchdog off"), 0);
    assert_int_equal(built_core.watchdog_ms, 0);
    assert_refused("watchdog 10", "has no unit");
}

static void times_are_set_as_they_are_said(void **state)
{
    (void)state;
    assert_int_equal(build("drain 2m\ndrain_delay 1500ms\nkeepalive 7s\nheader_timeout 8s\nbody_timeout 9s\n"
                           "write_timeout 10s"),
                     0);
    assert_int_equal(built_core.drain_ms, 120000);
    assert_int_equal(built_core.drain_delay_ms, 1500);
    assert_int_equal(built_http.keepalive_ms, 7000);
    assert_int_equal(built_http.header_timeout_ms, 8000);
    assert_int_equal(built_http.body_timeout_ms, 9000);
    assert_int_equal(built_http.write_timeout_ms, 10000);
}

static void a_control_path_starts_from_the_configurations_folder(void **state)
{
    (void)state;
    assert_int_equal(build("control run/ctl.sock"), 0);
    assert_string_equal(built_core.control_path, "/etc/holdfast/run/ctl.sock");
    assert_int_equal(build("control /run/ctl.sock"), 0);
    assert_string_equal(built_core.control_path, "/run/ctl.sock");
}

static void nothing_is_said_twice(void **state)
{
    (void)state;
    assert_refused("workers 1\nworkers 2", "\"workers\" is given twice");
    assert_refused("watchdog 1s\ndrain 1s\nwatchdog 1s", "\"watchdog\" is given twice");
}

static void a_name_that_is_nearly_right_is_guessed(void **state)
{
    (void)state;
    assert_refused("worker 2", "unknown directive \"worker\"");
    assert_non_null(strstr(built_diagnostics.list[0].hint, "did you mean \"workers\"?"));
}

#define CASE(test) cmocka_unit_test_teardown(test, built_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(without_them_the_defaults_hold),
        CASE(numbers_of_workers_are_bounded),
        CASE(a_watchdog_may_be_off),
        CASE(times_are_set_as_they_are_said),
        CASE(a_control_path_starts_from_the_configurations_folder),
        CASE(nothing_is_said_twice),
        CASE(a_name_that_is_nearly_right_is_guessed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
