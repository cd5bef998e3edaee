/* Two connections whose bytes pass: moves, half-closes, resets, and what a death in between leaves. */
#include "net/tunnel.h"

#include "base/fd.h"
#include "core/ledger.h"
#include "core/redo.h"
#include "rig.h"
#include "unit.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PASSES 200

static struct rig rig;
static struct record *ends[2];
static int peers[2];

static void opened(struct worker *of, struct record *which, struct record_head *head)
{
    (void)of;
    (void)which;
    (void)head;
}

static void ready(struct worker *of, struct record *which, unsigned events)
{
    conn_note_events(worker_side(of, which), events);
}

static const struct conn_class class = {
    .name = "none", .opened = opened, .ready = ready, .revived = tunnel_revived, .abandon = conn_close};

static int setup_of(int family)
{
    rig_open(&rig, &class, family);
    for (int i = 0; i < 2; i++)
        peers[i] = rig_open_connection(&rig, &ends[i]);
    return 0;
}

static int setup_tcp(void **state)
{
    (void)state;
    return setup_of(AF_INET);
}

static int setup_unix(void **state)
{
    (void)state;
    return setup_of(AF_UNIX);
}

static int teardown(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++)
        fd_close(&peers[i]);
    rig_close(&rig);
    return 0;
}

static int move_all(struct tunnel_moves *moves)
{
    struct record_head *heads[2];

    if (!tunnel_has_input(ends[0], ends[1]))
        return 0;
    redo_begin(&rig.worker.arena);
    heads[0] = record_begin(ends[0]);
    heads[1] = record_begin(ends[1]);
    redo_partner(&rig.worker.arena, ends[1]);
    if (!tunnel_move_both(&rig.worker, ends[0], heads[0], ends[1], heads[1], moves))
        return 0;
    redo_commit(&rig.worker.arena, ends[0]);
    tunnel_moved(&rig.worker, moves);
    return 1;
}

/* What an owner does until nothing gets on. 0, 1: over, or the error, and *by. */
static int pass(struct record **by)
{
    struct tunnel_moves moves;
    int result = 0, failed[2];

    for (int i = 0; i < PASSES; i++) {
        int moved = 0;

        for (int end = 0; end < 2; end++)
            worker_side(&rig.worker, ends[end])->readable = worker_side(&rig.worker, ends[end])->writable = 1;
        moved |= move_all(&moves);
        tunnel_serve(&rig.worker, ends[0], ends[1], &moved, failed);
        for (int end = 0; end < 2; end++) {
            *by = ends[end];
            if (failed[end])
                return failed[end];
        }
        result = tunnel_close_halves(&rig.worker, ends[0], ends[1], by);
        if (result)
            return result;
        if (!moved)
            break;
    }
    return 0;
}

