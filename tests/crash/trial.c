#include "crash/trial.h"

#include "tools/victim.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FOLLOW (PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC)

static int notify_fd = -1, signal_fd = -1;

void trial_wrong(struct trial *trial, const char *format, ...)
{
    if (trial->why[0] != '\0')
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(trial->why, sizeof trial->why, format, arguments);
    va_end(arguments);
}

/* The name is abstract: nothing has to be removed afterwards. */
int trial_prepare(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char name[64];
    int length = snprintf(name, sizeof name, "holdfast-sweep-%d", (int)getpid());
    memcpy(address.sun_path + 1, name, (size_t)length);
    notify_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);
    if (notify_fd < 0 || bind(notify_fd, (struct sockaddr *)&address, size) != 0)
        return -1;
    char variable[80];
    snprintf(variable, sizeof variable, "@%s", name);
    setenv("NOTIFY_SOCKET", variable, 1);

    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child, NULL);
    signal_fd = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
    return signal_fd >= 0 ? prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) : -1;
}

static _Noreturn void become_server(const struct sweep_options *options, int go)
{
    char byte;
    sigset_t none;
    if (read(go, &byte, 1) != 1)
        _exit(127);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    int log = open(options->log_file ? options->log_file : "/dev/null", O_WRONLY | O_CREAT | O_APPEND, 0644);
    if (log >= 0) {
        dup2(log, 1);
        dup2(log, 2);
        close(log);
    }
    execvp(options->launch[0], options->launch);
    _exit(127);
}

int trial_start(struct trial *trial, int traced)
{
    int go[2];
    char old[256];
    while (recv(notify_fd, old, sizeof old, 0) >= 0)
        continue; /* of the server before */
    if (pipe2(go, O_CLOEXEC) != 0)
        return -1;
    trial->server = fork();
    if (trial->server == 0)
        become_server(trial->options, go[0]);
    close(go[0]);
    int result = trial->server > 0 ? 0 : -1;
    if (result == 0 && traced) {
        result = tracer_seize(trial->server, FOLLOW);
        trial->tracees[trial->tracee_count++] = trial->server;
    }
    if (write(go[1], "g", 1) != 1)
        result = -1;
    close(go[1]);
    return result;
}

/* The process with the role in argv[1] is the one. All others go free. */
static void trial_take_target(struct trial *trial, pid_t pid)
{
    trial->target = pid;
    trial->releasing = 1;
    for (size_t i = 0; i < trial->tracee_count; i++) {
        if (trial->tracees[i] != pid)
            ptrace(PTRACE_INTERRUPT, trial->tracees[i], 0L, 0L);
    }
}

static void trial_count_stop(struct trial *trial)
{
    struct __ptrace_syscall_info info;
    memset(&info, 0, sizeof info);
    ptrace(PTRACE_GET_SYSCALL_INFO, trial->target, sizeof info, &info);
    trial->at_exit = info.op == PTRACE_SYSCALL_INFO_EXIT;
    if (!trial->at_exit)
        trial->call = (long)info.entry.nr;
    if (++trial->stops != trial->want)
        return;
    /* A keeper that has no worker at this moment takes its connections with it: the promise says so. */
    if (strcmp(trial->options->role, "keeper") == 0 && trial->options->run_phase) {
        trial->worker = victim_worker(trial->target);
        trial->excepted = trial->worker == 0;
    }
    trial->killed = 1;
    kill(trial->target, SIGKILL);
}

static void trial_on_stop(struct trial *trial, pid_t pid, int status)
{
    if (pid == trial->target) {
        if (tracer_is_syscall_stop(status) && !trial->killed)
            trial_count_stop(trial);
        if (!trial->killed)
            tracer_resume(PTRACE_SYSCALL, pid, status);
        return;
    }
    if (trial->target == 0 && tracer_event(status) == PTRACE_EVENT_EXEC) {
        char role[32];
        victim_argument(pid, 1, role, sizeof role);
        if (strcmp(role, trial->options->role) == 0) {
            trial_take_target(trial, pid);
            tracer_resume(PTRACE_SYSCALL, pid, status);
            return;
        }
    }
    if (trial->releasing) {
        tracer_resume(PTRACE_DETACH, pid, status);
        return;
    }
    size_t i = 0;
    while (i < trial->tracee_count && trial->tracees[i] != pid)
        i++;
    if (i == trial->tracee_count && i < sizeof trial->tracees / sizeof trial->tracees[0])
        trial->tracees[trial->tracee_count++] = pid;
    tracer_resume(PTRACE_CONT, pid, status);
}

