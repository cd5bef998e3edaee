/* Keeper and worker as real processes, without a master: the test deposits the fixed descriptors, begins a keeper and
 * talks to a worker that echoes. Then things die. */
#include "core/keeper.h"

#include "base/clock.h"
#include "base/fd.h"
#include "core/ledger.h"
#include "core/link.h"
#include "core/listeners.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define RECORDS 1024u
#define PATIENCE_MS 20000

static struct arena arena;
static struct core_settings settings;
static char log_path[CORE_LOG_PATH_MAX];
static int link_fd, listener_fd, client;
static pid_t keeper;
static uint64_t echo_sent, echo_heard;

/* --- the worker's service: what comes in at rx goes out at tx, from a ring of one block --- */

/* A byte that brings down whoever reads it, and how. */
enum { CRASHES = '!', HANGS = '~' };

static char *ring_at(struct worker *worker, const struct record *record, uint64_t offset)
{
    return arena_block(&worker->arena, record_head(record)->in_block - 1) + offset % ARENA_BLOCK_SIZE;
}

static void echo_opened(struct worker *worker, struct record *record, struct record_head *head)
{
    int64_t block = blocks_take(&worker->blocks);

    (void)record;
    head->in_block = (uint32_t)block + 1;
}

static ssize_t echo_receive(struct worker *worker, struct record *record)
{
    uint64_t room = record->tx + ARENA_BLOCK_SIZE - record->rx,
             piece = ARENA_BLOCK_SIZE - record->rx % ARENA_BLOCK_SIZE;
    ssize_t count = room ? ledger_receive(worker->intent, record, (int)arena_number(&worker->arena, record),
                                          ring_at(worker, record, record->rx), piece < room ? piece : room)
                         : -EAGAIN;

    if (count > 0 && memchr(ring_at(worker, record, record->rx - (uint64_t)count), CRASHES, (size_t)count))
        abort();
    if (count > 0 && memchr(ring_at(worker, record, record->rx - (uint64_t)count), HANGS, (size_t)count))
        for (;;)
            pause();
    return count;
}

static ssize_t echo_send(struct worker *worker, struct record *record)
{
    uint64_t length = record->rx - record->tx, piece = ARENA_BLOCK_SIZE - record->tx % ARENA_BLOCK_SIZE;

    record_begin(record)->made = record->rx;
    record_commit(record);
    record_begin(record)->taken = record->tx;
    record_commit(record);
    return length ? ledger_send(worker->intent, record, (int)arena_number(&worker->arena, record),
                                ring_at(worker, record, record->tx), piece < length ? piece : length, 0)
                  : -EAGAIN;
}

static void echo_ready(struct worker *worker, struct record *record, unsigned events)
{
    ssize_t received, sent;

    (void)events;
    do {
        sent = echo_send(worker, record);
        received = echo_receive(worker, record);
    } while (received > 0 || sent > 0);
    if (received == 0 || (received < 0 && received != -EAGAIN) || (sent < 0 && sent != -EAGAIN))
        worker_close(worker, record);
}

static void echo_expired(struct worker *worker, struct record *record)
{
    (void)worker;
    (void)record;
}

static int echo_is_idle(const struct record *record, uint64_t now_ns)
{
    (void)now_ns;
    return record->rx == record->tx;
}

static const struct conn_class echo_class = {
    .name = "echo",
    .opened = echo_opened,
    .ready = echo_ready,
    .expired = echo_expired,
    .revived = echo_expired,
    .blamed = worker_close,
    .is_idle = echo_is_idle,
    .abandon = worker_close,
};

static int service_settings(int snapshot_fd, struct core_settings *out)
{
    (void)snapshot_fd;
    *out = settings;
    return 0;
}

static int service_start(struct worker *worker, int snapshot_fd)
{
    (void)worker;
    return snapshot_fd == FD_SNAPSHOT ? 0 : ERR_INVALID;
}

static void service_stop(struct worker *worker)
{
    (void)worker;
}

static int service_housekeeping(struct worker *worker)
{
    (void)worker;
    return 0;
}

static const struct service service = {
    .classes = {[1] = &echo_class},
    .settings = service_settings,
    .start = service_start,
    .stop = service_stop,
    .housekeeping = service_housekeeping,
};

/* --- the keeper's process --- */

