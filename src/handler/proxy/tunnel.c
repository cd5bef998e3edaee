/* Behind an upgrade: bytes pass both ways until both sides have sent their FIN. */
#include "handler/proxy/internal.h"

#include "net/tunnel.h"

static int move_both(struct worker *worker, struct record *client, struct record *leg)
{
    struct record_head client_before, leg_before;
    struct exchange exchange;
    struct record_head *head;
    struct tunnel_moves moves;

    if (!tunnel_has_input(client, leg))
        return 0;
    if (leg_seen(leg)->websocket) {
        client_before = *record_head(client);
        leg_before = *record_head(leg);
    }
    exchange = exchange_begin(worker, client);
    head = exchange_with(&exchange, leg);
    if (!tunnel_move_both(worker, client, exchange.head, leg, head, &moves))
        return 0;
    if (leg_state_in(head)->websocket) { /* the blocks are still there, whosever they are now */
        websocket_follow(worker, client, client_before, moves.up, &leg_state_in(head)->frames[LEG_UP]);
        websocket_follow(worker, leg, leg_before, moves.down, &leg_state_in(head)->frames[LEG_DOWN]);
    }
    exchange.state->body_taken += moves.up;
    exchange_end(&exchange);
    tunnel_moved(worker, &moves);
    return 1;
}

enum exchange_outcome tunnel_pass(struct worker *worker, struct record *client, struct record **leg,
                                  int *moved)
{
    int failed[2], is_over = 0;
    struct record *by = NULL;

    if (leg_seen(*leg)->websocket & LEG_WS_PARTS)
        return websocket_part_pass(worker, client, *leg, moved);
    *moved |= move_both(worker, client, *leg);
    tunnel_serve(worker, client, *leg, moved, failed);
    if (!failed[0] && !failed[1])
        is_over = tunnel_close_halves(worker, client, *leg, &by);
    if (failed[0] || (is_over < 0 && by == client)) {
        exchange_close(worker, client, LOG_END_CLIENT_RESET);
        return EXCHANGE_CLOSED;
    }
    if (failed[1] || is_over < 0)
        return waiting_failed(worker, client, leg, PROXY_RESET, (struct slice){"", 0});
    if (is_over) {
        exchange_close(worker, client, LOG_END_COMPLETE);
        return EXCHANGE_CLOSED;
    }
    if (!*moved)
        tunnel_rests(worker, client, *leg);
    return EXCHANGE_GO_ON;
}
