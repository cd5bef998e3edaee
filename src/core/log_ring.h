/* Lines on their way to a log, and how each gets there once.
 *
 * A finished line is copied into the log's ring in the arena, and `made` moves over it with the commit of the head that
 * the line belongs to (redo.h): so the line exists exactly if its event has happened. A full ring loses the line, counted.
 *
 * The ring is written to its file in batches, by whoever has the time (log_writer.h). Several slots append to the same
 * file; each has its own open file description, with O_APPEND, and takes a lock on it (F_OFD_SETLK, fcntl(2)) that lies in
 * the slot's descriptor table and outlives a worker:
 *
 *     lock; note size and length in the arena; write; move `written`; forget the note; unlock
 *
 * After a death in between, nobody else has appended: the file's size tells how much was written (log_ring_settle). When
 * only a part could be written (a full disk, a death), the file is cut back to the end of its last whole line, so that no
 * line of another slot gets into the middle of one.
 *
 * The write itself may hang with its disk. It stands in a gate of the pool (pool_enter_gate), so a worker may become keeper
 * meanwhile and leave the thread behind. `writer` names the process; as long as the thread is in there, the note, the lock
 * and the file are its own, and lines wait in the ring. Then the size tells, as after a death.
 *
 * That needs a file. A pipe or a terminal is written to without a lock, a few lines at once; the batch that was under way
 * at a death is written again. Whoever else changes the file meanwhile (copytruncate of logrotate) makes its size useless:
 * what was in question then counts as written. */
#ifndef HOLDFAST_CORE_LOG_RING_H
#define HOLDFAST_CORE_LOG_RING_H

#include "base/bytes.h"
#include "core/arena.h"
#include "loop/pool.h"

/* Adds a line (with its line break) to log n in the open transaction. ERR_NO_SPACE: it found no room, which is counted in
 * the same transaction. */
WARN_UNUSED int log_ring_put(struct arena *arena, uint32_t number, struct slice line);
static inline uint64_t log_ring_waiting(const struct arena *arena, uint32_t number)
{
    const struct arena_log *log = &arena->core->logs[number];

    return atomic_load_explicit(&log->made, memory_order_acquire) -
           atomic_load_explicit(&log->written, memory_order_relaxed);
}

/* Writes what waits. 0: all that waited is written; ERR_AGAIN: somebody has the lock, or the pipe is full; ERR_BUSY: a
 * thread that was left behind is still writing; ERR_IO, ERR_NO_SPACE …: it cannot be written now, and errno says why. What
 * was not written stays. One thread at a time. `pool`: that of the calling thread; NULL: it belongs to none. */
WARN_UNUSED int log_ring_write(struct arena *arena, uint32_t number, struct pool *pool);
/* The same, but waits some milliseconds for whoever has the lock. */
WARN_UNUSED int log_ring_write_patiently(struct arena *arena, uint32_t number, struct pool *pool);
/* A thread that was left behind is still writing: the note and the file are not to be touched. */
int log_ring_is_busy(const struct arena *arena, uint32_t number);
/* After a death: finds out how much of a write that was cut off has happened, and gives the lock back. While a thread that
 * was left behind is still writing: does nothing; log_ring_write comes back to it. */
void log_ring_settle(struct arena *arena, uint32_t number);

#endif