static void place(int from, int to)
{
    assert_int_equal(dup2(from, to), to);
}

_Noreturn static void be_keeper(int link_end)
{
    char role[] = "keeper", program[] = "holdfast";
    char *arguments[] = {program, role, NULL};
    int from[] = {arena.fd, link_end, link_end, listener_fd};

    for (unsigned i = 0; i < 4; i++)
        from[i] = fcntl(from[i], F_DUPFD_CLOEXEC, 200);
    place(from[0], FD_ARENA);
    place(from[1], FD_LINK);
    place(from[2], FD_SNAPSHOT); /* whatever: the service does not read it */
    place(from[3], FD_LISTENERS);
    (void)close_range(FD_LISTENERS + 1, ~0U, 0);
    _exit(keeper_run(&service, arguments));
}

static void await(int fd, short events)
{
    struct pollfd wait = {.fd = fd, .events = events};

    assert_int_equal(poll(&wait, 1, PATIENCE_MS), 1);
}

/* Waits for a message of the slot. */
static void await_message(enum link_type type)
{
    struct link_message message;

    do {
        int result;

        await(link_fd, POLLIN);
        result = link_receive(link_fd, &message);
        assert_int_equal(result, 0);
    } while (message.type != type);
}

static void begin_settings(void)
{
    struct core_listener *listener = &settings.listeners[0];

    settings = (struct core_settings){.workers = 1,
                                      .threads = 1,
                                      .crash_limit = 5,
                                      .crash_window_ms = 10000,
                                      .watchdog_ms = 500,
                                      .log_level = LOG_ERROR + 1,
                                      .listener_count = 1};
    settings.log_count = 1;
    snprintf(log_path, sizeof log_path, "/tmp/holdfast-keeper-%d.log", getpid());
    memcpy(settings.logs[0], log_path, sizeof log_path);
    listener->kind = CORE_LISTENER_IPV4;
    listener->class_tag = 1;
    listener->length = sizeof(struct sockaddr_in);
    listener->address.ss_family = AF_INET;
    ((struct sockaddr_in *)&listener->address)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
}

static int connect_client(void)
{
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(getsockname(listener_fd, (struct sockaddr *)&address, &length), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, length), 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    echo_sent = echo_heard = 0;
    return fd;
}

static int setup(void **state)
{
    char why[64];
    int ends[2];
    (void)state;

    /* Whoever is left by a test that failed must not outlive it; what keepers leave behind comes to us. */
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    begin_settings();
    listener_fd = listener_open(&settings.listeners[0], 0, why, sizeof why);
    assert_true(listener_fd >= 0);
    assert_int_equal(arena_create(&arena, 0, 1, RECORDS), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    link_fd = ends[0];
    keeper = fork();
    if (keeper == 0)
        be_keeper(ends[1]);
    close(ends[1]);
    await_message(LINK_READY);
    client = connect_client();
    return 0;
}

static void order_stop(void)
{
    arena.page->order = ARENA_ORDER_STOP;
    (void)!link_send(link_fd, LINK_POKE, 0, 1, 0);
    (void)kill(arena.page->keeper_pid, SIGUSR1);
}

/* The slot leaves when told to; nothing of it stays. */
static int teardown(void **state)
{
    (void)state;
    order_stop();
    while (wait(NULL) > 0)
        ;
    assert_int_equal(errno, ECHILD);
    fd_close(&client);
    fd_close(&link_fd);
    fd_close(&listener_fd);
    arena_close(&arena);
    (void)unlink(log_path);
    return 0;
}

/* --- the client --- */

static char pattern(uint64_t offset)
{
    return (char)('A' + (offset + offset / 26 + offset / 997) % 26);
}

/* Sends what goes and compares what comes, until `until` bytes have come back. */
static void echo(uint64_t until)
{
    while (echo_heard < until) {
        char bytes[5000];
        ssize_t count;

        await(client, echo_sent < until ? POLLIN | POLLOUT : POLLIN);
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = pattern(echo_sent + i);
        count = send(client, bytes, until - echo_sent < sizeof bytes ? until - echo_sent : sizeof bytes,
                     MSG_NOSIGNAL);
        if (count > 0)
            echo_sent += (uint64_t)count;
        count = recv(client, bytes, sizeof bytes, 0);
        assert_true(count > 0 || (count < 0 && errno == EAGAIN));
        for (ssize_t i = 0; i < count; i++)
            assert_int_equal(bytes[i], pattern(echo_heard + (uint64_t)i));
        if (count > 0)
            echo_heard += (uint64_t)count;
    }
}

static void send_byte(char byte)
{
    assert_int_equal(send(client, &byte, 1, MSG_NOSIGNAL), 1);
}

static void assert_client_sees_end(void)
{
    char byte;

    await(client, POLLIN);
    assert_int_equal(recv(client, &byte, 1, 0), 0);
    fd_close(&client);
    client = connect_client();
}

/* Waits for a word in the arena to change, for which nobody sends a message. */
static void await_more(_Atomic uint32_t *word, uint32_t than)
{
    const struct timespec moment = {0, 1000000};

    for (int left = PATIENCE_MS; *word <= than; left--) {
        assert_true(left > 0);
        (void)nanosleep(&moment, NULL);
    }
}

/* --- deaths --- */

static void bytes_are_echoed_across_any_number_of_kills(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 40; i++) {
        echo(echo_heard + 30000 + i * 1777);
        assert_int_equal(kill(arena.page->worker_pid, SIGKILL), 0);
        await_more(&arena.page->deaths, i);
    }
    echo(echo_heard + 100000);
    await_more(&arena.page->revivals, 0);
    assert_int_equal(arena.page->odd, 0);
    assert_int_equal(arena.page->connections, 1);
    assert_int_equal(arena.page->crash_loops, 0); /* kills from outside never count */
    assert_int_equal(arena.page->poisoned, 0);
}

