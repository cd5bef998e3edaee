#include "core/master.h"

#include "base/assert.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/packet.h"
#include "base/process.h"
#include "core/control.h"
#include "core/launch.h"
#include "core/ledger.h"
#include "core/listeners.h"

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
#define LOADER_TRIES 5u
#define LOADER_SILENT_NS (20 * NS_PER_S)
#define STOP_GRACE_NS (5 * NS_PER_S)
#define EXIT_BAD_START 1

static const char *const phase_names[] = {"load", "listen", "start", "run", "drain", "stop", "leave"};

const char *master_phase_name(const struct master *master)
{
    return phase_names[master->state->phase];
}

static void enter_phase(struct master *master, enum master_phase phase)
{
    log_event(LOG_DEBUG, LOG_EV_DIAGNOSTIC, "phase=%s from=%s", phase_names[phase],
              master_phase_name(master));
    master->state->phase = phase;
}

/* --- ends --- */

void master_fail(struct master *master, int exit_code)
{
    if (master->state->phase >= PHASE_STOP)
        return;
    master->state->exit_code = exit_code;
    master_stop(master, 0);
}

void master_stop(struct master *master, int graceful)
{
    uint64_t drain_ns = graceful ? master->settings.drain_ms * NS_PER_MS : 0;

    if (master->state->phase >= PHASE_STOP || (graceful && master->state->phase == PHASE_DRAIN))
        return;
    log_event(LOG_INFO, LOG_EV_DRAIN_STARTED, "graceful=%d drain_ms=%llu", graceful,
              (unsigned long long)(drain_ns / NS_PER_MS));
    (void)!anchor_link_notify(&master->anchor, "STOPPING=1");
    master->state->stop_deadline_ns = master->now_ns + drain_ns;
    enter_phase(master, graceful ? PHASE_DRAIN : PHASE_STOP);
}

/* --- LOAD --- */

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
    enter_phase(master, PHASE_LISTEN);
    return 0;
}

/* The loader closes its end when it dies: killed, it is started again; refusing, it has said why. */
static void read_loader(struct master *master)
{
    struct core_snapshot_message message;
    struct packet packet;
    int result = packet_receive(master->loader_fd, &message, sizeof message, &packet);

    if (result == ERR_AGAIN)
        return;
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
    char state;

    if (pid <= 0 || master->now_ns - master->state->loader_started_ns < LOADER_SILENT_NS)
        return;
    state = process_state(pid);
    if (!state || state == 'Z' || state == 'T' || state == 't')
        return;
    log_event(LOG_ERROR, LOG_EV_LOADER_DIED, "pid=%d silent_ms=%llu next=SIGKILL", pid,
              (unsigned long long)(LOADER_SILENT_NS / NS_PER_MS));
    (void)kill(pid, SIGKILL);
}

