/* RUN after SIGWINCH, DRAIN, STOP, LEAVE: what is ordered, what is closed, when the next phase begins. */
#include "base/clock.h"
#include "base/fd.h"
#include "core/control.h"
#include "core/link.h"
#include "core/listeners.h"
#include "master_rig.h"
#include "stand_in.h"
#include "unit.h"

#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static struct master_rig rig;
static struct master *const master = &rig.master;
static char control_path[64], listener_path[64];
static int ends[2];

/* Two ready workers, a TCP and a Unix listener, all deposited. */
static int setup(void **state)
{
    (void)state;
    master_rig_open(&rig, PHASE_LISTEN);
    snprintf(control_path, sizeof control_path, "/tmp/holdfast-unit-%d", getpid());
    snprintf(listener_path, sizeof listener_path, "/tmp/holdfast-unit-%d-listener", getpid());
    strcpy(rig.settings.control_path, control_path);
    rig.settings.workers = 2;
    master_rig_add_listener(&rig);
    master_rig_add_path(&rig, listener_path);
    phase_listen(master);
    for (unsigned i = 0; i < 2; i++)
        master_rig_slot(&rig, i, &ends[i])->page->listening = 1;
    master->state->phase = PHASE_RUN;
    master->state->ready_told = 1;
    (void)fake_anchor_said(&rig.anchor);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fd_close(&ends[0]);
    fd_close(&ends[1]);
    master_rig_close(&rig);
    (void)unlink(listener_path);
    return 0;
}

static uint32_t order_of(unsigned slot)
{
    return master->slots[slot].page->order;
}

/* The worker of the slot has closed its listeners. */
static void goes_quiet(unsigned slot)
{
    master->slots[slot].page->listening = 0;
}

/* Keeper and worker of the slot have left, and it was cleared up. */
static void leaves(unsigned slot)
{
    master->slots[slot].page->state = ARENA_STATE_LEFT;
    fd_close(&ends[slot]);
    slot_read_link(master, &master->slots[slot]);
    slot_advance(master, &master->slots[slot]);
    slot_advance(master, &master->slots[slot]);
    assert_int_equal(master->slots[slot].state->step, SLOT_FREE);
}

static int can_connect(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), result;

    strcpy(address.sun_path, listener_path);
    result = connect(fd, (struct sockaddr *)&address, sizeof address);
    fd_close(&fd);
    return result == 0;
}

static void assert_closed(int closed)
{
    assert_int_equal(master->listeners_closed, closed);
    assert_int_equal(fake_anchor_count(&rig.anchor, "listener:"), closed ? 0 : 2);
    assert_int_equal(access(listener_path, F_OK), closed ? -1 : 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(master->listener_fds[i][0] < 0, closed);
}

/* --- wishes --- */

static void a_graceful_stop_is_told_once_and_sets_its_deadline(void **state)
{
    uint64_t deadline = master->now_ns + 30000 * NS_PER_MS;
    (void)state;

    master_stop(master, 1);
    assert_int_equal(master->state->phase, PHASE_DRAIN);
    assert_true(master->state->stop_deadline_ns == deadline);
    master->now_ns += NS_PER_S;
    master_stop(master, 1);
    assert_true(master->state->stop_deadline_ns == deadline);
    assert_string_equal(fake_anchor_said(&rig.anchor), "NOTIFY STOPPING=1\n");
}

static void an_immediate_stop_cuts_a_graceful_one_short(void **state)
{
    (void)state;
    master_stop(master, 1);
    master_stop(master, 0);
    assert_int_equal(master->state->phase, PHASE_STOP);
    assert_true(master->state->stop_deadline_ns == master->now_ns);
    (void)fake_anchor_said(&rig.anchor);
    master_stop(master, 1);
    master_stop(master, 0);
    assert_int_equal(master->state->phase, PHASE_STOP);
    assert_string_equal(fake_anchor_said(&rig.anchor), "");
}

static void a_failure_is_an_immediate_stop_that_the_first_exit_code_wins(void **state)
{
    (void)state;
    master_fail(master, 3);
    assert_int_equal(master->state->phase, PHASE_STOP);
    master_fail(master, 4);
    assert_int_equal(master->state->exit_code, 3);
}

/* --- RUN --- */

static void a_running_server_orders_nothing(void **state)
{
    (void)state;
    phase_run(master);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(order_of(i), ARENA_ORDER_RUN);
    assert_true(can_connect());
    assert_string_equal(fake_anchor_said(&rig.anchor), "");
}

static void a_quiet_server_takes_nothing_new_until_it_is_resumed(void **state)
{
    (void)state;
    master->state->is_quiet = 1;
    phase_run(master);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(order_of(i), ARENA_ORDER_QUIET);
    assert_false(can_connect());
    goes_quiet(0);
    phase_run(master);
    assert_int_equal(master->listeners_shut, 0);
    goes_quiet(1);
    phase_run(master);
    assert_int_equal(master->listeners_shut, 1);
    assert_int_equal(fake_anchor_count(&rig.anchor, "listener:"), 2); /* kept, to be shown again */
    assert_false(can_connect());
    assert_int_equal(master->state->phase, PHASE_RUN);
    assert_int_equal(master_resume(master), 0);
    phase_run(master);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(order_of(i), ARENA_ORDER_RUN);
    assert_true(can_connect());
    assert_closed(0);
}

/* --- DRAIN --- */

static void a_drain_closes_the_port_only_when_no_worker_listens_any_more(void **state)
{
    (void)state;
    master_stop(master, 1);
    phase_drain(master);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(order_of(i), ARENA_ORDER_DRAIN);
        assert_true(master->slots[i].page->order_deadline_ns == master->state->stop_deadline_ns);
    }
    assert_false(can_connect());
    goes_quiet(1);
    phase_drain(master);
    assert_closed(0);
    goes_quiet(0);
    phase_drain(master);
    assert_closed(1);
    assert_int_equal(master->state->phase, PHASE_DRAIN);
}

