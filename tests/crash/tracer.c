#include "crash/tracer.h"

#include "crash/watch.h"
#include "tools/victim.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define THREAD_MAX 128
#define WORKER_WAIT_MS 15000 /* how long a worker may take to be back and idle */
#define STATE_STEPS_MAX 100000

int tracer_is_syscall_stop(int status)
{
    return WIFSTOPPED(status) && WSTOPSIG(status) == (SIGTRAP | 0x80);
}

int tracer_event(int status)
{
    return WIFSTOPPED(status) ? status >> 16 : 0;
}

int tracer_seize(pid_t pid, int options)
{
    return ptrace(PTRACE_SEIZE, pid, 0L, (long)(PTRACE_O_TRACESYSGOOD | options)) == 0 ? 0 : -1;
}

void tracer_resume(int request, pid_t pid, int status)
{
    int is_signal = !tracer_is_syscall_stop(status) && tracer_event(status) == 0;
    int signal_number = is_signal && WSTOPSIG(status) != SIGTRAP ? WSTOPSIG(status) : 0;
    ptrace(request, pid, 0L, (long)signal_number);
}

/* Detaches a stopped tracee; a child whose birth it was just reporting goes free with it. */
static void tracer_let_go(pid_t pid, int status)
{
    int event = tracer_event(status);
    if (event == PTRACE_EVENT_FORK || event == PTRACE_EVENT_VFORK || event == PTRACE_EVENT_CLONE) {
        unsigned long child = 0;
        int child_status;
        ptrace(PTRACE_GETEVENTMSG, pid, 0L, &child);
        if (child > 0 && waitpid((pid_t)child, &child_status, __WALL) == (pid_t)child &&
            WIFSTOPPED(child_status))
            tracer_resume(PTRACE_DETACH, (pid_t)child, child_status);
    }
    tracer_resume(PTRACE_DETACH, pid, status);
}

static void tracer_release_thread(pid_t thread)
{
    int status;
    ptrace(PTRACE_INTERRUPT, thread, 0L, 0L);
    if (waitpid(thread, &status, __WALL) == thread && WIFSTOPPED(status))
        tracer_let_go(thread, status);
}

static size_t threads_of(pid_t pid, pid_t threads[THREAD_MAX])
{
    char path[64];
    size_t count = 0;
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *directory = opendir(path);
    if (!directory)
        return 0;
    for (struct dirent *entry; count < THREAD_MAX && (entry = readdir(directory));) {
        if (entry->d_name[0] != '.')
            threads[count++] = (pid_t)strtol(entry->d_name, NULL, 10);
    }
    closedir(directory);
    return count;
}

void tracer_release(pid_t pid)
{
    pid_t threads[THREAD_MAX];
    size_t count = threads_of(pid, threads);
    for (size_t i = 0; i < count; i++)
        tracer_release_thread(threads[i]);
}

/* One point under way. */
enum stage {
    STAGE_COUNT, /* the worker runs from stop to stop */
    STAGE_STEP,  /* it is single-stepped */
    STAGE_DYING, /* it was killed, its end is awaited */
    STAGE_NEXT,  /* REVIVE: the next worker runs from stop to stop, once it is born */
    STAGE_NEXT_DYING,
    STAGE_FREE, /* nobody is held any more, but perhaps the keeper */
};

struct run {
    const struct point *point;
    struct point_result *result;
    enum stage stage;
    pid_t keeper, worker, next, stepper, scenario;
    uint64_t steps;
    struct watch watch;    /* STATE only */
    struct region *region; /* STATE: the present one of point->regions */
    int scenario_ended, scenario_status;
};

static void sleep_us(long us)
{
    struct timespec length = {.tv_nsec = us * 1000};
    nanosleep(&length, NULL);
}

static pid_t wait_for_idle_worker(pid_t keeper)
{
    for (int i = 0; i < WORKER_WAIT_MS * 10; i++) {
        pid_t worker = victim_worker(keeper);
        if (worker > 0 && victim_waits_for_events(worker))
            return worker;
        sleep_us(100);
    }
    return 0;
}

