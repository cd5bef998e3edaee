/* Starting, hearing, pinging and burying masters. */
#ifndef HOLDFAST_ANCHOR_MASTERS_H
#define HOLDFAST_ANCHOR_MASTERS_H

#include "anchor/anchor.h"
#include "base/log_events.h"

/* Starts a master in an empty place from the image of this name.
 * 0; ERR_NOT_FOUND (no such image); others by err_from_errno (socketpair(2), fork(2)). */
WARN_UNUSED int masters_start(struct anchor *anchor, struct master *master, const char *image);
/* Starts the one in command, or plans another try. */
void masters_start_command(struct anchor *anchor, uint64_t now_ns);

/* Sends one message; a full socket is remembered in master->full. 0 or an error of packet_send. */
WARN_UNUSED int masters_send(struct master *master, enum wire_type type, uint64_t serial, const void *payload,
                             uint32_t length, int fd);

/* Reads and answers what the master sent, at most `limit` messages. Returns how many it were. */
unsigned masters_read(struct anchor *anchor, struct master *master, unsigned limit);

/* Kills it and hears it no more; its death is noticed like any other. Event and `why` go into the log. */
void masters_doom(struct master *master, enum log_event event, const char *why);

/* Buries masters that are dead: reads what they said last, keeps them as zombies for STATUS, plans the next. */
void masters_check(struct anchor *anchor, uint64_t now_ns);

/* One tick of the pings. `late`: the anchor itself was late, so silence proves nothing. */
void masters_tick(struct anchor *anchor, int late);

/* The living master with this pid, or NULL. */
struct master *masters_find(struct anchor *anchor, pid_t pid);

#endif
