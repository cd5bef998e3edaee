#include "http/exchange.h"

#include "base/assert.h"
#include "base/log.h"
#include "core/redo.h"
#include "http/account.h"
#include "http/deadlines.h"
#include "http/passport.h"
#include "http/request.h"
#include "net/tunnel.h"

#include <string.h>

/* In the ring, before another request is looked at: then whatever a handler answers fits, and none is asked twice. */
#define PIPELINE_ROOM (EXCHANGE_BODY_MAX + EXCHANGE_HEAD_MAX)
#define STEPS_A_DRIVE 128
#define FRESH_NS NS_PER_S /* whoever has just connected is about to ask: not idle yet */

static struct exchange_state *state_of(struct record_head *head)
{
    return exchange_state_in(head);
}

static struct http *http_of(struct worker *worker)
{
    return worker->application;
}

struct exchange exchange_begin(struct worker *worker, struct record *record)
{
    struct record_head *head = record_begin(record);

    redo_begin(&worker->arena);
    return (struct exchange){.http = http_of(worker),
                             .worker = worker,
                             .record = record,
                             .head = head,
                             .state = state_of(head),
                             .note_before = state_of(head)->note,
                             .plan_before = head->plan_block,
                             .spool_before = head->spool};
}

struct record_head *exchange_with(struct exchange *exchange, struct record *partner)
{
    exchange->partner = partner;
    exchange->partner_head = record_begin(partner);
    redo_partner(&exchange->worker->arena, partner);
    return exchange->partner_head;
}

static void detach(struct exchange *exchange)
{
    if (exchange->state->step == EXCHANGE_RELAY)
        request_handler(exchange)->detach(exchange);
}

static void leave(struct worker *worker, struct record *record,
                  void (*close_it)(struct worker *, struct record *))
{
    if (http_of(worker)->client_leaves)
        http_of(worker)->client_leaves(worker, record);
    close_it(worker, record);
}

void exchange_close(struct worker *worker, struct record *record, enum log_end end)
{
    if (exchange_seen(record)->step == EXCHANGE_RELAY) {
        struct exchange exchange = exchange_begin(worker, record);

        detach(&exchange);
        exchange_end(&exchange);
    }
    account_abort(http_of(worker), record, end);
    leave(worker, record, conn_close);
}

/* --- the steps: each returns 1 if it got on, 0 if it needs more input --- */

void exchange_end(struct exchange *exchange)
{
    if (!exchange->failed)
        account_settle(exchange);
    if (exchange->failed)
        return;
    account_commit(exchange);
    if (exchange->plan_before && exchange->plan_before != exchange->head->plan_block)
        conn_give_plan(exchange->worker, exchange->plan_before);
    if (exchange->spool_before && exchange->spool_before != exchange->head->spool)
        worker_file_drop(exchange->worker, (int)exchange->spool_before - 1);
}

static uint32_t head_limit(const struct http *http)
{
    return http->config->limits.max_header_size;
}

static int finds_head(struct exchange *exchange, struct slice input, uint32_t *length,
                      enum h1_refusal *refusal)
{
    uint32_t available = (uint32_t)input.length, scanned = exchange->state->scanned;
    int result = h1_head_find_end(input.at, available, head_limit(exchange->http), &scanned, length);

    exchange->state->scanned = (uint16_t)scanned;
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

    if (!input.length || worker_side(exchange->worker, exchange->record)->is_working)
        return 0;
    if (!finds_head(exchange, input, &length, &refusal)) {
        exchange_end(exchange); /* how far was looked */
        return 0;
    }
    deadline_head_ends(exchange->worker, exchange->record);
    account_begin(exchange);
    state->scanned = 0;
    if (refusal == H1_REFUSE_NOTHING && h1_head_parse(input.at, length, &request, &refusal) == 0)
        refusal = over_limits(exchange->http, &request);
    if (refusal == H1_REFUSE_NOTHING) {
        exchange->head->taken += length;
        request_begin(exchange, &request);
    } else {
        state->flags = 0;
        request_refuse(exchange, refusal);
    }
    if (!exchange->failed)
        worker_side(exchange->worker, exchange->record)->postponed = 0;
    exchange_end(exchange);
    return 1;
}

