/* Deaths of the anchor's children, masters and all that was adopted: looked at without reaping, told to the
 * master in command, reaped when it has acknowledged. So a status outlives any number of masters.
 *
 * One is open at a time; the other zombies wait in the kernel. */
#ifndef HOLDFAST_ANCHOR_DEATHS_H
#define HOLDFAST_ANCHOR_DEATHS_H

#include "base/err.h"

#include <stdint.h>
#include <sys/types.h>

/* So many masters may lie dead and untold. In a crash loop that goes on for days the older ones are reaped by
 * the anchor (which has logged each), or their zombies would use up all pids. */
#define DEATHS_MASTERS 64

struct deaths {
    uint64_t open_seq; /* 0: none is being told */
    pid_t pid;
    int code, status; /* si_code and si_status of waitid(2) */
    int told;         /* the present master in command has been sent the open one */
    unsigned master_count;
    pid_t masters[DEATHS_MASTERS]; /* dead, not reaped, oldest first */
};

/* A master has been found dead (as a zombie, left in place). */
void deaths_add_master(struct deaths *deaths, pid_t pid);
/* Makes the next zombie the open one if there is none, with *seq as its number, which is counted up.
 * Returns 1 if the open one has to be told. */
int deaths_open_next(struct deaths *deaths, uint64_t *seq);
/* Whether the open one is a master that was added. */
int deaths_was_master(const struct deaths *deaths);
/* The open one is taken care of: it is reaped. 0, or ERR_NOT_FOUND if `seq` is not its number. */
WARN_UNUSED int deaths_acknowledge(struct deaths *deaths, uint64_t seq);

/* Whether this child is a zombie; then its si_code and si_status. It stays one. */
int deaths_look(pid_t pid, int *code, int *status);

#endif