static void a_worker_whose_keeper_dies_becomes_keeper(void **state)
{
    pid_t worker;
    (void)state;

    for (uint32_t i = 0; i < 5; i++) {
        worker = arena.page->worker_pid;
        keeper = arena.page->keeper_pid;
        echo(echo_heard + 50000);
        assert_int_equal(kill(keeper, SIGKILL), 0);
        await_message(LINK_TAKEOVER);
        await_message(LINK_READY);
        assert_int_equal(arena.page->keeper_pid, worker);
        assert_int_not_equal(arena.page->worker_pid, worker);
        echo(echo_heard + 50000);
        assert_int_equal(kill(arena.page->worker_pid, SIGKILL), 0); /* and keeps it like the first one */
        await_message(LINK_READY);
    }
    echo(echo_heard + 50000);
    assert_int_equal(arena.page->takeovers, 5);
    assert_int_equal(arena.page->odd, 0);
}

static void a_crash_closes_the_connection_to_blame_and_no_other(void **state)
{
    int innocent = client;
    uint64_t sent, heard;
    (void)state;

    echo(10000);
    sent = echo_sent;
    heard = echo_heard;
    client = connect_client();
    echo(1000);
    send_byte(CRASHES);
    assert_client_sees_end();
    fd_close(&client);
    client = innocent;
    echo_sent = sent;
    echo_heard = heard;
    echo(echo_heard + 10000);
    assert_int_equal(arena.page->deaths, 1);
}

static void a_worker_that_hangs_is_ended_by_the_watchdog(void **state)
{
    int innocent = client;
    (void)state;

    echo(100);
    client = connect_client();
    echo(100);
    send_byte(HANGS);
    assert_client_sees_end();
    fd_close(&client);
    client = innocent;
    echo_sent = echo_heard = 100;
    echo(10000);
    assert_int_equal(arena.page->deaths, 1);
}

static void a_stopped_worker_is_left_alone(void **state)
{
    uint64_t beat, until;
    pid_t worker = arena.page->worker_pid;
    (void)state;

    echo(1000);
    assert_int_equal(kill(worker, SIGSTOP), 0);
    beat = arena.page->keeper_beat_ns;
    until = beat + 1500 * NS_PER_MS; /* three times what the watchdog allows */
    while (arena.page->keeper_beat_ns < until) {
        const struct timespec moment = {0, 10000000};

        (void)nanosleep(&moment, NULL);
    }
    assert_int_equal(kill(worker, SIGCONT), 0);
    echo(echo_heard + 1000);
    assert_int_equal(arena.page->worker_pid, worker);
    assert_int_equal(arena.page->deaths, 0);
}

