/* Making responses: a head, and a body in the ring or in a file. */
#include "http/exchange.h"

#include "base/assert.h"
#include "base/fd.h"
#include "base/log.h"
#include "http/account.h"
#include "http/respond_fields.h"
#include "http/respond_head.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FIELDS_SIZE 4096u /* of all lines that a configuration may change */
#define LENGTH_UNKNOWN UINT64_MAX
#define HEAD_MAX 512u /* of the others */
#define HEAD_SIZE (HEAD_MAX + FIELDS_SIZE)
_Static_assert(HEAD_SIZE <= EXCHANGE_HEAD_MAX && EXCHANGE_HEAD_MAX + EXCHANGE_BODY_MAX <= ARENA_BLOCK_SIZE,
               "a response that is not a file fits into the ring");

/* Looked at again when the loop's time has moved on: the wall clock is read a hundred times a second at most. */
int64_t http_now_s(struct http *http)
{
    if (http->worker->now_ns >= http->date_until_ns) {
        http->date_until_ns = http->worker->now_ns + 10 * NS_PER_MS;
        http->date_s = (int64_t)(clock_wall_ns() / NS_PER_S);
        clock_http_date(http->date_s, http->date);
    }
    return http->date_s;
}

static struct slice http_date_now(struct http *http)
{
    (void)http_now_s(http);
    return (struct slice){http->date, CLOCK_HTTP_DATE_SIZE - 1};
}

static void add_line(struct text *text, struct slice name, struct slice value)
{
    text_add(text, name);
    text_add(text, value);
    text_add(text, SLICE_LITERAL("\r\n"));
}

static void add_number_line(struct text *text, const char *name, uint64_t value)
{
    text_add_c(text, name);
    text_add_u64(text, value);
    text_add(text, SLICE_LITERAL("\r\n"));
}

static int change_fields(const struct exchange *exchange, const struct http_route *route, struct text *lines)
{
    const struct route_context context = {exchange->route, exchange->route_request};

    return exchange->route ? respond_change_fields(lines, route->headers, &context)
                           : respond_change_fields_saved(lines, route->headers, exchange->edit_values);
}

/* The lines that a configuration may change. */
static void add_fields(struct exchange *exchange, struct text *text, struct slice type, struct slice fields)
{
    const struct http_route *route = exchange->route ? exchange->route : exchange->edit_route;
    char memory[FIELDS_SIZE];
    struct text lines;

    if (!route || !route->headers) {
        text_add(text, SLICE_LITERAL("Server: holdfast\r\n"));
        if (type.length)
            add_line(text, SLICE_LITERAL("Content-Type: "), type);
        text_add(text, fields);
        return;
    }
    text_init(&lines, memory, sizeof memory);
    text_add(&lines, SLICE_LITERAL("Server: holdfast\r\n"));
    if (type.length)
        add_line(&lines, SLICE_LITERAL("Content-Type: "), type);
    text_add(&lines, fields);
    if (lines.overflow || change_fields(exchange, route, &lines)) {
        const struct slice id = exchange_id(exchange);

        log_event(LOG_WARN, LOG_EV_HANDLER_FAILED,
                  "request=%.*s reason=\"the header of the answer is too large\"", (int)id.length, id.at);
        text->overflow = 1;
        return;
    }
    text_add(text, (struct slice){lines.at, lines.length});
}

/* RFC 9110 section 8.6: no Content-Length with 204, nor with 304, whose length is that of another response. */
static int says_length(int status)
{
    return status != 204 && status != 304;
}

