#include "core/crash.h"

#include "unit.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static struct arena_core *core;
static struct arena_page page;

static int setup(void **state)
{
    (void)state;
    core = mmap(NULL, sizeof *core, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return core == MAP_FAILED;
}

static int teardown(void **state)
{
    (void)state;
    return munmap(core, sizeof *core);
}

/* Dies in a process of its own, as `how` has it. Returns the signal that ended it. */
static int die(void (*how)(void))
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        const struct rlimit none = {0, 0};

        (void)setrlimit(RLIMIT_CORE, &none);
        if (crash_init(core, &page))
            _exit(1);
        how();
        _exit(2);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    return WTERMSIG(status);
}

static char *volatile nowhere = (char *)64;

static void write_nowhere(void)
{
    *nowhere = 1;
}

static void overflow_the_stack(void)
{
    volatile char frame[4096];

    frame[0] = 1;
    if (frame[0])
        overflow_the_stack();
    frame[1] = 1;
}

static void divide_by_zero(void)
{
    raise(SIGFPE);
}

static void be_sent_a_signal(void)
{
    pid_t self = getpid(), pid = fork();

    if (pid == 0) {
        kill(self, SIGSEGV);
        _exit(0);
    }
    for (;;)
        pause();
}

static void *crash_as_thread_five(void *argument)
{
    crash_thread(5);
    write_nowhere();
    return argument;
}

static void crash_in_a_thread(void)
{
    pthread_t thread;

    pthread_create(&thread, NULL, crash_as_thread_five, NULL);
    pthread_join(thread, NULL);
}

static void assert_report(int number, int thread)
{
    assert_int_equal(core->crash.valid, ARENA_CRASH_COMPLETE);
    assert_int_equal(core->crash.signal, number);
    assert_int_equal(core->crash.thread, thread);
    assert_true(core->crash.text_length > 0);
    assert_non_null(memmem(core->crash.text, core->crash.text_length, "0x", 2));
}

static void a_crash_tells_signal_address_and_backtrace(void **state)
{
    (void)state;
    assert_int_equal(die(write_nowhere), SIGSEGV);
    assert_report(SIGSEGV, 0);
    assert_int_equal(core->crash.address, 64);
    assert_int_equal(core->crash.from_outside, 0);
}

static void every_way_to_crash_is_told_and_ends_as_it_would_have(void **state)
{
    (void)state;
    assert_int_equal(die(abort), SIGABRT);
    assert_report(SIGABRT, 0);
    assert_int_equal(core->crash.from_outside, 0);
    assert_int_equal(die(divide_by_zero), SIGFPE);
    assert_report(SIGFPE, 0);
}

static void a_stack_that_is_used_up_is_told_from_another_one(void **state)
{
    (void)state;
    assert_int_equal(die(overflow_the_stack), SIGSEGV);
    assert_report(SIGSEGV, 0);
}

static void a_crash_in_a_thread_names_it(void **state)
{
    (void)state;
    assert_int_equal(die(crash_in_a_thread), SIGSEGV);
    assert_report(SIGSEGV, 5);
}

static void a_signal_from_another_process_is_nobodys_fault(void **state)
{
    (void)state;
    assert_int_equal(die(be_sent_a_signal), SIGSEGV);
    assert_report(SIGSEGV, 0);
    assert_int_equal(core->crash.from_outside, 1);
}

static void be_killed(void)
{
    raise(SIGKILL);
}

static void the_next_worker_begins_with_an_empty_report(void **state)
{
    (void)state;
    assert_int_equal(die(crash_in_a_thread), SIGSEGV);
    assert_int_equal(core->crash.valid, ARENA_CRASH_COMPLETE);
    assert_int_equal(die(be_killed), SIGKILL);
    assert_int_equal(core->crash.valid, ARENA_CRASH_NONE);
}

static void the_keeper_is_woken_when_the_report_is_complete(void **state)
{
    const struct timespec patience = {10, 0};
    sigset_t wanted, before;
    siginfo_t info;
    (void)state;

    sigemptyset(&wanted);
    sigaddset(&wanted, SIGUSR1);
    assert_int_equal(sigprocmask(SIG_BLOCK, &wanted, &before), 0);
    page.keeper_pid = getpid();
    assert_int_equal(die(write_nowhere), SIGSEGV);
    assert_int_equal(sigtimedwait(&wanted, &info, &patience), SIGUSR1);
    page.keeper_pid = 1; /* somebody else's child gets none */
    assert_int_equal(die(write_nowhere), SIGSEGV);
    assert_int_equal(sigpending(&wanted), 0);
    assert_int_equal(sigismember(&wanted, SIGUSR1), 0);
    page.keeper_pid = 0;
    assert_int_equal(sigprocmask(SIG_SETMASK, &before, NULL), 0);
}

static void give_up_and_crash(void)
{
    crash_fini();
    write_nowhere();
}

static void who_is_no_worker_any_more_writes_nothing(void **state)
{
    (void)state;
    assert_int_equal(die(give_up_and_crash), SIGSEGV);
    assert_int_equal(core->crash.valid, ARENA_CRASH_NONE);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_crash_tells_signal_address_and_backtrace),
        CASE(every_way_to_crash_is_told_and_ends_as_it_would_have),
        CASE(a_stack_that_is_used_up_is_told_from_another_one),
        CASE(a_crash_in_a_thread_names_it),
        CASE(a_signal_from_another_process_is_nobodys_fault),
        CASE(the_next_worker_begins_with_an_empty_report),
        CASE(the_keeper_is_woken_when_the_report_is_complete),
        CASE(who_is_no_worker_any_more_writes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
