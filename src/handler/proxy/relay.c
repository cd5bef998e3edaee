/* One pass over both directions of a proxied exchange: whatever can be moved is moved, in transactions of both records
 * together. The client's record is the one being driven; for I/O of the leg the worker turns to it and back. */
#include "handler/proxy/internal.h"

#include "http/request.h"
#include "upstream/dial.h"

/* 0 or a failure + 1. */
static int connect_leg(struct worker *worker, struct record *client, struct record *leg, int *is_pending)
{
    const int result = dial_connect(worker, proxy_of(worker)->pools, client, leg, leg_seen(leg)->member);

    *is_pending = result == ERR_AGAIN;
    if (*is_pending)
        return 0;
    if (result)
        return (result == ERR_REFUSED || result == ERR_NOT_FOUND ? PROXY_REFUSED
                : result == ERR_TIMEOUT                          ? PROXY_CONNECT_TIMEOUT
                                                                 : PROXY_UNREACHABLE) +
               1;
    leg_state_in(record_begin(leg))->step = LEG_BUSY;
    record_commit(leg);
    return 0;
}

/* Sends what is made of the request. A server that takes no more may have answered all the same. */
static int send_request(struct worker *worker, struct record *client, struct record *leg)
{
    const uint64_t tx = leg->tx;
    int result;

    if (!conn_has_output(leg, record_head(leg)) || leg_seen(leg)->flags & LEG_SEND_OVER)
        return 0;
    worker_turn_to(worker, leg);
    result = conn_flush(worker, leg);
    worker_turn_to(worker, client);
    if (result && result != ERR_AGAIN && result != ERR_BUSY) {
        leg_state_in(record_begin(leg))->flags |= LEG_SEND_OVER;
        record_commit(leg);
        worker_side(worker, leg)->readable = 1;
        return 1;
    }
    return leg->tx != tx;
}

/* 1: something came; 0: nothing; else a failure, negative. */
static int receive(struct worker *worker, struct record *client, struct record *leg)
{
    int result;

    if (record_head(leg)->end_of_input || !worker_side(worker, leg)->readable)
        return 0;
    worker_turn_to(worker, leg);
    result = conn_fill(worker, leg);
    worker_turn_to(worker, client);
    if (result >= 0)
        return 1;
    if (result == ERR_NO_MEMORY)
        worker_again_later(worker, client);
    if (result == ERR_AGAIN || result == ERR_LIMIT || result == ERR_NO_MEMORY)
        return 0;
    return -1 - PROXY_RESET;
}

static enum exchange_outcome flush_client(struct worker *worker, struct record *client, int *moved)
{
    const uint64_t tx = client->tx;
    int result;

    if (!conn_has_output(client, record_head(client)))
        return EXCHANGE_GO_ON;
    result = conn_flush(worker, client);
    *moved |= client->tx != tx;
    if (!result || result == ERR_AGAIN || result == ERR_BUSY)
        return EXCHANGE_GO_ON;
    exchange_close(worker, client, LOG_END_CLIENT_RESET);
    return EXCHANGE_CLOSED;
}

/* Only what is wanted of the request's body: the next request waits in the socket. */
static enum exchange_outcome fill_client(struct worker *worker, struct record *client, int *moved)
{
    int result;

    if (!(exchange_seen(client)->flags & EXCHANGE_BODY_UNREAD) || record_head(client)->end_of_input ||
        !worker_side(worker, client)->readable)
        return EXCHANGE_GO_ON;
    result = conn_fill(worker, client);
    *moved |= result >= 0;
    if (result == ERR_NO_MEMORY)
        worker_again_later(worker, client);
    if (result >= 0 || result == ERR_AGAIN || result == ERR_LIMIT || result == ERR_NO_MEMORY)
        return EXCHANGE_GO_ON;
    exchange_close(worker, client, LOG_END_CLIENT_RESET);
    return EXCHANGE_CLOSED;
}

/* The client sends no more in the middle of its body; the server is told the same way, and may have answered already. A death
 * before the flag is set does it again. */
static int pass_broken_off(struct record *leg, uint32_t number)
{
    if (conn_has_output(leg, record_head(leg)))
        return 0;
    conn_half_close(leg, number);
    leg_state_in(record_begin(leg))->flags |= LEG_SEND_OVER;
    record_commit(leg);
    return 1;
}

/* The client's request is not right. */
static enum exchange_outcome refuse(struct worker *worker, struct record *client, enum h1_refusal refusal)
{
    struct exchange exchange;

    if (exchange_seen(client)->status) {
        exchange_close(worker, client, LOG_END_CLIENT_CLOSED);
        return EXCHANGE_CLOSED;
    }
    exchange = exchange_begin(worker, client);
    proxy_handler.detach(&exchange);
    request_refuse(&exchange, refusal);
    exchange_end(&exchange);
    if (!exchange.failed)
        return EXCHANGE_GO_ON;
    exchange_close(worker, client, LOG_END_CLIENT_CLOSED);
    return EXCHANGE_CLOSED;
}

static enum exchange_outcome pass_request(struct worker *worker, struct record *client, struct record *leg,
                                          int *moved)
{
    enum h1_refusal refusal = H1_REFUSE_BAD_REQUEST_LINE;
    int result = request_body_pass(worker, client, leg, &refusal);

    if (result == ERR_CLOSED)
        result = pass_broken_off(leg, arena_number(&worker->arena, leg));
    if (result < 0)
        return refuse(worker, client, refusal);
    if (result)
        conn_follows(worker, leg,
                     exchange_seen(client)->flags & EXCHANGE_BODY_UNREAD && conn_flows(worker, client));
    *moved |= result;
    return EXCHANGE_GO_ON;
}

