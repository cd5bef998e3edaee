/* Servers are chosen, waited for, connected to, and chosen again when the connection is not made. */
#include "l4/internal.h"

#include "base/log.h"
#include "core/access_log.h"
#include "net/proxy_header.h"
#include "upstream/dial.h"

#include <string.h>
#include <sys/socket.h>

static const struct upstream_pool *pool_of(const struct l4 *l4, const struct record *client)
{
    return &l4->upstreams->pools[l4_block_of(l4, client)->pool];
}

/* --- choosing --- */

/* As a request that goes by its client's address (handler/proxy): both come to the same server. */
static uint64_t hash_of(const struct upstream_pool *pool, const struct record *client)
{
    char memory[ACCESS_LOG_CLIENT_SIZE];

    return pool->balance == UPSTREAM_HASH ? pools_hash(access_log_client(client, memory, sizeof memory)) : 0;
}

/* What pools_pick says. */
static enum tcp_end end_of(struct slice reason)
{
    static const enum tcp_end ends[] = {TCP_END_POOL_FULL, TCP_END_POOL_EMPTY, TCP_END_DNS_FAILED};

    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (slice_equals(reason, slice_of(tcp_end_name(ends[i]))))
            return ends[i];
    return TCP_END_NO_SERVER_UP;
}

/* Nobody is left to be asked: what the last one did says more than that. */
static enum tcp_outcome give_up(struct worker *worker, struct record *client, enum tcp_end end)
{
    const uint8_t failure = tcp_seen(client)->failure;

    return tcp_finish(worker, client,
                      failure && end == TCP_END_NO_SERVER_UP ? (enum tcp_end)(failure - 1) : end);
}

static enum tcp_outcome wait(struct worker *worker, struct record *client, enum tcp_end end)
{
    const struct l4 *l4 = l4_of(worker);
    const struct upstream_pool *pool = pool_of(l4, client);
    const uint32_t number = l4_block_of(l4, client)->pool;
    struct tcp_change change;

    if (!tcp_seen(client)->due_ns) {
        if (turns_waiting(l4->turns, number) >= pool->queue)
            return tcp_finish(worker, client, end);
        change = tcp_begin(worker, client, NULL);
        change.state->due_ns = worker->now_ns + pool->queue_ms * NS_PER_MS;
        tcp_commit(worker, &change);
    }
    if (worker->now_ns >= tcp_seen(client)->due_ns)
        return tcp_finish(worker, client, end);
    turns_wait(l4->turns, client, number, tcp_seen(client)->due_ns, tcp_seen(client)->tried_count > 0);
    worker_set_deadline(worker, client, tcp_seen(client)->due_ns);
    worker_again_later(worker, client); /* other workers give places back, too */
    return TCP_REST;
}

/* Who the connection is for, where the servers of the pool are to know it. 0 or ERR_NO_MEMORY. */
static int announce(struct worker *worker, const struct record *client, const struct record *leg,
                    struct record_head *head)
{
    const struct upstream_pool *pool = pool_of(l4_of(worker), client);
    char header[PROXY_PROTOCOL_MADE_MAX];

    if (!pool->send_header)
        return 0;
    return conn_put(
        worker, leg, head,
        (struct slice){header, proxy_header_make(&worker->arena, client, pool->send_header, header)});
}

/* The leg is the client's from here on. Its time begins before that is committed: the next worker finds it. 0 or ERR_NO_MEMORY,
 * and nothing has changed. */
static int bind_leg(struct worker *worker, struct record *client, struct record *leg, uint32_t member)
{
    const struct l4 *l4 = l4_of(worker);
    const uint64_t own_ms = l4_block_of(l4, client)->connect_ms;
    const uint64_t connect_ms = own_ms ? own_ms : pool_of(l4, client)->connect_ms;
    struct tcp_change change = tcp_begin(worker, client, leg);

    if (announce(worker, client, leg, change.leg_head))
        return ERR_NO_MEMORY;
    worker_set_deadline(worker, leg, worker->now_ns + connect_ms * NS_PER_MS);
    *change.leg_state = (struct tcp_leg_state){.step = TCP_LEG_CONNECT,
                                               .member = member,
                                               .client = arena_number(&worker->arena, client) + 1,
                                               .client_serial = client->serial};
    change.state->step = TCP_CONNECT;
    change.state->leg = arena_number(&worker->arena, leg) + 1;
    change.state->leg_serial = leg->serial;
    change.state->member = member;
    change.state->tries++;
    change.state->due_ns = 0;
    turns_hold(l4->turns, leg);
    tcp_commit(worker, &change);
    return 0;
}

enum tcp_outcome tcp_choose(struct worker *worker, struct record *client)
{
    const struct l4 *l4 = l4_of(worker);
    const struct tcp_state *state = tcp_seen(client);
    struct pools_wish wish = {.hash = hash_of(pool_of(l4, client), client),
                              .tried_count = state->tried_count};
    uint32_t member = POOLS_NO_MEMBER;
    struct record *leg = NULL;
    struct slice reason;
    int result;