/* Attaches to all threads of the worker and sets them running to their first stop. */
static int attach_worker(pid_t worker)
{
    pid_t threads[THREAD_MAX];
    size_t count = threads_of(worker, threads);
    for (size_t i = 0; i < count; i++) {
        int status;
        if (tracer_seize(threads[i], PTRACE_O_TRACECLONE) != 0)
            return -1;
        ptrace(PTRACE_INTERRUPT, threads[i], 0L, 0L);
        if (waitpid(threads[i], &status, __WALL) != threads[i] || !WIFSTOPPED(status))
            return -1;
    }
    for (size_t i = 0; i < count; i++)
        ptrace(PTRACE_SYSCALL, threads[i], 0L, 0L);
    return count > 0 ? 0 : -1;
}

static void kill_worker(struct run *run, pid_t worker)
{
    run->stage = run->stage == STAGE_NEXT ? STAGE_NEXT_DYING : STAGE_DYING;
    kill(worker, SIGKILL);
}

static void begin_steps(struct run *run, pid_t thread)
{
    run->stepper = thread;
    run->stage = STAGE_STEP;
    run->steps = 0;
    ptrace(PTRACE_SINGLESTEP, thread, 0L, 0L);
}

/* At a stop: steps if what follows is wanted. What the system call itself wrote is the state of its exit stop. */
static int begin_states(struct run *run, pid_t thread, const struct __ptrace_syscall_info *info)
{
    const struct point *point = run->point;
    struct point_result *result = run->result;
    if (!result->at_exit)
        return 0;
    if (point->regions) {
        run->region =
            regions_enter(point->regions, result->call, info->instruction_pointer, info->stack_pointer);
        if (!run->region || run->region->is_whole)
            return 0;
    } else if (result->exits != point->stop) {
        return 0;
    }
    result->changes = 0;
    (void)watch_has_changed(&run->watch);
    begin_steps(run, thread);
    return 1;
}

/* Counts a system-call stop. True if the worker was killed or is stepped now and must not be resumed. */
static int on_syscall_stop(struct run *run, pid_t thread)
{
    struct __ptrace_syscall_info info; /* glibc's name for the kernel's ptrace_syscall_info */
    memset(&info, 0, sizeof info);
    ptrace(PTRACE_GET_SYSCALL_INFO, thread, sizeof info, &info);
    struct point_result *result = run->result;
    result->at_exit = info.op == PTRACE_SYSCALL_INFO_EXIT;
    if (!result->at_exit)
        result->call = (long)info.entry.nr;

    if (run->stage == STAGE_NEXT) {
        if (++result->revival_stops != run->point->then)
            return 0;
        kill_worker(run, run->next);
        return 1;
    }
    result->stops++;
    result->exits += (unsigned)result->at_exit;
    if (run->point->mode == POINT_STATE)
        return begin_states(run, thread, &info);
    if (run->point->mode != POINT_STEP) {
        if (result->stops != run->point->stop)
            return 0;
        kill_worker(run, run->worker);
        return 1;
    }
    if (!result->at_exit || result->exits != run->point->stop)
        return 0;
    if (run->point->then == 0)
        kill_worker(run, run->worker);
    else
        begin_steps(run, thread);
    return 1;
}

/* The instruction at which a stopped thread stands is `syscall` (0f 05). */
static int stands_at_system_call(pid_t thread)
{
    struct user_regs_struct registers;
    if (ptrace(PTRACE_GETREGS, thread, 0L, &registers) != 0)
        return 1;
    errno = 0;
    long word = ptrace(PTRACE_PEEKTEXT, thread, (void *)registers.rip, 0L);
    return errno != 0 || (word & 0xffff) == 0x050f;
}

/* The region ends here: it was tried whole, and the run goes on; a single point is killed at its last instruction. */
static void end_states(struct run *run, int is_long)
{
    run->result->unwatched += (unsigned)is_long;
    if (!run->region) {
        kill_worker(run, run->worker);
        return;
    }
    run->region->is_whole = 1;
    run->stage = STAGE_COUNT;
    ptrace(PTRACE_SYSCALL, run->stepper, 0L, 0L);
}

