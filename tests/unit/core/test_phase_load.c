/* LOAD: loaders that do their work, refuse, hang, lie and die; masters that die meanwhile. */
#include "base/clock.h"
#include "base/fd.h"
#include "base/packet.h"
#include "base/process.h"
#include "core/launch.h"
#include "master_rig.h"
#include "stand_in.h"
#include "unit.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define PATIENCE_MS 10000

static struct master_rig rig;
static struct master *const master = &rig.master;

static int setup(void **state)
{
    (void)state;
    master_rig_open(&rig, PHASE_LOAD);
    fd_close(&master->snapshot_fd);
    return 0;
}

static int teardown(void **state)
{
    pid_t loader = master->state->loader_pid;
    (void)state;

    if (loader > 0)
        stand_in_end(loader);
    master_rig_close(&rig);
    return 0;
}

/* A loader that behaves in this way (stand_in.h) is started. */
static pid_t start(const char *how)
{
    if (how)
        (void)setenv(STAND_IN, how, 1);
    phase_load(master);
    assert_true(master->state->loader_pid > 0);
    return master->state->loader_pid;
}

static void read_answer(void)
{
    struct pollfd wait = {.fd = master->loader_fd, .events = POLLIN};

    assert_int_equal(poll(&wait, 1, PATIENCE_MS), 1);
    phase_loader_read(master);
}

static void its_status_comes(int code, int status)
{
    assert_true(stand_in_has_ended(master->state->loader_pid));
    phase_loader_status(master, code, status);
    assert_int_equal(master->state->loader_pid, 0);
}

/* --- what loaders do --- */

static void a_good_snapshot_is_deposited_and_the_listeners_are_next(void **state)
{
    char text[64] = "";
    (void)state;

    (void)start(NULL);
    assert_int_equal(master->state->loader_tries, 1);
    read_answer();
    assert_int_equal(master->state->phase, PHASE_LISTEN);
    assert_string_equal(fake_anchor_said(&rig.anchor), "PUT snapshot:1\n");
    assert_true(pread(fake_anchor_held(&rig.anchor, "snapshot:1"), text, sizeof text - 1, 0) > 0);
    assert_string_equal(text, STAND_IN_SNAPSHOT);
    assert_int_equal(master->settings.workers, 1);
    assert_int_equal(master->loader_fd, -1);
    its_status_comes(CLD_EXITED, 0);
    assert_int_equal(master->state->phase, PHASE_LISTEN);
}

static void an_answer_counts_also_when_the_status_is_told_first(void **state)
{
    (void)start(NULL);
    (void)state;

    its_status_comes(CLD_EXITED, 0);
    assert_int_equal(master->state->phase, PHASE_LISTEN);
    assert_true(fake_anchor_held(&rig.anchor, "snapshot:1") >= 0);
}

static void a_loader_that_refuses_ends_the_start(void **state)
{
    (void)start("fails");
    (void)state;

    its_status_comes(CLD_EXITED, 1);
    assert_int_equal(master->state->phase, PHASE_STOP);
    assert_int_equal(master->state->exit_code, EXIT_BAD_START);
    assert_int_equal(master->loader_fd, -1);
}

static void while_a_loader_works_no_other_is_started(void **state)
{
    pid_t loader = start("silent");
    (void)state;

    for (int i = 0; i < 3; i++)
        phase_load(master);
    assert_int_equal(master->state->loader_pid, loader);
    assert_int_equal(master->state->loader_tries, 1);
    phase_loader_read(master); /* says nothing yet */
    assert_true(master->loader_fd >= 0);
}

static void a_loader_that_is_killed_is_started_again_up_to_five_times(void **state)
{
    (void)state;
    for (unsigned tries = 1; tries <= 5; tries++) {
        (void)start("dies");
        assert_int_equal(master->state->loader_tries, tries);
        its_status_comes(CLD_KILLED, SIGKILL);
        assert_int_equal(master->state->phase, PHASE_LOAD);
        assert_int_equal(master->loader_fd, -1);
    }
    phase_load(master);
    assert_int_equal(master->state->phase, PHASE_STOP);
    assert_int_equal(master->state->exit_code, EXIT_BAD_START);
    assert_int_equal(master->state->loader_pid, 0);
}

static void a_loader_that_hangs_is_killed_after_twenty_seconds_but_not_if_it_is_stopped(void **state)
{
    pid_t loader = start("silent");
    (void)state;

    master->now_ns += 20 * NS_PER_S - 1;
    phase_load(master);
    assert_int_equal(process_may_run(loader), 1);
    (void)kill(loader, SIGSTOP);
    while (process_state(loader) != 'T')
        ; /* the signal is on its way */
    master->now_ns += NS_PER_S;
    phase_load(master);
    assert_int_equal(process_state(loader), 'T');
    (void)kill(loader, SIGCONT);
    while (process_state(loader) == 'T')
        ;
    phase_load(master);
    its_status_comes(CLD_KILLED, SIGKILL);
    assert_int_equal(master->state->phase, PHASE_LOAD);
}