static void a_crash_loop_starts_the_slot_again_empty_and_later(void **state)
{
    uint64_t lost_ns;
    (void)state;

    for (unsigned i = 0; i <= settings.crash_limit; i++) {
        echo(echo_heard + 10);
        send_byte(CRASHES);
        if (i < settings.crash_limit)
            assert_client_sees_end();
    }
    await_more(&arena.page->crash_loops, 0);
    lost_ns = arena.page->died_ns;
    assert_client_sees_end(); /* what was open is given up; this waits in the queue meanwhile */
    await_message(LINK_DIED); /* siblings are told to look at their queues */
    echo(1000);
    assert_true(arena.page->started_ns - lost_ns >= NS_PER_S);
    assert_int_equal(arena.core->fault, 0);
    assert_int_equal(arena.page->connections, 1);
    assert_int_equal(kill(arena.page->worker_pid, SIGKILL), 0); /* nobody's fault: nobody bears the loop's */
    echo(echo_heard + 1000);
}

/* --- orders --- */

static void a_stop_ends_worker_and_keeper_at_once(void **state)
{
    int status;
    (void)state;

    echo(1000);
    order_stop();
    assert_int_equal(waitpid(keeper, &status, 0), keeper);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), KEEPER_EXIT_LEFT);
    assert_int_equal(arena.page->state, ARENA_STATE_LEFT);
    assert_client_sees_end();
}

static void a_drain_closes_idle_connections_and_leaves(void **state)
{
    int status;
    (void)state;

    echo(1000);
    arena.page->order_deadline_ns = clock_monotonic_ns() + 10 * NS_PER_S;
    arena.page->order = ARENA_ORDER_DRAIN;
    assert_int_equal(link_send(link_fd, LINK_POKE, 0, 1, 0), 0);
    assert_int_equal(waitpid(keeper, &status, 0), keeper);
    assert_int_equal(WEXITSTATUS(status), KEEPER_EXIT_LEFT);
    assert_int_equal(arena.page->listening, 0);
    await_message(LINK_QUIET);
    await_message(LINK_LEFT);
    assert_client_sees_end();
}

static void nobody_left_to_command_means_stop(void **state)
{
    int status;
    (void)state;

    echo(1000);
    fd_close(&link_fd);
    assert_int_equal(waitpid(keeper, &status, 0), keeper);
    assert_int_equal(WEXITSTATUS(status), KEEPER_EXIT_LEFT);
}

/* --- the end --- */

/* Made, and not yet written by the worker, which never hears of the stop. */
static void a_worker_that_is_killed_at_a_stop_takes_no_line_of_the_log_with_it(void **state)
{
    static const char line[] = "GET / 200\n";
    struct arena_log *log = &arena.core->logs[0];
    char bytes[64];
    int fd, status;
    pid_t worker;
    (void)state;

    echo(1000); /* the worker is there */
    worker = arena.page->worker_pid;
    assert_int_equal(kill(worker, SIGSTOP), 0);
    memcpy(arena_log_ring(&arena, 0) + log->made, line, sizeof line - 1);
    log->made += sizeof line - 1;
    order_stop();
    (void)kill(worker,
               SIGKILL); /* unless the keeper, who waits no longer than a stop may take, was quicker */
    assert_int_equal(waitpid(keeper, &status, 0), keeper);
    fd = open(log_path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(read(fd, bytes, sizeof bytes), sizeof line - 1);
    assert_memory_equal(bytes, line, sizeof line - 1);
    fd_close(&fd);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(bytes_are_echoed_across_any_number_of_kills),
        CASE(a_worker_whose_keeper_dies_becomes_keeper),
        CASE(a_crash_closes_the_connection_to_blame_and_no_other),
        CASE(a_worker_that_hangs_is_ended_by_the_watchdog),
        CASE(a_stopped_worker_is_left_alone),
        CASE(a_crash_loop_starts_the_slot_again_empty_and_later),
        CASE(a_stop_ends_worker_and_keeper_at_once),
        CASE(a_drain_closes_idle_connections_and_leaves),
        CASE(a_worker_that_is_killed_at_a_stop_takes_no_line_of_the_log_with_it),
        CASE(nobody_left_to_command_means_stop),
    };

    if (!ARENA_SHARED)
        return unit_skip_all("without a shared table nothing survives");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