static void say(int peer, const char *text)
{
    assert_int_equal(send(peers[peer], text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static void hears(int peer, const char *text)
{
    char got[64] = "";

    assert_true(rig_await(peers[peer], POLLIN));
    assert_int_equal(recv(peers[peer], got, sizeof got - 1, 0), strlen(text));
    assert_string_equal(got, text);
}

static void hears_the_end(int peer)
{
    char byte;

    assert_true(rig_await(peers[peer], POLLIN));
    assert_int_equal(recv(peers[peer], &byte, 1, 0), 0);
}

static void both_directions_pass_and_both_ends(void **state)
{
    struct record *by;

    (void)state;
    say(0, "up");
    say(1, "down");
    assert_int_equal(pass(&by), 0);
    hears(1, "up");
    hears(0, "down");
    assert_int_equal(shutdown(peers[0], SHUT_WR), 0);
    say(1, "more");
    assert_int_equal(pass(&by), 0);
    hears_the_end(1);
    hears(0, "more");
    assert_int_equal(shutdown(peers[1], SHUT_WR), 0);
    assert_int_equal(pass(&by), 1);
    hears_the_end(0);
}

static void an_end_waits_for_what_came_before_it(void **state)
{
    static char much[200000];
    static char got[sizeof much];
    size_t have = 0;
    struct record *by;

    (void)state;
    memset(much, 'm', sizeof much);
    for (size_t at = 0; at < sizeof much;) {
        ssize_t sent = send(peers[0], much + at, sizeof much - at, MSG_DONTWAIT);

        at += sent > 0 ? (size_t)sent : 0;
        if (at == sizeof much)
            assert_int_equal(shutdown(peers[0], SHUT_WR), 0);
        assert_int_equal(pass(&by), 0);
        for (ssize_t length; (length = recv(peers[1], got + have, sizeof got - have, MSG_DONTWAIT)) > 0;)
            have += (size_t)length;
    }
    while (have < sizeof much) {
        ssize_t length;

        assert_int_equal(pass(&by), 0);
        assert_true(rig_await(peers[1], POLLIN));
        length = recv(peers[1], got + have, sizeof got - have, 0);
        assert_true(length > 0);
        have += (size_t)length;
    }
    assert_int_equal(pass(&by), 0);
    hears_the_end(1);
    assert_memory_equal(much, got, sizeof much);
}

static void reset_peer(int peer)
{
    const struct linger at_once = {.l_onoff = 1};

    assert_int_equal(setsockopt(peers[peer], SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
    fd_close(&peers[peer]);
}

static int fd_of(int end)
{
    return (int)arena_number(&rig.worker.arena, ends[end]);
}

static void a_reset_comes_behind_what_was_sent_before(void **state)
{
    struct record *by;

    (void)state;
    say(0, "last words");
    reset_peer(0);
    assert_true(rig_await(fd_of(0), POLLHUP));
    assert_int_equal(pass(&by), ERR_RESET);
    assert_ptr_equal(by, ends[0]);
    hears(1, "last words");
    assert_int_equal(tunnel_may_reset(&rig.worker, ends[1]), 1);
    conn_reset(&rig.worker, ends[1]);
    assert_true(rig_await(peers[1], POLLIN));
    assert_int_equal(recv(peers[1], &(char){0}, 1, 0), -1);
    assert_int_equal(errno, ECONNRESET);
}

/* The dead worker's read has told it once. */
static void a_reset_that_only_a_dead_worker_was_told_of_is_no_end(void **state)
{
    struct record *by;
    char byte;

    (void)state;
    reset_peer(0);
    assert_true(rig_await(fd_of(0), POLLHUP));
    assert_int_equal(recv(fd_of(0), &byte, 1, 0), -1);
    assert_int_equal(recv(fd_of(0), &byte, 1, 0), 0);
    assert_int_equal(pass(&by), ERR_RESET);
    assert_ptr_equal(by, ends[0]);
    assert_false(record_head(ends[1])->shut);
}

static void a_peer_that_takes_nothing_more_may_have_said_something(void **state)
{
    struct record *by;

    (void)state;
    say(0, "asked");
    fd_close(&peers[0]); /* an end, and whatever comes is reset */
    say(1, "answered");
    assert_true(rig_await(fd_of(0), POLLIN));
    (void)!pass(&by);
    hears(1, "asked");
}

static void an_end_that_was_decided_is_sent_by_the_next_worker(void **state)
{
    struct record *by;

    (void)state;
    assert_int_equal(shutdown(peers[0], SHUT_WR), 0);
    record_begin(ends[1])->shut = RECORD_HALF_CLOSED;
    record_commit(ends[1]);
    rig_forget(&rig);
    rig_revive(&rig);
    hears_the_end(1);
    say(1, "I go on");
    assert_int_equal(pass(&by), 0);
    hears(0, "I go on");
}

#define ON_TCP(name) cmocka_unit_test_setup_teardown(name, setup_tcp, teardown)
#define ON_UNIX(name)                                                                                        \
    {                                                                                                        \
#name "_unix", name, setup_unix, teardown, NULL                                                      \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_TCP(both_directions_pass_and_both_ends),
        ON_UNIX(both_directions_pass_and_both_ends),
        ON_TCP(an_end_waits_for_what_came_before_it),
        ON_UNIX(an_end_waits_for_what_came_before_it),
        ON_TCP(a_reset_comes_behind_what_was_sent_before),
        ON_TCP(a_reset_that_only_a_dead_worker_was_told_of_is_no_end),
        ON_TCP(a_peer_that_takes_nothing_more_may_have_said_something),
        ON_UNIX(a_peer_that_takes_nothing_more_may_have_said_something),
        ON_TCP(an_end_that_was_decided_is_sent_by_the_next_worker),
    };

    return cmocka_run_group_tests_name("tunnel", tests, NULL, NULL);
}
