#include "anchor/deaths.h"

#include "unit.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct deaths deaths;
static uint64_t seq;

static int setup(void **state)
{
    (void)state;
    memset(&deaths, 0, sizeof deaths);
    seq = 1;
    return 0;
}

/* A child that has ended and lies there. */
static pid_t zombie(int code)
{
    pid_t pid = fork();
    siginfo_t info;
    if (pid == 0)
        _exit(code);
    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    return pid;
}

static int is_there(pid_t pid)
{
    int code, status;
    return deaths_look(pid, &code, &status);
}

static void a_death_is_open_with_one_number_until_acknowledged_and_then_reaped(void **state)
{
    (void)state;
    assert_false(deaths_open_next(&deaths, &seq));
    pid_t pid = zombie(4);
    assert_true(deaths_open_next(&deaths, &seq));
    assert_int_equal(deaths.pid, pid);
    assert_int_equal(deaths.code, CLD_EXITED);
    assert_int_equal(deaths.status, 4);
    assert_false(deaths_was_master(&deaths));
    deaths.told = 1;
    assert_false(deaths_open_next(&deaths, &seq));
    assert_int_equal(deaths_acknowledge(&deaths, 2), ERR_NOT_FOUND);
    assert_true(is_there(pid));
    assert_int_equal(deaths_acknowledge(&deaths, 1), 0);
    assert_false(is_there(pid));
    assert_int_equal(deaths_acknowledge(&deaths, 1), ERR_NOT_FOUND);
    assert_int_equal(deaths_acknowledge(&deaths, 0), ERR_NOT_FOUND);
}

static void a_child_that_lives_is_no_death(void **state)
{
    (void)state;
    pid_t pid = fork();
    if (pid == 0)
        for (;;)
            pause();
    assert_false(is_there(pid));
    assert_false(deaths_open_next(&deaths, &seq));
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void a_dead_master_is_told_as_one(void **state)
{
    (void)state;
    pid_t other = zombie(0), master = zombie(0);
    deaths_add_master(&deaths, master);
    for (int i = 0; i < 2; i++) {
        assert_true(deaths_open_next(&deaths, &seq));
        assert_int_equal(deaths_was_master(&deaths), deaths.pid == master);
        assert_int_equal(deaths_acknowledge(&deaths, deaths.open_seq), 0);
    }
    assert_int_equal(deaths.master_count, 0);
    assert_false(is_there(other) || is_there(master));
}

static void too_many_dead_masters_are_reaped_oldest_first_but_not_the_open_one(void **state)
{
    pid_t pids[DEATHS_MASTERS + 2];
    (void)state;
    pids[0] = zombie(0);
    deaths_add_master(&deaths, pids[0]);
    assert_true(deaths_open_next(&deaths, &seq));
    assert_int_equal(deaths.pid, pids[0]);
    for (int i = 1; i < DEATHS_MASTERS + 2; i++) {
        pids[i] = zombie(0);
        deaths_add_master(&deaths, pids[i]);
    }
    assert_true(is_there(pids[0]));
    assert_false(is_there(pids[1]) || is_there(pids[2]));
    assert_true(is_there(pids[3]));
    assert_int_equal(deaths.master_count, DEATHS_MASTERS);
    while (deaths.open_seq) {
        assert_int_equal(deaths_acknowledge(&deaths, deaths.open_seq), 0);
        deaths_open_next(&deaths, &seq);
    }
    assert_int_equal(deaths.master_count, 0);
}

#define TEST(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_death_is_open_with_one_number_until_acknowledged_and_then_reaped),
        TEST(a_child_that_lives_is_no_death),
        TEST(a_dead_master_is_told_as_one),
        TEST(too_many_dead_masters_are_reaped_oldest_first_but_not_the_open_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
