#include "core/launch.h"

#include "base/fd.h"
#include "base/log.h"
#include "core/clone.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

extern char **environ;

void launch_add_fd(struct launch *launch, int from, int to)
{
    launch->fds[launch->fd_count++] = (struct launch_fd){from, to};
}

_Noreturn static void launch_failed(const struct launch *launch, const char *step)
{
    log_event(LOG_ERROR, LOG_EV_CLONE_FAILED, "role=%s step=\"%s\" error=\"%s\"", launch->arguments[1], step,
              strerror(errno));
    _exit(127);
}

static void set_oom_score(int score)
{
    char text[16];
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return;
    snprintf(text, sizeof text, "%d", score);
    /* Lowering needs a privilege; without it the kernel's default is fine. */
    (void)!write(fd, text, strlen(text));
    fd_close(&fd);
}

/* A worker must not be able to get back what the master has. */
static void drop_privileges(const struct launch *launch)
{
    const struct core_settings *to = launch->drop_to;

    if (geteuid() == 0 && (to->uid != 0 || to->gid != 0)) {
        if (setgroups(to->group_count, to->groups) || setgid(to->gid) || setuid(to->uid))
            launch_failed(launch, "change to the user of the workers");
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        launch_failed(launch, "PR_SET_NO_NEW_PRIVS");
}

/* First all sources out of the way of all targets, then each to its place; dup2 leaves CLOEXEC off. */
static void place_fds(const struct launch *launch)
{
    int aside[LAUNCH_FDS_MAX];

    for (unsigned i = 0; i < launch->fd_count; i++) {
        aside[i] = fcntl(launch->fds[i].from, F_DUPFD_CLOEXEC, LAUNCH_ASIDE);
        if (aside[i] < 0)
            launch_failed(launch, "F_DUPFD_CLOEXEC");
    }
    for (unsigned i = 0; i < launch->fd_count; i++)
        if (dup2(aside[i], launch->fds[i].to) < 0)
            launch_failed(launch, "dup2");
}

static void default_signals(void)
{
    sigset_t none;

    for (int number = 1; number < NSIG; number++)
        (void)signal(number, SIG_DFL);
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

_Noreturn static void launch_child(const struct launch *launch)
{
    int opened = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    int image = opened < 0 ? -1 : fcntl(opened, F_DUPFD_CLOEXEC, LAUNCH_ASIDE);

    if (image < 0)
        launch_failed(launch, "open /proc/self/exe");
    fd_close(&opened);
    if (launch->own_session)
        (void)setsid();
    set_oom_score(launch->oom_score_adj);
    place_fds(launch);
    default_signals();
    if (launch->drop_to)
        drop_privileges(launch);
    (void)syscall(SYS_execveat, image, "", launch->arguments, environ, AT_EMPTY_PATH);
    launch_failed(launch, "execveat");
}

int launch_start(const struct launch *launch, _Atomic int32_t *pid)
{
    pid_t child = clone_sibling(pid);

    if (child == 0)
        launch_child(launch);
    return child > 0 ? 0 : child;
}
