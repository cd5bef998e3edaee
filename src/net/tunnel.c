#include "net/tunnel.h"

#include "core/ledger.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

/* --- between the rings --- */

static uint64_t move(struct worker *worker, struct record *from, struct record_head *from_head,
                     const struct record *to, struct record_head *to_head, uint32_t *given_up)
{
    const uint64_t available = conn_input_length(from, from_head);
    struct slice input;

    *given_up = 0;
    if (!available || to_head->shut)
        return 0;
    if (!conn_move(from, from_head, to, to_head, given_up))
        return available;
    if (conn_reserve(worker, to_head)) {
        worker_again_later(worker, from);
        return 0;
    }
    input = conn_input(worker, from, from_head);
    if (input.length > conn_room(to, to_head))
        input.length = conn_room(to, to_head);
    if (!input.length || conn_put(worker, to, to_head, input))
        return 0;
    from_head->taken += input.length;
    return input.length;
}

int tunnel_move_both(struct worker *worker, struct record *first, struct record_head *first_head,
                     struct record *second, struct record_head *second_head, struct tunnel_moves *moves)
{
    moves->up = move(worker, first, first_head, second, second_head, &moves->given_up[0]);
    moves->down = move(worker, second, second_head, first, first_head, &moves->given_up[1]);
    if (moves->up || moves->down)
        return 1;
    conn_undo(worker, first_head, record_head(first));
    conn_undo(worker, second_head, record_head(second));
    return 0;
}

void tunnel_moved(struct worker *worker, const struct tunnel_moves *moves)
{
    for (int i = 0; i < 2; i++)
        if (moves->given_up[i])
            worker_give_block(worker, moves->given_up[i]);
}

/* --- between rings and sockets --- */

/* 0, or an error: the connection is gone. */
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

/* What one end received is about to follow what is sent to the other now: the kernel need not end a segment before. */
static int push_more(struct worker *worker, struct record *to, const struct record *from, int *moved)
{
    conn_follows(worker, to, conn_input_length(from, record_head(from)) > 0);
    return push(worker, to, moved);
}

/* Whoever takes nothing more may have sent something before, which still lies in its socket or its ring: that goes first. That it
 * is gone is found again then: a write fails again, and a reset of which a read has told once reads as an end from then on,
 * which close_half tells apart. */
static int is_gone(struct worker *worker, struct record *record, int pulled, int pushed, int *moved)
{
    struct conn_side *side = worker_side(worker, record);

    if (pushed && !pulled) {
        side->readable = side->read_to_the_end = 1;
        pulled = pull(worker, record, moved);
    }
    if (conn_input_length(record, record_head(record)))
        return 0;
    if (pulled)
        return pulled;
    return record_head(record)->end_of_input || !side->readable ? pushed : 0;
}

void tunnel_serve(struct worker *worker, struct record *first, struct record *second, int *moved,
                  int failed[2])
{
    struct record *ends[2] = {first, second};
    int pulled[2];

    for (int i = 1; i >= 0; i--) {
        worker_turn_to(worker, ends[i]);
        pulled[i] = pull(worker, ends[i], moved);
    }
    for (int i = 1; i >= 0; i--) {
        worker_turn_to(worker, ends[i]);
        failed[i] = push_more(worker, ends[i], ends[1 - i], moved);
        if (failed[i] || pulled[i])
            failed[i] = is_gone(worker, ends[i], pulled[i], failed[i], moved);
    }
}

void tunnel_rests(struct worker *worker, struct record *first, struct record *second)
{
    conn_let_go(worker, first);
    conn_let_go(worker, second);
}

/* 1 if our FIN is sent, now or before. */
static int close_half(struct worker *worker, const struct record *from, struct record *to)
{
    const struct record_head *head = record_head(to);

    if (head->shut)
        return 1;
    if (!record_head(from)->end_of_input || conn_input_length(from, record_head(from)) ||
        conn_has_output(to, head))
        return 0;
    if (from->kind != RECORD_UNIX && ledger_was_reset((int)arena_number(&worker->arena, from)))
        return ERR_RESET;
    conn_half_close(to, arena_number(&worker->arena, to));
    return 1;
}

int tunnel_close_halves(struct worker *worker, struct record *first, struct record *second,
                        struct record **by)
{
    const int down = close_half(worker, second, first), up = close_half(worker, first, second);

    *by = up < 0 ? first : second;
    return up < 0 || down < 0 ? ERR_RESET : up && down;
}

int tunnel_may_reset(struct worker *worker, struct record *record)
{
    int moved = 0, waiting = 0, result;

    worker_turn_to(worker, record);
    result = push(worker, record, &moved);
    if (result)
        return result;
    if (conn_has_output(record, record_head(record)))
        return 0;
    if (record->kind == RECORD_UNIX || /* what lies in the peer's queue stays there */
        ioctl((int)arena_number(&worker->arena, record), SIOCOUTQ, &waiting) || !waiting)
        return 1;
    worker_again_later(worker, record); /* no edge tells that it is empty */
    return 0;
}

void tunnel_revived(struct worker *worker, struct record *record)
{
    if (record_head(record)->shut == RECORD_HALF_CLOSED)
        (void)shutdown((int)arena_number(&worker->arena, record), SHUT_WR);
}
