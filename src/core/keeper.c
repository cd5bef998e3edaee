#include "core/keeper.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/process.h"
#include "core/clone.h"
#include "core/crash.h"
#include "core/link.h"
#include "core/log_ring.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define TICK_NS NS_PER_S
#define ABORT_GRACE_NS NS_PER_S      /* between the watchdog's SIGABRT and its SIGKILL */
#define STOP_GRACE_NS (2 * NS_PER_S) /* between the end of a stop's time and SIGKILL */
#define LAST_TRIES 3                 /* workers that are made after a stop began, for what is unfinished */
#define CRASHES_MAX 1024             /* more than crash_limit can be */
#define RETRY_NS (250 * NS_PER_MS)   /* between tries of a worker that lacks memory or descriptors */
#define DUMP_LOOK_NS NS_PER_MS
#define KILLS_FREE 100u /* SIGKILLs from outside a second that are answered without delay */
#define KILLS_DELAY_NS (10 * NS_PER_MS)
#define BACKOFF_FIRST_NS NS_PER_S
#define BACKOFF_LAST_NS (30 * NS_PER_S)
#define BACKOFF_FORGOTTEN_NS (60 * NS_PER_S)

struct keeper {
    struct arena arena;
    const struct service *service;
    const struct core_settings *settings;
    pid_t worker;
    pid_t dumping;    /* a former worker whose core is still being written */
    ino_t link_inode; /* to know the link from whatever else may have its number */
    uint64_t now_ns;
    uint64_t crashes_ns[CRASHES_MAX]; /* ring of times */
    unsigned crash_count;
    unsigned kills;
    uint64_t kills_since_ns;
    uint64_t backoff_ns, loop_ns;
    uint64_t clone_at_ns; /* not before */
    int clone_failed;
    unsigned last_tries;
    /* watchdog */
    uint64_t turns, turns_since_ns, aborted_ns;
};

static char **keeper_arguments;

/* What ps(1) shows as the role; "keeper" and "worker" are equally long. */
static void show_role(const char *role)
{
    if (keeper_arguments && keeper_arguments[1] && strlen(keeper_arguments[1]) == strlen(role))
        memcpy(keeper_arguments[1], role, strlen(role));
}

/* The link's number may have been closed and given to a client: never write to what is not the link. */
static void tell_master(struct keeper *keeper, enum link_type type)
{
    const struct arena_page *page = keeper->arena.page;
    struct stat status;

    if (!fstat(FD_LINK, &status) && status.st_ino == keeper->link_inode)
        (void)!link_send(FD_LINK, type, page->slot, page->generation, 0);
}

static void keeper_init(struct keeper *keeper, const struct arena *arena, const struct service *service,
                        const struct core_settings *settings)
{
    struct stat status;
    sigset_t blocked;

    *keeper = (struct keeper){.arena = *arena, .service = service, .settings = settings};
    if (!fstat(FD_LINK, &status))
        keeper->link_inode = status.st_ino;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGCHLD);
    sigaddset(&blocked, SIGUSR1);
    (void)sigprocmask(SIG_SETMASK, &blocked, NULL);
    (void)signal(SIGUSR1, SIG_DFL);
    for (const int *ignored = (const int[]){SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGUSR2, SIGWINCH, 0};
         *ignored; ignored++)
        (void)signal(*ignored, SIG_IGN);
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
    (void)prctl(PR_SET_NAME, "holdfast-keeper");
    log_init(log_fd(), "keeper");
    keeper->now_ns = clock_monotonic_ns();
    arena->page->keeper_beat_ns = keeper->now_ns;
    arena->page->keeper_pid = getpid();
}

/* --- cloning --- */

_Noreturn static void become_worker(struct keeper *keeper, pid_t parent)
{
    show_role("worker");
    worker_run(&keeper->arena, keeper->service, keeper->settings, parent);
}

