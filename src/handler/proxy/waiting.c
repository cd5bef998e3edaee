/* Servers are chosen, waited for, and chosen again after a failure. */
#include "handler/proxy/internal.h"

#include "base/assert.h"
#include "base/log.h"
#include "net/proxy_header.h"

#include <string.h>

#define NONE ((struct slice){"", 0})

static const struct {
    int status;
    struct slice reason;
    enum pools_outcome outcome;
} failures[] = {
#define PROXY_FAILURE_ROW(name, status, reason, outcome) {status, {reason, sizeof(reason) - 1}, outcome},
    PROXY_FAILURE_TABLE(PROXY_FAILURE_ROW)
#undef PROXY_FAILURE_ROW
};

/* --- the plan --- */

struct relay_plan *relay_plan_of(struct worker *worker, const struct record_head *head)
{
    struct relay_plan *plan;

    if (!head->plan_block)
        return NULL;
    plan = (struct relay_plan *)(void *)arena_block(&worker->arena, head->plan_block - 1);
    return plan->magic == RELAY_PLAN_MAGIC ? plan : NULL;
}

static struct relay_plan *take_plan(struct exchange *exchange)
{
    struct relay_plan *plan = relay_plan_of(exchange->worker, exchange->head);

    if (plan)
        return plan;
    plan = conn_take_plan(exchange->worker, exchange->head);
    if (plan)
        memset(plan, 0, offsetof(struct relay_plan, bytes));
    if (plan)
        plan->magic = RELAY_PLAN_MAGIC;
    return plan;
}

static size_t plan_room(const struct relay_plan *plan)
{
    return sizeof plan->bytes - plan->values_length;
}

static struct slice plan_request(const struct relay_plan *plan)
{
    return (struct slice){plan->bytes + plan->values_length, plan->request_length};
}

void waiting_give_up_plan(struct exchange *exchange)
{
    const struct relay_plan *plan = relay_plan_of(exchange->worker, exchange->head);

    if (!exchange->route)
        exchange->edit_route = exchange_route(exchange->http, exchange->state);
    if (plan)
        exchange->edit_values = (struct slice){plan->bytes, plan->values_length};
    if (exchange->head->plan_block && exchange->head->plan_block != exchange->plan_before)
        conn_give_plan(exchange->worker, exchange->head->plan_block); /* nobody else knows of it */
    exchange->head->plan_block = 0;
}

/* --- answers of ours --- */

/* `exchange` is a transaction in RELAY or READ_HEAD. */
static void answer(struct exchange *exchange, int status, struct slice reason)
{
    const struct http_proxy *settings = proxy_settings(exchange);
    char memory[128];
    struct text field;

    waiting_give_up_plan(exchange);
    text_init(&field, memory, sizeof memory);
    if (settings && !settings->hides_errors)
        text_add_f(&field, "Holdfast-Error: %.*s\r\n", (int)reason.length, reason.at);
    exchange->state->step = EXCHANGE_READ_HEAD; /* the body, if any, is not taken: decide_close */
    memset(exchange->state->handler_state, 0, sizeof exchange->state->handler_state);
    exchange_respond_error_with(exchange, status, reason, (struct slice){field.at, field.length});
}

/* Ends the exchange with an answer of ours, or, if the response has begun, with a cut. */
static enum exchange_outcome end_with(struct worker *worker, struct record *client, int status,
                                      struct slice reason)
{
    struct exchange exchange;

    turns_leave(proxy_of(worker)->turns, client);
    exchange = exchange_begin(worker, client);
    exchange.head->spool = 0;
    if (exchange.state->status) {
        exchange.head->plan_block = 0;
        exchange.reason = reason;
        exchange.state->step = EXCHANGE_SEND;
        exchange.state->flags |= EXCHANGE_CLOSE | EXCHANGE_CUT;
        memset(exchange.state->handler_state, 0, sizeof exchange.state->handler_state);
    } else {
        answer(&exchange, status, reason);
    }
    exchange_end(&exchange);
    if (exchange.failed) { /* there is not even memory for that */
        exchange_close(worker, client, LOG_END_UPSTREAM_FAILED);
        return EXCHANGE_CLOSED;
    }
    return EXCHANGE_GO_ON;
}