static void make_head(struct exchange *exchange, struct text *text, int status, struct slice type,
                      struct slice fields, uint64_t length)
{
    text_add(text, SLICE_LITERAL("HTTP/1.1 "));
    text_add_u64(text, (uint64_t)status);
    text_add(text, SLICE_LITERAL(" "));
    text_add(text, h1_reason_phrase(status));
    text_add(text, SLICE_LITERAL("\r\nDate: "));
    text_add(text, http_date_now(exchange->http));
    text_add(text, SLICE_LITERAL("\r\n"));
    add_fields(exchange, text, type, fields);
    if (length == LENGTH_UNKNOWN && !(exchange->state->flags & EXCHANGE_HTTP_1_0))
        text_add(text, SLICE_LITERAL("Transfer-Encoding: chunked\r\n"));
    else if (length != LENGTH_UNKNOWN && says_length(status))
        add_number_line(text, "Content-Length: ", length);
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

static void response_made(struct exchange *exchange, int status, uint64_t from, size_t head_length)
{
    exchange->state->step = EXCHANGE_SEND;
    account_respond(exchange, status, from, head_length);
}

/* --- a head from elsewhere --- */

int exchange_put_head(struct exchange *exchange, const struct exchange_head_of *head)
{
    static char memory[ARENA_BLOCK_SIZE];
    const struct http_route *route = exchange_route(exchange->http, exchange->state);
    const struct respond_to to = {.date = http_date_now(exchange->http),
                                  .changes = route ? route->headers : NULL,
                                  .closes = (exchange->state->flags & EXCHANGE_CLOSE) != 0,
                                  .is_1_0 = (exchange->state->flags & EXCHANGE_HTTP_1_0) != 0};
    const uint64_t from = exchange->head->made;
    struct text text;
    int result;

    text_init(&text, memory, sizeof memory);
    if (respond_head_make(head, &to, &text))
        return ERR_NO_SPACE;
    result =
        conn_put(exchange->worker, exchange->record, exchange->head, (struct slice){text.at, text.length});
    if (!result)
        account_respond(exchange, head->status, from, text.length);
    return result;
}

int exchange_save_edits(const struct exchange *exchange, struct text *values)
{
    const struct route_context context = {exchange->route, exchange->route_request};

    return respond_save_values(exchange->route->headers, &context, values);
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

/* The configuration's own lines did not fit: the answer goes without them, as an error. */
static void too_large(struct exchange *exchange)
{
    MUST(exchange->route || exchange->edit_route); /* our own lines always fit */
    exchange->route = NULL;
    exchange->edit_route = NULL;
    exchange_respond_error(exchange, 500, SLICE_LITERAL("header_too_large"));
}

void exchange_respond(struct exchange *exchange, int status, struct slice type, struct slice fields,
                      struct slice body)
{
    const uint64_t from = exchange->head->made;
    char memory[HEAD_SIZE];
    struct text text;

    MUST(body.length <= EXCHANGE_BODY_MAX && fields.length <= EXCHANGE_FIELDS_MAX);
    decide_close(exchange);
    text_init(&text, memory, sizeof memory);
    make_head(exchange, &text, status, type, fields, body.length);
    if (text.overflow) {
        too_large(exchange);
        return;
    }
    if (exchange->state->flags & EXCHANGE_HEAD_ONLY || !says_length(status))
        body.length = 0;
    if (put_both(exchange, (struct slice){text.at, text.length}, body))
        exchange->failed = 1;
    else
        response_made(exchange, status, from, text.length);
}

static const struct route_error_page *page_of(const struct exchange *exchange, int status)
{
    const struct http_route *route = exchange_route(exchange->http, exchange->state);
    const struct route_error_page *page = route ? route->error_pages : NULL;

    while (page && page->status != status)
        page = page->next;
    return page && page->offset ? page : NULL;
}

int exchange_respond_page(struct exchange *exchange, int status, struct slice fields)
{
    static char memory[EXCHANGE_BODY_MAX];
    const struct route_error_page *page = page_of(exchange, status);
    const int fd = exchange->http->snapshot_fd;

    if (!page)
        return 0;
    if (page->length > sizeof memory)
        exchange_respond_file(exchange, status, page->type, fields, fd, page->offset, page->length);
    else if (pread(fd, memory, page->length, (off_t)page->offset) != (ssize_t)page->length)
        return 0;
    else
        exchange_respond(exchange, status, page->type, fields, (struct slice){memory, page->length});
    return 1;
}

void exchange_respond_large(struct exchange *exchange, int status, struct slice type, struct slice fields,
                            struct slice body)
{
    int fd;

    if (body.length <= EXCHANGE_BODY_MAX) {
        exchange_respond(exchange, status, type, fields, body);
        return;
    }
    fd = worker_may_open_file(exchange->worker) ? fd_memfd("holdfast-answer", 0, 0) : ERR_NO_DESCRIPTORS;
    if (fd < 0 || fd_write_all(fd, body.at, body.length)) {
        fd_close(&fd);
        exchange_respond_error(exchange, 503, SLICE_LITERAL("no_memory"));
        return;
    }
    worker_file_use(exchange->worker, fd);
    exchange_respond_file(exchange, status, type, fields, fd, 0, body.length);
    worker_file_drop(exchange->worker, fd); /* closed here unless the answer has taken it */
}

void exchange_respond_error(struct exchange *exchange, int status, struct slice reason)
{
    exchange_respond_error_with(exchange, status, reason, (struct slice){"", 0});
}

void exchange_respond_error_with(struct exchange *exchange, int status, struct slice reason,
                                 struct slice fields)
{
    char memory[512];
    struct text text;
    struct slice phrase = h1_reason_phrase(status), id = exchange_id(exchange);

    exchange->reason = reason;
    if (exchange_respond_page(exchange, status, fields))
        return;
    text_init(&text, memory, sizeof memory);
    text_add_f(&text, "%d %.*s\nreason: %.*s\nrequest: %.*s\n", status, (int)phrase.length, phrase.at,
               (int)reason.length, reason.at, (int)id.length, id.at);
    exchange_respond(exchange, status, SLICE_LITERAL("text/plain; charset=utf-8"), fields,
                     (struct slice){text.at, text.length});
}

void exchange_respond_file(struct exchange *exchange, int status, struct slice type, struct slice fields,
                           int fd, uint64_t offset, uint64_t length)
{
    const uint64_t from = exchange->head->made;
    char memory[HEAD_SIZE];
    struct text text;

    MUST(fields.length <= EXCHANGE_FIELDS_MAX);
    decide_close(exchange);
    text_init(&text, memory, sizeof memory);
    make_head(exchange, &text, status, type, fields, length);
    if (text.overflow) {
        too_large(exchange);
        return;
    }
    if (conn_put(exchange->worker, exchange->record, exchange->head, (struct slice){text.at, text.length})) {
        exchange->failed = 1;
        return;
    }
    if (length && !(exchange->state->flags & EXCHANGE_HEAD_ONLY))
        conn_put_file(exchange->worker, exchange->head, fd, offset, length);
    response_made(exchange, status, from, text.length);
}

void exchange_respond_parts(struct exchange *exchange, int status, struct slice type, struct slice fields,
                            uint64_t length, struct slice text, const struct exchange_part *part,
                            struct slice plan)
{
    const uint64_t from = exchange->head->made;
    char memory[HEAD_SIZE];
    struct text head;
    void *block;

    MUST(fields.length <= EXCHANGE_FIELDS_MAX && plan.length <= ARENA_BLOCK_SIZE);
    MUST(!(exchange->state->flags & EXCHANGE_HEAD_ONLY)); /* ranges are of GET, RFC 9110 section 14.2 */
    decide_close(exchange);
    text_init(&head, memory, sizeof memory);
    make_head(exchange, &head, status, type, fields, length);
    if (head.overflow) {
        too_large(exchange);
        return;
    }
    block = conn_take_plan(exchange->worker, exchange->head);
    if (!block || put_both(exchange, (struct slice){head.at, head.length}, text)) {
        exchange->failed = 1;
        return;
    }
    memcpy(block, plan.at, plan.length);
    conn_put_file(exchange->worker, exchange->head, part->fd, part->offset, part->length);
    response_made(exchange, status, from, head.length);
}

#define POSTPONED_MAX 8 /* then it is answered, even if that takes a while */

int exchange_postpone(struct exchange *exchange)
{
    struct conn_side *side = worker_side(exchange->worker, exchange->record);

    if (side->postponed >= POSTPONED_MAX)
        return 0;
    side->postponed++;
    side->is_working = 1;
    exchange->failed = exchange->postponed = 1;
    return 1;
}

void exchange_respond_stream(struct exchange *exchange, struct slice type, struct slice fields,
                             uint64_t due_ns)
{
    const uint64_t from = exchange->head->made;
    char memory[HEAD_SIZE];
    struct text text;

    decide_close(exchange);
    if (exchange->state->flags & EXCHANGE_HTTP_1_0) /* has no chunks: the end of the connection is the end */
        exchange->state->flags |= EXCHANGE_CLOSE;
    text_init(&text, memory, sizeof memory);
    make_head(exchange, &text, 200, type, fields, LENGTH_UNKNOWN);
    if (text.overflow) {
        too_large(exchange);
        return;
    }
    if (conn_put(exchange->worker, exchange->record, exchange->head, (struct slice){text.at, text.length})) {
        exchange->failed = 1;
        return;
    }
    response_made(exchange, 200, from, text.length);
    if (exchange->state->flags & EXCHANGE_HEAD_ONLY)
        return;
    exchange->state->step = EXCHANGE_STREAM;
    exchange->state->handler_state[EXCHANGE_STREAM_DUE] = due_ns;
}

/* RFC 9112 section 7.1. */
void exchange_stream_put(struct exchange *exchange, struct slice data, uint64_t due_ns)
{
    const int is_chunked = !(exchange->state->flags & EXCHANGE_HTTP_1_0);
    char memory[1024];
    struct text text;

    MUST(data.length && data.length < sizeof memory - 16);
    text_init(&text, memory, sizeof memory);
    if (is_chunked)
        text_add_f(&text, "%zx\r\n", data.length);
    text_add(&text, data);
    if (is_chunked)
        text_add_c(&text, "\r\n");
    exchange->state->handler_state[EXCHANGE_STREAM_DUE] = due_ns;
    if (put_both(exchange, (struct slice){text.at, text.length}, (struct slice){"", 0}))
        exchange->failed = 1;
}

void exchange_stream_end(struct exchange *exchange)
{
    const int is_chunked = !(exchange->state->flags & EXCHANGE_HTTP_1_0);

    exchange->state->step = EXCHANGE_SEND;
    if (is_chunked && put_both(exchange, SLICE_LITERAL("0\r\n\r\n"), (struct slice){"", 0}))
        exchange->failed = 1;
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