static void a_message_that_is_none_is_dropped_and_the_loader_not_believed(void **state)
{
    (void)start("rubbish");
    (void)state;

    read_answer();
    assert_int_equal(master->state->phase, PHASE_LOAD);
    assert_int_equal(master->loader_fd, -1);
    assert_int_equal(fake_anchor_count(&rig.anchor, ""), 0);
    phase_load(master); /* its status is still awaited */
    assert_int_equal(master->state->loader_tries, 1);
    its_status_comes(CLD_EXITED, 0);
    phase_load(master);
    assert_int_equal(master->state->loader_tries, 2);
}

/* The master hears this as if it came from the loader. */
static void hear_instead(const void *bytes, size_t length, int with_fd)
{
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    master->loader_fd = pair[0];
    assert_int_equal(packet_send(pair[1], bytes, length, with_fd ? pair[1] : -1), 0);
    phase_loader_read(master);
    assert_int_equal(master->loader_fd, -1);
    fd_close(&pair[1]);
}

static void only_a_whole_message_of_this_version_with_a_descriptor_counts(void **state)
{
    struct core_snapshot_message good = {CORE_SNAPSHOT_MESSAGE, CORE_SNAPSHOT_VERSION, 1}, other = good;
    (void)state;

    hear_instead(&good, sizeof good, 0);
    hear_instead(&good, sizeof good - 1, 1);
    other.version++;
    hear_instead(&other, sizeof other, 1);
    assert_int_equal(master->state->phase, PHASE_LOAD);
    hear_instead(&good, sizeof good, 1);
    assert_int_equal(master->state->phase, PHASE_LISTEN);
}

static void a_snapshot_that_cannot_be_read_or_deposited_ends_the_start(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        if (i)
            fake_anchor_refuses(&rig.anchor, WIRE_PUT, "snapshot", ERR_LIMIT);
        else
            rig.snapshot_result = ERR_VERSION;
        (void)start(NULL);
        read_answer();
        assert_int_equal(master->state->phase, PHASE_STOP);
        assert_int_equal(master->state->exit_code, EXIT_BAD_START);
        assert_int_equal(master->snapshot_fd, -1);
        assert_int_equal(teardown(state) | setup(state), 0);
    }
}

/* --- what keeps it from being started --- */

static void too_few_descriptors_are_told_before_anything_fails_for_them(void **state)
{
    struct rlimit limit, tight;
    (void)state;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    tight = (struct rlimit){LAUNCH_DESCRIPTORS_MIN - 1, limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
    phase_load(master);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(master->state->phase, PHASE_STOP);
    assert_int_equal(master->state->exit_code, EXIT_BAD_START);
    assert_int_equal(master->state->loader_tries, 0);
}

/* --- the master's death --- */

static void the_next_master_waits_for_the_status_of_a_loader_that_has_nobody_to_answer_to(void **state)
{
    pid_t loader = start("silent");
    (void)state;

    master_rig_again(&rig); /* its end of the pair is gone with the former one */
    assert_int_equal(master->loader_fd, -1);
    phase_load(master);
    assert_int_equal(master->state->loader_pid, loader);
    stand_in_end(loader);
    phase_loader_status(master, CLD_KILLED, SIGKILL);
    (void)unsetenv(STAND_IN);
    (void)start(NULL);
    read_answer();
    assert_int_equal(master->state->phase, PHASE_LISTEN);
    assert_int_equal(master->state->loader_tries, 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int count, char **arguments)
{
    const struct CMUnitTest tests[] = {
        TEST(a_good_snapshot_is_deposited_and_the_listeners_are_next),
        TEST(an_answer_counts_also_when_the_status_is_told_first),
        TEST(a_loader_that_refuses_ends_the_start),
        TEST(while_a_loader_works_no_other_is_started),
        TEST(a_loader_that_is_killed_is_started_again_up_to_five_times),
        TEST(a_loader_that_hangs_is_killed_after_twenty_seconds_but_not_if_it_is_stopped),
        TEST(a_message_that_is_none_is_dropped_and_the_loader_not_believed),
        TEST(only_a_whole_message_of_this_version_with_a_descriptor_counts),
        TEST(a_snapshot_that_cannot_be_read_or_deposited_ends_the_start),
        TEST(too_few_descriptors_are_told_before_anything_fails_for_them),
        TEST(the_next_master_waits_for_the_status_of_a_loader_that_has_nobody_to_answer_to),
    };

    stand_in_main(count, arguments);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
