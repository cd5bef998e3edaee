/* The master as the process that it is: this test plays its anchor, its parent, and, as stand-ins, what it launches. It
 * dies at any request of a start; statuses and signals come; the anchor goes away. */
#include "base/clock.h"
#include "base/fd.h"
#include "core/master.h"
#include "fake_anchor.h"
#include "stand_in.h"
#include "unit.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_MS 10000
#define WORKERS 2u

static struct fake_anchor anchor;
static struct anchor_link link_of_masters;
static struct core_settings settings;
static char listener_path[64];
static pid_t master;
static int children_fd; /* a signalfd: somebody has ended */
static struct {
    pid_t pid; /* 0: nobody's status is being told */
    uint64_t seq;
    int is_told;
} telling;

/* --- the master --- */

static int read_settings(int snapshot_fd, struct core_settings *out)
{
    (void)snapshot_fd;
    *out = settings;
    return 0;
}

static const struct service service = {.settings = read_settings, .shared_size = 65536};

static void start_master(const char *option)
{
    static char program[] = "holdfast", role[] = "master", text[32];
    char *arguments[] = {program, role, option ? text : NULL, NULL};

    strcpy(text, option ? option : "");
    (void)fake_anchor_said(&anchor);
    telling.is_told = 0;
    master = fork();
    if (master == 0) {
        log_set_level(LOG_ERROR + 1);
        if (dup2(link_of_masters.fd, WIRE_MASTER_FD) < 0)
            _exit(99);
        _exit(master_run(&service, arguments));
    }
}

static int setup(void **state)
{
    struct core_listener *listener = &settings.listeners[0];
    struct sockaddr_un *address = (struct sockaddr_un *)&listener->address;
    sigset_t child;
    (void)state;

    settings = (struct core_settings){
        .workers = WORKERS, .threads = 1, .drain_ms = 30000, .log_level = LOG_ERROR + 1, .listener_count = 1};
    snprintf(settings.control_path, sizeof settings.control_path, "/tmp/holdfast-unit-%d", getpid());
    snprintf(listener_path, sizeof listener_path, "/tmp/holdfast-unit-%d-listener", getpid());
    *listener = (struct core_listener){.kind = CORE_LISTENER_UNIX, .length = sizeof *address};
    address->sun_family = AF_UNIX;
    snprintf(address->sun_path, sizeof address->sun_path, "%s", listener_path);
    snprintf(listener->text, sizeof listener->text, "unix:%s", listener_path);
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    (void)sigprocmask(SIG_BLOCK, &child, NULL);
    children_fd = signalfd(-1, &child, SFD_NONBLOCK | SFD_CLOEXEC);
    (void)unsetenv(STAND_IN);
    (void)unsetenv("WATCHDOG_USEC");
    (void)unsetenv("WATCHDOG_PID");
    telling.pid = 0;
    fake_anchor_open(&anchor, &link_of_masters);
    anchor.told_anchor = getpid(); /* everything that is launched is a child of ours */
    return 0;
}

/* Whoever is left is killed, as the anchor does. */
static int teardown(void **state)
{
    struct master_state *found;
    char hidden_path[sizeof listener_path + 16];
    int status, fd = fake_anchor_held(&anchor, "state");
    (void)state;

    (void)kill(master, SIGKILL);
    if (fd >= 0) {
        found = mmap(NULL, sizeof *found, PROT_READ, MAP_SHARED, fd, 0);
        assert_true(found != MAP_FAILED);
        for (unsigned i = 0; i < MASTER_SLOTS_MAX; i++)
            if (found->slots[i].keeper_pid > 0)
                (void)kill(found->slots[i].keeper_pid, SIGKILL);
        if (found->loader_pid > 0)
            (void)kill(found->loader_pid, SIGKILL);
        munmap(found, sizeof *found);
    }
    fake_anchor_close(&anchor, &link_of_masters);
    while (waitpid(-1, &status, 0) > 0)
        ;
    fd_close(&children_fd);
    (void)unlink(listener_path);
    snprintf(hidden_path, sizeof hidden_path, "%s.drained", listener_path);
    (void)unlink(hidden_path);
    (void)unlink(settings.control_path);
    return 0;
}

