/* Legs: the upstream's connections. Idle ones lie in a list of their server. */
#include "handler/proxy/internal.h"

#include "base/assert.h"
#include "base/log.h"
#include "net/tunnel.h"
#include "upstream/dial.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* What a deadline is for (record_purpose). */
enum leg_timing {
    LEG_TIMING_NONE,
    LEG_TIMING_CONNECT,
    LEG_TIMING_SEND,
    LEG_TIMING_FIRST,
    LEG_TIMING_BETWEEN,
    LEG_TIMING_IDLE,
    LEG_TIMING_TUNNEL
};

/* --- who belongs to whom --- */

/* The client's head is the authority. */
static int names(const struct arena *arena, const struct record *client, const struct record *leg)
{
    return record_is_held(client) && client->class_tag == CONN_CLASS_HTTP &&
           exchange_seen(client)->step == EXCHANGE_RELAY &&
           relay_seen(client)->leg == arena_number(arena, leg) + 1 &&
           relay_seen(client)->leg_serial == leg->serial;
}

struct record *leg_of(struct worker *worker, const struct record *client)
{
    const uint32_t number = relay_seen(client)->leg;
    struct record *leg = number ? arena_record(&worker->arena, number - 1) : NULL;

    if (leg && (number > arena_records_limit(&worker->arena) || !record_is_held(leg) ||
                leg->serial != relay_seen(client)->leg_serial))
        return NULL;
    return leg;
}

struct record *leg_client(struct worker *worker, const struct record *leg)
{
    const struct leg_state *state = leg_seen(leg);
    struct record *client;

    if (!state->client || state->client > arena_records_limit(&worker->arena))
        return NULL;
    client = arena_record(&worker->arena, state->client - 1);
    return client->serial == state->client_serial && names(&worker->arena, client, leg) ? client : NULL;
}

/* --- idle ones --- */

/* Announced for a client, and kept for it as long as it is there. */
static int is_announced(const struct record *leg)
{
    return (leg_seen(leg)->flags & LEG_ANNOUNCED) != 0;
}

static int has_owner(struct worker *worker, const struct record *leg)
{
    const struct leg_state *state = leg_seen(leg);
    const struct record *client;

    if (!state->client || state->client > arena_records_limit(&worker->arena))
        return 0;
    client = arena_record(&worker->arena, state->client - 1);
    return record_is_held(client) && client->class_tag == CONN_CLASS_HTTP &&
           client->serial == state->client_serial;
}

/* A chain of numbers + 1 that begins with the client. */
static void own_put(struct proxy *proxy, uint32_t client, uint32_t leg)
{
    const uint32_t after = proxy->own[client - 1].after;

    proxy->own[leg - 1] = (struct list_link){.before = client, .after = after};
    proxy->own[client - 1].after = leg;
    if (after)
        proxy->own[after - 1].before = leg;
}

static void own_remove(struct proxy *proxy, uint32_t leg)
{
    const struct list_link link = proxy->own[leg - 1];

    proxy->own[link.before - 1].after = link.after;
    if (link.after)
        proxy->own[link.after - 1].before = link.before;
    proxy->own[leg - 1] = (struct list_link){0};
}

static void idle_put(struct worker *worker, struct record *leg)
{
    struct proxy *proxy = proxy_in_revival(worker);
    const uint32_t number = arena_number(&worker->arena, leg),
                   entry = TABLE_MEMBER_ENTRY(leg_seen(leg)->member);

    list_put(&proxy->idle[entry], LIST_ITEMS(proxy->links), number, proxy->idle[entry].first);
    proxy->idle_count[entry]++;
    if (is_announced(leg))
        own_put(proxy, leg_seen(leg)->client, number + 1);
    worker_waits(worker, leg, WAITING_IDLE);
}

