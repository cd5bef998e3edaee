/* Bytes that pass between two connections unchanged, with half-closes and resets: what stands behind an upgrade, and behind a TCP
 * proxy.
 *
 * What one connection received becomes output of the other in one transaction of both heads (core/redo.h): by its block, or
 * copied where it is little. When one side has sent its FIN, and all that came before is sent on, the other side gets ours.
 * When a side is reset, everything that came from it before is sent on, and then its owner is told: what follows is the
 * owner's (tunnel_may_reset).
 *
 * A pass of the owner, with `ends` the two connections:
 *
 *     while tunnel_has_input: begin a transaction of both, tunnel_move_both, commit, tunnel_moved
 *     tunnel_serve, and tunnel_close_halves unless an end has failed; tunnel_rests when nothing got on */
#ifndef HOLDFAST_NET_TUNNEL_H
#define HOLDFAST_NET_TUNNEL_H

#include "net/conn.h"

/* What a transaction has moved. */
struct tunnel_moves {
    uint64_t up, down;    /* bytes from the first to the second, and back */
    uint32_t given_up[2]; /* blocks to give back after the commit, or 0 */
};

/* 1 if there is something that can be moved. */
static inline int tunnel_has_input(const struct record *first, const struct record *second)
{
    return conn_input_length(first, record_head(first)) || conn_input_length(second, record_head(second));
}
/* Moves what each has received to the output of the other, as much as there is room. Both heads are spares that are committed
 * together. 1; 0: nothing was moved, and the heads are not to be committed: what they took is given back. */
WARN_UNUSED int tunnel_move_both(struct worker *worker, struct record *first, struct record_head *first_head,
                                 struct record *second, struct record_head *second_head,
                                 struct tunnel_moves *moves);
/* After the commit. */
void tunnel_moved(struct worker *worker, const struct tunnel_moves *moves);

/* Receives what both ends have sent, then sends what waits for them. *moved: something has got on. failed: of each end 0, or an
 * error: the connection is gone, and nothing of what came from it is left in its ring. The worker has turned to the first end
 * afterwards. */
void tunnel_serve(struct worker *worker, struct record *first, struct record *second, int *moved,
                  int failed[2]);
/* Nothing got on: what the kernel keeps back, because more was to follow, is sent. */
void tunnel_rests(struct worker *worker, struct record *first, struct record *second);
/* Sends our FIN to whoever can get nothing more. 0; 1: both have it, the tunnel is over; ERR_RESET and *by: what looked like
 * that one's FIN was a reset, of which a worker that has died was told. */
WARN_UNUSED int tunnel_close_halves(struct worker *worker, struct record *first, struct record *second,
                                    struct record **by);
/* The other end was reset: sends what is left for this one. 1 when the peer has taken everything, so that a reset destroys
 * nothing; 0: not yet, and it will be driven; or an error: it is gone, too. The worker turns to it. */
WARN_UNUSED int tunnel_may_reset(struct worker *worker, struct record *record);

/* At a revival: a FIN that was decided may not have been sent. */
void tunnel_revived(struct worker *worker, struct record *record);

#endif
