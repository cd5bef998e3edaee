/* Making responses: a head, and a body in the ring or in a file. */
#include "http/exchange.h"

#include "base/assert.h"

#include <stdio.h>
#include <string.h>

#define HEAD_MAX 2048u

/* Looked at again when the loop's time has moved on: the wall clock is read a hundred times a second at most. */
static struct slice http_date_now(struct http *http)
{
    if (http->worker->now_ns >= http->date_until_ns) {
        http->date_until_ns = http->worker->now_ns + 10 * NS_PER_MS;
        clock_http_date((int64_t)(clock_wall_ns() / NS_PER_S), http->date);
    }
    return (struct slice){http->date, CLOCK_HTTP_DATE_SIZE - 1};
}

static void add_number_line(struct text *text, const char *name, uint64_t value)
{
    text_add_c(text, name);
    text_add_u64(text, value);
    text_add(text, SLICE_LITERAL("\r\n"));
}

/* RFC 9112 section 4, RFC 9110 section 8.6: Content-Length always, also for HEAD. */
static void make_head(struct exchange *exchange, struct text *text, int status, struct slice type,
                      struct slice fields, uint64_t length)
{
    text_add(text, SLICE_LITERAL("HTTP/1.1 "));
    text_add_u64(text, (uint64_t)status);
    text_add(text, SLICE_LITERAL(" "));
    text_add(text, h1_reason_phrase(status));
    text_add(text, SLICE_LITERAL("\r\nServer: holdfast\r\nDate: "));
    text_add(text, http_date_now(exchange->http));
    text_add(text, SLICE_LITERAL("\r\n"));
    if (type.length) {
        text_add(text, SLICE_LITERAL("Content-Type: "));
        text_add(text, type);
        text_add(text, SLICE_LITERAL("\r\n"));
    }
    add_number_line(text, "Content-Length: ", length);
    text_add(text, fields);
    if (exchange->state->flags & EXCHANGE_CLOSE)
        text_add(text, SLICE_LITERAL("Connection: close\r\n"));
    else if (exchange->state->flags & EXCHANGE_HTTP_1_0)
        text_add(text, SLICE_LITERAL("Connection: keep-alive\r\n"));
    text_add(text, SLICE_LITERAL("\r\n"));
}

/* A response to a request whose body was not taken ends the connection: what follows cannot be told from it. */
static void decide_close(struct exchange *exchange)
{
    struct exchange_state *state = exchange->state;

    if (state->step == EXCHANGE_READ_BODY || state->flags & EXCHANGE_BODY_UNREAD)
        state->flags |= EXCHANGE_CLOSE | EXCHANGE_BODY_UNREAD;
    if (exchange->worker->is_draining)
        state->flags |= EXCHANGE_CLOSE;
}

static void response_made(struct exchange *exchange)
{
    exchange->state->step = EXCHANGE_SEND;
    arena_count_add(&exchange->worker->arena.page->requests, 1);
}

/* All or nothing. */
static int put_both(struct exchange *exchange, struct slice head, struct slice body)
{
    if (head.length + body.length > conn_room(exchange->record, exchange->head))
        return ERR_LIMIT;
    if (conn_put(exchange->worker, exchange->record, exchange->head, head))
        return ERR_NO_MEMORY;
    return conn_put(exchange->worker, exchange->record, exchange->head, body);
}

void exchange_respond(struct exchange *exchange, int status, struct slice type, struct slice fields,
                      struct slice body)
{
    char memory[HEAD_MAX + EXCHANGE_FIELDS_MAX];
    struct text text;

    MUST(body.length <= EXCHANGE_BODY_MAX && fields.length <= EXCHANGE_FIELDS_MAX);
    decide_close(exchange);
    text_init(&text, memory, sizeof memory);
    make_head(exchange, &text, status, type, fields, body.length);
    MUST(!text.overflow);
    if (exchange->state->flags & EXCHANGE_HEAD_ONLY)
        body.length = 0;
    if (put_both(exchange, (struct slice){text.at, text.length}, body))
        exchange->failed = 1;
    else
        response_made(exchange);
}

void exchange_respond_error(struct exchange *exchange, int status, struct slice reason)
{
    char memory[512];
    struct text text;
    struct slice phrase = h1_reason_phrase(status);

    text_init(&text, memory, sizeof memory);
    text_add_f(&text, "%d %.*s\nreason: %.*s\nrequest: %llx\n", status, (int)phrase.length, phrase.at,
               (int)reason.length, reason.at, (unsigned long long)exchange->state->request);
    exchange_respond(exchange, status, SLICE_LITERAL("text/plain; charset=utf-8"), (struct slice){"", 0},
                     (struct slice){text.at, text.length});
}

void exchange_respond_file(struct exchange *exchange, int status, struct slice type, struct slice fields,
                           int fd, uint64_t offset, uint64_t length)
{
    char memory[HEAD_MAX + EXCHANGE_FIELDS_MAX];
    struct text text;

    MUST(fields.length <= EXCHANGE_FIELDS_MAX);
    decide_close(exchange);
    text_init(&text, memory, sizeof memory);
    make_head(exchange, &text, status, type, fields, length);
    MUST(!text.overflow);
    if (conn_put(exchange->worker, exchange->record, exchange->head, (struct slice){text.at, text.length})) {
        exchange->failed = 1;
        return;
    }
    if (length && !(exchange->state->flags & EXCHANGE_HEAD_ONLY))
        conn_put_file(exchange->worker, exchange->head, fd, offset, length);
    response_made(exchange);
}

void exchange_want_body(struct exchange *exchange)
{
    exchange->state->step = EXCHANGE_READ_BODY;
}

void exchange_wait(struct exchange *exchange)
{
    exchange->state->step = EXCHANGE_HANDLE;
    worker_side(exchange->worker, exchange->record)->is_working = 1;
}
