/* LISTEN and START: what is bound, what is made, when everything counts as ready. */
#include "base/clock.h"
#include "base/fd.h"
#include "core/control.h"
#include "core/listeners.h"
#include "master_rig.h"
#include "stand_in.h"
#include "unit.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static struct master_rig rig;
static struct master *const master = &rig.master;
static char control_path[64], listener_path[64];

static int setup_phase(enum master_phase phase)
{
    master_rig_open(&rig, phase);
    snprintf(control_path, sizeof control_path, "/tmp/holdfast-unit-%d", getpid());
    snprintf(listener_path, sizeof listener_path, "/tmp/holdfast-unit-%d-listener", getpid());
    strcpy(rig.settings.control_path, control_path);
    master->settings = rig.settings;
    return 0;
}

static int setup_listen(void **state)
{
    (void)state;
    return setup_phase(PHASE_LISTEN);
}

static int setup_start(void **state)
{
    (void)state;
    return setup_phase(PHASE_START);
}

static int teardown(void **state)
{
    (void)state;
    master_rig_close(&rig);
    (void)unlink(listener_path);
    return access(control_path, F_OK) == 0;
}

static ino_t inode_of(int fd)
{
    struct stat stat;

    assert_int_equal(fstat(fd, &stat), 0);
    return stat.st_ino;
}

/* --- LISTEN --- */

static void each_listener_is_bound_and_deposited_then_the_slots_are_next(void **state)
{
    char name[WIRE_NAME_MAX + 1];
    (void)state;

    master_rig_add_listener(&rig);
    master_rig_add_path(&rig, listener_path);
    phase_listen(master);
    assert_int_equal(master->state->phase, PHASE_START);
    assert_int_equal(master->state->generation, 1);
    assert_int_equal(master->state->counters_lie, 0);
    assert_int_equal(fake_anchor_count(&rig.anchor, "listener:"), 2);
    assert_int_equal(fake_anchor_count(&rig.anchor, "control"), 1);
    for (int i = 0; i < 2; i++) {
        phase_listener_name(name, &master->settings.listeners[i], 0);
        assert_int_equal(inode_of(fake_anchor_held(&rig.anchor, name)), inode_of(master->listener_fds[i][0]));
    }
}

static void a_name_in_the_anchor_is_the_address_or_a_hash_that_tells_addresses_apart(void **state)
{
    struct core_listener listener = {.text = "127.0.0.1:8080"};
    char names[4][WIRE_NAME_MAX + 1];
    (void)state;

    phase_listener_name(names[0], &listener, 0);
    assert_string_equal(names[0], "listener:127.0.0.1:8080");
    memset(listener.text, 'x', sizeof listener.text - 1); /* too long for a name */
    phase_listener_name(names[0], &listener, 0);
    listener.text[50] = 'y';
    phase_listener_name(names[1], &listener, 0);
    strcpy(listener.text, "unix:/tmp/with a blank"); /* names have none */
    phase_listener_name(names[2], &listener, 0);
    listener.text[14] = '\t';
    phase_listener_name(names[3], &listener, 0);
    for (int i = 0; i < 4; i++) {
        assert_memory_equal(names[i], "listener:#", 10);
        assert_true(wire_name_valid(names[i], strlen(names[i])));
        for (int k = 0; k < i; k++)
            assert_string_not_equal(names[i], names[k]);
    }
    /* the longest that is a name as it is, and the shortest that is not */
    memset(listener.text, 'x', sizeof listener.text);
    listener.text[WIRE_NAME_MAX - 9] = '\0';
    phase_listener_name(names[0], &listener, 0);
    assert_true(wire_name_valid(names[0], strlen(names[0])));
}

/* A master of its own takes the phase's step and is killed at its nth request; then the next one begins. */
static void die_in_phase(void (*phase)(struct master *), unsigned nth, int done_first)
{
    pid_t pid = fork();
    int status = 0;

    if (pid == 0) {
        (void)raise(SIGSTOP); /* until the anchor knows whom to kill */
        phase(master);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
    fake_anchor_kills(&rig.anchor, pid, nth, done_first);
    (void)kill(pid, SIGCONT);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WTERMSIG(status), SIGKILL);
    master_rig_again(&rig);
}

