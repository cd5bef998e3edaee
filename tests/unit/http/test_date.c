/* HTTP-date, RFC 9110 section 5.6.7. */
#include "base/clock.h"
#include "http/date.h"
#include "proto/guarded.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define IN_2026 1767225600 /* 2026-01-01T00:00:00Z */

static const struct row {
    const char *name, *text;
    int answer;
    int64_t seconds;
} rows[] = {
    {"5.6.7: IMF-fixdate", "Sun, 06 Nov 1994 08:49:37 GMT", 0, 784111777},
    {"5.6.7: the same in the form of RFC 850", "Sunday, 06-Nov-94 08:49:37 GMT", 0, 784111777},
    {"5.6.7: the same as asctime() has it", "Sun Nov  6 08:49:37 1994", 0, 784111777},
    {"asctime with a day of two digits", "Wed Nov 16 08:49:37 1994", 0, 784975777},
    {"asctime with a leading zero (2DIGIT)", "Sun Nov 06 08:49:37 1994", 0, 784111777},
    {"the beginning of time", "Thu, 01 Jan 1970 00:00:00 GMT", 0, 0},
    {"before 1970", "Wed, 31 Dec 1969 23:59:59 GMT", 0, -1},
    {"the year 0", "Sat, 01 Jan 0000 00:00:00 GMT", 0, -62167219200},
    {"the year 9999", "Fri, 31 Dec 9999 23:59:59 GMT", 0, 253402300799},
    {"a leap day", "Tue, 29 Feb 2000 00:00:00 GMT", 0, 951782400},
    {"5.6.7: a leap second is the next day's first", "Sat, 31 Dec 2016 23:59:60 GMT", 0, 1483228800},
    {"5.6.7: two digits, this century", "Friday, 01-Jan-27 00:00:00 GMT", 0, 1798761600},
    {"5.6.7: two digits, fifty years ahead to the second", "Wednesday, 01-Jan-76 00:00:00 GMT", 0,
     3345062400},
    {"5.6.7: two digits, a second more than fifty years ahead is the past",
     "Thursday, 01-Jan-76 00:00:01 GMT", 0, 189302401},
    {"5.6.7: two digits, last century", "Friday, 31-Dec-99 23:59:59 GMT", 0, 946684799},
    {"nothing", "", ERR_SYNTAX, 0},
    {"a number", "784111777", ERR_SYNTAX, 0},
    {"5.6.7: case counts in the weekday", "sun, 06 Nov 1994 08:49:37 GMT", ERR_SYNTAX, 0},
    {"5.6.7: case counts in the month", "Sun, 06 nov 1994 08:49:37 GMT", ERR_SYNTAX, 0},
    {"5.6.7: case counts in the zone", "Sun, 06 Nov 1994 08:49:37 gmt", ERR_SYNTAX, 0},
    {"another zone", "Sun, 06 Nov 1994 08:49:37 UTC", ERR_SYNTAX, 0},
    {"an offset", "Sun, 06 Nov 1994 08:49:37 +0000", ERR_SYNTAX, 0},
    {"no zone", "Sun, 06 Nov 1994 08:49:37", ERR_SYNTAX, 0},
    {"a zone behind asctime", "Sun Nov  6 08:49:37 1994 GMT", ERR_SYNTAX, 0},
    {"a byte behind it", "Sun, 06 Nov 1994 08:49:37 GMT ", ERR_SYNTAX, 0},
    {"a parameter behind it", "Sun, 06 Nov 1994 08:49:37 GMT; length=5", ERR_SYNTAX, 0},
    {"two dates", "Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT", ERR_SYNTAX, 0},
    {"two blanks", "Sun,  06 Nov 1994 08:49:37 GMT", ERR_SYNTAX, 0},
    {"a day of one digit", "Sun, 6 Nov 1994 08:49:37 GMT", ERR_SYNTAX, 0},
    {"asctime with one blank before one digit", "Sun Nov 6 08:49:37 1994", ERR_SYNTAX, 0},
    {"an hour of one digit", "Sun, 06 Nov 1994 8:49:37 GMT", ERR_SYNTAX, 0},
    {"a year of two digits without dashes", "Sun, 06 Nov 94 08:49:37 GMT", ERR_SYNTAX, 0},
    {"a year of four digits with dashes", "Sunday, 06-Nov-1994 08:49:37 GMT", ERR_SYNTAX, 0},
    {"a short weekday with dashes", "Sun, 06-Nov-94 08:49:37 GMT", ERR_SYNTAX, 0},
    {"a long weekday without", "Sunday, 06 Nov 1994 08:49:37 GMT", ERR_SYNTAX, 0},
    {"a sign", "Sun, 06 Nov +994 08:49:37 GMT", ERR_SYNTAX, 0},
    {"an unknown month", "Sun, 06 Nox 1994 08:49:37 GMT", ERR_SYNTAX, 0},
    {"a weekday that it was not", "Mon, 06 Nov 1994 08:49:37 GMT", ERR_INVALID, 0},
    {"a leap day in a year without one", "Thu, 29 Feb 1900 00:00:00 GMT", ERR_INVALID, 0},
    {"the 31st of a short month", "Thu, 31 Nov 1994 00:00:00 GMT", ERR_INVALID, 0},
    {"the 32nd of December", "Sun, 32 Dec 1994 00:00:00 GMT", ERR_INVALID, 0},
    {"day zero", "Mon, 00 Nov 1994 00:00:00 GMT", ERR_INVALID, 0},
    {"24 o'clock", "Sun, 06 Nov 1994 24:00:00 GMT", ERR_INVALID, 0},
    {"minute 60", "Sun, 06 Nov 1994 08:60:00 GMT", ERR_INVALID, 0},
    {"a leap second at noon", "Sun, 06 Nov 1994 12:00:60 GMT", ERR_INVALID, 0},
    {"second 61", "Sat, 31 Dec 2016 23:59:61 GMT", ERR_INVALID, 0},
};

