/* Preconditions (RFC 9110 section 13): whether a request is carried out, answered with 304 or 412, and
 * whether its Range counts. Evaluated in the order of section 13.2.2:
 *
 *     If-Match ------------ no tag matches ------------------> 412
 *      | absent                                                          a repeated date field, and what is
 *     If-Unmodified-Since - changed later -------------------> 412       no date, is not there at all
 *      v                                                                 (sections 13.1.3 and 13.1.4)
 *     If-None-Match ------- a tag matches -> GET, HEAD: 304, else 412
 *      | absent
 *     If-Modified-Since --- GET, HEAD: not changed since ----> 304
 *      v
 *     If-Range ------------ GET with Range, no match --------> carried out, Range ignored
 *      v
 *     carried out
 *
 * To be asked only when the answer without preconditions would be 2xx (section 13.2.1): not for what does not
 * exist, is refused or is redirected. */
#ifndef HOLDFAST_HTTP_CONDITIONAL_H
#define HOLDFAST_HTTP_CONDITIONAL_H

#include "base/bytes.h"
#include "proto/h1.h"

#include <stdint.h>

/* What the request is about, in the coding that was chosen for it. */
struct conditional_resource {
    struct slice etag;  /* strong, with its quotes (http/etag.h); empty: it has none, and only `*` matches */
    int64_t modified_s; /* seconds since 1970, as Last-Modified says it */
    /* 1: no two contents of this resource were ever sent with this Last-Modified, so If-Range may rely on it
     * (RFC 9110 section 8.8.2.2). 0 is always right: then a date in If-Range gets the whole. */
    int modified_is_strong;
};

struct conditional {
    int status; /* 0: carry it out; 304; 412 */
    /* The value of Range, borrowed from the request; empty if there is none to follow: no GET (RFC 9110
     * section 14.2), no Range or several, If-Range does not hold, or status is not 0. For range_select
     * (http/range.h). */
    struct slice range;
};

/* now_s (seconds since 1970) is for dates whose year has two digits. A list of tags that is malformed matches
 * nothing, not even by a tag before the mistake: If-Match fails, If-None-Match holds, so the client never
 * goes on with a content that it does not have. If-Match needs the strong comparison, If-None-Match the weak
 * one. The list may be spread over several fields; `*` stands alone. A repeated or malformed If-Range does
 * not hold.
 *
 * A 304 carries the ETag, Last-Modified, Vary and cache fields of the 200 (RFC 9110 section 15.4.5). */
struct conditional conditional_evaluate(const struct h1_head *request,
                                        const struct conditional_resource *resource, int64_t now_s);

#endif