static void trial_reap(struct trial *trial)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG | __WALL)) > 0) {
        if (WIFSTOPPED(status)) {
            trial_on_stop(trial, pid, status);
            continue;
        }
        if (pid == trial->server) {
            trial->server_ended = 1;
            trial->server_status = status;
        } else if (pid == trial->tour) {
            trial->tour_ended = 1;
            trial->tour_status = status;
        }
        if (pid == trial->target)
            trial->target_ended = 1;
    }
}

static void trial_read_notify(struct trial *trial)
{
    char text[512];
    ssize_t length;
    while ((length = recv(notify_fd, text, sizeof text - 1, 0)) >= 0) {
        text[length] = '\0';
        if (strstr(text, "READY=1"))
            trial->ready = 1;
    }
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int trial_wait(struct trial *trial, int (*done)(const struct trial *))
{
    int64_t deadline = now_ms() + TRIAL_PATIENCE_S * 1000;
    for (;;) {
        struct signalfd_siginfo ignored;
        while (read(signal_fd, &ignored, sizeof ignored) > 0)
            continue;
        trial_reap(trial);
        trial_read_notify(trial);
        if (done(trial))
            return 0;
        int64_t left = deadline - now_ms();
        if (left <= 0)
            return -1;
        struct pollfd watched[2] = {{.fd = signal_fd, .events = POLLIN}, {.fd = notify_fd, .events = POLLIN}};
        poll(watched, 2, (int)left);
    }
}

/* Breadth first: a keeper stands before its worker, which has the same argv. */
static pid_t find_role(pid_t server, const char *role)
{
    pid_t queue[256];
    size_t first = 0, count = 1;
    queue[0] = server;
    while (first < count) {
        char argument[32];
        pid_t pid = queue[first++];
        victim_argument(pid, 1, argument, sizeof argument);
        if (pid != server && strcmp(argument, role) == 0)
            return pid;
        count += victim_children(pid, queue + count, 256 - count);
    }
    return 0;
}

pid_t trial_keeper(const struct trial *trial)
{
    return find_role(trial->server, "keeper");
}

int trial_seize_role(struct trial *trial)
{
    int status;
    trial->releasing = 1;
    pid_t pid = find_role(trial->server, trial->options->role);
    if (pid == 0 || tracer_seize(pid, PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE) != 0)
        return -1;
    ptrace(PTRACE_INTERRUPT, pid, 0L, 0L);
    if (waitpid(pid, &status, __WALL) != pid || !WIFSTOPPED(status))
        return -1;
    trial->target = pid;
    return ptrace(PTRACE_SYSCALL, pid, 0L, 0L) == 0 ? 0 : -1;
}

void trial_release(struct trial *trial)
{
    if (trial->target > 0 && !trial->killed && !trial->target_ended)
        tracer_release(trial->target);
    trial->target = 0;
}

static int tour_is_over(const struct trial *trial)
{
    return trial->tour_ended;
}

const char *trial_tour(struct trial *trial, const struct bystander *bystanders,
                       const struct tour_extras *extras)
{
    const struct sweep_options *options = trial->options;
    trial->tour_ended = 0;
    trial->tour = scenario_start_tour(options->targets, options->target_count, bystanders, extras);
    if (trial_wait(trial, tour_is_over) != 0) {
        kill(trial->tour, SIGKILL);
        return "the scenario did not end";
    }
    trial->tour = 0;
    return scenario_verdict(trial->tour_status);
}

static int server_is_gone(const struct trial *trial)
{
    return trial->server_ended;
}

void trial_stop(struct trial *trial)
{
    pid_t left[16];
    char name[64];
    if (!trial->server_ended)
        kill(trial->server, SIGTERM);
    if (trial_wait(trial, server_is_gone) != 0) {
        trial_wrong(trial, "the server does not stop on SIGTERM");
        return;
    }
    if (!WIFEXITED(trial->server_status) || WEXITSTATUS(trial->server_status) != 0)
        trial_wrong(trial, "the server ended with wait status 0x%x", (unsigned)trial->server_status);
    trial_reap(trial);
    if (victim_children(getpid(), left, 16) > 0) {
        victim_argument(left[0], 1, name, sizeof name);
        trial_wrong(trial, "process %d (%s, state %c) was left behind", (int)left[0], name,
                    victim_state(left[0]));
    }
}

void trial_clean(struct trial *trial)
{
    pid_t left[64];
    size_t count;
    trial->releasing = 1;
    while ((count = victim_children(getpid(), left, 64)) > 0) {
        for (size_t i = 0; i < count; i++)
            kill(left[i], SIGKILL);
        if (waitpid(-1, NULL, __WALL) < 0 && errno == ECHILD)
            break;
    }
}
