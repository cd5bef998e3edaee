/* A request begins and ends: what its head says of the exchange, and the calls of its handler. */
#include "http/request.h"

#include <string.h>

int request_field(const void *head, struct slice name, size_t nth, struct slice *value)
{
    const struct h1_head *request = head;

    for (uint32_t i = 0; i < request->field_count; i++) {
        if (!slice_equals_nocase(request->fields[i].name, name) || nth--)
            continue;
        *value = request->fields[i].value;
        return 1;
    }
    return 0;
}

const struct sockaddr_storage *request_peer(const struct record *record, struct sockaddr_storage *memory)
{
    if (!record_has_address(record))
        return NULL;
    *memory = client_sockaddr(record->client_address, record->client_port);
    return memory;
}

const struct handler *request_handler(const struct exchange *exchange)
{
    return exchange->http->handlers[exchange->state->handler];
}

void request_blame_begins(struct exchange *exchange)
{
    exchange->worker->intent->request = exchange->state->request;
    COMPILER_BARRIER();
}

void request_blame_ends(struct exchange *exchange)
{
    COMPILER_BARRIER();
    exchange->worker->intent->request = 0;
}

void request_refuse(struct exchange *exchange, enum h1_refusal refusal)
{
    exchange->state->flags |= EXCHANGE_CLOSE | EXCHANGE_BODY_UNREAD;
    exchange_respond_error(exchange, h1_refusal_status(refusal), h1_refusal_reason(refusal));
}

void request_note(struct exchange *exchange, const struct h1_head *request)
{
    struct exchange_state *state = exchange->state;

    state->flags = (uint8_t)((request->keep_alive ? 0 : EXCHANGE_CLOSE) |
                             (request->method == H1_HEAD ? EXCHANGE_HEAD_ONLY : 0) |
                             (request->chunked ? EXCHANGE_CHUNKED_BODY : 0) |
                             (request->has_body ? EXCHANGE_BODY_UNREAD : 0) |
                             (request->version_minor == 0 ? EXCHANGE_HTTP_1_0 : 0));
    state->body_left = request->content_length > 0 ? (uint64_t)request->content_length : 0;
    state->body_taken = 0;
    state->route = 0;
    state->chunks = (struct h1_chunks){0};
    memset(state->handler_state, 0, sizeof state->handler_state);
}

static int is_test_path(const struct http *http, struct slice path)
{
    return http->test_handler && slice_starts_with(path, SLICE_LITERAL("/_test/"));
}

/* RFC 9110 section 10.1.1: the interim response only if the body is wanted and none of it has arrived. */
static void maybe_continue(struct exchange *exchange, const struct h1_head *request)
{
    if (exchange->state->step != EXCHANGE_READ_BODY || !request->expect_continue ||
        conn_input_length(exchange->record, exchange->head))
        return;
    if (conn_put(exchange->worker, exchange->record, exchange->head,
                 SLICE_LITERAL("HTTP/1.1 100 Continue\r\n\r\n")))
        exchange->failed = 1;
}

void request_body_ends(struct exchange *exchange)
{
    exchange->state->flags &= (uint8_t)~EXCHANGE_BODY_UNREAD;
    exchange->state->step = EXCHANGE_HANDLE; /* until the handler says otherwise */
    request_handler(exchange)->end(exchange);
}

static void serve(struct exchange *exchange)
{
    request_handler(exchange)->begin(exchange);
}

void request_begin(struct exchange *exchange, const struct h1_head *request)
{
    struct exchange_state *state = exchange->state;

    request_note(exchange, request);
    exchange->request = request;
    state->handler = is_test_path(exchange->http, request->path) ? exchange->http->test_handler : 0;
    request_blame_begins(exchange);
    if (state->handler)
        serve(exchange);
    else
        route_exchange(exchange, request, serve);
    request_blame_ends(exchange);
    if (state->step == EXCHANGE_READ_BODY && !request->has_body) {
        request_blame_begins(exchange);
        request_body_ends(exchange);
        request_blame_ends(exchange);
    }
    maybe_continue(exchange, request);
}
