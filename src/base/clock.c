#include "base/clock.h"

#include "base/assert.h"

#include <string.h>
#include <time.h>

#define SECONDS_PER_DAY 86400
#define DAYS_PER_ERA 146097        /* 400 Gregorian years */
#define DAYS_0000_TO_1970 719468   /* from the first of March of the year 0 */
#define LAST_SECOND 253402300799LL /* 9999-12-31T23:59:59Z */

struct date {
    int year;
    int month; /* 1 to 12 */
    int day;   /* 1 to 31 */
};

static uint64_t read_ns(clockid_t clock)
{
    struct timespec now;

    MUST(clock_gettime(clock, &now) == 0);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

uint64_t clock_monotonic_ns(void)
{
    return read_ns(CLOCK_MONOTONIC);
}

uint64_t clock_wall_ns(void)
{
    return read_ns(CLOCK_REALTIME);
}

/* The Gregorian date of a day counted from 1970-01-01 (>= 0). Years are taken to begin in March, so that the
 * leap day is the last of its year and months follow the line (153 m + 2) / 5. Not gmtime_r: that takes a
 * lock inside libc, which a crash handler must not. */
static struct date date_of_day(int64_t days)
{
    int64_t since_0000 = days + DAYS_0000_TO_1970;
    int era = (int)(since_0000 / DAYS_PER_ERA);
    int day_of_era = (int)(since_0000 % DAYS_PER_ERA);
    int year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int month_from_march = (5 * day_of_year + 2) / 153;
    struct date date;

    date.day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    date.month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;
    date.year = era * 400 + year_of_era + (date.month <= 2);
    return date;
}

/* Writes `value` as `width` decimal digits and returns where the next byte goes. */
static char *put_digits(char *out, unsigned value, int width)
{
    for (int i = width - 1; i >= 0; i--) {
        out[i] = (char)('0' + value % 10);
        value /= 10;
    }
    return out + width;
}

static char *put_text(char *out, const char *text, size_t length)
{
    memcpy(out, text, length);
    return out + length;
}

static char *put_time_of_day(char *out, unsigned second_of_day)
{
    out = put_digits(out, second_of_day / 3600, 2);
    *out++ = ':';
    out = put_digits(out, second_of_day / 60 % 60, 2);
    *out++ = ':';
    return put_digits(out, second_of_day % 60, 2);
}

void clock_http_date(int64_t seconds, char out[CLOCK_HTTP_DATE_SIZE])
{
    static const char weekdays[] = "ThuFriSatSunMonTueWed"; /* 1970-01-01 was a Thursday */
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

    if (seconds < 0)
        seconds = 0;
    if (seconds > LAST_SECOND)
        seconds = LAST_SECOND;
    int64_t days = seconds / SECONDS_PER_DAY;
    struct date date = date_of_day(days);

    out = put_text(out, weekdays + days % 7 * 3, 3);
    out = put_text(out, ", ", 2);
    out = put_digits(out, (unsigned)date.day, 2);
    *out++ = ' ';
    out = put_text(out, months + (date.month - 1) * 3, 3);
    *out++ = ' ';
    out = put_digits(out, (unsigned)date.year, 4);
    *out++ = ' ';
    out = put_time_of_day(out, (unsigned)(seconds % SECONDS_PER_DAY));
    put_text(out, " GMT", sizeof(" GMT"));
}

void clock_iso(uint64_t wall_ns, char out[CLOCK_ISO_SIZE])
{
    uint64_t seconds = wall_ns / NS_PER_S;
    struct date date = date_of_day((int64_t)(seconds / SECONDS_PER_DAY));

    out = put_digits(out, (unsigned)date.year, 4);
    *out++ = '-';
    out = put_digits(out, (unsigned)date.month, 2);
    *out++ = '-';
    out = put_digits(out, (unsigned)date.day, 2);
    *out++ = 'T';
    out = put_time_of_day(out, (unsigned)(seconds % SECONDS_PER_DAY));
    *out++ = '.';
    out = put_digits(out, (unsigned)(wall_ns % NS_PER_S / 1000), 6);
    put_text(out, "Z", sizeof("Z"));
}
