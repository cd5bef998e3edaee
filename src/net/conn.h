/* A connection's bytes: two rings, a file, a socket. What stands between the socket and a protocol.
 *
 * Works on a record of the arena and on the rules of core/record.h: what has to change together is changed in a head
 * from record_begin and counts from record_commit on. Functions that take a head work on such a spare; the others
 * begin and commit by themselves. All I/O goes through core/ledger.h, under the loop's intent.
 *
 *   input     rx grows by conn_fill; conn_input shows [taken, rx); the protocol moves `taken`
 *   output    conn_put and conn_put_file move `made`; conn_flush moves tx towards it
 *
 * A later transform stage (TLS) lies between the rings and the socket. */
#ifndef HOLDFAST_NET_CONN_H
#define HOLDFAST_NET_CONN_H

#include "base/bytes.h"
#include "core/worker.h"

/* Receives what the socket has into the input ring. Returns the number of bytes (> 0); 0 at the peer's FIN, which is
 * committed; ERR_AGAIN when the socket is empty; ERR_LIMIT when the ring is full; ERR_NO_MEMORY when there is no
 * block; ERR_RESET and others when the connection is gone. */
WARN_UNUSED int conn_fill(struct worker *worker, struct record *record);

/* Notes what an event says of the socket. For conn_class.ready. */
static inline void conn_note_events(struct conn_side *side, unsigned events)
{
    side->readable |= (events & READY_IN) != 0;
    side->writable |= (events & READY_OUT) != 0;
    side->read_to_the_end |= (events & READY_TO_THE_END) != 0;
}

/* The input from `taken` on, as far as it lies in one piece. Borrowed until the next conn_fill. */
struct slice conn_input(struct worker *worker, const struct record *record, const struct record_head *head);
/* The whole input in one piece: in the ring, or copied into memory of the worker when it wraps around. Borrowed until
 * the next call. */
struct slice conn_input_whole(struct worker *worker, const struct record *record,
                              const struct record_head *head);
static inline uint64_t conn_input_length(const struct record *record, const struct record_head *head)
{
    return record->rx - head->taken;
}

/* Bytes that conn_put can take now: none while a file is pending. */
uint32_t conn_room(const struct record *record, const struct record_head *head);
/* Appends bytes to the output. All or nothing: 0; ERR_LIMIT without room; ERR_NO_MEMORY without a block. */
WARN_UNUSED int conn_put(struct worker *worker, const struct record *record, struct record_head *head,
                         struct slice bytes);
/* Appends file bytes [offset, offset + length) behind what was put. The head takes one use of `fd`
 * (worker_file_use); nothing can be put until the file is through. */
void conn_put_file(struct worker *worker, struct record_head *head, int fd, uint64_t offset, uint64_t length);

/* A response of several parts of one file goes on by its plan: a block of the arena, named by the head, that holds what is
 * still to come. The file stays the head's until the plan is given back.
 *
 * Takes a block for the plan: its ARENA_BLOCK_SIZE bytes, to be written before the commit; NULL: no memory. */
void *conn_take_plan(struct worker *worker, struct record_head *head);
/* The plan of a head that has one. */
const void *conn_plan(struct worker *worker, const struct record_head *head);
/* The plan was carried out, and that is committed. */
void conn_give_plan(struct worker *worker, uint32_t plan_block);
/* The head will not be committed: gives back what it has taken since record_begin, `kept` being the head that counts. */
void conn_undo(struct worker *worker, const struct record_head *head, const struct record_head *kept);
/* Everything made so far is sent: appends `text`, and [offset, offset + length) of the same file behind it. 0 or
 * ERR_NO_MEMORY. */
WARN_UNUSED int conn_put_part(struct worker *worker, struct record *record, struct record_head *head,
                              struct slice text, uint64_t offset, uint64_t length);

/* Where the bytes end that come from the ring, and a file's begin. */
static inline uint64_t conn_ring_end(const struct record_head *head)
{
    return head->file_fd >= 0 ? head->file_from : head->made;
}
/* Bytes that conn_put took lie in the ring until others take their place: copies those of [from, ring end). At most
 * ARENA_BLOCK_SIZE, and the block must still be there. */
void conn_copy_output(struct worker *worker, const struct record_head *head, uint64_t from, char *into);
/* Makes sure that conn_put will find its block. 0 or ERR_NO_MEMORY. */
WARN_UNUSED int conn_reserve(struct worker *worker, struct record_head *head);
/* All input of one connection becomes output of another, together with its block: nothing is copied. Both heads are spares
 * that are committed together. ERR_BUSY, and nothing has changed, if `to` has something waiting, or for fewer than
 * CONN_MOVE_MIN bytes: those are copied, a block is worth more than that. *given_up is the block to give back after the
 * commit (worker_give_block), or 0. */
#define CONN_MOVE_MIN 4096u
WARN_UNUSED int conn_move(const struct record *from_record, struct record_head *from,
                          const struct record *to_record, struct record_head *to, uint32_t *given_up);

/* Sends what is made, up to a fair amount. 0: all is sent; ERR_AGAIN: the socket is full (an edge will come);
 * ERR_BUSY: had its share, others first, or a pool thread reads the file (worker_again is or will be called); ERR_IO: the file is shorter than promised;
 * ERR_RESET and others: the connection is gone. */
WARN_UNUSED int conn_flush(struct worker *worker, struct record *record);

/* Whether more will follow at once what is flushed next: segments are filled up with it (MSG_MORE, send(2)). To be said before
 * the flush, each time. Uploads cost 0.75 of what they cost without it, answers 1.3 times as much (bench/run --only
 * proxy): those do without. */
static inline void conn_follows(struct worker *worker, const struct record *record, int more)
{
    worker_side(worker, record)->more_follows = more != 0;
}
/* 1 if the last receive took all that there was room for: more is likely to be there. */
static inline int conn_flows(struct worker *worker, const struct record *record)
{
    return worker_side(worker, record)->is_flowing;
}
/* For now nothing follows: what the kernel keeps back of the last flush is sent. After a death that happens by itself, 200 ms
 * after it was given to the kernel (tcp(7), TCP_CORK). */
void conn_let_go(struct worker *worker, struct record *record);

/* 1 if the peer has taken bytes since this was last asked (or was never asked): a slow reader is not a dead one, but the
 * socket says that it can be written to only when a good part of its buffer is free. */
int conn_drains(struct worker *worker, struct record *record);
/* Gives back what is empty: blocks, a file that is through. */
void conn_settle(struct worker *worker, struct record *record);
/* 1 if output waits. */
static inline int conn_has_output(const struct record *record, const struct record_head *head)
{
    return record->tx != head->made;
}

/* Sends our FIN; what still comes is read and forgotten (conn_discard), and not counted. */
void conn_shut(struct record *record, uint32_t number);
/* Sends our FIN, when all is sent; the other direction goes on (conn_fill), and is counted as before. */
void conn_half_close(struct record *record, uint32_t number);
/* Reads and forgets, for a lingering close. 0: more may come; ERR_CLOSED: the peer is done (or gone). */
WARN_UNUSED int conn_discard(struct worker *worker, struct record *record);
/* Gives back the file and ends the connection. */
void conn_close(struct worker *worker, struct record *record);
/* The same with a RST instead of a FIN (RFC 9293 section 3.10.4): the peer is to know that what it got is not all. */
void conn_reset(struct worker *worker, struct record *record);

#endif
