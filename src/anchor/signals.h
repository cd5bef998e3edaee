/* Signals that arrived at the anchor, kept until a master in command has acknowledged each.
 *
 * One is told at a time. The same signal arriving again before it is told counts once, as with the kernel;
 * arriving after it was told, it is told again (a second TERM means something). */
#ifndef HOLDFAST_ANCHOR_SIGNALS_H
#define HOLDFAST_ANCHOR_SIGNALS_H

#include "base/err.h"

#include <stdint.h>

struct signals {
    int fd;            /* owned; signalfd(2), non-blocking */
    uint64_t waiting;  /* bit n-1: signal n */
    uint64_t open_seq; /* 0: none is being told */
    int open_number;
    int told; /* the present master in command has been sent the open one */
};

/* Blocks every signal but those of job control (a shell must be able to stop and continue the foreground job)
 * and opens the descriptor. 0 or an error. */
WARN_UNUSED int signals_init(struct signals *signals);
/* Takes in what arrived. SIGCHLD only wakes: every wake-up looks after all children. */
void signals_read(struct signals *signals);
/* Makes the next waiting signal the open one if there is none, with *seq as its number, which is counted up.
 * Returns 1 if the open one has to be told. */
int signals_open_next(struct signals *signals, uint64_t *seq);
/* The open one is taken care of: 0, or ERR_NOT_FOUND if `seq` is not its number. */
WARN_UNUSED int signals_acknowledge(struct signals *signals, uint64_t seq);
/* Whether TERM, INT or QUIT is waiting or open. */
int signals_stop_asked(const struct signals *signals);

#endif
