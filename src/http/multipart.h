/* multipart/byteranges: the body of a 206 with several ranges (RFC 9110 section 14.6, RFC 2046 section 5.1).
 *
 *     --BOUNDARY CRLF                          head of part 0
 *     Content-Type: TYPE CRLF
 *     Content-Range: bytes 0-499/8000 CRLF
 *     CRLF
 *     (500 bytes)
 *     CRLF --BOUNDARY CRLF ...                 head of part 1, the line end before it included
 *     (bytes)
 *     CRLF --BOUNDARY-- CRLF                   the end
 *
 * Everything here follows from the request's serial, a salt, the ranges, size and type alone: whoever goes on
 * with the answer after a death makes the same bytes again, part by part. That may be another version of the
 * program: what is written here, the boundary above all, never changes. In a 206 of this kind the answer's
 * head has no Content-Range (RFC 9110 section 15.3.7.2).
 *
 * Not for a representation with a content coding: whether Content-Encoding then speaks of the parts or of the
 * envelope is not settled, so such a request gets a single range or the whole. */
#ifndef HOLDFAST_HTTP_MULTIPART_H
#define HOLDFAST_HTTP_MULTIPART_H

#include "base/bytes.h"
#include "http/range.h"

#include <stdint.h>

#define MULTIPART_BOUNDARY_LENGTH 32 /* hex digits; RFC 2046 section 5.1.1 allows 70 */
#define MULTIPART_TYPE_MAX 256       /* bytes of a part's Content-Type */
#define MULTIPART_PART_HEAD_SIZE 512 /* holds every part's head and a NUL */
#define MULTIPART_TYPE_FIELD_SIZE 96 /* holds the answer's own Content-Type and a NUL */
#define MULTIPART_END_SIZE 48        /* holds the end and a NUL */

/* Views; everything is borrowed. */
struct multipart {
    const struct range_set *ranges; /* 2 or more, of `size` bytes */
    uint64_t size;                  /* bytes of the whole representation */
    struct slice type;              /* of the whole representation; empty: none, and the parts have none */
    char boundary[MULTIPART_BOUNDARY_LENGTH + 1];
};

/* `serial` is unique among the requests of a slot; `salt` is anything that stays the same for one answer and
 * differs between lives of a slot (the file's time of change, the arena's beginning): a boundary that was
 * seen, and found its way into a file here, does not come again. Nothing relies on it being secret: who could
 * put one into the file could put anything there.
 * 0; ERR_LIMIT: the type is longer than MULTIPART_TYPE_MAX. */
WARN_UNUSED int multipart_init(struct multipart *multipart, const struct range_set *ranges, uint64_t size,
                               struct slice type, uint64_t serial, uint64_t salt);

/* The value of the answer's Content-Type. */
void multipart_add_type(const struct multipart *multipart, struct text *text);
/* The answer's Content-Length: all heads, all ranges, the end. */
uint64_t multipart_length(const struct multipart *multipart);
/* What comes before the bytes of ranges->at[part]. */
void multipart_add_part_head(const struct multipart *multipart, uint32_t part, struct text *text);
/* What comes after the bytes of the last part. */
void multipart_add_end(const struct multipart *multipart, struct text *text);

#endif
