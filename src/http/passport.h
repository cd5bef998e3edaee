/* How HTTP connections change hands (core/freeze.h): the exchange's part of a passport. Tags: docs/internals/passport.md. */
#ifndef HOLDFAST_HTTP_PASSPORT_H
#define HOLDFAST_HTTP_PASSPORT_H

#include "core/freeze.h"
#include "http/exchange.h"

#define HTTP_PASSPORT_TABLE(X)                                                                               \
    X(STEP, 64)                                                                                              \
    X(FLAGS, 65)                                                                                             \
    X(HANDLER, 66)                                                                                           \
    X(TURNED_AWAY, 67)                                                                                       \
    X(ROUTE, 68)                                                                                             \
    X(REQUEST, 69)                                                                                           \
    X(BODY_LEFT, 70)                                                                                         \
    X(BODY_TAKEN, 71)                                                                                        \
    X(CHUNKS, 72)                                                                                            \
    X(HANDLER_STATE, 73)                                                                                     \
    X(BEGAN_NS, 74)                                                                                          \
    X(RESPONSE_FROM, 75)                                                                                     \
    X(STATUS, 76)                                                                                            \
    X(RESPONSE_HEAD, 77)                                                                                     \
    X(ID, 78)                                                                                                \
    X(LOG, 79)                                                                                               \
    X(LOG_FORMAT, 80)                                                                                        \
    X(LOG_BEFORE, 81)                                                                                        \
    X(LOG_BEHIND, 82)                                                                                        \
    X(LOG_REASON, 83)

enum http_passport_tag {
#define HTTP_PASSPORT_ENUM(name, number) HTTP_PASSPORT_##name = number,
    HTTP_PASSPORT_TABLE(HTTP_PASSPORT_ENUM)
#undef HTTP_PASSPORT_ENUM
};
#define HTTP_PASSPORT_HANDLER_TAGS 96u /* from here on, the handler's of an exchange in RELAY */

extern const struct conn_mover http_mover;

/* --- for those who keep chunks in their state --- */

#define PASSPORT_CHUNKS_SIZE 20u
void passport_put_chunks(struct passport_writer *out, unsigned tag, const struct h1_chunks *chunks);
/* 0; ERR_PROTOCOL. Without the field the chunks are as at the beginning. */
WARN_UNUSED int passport_get_chunks(const struct passport *passport, unsigned tag, struct h1_chunks *chunks);

/* --- account.c: what a line needs --- */

void account_freeze(struct worker *worker, const struct record *record, struct passport_writer *out);
/* Makes the note. 0; ERR_PROTOCOL; ERR_NO_MEMORY. */
WARN_UNUSED int account_thaw(struct worker *worker, struct exchange_state *state,
                             const struct passport *passport);
/* Gives its block back. */
void account_unthaw(struct worker *worker, const struct exchange_state *state);

#endif
