/* LOAD: the loader, a process of its own, reads the configuration and hands over a sealed snapshot. */
#include "core/phases.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/packet.h"
#include "base/process.h"
#include "core/launch.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>

#define LOADER_TRIES 5u
#define LOADER_SILENT_NS (20 * NS_PER_S)

static int start_loader(struct master *master)
{
    struct launch launch = {.arguments = master->loader_arguments};
    int pair[2], result;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair))
        return err_from_errno(errno);
    launch_add_fd(&launch, pair[1], WIRE_MASTER_FD);
    master->state->loader_tries++;
    master->state->loader_started_ns = master->now_ns;
    result = launch_start(&launch, &master->state->loader_pid);
    fd_close(&pair[1]);
    if (result)
        fd_close(&pair[0]);
    else
        master->loader_fd = pair[0];
    return result;
}

static int accept_snapshot(struct master *master, int fd)
{
    int result = master->service->settings(fd, &master->settings);

    if (result)
        return result;
    result = anchor_link_put(&master->anchor, "snapshot:1", fd);
    if (result)
        return result;
    master->snapshot_fd = fd;
    log_set_level(master->settings.log_level);
    log_event(LOG_INFO, LOG_EV_CONFIG_LOADED, "workers=%u listeners=%zu", master->settings.workers,
              master->settings.listener_count);
    phase_enter(master, PHASE_LISTEN);
    return 0;
}

/* The loader closes its end when it dies: killed, it is started again; refusing, it has said why. */
void phase_loader_read(struct master *master)
{
    struct core_snapshot_message message;
    struct packet packet;
    int result = packet_receive(master->loader_fd, &message, sizeof message, &packet);

    if (result == ERR_AGAIN)
        return;
    if (master->state->phase != PHASE_LOAD) { /* a stop came first */
        fd_close(&packet.fd);
        fd_close(&master->loader_fd);
        return;
    }
    if (!result && packet.fd >= 0 && packet.length == sizeof message &&
        message.type == CORE_SNAPSHOT_MESSAGE && message.version == CORE_SNAPSHOT_VERSION) {
        result = accept_snapshot(master, packet.fd);
        if (result) {
            log_event(LOG_ERROR, LOG_EV_CONFIG_REFUSED, "error=\"%s\"", err_text(result));
            fd_close(&packet.fd);
            master_fail(master, EXIT_BAD_START);
        }
    } else {
        fd_close(&packet.fd);
    }
    fd_close(&master->loader_fd);
}

/* A loader that hangs (a dead network file system, say) is ended; its status then has it started again. */
static void watch_loader(struct master *master)
{
    pid_t pid = master->state->loader_pid;

    if (pid <= 0 || master->now_ns - master->state->loader_started_ns < LOADER_SILENT_NS ||
        !process_may_run(pid))
        return;
    log_event(LOG_ERROR, LOG_EV_LOADER_DIED, "pid=%d silent_ms=%llu next=SIGKILL", pid,
              (unsigned long long)(LOADER_SILENT_NS / NS_PER_MS));
    (void)kill(pid, SIGKILL);
}

/* Below this nobody can be launched; what fails then does not say so. */
static int descriptors_suffice(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur >= LAUNCH_DESCRIPTORS_MIN)
        return 1;
    log_event(LOG_ERROR, LOG_EV_DESCRIPTORS_SHORT,
              "limit=%llu needed=%d next=\"raise it: ulimit -n, or LimitNOFILE=\"",
              (unsigned long long)limit.rlim_cur, LAUNCH_DESCRIPTORS_MIN);
    return 0;
}

void phase_load(struct master *master)
{
    int result;

    if (!descriptors_suffice()) {
        master_fail(master, EXIT_BAD_START);
        return;
    }
    if (master->loader_fd >= 0 || master->state->loader_pid > 0) {
        watch_loader(master); /* its answer or its status will come */
        return;
    }
    if (master->state->loader_tries >= LOADER_TRIES) {
        log_event(LOG_ERROR, LOG_EV_LOADER_DIED, "tries=%u next=\"giving up\"", master->state->loader_tries);
        master_fail(master, EXIT_BAD_START);
        return;
    }
    result = start_loader(master);
    if (result)
        log_event(LOG_ERROR, LOG_EV_LOADER_DIED, "step=start error=\"%s\" next=retry", err_text(result));
}

void phase_loader_status(struct master *master, int code, int status)
{
    master->state->loader_pid = 0;
    if (master->loader_fd >= 0)
        phase_loader_read(master); /* the answer may have come before the status */
    if (master->state->phase != PHASE_LOAD)
        return;
    fd_close(&master->loader_fd);
    if (code == CLD_EXITED && status != 0) {
        log_event(LOG_ERROR, LOG_EV_CONFIG_REFUSED, "next=\"mend the configuration and start again\"");
        master_fail(master, EXIT_BAD_START);
    }
}
