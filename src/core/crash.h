/* What a worker still writes when it crashes: signal, thread and a backtrace, into its arena.
 *
 * The handler runs on an alternate stack, allocates nothing, and then lets the signal do its work, so that the
 * keeper sees the true cause. sigaltstack(2), signal-safety(7). */
#ifndef HOLDFAST_CORE_CRASH_H
#define HOLDFAST_CORE_CRASH_H

#include "base/err.h"
#include "core/arena.h"

/* Installs the handlers for SIGSEGV, SIGBUS, SIGILL, SIGFPE and SIGABRT, and warms up the unwinder, which allocates
 * on its first use. Both are borrowed for the life of the process. When the report is
 * complete the keeper is woken (SIGUSR1): it need not wait for a core dump. */
WARN_UNUSED int crash_init(struct arena_core *core, struct arena_page *page);
/* Gives the calling thread an alternate stack and a number (the loop is 0). */
void crash_thread(unsigned thread);
/* Puts the default actions back: for processes that are no longer workers. */
void crash_fini(void);

#endif
