/* The steps of a slot and what may come between them: refusals, losses, the master's own death. */
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

/* Slot 0, to be prepared. */
static struct slot *new_slot(void)
{
    struct slot *slot = &master->slots[0];

    *slot->state = (struct slot_state){.step = SLOT_PREPARE, .generation = 1};
    return slot;
}

static struct slot *running_slot(void)
{
    struct slot *slot = new_slot();

    slot_advance(master, slot);
    assert_int_equal(slot->state->step, SLOT_RUN);
    master_rig_hear(&rig, slot);
    return slot;
}

static void pass(uint64_t ns)
{
    master->now_ns += ns;
}

/* --- making --- */

static void a_free_slot_stays_free(void **state)
{
    struct slot *slot = &master->slots[0];
    (void)state;

    slot_advance(master, slot);
    assert_int_equal(slot->state->step, SLOT_FREE);
    assert_string_equal(fake_anchor_said(&rig.anchor), "");
}

static void arena_and_link_are_deposited_before_there_is_a_keeper(void **state)
{
    struct slot *slot = new_slot();
    (void)state;

    slot_advance(master, slot);
    assert_int_equal(slot->state->step, SLOT_RUN);
    assert_string_equal(fake_anchor_said(&rig.anchor), "PUT arena:1.0\nPUT link:1.0\n");
    assert_int_equal(process_parent(slot->state->keeper_pid), getppid());
    master_rig_hear(&rig, slot);
    assert_int_equal(slot->page->state, ARENA_STATE_READY);
    assert_int_equal(slot->page->keeper_pid, slot->state->keeper_pid);
    assert_int_equal(slot->state->started_ns, master->now_ns);
}

static void a_slot_that_is_put_off_is_not_touched_before_its_time(void **state)
{
    struct slot *slot = new_slot();
    (void)state;

    slot->state->start_at_ns = master->now_ns + 1;
    slot_advance(master, slot);
    assert_int_equal(slot->state->step, SLOT_PREPARE);
    assert_string_equal(fake_anchor_said(&rig.anchor), "");
    pass(1);
    slot_advance(master, slot);
    assert_int_equal(slot->state->step, SLOT_RUN);
}

static void what_the_anchor_refuses_is_tried_again_a_little_later(void **state)
{
    static const char *const names[] = {"arena", "link"};
    struct slot *slot = new_slot();
    (void)state;

    for (int i = 0; i < 2; i++) {
        fake_anchor_refuses(&rig.anchor, WIRE_PUT, names[i], ERR_NO_DESCRIPTORS);
        slot_advance(master, slot);
        assert_int_equal(slot->state->step, SLOT_PREPARE);
        assert_int_equal(slot->state->start_at_ns, master->now_ns + MS(100));
        assert_int_equal(slot->link_fd, -1);
        assert_int_equal(slot->page != NULL, i == 1); /* what was had is not made again */
        pass(MS(100));
    }
    fake_anchor_refuses(&rig.anchor, WIRE_PUT, "", 0);
    (void)fake_anchor_said(&rig.anchor);
    slot_advance(master, slot);
    assert_int_equal(slot->state->step, SLOT_RUN);
    assert_string_equal(fake_anchor_said(&rig.anchor), "PUT link:1.0\n");
}

static void refuse_often(struct slot *slot, int times)
{
    fake_anchor_refuses(&rig.anchor, WIRE_PUT, "", ERR_LIMIT);
    for (int i = 0; i < times; i++) {
        slot_advance(master, slot);
        pass(MS(100));
    }
}

static void at_the_first_start_preparing_is_given_up_after_twenty_refusals(void **state)
{
    struct slot *slot = new_slot();
    (void)state;

    master->state->phase = PHASE_START;
    refuse_often(slot, 20);
    assert_int_equal(master->state->phase, PHASE_START);
    refuse_often(slot, 1);
    assert_int_equal(master->state->phase, PHASE_STOP);
    assert_int_equal(master->state->exit_code, 1);
}

static void a_server_that_was_ready_once_never_gives_up_preparing(void **state)
{
    struct slot *slot = new_slot();
    (void)state;

    master->state->ready_told = 1;
    refuse_often(slot, 50);
    assert_int_equal(master->state->phase, PHASE_RUN);
    assert_int_equal(slot->state->step, SLOT_PREPARE);
}

