/* What a worker writes into its arena, seen from outside.
 *
 * Between two system calls a worker's death can be told from another only by what it had written into the arena: its
 * private memory is gone, and the kernel knows nothing new. So every instruction that changes the arena opens a new
 * state, and a kill in each of these states is a kill at every instruction.
 *
 * Looked at are the frozen page (but for the keeper's heartbeat), the core with the loop's intent, and the records. Rings
 * are left out: their bytes count only from the commit on that names them. */
#ifndef HOLDFAST_TESTS_CRASH_WATCH_H
#define HOLDFAST_TESTS_CRASH_WATCH_H

#include "core/arena.h"

#include <sys/types.h>

struct watch {
    struct arena arena;
    char *seen; /* owned: the bytes at the last look */
};

/* Maps the arena of a running worker. 0 or -1; close it in both cases. */
int watch_open(struct watch *watch, pid_t worker);
/* 1 if anything was changed since the last look or watch_open. */
int watch_has_changed(struct watch *watch);
void watch_close(struct watch *watch);

#endif
