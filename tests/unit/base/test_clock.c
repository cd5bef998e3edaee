#include "base/clock.h"

#include "unit.h"

#include <string.h>
#include <time.h>

static void monotonic_time_never_goes_back(void **state)
{
    uint64_t before = clock_monotonic_ns();

    (void)state;
    for (int i = 0; i < 1000; i++) {
        uint64_t now = clock_monotonic_ns();
        assert_true(now >= before);
        before = now;
    }
}

static void wall_time_is_the_time_of_the_c_library(void **state)
{
    int64_t before = (int64_t)time(NULL);
    int64_t now = (int64_t)(clock_wall_ns() / NS_PER_S);

    (void)state;
    assert_true(now >= before - 1 && now <= (int64_t)time(NULL) + 1);
}

static void expect_http_date(int64_t seconds, const char *expected)
{
    char out[CLOCK_HTTP_DATE_SIZE];

    clock_http_date(seconds, out);
    assert_string_equal(out, expected);
}

static void http_dates_are_written_as_in_the_rfc(void **state)
{
    (void)state;
    expect_http_date(784111777, "Sun, 06 Nov 1994 08:49:37 GMT");
    expect_http_date(0, "Thu, 01 Jan 1970 00:00:00 GMT");
    expect_http_date(951782400, "Tue, 29 Feb 2000 00:00:00 GMT");
    expect_http_date(951868800, "Wed, 01 Mar 2000 00:00:00 GMT");
    expect_http_date(4107542399, "Sun, 28 Feb 2100 23:59:59 GMT");
    expect_http_date(4107542400, "Mon, 01 Mar 2100 00:00:00 GMT");
    expect_http_date(253402300799, "Fri, 31 Dec 9999 23:59:59 GMT");
}

static void times_outside_the_range_are_held_at_its_ends(void **state)
{
    (void)state;
    expect_http_date(-1, "Thu, 01 Jan 1970 00:00:00 GMT");
    expect_http_date(INT64_MAX, "Fri, 31 Dec 9999 23:59:59 GMT");
}

/* Steps of a little over a week, so that every weekday, month and hour comes up. */
static void dates_agree_with_the_c_library_for_eight_thousand_years(void **state)
{
    (void)state;
    for (int64_t seconds = 0; seconds < 253402300799; seconds += 700001) {
        char expected[64];
        struct tm parts;
        time_t at = (time_t)seconds;
        assert_non_null(gmtime_r(&at, &parts));
        strftime(expected, sizeof(expected), "%a, %d %b %Y %H:%M:%S GMT", &parts);
        expect_http_date(seconds, expected);
    }
}

static void iso_times_have_microseconds_cut_and_not_rounded(void **state)
{
    char out[CLOCK_ISO_SIZE];

    (void)state;
    clock_iso(1769903999123456999ULL, out);
    assert_string_equal(out, "2026-01-31T23:59:59.123456Z");
    clock_iso(0, out);
    assert_string_equal(out, "1970-01-01T00:00:00.000000Z");
    clock_iso(UINT64_MAX, out);
    assert_string_equal(out, "2554-07-21T23:34:33.709551Z");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(monotonic_time_never_goes_back),
        cmocka_unit_test(wall_time_is_the_time_of_the_c_library),
        cmocka_unit_test(http_dates_are_written_as_in_the_rfc),
        cmocka_unit_test(times_outside_the_range_are_held_at_its_ends),
        cmocka_unit_test(dates_agree_with_the_c_library_for_eight_thousand_years),
        cmocka_unit_test(iso_times_have_microseconds_cut_and_not_rounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