static void a_slot_that_is_being_prepared_at_a_stop_is_freed(void **state)
{
    struct slot *slot = new_slot();
    (void)state;

    fake_anchor_refuses(&rig.anchor, WIRE_PUT, "link", ERR_LIMIT);
    slot_advance(master, slot);
    assert_int_equal(fake_anchor_count(&rig.anchor, "arena:"), 1);
    master->state->phase = PHASE_DRAIN;
    slot_advance(master, slot);
    assert_int_equal(slot->state->step, SLOT_FREE);
    assert_int_equal(fake_anchor_count(&rig.anchor, ""), 0);
    assert_int_equal(slot->arena_fd, -1);
    assert_null(slot->page);
}

/* --- the master's death in each step --- */

/* A master of its own takes a step of slot 0 and is killed at its nth request. */
static void die_in_step(unsigned nth, int done_first)
{
    pid_t pid = fork();
    int status = 0;

    if (pid == 0) {
        (void)raise(SIGSTOP); /* until the anchor knows whom to kill */
        slot_advance(master, &master->slots[0]);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
    fake_anchor_kills(&rig.anchor, pid, nth, done_first);
    (void)kill(pid, SIGCONT);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WTERMSIG(status), SIGKILL);
    master_rig_again(&rig);
}

static ino_t inode_of(int fd)
{
    struct stat stat;

    assert_int_equal(fstat(fd, &stat), 0);
    return stat.st_ino;
}

static void a_master_that_dies_while_it_prepares_is_followed_by_one_that_goes_on(void **state)
{
    (void)state;
    for (unsigned nth = 1; nth <= 2; nth++)
        for (int done = 0; done < 2; done++) {
            struct slot *slot = new_slot();
            int arena;

            die_in_step(nth, done);
            assert_int_equal(slot->state->step, SLOT_PREPARE);
            arena = fake_anchor_held(&rig.anchor, "arena:1.0");
            assert_int_equal(arena >= 0, nth > 1 || done);
            assert_int_equal(slot->page != NULL, nth > 1); /* its page on the board is made after the arena */
            slot_advance(master, slot);
            assert_int_equal(slot->state->step, SLOT_RUN);
            master_rig_hear(&rig, slot);
            assert_int_equal(slot->page->state, ARENA_STATE_READY);
            assert_int_equal(fake_anchor_count(&rig.anchor, ""), 2);
            if (arena >= 0) /* the one that was found is the one that is used */
                assert_int_equal(inode_of(slot->arena_fd),
                                 inode_of(fake_anchor_held(&rig.anchor, "arena:1.0")));
            assert_int_equal(teardown(state) | setup(state), 0);
        }
}

static void a_master_that_died_before_the_keeper_was_made_is_followed_by_one_that_makes_it(void **state)
{
    struct slot *slot = new_slot();
    (void)state;

    fake_anchor_refuses(&rig.anchor, WIRE_PUT, "link", ERR_LIMIT); /* the arena is there */
    slot_advance(master, slot);
    fake_anchor_refuses(&rig.anchor, WIRE_PUT, "", 0);
    slot->state->step = SLOT_FORK;
    slot->state->keeper_pid = 0;
    slot->state->start_at_ns = 0;
    master_rig_again(&rig);
    slot_advance(master, slot);
    assert_int_equal(slot->state->step, SLOT_PREPARE);
    slot_advance(master, slot);
    assert_int_equal(slot->state->step, SLOT_RUN);
    master_rig_hear(&rig, slot);
    assert_int_equal(slot->page->keeper_pid, slot->state->keeper_pid);
}

static void a_master_that_died_after_the_keeper_was_made_is_followed_by_one_that_keeps_it(void **state)
{
    struct slot *slot = running_slot();
    pid_t keeper = slot->state->keeper_pid;
    (void)state;

    slot->state->step = SLOT_FORK;
    (void)fake_anchor_said(&rig.anchor);
    master_rig_again(&rig);
    assert_string_equal(fake_anchor_said(&rig.anchor), "GET arena:1.0\nGET link:1.0\n");
    slot_advance(master, slot);
    assert_int_equal(slot->state->step, SLOT_RUN);
    assert_int_equal(slot->state->keeper_pid, keeper);
    assert_string_equal(fake_anchor_said(&rig.anchor), "");
    slot_order(slot, ARENA_ORDER_STOP, 0); /* the link found again is the one that the keeper hears */
    master_rig_reach(&rig, slot, SLOT_ENDED);
    assert_int_equal(slot->page->state, ARENA_STATE_LEFT);
}