/* --- binding --- */

static uint64_t until_ns(const struct exchange *exchange, const struct upstream_pool *pool)
{
    const struct http_proxy *settings = proxy_settings(exchange);
    const uint64_t whole_ms = settings && settings->whole_ms ? settings->whole_ms : pool->whole_ms;

    return whole_ms ? exchange->state->began_ns + whole_ms * NS_PER_MS : 0;
}

/* A failed transaction: what was taken for it is given back. */
static void unbind_leg(struct exchange *exchange)
{
    struct record *leg = exchange->partner;
    const uint32_t member = leg_state_in(exchange->partner_head)->member;

    turns_unhold(proxy_of(exchange->worker)->turns, leg);
    if (ARENA_SHARED)
        conn_undo(exchange->worker, exchange->partner_head, record_head(leg));
    leg_return(exchange->worker, &leg, member);
}

/* A new connection begins with who it is made for, where its servers want that. 0 or ERR_NO_MEMORY. */
static int announce(const struct exchange *exchange, const struct record *leg, struct record_head *head,
                    const struct upstream_pool *pool)
{
    struct leg_state *state = leg_state_in(head);
    char header[PROXY_PROTOCOL_MADE_MAX];
    size_t length;

    if (!pool->send_header || state->flags & LEG_REUSED)
        return 0;
    length = proxy_header_make(&exchange->worker->arena, exchange->record, pool->send_header, header);
    if (conn_put(exchange->worker, leg, head, (struct slice){header, length}))
        return ERR_NO_MEMORY;
    state->request_from = head->made;
    state->flags |= LEG_ANNOUNCED;
    return 0;
}

/* In the client's transaction. 0 or ERR_NO_MEMORY. */
static int bind_leg(struct exchange *exchange, struct record *leg, uint32_t member, struct slice request)
{
    struct relay_state *relay = relay_state_in(exchange->state);
    const struct upstream_pool *pool = proxy_pool(proxy_of(exchange->worker), relay->pool);
    struct record_head *head = exchange_with(exchange, leg);
    struct leg_state *state = leg_state_in(head);
    const int is_reused = state->step == LEG_IDLE;
    const uint64_t held = relay->leg ? 0 : relay->leg_serial;

    exchange->failed_with = unbind_leg;
    *state = (struct leg_state){
        .step = is_reused ? LEG_BUSY : LEG_CONNECTING,
        .flags = (uint8_t)((is_reused ? LEG_REUSED | (state->flags & LEG_ANNOUNCED) : 0) |
                           (exchange->state->flags & EXCHANGE_HEAD_ONLY ? LEG_HEAD_REQUEST : 0)),
        .member = member,
        .client = arena_number(&exchange->worker->arena, exchange->record) + 1,
        .client_serial = exchange->record->serial,
        .request = exchange->state->request,
        .request_from = head->made,
        .answer_from = leg->rx,
        .until_ns = until_ns(exchange, pool)};
    if (announce(exchange, leg, head, pool) || conn_put(exchange->worker, leg, head, request))
        return ERR_NO_MEMORY;
    if (held) {
        conn_put_file(exchange->worker, head, (int)exchange->head->spool - 1, 0, held);
        /* The rest follows when the file is through. */
        if (exchange->state->flags & EXCHANGE_BODY_UNREAD)
            state->flags |= LEG_NO_REPLAY;
    }
    relay->leg = arena_number(&exchange->worker->arena, leg) + 1;
    relay->leg_serial = leg->serial;
    relay->tries++;
    relay->due_ns = 0;
    turns_hold(proxy_of(exchange->worker)->turns, leg);
    leg_plan_first(exchange->worker, leg, exchange->state, state);
    return 0;
}

