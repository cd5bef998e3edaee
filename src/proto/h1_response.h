/* HTTP/1 responses, as a proxy reads them: bytes in, meaning out. No I/O, no allocation, no clock.
 *
 *     HTTP/1.x SP 3DIGIT [ SP phrase ] CRLF  *( name ":" OWS value OWS CRLF )  CRLF  [ body ]     RFC 9112
 * section 4
 *
 * h1_response_find_end() says when a head is complete, h1_response_parse() what it means. As strict as for
 * requests, and for the same reason: where a response ends must not be a matter of opinion, or the next
 * request on a reused connection gets the rest of it.
 *
 * Wider than the RFC in one place: the space behind the status may be missing where there is no phrase, as
 * many servers leave it out. Nothing is tolerated before the status line.
 *
 * Slices point into the caller's bytes and are valid as long as those are. */
#ifndef HOLDFAST_PROTO_H1_RESPONSE_H
#define HOLDFAST_PROTO_H1_RESPONSE_H

#include "proto/h1.h"

/* How the body ends. Kept in connection records: add at the end only. */
enum h1_body {
    H1_BODY_NONE,    /* none follows: 1xx, 204, 304, an answer to HEAD, or Content-Length: 0 */
    H1_BODY_LENGTH,  /* after content_length bytes, at least one */
    H1_BODY_CHUNKED, /* see struct h1_chunks */
    H1_BODY_TO_END   /* with the connection; a reset or an error is no end */
};

struct h1_response {
    int status; /* 100 to 999 */
    struct slice phrase;
    int version_minor;      /* 0 or 1; HTTP/1.2 to 1.9 count as 1 (RFC 9110 section 2.5) */
    int64_t content_length; /* as announced, also where no body follows; -1: no Content-Length */
    int chunked;            /* as announced, also where no body follows; content_length is -1 then */
    enum h1_body body;      /* RFC 9112 section 6.3 */
    /* The connection may carry another request when this response is complete (RFC 9112 section 9.3). 0 also
     * for H1_BODY_TO_END, and for a 204 that announces content, behind which bytes may come that nobody can
     * place. Of no meaning in a 1xx, which another response follows. */
    int keep_alive;
    int is_upgrade; /* Connection names "upgrade" (RFC 9110 section 7.8); Upgrade itself is not looked at */
    uint32_t field_count;
    struct h1_field fields[H1_FIELDS_MAX]; /* only the first field_count are set */
};

/* As h1_head_find_end(), but refuses with ERR_SYNTAX as soon as the bytes cannot become "HTTP/". */
WARN_UNUSED int h1_response_find_end(const char *bytes, uint32_t length, uint32_t limit, uint32_t *scanned,
                                     uint32_t *head_length);

/* Why h1_response_find_end() answered ERR_SYNTAX or ERR_LIMIT to the same bytes and limit. */
enum h1_refusal h1_response_explain(const char *bytes, uint32_t length, uint32_t limit);

/* Parses a complete head: `length` is what h1_response_find_end() found. `is_head_request`: the request was
 * HEAD, so no body follows. 0, and *response is filled in; else *refusal tells the reason, *response is not to
 * be used, and the connection is to be closed: ERR_SYNTAX, ERR_LIMIT, ERR_VERSION, ERR_UNSUPPORTED. Safe for
 * any bytes.
 *
 * Refused beyond what requests are refused for: an HTTP version that is not 1, a status that is not three
 * digits or below 100, a body announced by a 1xx. */
WARN_UNUSED int h1_response_parse(const char *bytes, uint32_t length, int is_head_request,
                                  struct h1_response *response, enum h1_refusal *refusal);

/* The reason of the log for a refused response or body of one: "upstream_" and the reason of
 * H1_REFUSAL_TABLE. Static; empty for H1_REFUSE_NOTHING and for a number that is not in the table. */
struct slice h1_response_refusal_reason(enum h1_refusal refusal);

#endif
