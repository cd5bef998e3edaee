#include "anchor/signals.h"

#include "base/fd.h"
#include "base/log.h"
#include "unit.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

static struct signals signals;
static uint64_t seq;

static int setup(void **state)
{
    (void)state;
    seq = 1;
    return signals_init(&signals);
}

static int teardown(void **state)
{
    (void)state;
    signals_read(&signals);
    fd_close(&signals.fd);
    return 0;
}

static void arrive(int number)
{
    kill(getpid(), number);
    signals_read(&signals);
}

static void a_signal_is_open_until_its_own_number_is_acknowledged(void **state)
{
    (void)state;
    assert_false(signals_open_next(&signals, &seq));
    arrive(SIGHUP);
    assert_true(signals_open_next(&signals, &seq));
    assert_int_equal(signals.open_number, SIGHUP);
    assert_int_equal(signals.open_seq, 1);
    signals.told = 1;
    assert_false(signals_open_next(&signals, &seq));
    signals.told = 0; /* another master */
    assert_true(signals_open_next(&signals, &seq));
    assert_int_equal(signals.open_seq, 1);
    assert_int_equal(signals_acknowledge(&signals, 2), ERR_NOT_FOUND);
    assert_int_equal(signals_acknowledge(&signals, 1), 0);
    assert_int_equal(signals_acknowledge(&signals, 1), ERR_NOT_FOUND);
    assert_int_equal(signals_acknowledge(&signals, 0), ERR_NOT_FOUND);
    assert_false(signals_open_next(&signals, &seq));
}

static void the_same_signal_waits_once_and_again_while_it_is_open(void **state)
{
    (void)state;
    arrive(SIGTERM);
    arrive(SIGTERM);
    assert_true(signals_open_next(&signals, &seq));
    arrive(SIGTERM);
    assert_int_equal(signals_acknowledge(&signals, 1), 0);
    assert_true(signals_open_next(&signals, &seq));
    assert_int_equal(signals.open_number, SIGTERM);
    assert_int_equal(signals_acknowledge(&signals, 2), 0);
    assert_false(signals_open_next(&signals, &seq));
}

static void every_number_up_to_64_can_wait_but_not_those_that_only_wake(void **state)
{
    int count = 0;
    (void)state;
    if (unit_is_under_valgrind())
        skip(); /* one of the 64 is valgrind's own */
    for (int number = 1; number <= 64; number++) {
        if (number == SIGKILL || number == SIGSTOP || number == 32 || number == 33 || number == SIGTSTP ||
            number == SIGTTIN || number == SIGTTOU || number == SIGXFSZ)
            continue; /* cannot be blocked, belong to the C library, are left to the shell, or ignored */
        arrive(number);
        count++;
    }
    int told = 0;
    while (signals_open_next(&signals, &seq)) {
        assert_true(signals.open_number != SIGCHLD && signals.open_number != SIGPIPE);
        assert_int_equal(signals_acknowledge(&signals, signals.open_seq), 0);
        told++;
    }
    assert_int_equal(told, count - 3); /* CHLD, CONT, PIPE */
}

static void a_stop_is_seen_whether_it_waits_or_is_open(void **state)
{
    (void)state;
    arrive(SIGHUP);
    assert_false(signals_stop_asked(&signals));
    arrive(SIGQUIT);
    assert_true(signals_stop_asked(&signals));
    assert_true(signals_open_next(&signals, &seq)); /* HUP */
    assert_int_equal(signals_acknowledge(&signals, 1), 0);
    assert_true(signals_open_next(&signals, &seq)); /* QUIT */
    assert_true(signals_stop_asked(&signals));
    assert_int_equal(signals_acknowledge(&signals, 2), 0);
    assert_false(signals_stop_asked(&signals));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_signal_is_open_until_its_own_number_is_acknowledged),
        TEST(the_same_signal_waits_once_and_again_while_it_is_open),
        TEST(every_number_up_to_64_can_wait_but_not_those_that_only_wake),
        TEST(a_stop_is_seen_whether_it_waits_or_is_open),
    };
    log_init(open("/dev/null", O_WRONLY | O_CLOEXEC), "test");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
