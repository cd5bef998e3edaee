#include "http/exchange.h"

#include "base/assert.h"
#include "base/log.h"

#include <string.h>

/* In the ring, before another request is looked at: then whatever a handler answers fits, and none is asked twice. */
#define PIPELINE_ROOM (EXCHANGE_BODY_MAX + EXCHANGE_HEAD_MAX)
#define STEPS_A_DRIVE 128
#define LINGER_NS (2 * NS_PER_S)
#define FRESH_NS NS_PER_S /* whoever has just connected is about to ask: not idle yet */

/* What a deadline is for (conn_side.timing). */
enum timing { TIMING_NONE, TIMING_IDLE, TIMING_HEAD, TIMING_BODY, TIMING_WRITE, TIMING_LINGER };

static struct exchange_state *state_of(struct record_head *head)
{
    return (struct exchange_state *)(void *)head->protocol;
}

static const struct exchange_state *state_seen(const struct record *record)
{
    return (const struct exchange_state *)(const void *)record_head(record)->protocol;
}

static struct http *http_of(struct worker *worker)
{
    return worker->application;
}

static struct exchange exchange_begin(struct worker *worker, struct record *record)
{
    struct record_head *head = record_begin(record);

    return (struct exchange){
        .http = http_of(worker), .worker = worker, .record = record, .head = head, .state = state_of(head)};
}

/* --- a request begins --- */

static const struct handler *handler_of(const struct exchange *exchange)
{
    return exchange->http->handlers[exchange->state->handler];
}

/* From here to the end of the handler's call a crash is this request's fault. */
static void blame_begins(struct exchange *exchange)
{
    exchange->worker->intent->request = exchange->state->request;
    COMPILER_BARRIER();
}

static void blame_ends(struct exchange *exchange)
{
    COMPILER_BARRIER();
    exchange->worker->intent->request = 0;
}

static void refuse(struct exchange *exchange, enum h1_refusal refusal)
{
    exchange->state->flags |= EXCHANGE_CLOSE | EXCHANGE_BODY_UNREAD;
    exchange_respond_error(exchange, h1_refusal_status(refusal), h1_refusal_reason(refusal));
}