static void a_running_slot_is_found_again_as_it_is(void **state)
{
    struct slot *slot = running_slot();
    pid_t keeper = slot->state->keeper_pid;
    (void)state;

    for (int deaths = 0; deaths < 3; deaths++) {
        master_rig_again(&rig);
        slot_advance(master, slot);
        assert_int_equal(slot->state->step, SLOT_RUN);
        assert_int_equal(slot->state->keeper_pid, keeper);
        assert_int_equal(slot->link_ended, 0);
        assert_int_equal(slot->page->keeper_pid, keeper);
    }
}

static void a_keeper_that_left_while_no_master_ran_is_noticed_by_the_next_one(void **state)
{
    struct slot *slot = running_slot();
    (void)state;

    stand_in_end(slot->state->keeper_pid);
    slot->state->keeper_pid = 0;
    master_rig_again(&rig);
    master_rig_hear(&rig, slot);
    assert_int_equal(slot->link_ended, 1);
    slot_advance(master, slot);
    assert_int_equal(slot->state->step, SLOT_ENDED);
    assert_int_equal(slot->state->losses, 1);
}

static void a_running_slot_whose_deposits_are_gone_counts_as_lost(void **state)
{
    static const char *const names[] = {"arena:1.0", "link:1.0"};
    (void)state;

    for (int i = 0; i < 2; i++) {
        int keeper_end;
        struct slot *slot = master_rig_slot(&rig, 0, &keeper_end);

        assert_int_equal(anchor_link_del(&master->anchor, names[i]), 0);
        master_rig_again(&rig);
        slot_advance(master, slot);
        assert_int_equal(slot->state->step, SLOT_ENDED);
        assert_int_equal(slot->state->losses, 1);
        fd_close(&keeper_end);
        assert_int_equal(teardown(state) | setup(state), 0);
    }
}

static void a_master_that_dies_while_it_clears_up_is_followed_by_one_that_goes_on(void **state)
{
    (void)state;
    for (unsigned nth = 1; nth <= 2; nth++)
        for (int done = 0; done < 2; done++) {
            int keeper_end;
            struct slot *slot = master_rig_slot(&rig, 0, &keeper_end);

            slot->state->step = SLOT_ENDED;
            die_in_step(nth, done);
            assert_int_equal(slot->state->step, SLOT_ENDED);
            slot_advance(master, slot);
            assert_int_equal(slot->state->step, SLOT_PREPARE);
            assert_int_equal(fake_anchor_count(&rig.anchor, ""), 0);
            fd_close(&keeper_end);
            assert_int_equal(teardown(state) | setup(state), 0);
        }
}

/* --- ends and losses --- */

static void a_slot_that_left_is_made_again_unless_it_is_not_wanted_any_more(void **state)
{
    static const struct {
        enum master_phase phase;
        uint32_t generation;
        enum slot_step then;
    } cases[] = {{PHASE_RUN, 1, SLOT_PREPARE},
                 {PHASE_START, 1, SLOT_PREPARE},
                 {PHASE_RUN, 2, SLOT_FREE},
                 {PHASE_DRAIN, 1, SLOT_FREE},
                 {PHASE_STOP, 1, SLOT_FREE}};
    (void)state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct slot *slot = running_slot();

        slot_order(slot, ARENA_ORDER_DRAIN, 0);
        master_rig_reach(&rig, slot, SLOT_ENDED);
        assert_int_equal(slot->state->losses, 0); /* who leaves is not lost */
        master->state->phase = cases[i].phase;
        master->state->generation = cases[i].generation;
        slot_advance(master, slot);
        assert_int_equal(slot->state->step, cases[i].then);
        assert_int_equal(fake_anchor_count(&rig.anchor, ""), 0);
        slot_keeper_ended(slot, slot->state->keeper_pid);
        assert_int_equal(teardown(state) | setup(state), 0);
    }
}

static void a_keeper_that_is_killed_with_its_worker_is_a_loss_and_is_made_again(void **state)
{
    struct slot *slot = running_slot();
    pid_t keeper = slot->state->keeper_pid;
    (void)state;

    stand_in_end(keeper);
    master_rig_reach(&rig, slot, SLOT_ENDED);
    assert_int_equal(slot->state->former_pid, keeper); /* its status is still to come */
    assert_int_equal(slot->state->start_at_ns, master->now_ns + MS(100));
    slot_advance(master, slot);
    slot_advance(master, slot);
    assert_int_equal(slot->state->step, SLOT_PREPARE);
    pass(MS(100));
    slot_advance(master, slot);
    assert_int_equal(slot->state->step, SLOT_RUN);
    assert_int_not_equal(slot->state->keeper_pid, keeper);
}