static int body_by_length(struct exchange *exchange, struct slice input)
{
    struct exchange_state *state = exchange->state;
    uint64_t length = input.length < state->body_left ? input.length : state->body_left;

    if (!length && state->body_left)
        return 0;
    if (length)
        request_handler(exchange)->body(exchange, (struct slice){input.at, length});
    exchange->head->taken += length;
    state->body_left -= length;
    state->body_taken += length;
    if (!state->body_left && state->step == EXCHANGE_READ_BODY)
        request_body_ends(exchange);
    return 1;
}

static int body_is_over(const struct exchange *exchange)
{
    const struct route_settings *settings = exchange_settings(exchange->http, exchange->state);

    return settings && settings->max_body && exchange->state->body_taken > settings->max_body;
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
        if (body_is_over(exchange))
            request_refuse(exchange, H1_REFUSE_CONTENT_TOO_LARGE);
        else
            request_handler(exchange)->body(exchange, data);
    } else if (result == H1_CHUNKS_END) {
        request_body_ends(exchange);
    } else if (result != ERR_PARTIAL) {
        request_refuse(exchange, refusal);
    }
    return 1;
}

static int step_read_body(struct exchange *exchange)
{
    struct slice input = conn_input(exchange->worker, exchange->record, exchange->head);
    int got_on;

    request_blame_begins(exchange);
    if (exchange->state->flags & EXCHANGE_CHUNKED_BODY)
        got_on = body_by_chunks(exchange, input);
    else
        got_on = body_by_length(exchange, input);
    request_blame_ends(exchange);
    if (got_on)
        exchange_end(exchange);
    return got_on;
}

/* In memory, the response is as good as sent: the ring will send it, whatever happens here. */
static int step_send(struct exchange *exchange)
{
    if (exchange->state->flags & EXCHANGE_CLOSE || exchange->head->file_fd >= 0)
        return 0;
    exchange->state->step = EXCHANGE_READ_HEAD;
    exchange->state->flags = 0;
    exchange_end(exchange);
    return 1;
}

static int step_stream(struct exchange *exchange)
{
    if (exchange->worker->now_ns < exchange->state->handler_state[EXCHANGE_STREAM_DUE])
        return 0;
    request_blame_begins(exchange);
    request_handler(exchange)->tick(exchange);
    request_blame_ends(exchange);
    exchange_end(exchange);
    return 1;
}

/* --- closing --- */

/* Also after a death in the middle of it: a second FIN is none. */
static void linger_begins(struct worker *worker, struct record *record)
{
    conn_shut(record, arena_number(&worker->arena, record));
    deadline_linger(worker, record);
}

static void linger(struct worker *worker, struct record *record)
{
    struct record_head *head = record_begin(record);

    state_of(head)->step = EXCHANGE_LINGER;
    record_commit(record);
    linger_begins(worker, record);
    if (conn_discard(worker, record)) /* the peer's FIN may have been there all the time */
        exchange_close(worker, record, LOG_END_COMPLETE);
}

/* The response with CLOSE is out. A close(2) with unread input would send a RST, which can destroy what the client
 * has not read yet (RFC 9112 section 9.6): then our FIN goes first, and we wait for theirs. What is unread may lie in the
 * socket, too: nothing is received while a file is on its way. */
