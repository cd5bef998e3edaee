/* Starting a role from this process's own image: a sibling of the master (a child of the anchor) that execs at once
 * with exactly the descriptors it is given. */
#ifndef HOLDFAST_CORE_LAUNCH_H
#define HOLDFAST_CORE_LAUNCH_H

#include "base/err.h"
#include "core/settings.h"

#include <stdatomic.h>
#include <stdint.h>

#define LAUNCH_FDS_MAX (CORE_LISTENERS_MAX + 8)
#define LAUNCH_ASIDE 256 /* sources are moved here, out of the way of all targets */
#define LAUNCH_DESCRIPTORS_MIN (LAUNCH_ASIDE + LAUNCH_FDS_MAX + 1) /* RLIMIT_NOFILE must not be lower */

struct launch {
    char *const *arguments; /* argv, NULL-terminated; argv[1] is the role */
    struct launch_fd {
        int from, to; /* `from` is the caller's; `to` is 3 or more */
    } fds[LAUNCH_FDS_MAX];
    unsigned fd_count;
    const struct core_settings *drop_to; /* change to this user and forbid new privileges; NULL: stay */
    int own_session;                     /* setsid(2): terminal signals do not reach it */
    int oom_score_adj;                   /* set where permitted, before the user changes */
};

void launch_add_fd(struct launch *launch, int from, int to);
/* Makes the process. `pid` is written by the kernel, before we could be killed. 0, or ERR_AGAIN (no process to be had:
 * try again) and others. A child that cannot exec says so in the log and exits with 127. */
WARN_UNUSED int launch_start(const struct launch *launch, _Atomic int32_t *pid);

#endif