/* A former configuration's has no time left. */
static void set_keepalive(struct worker *worker, struct record *leg)
{
    const struct proxy *proxy = proxy_in_revival(worker);
    const uint32_t pool = pools_pool_of(proxy->pools, leg_seen(leg)->member);
    const uint64_t ms = pool == UINT32_MAX ? 0 : proxy_pool(proxy, pool)->keepalive_ms;

    worker_set_deadline_for(worker, leg, worker->now_ns + ms * NS_PER_MS, LEG_TIMING_IDLE);
}

static void idle_remove(struct worker *worker, const struct record *leg)
{
    struct proxy *proxy = proxy_of(worker);
    const uint32_t number = arena_number(&worker->arena, leg),
                   entry = TABLE_MEMBER_ENTRY(leg_seen(leg)->member);

    list_remove(&proxy->idle[entry], LIST_ITEMS(proxy->links), number);
    proxy->idle_count[entry]--;
    if (is_announced(leg))
        own_remove(proxy, number + 1);
    worker_waits(worker, leg, WAITING_NOT);
}

/* A NEW leg is nobody's, so none of its bytes matter. */
static void leg_close(struct worker *worker, struct record **leg)
{
    conn_close(worker, *leg);
    *leg = NULL;
}

static void idle_close(struct worker *worker, struct record *leg)
{
    idle_remove(worker, leg);
    leg_close(worker, &leg);
}

/* --- taking and giving back --- */