static void close_after_response(struct worker *worker, struct record *record)
{
    const struct record_head *head;
    int may_send;

    account_abort(http_of(worker), record,
                  exchange_seen(record)->flags & EXCHANGE_CUT ? LOG_END_UPSTREAM_FAILED : LOG_END_COMPLETE);
    head = record_head(record);
    may_send = exchange_seen(record)->flags & EXCHANGE_BODY_UNREAD || conn_input_length(record, head) ||
               worker_side(worker, record)->readable;
    if (exchange_seen(record)->flags & EXCHANGE_CUT && exchange_seen(record)->flags & EXCHANGE_BY_END)
        leave(worker, record, conn_reset); /* a FIN would say that it is whole */
    else if (head->end_of_input || !may_send)
        leave(worker, record, conn_close);
    else
        linger(worker, record);
}

/* --- driving --- */

static int take_step(struct worker *worker, struct record *record, int *failed)
{
    struct exchange exchange = exchange_begin(worker, record);
    /* A plain-fork build has no spare to undo to. */
    struct record_head saved;
    int got_on = 0;

    if (!ARENA_SHARED)
        saved = *exchange.head;
    switch ((enum exchange_step)exchange.state->step) {
    case EXCHANGE_READ_HEAD:
        got_on = step_read_head(&exchange);
        break;
    case EXCHANGE_READ_BODY:
        got_on = step_read_body(&exchange);
        break;
    case EXCHANGE_STREAM:
        got_on = step_stream(&exchange);
        break;
    case EXCHANGE_SEND:
        got_on = step_send(&exchange);
        break;
    case EXCHANGE_HANDLE:
    case EXCHANGE_LINGER:
    case EXCHANGE_RELAY:
        break;
    }
    if (exchange.failed && exchange.failed_with)
        exchange.failed_with(&exchange);
    if (exchange.failed)
        conn_undo(worker, exchange.head, ARENA_SHARED ? record_head(record) : &saved);
    if (exchange.failed && !ARENA_SHARED)
        *exchange.head = saved;
    *failed = exchange.failed && !exchange.postponed;
    return got_on;
}

/* A part of the response is sent: the next one. */
static enum exchange_outcome next_part(struct worker *worker, struct record *record)
{
    const uint32_t plan_block = record_head(record)->plan_block;
    struct exchange exchange = exchange_begin(worker, record);

    request_handler(&exchange)->more(&exchange);
    if (exchange.failed) {
        worker_again_later(worker, record);
        return EXCHANGE_REST;
    }
    record_commit(record);
    if (!record_head(record)->plan_block)
        conn_give_plan(worker, plan_block);
    return EXCHANGE_GO_ON;
}

static enum exchange_outcome flush(struct worker *worker, struct record *record)
{
    int result = conn_flush(worker, record);

    if (result == ERR_AGAIN || result == ERR_BUSY)
        return EXCHANGE_REST;
    if (result) {
        exchange_close(worker, record, result == ERR_IO ? LOG_END_FILE_FAILED : LOG_END_CLIENT_RESET);
        return EXCHANGE_CLOSED;
    }
    if (exchange_seen(record)->step != EXCHANGE_SEND)
        return EXCHANGE_GO_ON;
    if (record_head(record)->plan_block)
        return next_part(worker, record);
    if (exchange_seen(record)->flags & EXCHANGE_CLOSE) {
        close_after_response(worker, record);
        return EXCHANGE_CLOSED;
    }
    conn_settle(worker, record); /* the file is through */
    return EXCHANGE_GO_ON;
}

/* What the client sends meanwhile waits in its socket. */
static int is_busy_otherwise(struct worker *worker, const struct record *record)
{
    const enum exchange_step step = (enum exchange_step)exchange_seen(record)->step;

    return step == EXCHANGE_HANDLE || step == EXCHANGE_STREAM || worker_side(worker, record)->is_working;
}

/* The peer sends no more. What it sent was answered, unless it broke off in the middle. */
static enum exchange_outcome input_ended(struct worker *worker, struct record *record)
{
    if (is_busy_otherwise(worker, record))
        return EXCHANGE_REST;
    exchange_close(worker, record, LOG_END_CLIENT_CLOSED);
    return EXCHANGE_CLOSED;
}

