/* Who belongs to a slot, what passes through its link, and what becomes of those who say nothing. */
#include "base/clock.h"
#include "base/fd.h"
#include "base/process.h"
#include "core/link.h"
#include "core/master.h"
#include "master_rig.h"
#include "stand_in.h"
#include "unit.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MS(n) ((n)*NS_PER_MS)
#define SILENT_NS (5 * NS_PER_S)

static struct master_rig rig;
static struct master *const master = &rig.master;

static int setup(void **state)
{
    (void)state;
    master_rig_open(&rig, PHASE_RUN);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    master_rig_close(&rig);
    return 0;
}

static void pass(uint64_t ns)
{
    master->now_ns += ns;
}

/* A process of ours that does nothing: as somebody's keeper or worker it is a child of "the anchor", which we play. */
static pid_t sleeper(void)
{
    pid_t pid = fork();

    if (pid == 0)
        for (;;)
            (void)pause();
    master->hello.anchor = getpid();
    return pid;
}

static int end_of(pid_t pid)
{
    int status = 0;

    (void)kill(pid, SIGTERM); /* unless it has ended otherwise before */
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WTERMSIG(status);
}

static void stop(pid_t pid)
{
    int status;

    (void)kill(pid, SIGSTOP);
    assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
    assert_true(WIFSTOPPED(status));
}

/* --- who is keeper --- */

static void a_worker_that_took_over_is_followed(void **state)
{
    int keeper_end;
    struct slot *slot = master_rig_slot(&rig, 0, &keeper_end);
    pid_t worker = sleeper(), former = 4000001;
    (void)state;

    slot->state->keeper_pid = former;
    slot->page->keeper_pid = worker;
    slot_advance(master, slot);
    assert_int_equal(slot->state->keeper_pid, worker);
    assert_int_equal(slot->state->former_pid, former);
    slot_keeper_ended(slot, worker);
    assert_int_equal(slot->state->keeper_pid, 0);
    slot_advance(master, slot); /* the page still names it, and it is not reaped yet */
    assert_int_equal(slot->state->keeper_pid, 0);
    assert_int_equal(end_of(worker), SIGTERM);
    fd_close(&keeper_end);
}

static void a_page_that_names_somebody_elses_process_is_not_believed(void **state)
{
    int ends[2];
    struct slot *slot = master_rig_slot(&rig, 0, &ends[0]), *other = master_rig_slot(&rig, 1, &ends[1]);
    pid_t claimed = sleeper();
    const pid_t wrong[] = {0, -1, 1, getpid(), getppid(), claimed};
    (void)state;

    other->state->keeper_pid = claimed;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        slot->page->keeper_pid = wrong[i];
        slot_advance(master, slot);
        assert_int_equal(slot->state->keeper_pid, 0);
    }
    other->state->keeper_pid = 0;
    master->state->loader_pid = claimed;
    slot_advance(master, slot);
    assert_int_equal(slot->state->keeper_pid, 0);
    master->state->loader_pid = 0;
    master->hello.other = claimed;
    slot_advance(master, slot);
    assert_int_equal(slot->state->keeper_pid, 0);
    master->hello.other = 0;
    slot_advance(master, slot);
    assert_int_equal(slot->state->keeper_pid, claimed);
    slot->state->keeper_pid = 0;
    assert_int_equal(end_of(claimed), SIGTERM);
    fd_close(&ends[0]);
    fd_close(&ends[1]);
}

static void a_status_is_put_down_to_the_right_member_of_the_slot(void **state)
{
    int keeper_end;
    struct slot *slot = master_rig_slot(&rig, 0, &keeper_end);
    const char *kind = "";
    (void)state;

    slot->state->keeper_pid = 11;
    slot->state->former_pid = 12;
    slot->page->worker_pid = 13;
    for (pid_t pid = 11; pid <= 14; pid++)
        assert_int_equal(slot_status(slot, pid, &kind), pid < 14);
    assert_int_equal(slot_status(slot, 12, &kind), 1);
    assert_string_equal(kind, "keeper");
    assert_int_equal(slot_status(slot, 13, &kind), 1);
    assert_string_equal(kind, "worker");
    slot_keeper_ended(slot, 14);
    assert_int_equal(slot->state->keeper_pid, 11);
    slot_keeper_ended(slot, 12);
    assert_int_equal(slot->state->former_pid, 0);
    slot_keeper_ended(slot, 11);
    assert_int_equal(slot->state->keeper_pid, 0);
    assert_int_equal(slot->state->former_pid, 11);
    assert_true(slot->state->keeper_gone_ns > 0);
    fd_close(&keeper_end);
}

