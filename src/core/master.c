#include "core/phases.h"

#include "base/bytes.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/process.h"
#include "core/control.h"
#include "core/error_log.h"
#include "core/log_writer.h"
#include "core/shared.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define TICK_NS (200 * NS_PER_MS)
#define BUSY_TICK_NS (20 * NS_PER_MS) /* while something is under way that sends no message */

static const char *const phase_names[] = {"load", "listen", "start", "run", "drain", "stop", "leave"};

const char *master_phase_name(const struct master *master)
{
    return phase_names[master->state->phase];
}

void phase_enter(struct master *master, enum master_phase phase)
{
    log_event(LOG_DEBUG, LOG_EV_DIAGNOSTIC, "phase=%s from=%s", phase_names[phase],
              master_phase_name(master));
    master->state->phase = phase;
}

static void advance(struct master *master)
{
    for (unsigned i = 0; i < MASTER_SLOTS_MAX; i++)
        slot_advance(master, &master->slots[i]);
    switch ((enum master_phase)master->state->phase) {
    case PHASE_LOAD:
        phase_load(master);
        break;
    case PHASE_LISTEN:
        phase_listen(master);
        break;
    case PHASE_START:
        phase_start(master);
        break;
    case PHASE_RUN:
        phase_run(master);
        break;
    case PHASE_DRAIN:
        phase_drain(master);
        break;
    case PHASE_STOP:
        phase_stop(master);
        break;
    case PHASE_LEAVE:
        phase_leave(master);
    }
}

/* --- what comes from the anchor --- */

static const char *kind_of(struct master *master, const struct anchor_event *event)
{
    const char *kind = "orphan";

    if (event->was_master)
        return "master";
    if (event->pid == master->state->loader_pid)
        return "loader";
    if (lister_ended(master, event->pid))
        return "lister";
    for (unsigned i = 0; i < MASTER_SLOTS_MAX; i++)
        if (slot_status(&master->slots[i], event->pid, &kind))
            break;
    return kind;
}

/* Each status is logged once. A master that died between the line and its note is followed by one that says so. */
static void take_status(struct master *master, const struct anchor_event *event)
{
    struct master_state *state = master->state;
    const char *kind = kind_of(master, event);
    char cause[PROCESS_CAUSE_SIZE];

    if (state->status_seq_logged != event->seq) {
        int again = state->status_seq_begun == event->seq;

        state->status_seq_begun = event->seq;
        process_cause_text(event->code, event->status, cause, sizeof cause);
        log_event(event->code == CLD_EXITED && !event->status ? LOG_INFO : LOG_WARN, LOG_EV_PROCESS_REAPED,
                  "pid=%d kind=%s cause=\"%s\" status=%llu%s", event->pid, kind, cause,
                  (unsigned long long)event->seq, again ? " maybe_repeated=1" : "");
        state->status_seq_logged = event->seq;
    }
    for (unsigned i = 0; i < MASTER_SLOTS_MAX; i++)
        slot_keeper_ended(&master->slots[i], event->pid);
    if (event->pid == state->loader_pid)
        phase_loader_status(master, event->code, event->status);
    (void)!anchor_link_ack(&master->anchor, event->seq);
}

static void tell_not_built(const char *signal_name, const char *what)
{
    log_event(LOG_WARN, LOG_EV_NOT_BUILT, "signal=%s asked=\"%s\" next=\"nothing is changed\"", signal_name,
              what);
}

int master_open_error_log(struct master *master)
{
    int fd = error_log_open(&master->settings), result = fd < 0 ? fd : anchor_link_log(&master->anchor, fd);

    if (!result)
        return error_log_use(&fd);
    fd_close(&fd);
    return result;
}

/* Those that were moved away are made anew before workers look for them. */
static void reopen_logs(struct master *master)
{
    int result;

    log_files_prepare(&master->settings);
    result = master->settings.error_log[0] ? master_open_error_log(master) : 0;
    if (result)
        log_event(LOG_ERROR, LOG_EV_ERROR_LOG_FAILED, "path=\"%s\" error=\"%s\" next=\"the old one goes on\"",
                  master->settings.error_log, err_text(result));
    master->state->log_epoch++;
    phase_tell_pages(master);
    log_event(LOG_INFO, LOG_EV_LOGS_REOPENED, "logs=%zu", master->settings.log_count);
}

