/* Bytes pass both ways, until both sides have sent their end, or one is reset. */
#include "l4/internal.h"

#include "net/tunnel.h"

static int move_both(struct worker *worker, struct record *client, struct record *leg)
{
    struct tunnel_moves moves;
    struct tcp_change change;

    if (!tunnel_has_input(client, leg))
        return 0;
    change = tcp_begin(worker, client, leg);
    if (!tunnel_move_both(worker, client, change.head, leg, change.leg_head, &moves))
        return 0;
    change.state->up += moves.up;
    change.state->down += moves.down;
    tcp_count(worker, TCP_BYTES_UP, moves.up);
    tcp_count(worker, TCP_BYTES_DOWN, moves.down);
    tcp_commit(worker, &change);
    tunnel_moved(worker, &moves);
    return 1;
}

/* What was sent before goes to the other side first: a reset that is passed on at once would destroy it. */
static enum tcp_outcome cut(struct worker *worker, struct record *client, struct record *leg,
                            enum tcp_end end)
{
    struct tcp_change change = tcp_begin(worker, client, leg);

    change.state->step = TCP_CUT;
    change.state->end = (uint8_t)end;
    tcp_commit(worker, &change);
    return TCP_GO_ON;
}

enum tcp_outcome tcp_pass(struct worker *worker, struct record *client, struct record *leg)
{
    int moved = move_both(worker, client, leg), failed[2], is_over = 0;
    struct record *by = NULL;

    tunnel_serve(worker, client, leg, &moved, failed);
    if (!failed[0] && !failed[1])
        is_over = tunnel_close_halves(worker, client, leg, &by);
    if (failed[0] || (is_over < 0 && by == client))
        return cut(worker, client, leg, TCP_END_CLIENT_RESET);
    if (failed[1] || is_over < 0)
        return cut(worker, client, leg, TCP_END_UPSTREAM_RESET);
    if (is_over)
        return tcp_finish(worker, client, TCP_END_COMPLETE);
    if (moved)
        return TCP_GO_ON;
    tunnel_rests(worker, client, leg);
    return TCP_REST;
}

enum tcp_outcome tcp_pass_rest(struct worker *worker, struct record *client, struct record *leg)
{
    const enum tcp_end end = (enum tcp_end)tcp_seen(client)->end;
    const int result = tunnel_may_reset(worker, end == TCP_END_CLIENT_RESET ? leg : client);

    worker_turn_to(worker, client);
    return result ? tcp_finish(worker, client, end) : TCP_REST;
}