/* A server that takes it, and a connection to it. 0; ERR_BUSY: wait; or another error. *reason, if not 0. */
static int find_server(struct worker *worker, const struct record *client, const struct relay_state *relay,
                       const struct relay_plan *plan, uint32_t *member, struct record **leg,
                       struct slice *reason)
{
    struct proxy *proxy = proxy_of(worker);
    struct pools_wish wish = {.hash = relay->hash};
    int result;

    if (plan) {
        wish.tried_count = plan->tried_count;
        memcpy(wish.tried, plan->tried, sizeof wish.tried);
    }
    result = turns_pick(proxy->turns, client, relay->pool, &wish, member, reason);
    if (result)
        return result;
    result = leg_take(worker, client, *member, relay->flags & RELAY_FRESH, leg);
    if (!result)
        return 0;
    pools_release(proxy->pools, *member);
    *reason = result == ERR_NO_DESCRIPTORS ? SLICE_LITERAL("no_descriptors") : SLICE_LITERAL("no_memory");
    return ERR_UNREACHABLE;
}

/* --- at the beginning --- */

static void wait_in_queue(struct exchange *exchange, struct slice request, struct slice reason)
{
    struct relay_state *relay = relay_state_in(exchange->state);
    const struct proxy *proxy = proxy_of(exchange->worker);
    const struct upstream_pool *pool = proxy_pool(proxy, relay->pool);
    struct relay_plan *plan;

    if (turns_waiting(proxy->turns, relay->pool) >= pool->queue) {
        answer(exchange, 503, reason);
        return;
    }
    plan = take_plan(exchange);
    if (!plan) {
        exchange->failed = 1;
        return;
    }
    if (request.length > plan_room(plan)) {
        answer(exchange, 503, reason);
        return;
    }
    memcpy(plan->bytes + plan->values_length, request.at, request.length);
    plan->request_length = (uint32_t)request.length;
    relay->due_ns = exchange->worker->now_ns + pool->queue_ms * NS_PER_MS;
}

/* Values of header changes that speak of the request. 0 or an error. */
static int save_values(struct exchange *exchange)
{
    static char memory[ROUTE_PATH_MAX];
    struct relay_plan *plan;
    struct text values;

    text_init(&values, memory, sizeof memory);
    if (exchange_save_edits(exchange, &values))
        return ERR_LIMIT;
    if (!values.length)
        return 0;
    plan = take_plan(exchange);
    if (!plan)
        return ERR_NO_MEMORY;
    memcpy(plan->bytes, values.at, values.length);
    plan->values_length = (uint32_t)values.length;
    return 0;
}

void waiting_begin(struct exchange *exchange, struct slice request)
{
    struct relay_state *relay = relay_state_in(exchange->state);
    struct slice reason = NONE;
    struct record *leg = NULL;
    uint32_t member = POOLS_NO_MEMBER;
    int result = save_values(exchange);

    if (result == ERR_NO_MEMORY)
        exchange->failed = 1;
    if (result == ERR_LIMIT)
        answer(exchange, 500, SLICE_LITERAL("header_too_large"));
    if (result)
        return;
    exchange->state->step = EXCHANGE_RELAY;
    result = find_server(exchange->worker, exchange->record, relay, NULL, &member, &leg, &reason);
    if (!result)
        exchange->failed = bind_leg(exchange, leg, member, request) != 0;
    else if (result == ERR_BUSY)
        wait_in_queue(exchange, request, reason);
    else
        answer(exchange, 503, reason);
}

/* --- a body is held back first --- */

int waiting_hold(struct exchange *exchange, struct slice request)
{
    struct relay_state *relay = relay_state_in(exchange->state);
    struct relay_plan *plan;

    if (save_values(exchange) || !(plan = take_plan(exchange)))
        return 0;
    if (request.length > plan_room(plan))
        return 0;
    if (relay->flags & RELAY_EXPECTS && conn_put(exchange->worker, exchange->record, exchange->head,
                                                 SLICE_LITERAL("HTTP/1.1 100 Continue\r\n\r\n")))
        return 0;
    memcpy(plan->bytes + plan->values_length, request.at, request.length);
    plan->request_length = (uint32_t)request.length;
    relay->flags = (uint8_t)((relay->flags & ~RELAY_EXPECTS) | RELAY_GATHERS);
    exchange->state->step = EXCHANGE_RELAY;
    return 1;
}

