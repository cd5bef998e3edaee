/* Reading dates in field values; writing them is clock_http_date (base/clock.h).
 *
 * Three forms, all in GMT, case-sensitive and without a blank too many (RFC 9110 section 5.6.7):
 *
 *     Sun, 06 Nov 1994 08:49:37 GMT     IMF-fixdate, the only one that is written today
 *     Sunday, 06-Nov-94 08:49:37 GMT    RFC 850
 *     Sun Nov  6 08:49:37 1994          asctime(); the day is two digits, or a blank and one */
#ifndef HOLDFAST_HTTP_DATE_H
#define HOLDFAST_HTTP_DATE_H

#include "base/bytes.h"

#include <stdint.h>

/* Reads the whole of `text` as a date into seconds since 1970 (negative before). A year of two digits is the
 * latest one that lies at most 50 years after now_s (seconds since 1970, years 0 to 9999).
 *
 * Stricter than the grammar where a date contradicts itself: a day that its month does not have, a weekday
 * that the date does not fall on, and a 60th second that is not the last of a day are errors. A leap second
 * is the first second of the next day, as in POSIX time.
 *
 * 0; ERR_SYNTAX: none of the three forms; ERR_INVALID: of that form, but there is no such time. */
WARN_UNUSED int date_parse_http(struct slice text, int64_t now_s, int64_t *seconds);

#endif