/* Requests: GET and PUT of each listener, GET and PUT of the control socket. */
static void a_master_that_dies_at_any_request_while_it_binds_is_followed_by_one_that_goes_on(void **state)
{
    (void)state;
    for (unsigned nth = 1; nth <= 6; nth++)
        for (int done = 0; done < 2; done++) {
            ino_t bound = 0;
            int held;

            master_rig_add_path(&rig, listener_path);
            master_rig_add_listener(&rig);
            die_in_phase(phase_listen, nth, done);
            assert_int_equal(master->state->phase, PHASE_LISTEN);
            held = fake_anchor_count(&rig.anchor, "listener:unix") > 0;
            if (held) {
                char name[WIRE_NAME_MAX + 1];

                phase_listener_name(name, &master->settings.listeners[0], 0);
                bound = inode_of(fake_anchor_held(&rig.anchor, name));
            }
            phase_listen(master);
            assert_int_equal(master->state->phase, PHASE_START);
            assert_int_equal(fake_anchor_count(&rig.anchor, ""), 3);
            if (held) /* never opened a second time */
                assert_int_equal(inode_of(master->listener_fds[0][0]), bound);
            assert_int_equal(teardown(state) | setup_listen(state), 0);
        }
}

static void all_addresses_that_cannot_be_bound_are_tried_before_the_start_is_given_up(void **state)
{
    (void)state;
    master_rig_add_path(&rig, "/nonexistent/a");
    master_rig_add_path(&rig, listener_path);
    master_rig_add_path(&rig, "/nonexistent/b");
    phase_listen(master);
    assert_int_equal(master->state->phase, PHASE_STOP);
    assert_int_equal(master->state->exit_code, EXIT_BAD_START);
    assert_true(master->listener_fds[1][0] >= 0);
    assert_int_equal(fake_anchor_count(&rig.anchor, "listener:"), 1);
    phase_close_listeners(master);
    assert_int_equal(access(listener_path, F_OK), -1);
}

static void a_control_socket_that_cannot_be_bound_ends_the_start(void **state)
{
    (void)state;
    strcpy(master->settings.control_path, "/nonexistent/control");
    phase_listen(master);
    assert_int_equal(master->state->phase, PHASE_STOP);
    assert_int_equal(master->state->exit_code, EXIT_BAD_START);
    strcpy(master->settings.control_path, control_path);
}

/* --- START --- */

static unsigned count_slots(uint32_t generation)
{
    unsigned count = 0;

    for (unsigned i = 0; i < MASTER_SLOTS_MAX; i++)
        count +=
            master->state->slots[i].step != SLOT_FREE && master->state->slots[i].generation == generation;
    return count;
}

/* Slots 0 and 1 stand there as if their workers were ready; the phase has nothing to make any more. */
static void ready_slots(int ends[2])
{
    rig.settings.workers = master->settings.workers = 2;
    for (unsigned i = 0; i < 2; i++)
        (void)master_rig_slot(&rig, i, &ends[i]);
}

static void the_slots_of_the_generation_are_made_once(void **state)
{
    (void)state;
    master->settings.workers = 3;
    for (int i = 0; i < 3; i++)
        phase_start(master);
    assert_int_equal(count_slots(1), 3);
    master_rig_again(&rig);
    master->settings.workers = 3;
    phase_start(master);
    assert_int_equal(count_slots(1), 3);
    master->state->slots[1].step = SLOT_FREE; /* a former master did not get further */
    master->state->slots[1].losses = 4;
    master->state->slots[1].keeper_pid = 77;
    phase_start(master);
    assert_int_equal(count_slots(1), 3);
    assert_int_equal(master->state->slots[1].number, 1);
    assert_int_equal(master->state->slots[1].losses, 0);
    assert_int_equal(master->state->slots[1].keeper_pid, 0);
    assert_int_equal(master->state->slots[1].former_pid, 77); /* its status has not come yet */
    assert_int_equal(master->state->phase, PHASE_START);
}

static void more_slots_than_there_is_room_for_end_the_start(void **state)
{
    (void)state;
    for (unsigned i = 0; i < MASTER_SLOTS_MAX; i++)
        master->state->slots[i] = (struct slot_state){.step = SLOT_PREPARE, .generation = 9, .number = i};
    phase_start(master);
    assert_int_equal(master->state->phase, PHASE_STOP);
    assert_int_equal(master->state->exit_code, EXIT_BAD_START);
}

static void ready_is_told_when_the_last_worker_is_and_only_then(void **state)
{
    int ends[2];
    (void)state;

    ready_slots(ends);
    master->slots[1].page->state = ARENA_STATE_STARTING;
    (void)fake_anchor_said(&rig.anchor);
    phase_start(master);
    assert_int_equal(master->state->phase, PHASE_START);
    master->slots[1].page->state = ARENA_STATE_READY;
    master->state->slots[0].step = SLOT_PREPARE;
    phase_start(master);
    assert_int_equal(master->state->phase, PHASE_START);
    assert_string_equal(fake_anchor_said(&rig.anchor), "");
    master->state->slots[0].step = SLOT_RUN;
    phase_start(master);
    assert_int_equal(master->state->phase, PHASE_RUN);
    assert_int_equal(master->state->ready_told, 1);
    assert_memory_equal(fake_anchor_said(&rig.anchor), "NOTIFY READY=1\nMAINPID=", 23);
    fd_close(&ends[0]);
    fd_close(&ends[1]);
}