void waiting_gathered(struct worker *worker, struct record *client)
{
    const struct proxy *proxy = proxy_of(worker);
    const struct upstream_pool *pool = proxy_pool(proxy, relay_seen(client)->pool);
    struct exchange exchange = exchange_begin(worker, client);
    struct relay_state *relay = relay_state_in(exchange.state);

    relay->flags &= (uint8_t)~RELAY_GATHERS;
    relay->due_ns = worker->now_ns; /* no place in the queue: not even a moment */
    if (turns_waiting(proxy->turns, relay->pool) < pool->queue)
        relay->due_ns += pool->queue_ms * NS_PER_MS;
    exchange_end(&exchange);
}

/* --- later --- */

/* Nobody is left to be asked: what the last one did says more than that. */
static enum exchange_outcome give_up(struct worker *worker, struct record *client,
                                     const struct relay_plan *plan, int is_busy, struct slice reason)
{
    if (plan->failure && !is_busy)
        return end_with(worker, client, failures[plan->failure - 1].status,
                        failures[plan->failure - 1].reason);
    return end_with(worker, client, 503, reason);
}

enum exchange_outcome waiting_try(struct worker *worker, struct record *client)
{
    const struct relay_state *relay = relay_seen(client);
    struct relay_plan *plan = relay_plan_of(worker, record_head(client));
    struct slice reason = NONE;
    struct record *leg = NULL;
    struct exchange exchange;
    uint32_t member = POOLS_NO_MEMBER;
    int result;

    /* With a leg that is gone it may have been executed: the plan's copy is of before that. */
    if (relay->leg || !plan || !plan->request_length)
        return end_with(worker, client, 502, failures[PROXY_LOST].reason);
    result = find_server(worker, client, relay, plan, &member, &leg, &reason);
    if (result == ERR_BUSY && worker->now_ns < relay->due_ns) {
        turns_wait(proxy_of(worker)->turns, client, relay->pool, relay->due_ns, plan->tried_count > 0);
        worker_again_later(worker, client); /* other workers give places back, too */
        return EXCHANGE_REST;
    }
    if (result)
        return give_up(worker, client, plan, result == ERR_BUSY, reason);
    turns_leave(proxy_of(worker)->turns, client);
    exchange = exchange_begin(worker, client);
    if (bind_leg(&exchange, leg, member, plan_request(plan))) {
        unbind_leg(&exchange);
        worker_again_later(worker, client);
        return EXCHANGE_REST;
    }
    exchange_end(&exchange);
    return EXCHANGE_GO_ON;
}

/* --- again --- */

/* A connection that was kept and ended before any byte of an answer: that happens to every server, and is no failure. */
static int is_stale(const struct record *leg, enum proxy_failure failure)
{
    return (failure == PROXY_CLOSED || failure == PROXY_RESET) && leg_seen(leg)->step == LEG_BUSY &&
           leg_seen(leg)->flags & LEG_REUSED && leg->rx == leg_seen(leg)->answer_from;
}

/* Nothing of an answer was seen, and either nothing can have been executed or it may be twice (RFC 9110 section 9.2.2). */
static int is_safe(const struct record *client, const struct record *leg, enum proxy_failure failure)
{
    const struct leg_state *state = leg_seen(leg);

    if (state->flags & (LEG_ANSWERED | LEG_NO_REPLAY) || leg->rx != state->answer_from)
        return 0;
    if (state->step == LEG_CONNECTING || leg->tx <= state->request_from)
        return 1;
    return is_stale(leg, failure) && relay_seen(client)->flags & RELAY_IDEMPOTENT;
}

static int may_try_again(struct worker *worker, const struct record *client, const struct record *leg,
                         enum proxy_failure failure)
{
    struct proxy *proxy = proxy_of(worker);
    const struct upstream_retries *retries = &proxy_pool(proxy, relay_seen(client)->pool)->retries;
    const uint64_t length = conn_ring_end(record_head(leg)) - leg_seen(leg)->request_from;