#define ROW_COUNT (sizeof(rows) / sizeof(rows[0]))

static struct slice guarded(const char *text)
{
    return (struct slice){guarded_copy(text, strlen(text)), strlen(text)};
}

static void the_date_is_read(void **state)
{
    const struct row *row = *state;
    int64_t seconds = 0;

    assert_int_equal(date_parse_http(guarded(row->text), IN_2026, &seconds), row->answer);
    assert_int_equal(seconds, row->seconds);
}

static void what_is_cut_off_anywhere_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROW_COUNT; i++) {
        for (size_t length = 0; rows[i].answer == 0 && length < strlen(rows[i].text); length++) {
            struct slice text = {guarded_copy(rows[i].text, length), length};
            int64_t seconds;
            assert_int_equal(date_parse_http(text, IN_2026, &seconds), ERR_SYNTAX);
        }
    }
}

/* Steps of a little over a week, so that every weekday, month and hour comes up. */
static void what_we_write_is_read_back_for_eight_thousand_years(void **state)
{
    (void)state;
    for (int64_t at = 0; at < 253402300799; at += 700001) {
        char text[CLOCK_HTTP_DATE_SIZE];
        int64_t seconds = -1;
        clock_http_date(at, text);
        assert_int_equal(date_parse_http(slice_of(text), 0, &seconds), 0);
        assert_int_equal(seconds, at);
    }
}

static void the_other_forms_agree_with_the_c_library(void **state)
{
    (void)state;
    for (int64_t at = IN_2026 - 49 * 31556952LL; at < IN_2026 + 49 * 31556952LL; at += 700001) {
        char text[64];
        struct tm parts;
        time_t now = (time_t)at;
        int64_t seconds = -1;
        assert_non_null(gmtime_r(&now, &parts));
        size_t length = strftime(text, sizeof(text), "%A, %d-%b-", &parts);
        length += (size_t)snprintf(text + length, 3, "%02u", (unsigned)parts.tm_year % 100);
        strftime(text + length, sizeof(text) - length, " %H:%M:%S GMT", &parts);
        assert_int_equal(date_parse_http(slice_of(text), IN_2026, &seconds), 0);
        assert_int_equal(seconds, at);
        strftime(text, sizeof(text), "%a %b %e %H:%M:%S %Y", &parts);
        assert_int_equal(date_parse_http(slice_of(text), 0, &seconds), 0);
        assert_int_equal(seconds, at);
    }
}

int main(void)
{
    static struct CMUnitTest tests[ROW_COUNT + 3] = {
        cmocka_unit_test(what_is_cut_off_anywhere_is_refused),
        cmocka_unit_test(what_we_write_is_read_back_for_eight_thousand_years),
        cmocka_unit_test(the_other_forms_agree_with_the_c_library),
    };
    for (size_t i = 0; i < ROW_COUNT; i++)
        tests[3 + i] =
            (struct CMUnitTest){rows[i].name, the_date_is_read, NULL, NULL, (void *)(uintptr_t)&rows[i]};
    return cmocka_run_group_tests_name("dates", tests, NULL, NULL);
}