static void note_request(struct exchange *exchange, const struct h1_head *request)
{
    struct exchange_state *state = exchange->state;

    state->flags = (uint8_t)((request->keep_alive ? 0 : EXCHANGE_CLOSE) |
                             (request->method == H1_HEAD ? EXCHANGE_HEAD_ONLY : 0) |
                             (request->chunked ? EXCHANGE_CHUNKED_BODY : 0) |
                             (request->has_body ? EXCHANGE_BODY_UNREAD : 0) |
                             (request->version_minor == 0 ? EXCHANGE_HTTP_1_0 : 0));
    state->body_left = request->content_length > 0 ? (uint64_t)request->content_length : 0;
    state->body_taken = 0;
    state->body_limit = 0;
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

static void body_ends(struct exchange *exchange)
{
    exchange->state->flags &= (uint8_t)~EXCHANGE_BODY_UNREAD;
    exchange->state->step = EXCHANGE_HANDLE; /* until the handler says otherwise */
    handler_of(exchange)->end(exchange);
}

static void serve(struct exchange *exchange)
{
    handler_of(exchange)->begin(exchange);
}

static void request_begin(struct exchange *exchange, const struct h1_head *request)
{
    struct exchange_state *state = exchange->state;

    note_request(exchange, request);
    exchange->request = request;
    state->handler = is_test_path(exchange->http, request->path) ? exchange->http->test_handler : 0;
    blame_begins(exchange);
    if (state->handler)
        serve(exchange);
    else
        route_exchange(exchange, request, serve);
    blame_ends(exchange);
    if (state->step == EXCHANGE_READ_BODY && !request->has_body) {
        blame_begins(exchange);
        body_ends(exchange);
        blame_ends(exchange);
    }
    maybe_continue(exchange, request);
}

/* --- the steps: each returns 1 if it got on, 0 if it needs more input --- */

static void end_transaction(struct exchange *exchange)
{
    if (!exchange->failed)
        record_commit(exchange->record);
}

static uint32_t head_limit(const struct http *http)
{
    return http->config->limits.max_header_size;
}

static int finds_head(struct exchange *exchange, struct slice input, uint32_t *length,
                      enum h1_refusal *refusal)
{
    uint32_t available = (uint32_t)input.length;
    int result =
        h1_head_find_end(input.at, available, head_limit(exchange->http), &exchange->state->scanned, length);

    if (result == ERR_PARTIAL)
        return 0;
    *refusal = result ? h1_head_explain(input.at, available, head_limit(exchange->http)) : H1_REFUSE_NOTHING;
    return 1;
}

static enum h1_refusal over_limits(const struct http *http, const struct h1_head *request)
{
    const struct http_limits *limits = &http->config->limits;
    size_t line = request->method_text.length + request->target.length + sizeof "  HTTP/1.1" - 1;

    if (line > limits->max_request_line)
        return H1_REFUSE_URI_TOO_LONG;
    return request->field_count > limits->max_headers ? H1_REFUSE_FIELDS_TOO_MANY : H1_REFUSE_NOTHING;
}

static int step_read_head(struct exchange *exchange)
{
    static struct h1_head request;
    struct exchange_state *state = exchange->state;
    struct slice input = conn_input_whole(exchange->worker, exchange->record, exchange->head);
    enum h1_refusal refusal;
    uint32_t length = 0;

    if (!input.length)
        return 0;
    if (!finds_head(exchange, input, &length, &refusal)) {
        end_transaction(exchange); /* how far was looked */
        return 0;
    }
    /* The next head has a time of its own, also when its beginning lies in the ring already. */
    worker_side(exchange->worker, exchange->record)->timing = TIMING_NONE;
    state->request = exchange->http->next_request++;
    state->scanned = 0;
    if (refusal == H1_REFUSE_NOTHING && h1_head_parse(input.at, length, &request, &refusal) == 0)
        refusal = over_limits(exchange->http, &request);
    if (refusal == H1_REFUSE_NOTHING) {
        exchange->head->taken += length;
        request_begin(exchange, &request);
    } else {
        state->flags = 0;
        refuse(exchange, refusal);
    }
    end_transaction(exchange);
    return 1;
}

static int body_by_length(struct exchange *exchange, struct slice input)
{
    struct exchange_state *state = exchange->state;
    uint64_t length = input.length < state->body_left ? input.length : state->body_left;

    if (!length && state->body_left)
        return 0;
    if (length)
        handler_of(exchange)->body(exchange, (struct slice){input.at, length});
    exchange->head->taken += length;
    state->body_left -= length;
    state->body_taken += length;
    if (!state->body_left && state->step == EXCHANGE_READ_BODY)
        body_ends(exchange);
    return 1;
}

static int body_by_chunks(struct exchange *exchange, struct slice input)
{
    struct exchange_state *state = exchange->state;
    enum h1_refusal refusal = H1_REFUSE_NOTHING;
    struct slice data = {"", 0};
    uint32_t consumed = 0;
    int result;

    if (!input.length)
        return 0;
    result = h1_chunks_next(&state->chunks, input.at, (uint32_t)input.length, &consumed, &data, &refusal);
    exchange->head->taken += consumed;
    if (result == 0) {
        state->body_taken += data.length;
        if (state->body_limit && state->body_taken > state->body_limit)
            refuse(exchange, H1_REFUSE_CONTENT_TOO_LARGE);
        else
            handler_of(exchange)->body(exchange, data);
    } else if (result == H1_CHUNKS_END) {
        body_ends(exchange);
    } else if (result != ERR_PARTIAL) {
        refuse(exchange, refusal);
    }
    return 1;
}

static int step_read_body(struct exchange *exchange)
{
    struct slice input = conn_input(exchange->worker, exchange->record, exchange->head);
    int got_on;

    blame_begins(exchange);
    if (exchange->state->flags & EXCHANGE_CHUNKED_BODY)
        got_on = body_by_chunks(exchange, input);
    else
        got_on = body_by_length(exchange, input);
    blame_ends(exchange);
    if (got_on)
        end_transaction(exchange);
    return got_on;
}

/* In memory, the response is as good as sent: the ring will send it, whatever happens here. */
static int step_send(struct exchange *exchange)
{
    if (exchange->state->flags & EXCHANGE_CLOSE || exchange->head->file_fd >= 0)
        return 0;
    exchange->state->step = EXCHANGE_READ_HEAD;
    exchange->state->flags = 0;
    end_transaction(exchange);
    return 1;
}

/* --- closing --- */

/* Also after a death in the middle of it: a second FIN is none. */
static void linger_begins(struct worker *worker, struct record *record)
{
    conn_shut(record, arena_number(&worker->arena, record));
    worker_side(worker, record)->timing = TIMING_LINGER;
    worker_set_deadline(worker, record, worker->now_ns + LINGER_NS);
}

static void linger(struct worker *worker, struct record *record)
{
    struct record_head *head = record_begin(record);

    state_of(head)->step = EXCHANGE_LINGER;
    record_commit(record);
    linger_begins(worker, record);
    if (conn_discard(worker, record)) /* the peer's FIN may have been there all the time */
        conn_close(worker, record);
}

/* The response with CLOSE is out. A close(2) with unread input would send a RST, which can destroy what the client
 * has not read yet (RFC 9112 section 9.6): then our FIN goes first, and we wait for theirs. */
static void close_after_response(struct worker *worker, struct record *record)
{
    const struct record_head *head = record_head(record);
    int may_send = state_seen(record)->flags & EXCHANGE_BODY_UNREAD || conn_input_length(record, head);

    if (head->end_of_input || !may_send)
        conn_close(worker, record);
    else
        linger(worker, record);
}

/* --- deadlines --- */

static void set_timing(struct worker *worker, struct record *record, enum timing timing, uint64_t ms,
                       int restart)
{
    struct conn_side *side = worker_side(worker, record);

    if (side->timing == timing && !restart)
        return;
    side->timing = (uint8_t)timing;
    worker_set_deadline(worker, record, worker->now_ns + ms * NS_PER_MS);
}

/* A head has one deadline from its first byte on; the others start again with each byte received or sent. */
static void plan_deadline(struct worker *worker, struct record *record, int received, int sent)
{
    const struct http_config *config = http_of(worker)->config;
    const struct record_head *head = record_head(record);

    if (conn_has_output(record, head)) {
        set_timing(worker, record, TIMING_WRITE, config->write_timeout_ms, sent);
        return;
    }
    switch ((enum exchange_step)state_seen(record)->step) {
    case EXCHANGE_READ_HEAD:
        if (conn_input_length(record, head) || record->rx == 0)
            set_timing(worker, record, TIMING_HEAD, config->header_timeout_ms, 0);
        else
            set_timing(worker, record, TIMING_IDLE, config->keepalive_ms, received || sent);
        break;
    case EXCHANGE_READ_BODY:
        set_timing(worker, record, TIMING_BODY, config->body_timeout_ms, received);
        break;
    case EXCHANGE_HANDLE:
        worker_side(worker, record)->timing = TIMING_NONE;
        worker_set_deadline(worker, record, 0);
        break;
    case EXCHANGE_SEND:
    case EXCHANGE_LINGER:
        break;
    }
}

/* --- driving --- */

static int take_step(struct worker *worker, struct record *record, int *failed)
{
    struct exchange exchange = exchange_begin(worker, record);
    /* A plain-fork build has no spare to undo to, and an answer may not fit behind others in the ring. */
    const int is_saved = !ARENA_SHARED && conn_has_output(record, exchange.head);
    struct record_head saved;
    int got_on = 0;

    if (is_saved)
        saved = *exchange.head;
    switch ((enum exchange_step)exchange.state->step) {
    case EXCHANGE_READ_HEAD:
        got_on = step_read_head(&exchange);
        break;
    case EXCHANGE_READ_BODY:
        got_on = step_read_body(&exchange);
        break;
    case EXCHANGE_SEND:
        got_on = step_send(&exchange);
        break;
    case EXCHANGE_HANDLE:
    case EXCHANGE_LINGER:
        break;
    }
    if (is_saved && exchange.failed)
        *exchange.head = saved;
    *failed = exchange.failed;
    return got_on;
}

enum outcome { GO_ON, REST, CLOSED };

static enum outcome flush(struct worker *worker, struct record *record)
{
    int result = conn_flush(worker, record);

    if (result == ERR_AGAIN || result == ERR_BUSY)
        return REST;
    if (result) {
        conn_close(worker, record);
        return CLOSED;
    }
    if (state_seen(record)->step != EXCHANGE_SEND)
        return GO_ON;
    if (state_seen(record)->flags & EXCHANGE_CLOSE) {
        close_after_response(worker, record);
        return CLOSED;
    }
    conn_settle(worker, record); /* the file is through */
    return GO_ON;
}

/* The peer sends no more. What it sent was answered, unless it broke off in the middle. */
static enum outcome input_ended(struct worker *worker, struct record *record)
{
    if (state_seen(record)->step == EXCHANGE_HANDLE)
        return REST;
    conn_close(worker, record);
    return CLOSED;
}

static enum outcome fill(struct worker *worker, struct record *record)
{
    int result;

    if (record_head(record)->end_of_input)
        return input_ended(worker, record);
    if (!worker_side(worker, record)->readable || state_seen(record)->step == EXCHANGE_HANDLE)
        return REST;
    result = conn_fill(worker, record);
    if (result >= 0)
        return GO_ON;
    if (result == ERR_AGAIN || result == ERR_LIMIT)
        return REST;
    if (result == ERR_NO_MEMORY) {
        worker_again_later(worker, record);
        return REST;
    }
    conn_close(worker, record);
    return CLOSED;
}

/* 1 when the ring should be sent before more is put into it. */
static int flush_first(const struct record *record)
{
    const struct record_head *head = record_head(record);

    if (!conn_has_output(record, head))
        return 0;
    return head->file_fd >= 0 || conn_room(record, head) < PIPELINE_ROOM ||
           state_seen(record)->flags & EXCHANGE_CLOSE;
}

static enum outcome one_round(struct worker *worker, struct record *record)
{
    enum outcome outcome;
    int failed = 0;

    if (flush_first(record)) {
        outcome = flush(worker, record);
        if (outcome != GO_ON)
            return outcome;
    }
    if (take_step(worker, record, &failed) && !failed)
        return GO_ON;
    if (conn_has_output(record, record_head(record)) || state_seen(record)->step == EXCHANGE_SEND) {
        outcome = flush(worker, record);
        if (outcome != GO_ON || failed || state_seen(record)->step == EXCHANGE_SEND)
            return outcome; /* what did not fit is tried again with an empty ring */
    }
    if (failed) {
        worker_again_later(worker, record);
        return REST;
    }
    return fill(worker, record);
}

static void drive(struct worker *worker, struct record *record)
{
    const uint64_t rx = record->rx, tx = record->tx;
    enum outcome outcome = GO_ON;

    for (int i = 0; i < STEPS_A_DRIVE && outcome == GO_ON; i++)
        outcome = one_round(worker, record);
    if (outcome == CLOSED)
        return;
    if (outcome == GO_ON)
        worker_again(worker, record);
    conn_settle(worker, record);
    plan_deadline(worker, record, record->rx != rx, record->tx != tx);
}

/* The job went with the process that had it. */
static void resume(struct worker *worker, struct record *record)
{
    struct exchange exchange = exchange_begin(worker, record);

    blame_begins(&exchange);
    handler_of(&exchange)->resume(&exchange);
    blame_ends(&exchange);
    end_transaction(&exchange);
    if (exchange.failed)
        worker_again_later(worker, record);
}

void exchange_ready(struct worker *worker, struct record *record, unsigned events)
{
    struct conn_side *side = worker_side(worker, record);

    if (events & READY_IN)
        side->readable = 1;
    if (events & READY_OUT)
        side->writable = 1;
    if (events & READY_TO_THE_END)
        side->read_to_the_end = 1;
    if (state_seen(record)->step == EXCHANGE_LINGER) {
        if (conn_discard(worker, record))
            conn_close(worker, record);
        return;
    }
    if (state_seen(record)->step == EXCHANGE_HANDLE && !side->is_working)
        resume(worker, record);
    /* Most events of an idle connection say that it could be written to. */
    if (!side->readable && !conn_has_output(record, record_head(record)) &&
        !conn_input_length(record, record_head(record)))
        return;
    drive(worker, record);
}

/* --- the rest of the class --- */

void exchange_opened(struct worker *worker, struct record *record)
{
    struct record_head *head = record_begin(record);

    *state_of(head) = (struct exchange_state){.step = EXCHANGE_READ_HEAD};
    record_commit(record);
    set_timing(worker, record, TIMING_HEAD, http_of(worker)->config->header_timeout_ms, 1);
}

/* Deadlines live in the record; what the present one is for follows from the rest. */
static enum timing timing_of(const struct record *record)
{
    const struct record_head *head = record_head(record);

    if (state_seen(record)->step == EXCHANGE_LINGER)
        return TIMING_LINGER;
    if (conn_has_output(record, head))
        return TIMING_WRITE;
    if (state_seen(record)->step == EXCHANGE_READ_BODY)
        return TIMING_BODY;
    if (state_seen(record)->step != EXCHANGE_READ_HEAD)
        return TIMING_NONE;
    return conn_input_length(record, head) || record->rx == 0 ? TIMING_HEAD : TIMING_IDLE;
}

void exchange_revived(struct worker *worker, struct record *record)
{
    const struct exchange_state *state = state_seen(record);

    worker_side(worker, record)->timing = (uint8_t)timing_of(record);
    if (state->request >= http_of(worker)->next_request)
        http_of(worker)->next_request = state->request + 1;
    if (state->step == EXCHANGE_LINGER)
        linger_begins(worker, record);
}

static void answer_timeout(struct worker *worker, struct record *record)
{
    struct exchange exchange = exchange_begin(worker, record);

    exchange.state->flags |= EXCHANGE_CLOSE | EXCHANGE_BODY_UNREAD;
    exchange_respond_error(&exchange, 408, SLICE_LITERAL("request_timeout"));
    end_transaction(&exchange);
    if (exchange.failed)
        conn_close(worker, record);
    else
        drive(worker, record);
}

void exchange_expired(struct worker *worker, struct record *record)
{
    const struct record_head *head = record_head(record);
    enum exchange_step step = (enum exchange_step)state_seen(record)->step;
    int is_reading =
        (step == EXCHANGE_READ_HEAD && conn_input_length(record, head)) || step == EXCHANGE_READ_BODY;

    if (is_reading && !conn_has_output(record, head))
        answer_timeout(worker, record);
    else if (conn_has_output(record, head) && conn_drains(worker, record))
        worker_set_deadline(worker, record,
                            worker->now_ns + http_of(worker)->config->write_timeout_ms * NS_PER_MS);
    else
        conn_close(worker, record);
}

int exchange_is_idle(const struct record *record, uint64_t now_ns)
{
    const struct record_head *head = record_head(record);

    if (!record->rx && now_ns - record->opened_ns < FRESH_NS)
        return 0;
    return state_seen(record)->step == EXCHANGE_READ_HEAD && !conn_input_length(record, head) &&
           !conn_has_output(record, head);
}

/* --- work in the pool --- */

struct exchange_ticket exchange_ticket(const struct exchange *exchange)
{
    return (struct exchange_ticket){.http = exchange->http,
                                    .record = arena_number(&exchange->worker->arena, exchange->record),
                                    .request = exchange->state->request};
}

int exchange_reopen(const struct exchange_ticket *ticket, struct exchange *exchange)
{
    struct worker *worker = ticket->http->worker;
    struct record *record = arena_record(&worker->arena, ticket->record);

    if (record->life != RECORD_OPEN || state_seen(record)->step != EXCHANGE_HANDLE ||
        state_seen(record)->request != ticket->request)
        return 0;
    worker->intent->record = ticket->record + 1;
    COMPILER_BARRIER();
    worker_side(worker, record)->is_working = 0;
    *exchange = exchange_begin(worker, record);
    return 1;
}

void exchange_finish(struct exchange *exchange)
{
    end_transaction(exchange);
    if (exchange->failed)
        worker_again_later(exchange->worker, exchange->record);
    else
        drive(exchange->worker, exchange->record);
    COMPILER_BARRIER();
    exchange->worker->intent->record = 0;
}

/* --- after a crash --- */

/* The request that was being handled: its head is taken if the handler had asked for more (READ_BODY, HANDLE);
 * otherwise it still lies in the ring and is taken now, unheard. Returns 0 if its end cannot be told. */
static int skip_request(struct exchange *exchange)
{
    static struct h1_head request;
    struct exchange_state *state = exchange->state;
    struct slice input = conn_input_whole(exchange->worker, exchange->record, exchange->head);
    enum h1_refusal refusal;
    uint32_t length = 0, scanned = 0;

    if (state->step == EXCHANGE_HANDLE)
        return 1;
    if (state->step != EXCHANGE_READ_HEAD ||
        h1_head_find_end(input.at, (uint32_t)input.length, head_limit(exchange->http), &scanned, &length) ||
        h1_head_parse(input.at, length, &request, &refusal))
        return 0;
    note_request(exchange, &request);
    exchange->head->taken += length;
    state->scanned = 0;
    state->request = exchange->http->next_request++;
    return 1;
}

void exchange_blamed(struct worker *worker, struct record *record)
{
    struct exchange exchange = exchange_begin(worker, record);
    enum exchange_step step = (enum exchange_step)exchange.state->step;
    int can_go_on;

    if (step == EXCHANGE_SEND || step == EXCHANGE_LINGER || exchange.head->crashes > 0) {
        log_event(LOG_WARN, LOG_EV_REQUEST_POISONED, "fd=%u crashes=%u outcome=closed",
                  arena_number(&worker->arena, record), exchange.head->crashes + 1u);
        worker->arena.page->poisoned++;
        conn_close(worker, record);
        return;
    }
    if (step == EXCHANGE_READ_HEAD && !conn_input_length(record, exchange.head)) {
        conn_close(worker, record); /* nothing was asked, so nothing is answered */
        return;
    }
    exchange.head->crashes++;
    can_go_on = skip_request(&exchange);
    if (!can_go_on)
        exchange.state->flags |= EXCHANGE_CLOSE | EXCHANGE_BODY_UNREAD;
    exchange_respond_error(&exchange, 500, SLICE_LITERAL("handler_crashed"));
    if (exchange.failed) {
        conn_close(worker, record);
        return;
    }
    record_commit(record);
    worker->arena.page->poisoned++;
    log_event(LOG_WARN, LOG_EV_REQUEST_POISONED, "fd=%u request=%llx outcome=500",
              arena_number(&worker->arena, record), (unsigned long long)exchange.state->request);
}

static void exchange_abandon(struct worker *worker, struct record *record)
{
    conn_close(worker, record);
}

const struct conn_class http_class = {
    .name = "http",
    .opened = exchange_opened,
    .ready = exchange_ready,
    .expired = exchange_expired,
    .revived = exchange_revived,
    .blamed = exchange_blamed,
    .is_idle = exchange_is_idle,
    .abandon = exchange_abandon,
};