static void on_state_step(struct run *run)
{
    struct point_result *result = run->result;
    uint64_t wanted = run->region ? run->region->states + 1 : run->point->then;
    int is_long = ++run->steps == STATE_STEPS_MAX;
    if (watch_has_changed(&run->watch) && ++result->changes == wanted) {
        if (run->region)
            run->region->states++;
        kill_worker(run, run->worker);
    } else if (is_long || stands_at_system_call(run->stepper)) {
        end_states(run, is_long);
    } else {
        ptrace(PTRACE_SINGLESTEP, run->stepper, 0L, 0L);
    }
}

static void on_step(struct run *run)
{
    if (run->point->mode == POINT_STATE) {
        on_state_step(run);
        return;
    }
    if (++run->steps == run->point->then)
        kill_worker(run, run->worker);
    else
        ptrace(PTRACE_SINGLESTEP, run->stepper, 0L, 0L);
}

/* A signal that a program only gets by its own fault: the sweep has found something, whatever comes of it. */
static void note_crash(struct run *run, pid_t pid, int signal_number)
{
    if (signal_number == SIGSEGV || signal_number == SIGABRT || signal_number == SIGBUS ||
        signal_number == SIGILL || signal_number == SIGFPE)
        snprintf(run->result->why, sizeof run->result->why, "process %d crashed by itself: signal %d",
                 (int)pid, signal_number);
}

static void on_worker_stop(struct run *run, pid_t thread, int status)
{
    int is_signal = tracer_event(status) == 0 && !tracer_is_syscall_stop(status);
    if (run->stage == STAGE_FREE) {
        tracer_let_go(thread, status);
        return;
    }
    if (run->stage == STAGE_DYING || run->stage == STAGE_NEXT_DYING)
        return;
    if (tracer_is_syscall_stop(status) && run->stage != STAGE_STEP) {
        if (on_syscall_stop(run, thread))
            return;
    } else if (is_signal && WSTOPSIG(status) == SIGTRAP && run->stage == STAGE_STEP &&
               thread == run->stepper) {
        on_step(run);
        return;
    } else if (is_signal) {
        note_crash(run, thread, WSTOPSIG(status));
    }
    int request = run->stage == STAGE_STEP && thread == run->stepper ? PTRACE_SINGLESTEP : PTRACE_SYSCALL;
    tracer_resume(request, thread, status);
}

static void on_worker_end(struct run *run, pid_t pid, int status)
{
    int was_killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    if (pid == run->worker && run->stage == STAGE_DYING) {
        int revive = run->point->mode == POINT_REVIVE;
        run->result->reached = !revive;
        run->stage = revive ? STAGE_NEXT : STAGE_FREE;
        return;
    }
    if (pid == run->next && run->stage == STAGE_NEXT_DYING) {
        run->result->reached = 1;
        run->stage = STAGE_FREE;
        return;
    }
    if (pid != run->worker && pid != run->next)
        return; /* a thread */
    if (run->result->why[0] == '\0')
        snprintf(run->result->why, sizeof run->result->why, "worker %d ended by itself: wait status 0x%x%s",
                 (int)pid, (unsigned)status, was_killed ? " (somebody else's SIGKILL)" : "");
    run->stage = STAGE_FREE;
}

/* Only under REVIVE: the keeper reports the birth of the next worker. */
static void on_keeper(struct run *run, int status)
{
    if (!WIFSTOPPED(status)) {
        snprintf(run->result->why, sizeof run->result->why, "the keeper ended: wait status 0x%x",
                 (unsigned)status);
        run->keeper = 0;
        return;
    }
    if (tracer_event(status) == PTRACE_EVENT_FORK || tracer_event(status) == PTRACE_EVENT_CLONE) {
        unsigned long child = 0;
        ptrace(PTRACE_GETEVENTMSG, run->keeper, 0L, &child);
        if (run->stage == STAGE_NEXT && run->next == 0)
            run->next = (pid_t)child;
    }
    tracer_resume(PTRACE_CONT, run->keeper, status);
}