static void clone_next(struct keeper *keeper)
{
    struct arena_page *page = keeper->arena.page;
    pid_t self = getpid(), pid;

    page->state = ARENA_STATE_STARTING;
    keeper->last_tries += page->order == ARENA_ORDER_STOP;
    pid = clone_worker(&page->worker_pid);
    if (pid == 0)
        become_worker(keeper, self);
    if (pid > 0) {
        keeper->worker = pid;
        keeper->clone_failed = 0;
        keeper->turns_since_ns = keeper->now_ns;
        keeper->aborted_ns = 0;
        return;
    }
    if (!keeper->clone_failed)
        log_event(LOG_ERROR, LOG_EV_CLONE_FAILED, "slot=%u error=\"%s\" next=\"trying again every 100 ms\"",
                  page->slot, err_text(pid));
    keeper->clone_failed = 1;
    keeper->clone_at_ns = keeper->now_ns + 100 * NS_PER_MS;
}

/* --- deaths --- */

static void count_kill(struct keeper *keeper)
{
    if (keeper->now_ns - keeper->kills_since_ns > NS_PER_S) {
        keeper->kills_since_ns = keeper->now_ns;
        keeper->kills = 0;
    }
    if (++keeper->kills > KILLS_FREE)
        keeper->clone_at_ns = keeper->now_ns + KILLS_DELAY_NS;
}

static unsigned crashes_in_window(const struct keeper *keeper)
{
    uint64_t window_ns = keeper->settings->crash_window_ms * NS_PER_MS;
    unsigned count = 0;

    for (unsigned i = 0; i < CRASHES_MAX && i < keeper->crash_count; i++)
        count += keeper->now_ns - keeper->crashes_ns[i] <= window_ns;
    return count;
}

/* Whatever brings the workers down is in the connections: they are given up, the slot lives. */
static void start_again_empty(struct keeper *keeper, unsigned crashes)
{
    struct arena_page *page = keeper->arena.page;

    if (keeper->now_ns > keeper->loop_ns + keeper->backoff_ns + BACKOFF_FORGOTTEN_NS)
        keeper->backoff_ns = 0;
    keeper->loop_ns = keeper->now_ns;
    keeper->backoff_ns = keeper->backoff_ns ? keeper->backoff_ns * 2 : BACKOFF_FIRST_NS;
    if (keeper->backoff_ns > BACKOFF_LAST_NS)
        keeper->backoff_ns = BACKOFF_LAST_NS;
    log_event(LOG_ERROR, LOG_EV_CRASH_LOOP,
              "slot=%u crashes=%u window_ms=%llu connections_lost=%llu backoff_ms=%llu "
              "next=\"the slot starts again empty\"",
              page->slot, crashes, (unsigned long long)keeper->settings->crash_window_ms,
              (unsigned long long)page->connections, (unsigned long long)(keeper->backoff_ns / NS_PER_MS));
    page->crash_loops++;
    page->state = ARENA_STATE_BACKOFF;
    for (unsigned i = 0; i < keeper->settings->log_count; i++)
        log_ring_settle(&keeper->arena, i); /* as long as the lock is ours */
    (void)close_range((unsigned)worker_fixed_limit(keeper->settings), ~0U, 0);
    arena_reset(&keeper->arena);
    keeper->crash_count = 0;
    keeper->clone_at_ns = keeper->now_ns + keeper->backoff_ns;
}

static void count_crash(struct keeper *keeper)
{
    unsigned crashes;

    keeper->crashes_ns[keeper->crash_count++ % CRASHES_MAX] = keeper->now_ns;
    crashes = crashes_in_window(keeper);
    if (crashes > keeper->settings->crash_limit)
        start_again_empty(keeper, crashes);
}

static int has_report(const struct arena_crash *crash)
{
    return crash->valid == ARENA_CRASH_NAMED || crash->valid == ARENA_CRASH_COMPLETE;
}

static void log_death(struct keeper *keeper, pid_t pid, const siginfo_t *info, const char *reason)
{
    const struct arena_crash *crash = &keeper->arena.core->crash;
    char cause[64];

    process_cause_text(info->si_code, info->si_status, cause, sizeof cause);
    log_event(LOG_WARN, LOG_EV_WORKER_DIED, "slot=%u pid=%d cause=\"%s\" reason=%s connections=%llu",
              keeper->arena.page->slot, pid, cause, reason,
              (unsigned long long)keeper->arena.page->connections);
    if (has_report(crash))
        log_event(LOG_WARN, LOG_EV_WORKER_DIED, "slot=%u pid=%d thread=%d address=0x%llx backtrace=\"%.*s\"",
                  keeper->arena.page->slot, pid, crash->thread, (unsigned long long)crash->address,
                  (int)crash->text_length, crash->text);
}

