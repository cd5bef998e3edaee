/* The head of a response that comes from elsewhere, as text. Pure: no worker, no record, no clock. */
#ifndef HOLDFAST_HTTP_RESPOND_HEAD_H
#define HOLDFAST_HTTP_RESPOND_HEAD_H

#include "http/routes.h"

/* `lines`: its fields, each ending in CRLF, without those of the connection and of the framing. */
struct exchange_head_of {
    int status;
    struct slice phrase, lines;
    int has_date;
    enum exchange_framing {
        EXCHANGE_FRAMED_BY_LENGTH,
        EXCHANGE_FRAMED_BY_CHUNKS,
        EXCHANGE_FRAMED_BY_END,
        EXCHANGE_NO_BODY,
        EXCHANGE_UPGRADED, /* what follows is no HTTP */
    } framing;
    uint64_t length; /* BY_LENGTH; with NO_BODY: what is announced all the same, UINT64_MAX: nothing */
    struct slice edit_values; /* exchange_save_edits, or empty */
};

/* What the client's connection adds. */
struct respond_to {
    struct slice date;                  /* for a head without one (RFC 9110 section 6.6.1) */
    const struct route_header *changes; /* of the route; NULL: none */
    int closes;                         /* the connection ends with this response */
    int is_1_0;                         /* the client speaks HTTP/1.0 */
};

/* Adds the head to `out`. 0; ERR_NO_SPACE: it does not fit. */
WARN_UNUSED int respond_head_make(const struct exchange_head_of *head, const struct respond_to *to,
                                  struct text *out);

#endif
