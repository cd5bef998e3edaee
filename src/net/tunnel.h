/* Bytes that pass between two connections unchanged, with half-closes: what stands behind an upgrade, and behind a TCP proxy.
 *
 * What one connection received becomes output of the other in one transaction of both heads (core/redo.h): by its block, or
 * copied where it is little. When one side has sent its FIN, and all that came before is sent on, the other side gets ours. */
#ifndef HOLDFAST_NET_TUNNEL_H
#define HOLDFAST_NET_TUNNEL_H

#include "net/conn.h"

/* Moves what `from` has received to the output of `to`, as much as there is room. Both heads are spares that are committed
 * together. Returns the number of bytes; *given_up is the block to give back after the commit (worker_give_block), or 0. */
uint64_t tunnel_move(struct worker *worker, const struct record *from, struct record_head *from_head,
                     const struct record *to, struct record_head *to_head, uint32_t *given_up);
/* After the moves: sends our FIN to `to` if nothing more can come for it. 1 if that is done, now or before. The caller has
 * turned to `to`. */
int tunnel_half_close(struct worker *worker, const struct record *from, struct record *to);
/* At a revival: a FIN that was decided may not have been sent. */
void tunnel_revived(struct worker *worker, struct record *record);

#endif
