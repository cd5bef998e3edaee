/* A request of an exchange: what its head says of it, and the calls of its handler. All work on an open transaction; what
 * the exchange does in which step stands in exchange.c. */
#ifndef HOLDFAST_HTTP_REQUEST_H
#define HOLDFAST_HTTP_REQUEST_H

#include "http/exchange.h"

/* A route_header_fn for a struct h1_head. */
int request_field(const void *head, struct slice name, size_t nth, struct slice *value);
/* The address of whom the connection is with; NULL: it has none. An IPv4 client of an IPv6 socket is ::ffff:1.2.3.4; those who
 * compare and write addresses know both. */
const struct sockaddr_storage *request_peer(const struct record *record, struct sockaddr_storage *memory);

/* Who serves the request under way. */
const struct handler *request_handler(const struct exchange *exchange);
/* From here to the end of the handler's call a crash is this request's fault. */
void request_blame_begins(struct exchange *exchange);
void request_blame_ends(struct exchange *exchange);
/* Notes what the head says of flags and body; nothing of an earlier request is left. */
void request_note(struct exchange *exchange, const struct h1_head *request);
/* The head is complete and good: finds who serves it, and lets him begin; afterwards the exchange is in another step. */
void request_begin(struct exchange *exchange, const struct h1_head *request);
/* The body is complete: the handler answers. */
void request_body_ends(struct exchange *exchange);
/* Answers with the refusal and closes: where the next request begins cannot be told. */
void request_refuse(struct exchange *exchange, enum h1_refusal refusal);

#endif