/* Writes into the arena who is to blame, before the crash report is cleared. */
/* A worker's own: it crashed, or left without being told to. A signal that is none of a crash comes from outside. */
static int is_own_fault(const siginfo_t *info, const struct arena_crash *crash)
{
    if (info->si_code == CLD_EXITED)
        return 1;
    if (has_report(crash))
        return !crash->from_outside;
    return info->si_status == SIGSEGV || info->si_status == SIGBUS || info->si_status == SIGABRT ||
           info->si_status == SIGILL || info->si_status == SIGFPE;
}

static void judge_death(struct keeper *keeper, pid_t pid, const siginfo_t *info)
{
    struct arena_core *core = keeper->arena.core;
    int is_reported = has_report(&core->crash), is_hang = core->watchdog_kill != 0;

    if (info->si_code == CLD_KILLED && info->si_status == SIGKILL && !is_hang) {
        log_death(keeper, pid, info, "killed_from_outside");
        count_kill(keeper);
        return;
    }
    log_death(keeper, pid, info, is_hang ? "watchdog" : "crash");
    if (is_hang || is_own_fault(info, &core->crash)) {
        core->fault_thread = is_reported && !is_hang ? (uint32_t)core->crash.thread : 0;
        core->fault = 1;
    }
    core->watchdog_kill = 0;
    core->crash.valid = ARENA_CRASH_NONE;
    count_crash(keeper);
}

/* --- the end --- */

static int is_unfinished(const struct keeper *keeper)
{
    for (unsigned i = 0; i < keeper->settings->log_count; i++)
        if (log_ring_waiting(&keeper->arena, i))
            return 1;
    return keeper->arena.page->connections > 0;
}

/* A worker that died at a stop has perhaps not made the log's line of every request that was cut off: the next one does,
 * as long as there is time. */
static int stop_is_over(const struct keeper *keeper)
{
    const struct arena_page *page = keeper->arena.page;

    return page->order == ARENA_ORDER_STOP &&
           (keeper->last_tries >= LAST_TRIES || keeper->now_ns > page->order_deadline_ns + STOP_GRACE_NS ||
            !is_unfinished(keeper));
}

/* What no worker has written. The files are in the table that we shared. */
static void write_last_lines(struct keeper *keeper)
{
    for (unsigned i = 0; i < keeper->settings->log_count; i++) {
        log_ring_settle(&keeper->arena, i);
        if (log_ring_write_patiently(&keeper->arena, i, NULL))
            log_event(LOG_ERROR, LOG_EV_ACCESS_LOG_FAILED, "path=\"%s\" waiting_bytes=%llu next=\"lost\"",
                      keeper->settings->logs[i], (unsigned long long)log_ring_waiting(&keeper->arena, i));
    }
}

/* Returns 1 when the keeper has nothing left to do. */
static int worker_ended(struct keeper *keeper, pid_t pid, const siginfo_t *info)
{
    struct arena_page *page = keeper->arena.page;

    keeper->worker = 0;
    if (info->si_code == CLD_EXITED && info->si_status == KEEPER_EXIT_LEFT && page->state == ARENA_STATE_LEFT)
        return 1;
    if (info->si_code == CLD_EXITED && info->si_status == KEEPER_EXIT_FAILED &&
        page->state == ARENA_STATE_FAILED)
        return 1;
    page->died_ns = keeper->now_ns;
    page->deaths++;
    if (info->si_code == CLD_EXITED && info->si_status == KEEPER_EXIT_RETRY) {
        keeper->clone_at_ns = keeper->now_ns + RETRY_NS;
        return stop_is_over(keeper);
    }
    keeper->clone_at_ns = 0;
    judge_death(keeper, pid, info);
    if (keeper->clone_at_ns)
        tell_master(keeper, LINK_DIED); /* it takes a while: siblings should look at their queues */
    return stop_is_over(keeper);
}

