/* Behind an upgrade: bytes pass both ways until both sides have sent their FIN. */
#include "handler/proxy/internal.h"

#include "net/tunnel.h"

static int move_both(struct worker *worker, struct record *client, struct record *leg)
{
    struct exchange exchange;
    struct record_head *head;
    uint32_t given_up[2] = {0, 0};
    uint64_t up, down;

    if (!conn_input_length(client, record_head(client)) && !conn_input_length(leg, record_head(leg)))
        return 0;
    exchange = exchange_begin(worker, client);
    head = exchange_with(&exchange, leg);
    up = tunnel_move(worker, client, exchange.head, leg, head, &given_up[0]);
    down = tunnel_move(worker, leg, head, client, exchange.head, &given_up[1]);
    if (!up && !down) {
        conn_undo(worker, exchange.head, record_head(client));
        conn_undo(worker, head, record_head(leg));
        return 0;
    }
    exchange.state->body_taken += up;
    exchange_end(&exchange);
    for (int i = 0; i < 2; i++)
        if (given_up[i])
            worker_give_block(worker, given_up[i]);
    return 1;
}

/* 0, or an error: the connection is gone. The worker has turned to the record. */
static int push(struct worker *worker, struct record *record, int *moved)
{
    const uint64_t tx = record->tx;
    int result = conn_has_output(record, record_head(record)) ? conn_flush(worker, record) : 0;

    *moved |= record->tx != tx;
    return result == ERR_AGAIN || result == ERR_BUSY ? 0 : result;
}

static int pull(struct worker *worker, struct record *record, int *moved)
{
    int result;

    if (record_head(record)->end_of_input || !worker_side(worker, record)->readable)
        return 0;
    result = conn_fill(worker, record);
    if (result == ERR_NO_MEMORY)
        worker_again_later(worker, record);
    *moved |= result >= 0;
    return result >= 0 || result == ERR_AGAIN || result == ERR_LIMIT || result == ERR_NO_MEMORY ? 0 : result;
}

/* One side: what waits for it is sent, what it sent is received, and its FIN is sent if the other side has ended. */
static int serve(struct worker *worker, struct record *record, const struct record *other, int *moved,
                 int *is_shut)
{
    int result;

    worker_turn_to(worker, record);
    result = push(worker, record, moved);
    if (!result)
        result = pull(worker, record, moved);
    if (!result)
        *is_shut = tunnel_half_close(worker, other, record);
    return result;
}

enum exchange_outcome tunnel_pass(struct worker *worker, struct record *client, struct record **leg,
                                  int *moved)
{
    int is_leg_shut = 0, is_client_shut = 0, leg_failed, client_failed;

    *moved |= move_both(worker, client, *leg);
    leg_failed = serve(worker, *leg, client, moved, &is_leg_shut);
    client_failed = serve(worker, client, *leg, moved, &is_client_shut);
    if (client_failed) {
        exchange_close(worker, client, LOG_END_CLIENT_RESET);
        return EXCHANGE_CLOSED;
    }
    if (leg_failed)
        return waiting_failed(worker, client, leg, PROXY_RESET, (struct slice){"", 0});
    if (is_leg_shut && is_client_shut) {
        exchange_close(worker, client, LOG_END_COMPLETE);
        return EXCHANGE_CLOSED;
    }
    return EXCHANGE_GO_ON;
}
