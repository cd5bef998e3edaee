/* The keeper: sleeps beside its worker, shares with it a descriptor table and an arena, and clones the next one.
 *
 * It owns no descriptor: the table is the worker's to ruin. Its orders are words in the arena's first page and a
 * signal (SIGUSR1: look at them); what it learns, it learns from SIGCHLD and from the arena. Its life:
 *
 *     clone worker --> wait (SIGCHLD, SIGUSR1, a tick) --> worker left: leave too
 *          ^                |            |
 *          |                |            +--> no progress for `watchdog`: mark it, SIGABRT, then SIGKILL
 *          +-- a death <----+
 *          +-- too many crashes: close all, empty the arena, wait (backoff) --+
 *
 * When the keeper dies, its worker learns it by pidfd, becomes keeper here (keeper_take_over) and clones a worker. */
#ifndef HOLDFAST_CORE_KEEPER_H
#define HOLDFAST_CORE_KEEPER_H

#include "core/worker.h"

/* Exit codes, as the master reads them. */
#define KEEPER_EXIT_LEFT 0
#define KEEPER_EXIT_RETRY 75  /* a worker of a slot with connections lacks something for now */
#define KEEPER_EXIT_FAILED 78 /* a worker could not start and trying again does not mend it */

/* The role: runs with the fixed descriptors of worker.h in place. Returns an exit code. `arguments` is argv, whose
 * first argument is overwritten in the worker so that ps(1) tells them apart. */
int keeper_run(const struct service *service, char **arguments);

/* A worker whose keeper died becomes one. */
_Noreturn void keeper_take_over(struct arena *arena, const struct service *service,
                                const struct core_settings *settings);

#endif
