/* The end of a connection: its line in the access log and its place in the counters, once. */
#include "l4/internal.h"

#include "core/access_log.h"
#include "l4/log_line.h"

/* --- the account --- */

static int is_of_connect(enum tcp_end end)
{
    return end == TCP_END_CONNECT_REFUSED || end == TCP_END_CONNECT_FAILED || end == TCP_END_CONNECT_TIMEOUT;
}

static void put_line(struct worker *worker, const struct l4 *l4, const struct record *client,
                     const struct tcp_state *state, enum tcp_end end)
{
    const struct l4_block *block = l4_block_of(l4, client);
    const struct pools *pools = l4->turns->pools;
    const uint64_t now_ns = clock_monotonic_ns();
    char memory[L4_LINE_MAX], address[ACCESS_LOG_CLIENT_SIZE];
    struct l4_line line = {.wall_ms = access_log_wall_ms(client->opened_ns, worker->now_ns),
                           .client = access_log_client(client, address, sizeof address),
                           .client_port = client->client_port,
                           .listener = slice_of(worker->settings->listeners[client->listener].text),
                           .pool = l4->upstreams->pools[block->pool].name,
                           .sent = client->tx,
                           .received = state->up,
                           .duration_ns = now_ns > client->opened_ns ? now_ns - client->opened_ns : 0,
                           .tries = state->tries,
                           .end = end};
    struct text text;

    if (!block->access_log)
        return;
    if (state->member)
        line.server = pools_member_address(pools, state->member);
    text_init(&text, memory, sizeof memory);
    l4_line_write(block->access_log_format, &line, &text);
    access_log_put(&worker->arena, block->access_log - 1u, (struct slice){text.at, text.length});
}

static void account(struct worker *worker, struct record *client, struct record *leg, enum tcp_end end)
{
    const struct l4 *l4 = l4_of(worker);
    struct tcp_change change = tcp_begin(worker, client, leg);
    const int is_reset = end != TCP_END_COMPLETE;

    if (change.state->step == TCP_NEW) /* it was not even begun */
        tcp_count(worker, TCP_STARTED, 1);
    tcp_count(worker, TCP_ENDED_FIRST + end, 1);
    tcp_count(worker, TCP_TRIES_FAILED, leg && is_of_connect(end));
    put_line(worker, l4, client, change.state, end);
    change.state->step = TCP_ENDED;
    change.state->end = (uint8_t)end;
    change.state->is_reset = (uint8_t)is_reset;
    if (leg) {
        change.leg_state->step = TCP_LEG_ENDED;
        change.leg_state->is_reset = (uint8_t)is_reset;
    }
    tcp_commit(worker, &change);
}

/* --- closing --- */

void tcp_close(struct worker *worker, struct record *client)
{
    struct l4 *l4 = l4_of(worker);
    struct record *leg = tcp_leg_of(worker, client);
    const int is_reset = tcp_seen(client)->is_reset;

    l4->open[l4_block_number(l4, client)]--;
    turns_leave(l4->turns, client);
    if (is_reset)
        conn_reset(worker, client);
    else
        conn_close(worker, client);
    if (leg)
        tcp_close_leg(worker, leg);
}

enum tcp_outcome tcp_finish(struct worker *worker, struct record *client, enum tcp_end end)
{
    if (tcp_seen(client)->step != TCP_ENDED)
        account(worker, client, tcp_leg_of(worker, client), end);
    tcp_close(worker, client);
    return TCP_CLOSED;
}
