/* traceparent: which trace a request belongs to (W3C Trace Context, section 3.2). Version 00 is 55 bytes of
 * lower-case hex digits and dashes:
 *
 *     00 - 4bf92f3577b34da6a3ce929d0e0e4736 - 00f067aa0ba902b7 - 01
 *     |    trace: the whole journey           parent: the       flags: bit 0, the caller records it
 *     version                                 caller's step                     (without the blanks)
 *
 * Neither trace nor parent may be all zero. Version ff is forbidden. A later version may go on behind the
 * flags after one more dash; it is read as far as it is known and written as 00 (section 3.2.4), unknown
 * flags cleared.
 *
 * A traceparent that is not valid, or comes twice, is as none: a new trace begins, and tracestate, which
 * belongs to the old one, is not forwarded (section 4). */
#ifndef HOLDFAST_HTTP_TRACEPARENT_H
#define HOLDFAST_HTTP_TRACEPARENT_H

#include "base/bytes.h"
#include "proto/h1.h"

#include <stdint.h>

#define TRACEPARENT_LENGTH 55
#define TRACEPARENT_SIZE (TRACEPARENT_LENGTH + 1)
#define TRACEPARENT_SAMPLED 1u

struct traceparent {
    uint64_t trace_high, trace_low; /* not both 0 */
    uint64_t parent;                /* not 0 */
    uint8_t flags;                  /* TRACEPARENT_SAMPLED or 0 */
};

/* Reads the whole of a field's value. 0 or ERR_SYNTAX. */
WARN_UNUSED int traceparent_parse(struct slice value, struct traceparent *traceparent);
/* Writes version 00 and a NUL. */
void traceparent_write(const struct traceparent *traceparent, char out[TRACEPARENT_SIZE]);
/* What we forward: the request's trace with our own step as the parent, or a new trace that nobody records
 * yet. The bits are random; zeros where they are forbidden are made ones. Returns 1 if the request's trace
 * goes on, and only then tracestate is to be forwarded too. */
int traceparent_choose(const struct h1_head *request, uint64_t trace_high, uint64_t trace_low,
                       uint64_t own_step, struct traceparent *chosen);

#endif