/* Whatever comes on an idle connection is its end: nothing was asked. Nor may it ever be taken for the next answer. */
static int idle_has_ended(const struct record *leg, uint32_t number)
{
    char byte;

    return conn_input_length(leg, record_head(leg)) ||
           recv((int)number, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0 || (errno != EAGAIN && errno != EINTR);
}

/* The server takes all that comes on an announced leg for its client's: nobody else gets it. NULL: there is none. */
static struct record *idle_for(struct worker *worker, const struct record *client, uint32_t member)
{
    const struct proxy *proxy = proxy_of(worker);
    const uint32_t pool = pools_pool_of(proxy->pools, member);
    const int announces = pool != UINT32_MAX && proxy_pool(proxy, pool)->send_header;

    for (uint32_t at = proxy->idle[TABLE_MEMBER_ENTRY(member)].first; at; at = proxy->links[at - 1].after) {
        struct record *leg = arena_record(&worker->arena, at - 1);

        if (is_announced(leg) == announces && (!announces || leg_seen(leg)->client_serial == client->serial))
            return leg;
    }
    return NULL;
}

int leg_take(struct worker *worker, const struct record *client, uint32_t member, int is_fresh,
             struct record **leg)
{
    struct proxy *proxy = proxy_of(worker);

    while (!is_fresh && (*leg = idle_for(worker, client, member))) {
        idle_remove(worker, *leg);
        /* Its event may be waiting behind the request's: a look costs less than a request that cannot be repeated. */
        if (leg_seen(*leg)->member == member && !idle_has_ended(*leg, arena_number(&worker->arena, *leg)))
            return 0;
        leg_close(worker, leg); /* it has ended, or is of somebody who had that entry before */
    }
    return dial_open(worker, proxy->pools, member, CONN_CLASS_LEG, leg);
}

void leg_return(struct worker *worker, struct record **leg, uint32_t member)
{
    if (leg_seen(*leg)->step == LEG_IDLE && ARENA_SHARED) {
        idle_put(worker, *leg);
        set_keepalive(worker, *leg);
    } else {
        leg_close(worker, leg);
    }
    pools_release(proxy_of(worker)->pools, member);
    *leg = NULL;
}

static int may_be_kept(struct worker *worker, const struct record *leg)
{
    const struct proxy *proxy = proxy_of(worker);
    const uint32_t member = leg_seen(leg)->member;
    const uint32_t pool = pools_pool_of(proxy->pools, member);

    return leg_seen(leg)->step == LEG_IDLE && !worker->is_draining && pool != UINT32_MAX &&
           (!is_announced(leg) || has_owner(worker, leg)) &&
           proxy->idle_count[TABLE_MEMBER_ENTRY(member)] < proxy_pool(proxy, pool)->keepalive;
}

void leg_dropped(struct worker *worker, struct record **leg)
{
    struct proxy *proxy = proxy_of(worker);
    const uint32_t number = arena_number(&worker->arena, *leg), member = leg_seen(*leg)->member;

    if (may_be_kept(worker, *leg)) {
        leg_settle(worker, *leg);
        idle_put(worker, *leg);
        set_keepalive(worker, *leg);
        *leg = NULL;
    } else {
        leg_close(worker, leg);
    }
    turns_let_go(proxy->turns, number, member);
}

void leg_client_leaves(struct worker *worker, const struct record *client)
{
    const uint32_t number = arena_number(&worker->arena, client);
    uint32_t leg;

    while ((leg = proxy_of(worker)->own[number].after))
        idle_close(worker, arena_record(&worker->arena, leg - 1));
}

void leg_finished(struct worker *worker, struct record **leg, enum pools_outcome outcome)
{
    pools_report(proxy_of(worker)->pools, leg_seen(*leg)->member, outcome, worker->now_ns);
    leg_dropped(worker, leg);
}

/* Bytes that may be sent again to another server are kept. */
static int may_need_request(const struct record *leg)
{
    const struct leg_state *state = leg_seen(leg);

    if (state->step == LEG_IDLE || state->flags & (LEG_ANSWERED | LEG_NO_REPLAY))
        return 0;
    return state->step == LEG_CONNECTING || (state->flags & LEG_REUSED && leg->rx == state->answer_from);
}

uint64_t leg_keep_from(const struct record *leg)
{
    return may_need_request(leg) ? leg_seen(leg)->request_from : leg->tx;
}

void leg_settle(struct worker *worker, struct record *leg)
{
    const struct record_head *now = record_head(leg);
    const int in_done = now->in_block && !conn_input_length(leg, now);
    const int out_done =
        (now->out_block || now->file_fd >= 0) && !conn_has_output(leg, now) && !may_need_request(leg);
    const uint32_t in_block = now->in_block, out_block = now->out_block;
    const int file = now->file_fd;
    struct record_head *head;

    if (!in_done && !out_done)
        return;
    head = record_begin(leg);
    if (in_done)
        head->in_block = 0;
    if (out_done) {
        head->out_block = 0;
        head->file_fd = -1;
        if (leg_state_in(head)->step != LEG_IDLE)
            leg_state_in(head)->flags |= LEG_NO_REPLAY;
    }
    record_commit(leg);
    if (in_done)
        worker_give_block(worker, in_block);
    if (out_done && out_block)
        worker_give_block(worker, out_block);
    if (out_done && file >= 0)
        worker_file_drop(worker, file);
}

/* --- deadlines --- */

static enum leg_timing timing_of(const struct record *leg, const struct record *client)
{
    const struct leg_state *state = leg_seen(leg);

    if (state->step == LEG_IDLE)
        return LEG_TIMING_IDLE;
    if (state->step != LEG_BUSY)
        return LEG_TIMING_CONNECT;
    if (client && relay_seen(client)->flags & RELAY_TUNNEL)
        return LEG_TIMING_TUNNEL;
    if (conn_has_output(leg, record_head(leg)) && !(state->flags & LEG_SEND_OVER))
        return LEG_TIMING_SEND;
    if (!client || conn_has_output(client, record_head(client))) /* the client is the slow one */
        return LEG_TIMING_NONE;
    if (state->flags & LEG_ANSWERED)
        return LEG_TIMING_BETWEEN;
    return exchange_seen(client)->flags & EXCHANGE_BODY_UNREAD && !(state->flags & LEG_SEND_OVER)
               ? LEG_TIMING_NONE
               : LEG_TIMING_FIRST;
}

static uint64_t either(uint64_t route_ms, uint64_t pool_ms)
{
    return route_ms ? route_ms : pool_ms;
}

static uint64_t timeout_ms(struct worker *worker, const struct exchange_state *exchange,
                           enum leg_timing timing)
{
    static const struct http_proxy nothing_said;
    const struct proxy *proxy = proxy_of(worker);
    const struct relay_state *relay = (const struct relay_state *)(const void *)exchange->handler_state;
    const struct upstream_pool *pool = proxy_pool(proxy, relay->pool);
    const struct http_route *route = exchange_route(proxy->http, exchange);
    const struct http_proxy *said = route && route->proxy ? route->proxy : &nothing_said;

    switch (timing) {
    case LEG_TIMING_CONNECT:
        return either(said->connect_ms, pool->connect_ms);
    case LEG_TIMING_FIRST:
        return either(said->first_byte_ms, pool->first_byte_ms);
    case LEG_TIMING_SEND:
    case LEG_TIMING_BETWEEN:
        return either(said->between_ms, pool->between_ms);
    case LEG_TIMING_TUNNEL:
        return either(said->tunnel_ms, pool->tunnel_ms);
    case LEG_TIMING_IDLE:
        return pool->keepalive_ms;
    case LEG_TIMING_NONE:
        break;
    }
    return 0;
}

static void set_timing(struct worker *worker, struct record *leg, const struct exchange_state *exchange,
                       uint64_t until_ns, enum leg_timing timing)
{
    const uint64_t ms = timeout_ms(worker, exchange, timing);
    uint64_t deadline_ns = ms ? worker->now_ns + ms * NS_PER_MS : 0;

    if (until_ns && (!deadline_ns || until_ns < deadline_ns))
        deadline_ns = until_ns;
    worker_set_deadline_for(worker, leg, deadline_ns, timing);
}

void leg_plan_first(struct worker *worker, struct record *leg, const struct exchange_state *exchange,
                    const struct leg_state *state)
{
    set_timing(worker, leg, exchange, state->until_ns,
               state->step == LEG_BUSY ? LEG_TIMING_SEND : LEG_TIMING_CONNECT);
}

void leg_plan(struct worker *worker, struct record *leg, const struct record *client, int has_sent,
              int has_received)
{
    const enum leg_timing timing = timing_of(leg, client);
    const int was_cut = worker_was_cut(worker_side(worker, leg));
    const int restart = timing == LEG_TIMING_SEND ? has_sent || was_cut
                        : timing == LEG_TIMING_TUNNEL
                            ? has_sent || has_received || was_cut
                            : timing == LEG_TIMING_BETWEEN && (has_received || was_cut);

    if (record_purpose(leg) != timing || restart)
        set_timing(worker, leg, exchange_seen(client), leg_seen(leg)->until_ns, timing);
}

enum proxy_failure leg_timeout(const struct worker *worker, const struct record *leg)
{
    const struct leg_state *state = leg_seen(leg);

    if (state->until_ns && worker->now_ns >= state->until_ns)
        return PROXY_TOO_SLOW;
    if (state->step == LEG_CONNECTING)
        return PROXY_CONNECT_TIMEOUT;
    return state->flags & LEG_ANSWERED || conn_has_output(leg, record_head(leg)) ? PROXY_STALLED
                                                                                 : PROXY_TIMEOUT;
}

/* --- the class --- */

static void leg_opened(struct worker *worker, struct record *leg, struct record_head *head)
{
    (void)worker;
    (void)leg;
    *leg_state_in(head) = (struct leg_state){.step = LEG_NEW};
}

static void leg_ready(struct worker *worker, struct record *leg, unsigned events)
{
    struct conn_side *side = worker_side(worker, leg);
    struct record *client = leg_client(worker, leg);

    conn_note_events(side, events);
    if (client) {
        worker_turn_to(worker, client);
        exchange_drive(worker, client);
    } else if (leg_seen(leg)->step != LEG_IDLE) {
        leg_dropped(worker, &leg);
    } else if (is_announced(leg) && !has_owner(worker, leg)) { /* a worker died while it was leaving */
        idle_close(worker, leg);
    } else if (events & READY_IN) {
        side->readable = 0;
        if (idle_has_ended(leg, arena_number(&worker->arena, leg)))
            idle_close(worker, leg);
    }
}

/* A leg without a client. */
static void end_alone(struct worker *worker, struct record *leg)
{
    if (leg_seen(leg)->step == LEG_IDLE)
        idle_close(worker, leg);
    else
        leg_dropped(worker, &leg);
}

static void leg_expired(struct worker *worker, struct record *leg)
{
    struct record *client = leg_client(worker, leg);

    if (client && relay_seen(client)->flags & RELAY_TUNNEL) {
        worker_turn_to(worker, client);
        exchange_close(worker, client, LOG_END_TUNNEL_IDLE);
    } else if (client) {
        worker_turn_to(worker, client);
        (void)waiting_failed(worker, client, &leg, leg_timeout(worker, leg), (struct slice){"", 0});
        if (client->life == RECORD_OPEN)
            exchange_drive(worker, client);
    } else {
        end_alone(worker, leg);
    }
}

/* The former worker drove both, whichever it had turned to. */
static void share_cut(struct worker *worker, const struct record *leg, const struct record *client)
{
    struct conn_side *of_leg = worker_side(worker, leg), *of_client = worker_side(worker, client);

    of_leg->was_cut = of_client->was_cut = of_leg->was_cut | of_client->was_cut;
}

/* Of a record that will be closed, places are not counted: what it held is given back with that. */
static void leg_revived(struct worker *worker, struct record *leg)
{
    struct proxy *proxy = proxy_in_revival(worker);
    const struct record *client = leg_client(worker, leg);

    tunnel_revived(worker, leg);
    if (client) {
        share_cut(worker, leg, client);
        turns_revived(proxy->turns, leg, leg_seen(leg)->member);
    }
    if (client || leg_seen(leg)->step != LEG_IDLE || !leg_seen(leg)->member)
        return;
    idle_put(worker, leg);
    if (record_purpose(leg) != LEG_TIMING_IDLE) /* the worker died before it said so */
        set_keepalive(worker, leg);
}

static void leg_blamed(struct worker *worker, struct record *leg)
{
    struct record *client = leg_client(worker, leg);

    if (client) {
        worker_turn_to(worker, client);
        exchange_blamed(worker, client); /* which lets go of the leg */
    } else {
        end_alone(worker, leg);
    }
}

static void leg_abandon(struct worker *worker, struct record *leg)
{
    struct record *client = leg_client(worker, leg);

    if (client) {
        worker_turn_to(worker, client);
        (void)waiting_failed(worker, client, &leg, PROXY_LOST, (struct slice){"", 0});
        if (client->life == RECORD_OPEN)
            worker_again(worker, client);
    } else {
        end_alone(worker, leg);
    }
}

static int leg_may_yield(const struct worker *worker, const struct record *leg)
{
    (void)worker;
    return leg_seen(leg)->step == LEG_IDLE;
}

static void leg_describe(const struct arena *arena, const struct record *leg,
                         struct conn_description *description)
{
    static const char *const names_of_steps[] = {"new", "connect", "busy", "idle"};

    (void)arena;
    description->state = leg_seen(leg)->step < 4 ? names_of_steps[leg_seen(leg)->step] : "unknown";
    if (leg_seen(leg)->step == LEG_CONNECTING || leg_seen(leg)->step == LEG_BUSY)
        description->partner = leg_seen(leg)->client;
}

const struct conn_class proxy_leg_class = {
    .name = "upstream",
    .opened = leg_opened,
    .ready = leg_ready,
    .expired = leg_expired,
    .revived = leg_revived,
    .blamed = leg_blamed,
    .may_yield = leg_may_yield,
    .abandon = leg_abandon,
    .describe = leg_describe,
    .mover = &proxy_leg_mover,
};