static enum exchange_outcome fill(struct worker *worker, struct record *record)
{
    int result;

    if (record_head(record)->end_of_input)
        return input_ended(worker, record);
    if (!worker_side(worker, record)->readable || is_busy_otherwise(worker, record))
        return EXCHANGE_REST;
    result = conn_fill(worker, record);
    if (result >= 0)
        return EXCHANGE_GO_ON;
    if (result == ERR_AGAIN || result == ERR_LIMIT)
        return EXCHANGE_REST;
    if (result == ERR_NO_MEMORY) {
        (void)worker_make_room(worker); /* whoever waits in the middle of a head holds a block */
        worker_again_later(worker, record);
        return EXCHANGE_REST;
    }
    exchange_close(worker, record, LOG_END_CLIENT_RESET);
    return EXCHANGE_CLOSED;
}

/* 1 when the ring should be sent before more is put into it. */
static int flush_first(const struct record *record)
{
    const struct record_head *head = record_head(record);

    if (!conn_has_output(record, head))
        return 0;
    return head->file_fd >= 0 || conn_room(record, head) < PIPELINE_ROOM ||
           exchange_seen(record)->flags & EXCHANGE_CLOSE;
}

static enum exchange_outcome one_round(struct worker *worker, struct record *record)
{
    enum exchange_outcome outcome;
    int failed = 0;

    if (exchange_seen(record)->step == EXCHANGE_RELAY)
        return http_of(worker)->handlers[exchange_seen(record)->handler]->relay(worker, record);
    if (flush_first(record)) {
        outcome = flush(worker, record);
        if (outcome != EXCHANGE_GO_ON)
            return outcome;
    }
    if (take_step(worker, record, &failed) && !failed)
        return EXCHANGE_GO_ON;
    if (conn_has_output(record, record_head(record)) || exchange_seen(record)->step == EXCHANGE_SEND) {
        outcome = flush(worker, record);
        if (outcome != EXCHANGE_GO_ON || failed || exchange_seen(record)->step == EXCHANGE_SEND)
            return outcome; /* what did not fit is tried again with an empty ring */
    }
    if (failed) {
        worker_again_later(worker, record);
        return EXCHANGE_REST;
    }
    return fill(worker, record);
}

void exchange_drive(struct worker *worker, struct record *record)
{
    const uint64_t rx = record->rx, tx = record->tx;
    enum exchange_outcome outcome = EXCHANGE_GO_ON;

    for (int i = 0; i < STEPS_A_DRIVE && outcome == EXCHANGE_GO_ON; i++)
        outcome = one_round(worker, record);
    if (outcome == EXCHANGE_CLOSED)
        return;
    if (outcome == EXCHANGE_GO_ON)
        worker_again(worker, record);
    conn_settle(worker, record);
    deadline_plan(worker, record, record->rx != rx, record->tx != tx);
}

/* The job went with the process that had it. */
static void resume(struct worker *worker, struct record *record)
{
    struct exchange exchange = exchange_begin(worker, record);

    request_blame_begins(&exchange);
    request_handler(&exchange)->resume(&exchange);
    request_blame_ends(&exchange);
    exchange_end(&exchange);
    if (exchange.failed)
        worker_again_later(worker, record);
}

/* It is not heard first: whoever sends nothing would have its place all the same. 0 when memory is short. */
static int turn_away(struct worker *worker, struct record *record)
{
    struct exchange exchange = exchange_begin(worker, record);

    account_begin(&exchange);
    exchange.state->flags = EXCHANGE_CLOSE | EXCHANGE_BODY_UNREAD;
    exchange_respond_error(&exchange, 503, SLICE_LITERAL("too_many_connections_from_address"));
    exchange_end(&exchange);
    if (exchange.failed)
        worker_again_later(worker, record);
    return !exchange.failed;
}