/* Everything that has come is looked at before a reset counts: servers answer and reset. */
static enum exchange_outcome pass_response(struct worker *worker, struct record *client, struct record **leg,
                                           int *moved)
{
    const int received = receive(worker, client, *leg);
    enum proxy_failure failure = PROXY_BAD_ANSWER;
    struct slice reason = {"", 0};

    *moved |= received > 0;
    switch (response_pass(worker, client, leg, &failure, &reason)) {
    case RESPONSE_COMPLETE:
    case RESPONSE_MOVED:
        *moved = 1;
        return EXCHANGE_GO_ON;
    case RESPONSE_BAD:
        return waiting_failed(worker, client, leg, failure, reason);
    case RESPONSE_NOTHING:
        break;
    }
    if (received < 0)
        return waiting_failed(worker, client, leg, (enum proxy_failure)(-received - 1), reason);
    /* The server owes the rest, and all that came is passed on. */
    if (record_head(*leg)->end_of_input && !conn_has_output(client, record_head(client)))
        return waiting_failed(worker, client, leg,
                              (*leg)->rx == leg_seen(*leg)->answer_from ? PROXY_CLOSED : PROXY_BROKE_OFF,
                              reason);
    return EXCHANGE_GO_ON;
}

static enum exchange_outcome both_directions(struct worker *worker, struct record *client,
                                             struct record **leg, int *moved)
{
    enum exchange_outcome outcome = EXCHANGE_GO_ON;
    int is_pending = 0;

    if (relay_seen(client)->flags & RELAY_TUNNEL)
        return tunnel_pass(worker, client, leg, moved);
    if (leg_seen(*leg)->step == LEG_CONNECTING) {
        const int failure = connect_leg(worker, client, *leg, &is_pending);

        if (failure)
            return waiting_failed(worker, client, leg, (enum proxy_failure)(failure - 1),
                                  (struct slice){"", 0});
    }
    /* Not before it is connected: what is passed on beyond the head could not be tried at another server. */
    if (!is_pending)
        outcome = pass_request(worker, client, *leg, moved);
    if (outcome != EXCHANGE_GO_ON || exchange_seen(client)->step != EXCHANGE_RELAY)
        return outcome;
    if (!is_pending) {
        *moved |= send_request(worker, client, *leg);
        outcome = pass_response(worker, client, leg, moved);
    }
    if (outcome == EXCHANGE_GO_ON)
        outcome = flush_client(worker, client, moved);
    if (outcome == EXCHANGE_GO_ON && exchange_seen(client)->step == EXCHANGE_RELAY)
        outcome = fill_client(worker, client, moved);
    return outcome;
}

/* 1 when the ring alone can hold the whole body: nothing has to be put aside. */
static int fits_into_ring(const struct record *client)
{
    const struct exchange_state *state = exchange_seen(client);

    return !(state->flags & EXCHANGE_CHUNKED_BODY) && !relay_seen(client)->leg_serial &&
           state->body_left <= ARENA_BLOCK_SIZE;
}

/* The body of the request is taken in before a server is asked for. */
static enum exchange_outcome gather(struct worker *worker, struct record *client)
{
    enum h1_refusal refusal = H1_REFUSE_BAD_REQUEST_LINE;
    enum exchange_outcome outcome;
    int result = 0, moved;

    if (!(exchange_seen(client)->flags &
          EXCHANGE_BODY_UNREAD)) { /* also when a worker died right behind the last byte */
        waiting_gathered(worker, client);
        return EXCHANGE_GO_ON;
    }
    if (!fits_into_ring(client))
        result = request_body_hold(worker, client, &refusal);
    else if (conn_input_length(client, record_head(client)) >= exchange_seen(client)->body_left)
        result = ERR_NO_SPACE;
    else if (record_head(client)->end_of_input)
        result = ERR_CLOSED;
    if (result == ERR_NO_SPACE) {
        waiting_gathered(worker, client);
        return EXCHANGE_GO_ON;
    }
    if (result == ERR_CLOSED) {
        exchange_close(worker, client, LOG_END_CLIENT_CLOSED);
        return EXCHANGE_CLOSED;
    }
    if (result < 0)
        return refuse(worker, client, refusal);
    moved = result;
    outcome = flush_client(worker, client, &moved);
    if (outcome == EXCHANGE_GO_ON)
        outcome = fill_client(worker, client, &moved);
    if (outcome == EXCHANGE_GO_ON && !moved)
        outcome = EXCHANGE_REST;
    return outcome;
}

enum exchange_outcome relay_pass(struct worker *worker, struct record *client)
{
    struct record *leg = leg_of(worker, client);
    enum exchange_outcome outcome;
    uint64_t tx, rx;
    int moved = 0;

    if (!leg && relay_seen(client)->flags & RELAY_GATHERS)
        return gather(worker, client);
    if (!leg)
        return waiting_try(worker, client);
    tx = leg->tx;
    rx = leg->rx;
    outcome = both_directions(worker, client, &leg, &moved);
    if (outcome != EXCHANGE_GO_ON || exchange_seen(client)->step != EXCHANGE_RELAY || !leg)
        return outcome;
    leg_settle(worker, leg);
    leg_plan(worker, leg, client, leg->tx != tx, leg->rx != rx);
    if (!moved)
        conn_let_go(worker, leg);
    return moved ? EXCHANGE_GO_ON : EXCHANGE_REST;
}