/* --- the anchor's work: deaths --- */

/* 1 and how, once the master has ended. */
static int master_has_ended(int *status)
{
    return waitpid(master, status, WNOHANG) == master;
}

static uint64_t acknowledged(void)
{
    uint64_t seq;

    (void)pthread_mutex_lock(&anchor.lock);
    seq = anchor.acknowledged;
    (void)pthread_mutex_unlock(&anchor.lock);
    return seq;
}

/* One death at a time: looked at, told, acknowledged, reaped. */
static void tell_deaths(void)
{
    static uint64_t last_seq = 1000;
    siginfo_t info = {.si_pid = 0};

    if (telling.pid && acknowledged() == telling.seq) {
        assert_int_equal(waitpid(telling.pid, NULL, 0), telling.pid);
        telling.pid = 0;
    }
    if (!telling.pid) {
        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) || !info.si_pid || info.si_pid == master)
            return;
        telling.pid = info.si_pid;
        telling.seq = ++last_seq;
        telling.is_told = 0;
    }
    if (!telling.is_told && fake_anchor_has_heard(&anchor, "HELLO")) {
        (void)waitid(P_PID, (id_t)telling.pid, &info, WEXITED | WNOHANG | WNOWAIT);
        fake_anchor_tells_status(&anchor, telling.seq, telling.pid, info.si_code, info.si_status, 0);
        telling.is_told = 1;
    }
}

/* Waits until the master has asked for this (NULL: for ever), or has ended. 1, or 0 and how it ended. */
static int await(const char *text, int *status)
{
    struct pollfd wait[2] = {{.fd = anchor.heard, .events = POLLIN}, {.fd = children_fd, .events = POLLIN}};
    struct signalfd_siginfo signal;
    eventfd_t count;

    for (;;) {
        if (text && fake_anchor_has_heard(&anchor, text))
            return 1;
        if (master_has_ended(status))
            return 0;
        tell_deaths();
        assert_true(poll(wait, 2, PATIENCE_MS) > 0);
        (void)eventfd_read(anchor.heard, &count);
        while (read(children_fd, &signal, sizeof signal) > 0)
            ;
    }
}

static void await_ready(void)
{
    int status = 0;

    if (!await("NOTIFY READY=1", &status))
        fail_msg("the master ended with status %#x", (unsigned)status);
}

static void say_signal(int number)
{
    static uint64_t seq;
    char line[32];
    int status = 0;

    fake_anchor_tells_signal(&anchor, ++seq, number);
    snprintf(line, sizeof line, "ACK %llu\n", (unsigned long long)seq);
    assert_int_equal(await(line, &status), 1);
}

static void await_exit(int code, int exit_code_told)
{
    char line[32];
    int status = -1;

    assert_int_equal(await(NULL, &status), 0);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), code);
    snprintf(line, sizeof line, "EXIT %d\n", exit_code_told);
    if (exit_code_told >= 0)
        assert_true(fake_anchor_has_heard(&anchor, line));
}

static void assert_nothing_is_left(void)
{
    assert_int_equal(fake_anchor_count(&anchor, ""), 4); /* state, board, shared and snapshot go with it */
    assert_true(fake_anchor_held(&anchor, "state") >= 0);
    assert_int_equal(access(listener_path, F_OK), -1);
    assert_int_equal(access(settings.control_path, F_OK), -1);
}

/* --- a life --- */

static void a_server_starts_runs_and_stops(void **state)
{
    static const char begins[] = "HELLO\nGET state\nPUT state\nGET board\nPUT board\nGET shared\nPUT shared\n"
                                 "GET snapshot:1\nPUT snapshot:1\n";
    const char *said;
    (void)state;

    start_master(NULL);
    await_ready();
    said = fake_anchor_said(&anchor);
    assert_memory_equal(said, begins, sizeof begins - 1);
    assert_non_null(strstr(said, "PUT arena:1.1\nPUT link:1.1\n"));
    assert_int_equal(fake_anchor_count(&anchor, ""), 4 + 2 + 2 * WORKERS);
    say_signal(SIGTERM);
    await_exit(0, 0);
    assert_nothing_is_left();
}

