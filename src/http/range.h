/* Ranges of bytes (RFC 9110 section 14).
 *
 *     Range: bytes=0-499, 1000-, -200         the first 500; from 1000 on; the last 200
 *     Content-Range: bytes 0-499/8000         in a 206, or in a part of it (http/multipart.h)
 *
 * and the second one with an asterisk in place of 0-499 in a 416. */
#ifndef HOLDFAST_HTTP_RANGE_H
#define HOLDFAST_HTTP_RANGE_H

#include "base/bytes.h"

#include <stdint.h>

/* Ranges that one request may list; with more of them it gets the whole (RFC 9110 section 14.2 permits it,
 * section 17.15 says why). It bounds the work, and what a multipart answer has beyond the bytes asked for. */
#define RANGES_MAX 16

/* Both ends included; first <= last < size. */
struct range {
    uint64_t first, last;
};

/* Ranges of one representation: no two overlap or touch, so together they are never more than the whole.
 * Plain data that may be copied and kept anywhere. */
struct range_set {
    uint32_t count;
    uint32_t reserved; /* 0 */
    struct range at[RANGES_MAX];
};

enum range_answer {
    RANGE_WHOLE,       /* 200: there is no range to follow */
    RANGE_PARTIAL,     /* 206: set->count is 1 (Content-Range) or more (multipart/byteranges) */
    RANGE_UNSATISFIED, /* 416: nothing of what is asked for exists */
};

/* Reads the value of the only Range field against a representation of `size` bytes (<= INT64_MAX; as it is
 * sent: with its content coding). conditional_evaluate() says whether a Range counts at all.
 *
 * - Empty, another unit than bytes, malformed anywhere, an end before its beginning, or more than RANGES_MAX:
 *   the whole. Numbers of any length are read; above 2^63-1 they are all alike.
 * - Ends beyond the last byte are cut; ranges that begin there, and `-0`, are left out. If none is left:
 *   unsatisfied.
 * - Ranges that overlap or touch become one, in the place of the first of them; otherwise the order of the
 *   request stays (RFC 9110 section 15.3.7.2).
 * - Of an empty representation the last bytes are the whole: there is no Content-Range that could say it. */
enum range_answer range_select(struct slice value, uint64_t size, struct range_set *set);

uint64_t range_length(const struct range *range);
#define RANGE_LINE_MAX 96 /* bytes of a Content-Range line at most */
/* Adds the whole line with its CRLF. */
void range_add_content_range(struct text *text, const struct range *range, uint64_t size);
void range_add_unsatisfied(struct text *text, uint64_t size);

#endif