static void take_signal(struct master *master, const struct anchor_event *event)
{
    int is_stopping = master->state->phase >= PHASE_DRAIN;

    switch (event->signal) {
    case SIGTERM:
    case SIGQUIT:
        master_stop(master, !is_stopping && master->state->phase == PHASE_RUN);
        break;
    case SIGINT:
        master_stop(master, 0);
        break;
    case SIGHUP:
        tell_not_built("SIGHUP", "reload the configuration: comes in a later version");
        break;
    case SIGUSR2:
        tell_not_built("SIGUSR2", "upgrade the binary: comes in a later version");
        break;
    case SIGUSR1:
        reopen_logs(master);
        break;
    case SIGWINCH:
        if (master->is_daemon)
            master->state->is_quiet = 1;
        break;
    default:
        break;
    }
    (void)!anchor_link_ack(&master->anchor, event->seq);
}

/* The anchor is gone, and with it the PID that the world knows: nothing could ever command us again. */
_Noreturn static void anchor_lost(struct master *master)
{
    log_event(LOG_ERROR, LOG_EV_MASTER_FAILED, "step=\"hear the anchor\" error=\"it is gone\" next=\"stop\"");
    phase_order_all(master, ARENA_ORDER_STOP);
    phase_close_listeners(master);
    control_stop(master);
    _exit(1);
}

static void read_anchor(struct master *master)
{
    struct anchor_event event;
    int result;

    while ((result = anchor_link_next(&master->anchor, &event)) == 0) {
        if (event.type == ANCHOR_EVENT_STATUS)
            take_status(master, &event);
        else if (event.type == ANCHOR_EVENT_SIGNAL)
            take_signal(master, &event);
        else if (event.type == ANCHOR_EVENT_COMMAND)
            master->hello.in_command = 1;
    }
    if (result != ERR_AGAIN)
        anchor_lost(master);
}

/* What status shows of the server itself. */
static void tell_board(const struct master *master)
{
    struct board *board = master->board;

    board->generation = master->state->generation;
    board->anchor_pid = master->hello.anchor;
    board->master_pid = getpid();
    board->masters_started = master->hello.started;
    board->started_ns = master->state->started_ns;
    board->counters_lie = master->state->counters_lie;
    snprintf(board->phase, sizeof board->phase, "%s", master_phase_name(master));
    snprintf(board->drain, sizeof board->drain, "%s", master_drain_name(master));
}

/* --- the loop --- */

static int wait_ms(const struct master *master)
{
    int is_busy = master->state->phase != PHASE_RUN ||
                  ((master->state->is_quiet || master->state->quiet_at_ns) && !master->listeners_shut);
    uint64_t until_ns;

    for (unsigned i = 0; i < MASTER_SLOTS_MAX && !is_busy; i++) {
        uint32_t step = master->slots[i].state->step;

        is_busy = step != SLOT_FREE && step != SLOT_RUN;
    }
    until_ns = master->now_ns + (is_busy ? BUSY_TICK_NS : TICK_NS * 5);
    if (master->alive_ns && master->alive_ns < until_ns)
        until_ns = master->alive_ns;
    return until_ns > master->now_ns ? (int)((until_ns - master->now_ns + NS_PER_MS - 1) / NS_PER_MS) : 0;
}

static nfds_t collect(struct master *master, struct pollfd *polled)
{
    nfds_t count = 0;

    polled[count++] = (struct pollfd){.fd = master->anchor.fd, .events = POLLIN};
    polled[count++] = (struct pollfd){.fd = master->loader_fd, .events = POLLIN};
    for (unsigned i = 0; i < MASTER_SLOTS_MAX; i++)
        polled[count++] = (struct pollfd){.fd = master->slots[i].link_ended ? -1 : master->slots[i].link_fd,
                                          .events = POLLIN};
    return count + control_collect(master, polled + count);
}

/* The service manager's own watchdog (sd_watchdog_enabled(3)): told as long as a master is at work. */
static void tell_alive(struct master *master)
{
    const char *interval = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    uint64_t microseconds;

    if (!interval || slice_to_u64(slice_of(interval), &microseconds) || master->now_ns < master->alive_ns)
        return;
    if (pid && strtol(pid, NULL, 10) != master->hello.anchor)
        return;
    master->alive_ns = master->now_ns + microseconds * 1000 / 3;
    (void)!anchor_link_notify(&master->anchor, "WATCHDOG=1");
}

