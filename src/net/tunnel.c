#include "net/tunnel.h"

#include <sys/socket.h>

uint64_t tunnel_move(struct worker *worker, const struct record *from, struct record_head *from_head,
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
        worker_again_later(worker, arena_record(&worker->arena, arena_number(&worker->arena, from)));
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

int tunnel_half_close(struct worker *worker, const struct record *from, struct record *to)
{
    const struct record_head *head = record_head(to);

    if (head->shut)
        return 1;
    if (!record_head(from)->end_of_input || conn_input_length(from, record_head(from)) ||
        conn_has_output(to, head))
        return 0;
    conn_half_close(to, arena_number(&worker->arena, to));
    return 1;
}

void tunnel_revived(struct worker *worker, struct record *record)
{
    if (record_head(record)->shut == RECORD_HALF_CLOSED)
        (void)shutdown((int)arena_number(&worker->arena, record), SHUT_WR);
}