    if (!is_safe(client, leg, failure) || length > ARENA_BLOCK_SIZE || !record_head(leg)->out_block ||
        relay_seen(client)->tries >= retries->tries)
        return 0;
    if (retries->within_ms &&
        worker->now_ns > exchange_seen(client)->began_ns + retries->within_ms * NS_PER_MS)
        return 0;
    return pools_may_retry(proxy->pools, relay_seen(client)->pool);
}

/* The request goes back into the plan. 0, or an error: it does not fit. */
static int take_back(struct worker *worker, struct record *client, struct record *leg,
                     enum proxy_failure failure)
{
    struct exchange exchange = exchange_begin(worker, client);
    struct relay_state *relay = relay_state_in(exchange.state);
    const struct leg_state *state = leg_seen(leg);
    struct relay_plan *plan = take_plan(&exchange);
    const size_t length = (size_t)(conn_ring_end(record_head(leg)) - state->request_from);

    if (!plan || length > plan_room(plan)) {
        conn_undo(worker, exchange.head, record_head(client));
        return ERR_LIMIT;
    }
    conn_copy_output(worker, record_head(leg), state->request_from, plan->bytes + plan->values_length);
    plan->request_length = (uint32_t)length;
    if (is_stale(leg, failure)) { /* the same server may be asked again */
        relay->flags |= RELAY_FRESH;
    } else {
        plan->failure = (uint16_t)(failure + 1);
        if (plan->tried_count < UPSTREAM_TRIES_MAX)
            plan->tried[plan->tried_count++] = state->member;
    }
    relay->leg = 0;
    relay->leg_serial = record_head(leg)->made - conn_ring_end(record_head(leg));
    relay->due_ns = worker->now_ns + proxy_pool(proxy_of(worker), relay->pool)->queue_ms * NS_PER_MS;
    exchange_end(&exchange);
    return 0;
}

static void tell(struct worker *worker, const struct record *client, const struct record *leg,
                 struct slice reason, const char *outcome)
{
    const struct pools *pools = proxy_of(worker)->pools;
    const uint32_t member = leg_seen(leg)->member;
    const struct slice pool = pools_member_pool(pools, member), server = pools_member_address(pools, member);
    struct record *record = arena_record(&worker->arena, arena_number(&worker->arena, client));
    const struct exchange seen = {
        .worker = worker, .record = record, .state = exchange_state_in(&record->heads[record->current & 1])};
    const struct slice id = exchange_id(&seen);

    log_event(LOG_WARN, LOG_EV_UPSTREAM_FAILED, "request=%.*s pool=%.*s server=%.*s reason=%.*s outcome=%s",
              (int)id.length, id.at, (int)pool.length, pool.at, (int)server.length, server.at,
              (int)reason.length, reason.at, outcome);
}

enum exchange_outcome waiting_failed(struct worker *worker, struct record *client, struct record **leg,
                                     enum proxy_failure failure, struct slice reason)
{
    enum exchange_outcome outcome = EXCHANGE_GO_ON;

    if (request_broke_off(client)) { /* no server answers that */
        exchange_close(worker, client, LOG_END_CLIENT_CLOSED);
        *leg = NULL; /* it is nobody's now, and finds out when it is driven */
        return EXCHANGE_CLOSED;
    }
    if (!reason.length)
        reason = failures[failure].reason;
    if (may_try_again(worker, client, *leg, failure) && !take_back(worker, client, *leg, failure)) {
        tell(worker, client, *leg, reason, "another_try");
    } else {
        tell(worker, client, *leg, reason, exchange_seen(client)->status ? "response_cut" : "error_answered");
        outcome = end_with(worker, client, failures[failure].status, reason);
    }
    if (*leg && is_stale(*leg, failure))
        leg_dropped(worker, leg);
    else if (*leg)
        leg_finished(worker, leg, failures[failure].outcome);
    return outcome;
}