/* A core dump takes seconds. The dumping worker runs no more (its threads are ended before the first byte is written),
 * so the next one need not wait for its status. */
static int worker_is_as_good_as_dead(const struct keeper *keeper)
{
    return keeper->settings->core_dumps && keeper->worker && !keeper->dumping &&
           keeper->arena.core->crash.valid == ARENA_CRASH_COMPLETE && process_is_dumping(keeper->worker);
}

static int take_dumping_for_dead(struct keeper *keeper)
{
    const siginfo_t info = {.si_code = CLD_DUMPED, .si_status = keeper->arena.core->crash.signal};

    if (!worker_is_as_good_as_dead(keeper))
        return 0;
    keeper->dumping = keeper->worker;
    return worker_ended(keeper, keeper->dumping, &info);
}

/* Reaps all that is dead: the worker, and orphans that it left behind. Returns 1 when the worker is done for good. */
static int reap(struct keeper *keeper)
{
    for (;;) {
        siginfo_t info = {0};
        char cause[64];

        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG) || !info.si_pid)
            return 0;
        if (info.si_pid == keeper->worker) {
            if (worker_ended(keeper, info.si_pid, &info))
                return 1;
            continue;
        }
        process_cause_text(info.si_code, info.si_status, cause, sizeof cause);
        log_event(LOG_INFO, LOG_EV_PROCESS_REAPED, "pid=%d kind=%s cause=\"%s\"", info.si_pid,
                  info.si_pid == keeper->dumping ? "dumped_worker" : "orphan", cause);
        if (info.si_pid == keeper->dumping)
            keeper->dumping = 0;
    }
}

/* --- watchdog --- */

static uint64_t watchdog_ns(const struct keeper *keeper)
{
    return keeper->settings->watchdog_ms * NS_PER_MS;
}

static void end_hung_worker(struct keeper *keeper)
{
    struct arena_core *core = keeper->arena.core;

    if (!keeper->aborted_ns) {
        core->watchdog_kill = 1;
        log_event(LOG_ERROR, LOG_EV_WORKER_HUNG, "slot=%u pid=%d no_progress_ms=%llu next=\"SIGABRT\"",
                  keeper->arena.page->slot, keeper->worker,
                  (unsigned long long)((keeper->now_ns - keeper->turns_since_ns) / NS_PER_MS));
        keeper->aborted_ns = keeper->now_ns;
        (void)kill(keeper->worker, SIGABRT); /* for the backtrace */
    } else if (keeper->now_ns - keeper->aborted_ns > ABORT_GRACE_NS) {
        (void)kill(keeper->worker, SIGKILL);
    }
}

/* `late_ns`: how much longer we slept than we wanted. Then the machine or a debugger slept too, and what the worker
 * did not do in that time does not count against it. */
static void watch_worker(struct keeper *keeper, uint64_t late_ns)
{
    uint64_t turns = keeper->arena.core->turns;

    if (!keeper->worker || !watchdog_ns(keeper))
        return;
    if (turns != keeper->turns || !(turns & 1)) {
        keeper->turns = turns;
        keeper->turns_since_ns = keeper->now_ns;
        return;
    }
    keeper->turns_since_ns += late_ns;
    if (keeper->now_ns - keeper->turns_since_ns < watchdog_ns(keeper))
        return;
    if (!process_may_run(keeper->worker)) {
        keeper->turns_since_ns = keeper->now_ns;
        return;
    }
    end_hung_worker(keeper);
}

/* A stop whose time is over is not left to a worker that may be stuck. */
static void watch_stop(struct keeper *keeper)
{
    const struct arena_page *page = keeper->arena.page;

    if (keeper->worker && (page->order == ARENA_ORDER_STOP || page->order == ARENA_ORDER_DRAIN) &&
        keeper->now_ns > page->order_deadline_ns + STOP_GRACE_NS)
        (void)kill(keeper->worker, SIGKILL);
}

/* --- the loop --- */