static void ready_is_told_again_until_the_anchor_takes_it(void **state)
{
    int ends[2];
    (void)state;

    ready_slots(ends);
    fake_anchor_refuses(&rig.anchor, WIRE_NOTIFY, "", ERR_AGAIN);
    phase_start(master);
    assert_int_equal(master->state->phase, PHASE_START);
    assert_int_equal(master->state->ready_told, 0);
    fake_anchor_refuses(&rig.anchor, WIRE_NOTIFY, "", 0);
    phase_start(master);
    assert_int_equal(master->state->phase, PHASE_RUN);
    fd_close(&ends[0]);
    fd_close(&ends[1]);
}

static void a_master_that_dies_while_it_tells_ready_is_followed_by_one_that_tells_it(void **state)
{
    int ends[2];
    (void)state;

    ready_slots(ends);
    for (int done = 0; done < 2; done++) {
        die_in_phase(phase_start, 1, done);
        assert_int_equal(master->state->phase, PHASE_START);
        assert_int_equal(master->state->ready_told, 0);
    }
    phase_start(master);
    assert_int_equal(master->state->phase, PHASE_RUN);
    fd_close(&ends[0]);
    fd_close(&ends[1]);
}

static void workers_that_crash_before_they_accept_end_the_first_start_but_no_later_one(void **state)
{
    int ends[2];
    (void)state;

    ready_slots(ends);
    master->slots[1].page->state = ARENA_STATE_BACKOFF;
    master->slots[1].page->crash_loops = 1;
    master->state->ready_told = 1;
    phase_start(master);
    assert_int_equal(master->state->phase, PHASE_START);
    master->state->ready_told = 0;
    phase_start(master);
    assert_int_equal(master->state->phase, PHASE_STOP);
    assert_int_equal(master->state->exit_code, EXIT_BAD_START);
    fd_close(&ends[0]);
    fd_close(&ends[1]);
}

/* --- generations --- */

static void a_further_generation_is_made_beside_the_present_one_which_is_retired_when_asked(void **state)
{
    int ends[4];
    (void)state;

    ready_slots(ends);
    assert_int_equal(master_begin_generation(master), ERR_BUSY); /* not before the first one is ready */
    phase_start(master);
    assert_int_equal(master_retire_former(master), 0);
    assert_int_equal(master_begin_generation(master), 0);
    assert_int_equal(master->state->generation, 2);
    assert_int_equal(master_begin_generation(master), ERR_BUSY);
    phase_start(master);
    assert_int_equal(master->state->phase,
                     PHASE_START); /* ready workers of another generation do not count */
    assert_int_equal(count_slots(1), 2);
    assert_int_equal(count_slots(2), 2);
    for (unsigned i = 2; i < 4; i++)
        master->slots[i].state->step = SLOT_FREE;
    for (unsigned i = 2; i < 4; i++) {
        (void)master_rig_slot(&rig, i, &ends[i]);
        master->slots[i].state->number = i - 2;
    }
    phase_start(master);
    assert_int_equal(master->state->phase, PHASE_RUN);
    assert_int_equal(master_retire_former(master), 2);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(master->slots[i].page->order, i < 2 ? ARENA_ORDER_DRAIN : ARENA_ORDER_RUN);
        fd_close(&ends[i]);
    }
    assert_true(master->slots[0].page->order_deadline_ns == master->now_ns + 30000 * NS_PER_MS);
}

#define LISTEN(name) cmocka_unit_test_setup_teardown(name, setup_listen, teardown)
#define START(name) cmocka_unit_test_setup_teardown(name, setup_start, teardown)

int main(int count, char **arguments)
{
    const struct CMUnitTest tests[] = {
        LISTEN(each_listener_is_bound_and_deposited_then_the_slots_are_next),
        LISTEN(a_name_in_the_anchor_is_the_address_or_a_hash_that_tells_addresses_apart),
        LISTEN(a_master_that_dies_at_any_request_while_it_binds_is_followed_by_one_that_goes_on),
        LISTEN(all_addresses_that_cannot_be_bound_are_tried_before_the_start_is_given_up),
        LISTEN(a_control_socket_that_cannot_be_bound_ends_the_start),
        START(the_slots_of_the_generation_are_made_once),
        START(more_slots_than_there_is_room_for_end_the_start),
        START(ready_is_told_when_the_last_worker_is_and_only_then),
        START(ready_is_told_again_until_the_anchor_takes_it),
        START(a_master_that_dies_while_it_tells_ready_is_followed_by_one_that_tells_it),
        START(workers_that_crash_before_they_accept_end_the_first_start_but_no_later_one),
        START(a_further_generation_is_made_beside_the_present_one_which_is_retired_when_asked),
    };

    stand_in_main(count, arguments);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
