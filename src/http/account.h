/* The account of a request: one line in its access log, and its place in the counters. exchange.c tells what happens; when
 * and whether a line is made is decided here.
 *
 * A line belongs to the transaction that ends its request (core/redo.h): either both have happened or neither. A response
 * that lies whole in the ring is as good as sent, so its request ends with the transaction that makes it. Of any other
 * request (its body is awaited, a pool thread works for it, its response comes from a file) the line's texts are kept in
 * a block of the arena, the note, until the end: the transaction that takes the connection to its next request, or one of
 * its own before the connection is closed (account_abort).
 *
 * Other protocols do the same: account_abort of a tunnel says bytes both ways. */
#ifndef HOLDFAST_HTTP_ACCOUNT_H
#define HOLDFAST_HTTP_ACCOUNT_H

#include "http/exchange.h"
#include "http/log_line.h"

/* A request begins: it gets a serial, and its account is open. */
void account_begin(struct exchange *exchange);
/* Its response is decided: `head_length` bytes of head from the stream offset `from` on. */
void account_respond(struct exchange *exchange, int status, uint64_t from, size_t head_length);
/* Before the commit: makes the line if the request is over, or the note if it is not. May set `failed`. */
void account_settle(struct exchange *exchange);
/* Commits the transaction with all that was settled, and gives back what it no longer needs. */
void account_commit(struct exchange *exchange);
/* Before the connection is closed: if a request is under way, it ends like this. */
void account_abort(struct http *http, struct record *record, enum log_end end);
/* At a revival: the note's block is in use. */
void account_revived(struct http *http, struct record *record);

/* For a listing: the state and the id of the request under way (conn_class.describe). */
void account_describe(const struct arena *arena, const struct record *record,
                      struct conn_description *description);

#endif