static void watch_keepers(struct master *master, uint64_t slept_ns, uint64_t meant_ns)
{
    uint64_t late_ns = slept_ns > meant_ns ? slept_ns - meant_ns : 0;

    if (master->now_ns < master->tick_ns)
        return;
    master->tick_ns = master->now_ns + NS_PER_S;
    for (unsigned i = 0; i < MASTER_SLOTS_MAX; i++)
        slot_watch(master, &master->slots[i], late_ns);
}

#define POLLED_MAX (2 + MASTER_SLOTS_MAX + CONTROL_FDS_MAX)

/* poll(2) wants no more entries than RLIMIT_NOFILE allows descriptors, also if they are empty: only the others go. */
static void poll_open_ones(struct pollfd *polled, nfds_t count, int timeout_ms)
{
    struct pollfd open_ones[POLLED_MAX];
    nfds_t open_count = 0;

    for (nfds_t i = 0; i < count; i++)
        if (polled[i].fd >= 0)
            open_ones[open_count++] = polled[i];
    if (poll(open_ones, open_count, timeout_ms) < 0) {
        if (errno != EINTR)
            log_event(LOG_ERROR, LOG_EV_MASTER_FAILED, "step=poll error=\"%s\"", strerror(errno));
        return;
    }
    for (nfds_t i = 0, at = 0; i < count; i++)
        if (polled[i].fd >= 0)
            polled[i].revents = open_ones[at++].revents;
}

_Noreturn static void master_loop(struct master *master)
{
    struct pollfd polled[POLLED_MAX];

    for (;;) {
        uint64_t before_ns = clock_monotonic_ns();
        nfds_t count;
        int timeout;

        master->now_ns = before_ns;
        advance(master);
        tell_board(master);
        read_anchor(master); /* requests may have queued events */
        timeout = wait_ms(master);
        count = collect(master, polled);
        before_ns = clock_monotonic_ns();
        poll_open_ones(polled, count, timeout);
        master->now_ns = clock_monotonic_ns();
        read_anchor(master);
        if (master->loader_fd >= 0 && polled[1].revents)
            phase_loader_read(master);
        for (unsigned i = 0; i < MASTER_SLOTS_MAX; i++)
            if (polled[2 + i].revents && master->slots[i].link_fd == polled[2 + i].fd)
                slot_read_link(master, &master->slots[i]);
        control_ready(master, polled + 2 + MASTER_SLOTS_MAX, count - 2 - MASTER_SLOTS_MAX);
        tell_alive(master);
        watch_keepers(master, master->now_ns - before_ns, (uint64_t)timeout * NS_PER_MS);
    }
}

/* --- taking up --- */