void exchange_ready(struct worker *worker, struct record *record, unsigned events)
{
    struct conn_side *side = worker_side(worker, record);

    conn_note_events(side, events);
    /* In a tunnel both sides may have sent their FIN, with bytes before it that nobody has read yet. */
    if (events & READY_GONE && exchange_seen(record)->step == EXCHANGE_RELAY &&
        exchange_seen(record)->status != 101) {
        exchange_close(worker, record, LOG_END_CLIENT_RESET);
        return;
    }
    if (exchange_seen(record)->step == EXCHANGE_LINGER) {
        if (conn_discard(worker, record))
            exchange_close(worker, record, LOG_END_COMPLETE);
        else if (events & READY_IN)
            deadline_linger_on(worker, record);
        return;
    }
    if (exchange_seen(record)->is_turned_away && exchange_seen(record)->step == EXCHANGE_READ_HEAD &&
        !turn_away(worker, record))
        return;
    if (exchange_seen(record)->step == EXCHANGE_HANDLE && !side->is_working)
        resume(worker, record);
    /* Most events of an idle connection say that it could be written to. */
    if (exchange_seen(record)->step != EXCHANGE_RELAY && !side->readable &&
        !conn_has_output(record, record_head(record)) && !conn_input_length(record, record_head(record)))
        return;
    exchange_drive(worker, record);
}

/* --- the rest of the class --- */

/* Whoever is turned away is not counted: while we linger, its client may come again. */
void exchange_opened(struct worker *worker, struct record *record, struct record_head *head)
{
    const uint8_t is_over = worker_side(worker, record)->is_over;

    *state_of(head) = (struct exchange_state){.step = EXCHANGE_READ_HEAD, .is_turned_away = is_over};
    deadline_opened(worker, record);
}

void exchange_revived(struct worker *worker, struct record *record)
{
    const struct exchange_state *state = exchange_seen(record);

    deadline_revived(worker, record);
    account_revived(http_of(worker), record);
    if (state->is_turned_away)
        worker_uncount_client(worker, record);
    if (state->request >= http_of(worker)->next_request)
        http_of(worker)->next_request = state->request + 1;
    if (state->step == EXCHANGE_LINGER)
        linger_begins(worker, record);
    tunnel_revived(worker, record);
}

static void answer_timeout(struct worker *worker, struct record *record, struct slice reason)
{
    struct exchange exchange = exchange_begin(worker, record);

    if (exchange.state->step == EXCHANGE_READ_HEAD)
        account_begin(&exchange);
    detach(&exchange);
    exchange.state->flags |= EXCHANGE_CLOSE | EXCHANGE_BODY_UNREAD;
    exchange_respond_error(&exchange, 408, reason);
    exchange_end(&exchange);
    if (exchange.failed)
        exchange_close(worker, record, LOG_END_TIMEOUT);
    else
        exchange_drive(worker, record);
}

void exchange_expired(struct worker *worker, struct record *record)
{
    struct slice reason = {"", 0};

    switch (deadline_passed(worker, record, &reason)) {
    case DEADLINE_MOVED:
        break;
    case DEADLINE_ANSWER:
        answer_timeout(worker, record, reason);
        break;
    case DEADLINE_DRIVE:
        exchange_drive(worker, record);
        break;
    case DEADLINE_CLOSE:
        exchange_close(worker, record, LOG_END_TIMEOUT);
        break;
    }
}

int exchange_is_idle(const struct record *record, uint64_t now_ns)
{
    const struct record_head *head = record_head(record);

    if (!exchange_has_asked(record) && now_ns - record->opened_ns < FRESH_NS)
        return 0;
    return exchange_seen(record)->step == EXCHANGE_READ_HEAD && !conn_input_length(record, head) &&
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

    if (record->life != RECORD_OPEN || exchange_seen(record)->step != EXCHANGE_HANDLE ||
        exchange_seen(record)->request != ticket->request)
        return 0;
    worker->intent->record = ticket->record + 1;
    COMPILER_BARRIER();
    worker_side(worker, record)->is_working = 0;
    *exchange = exchange_begin(worker, record);
    return 1;
}

