#include "http/date.h"

#define SECONDS_PER_DAY 86400
#define DAYS_0000_TO_1970 719468 /* from the first of March of the year 0 */
#define FUTURE_YEARS 50          /* how far ahead a year of two digits may lie, RFC 9110 section 5.6.7 */

struct parts {
    int year, month, day;       /* month 1 to 12; the year of two digits until century_resolve */
    int hour, minute, second;   /* any two digits */
    int weekday;                /* 0: Sunday */
    int year_has_only_2_digits; /* RFC 850 */
};

/* What is still to be read; everything below takes bytes off its front. */
struct reader {
    struct slice rest;
    int failed;
};

static int take_byte(struct reader *reader, char expected)
{
    if (reader->rest.length == 0 || *reader->rest.at != expected)
        return 0;
    reader->rest.at++;
    reader->rest.length--;
    return 1;
}

static void take_text(struct reader *reader, const char *expected)
{
    for (; *expected != '\0'; expected++)
        if (!take_byte(reader, *expected))
            reader->failed = 1;
}

static int take_number(struct reader *reader, unsigned digits)
{
    uint64_t value = 0;

    if (reader->rest.length < digits || slice_to_u64((struct slice){reader->rest.at, digits}, &value)) {
        reader->failed = 1;
        return 0;
    }
    reader->rest.at += digits;
    reader->rest.length -= digits;
    return (int)value;
}

/* The index of the name that stands at the front. */
static int take_name(struct reader *reader, const char *const *names, int count)
{
    for (int i = 0; i < count; i++) {
        struct slice name = slice_of(names[i]);
        if (slice_starts_with(reader->rest, name)) {
            reader->rest.at += name.length;
            reader->rest.length -= name.length;
            return i;
        }
    }
    reader->failed = 1;
    return 0;
}

static int take_month(struct reader *reader)
{
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

    return take_name(reader, months, 12) + 1;
}

static void take_time_of_day(struct reader *reader, struct parts *parts)
{
    parts->hour = take_number(reader, 2);
    take_text(reader, ":");
    parts->minute = take_number(reader, 2);
    take_text(reader, ":");
    parts->second = take_number(reader, 2);
}

static void take_fixdate(struct reader *reader, struct parts *parts)
{
    take_text(reader, " ");
    parts->day = take_number(reader, 2);
    take_text(reader, " ");
    parts->month = take_month(reader);
    take_text(reader, " ");
    parts->year = take_number(reader, 4);
    take_text(reader, " ");
    take_time_of_day(reader, parts);
    take_text(reader, " GMT");
}

static void take_rfc850(struct reader *reader, struct parts *parts)
{
    take_text(reader, ", ");
    parts->day = take_number(reader, 2);
    take_text(reader, "-");
    parts->month = take_month(reader);
    take_text(reader, "-");
    parts->year = take_number(reader, 2);
    parts->year_has_only_2_digits = 1;
    take_text(reader, " ");
    take_time_of_day(reader, parts);
    take_text(reader, " GMT");
}

static void take_asctime(struct reader *reader, struct parts *parts)
{
    take_text(reader, " ");
    parts->month = take_month(reader);
    take_text(reader, " ");
    parts->day = take_byte(reader, ' ') ? take_number(reader, 1) : take_number(reader, 2);
    take_text(reader, " ");
    take_time_of_day(reader, parts);
    take_text(reader, " ");
    parts->year = take_number(reader, 4);
}

/* The forms are told apart by what follows the weekday. */
static int take_parts(struct slice text, struct parts *parts)
{
    static const char *const days[] = {"Sunday", "Monday",   "Tuesday", "Wednesday", "Thursday",
                                       "Friday", "Saturday", "Sun",     "Mon",       "Tue",
                                       "Wed",    "Thu",      "Fri",     "Sat"};
    struct reader reader = {text, 0};
    int day = take_name(&reader, days, 14);

    *parts = (struct parts){.weekday = day % 7};
    if (day < 7)
        take_rfc850(&reader, parts);
    else if (take_byte(&reader, ','))
        take_fixdate(&reader, parts);
    else
        take_asctime(&reader, parts);
    return reader.failed || reader.rest.length > 0 ? ERR_SYNTAX : 0;
}

/* Days from 1970-01-01, for years from 0 on. Years are taken to begin in March, so that the leap day is the
 * last of its year and months follow the line (153 m + 2) / 5. */
static int64_t days_of(int year, int month, int day)
{
    int month_from_march = month > 2 ? month - 3 : month + 9;
    int64_t y = year - (month <= 2);
    int64_t cycle = (y + 400) / 400 - 1; /* of 400 years; January of the year 0 lies in the one before */
    int64_t year_of_cycle = y - cycle * 400;

    return cycle * 146097 + year_of_cycle * 365 + year_of_cycle / 4 - year_of_cycle / 100 +
           (153 * month_from_march + 2) / 5 + day - 1 - DAYS_0000_TO_1970;
}

static int64_t seconds_of(const struct parts *parts, int year)
{
    return days_of(year, parts->month, parts->day) * SECONDS_PER_DAY + parts->hour * 3600 +
           parts->minute * 60 + parts->second;
}

static void century_resolve(struct parts *parts, int64_t now_s)
{
    int year = 9900 + parts->year;

    while (year >= 100 && seconds_of(parts, year - FUTURE_YEARS) > now_s)
        year -= 100;
    parts->year = year;
}

static int is_a_time(const struct parts *parts)
{
    int next_year = parts->year + parts->month / 12, next_month = parts->month % 12 + 1;
    int64_t day = days_of(parts->year, parts->month, parts->day);
    int is_last_minute = parts->hour == 23 && parts->minute == 59;

    if (parts->day < 1 || day >= days_of(next_year, next_month, 1))
        return 0;
    if (parts->hour > 23 || parts->minute > 59 || parts->second > 59 + is_last_minute)
        return 0;
    return ((day + 4) % 7 + 7) % 7 == parts->weekday; /* 1970-01-01 was a Thursday */
}

int date_parse_http(struct slice text, int64_t now_s, int64_t *seconds)
{
    struct parts parts;
    int error = take_parts(text, &parts);

    if (error)
        return error;
    if (parts.year_has_only_2_digits)
        century_resolve(&parts, now_s);
    if (!is_a_time(&parts))
        return ERR_INVALID;
    *seconds = seconds_of(&parts, parts.year);
    return 0;
}