static void a_master_that_dies_at_any_request_of_a_start_is_followed_by_one_that_is_ready(void **state)
{
    const unsigned step = unit_is_under_valgrind() ? 5 : 1; /* each is a dozen processes */
    unsigned nth = 1;
    int was_killed = 1;
    (void)state;

    for (; was_killed; nth += step) {
        int status = 0;

        start_master(NULL);
        fake_anchor_kills(&anchor, master, nth, nth % 2); /* odd ones are done, even ones are not */
        (void)await("NOTIFY READY=1", &status);
        was_killed = fake_anchor_spares(&anchor);
        if (was_killed) {
            if (!status)
                assert_int_equal(waitpid(master, &status, 0), master);
            assert_int_equal(WTERMSIG(status), SIGKILL);
            start_master(NULL);
            await_ready();
        }
        assert_int_equal(fake_anchor_count(&anchor, ""), 4 + 2 + 2 * WORKERS);
        say_signal(SIGINT);
        await_exit(0, 0);
        assert_nothing_is_left();
        assert_int_equal(teardown(state) | setup(state), 0);
    }
    assert_true(nth > 10);
}

static void a_master_that_is_killed_in_a_running_server_is_followed_by_one_that_changes_nothing(void **state)
{
    int status = 0;
    (void)state;

    start_master(NULL);
    await_ready();
    for (int i = 0; i < 3; i++) {
        (void)kill(master, SIGKILL);
        assert_int_equal(await(NULL, &status), 0);
        start_master(NULL);
        say_signal(SIGHUP); /* it is at work */
        assert_null(strstr(fake_anchor_said(&anchor), "PUT"));
    }
    say_signal(SIGTERM);
    await_exit(0, 0);
    assert_nothing_is_left();
}

/* --- what comes from the anchor --- */

static void signals_that_mean_nothing_yet_are_acknowledged_and_change_nothing(void **state)
{
    static const int numbers[] = {SIGHUP, SIGUSR1, SIGUSR2, SIGWINCH, SIGCONT};
    (void)state;

    start_master(NULL);
    await_ready();
    (void)fake_anchor_said(&anchor);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        say_signal(numbers[i]);
    assert_null(strstr(fake_anchor_said(&anchor), "NOTIFY"));
    assert_int_equal(fake_anchor_count(&anchor, "listener:"), 1);
}

static void a_daemon_hides_its_listeners_at_sigwinch_and_goes_on(void **state)
{
    struct pollfd wait = {.fd = inotify_init1(IN_CLOEXEC), .events = POLLIN};
    char events[4096];
    (void)state;

    assert_true(inotify_add_watch(wait.fd, "/tmp", IN_MOVED_FROM) >= 0);
    start_master("--daemon");
    await_ready();
    say_signal(SIGWINCH);
    while (!access(listener_path, F_OK)) { /* put aside */
        assert_int_equal(poll(&wait, 1, PATIENCE_MS), 1);
        assert_true(read(wait.fd, events, sizeof events) > 0);
    }
    fd_close(&wait.fd);
    say_signal(SIGHUP);
    assert_int_equal(fake_anchor_count(&anchor, "listener:"), 1);
    assert_int_equal(fake_anchor_count(&anchor, "arena:"), WORKERS);
}

static void a_term_before_everything_is_ready_ends_the_start_at_once(void **state)
{
    (void)state;
    (void)setenv(STAND_IN, "silent", 1); /* a loader that takes its time */
    start_master(NULL);
    say_signal(SIGTERM);
    await_exit(0, 0);
}

static void a_loader_that_refuses_is_the_servers_exit_code(void **state)
{
    (void)state;
    (void)setenv(STAND_IN, "fails", 1);
    start_master(NULL);
    await_exit(0, 1);
    assert_int_equal(fake_anchor_count(&anchor, ""), 3); /* state, board and shared */
}