static int map_state(struct master *master, int fd)
{
    void *memory = mmap(NULL, sizeof(struct master_state), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (memory == MAP_FAILED)
        return err_from_errno(errno);
    master->state = memory;
    return 0;
}

static int make_state(struct master *master)
{
    int fd = fd_memfd("holdfast-state", sizeof(struct master_state), 0), result;

    if (fd < 0)
        return fd;
    result = map_state(master, fd);
    if (!result) {
        master->state->magic = MASTER_STATE_MAGIC;
        master->state->version = MASTER_STATE_VERSION;
        master->state->started_ns = clock_monotonic_ns();
        master->state->started_wall_ns = clock_wall_ns();
        result = anchor_link_put(&master->anchor, "state", fd);
    }
    fd_close(&fd);
    return result;
}

static int take_up_state(struct master *master)
{
    int fd = -1, result = anchor_link_get(&master->anchor, "state", &fd);

    if (result == ERR_NOT_FOUND)
        return make_state(master);
    if (!result)
        result = map_state(master, fd);
    fd_close(&fd);
    if (!result &&
        (master->state->magic != MASTER_STATE_MAGIC || master->state->version != MASTER_STATE_VERSION))
        result = ERR_VERSION;
    return result;
}

static void take_up_listeners(struct master *master)
{
    char name[WIRE_NAME_MAX + 1];

    for (size_t i = 0; i < master->settings.listener_count; i++)
        for (unsigned queue = 0; queue < master_queue_count(master, i); queue++) {
            phase_listener_name(name, &master->settings.listeners[i], queue);
            (void)!anchor_link_get(&master->anchor, name, &master->listener_fds[i][queue]);
        }
}

/* What a former master deposited. A loader of his that still runs has nobody to answer to: another one is started. */
static int take_up_deposits(struct master *master)
{
    int result = anchor_link_get(&master->anchor, "snapshot:1", &master->snapshot_fd);

    if (result == ERR_NOT_FOUND) {
        master->state->loader_pid = 0;
        if (master->state->phase < PHASE_DRAIN)
            master->state->phase = PHASE_LOAD;
        return 0;
    }
    if (!result)
        result = master->service->settings(master->snapshot_fd, &master->settings);
    if (result)
        return result;
    log_set_level(master->settings.log_level);
    if (master->state->phase == PHASE_LOAD)
        master->state->phase = PHASE_LISTEN;
    if (master->state->phase > PHASE_LISTEN) /* also to remove their paths, if he died before he did */
        take_up_listeners(master);
    return control_start(master);
}

static int take_up_board(struct master *master)
{
    int result = anchor_link_get(&master->anchor, "board", &master->board_fd);

    if (result == ERR_NOT_FOUND) {
        master->board_fd = board_create();
        result = master->board_fd < 0 ? master->board_fd
                                      : anchor_link_put(&master->anchor, "board", master->board_fd);
    }
    return result ? result : board_map(master->board_fd, 1, &master->board);
}

static int take_up_shared(struct master *master)
{
    const size_t size = CROWD_SHARED_SIZE(master->service->shared_size);
    int result = anchor_link_get(&master->anchor, "shared", &master->shared_fd);

    if (result == ERR_NOT_FOUND) {
        master->shared_fd = shared_create(size);
        result = master->shared_fd < 0 ? master->shared_fd
                                       : anchor_link_put(&master->anchor, "shared", master->shared_fd);
    }
    return result ? result : shared_map(master->shared_fd, size, &master->shared);
}

static void raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur == limit.rlim_max)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

static int take_up(struct master *master)
{
    int result = anchor_link_init(&master->anchor, WIRE_MASTER_FD);

    if (!result)
        result = anchor_link_hello(&master->anchor, &master->hello);
    if (!result)
        result = take_up_state(master);
    if (!result)
        result = take_up_board(master);
    if (!result)
        result = take_up_shared(master);
    if (result)
        return result;
    for (unsigned i = 0; i < MASTER_SLOTS_MAX; i++) {
        master->slots[i].state = &master->state->slots[i];
        slot_recover(master, &master->slots[i]);
    }
    return take_up_deposits(master);
}

int master_run(const struct service *service, char **arguments)
{
    static struct master master;
    int result;

    master = (struct master){.service = service,
                             .snapshot_fd = -1,
                             .board_fd = -1,
                             .shared_fd = -1,
                             .loader_fd = -1,
                             .now_ns = clock_monotonic_ns()};
    for (unsigned i = 0; i < CORE_LISTENERS_MAX; i++)
        for (unsigned queue = 0; queue < CORE_WORKERS_MAX; queue++)
            master.listener_fds[i][queue] = -1;
    master.is_daemon = arguments[2] && !strcmp(arguments[2], "--daemon");
    arguments[1] = "loader";
    master.loader_arguments = arguments;
    (void)prctl(PR_SET_NAME, "holdfast-master");
    (void)signal(SIGPIPE, SIG_IGN);
    raise_descriptor_limit();
    result = take_up(&master);
    if (result) {
        log_event(LOG_ERROR, LOG_EV_MASTER_FAILED, "step=\"take up the state\" error=\"%s\" anchor=\"%s\"",
                  err_text(result), master.anchor.error_text);
        return 1;
    }
    log_event(master.hello.started > 1 ? LOG_WARN : LOG_DEBUG, LOG_EV_MASTER_STARTED,
              "masters=%llu phase=%s generation=%u", (unsigned long long)master.hello.started,
              master_phase_name(&master), master.state->generation);
    master_loop(&master);
}