/* The slot is lost once more, `lived_ns` after it was started; the time until it is started again, in ms. */
static unsigned lose(struct slot *slot, uint64_t lived_ns)
{
    slot->state->step = SLOT_RUN;
    slot->state->started_ns = master->now_ns;
    pass(lived_ns);
    slot->link_ended = 1;
    slot_advance(master, slot);
    assert_int_equal(slot->state->step, SLOT_ENDED);
    return (unsigned)((slot->state->start_at_ns - master->now_ns) / NS_PER_MS);
}

static void losses_in_a_row_are_answered_with_more_patience_each_time(void **state)
{
    static const unsigned waits[] = {100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000};
    struct slot *slot = new_slot();
    (void)state;

    for (size_t i = 0; i < sizeof waits / sizeof *waits; i++)
        assert_int_equal(lose(slot, NS_PER_S), waits[i]);
}

static void a_slot_that_lived_for_ten_seconds_is_forgiven_its_former_losses(void **state)
{
    struct slot *slot = new_slot();
    (void)state;

    assert_int_equal(lose(slot, 0), 100);
    assert_int_equal(lose(slot, 10 * NS_PER_S), 200); /* not longer than that */
    assert_int_equal(lose(slot, 10 * NS_PER_S + 1), 100);
    assert_int_equal(lose(slot, 0), 200);
}

static void a_worker_that_cannot_start_ends_the_first_start_but_not_a_running_server(void **state)
{
    static const enum master_phase phases[] = {PHASE_START, PHASE_RUN};
    (void)state;

    for (int i = 0; i < 2; i++) {
        struct slot *slot = new_slot();

        master->state->phase = phases[i];
        (void)setenv(STAND_IN, "fails", 1);
        slot_advance(master, slot);
        while (!slot->link_ended)
            master_rig_hear(&rig, slot);
        slot_advance(master, slot);
        assert_int_equal(master->state->phase, i ? PHASE_RUN : PHASE_STOP);
        assert_int_equal(master->state->exit_code, i ? 0 : 1);
        assert_int_equal(slot->state->losses, i);
        assert_int_equal(teardown(state) | setup(state), 0);
    }
}

static void a_keeper_that_dies_before_it_says_a_word_is_a_loss(void **state)
{
    struct slot *slot = new_slot();
    (void)state;

    (void)setenv(STAND_IN, "dies", 1);
    slot_advance(master, slot);
    master_rig_reach(&rig, slot, SLOT_ENDED);
    assert_int_equal(slot->state->losses, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int count, char **arguments)
{
    const struct CMUnitTest tests[] = {
        TEST(a_free_slot_stays_free),
        TEST(arena_and_link_are_deposited_before_there_is_a_keeper),
        TEST(a_slot_that_is_put_off_is_not_touched_before_its_time),
        TEST(what_the_anchor_refuses_is_tried_again_a_little_later),
        TEST(at_the_first_start_preparing_is_given_up_after_twenty_refusals),
        TEST(a_server_that_was_ready_once_never_gives_up_preparing),
        TEST(a_slot_that_is_being_prepared_at_a_stop_is_freed),
        TEST(a_master_that_dies_while_it_prepares_is_followed_by_one_that_goes_on),
        TEST(a_master_that_died_before_the_keeper_was_made_is_followed_by_one_that_makes_it),
        TEST(a_master_that_died_after_the_keeper_was_made_is_followed_by_one_that_keeps_it),
        TEST(a_running_slot_is_found_again_as_it_is),
        TEST(a_keeper_that_left_while_no_master_ran_is_noticed_by_the_next_one),
        TEST(a_running_slot_whose_deposits_are_gone_counts_as_lost),
        TEST(a_master_that_dies_while_it_clears_up_is_followed_by_one_that_goes_on),
        TEST(a_slot_that_left_is_made_again_unless_it_is_not_wanted_any_more),
        TEST(a_keeper_that_is_killed_with_its_worker_is_a_loss_and_is_made_again),
        TEST(losses_in_a_row_are_answered_with_more_patience_each_time),
        TEST(a_slot_that_lived_for_ten_seconds_is_forgiven_its_former_losses),
        TEST(a_worker_that_cannot_start_ends_the_first_start_but_not_a_running_server),
        TEST(a_keeper_that_dies_before_it_says_a_word_is_a_loss),
    };

    stand_in_main(count, arguments);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