void exchange_finish(struct exchange *exchange)
{
    exchange_end(exchange);
    if (exchange->failed)
        worker_again_later(exchange->worker, exchange->record);
    else
        exchange_drive(exchange->worker, exchange->record);
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

    if (state->step == EXCHANGE_HANDLE ||
        (state->step == EXCHANGE_RELAY && !(state->flags & EXCHANGE_BODY_UNREAD)))
        return 1;
    if (state->step == EXCHANGE_READ_HEAD)
        account_begin(exchange);
    if (state->step != EXCHANGE_READ_HEAD ||
        h1_head_find_end(input.at, (uint32_t)input.length, head_limit(exchange->http), &scanned, &length) ||
        h1_head_parse(input.at, length, &request, &refusal))
        return 0;
    request_note(exchange, &request);
    exchange->head->taken += length;
    state->scanned = 0;
    exchange->request = &request;
    (void)route_site(exchange, &request); /* its log */
    return 1;
}

void exchange_blamed(struct worker *worker, struct record *record)
{
    struct exchange exchange = exchange_begin(worker, record);
    enum exchange_step step = (enum exchange_step)exchange.state->step;
    struct slice id;
    int can_go_on;

    if (step == EXCHANGE_STREAM || step == EXCHANGE_SEND || step == EXCHANGE_LINGER ||
        (step == EXCHANGE_RELAY && exchange.state->status) || exchange.head->crashes > 0) {
        log_event(LOG_WARN, LOG_EV_REQUEST_POISONED, "fd=%u crashes=%u outcome=closed",
                  arena_number(&worker->arena, record), exchange.head->crashes + 1u);
        worker->arena.page->poisoned++;
        exchange_close(worker, record, LOG_END_CRASHED);
        return;
    }
    if (step == EXCHANGE_READ_HEAD && !conn_input_length(record, exchange.head)) {
        exchange_close(worker, record, LOG_END_CRASHED); /* nothing was asked, so nothing is answered */
        return;
    }
    exchange.head->crashes++;
    detach(&exchange);
    can_go_on = skip_request(&exchange);
    if (!can_go_on)
        exchange.state->flags |= EXCHANGE_CLOSE | EXCHANGE_BODY_UNREAD;
    exchange_respond_error(&exchange, 500, SLICE_LITERAL("handler_crashed"));
    id = exchange_id(&exchange);
    exchange_end(&exchange);
    if (exchange.failed) {
        exchange_close(worker, record, LOG_END_CRASHED);
        return;
    }
    worker->arena.page->poisoned++;
    log_event(LOG_WARN, LOG_EV_REQUEST_POISONED, "fd=%u request=%.*s outcome=500",
              arena_number(&worker->arena, record), (int)id.length, id.at);
}

static int exchange_part(struct worker *worker, struct record *record)
{
    const struct handler *handler = http_of(worker)->handlers[exchange_seen(record)->handler];

    return exchange_seen(record)->step == EXCHANGE_RELAY && handler->part && handler->part(worker, record);
}

static void exchange_abandon(struct worker *worker, struct record *record)
{
    exchange_close(worker, record,
                   exchange_seen(record)->flags & EXCHANGE_TOLD ? LOG_END_DRAINED : LOG_END_STOPPED);
}

const struct conn_class http_class = {
    .name = "http",
    .opened = exchange_opened,
    .ready = exchange_ready,
    .expired = exchange_expired,
    .revived = exchange_revived,
    .blamed = exchange_blamed,
    .is_idle = exchange_is_idle,
    .may_yield = deadline_may_yield,
    .part = exchange_part,
    .abandon = exchange_abandon,
    .describe = account_describe,
    .mover = &http_mover,
};