/* --- links and orders --- */

/* Whether a POKE lies in the link; it is taken. */
static int was_poked(int keeper_end)
{
    struct link_message message;

    return !link_receive(keeper_end, &message) && message.type == LINK_POKE;
}

static void a_death_or_a_loss_in_one_slot_wakes_all_others(void **state)
{
    int ends[3];
    struct slot *slots[3];
    (void)state;

    for (unsigned i = 0; i < 3; i++)
        slots[i] = master_rig_slot(&rig, i, &ends[i]);
    assert_int_equal(link_send(ends[1], LINK_DIED, 1, 1, 0), 0);
    slot_read_link(master, slots[1]);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(was_poked(ends[i]), i != 1);
    slots[2]->state->step = SLOT_PREPARE; /* has nobody to wake */
    slots[0]->link_ended = 1;
    slot_advance(master, slots[0]);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(was_poked(ends[i]), i == 1);
    for (unsigned i = 0; i < 3; i++)
        fd_close(&ends[i]);
}

static void what_is_no_message_is_dropped_and_the_link_read_on(void **state)
{
    int keeper_end;
    struct slot *slot = master_rig_slot(&rig, 0, &keeper_end);
    (void)state;

    assert_int_equal(send(keeper_end, "rubbish", 7, 0), 7);
    assert_int_equal(link_send(keeper_end, LINK_READY, 0, 1, 0), 0);
    slot_read_link(master, slot);
    assert_int_equal(slot->link_ended, 0);
    fd_close(&keeper_end);
    slot_read_link(master, slot);
    assert_int_equal(slot->link_ended, 1);
}

static void an_order_is_written_once_and_wakes_once(void **state)
{
    int keeper_end;
    struct slot *slot = master_rig_slot(&rig, 0, &keeper_end);
    (void)state;

    slot_order(slot, ARENA_ORDER_DRAIN, 77);
    assert_int_equal(slot->page->order, ARENA_ORDER_DRAIN);
    assert_int_equal(slot->page->order_deadline_ns, 77);
    assert_true(was_poked(keeper_end));
    slot_order(slot, ARENA_ORDER_DRAIN, 78);
    assert_int_equal(slot->page->order_deadline_ns, 77);
    assert_false(was_poked(keeper_end));
    slot_order(slot, ARENA_ORDER_STOP, 79);
    assert_int_equal(slot->page->order_deadline_ns, 79);
    assert_true(was_poked(keeper_end));
    slot_order(&master->slots[1], ARENA_ORDER_STOP, 0); /* there is nobody */
    fd_close(&keeper_end);
}

static void only_a_keeper_that_is_in_the_books_is_signalled(void **state)
{
    int keeper_end;
    struct slot *slot = master_rig_slot(&rig, 0, &keeper_end);
    pid_t keeper = sleeper(), other = sleeper();
    (void)state;

    slot->page->keeper_pid = other;
    slot->state->keeper_pid = keeper;
    slot_poke(slot);
    slot->page->keeper_pid = keeper;
    slot_poke(slot);
    slot->state->keeper_pid = 0;
    assert_int_equal(end_of(keeper), SIGUSR1);
    assert_int_equal(end_of(other), SIGTERM);
    fd_close(&keeper_end);
}

/* --- who says nothing --- */

static void a_keeper_that_is_silent_for_five_seconds_is_killed(void **state)
{
    int keeper_end;
    struct slot *slot = master_rig_slot(&rig, 0, &keeper_end);
    pid_t keeper = sleeper();
    (void)state;

    slot->state->keeper_pid = keeper;
    slot->page->keeper_beat_ns = master->now_ns;
    pass(SILENT_NS - 1);
    slot_watch(master, slot, 0);
    pass(MS(3)); /* … but our own lateness is not its fault */
    slot_watch(master, slot, MS(3));
    assert_int_equal(process_may_run(keeper), 1);
    slot->page->keeper_beat_ns = master->now_ns;
    slot_watch(master, slot, 0);
    assert_int_equal(process_may_run(keeper), 1);
    pass(SILENT_NS);
    slot_watch(master, slot, 0);
    slot->state->keeper_pid = 0;
    assert_int_equal(end_of(keeper), SIGKILL);
    fd_close(&keeper_end);
}

