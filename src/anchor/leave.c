/* The end of the anchor: no child, no zombie and no pid file stays behind. */
#include "anchor/anchor.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define LEAVE_MASTER_MS 1000 /* the master that asked for the end leaves by itself within this time */
#define LEAVE_ALL_MS 10000   /* processes that even SIGKILL does not end in this time are given up */
#define LEAVE_ROUND_MS 100

/* Waits for a SIGCHLD, at most until the deadline or for one round. Returns 0 if the deadline is over. */
static int leave_wait(struct anchor *anchor, uint64_t deadline_ns)
{
    uint64_t now_ns = clock_monotonic_ns();
    if (now_ns >= deadline_ns)
        return 0;
    uint64_t left_ms = (deadline_ns - now_ns) / NS_PER_MS + 1;
    struct pollfd polled = {.fd = anchor->signals.fd, .events = POLLIN};
    poll(&polled, 1, left_ms < LEAVE_ROUND_MS ? (int)left_ms : LEAVE_ROUND_MS);
    signals_read(&anchor->signals);
    return 1;
}

static void leave_forget_master(struct anchor *anchor, pid_t pid)
{
    for (unsigned i = 0; i < ANCHOR_MASTERS; i++)
        if (anchor->masters[i].pid == pid)
            anchor->masters[i].pid = 0;
}

/* Reaps whoever is dead. Returns 0 when there are no children at all. */
static int leave_reap(struct anchor *anchor)
{
    char cause[PROCESS_CAUSE_SIZE];
    for (;;) {
        siginfo_t info = {.si_pid = 0};
        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | __WALL) < 0)
            return errno != ECHILD;
        if (info.si_pid == 0)
            return 1;
        leave_forget_master(anchor, info.si_pid);
        process_cause_text(info.si_code, info.si_status, cause, sizeof cause);
        log_event(LOG_INFO, LOG_EV_PROCESS_REAPED, "child=%d cause=\"%s\" by=anchor", (int)info.si_pid,
                  cause);
    }
}

/* SIGKILLs each process of a list of numbers with spaces between them (proc(5), children). */
static void leave_kill_list(int list)
{
    static char text[4096];
    ssize_t length;
    pid_t pid = 0;
    while ((length = read(list, text, sizeof text)) > 0) {
        for (ssize_t i = 0; i < length; i++) {
            if (text[i] >= '0' && text[i] <= '9') {
                pid = pid * 10 + (text[i] - '0');
                continue;
            }
            if (pid > 1)
                kill(pid, SIGKILL);
            pid = 0;
        }
    }
}

/* SIGKILLs every child. Own children only: their pids cannot mean anybody else, because nobody but us reaps
 * them. Theirs become ours when they die, and have their turn in the next round. */
static void leave_kill_children(const struct anchor *anchor)
{
    char path[64];
    if (getpid() == 1) {
        kill(-1, SIGKILL);
        return;
    }
    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    int list = open(path, O_RDONLY | O_CLOEXEC);
    if (list >= 0)
        leave_kill_list(list);
    for (unsigned i = 0; list < 0 && i < ANCHOR_MASTERS; i++)
        if (anchor->masters[i].pid > 1)
            kill(anchor->masters[i].pid, SIGKILL); /* without /proc these are all that are known */
    fd_close(&list);
}

/* The master that asked for the end may run its own last lines. */
static void leave_wait_for_master(struct anchor *anchor)
{
    const struct master *master = &anchor->masters[anchor->command];
    uint64_t deadline_ns = clock_monotonic_ns() + LEAVE_MASTER_MS * NS_PER_MS;
    int code, status;
    while (master->pid && !master->doomed && !deaths_look(master->pid, &code, &status) &&
           leave_wait(anchor, deadline_ns))
        ;
}

static void leave_pid_file(struct anchor *anchor)
{
    struct stat ours, there;
    /* Whoever has replaced the file meanwhile keeps his. */
    if (anchor->pid_path && anchor->pid_fd >= 0 && fstat(anchor->pid_fd, &ours) == 0 &&
        lstat(anchor->pid_path, &there) == 0 && ours.st_dev == there.st_dev && ours.st_ino == there.st_ino)
        unlink(anchor->pid_path);
    fd_close(&anchor->pid_fd);
}

void anchor_leave(struct anchor *anchor)
{
    leave_wait_for_master(anchor);
    uint64_t deadline_ns = clock_monotonic_ns() + LEAVE_ALL_MS * NS_PER_MS;
    int children = leave_reap(anchor);
    while (children) {
        leave_kill_children(anchor);
        int in_time = leave_wait(anchor, deadline_ns);
        children = leave_reap(anchor);
        if (!in_time)
            break;
    }
    for (unsigned i = 0; i < ANCHOR_MASTERS; i++)
        fd_close(&anchor->masters[i].link);
    leave_pid_file(anchor);
    log_event(LOG_INFO, LOG_EV_ANCHOR_EXITS, "code=%d%s", anchor->exit_code,
              children ? " left_behind=yes reason=\"a process did not die of SIGKILL\"" : "");
}