static uint64_t tick_ns(const struct keeper *keeper)
{
    uint64_t tick = TICK_NS;

    if (keeper->settings->core_dumps && keeper->arena.core->crash.valid && !keeper->dumping)
        return DUMP_LOOK_NS; /* the report is there, the dump is about to begin */
    if (watchdog_ns(keeper) && watchdog_ns(keeper) / 4 < tick)
        tick = watchdog_ns(keeper) / 4;
    if (!keeper->worker && keeper->clone_at_ns > keeper->now_ns &&
        keeper->clone_at_ns - keeper->now_ns < tick)
        tick = keeper->clone_at_ns - keeper->now_ns;
    return tick;
}

static void keeper_sleep(struct keeper *keeper)
{
    uint64_t tick = tick_ns(keeper), until = keeper->now_ns + tick;
    struct timespec time = {(time_t)(tick / NS_PER_S), (long)(tick % NS_PER_S)};
    sigset_t wanted;

    sigemptyset(&wanted);
    sigaddset(&wanted, SIGCHLD);
    sigaddset(&wanted, SIGUSR1);
    (void)sigtimedwait(&wanted, NULL, &time);
    keeper->now_ns = clock_monotonic_ns();
    keeper->arena.page->keeper_beat_ns = keeper->now_ns;
    watch_worker(keeper, keeper->now_ns > until ? keeper->now_ns - until : 0);
    watch_stop(keeper);
}

static int keeper_loop(struct keeper *keeper)
{
    struct arena_page *page = keeper->arena.page;

    for (;;) {
        if (reap(keeper) || take_dumping_for_dead(keeper))
            break;
        if (!keeper->worker && stop_is_over(keeper))
            break;
        if (!keeper->worker && keeper->now_ns >= keeper->clone_at_ns)
            clone_next(keeper);
        keeper_sleep(keeper);
    }
    if (page->state == ARENA_STATE_FAILED)
        return KEEPER_EXIT_FAILED;
    if (page->order == ARENA_ORDER_STOP)
        write_last_lines(keeper);
    page->state = ARENA_STATE_LEFT; /* also when its worker died on the way out */
    return KEEPER_EXIT_LEFT;
}

/* Core dumps of a worker delay its revival by seconds and show clients' data: only where the config wants them. */
static void limit_core_dumps(const struct core_settings *settings)
{
    struct rlimit limit = {0, 0};

    if (settings->core_dumps && !getrlimit(RLIMIT_CORE, &limit))
        limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_CORE, &limit);
}

int keeper_run(const struct service *service, char **arguments)
{
    static struct core_settings settings;
    static struct keeper keeper;
    struct arena arena;
    int result = arena_map(&arena, FD_ARENA);

    keeper_arguments = arguments;
    if (result) {
        log_event(LOG_ERROR, LOG_EV_WORKER_FAILED, "step=\"map the arena\" error=\"%s\"", err_text(result));
        return KEEPER_EXIT_FAILED;
    }
    if (board_lay_over(FD_BOARD, &arena))
        log_event(LOG_DEBUG, LOG_EV_DIAGNOSTIC, "slot=%u board=none", arena.page->slot);
    result = service->settings(FD_SNAPSHOT, &settings);
    if (result) {
        log_event(LOG_ERROR, LOG_EV_WORKER_FAILED, "step=\"read the snapshot\" error=\"%s\"",
                  err_text(result));
        arena.page->state = ARENA_STATE_FAILED;
        return KEEPER_EXIT_FAILED;
    }
    log_set_level((enum log_level)settings.log_level);
    limit_core_dumps(&settings);
    keeper_init(&keeper, &arena, service, &settings);
    log_event(LOG_DEBUG, LOG_EV_KEEPER_STARTED, "slot=%u generation=%u", arena.page->slot,
              arena.page->generation);
    return keeper_loop(&keeper);
}

_Noreturn void keeper_take_over(struct arena *arena, const struct service *service,
                                const struct core_settings *settings)
{
    static struct keeper keeper;

    show_role("keeper");
    crash_fini();
    arena->page->takeovers++;
    arena->page->died_ns = clock_monotonic_ns();
    keeper_init(&keeper, arena, service, settings);
    log_event(LOG_WARN, LOG_EV_KEEPER_TAKEN_OVER, "slot=%u next=\"a new worker is cloned\"",
              arena->page->slot);
    tell_master(&keeper, LINK_TAKEOVER);
    _exit(keeper_loop(&keeper));
}
