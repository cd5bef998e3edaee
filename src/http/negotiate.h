/* Content codings, and which of them a request gets (RFC 9110 sections 8.4.1 and 12.5.3).
 *
 * Whoever has more than one coding of a resource sends `Vary: Accept-Encoding` with every answer about it,
 * whichever was chosen and 304 included (RFC 9110 section 12.5.5). */
#ifndef HOLDFAST_HTTP_NEGOTIATE_H
#define HOLDFAST_HTTP_NEGOTIATE_H

#include "base/bytes.h"
#include "proto/h1.h"

/* Name; its token in Content-Encoding (RFC 9110 section 18.6; br: RFC 7932, zstd: RFC 8878); the end of the
 * name of a file that is coded so. In the order in which we like them, best first; identity, which is 0, comes last
 * all the same. */
#define CODING_TABLE(X)                                                                                      \
    X(IDENTITY, "identity", "")                                                                              \
    X(BR, "br", ".br")                                                                                       \
    X(ZSTD, "zstd", ".zst")                                                                                  \
    X(GZIP, "gzip", ".gz")

enum coding {
#define CODING_ENUM(name, token, suffix) CODING_##name,
    CODING_TABLE(CODING_ENUM)
#undef CODING_ENUM
};

#define CODING_COUNT 4
#define CODING_BIT(coding) (1u << (coding))
#define CODING_ALL ((1u << CODING_COUNT) - 1)

/* Both static. The token of identity is never sent. */
struct slice coding_token(enum coding coding);
struct slice coding_suffix(enum coding coding);

/* Chooses among the codings that exist (CODING_BIT of each; at least one) by all Accept-Encoding fields of
 * the request: the highest weight wins, then our order above.
 *
 * - Without the field everything is acceptable, and identity is taken if it exists.
 * - `*` gives its weight to whatever is not named. "x-gzip" is gzip.
 * - identity is acceptable unless `identity;q=0`, or `*;q=0` without it, says otherwise; where nothing gives
 *   it a weight it comes after all that has one.
 * - Named twice, the lower weight counts. Unknown codings do not matter.
 * - If any element is malformed, the fields say nothing that can be relied on, and only identity is
 *   acceptable.
 *
 * 0; ERR_NOT_FOUND: nothing that exists is acceptable and *chosen is left alone (406, or the answer as it
 * is; RFC 9110 section 15.5.7). */
WARN_UNUSED int negotiate_coding(const struct h1_head *request, unsigned available, enum coding *chosen);

#endif