static void a_drain_ends_with_its_last_slot(void **state)
{
    (void)state;
    master_stop(master, 1);
    phase_drain(master);
    for (unsigned i = 0; i < 2; i++) {
        goes_quiet(i);
        assert_int_equal(master->state->phase, PHASE_DRAIN);
        leaves(i);
        phase_drain(master);
    }
    assert_int_equal(master->state->phase, PHASE_LEAVE);
    assert_closed(1);
}

static void a_slot_that_is_lost_in_a_drain_is_not_made_again_and_holds_nothing_up(void **state)
{
    (void)state;
    master_stop(master, 1);
    phase_drain(master);
    for (unsigned i = 0; i < 2; i++) {
        fd_close(&ends[i]); /* keeper and worker at once */
        slot_read_link(master, &master->slots[i]);
        slot_advance(master, &master->slots[i]);
        slot_advance(master, &master->slots[i]);
        assert_int_equal(master->slots[i].state->step, SLOT_FREE);
    }
    phase_drain(master);
    assert_int_equal(master->state->phase, PHASE_LEAVE);
    assert_closed(1);
}

static void whoever_does_not_leave_is_stopped_five_seconds_after_the_deadline(void **state)
{
    (void)state;
    master_stop(master, 1);
    master->now_ns = master->state->stop_deadline_ns + 5 * NS_PER_S;
    phase_drain(master);
    assert_int_equal(master->state->phase, PHASE_DRAIN);
    master->now_ns++;
    phase_drain(master);
    assert_int_equal(master->state->phase, PHASE_STOP);
    phase_stop(master);
    assert_int_equal(order_of(0), ARENA_ORDER_STOP);
    assert_closed(1);
    master->now_ns = master->state->stop_deadline_ns + 10 * NS_PER_S;
    phase_stop(master);
    assert_int_equal(master->state->phase, PHASE_STOP);
    master->now_ns++; /* what is stuck is left to the anchor */
    phase_stop(master);
    assert_int_equal(master->state->phase, PHASE_LEAVE);
}

/* --- STOP and LEAVE --- */

static void a_stop_closes_at_once_and_ends_with_the_last_slot(void **state)
{
    (void)state;
    master_stop(master, 0);
    phase_stop(master);
    assert_closed(1);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(order_of(i), ARENA_ORDER_STOP);
        assert_int_equal(master->state->phase, PHASE_STOP);
        leaves(i);
        phase_stop(master);
    }
    assert_int_equal(master->state->phase, PHASE_LEAVE);
}