static void a_status_of_nobody_we_know_is_acknowledged_and_so_is_one_that_is_told_again(void **state)
{
    int status = 0;
    (void)state;

    start_master(NULL);
    await_ready();
    for (int again = 0; again < 2; again++) {
        (void)fake_anchor_said(&anchor);
        fake_anchor_tells_status(&anchor, 500, 4000001, CLD_KILLED, SIGSEGV, 1);
        assert_int_equal(await("ACK 500\n", &status), 1);
    }
}

static void a_slot_whose_keeper_is_killed_is_made_again(void **state)
{
    struct board *board = NULL;
    int status = 0;
    (void)state;

    start_master(NULL);
    await_ready();
    assert_int_equal(board_map(fake_anchor_held(&anchor, "board"), 0, &board), 0);
    (void)fake_anchor_said(&anchor);
    (void)kill(board_page(board, 0)->keeper_pid, SIGKILL);
    board_unmap(&board);
    assert_int_equal(await("DEL arena:1.0\nDEL link:1.0\n", &status), 1);
    assert_int_equal(await("PUT arena:1.0\nPUT link:1.0\n", &status), 1);
    say_signal(SIGTERM);
    await_exit(0, 0);
    assert_nothing_is_left();
}

static void a_master_without_an_anchor_stops_everything_and_leaves(void **state)
{
    (void)state;
    start_master(NULL);
    await_ready();
    (void)shutdown(anchor.fd, SHUT_RDWR);
    await_exit(1, -1);
    assert_int_equal(access(listener_path, F_OK), -1);
    assert_int_equal(access(settings.control_path, F_OK), -1);
}

/* --- taking up --- */

static void a_state_of_another_version_is_not_taken_up(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct master_state *other;
        int fd = fd_memfd("state", sizeof *other, 0);

        other = mmap(NULL, sizeof *other, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        assert_true(other != MAP_FAILED);
        other->magic = MASTER_STATE_MAGIC + (i == 0);
        other->version = MASTER_STATE_VERSION + (i == 1);
        munmap(other, sizeof *other);
        assert_int_equal(anchor_link_put(&link_of_masters, "state", fd), 0);
        fd_close(&fd);
        start_master(NULL);
        await_exit(1, -1);
    }
}

/* --- the service manager's watchdog --- */

static void the_service_manager_is_told_that_a_master_is_at_work_if_it_wants_to_know(void **state)
{
    int status = 0;
    (void)state;

    (void)setenv("WATCHDOG_USEC", "30000", 1);
    start_master(NULL);
    await_ready();
    for (int i = 0; i < 3; i++) {
        (void)fake_anchor_said(&anchor);
        assert_int_equal(await("NOTIFY WATCHDOG=1", &status), 1);
    }
    assert_int_equal(teardown(state) | setup(state), 0);
    (void)setenv("WATCHDOG_USEC", "30000", 1);
    (void)setenv("WATCHDOG_PID", "1", 1); /* somebody else is meant */
    start_master(NULL);
    await_ready();
    say_signal(SIGHUP);
    assert_false(fake_anchor_has_heard(&anchor, "WATCHDOG"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int count, char **arguments)
{
    const struct CMUnitTest tests[] = {
        TEST(a_server_starts_runs_and_stops),
        TEST(a_master_that_dies_at_any_request_of_a_start_is_followed_by_one_that_is_ready),
        TEST(a_master_that_is_killed_in_a_running_server_is_followed_by_one_that_changes_nothing),
        TEST(signals_that_mean_nothing_yet_are_acknowledged_and_change_nothing),
        TEST(a_daemon_hides_its_listeners_at_sigwinch_and_goes_on),
        TEST(a_term_before_everything_is_ready_ends_the_start_at_once),
        TEST(a_loader_that_refuses_is_the_servers_exit_code),
        TEST(a_status_of_nobody_we_know_is_acknowledged_and_so_is_one_that_is_told_again),
        TEST(a_slot_whose_keeper_is_killed_is_made_again),
        TEST(a_master_without_an_anchor_stops_everything_and_leaves),
        TEST(a_state_of_another_version_is_not_taken_up),
        TEST(the_service_manager_is_told_that_a_master_is_at_work_if_it_wants_to_know),
    };

    stand_in_main(count, arguments);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