static void on_change(struct run *run, pid_t pid, int status)
{
    if (pid == run->scenario) {
        run->scenario_ended = 1;
        run->scenario_status = status;
    } else if (pid == run->keeper) {
        on_keeper(run, status);
    } else if (WIFSTOPPED(status)) {
        if (run->stage == STAGE_NEXT && run->next == 0)
            run->next = pid; /* its own first stop may be seen before the keeper's report */
        on_worker_stop(run, pid, status);
    } else {
        on_worker_end(run, pid, status);
    }
}

/* After the scenario the worker may still be closing: counting goes on until it sleeps in epoll_wait. */
static int worker_is_quiet(struct run *run)
{
    pid_t held = run->stage == STAGE_NEXT ? run->next : run->worker;
    if (run->stage == STAGE_FREE)
        return 1;
    if (run->stage == STAGE_DYING || run->stage == STAGE_NEXT_DYING)
        return 0;
    int sleeps = held > 0 && victim_waits_for_events(held) && victim_state(held) == 'S';
    if (sleeps && run->stage == STAGE_STEP) { /* stepped into its sleep: this is as far as steps lead */
        kill_worker(run, run->worker);
        return 0;
    }
    return sleeps;
}

static void follow(struct run *run)
{
    int quiet = 0, idle_rounds = 0;
    while (!(run->scenario_ended && (run->stage == STAGE_FREE || quiet >= 3))) {
        int status;
        pid_t pid = waitpid(-1, &status, __WALL | (run->scenario_ended ? WNOHANG : 0));
        if (pid > 0) {
            on_change(run, pid, status);
            quiet = idle_rounds = 0;
            continue;
        }
        if (pid < 0 && errno != EINTR)
            break;
        quiet = worker_is_quiet(run) ? quiet + 1 : 0;
        if (++idle_rounds > 50000) { /* about five seconds */
            snprintf(run->result->why, sizeof run->result->why,
                     "the worker is neither dead nor idle after the scenario (stage %d)", (int)run->stage);
            break;
        }
        sleep_us(100);
    }
}

static void let_all_go(struct run *run)
{
    if (run->stage == STAGE_COUNT || run->stage == STAGE_STEP)
        tracer_release(run->worker);
    if (run->stage == STAGE_NEXT && run->next > 0)
        tracer_release(run->next);
    if (run->keeper > 0)
        tracer_release(run->keeper);
}

void tracer_run_point(pid_t keeper, const struct point *point, const struct target *target,
                      const struct bystander *bystander, struct point_result *result)
{
    struct run run = {.point = point, .result = result};
    memset(result, 0, sizeof *result);
    result->call = -1;
    run.worker = wait_for_idle_worker(keeper);
    if (run.worker == 0) {
        snprintf(result->why, sizeof result->why, "keeper %d has no idle worker after %d ms", (int)keeper,
                 WORKER_WAIT_MS);
        return;
    }
    if (point->mode == POINT_REVIVE) {
        if (tracer_seize(keeper, PTRACE_O_TRACEFORK | PTRACE_O_TRACECLONE) != 0) {
            snprintf(result->why, sizeof result->why, "cannot trace keeper %d: %s", (int)keeper,
                     strerror(errno));
            return;
        }
        run.keeper = keeper;
    }
    if (attach_worker(run.worker) != 0) {
        snprintf(result->why, sizeof result->why, "cannot trace worker %d: %s", (int)run.worker,
                 strerror(errno));
        let_all_go(&run);
        return;
    }
    if (point->mode == POINT_STATE && watch_open(&run.watch, run.worker) != 0) {
        snprintf(result->why, sizeof result->why, "cannot look into the arena of worker %d", (int)run.worker);
        watch_close(&run.watch);
        let_all_go(&run);
        return;
    }
    if (point->regions)
        regions_begin_run(point->regions);
    run.scenario = scenario_start(point->part, target, bystander);
    follow(&run);
    let_all_go(&run);
    if (point->mode == POINT_STATE)
        watch_close(&run.watch);
    const char *why = scenario_verdict(run.scenario_status);
    if (why && result->why[0] == '\0')
        snprintf(result->why, sizeof result->why, "%s", why);
}