static void a_keeper_that_has_just_been_made_is_given_its_time(void **state)
{
    int keeper_end;
    struct slot *slot = master_rig_slot(&rig, 0, &keeper_end);
    pid_t keeper = sleeper();
    (void)state;

    slot->state->keeper_pid = keeper;
    slot->page->keeper_beat_ns = 0; /* its predecessor's, or none */
    slot->state->started_ns = master->now_ns;
    pass(SILENT_NS - 1);
    slot_watch(master, slot, 0);
    slot->state->keeper_pid = 0;
    assert_int_equal(end_of(keeper), SIGTERM);
    fd_close(&keeper_end);
}

static void a_stopped_keeper_is_left_alone_however_silent(void **state)
{
    int keeper_end;
    struct slot *slot = master_rig_slot(&rig, 0, &keeper_end);
    pid_t keeper = sleeper();
    (void)state;

    slot->state->keeper_pid = keeper;
    stop(keeper);
    pass(100 * SILENT_NS);
    slot_watch(master, slot, 0);
    assert_int_equal(process_state(keeper), 'T');
    (void)kill(keeper, SIGCONT);
    slot->state->keeper_pid = 0;
    assert_int_equal(end_of(keeper), SIGTERM);
    fd_close(&keeper_end);
}

/* A slot whose keeper has just died, and whose worker does not take over. */
static struct slot *orphaned(pid_t worker, int *keeper_end)
{
    struct slot *slot = master_rig_slot(&rig, 0, keeper_end);

    slot->page->worker_pid = worker;
    slot->state->keeper_gone_ns = master->now_ns;
    return slot;
}

static void a_worker_that_does_not_take_over_in_five_seconds_is_killed(void **state)
{
    int keeper_end;
    pid_t worker = sleeper();
    struct slot *slot = orphaned(worker, &keeper_end);
    (void)state;

    pass(SILENT_NS - 1);
    slot_watch(master, slot, 0);
    assert_int_equal(process_may_run(worker), 1);
    pass(1);
    slot_watch(master, slot, 0);
    assert_int_equal(end_of(worker), SIGKILL);
    fd_close(&keeper_end);
}

static void an_orphaned_worker_that_is_stopped_or_not_ours_is_left_alone(void **state)
{
    int keeper_end;
    pid_t worker = sleeper();
    struct slot *slot = orphaned(worker, &keeper_end);
    (void)state;

    pass(SILENT_NS);
    master->hello.anchor = getppid(); /* not the parent of this one */
    slot_watch(master, slot, 0);
    assert_int_equal(process_may_run(worker), 1);
    master->hello.anchor = getpid();
    stop(worker);
    slot_watch(master, slot, 0);
    assert_int_equal(process_state(worker), 'T');
    (void)kill(worker, SIGCONT);
    slot->state->step = SLOT_ENDED; /* nor is anybody watched there */
    slot_watch(master, slot, 0);
    assert_int_equal(end_of(worker), SIGTERM);
    fd_close(&keeper_end);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int count, char **arguments)
{
    const struct CMUnitTest tests[] = {
        TEST(a_worker_that_took_over_is_followed),
        TEST(a_page_that_names_somebody_elses_process_is_not_believed),
        TEST(a_status_is_put_down_to_the_right_member_of_the_slot),
        TEST(a_death_or_a_loss_in_one_slot_wakes_all_others),
        TEST(what_is_no_message_is_dropped_and_the_link_read_on),
        TEST(an_order_is_written_once_and_wakes_once),
        TEST(only_a_keeper_that_is_in_the_books_is_signalled),
        TEST(a_keeper_that_is_silent_for_five_seconds_is_killed),
        TEST(a_keeper_that_has_just_been_made_is_given_its_time),
        TEST(a_stopped_keeper_is_left_alone_however_silent),
        TEST(a_worker_that_does_not_take_over_in_five_seconds_is_killed),
        TEST(an_orphaned_worker_that_is_stopped_or_not_ours_is_left_alone),
    };

    stand_in_main(count, arguments);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