    memcpy(wish.tried, state->tried, sizeof wish.tried);
    result = turns_pick(l4->turns, client, l4_block_of(l4, client)->pool, &wish, &member, &reason);
    if (result == ERR_BUSY)
        return wait(worker, client, end_of(reason));
    if (result)
        return give_up(worker, client, end_of(reason));
    turns_leave(l4->turns, client);
    result = dial_open(worker, l4->turns->pools, member, CONN_CLASS_TCP_LEG, &leg);
    if (!result && bind_leg(worker, client, leg, member)) {
        conn_close(worker, leg);
        result = ERR_NO_MEMORY;
    }
    if (result) {
        pools_release(l4->turns->pools, member);
        return tcp_finish(worker, client,
                          result == ERR_NO_DESCRIPTORS ? TCP_END_NO_DESCRIPTORS : TCP_END_NO_MEMORY);
    }
    return TCP_GO_ON;
}

/* --- connecting --- */

/* Without a time limit a peer that is gone without a word is noticed by the kernel alone. */
static void keep_alive(const struct worker *worker, const struct record *leg)
{
    const int on = 1;

    if (leg->kind != RECORD_UNIX)
        (void)setsockopt((int)arena_number(&worker->arena, leg), SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
}

enum tcp_outcome tcp_connect(struct worker *worker, struct record *client, struct record *leg)
{
    struct l4 *l4 = l4_of(worker);
    const uint32_t member = tcp_leg_seen(leg)->member;
    const uint64_t idle_ms = l4_block_of(l4, client)->idle_ms;
    struct tcp_change change;
    int result;

    result = dial_connect(worker, l4->turns->pools, client, leg, member);
    if (result == ERR_AGAIN)
        return TCP_REST;
    if (result)
        return tcp_connect_failed(worker, client, leg,
                                  result == ERR_REFUSED || result == ERR_NOT_FOUND ? TCP_END_CONNECT_REFUSED
                                  : result == ERR_TIMEOUT                          ? TCP_END_CONNECT_TIMEOUT
                                                                                   : TCP_END_CONNECT_FAILED);
    pools_report(l4->turns->pools, member, POOLS_OK, worker->now_ns);
    keep_alive(worker, leg);
    /* Before the step that it counts in; until then it only drives. */
    worker_set_deadline(worker, client, idle_ms ? worker->now_ns + idle_ms * NS_PER_MS : 0);
    change = tcp_begin(worker, client, leg);
    change.state->step = TCP_PASS;
    change.leg_state->step = TCP_LEG_PASS;
    tcp_commit(worker, &change);
    worker_side(worker, leg)->readable = 1; /* it may have spoken first */
    return TCP_GO_ON;
}

/* --- again --- */

static int may_try_again(struct worker *worker, const struct record *client)
{
    const struct l4 *l4 = l4_of(worker);
    const struct upstream_retries *retries = &pool_of(l4, client)->retries;

    if (tcp_seen(client)->tries >= retries->tries ||
        (retries->within_ms && worker->now_ns > client->opened_ns + retries->within_ms * NS_PER_MS))
        return 0;
    return pools_may_retry(l4->turns->pools, l4_block_of(l4, client)->pool);
}

static void tell(struct worker *worker, const struct record *client, const struct record *leg,
                 enum tcp_end failure, const char *outcome)
{
    const struct pools *pools = l4_of(worker)->turns->pools;
    const uint32_t member = tcp_leg_seen(leg)->member;
    const struct slice pool = pools_member_pool(pools, member), server = pools_member_address(pools, member);

    log_event(LOG_WARN, LOG_EV_UPSTREAM_FAILED, "listener=%s pool=%.*s server=%.*s reason=%s outcome=%s",
              worker->settings->listeners[client->listener].text, (int)pool.length, pool.at,
              (int)server.length, server.at, tcp_end_name(failure), outcome);
}

static void take_back(struct worker *worker, struct record *client, struct record *leg, enum tcp_end failure)
{
    const struct upstream_pool *pool = pool_of(l4_of(worker), client);
    struct tcp_change change = tcp_begin(worker, client, leg);

    change.state->step = TCP_WAIT;
    change.state->leg = 0;
    change.state->failure = (uint8_t)(failure + 1);
    change.state->due_ns = worker->now_ns + pool->queue_ms * NS_PER_MS;
    if (change.state->tried_count < UPSTREAM_TRIES_MAX)
        change.state->tried[change.state->tried_count++] = change.leg_state->member;
    change.leg_state->step = TCP_LEG_ENDED;
    tcp_count(worker, TCP_TRIES_FAILED, 1);
    tcp_commit(worker, &change);
    tcp_close_leg(worker, leg);
}

enum tcp_outcome tcp_connect_failed(struct worker *worker, struct record *client, struct record *leg,
                                    enum tcp_end failure)
{
    const int is_again = may_try_again(worker, client);

    tell(worker, client, leg, failure, is_again ? "another_try" : "closed");
    pools_report(l4_of(worker)->turns->pools, tcp_leg_seen(leg)->member, POOLS_CONNECT_FAILED,
                 worker->now_ns);
    if (!is_again)
        return tcp_finish(worker, client, failure);
    take_back(worker, client, leg, failure);
    return TCP_GO_ON;
}