/* A master of its own takes the step, and is killed at its nth request unless that is 0. How it ended. */
static int step_elsewhere(void (*phase)(struct master *), unsigned nth, int done_first)
{
    pid_t pid = fork();
    int status = 0;

    if (pid == 0) {
        (void)raise(SIGSTOP); /* until the anchor knows whom to kill */
        phase(master);
        _exit(55);
    }
    assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
    fake_anchor_kills(&rig.anchor, pid, nth, done_first);
    (void)kill(pid, SIGCONT);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void leave(struct master *whom)
{
    phase_leave(whom);
}

static void leaving_removes_everything_and_gives_the_anchor_the_exit_code(void **state)
{
    (void)state;
    master->state->exit_code = 7;
    master->state->phase = PHASE_LEAVE;
    assert_int_equal(step_elsewhere(leave, 0, 0), 0);
    assert_int_equal(fake_anchor_count(&rig.anchor, "listener:"), 0);
    assert_int_equal(fake_anchor_count(&rig.anchor, "control"), 0);
    assert_int_equal(access(listener_path, F_OK), -1);
    assert_int_equal(access(control_path, F_OK), -1);
    assert_non_null(strstr(fake_anchor_said(&rig.anchor), "DEL control\nEXIT 7\n"));
}

/* What take_up_deposits finds again: listeners that the anchor still holds. */
static void find_listeners_again(void)
{
    char name[WIRE_NAME_MAX + 1];

    master_rig_again(&rig);
    for (int i = 0; i < 2; i++) {
        phase_listener_name(name, &master->settings.listeners[i], 0);
        (void)!anchor_link_get(&master->anchor, name, &master->listener_fds[i][0]);
    }
}

/* Requests: two DELs of listeners, the DEL of the control socket, EXIT. */
static void
a_master_that_dies_at_any_request_while_it_leaves_leaves_nothing_to_the_next_one_but_the_rest(void **state)
{
    (void)state;
    for (unsigned nth = 1; nth <= 4; nth++)
        for (int done = 0; done < 2; done++) {
            master->state->phase = PHASE_LEAVE;
            assert_int_equal(step_elsewhere(leave, nth, done), SIGKILL);
            assert_int_equal(master->state->phase, PHASE_LEAVE);
            find_listeners_again();
            assert_int_equal(step_elsewhere(leave, 0, 0), 0);
            assert_int_equal(fake_anchor_count(&rig.anchor, "listener:"), 0);
            assert_int_equal(fake_anchor_count(&rig.anchor, "control"), 0);
            assert_int_equal(access(listener_path, F_OK), -1);
            assert_int_equal(access(control_path, F_OK), -1);
            assert_int_equal(teardown(state) | setup(state), 0);
        }
}

static void a_master_that_dies_while_it_closes_the_port_is_followed_by_one_that_closes_the_rest(void **state)
{
    (void)state;
    for (unsigned nth = 1; nth <= 2; nth++)
        for (int done = 0; done < 2; done++) {
            master_stop(master, 1);
            goes_quiet(0);
            goes_quiet(1);
            assert_int_equal(step_elsewhere(phase_drain, nth, done), SIGKILL);
            find_listeners_again();
            phase_drain(master);
            assert_closed(1);
            assert_int_equal(order_of(0), ARENA_ORDER_DRAIN);
            assert_int_equal(master->state->phase, PHASE_DRAIN);
            assert_int_equal(teardown(state) | setup(state), 0);
        }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_graceful_stop_is_told_once_and_sets_its_deadline),
        TEST(an_immediate_stop_cuts_a_graceful_one_short),
        TEST(a_failure_is_an_immediate_stop_that_the_first_exit_code_wins),
        TEST(a_running_server_orders_nothing),
        TEST(a_quiet_server_takes_nothing_new_until_it_is_resumed),
        TEST(a_drain_closes_the_port_only_when_no_worker_listens_any_more),
        TEST(a_drain_ends_with_its_last_slot),
        TEST(a_slot_that_is_lost_in_a_drain_is_not_made_again_and_holds_nothing_up),
        TEST(whoever_does_not_leave_is_stopped_five_seconds_after_the_deadline),
        TEST(a_stop_closes_at_once_and_ends_with_the_last_slot),
        TEST(leaving_removes_everything_and_gives_the_anchor_the_exit_code),
        TEST(a_master_that_dies_at_any_request_while_it_leaves_leaves_nothing_to_the_next_one_but_the_rest),
        TEST(a_master_that_dies_while_it_closes_the_port_is_followed_by_one_that_closes_the_rest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