static void advance_load(struct master *master)
{
    int result;

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

static void loader_status(struct master *master, int code, int status)
{
    master->state->loader_pid = 0;
    if (master->loader_fd >= 0)
        read_loader(master); /* the answer may have come before the status */
    if (master->state->phase != PHASE_LOAD)
        return;
    fd_close(&master->loader_fd);
    if (code == CLD_EXITED && status != 0) {
        log_event(LOG_ERROR, LOG_EV_CONFIG_REFUSED, "next=\"mend the configuration and start again\"");
        master_fail(master, EXIT_BAD_START);
    }
}

/* --- LISTEN --- */

static void listener_name(char *out, const struct core_listener *listener)
{
    const char *text = listener->text;
    uint32_t hash = 2166136261u;

    if (strlen(text) + sizeof "listener:" <= WIRE_NAME_MAX && !strpbrk(text, " \t")) {
        snprintf(out, WIRE_NAME_MAX + 1, "listener:%s", text);
        return;
    }
    for (const char *c = text; *c; c++)
        hash = (hash ^ (unsigned char)*c) * 16777619u;
    snprintf(out, WIRE_NAME_MAX + 1, "listener:#%08x:%zu", hash, strlen(text));
}

static int ensure_listener(struct master *master, size_t i)
{
    const struct core_listener *listener = &master->settings.listeners[i];
    char name[WIRE_NAME_MAX + 1], why[128] = "";
    int result;

    if (master->listener_fds[i] >= 0)
        return 0;
    listener_name(name, listener);
    if (!anchor_link_get(&master->anchor, name, &master->listener_fds[i]))
        return 0;
    result = listener_open(listener, why, sizeof why);
    if (result < 0) {
        log_event(LOG_ERROR, LOG_EV_LISTENER_FAILED,
                  "address=%s error=\"%s\" next=\"free the address or change it\"", listener->text, why);
        return result;
    }
    master->listener_fds[i] = result;
    log_event(LOG_INFO, LOG_EV_LISTENER_OPEN, "address=%s", listener->text);
    return anchor_link_put(&master->anchor, name, master->listener_fds[i]);
}

static void self_test(struct master *master)
{
    char what[256];
    int result = ledger_self_test(what, sizeof what);

    master->state->counters_lie = result != 0;
    if (result)
        log_event(LOG_ERROR, LOG_EV_KERNEL_SELF_TEST,
                  "result=failed what=\"%s\" next=\"connections in question after a crash are closed, not "
                  "guessed\"",
                  what);
    else
        log_event(LOG_DEBUG, LOG_EV_KERNEL_SELF_TEST, "result=good");
}

static int has_slot(const struct master_state *state, uint32_t generation, uint32_t number)
{
    for (unsigned i = 0; i < MASTER_SLOTS_MAX; i++)
        if (state->slots[i].step != SLOT_FREE && state->slots[i].generation == generation &&
            state->slots[i].number == number)
            return 1;
    return 0;
}

static struct slot_state *free_slot(struct master_state *state)
{
    for (unsigned i = 0; i < MASTER_SLOTS_MAX; i++)
        if (state->slots[i].step == SLOT_FREE)
            return &state->slots[i];
    return NULL;
}

/* Makes the slots of the present generation that are not there yet: a former master may have made some. */
static int make_slots(struct master *master)
{
    struct master_state *state = master->state;

    for (uint32_t number = 0; number < master->settings.workers; number++) {
        struct slot_state *slot;

        if (has_slot(state, state->generation, number))
            continue;
        slot = free_slot(state);
        if (!slot)
            return ERR_LIMIT;
        slot->generation = state->generation;
        slot->number = number;
        slot->start_at_ns = 0;
        slot->losses = 0;
        if (slot->keeper_pid)
            slot->former_pid = slot->keeper_pid; /* its status has not come yet */
        slot->keeper_pid = 0;
        slot->step = SLOT_PREPARE;
    }
    return 0;
}

int master_begin_generation(struct master *master)
{
    if (master->state->phase != PHASE_RUN)
        return ERR_BUSY;
    master->state->generation++;
    enter_phase(master, PHASE_START);
    return 0;
}

/* The others go on with what they have, and leave when it has ended. */
int master_retire_former(struct master *master)
{
    const uint64_t drain_ns = master->settings.drain_ms * NS_PER_MS;
    int retired = 0;

    for (unsigned i = 0; i < MASTER_SLOTS_MAX; i++) {
        struct slot *slot = &master->slots[i];

        if (slot->state->step != SLOT_RUN || slot->state->generation == master->state->generation)
            continue;
        slot_order(slot, ARENA_ORDER_DRAIN, master->now_ns + drain_ns);
        retired++;
    }
    return retired;
}

/* All that cannot be bound is told at once. */
static void advance_listen(struct master *master)
{
    int failed = 0;

    for (size_t i = 0; i < master->settings.listener_count; i++)
        failed |= ensure_listener(master, i) != 0;
    if (!failed && control_start(master))
        failed = 1;
    if (failed) {
        master_fail(master, EXIT_BAD_START);
        return;
    }
    self_test(master);
    master->state->generation = 1;
    enter_phase(master, PHASE_START);
}

/* --- START, RUN --- */

static int all_ready(const struct master *master)
{
    for (unsigned i = 0; i < MASTER_SLOTS_MAX; i++) {
        const struct slot *slot = &master->slots[i];

        if (slot->state->step == SLOT_FREE || slot->state->generation != master->state->generation)
            continue;
        if (slot->state->step != SLOT_RUN || !slot->page || slot->page->state != ARENA_STATE_READY)
            return 0;
    }
    return 1;
}

/* At the first start there is nothing to go back to, and nobody waits for better times. */
static int any_crash_loop(const struct master *master)
{
    for (unsigned i = 0; i < MASTER_SLOTS_MAX; i++)
        if (master->slots[i].state->step == SLOT_RUN && master->slots[i].page &&
            master->slots[i].page->crash_loops)
            return !master->hello.ready_before;
    return 0;
}

static void advance_start(struct master *master)
{
    char text[64];

    if (make_slots(master)) {
        log_event(LOG_ERROR, LOG_EV_MASTER_FAILED, "step=\"make slots\" error=\"more than %d\"",
                  MASTER_SLOTS_MAX);
        master_fail(master, EXIT_BAD_START);
        return;
    }
    if (any_crash_loop(master)) {
        log_event(LOG_ERROR, LOG_EV_WORKER_FAILED, "step=start error=\"workers crash before they accept\"");
        master_fail(master, EXIT_BAD_START);
        return;
    }
    if (!all_ready(master))
        return;
    snprintf(text, sizeof text, "READY=1\nMAINPID=%d", master->hello.anchor);
    if (anchor_link_notify(&master->anchor, text)) {
        log_event(LOG_WARN, LOG_EV_NOTIFY_FAILED, "error=\"%s\" next=retry", master->anchor.error_text);
        return;
    }
    log_event(LOG_INFO, LOG_EV_READY, "pid=%d workers=%u took_ms=%llu", master->hello.anchor,
              master->settings.workers,
              (unsigned long long)((master->now_ns - master->state->started_ns) / NS_PER_MS));
    enter_phase(master, PHASE_RUN);
}

/* --- DRAIN, STOP, LEAVE --- */

static void close_listeners(struct master *master)
{
    char name[WIRE_NAME_MAX + 1];

    if (master->listeners_closed)
        return;
    master->listeners_closed = 1;
    for (size_t i = 0; i < master->settings.listener_count; i++) {
        if (master->listener_fds[i] >= 0)
            listener_unlink(&master->settings.listeners[i]);
        fd_close(&master->listener_fds[i]);
        listener_name(name, &master->settings.listeners[i]);
        (void)!anchor_link_del(&master->anchor, name);
    }
}

static void order_all(struct master *master, enum arena_order order)
{
    for (unsigned i = 0; i < MASTER_SLOTS_MAX; i++)
        if (master->slots[i].state->step == SLOT_RUN)
            slot_order(&master->slots[i], order, master->state->stop_deadline_ns);
}

static int slots_are(const struct master *master, int (*is)(const struct slot *slot))
{
    for (unsigned i = 0; i < MASTER_SLOTS_MAX; i++)
        if (master->slots[i].state->step != SLOT_FREE && !is(&master->slots[i]))
            return 0;
    return 1;
}

static int slot_is_quiet(const struct slot *slot)
{
    return !slot->page || !slot->page->listening;
}

static int slot_is_gone(const struct slot *slot)
{
    (void)slot;
    return 0;
}

/* From "stop accepting" to closed: SYNs are dropped while the workers empty the queues, then the port is closed. */
static void advance_drain(struct master *master)
{
    for (size_t i = 0; i < master->settings.listener_count; i++)
        if (master->listener_fds[i] >= 0)
            listener_steer_away(master->listener_fds[i]);
    order_all(master, ARENA_ORDER_DRAIN);
    if (slots_are(master, slot_is_quiet))
        close_listeners(master);
    if (slots_are(master, slot_is_gone))
        enter_phase(master, PHASE_LEAVE);
    else if (master->now_ns > master->state->stop_deadline_ns + STOP_GRACE_NS)
        enter_phase(master, PHASE_STOP);
}

/* A keeper ends a worker that does not leave. Whoever is stuck himself is left to the anchor, which kills all that
 * remains when we say that it may leave. */
static int gave_up_waiting(const struct master *master)
{
    return master->now_ns > master->state->stop_deadline_ns + 2 * STOP_GRACE_NS;
}

static void advance_stop(struct master *master)
{
    order_all(master, ARENA_ORDER_STOP);
    close_listeners(master);
    if (slots_are(master, slot_is_gone) || gave_up_waiting(master))
        enter_phase(master, PHASE_LEAVE);
}

_Noreturn static void leave(struct master *master)
{
    close_listeners(master);
    control_stop(master);
    log_event(LOG_INFO, LOG_EV_STOPPED, "exit=%d", master->state->exit_code);
    (void)!anchor_link_exit(&master->anchor, master->state->exit_code);
    _exit(0);
}

static void advance(struct master *master)
{
    for (unsigned i = 0; i < MASTER_SLOTS_MAX; i++)
        slot_advance(master, &master->slots[i]);
    switch ((enum master_phase)master->state->phase) {
    case PHASE_LOAD:
        advance_load(master);
        break;
    case PHASE_LISTEN:
        advance_listen(master);
        break;
    case PHASE_START:
        advance_start(master);
        break;
    case PHASE_RUN:
        break;
    case PHASE_DRAIN:
        advance_drain(master);
        break;
    case PHASE_STOP:
        advance_stop(master);
        break;
    case PHASE_LEAVE:
        leave(master);
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
        loader_status(master, event->code, event->status);
    (void)!anchor_link_ack(&master->anchor, event->seq);
}

static void tell_not_built(const char *signal_name, const char *what)
{
    log_event(LOG_WARN, LOG_EV_NOT_BUILT, "signal=%s asked=\"%s\" next=\"nothing is changed\"", signal_name,
              what);
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
        tell_not_built("SIGUSR1", "reopen logs: the log goes to standard error");
        break;
    case SIGWINCH:
        if (master->is_daemon)
            order_all(master, ARENA_ORDER_QUIET);
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
    order_all(master, ARENA_ORDER_STOP);
    close_listeners(master);
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

/* --- the loop --- */

static int wait_ms(const struct master *master)
{
    int is_busy = master->state->phase != PHASE_RUN;

    for (unsigned i = 0; i < MASTER_SLOTS_MAX && !is_busy; i++) {
        uint32_t step = master->slots[i].state->step;

        is_busy = step != SLOT_FREE && step != SLOT_RUN;
    }
    return (int)((is_busy ? BUSY_TICK_NS : TICK_NS * 5) / NS_PER_MS);
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

_Noreturn static void master_loop(struct master *master)
{
    struct pollfd polled[2 + MASTER_SLOTS_MAX + CONTROL_FDS_MAX];

    for (;;) {
        uint64_t before_ns = clock_monotonic_ns();
        nfds_t count;
        int timeout;

        master->now_ns = before_ns;
        advance(master);
        read_anchor(master); /* requests may have queued events */
        timeout = wait_ms(master);
        count = collect(master, polled);
        before_ns = clock_monotonic_ns();
        if (poll(polled, count, timeout) < 0 && errno != EINTR)
            log_event(LOG_ERROR, LOG_EV_MASTER_FAILED, "step=poll error=\"%s\"", strerror(errno));
        master->now_ns = clock_monotonic_ns();
        read_anchor(master);
        if (master->loader_fd >= 0 && polled[1].revents)
            read_loader(master);
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
    if (master->state->phase > PHASE_LISTEN && master->state->phase < PHASE_STOP) {
        for (size_t i = 0; i < master->settings.listener_count; i++) {
            char name[WIRE_NAME_MAX + 1];

            listener_name(name, &master->settings.listeners[i]);
            (void)!anchor_link_get(&master->anchor, name, &master->listener_fds[i]);
        }
    }
    return control_start(master);
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

    master = (struct master){
        .service = service, .snapshot_fd = -1, .loader_fd = -1, .now_ns = clock_monotonic_ns()};
    for (unsigned i = 0; i < CORE_LISTENERS_MAX; i++)
        master.listener_fds[i] = -1;
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
