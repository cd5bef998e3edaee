/* The hooks that plant faults: each does what its name says, and nothing else does. */
#include "handler/testing/testing.h"

#include "http/talk.h"
#include "unit.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static struct talk talk;

static int setup(void **state)
{
    (void)state;
    talk_open(&talk, &testing_handler, AF_UNIX);
    talk.http.handlers[1] = &testing_handler;
    talk.http.test_handler = 1;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    talk_close(&talk);
    return 0;
}

/* FNV-1a, 64 bits (draft-eastlake-fnv). */
static void expect_hash(const char *bytes, size_t length)
{
    char expected[64];
    uint64_t hash = 14695981039346656037ULL;

    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (unsigned char)bytes[i]) * 1099511628211ULL;
    snprintf(expected, sizeof expected, "%zu %016llx\n", length, (unsigned long long)hash);
    talk_expect(&talk, 200, expected);
}

static void the_hash_is_of_every_byte_however_it_comes(void **state)
{
    static const char body[] = "hello, world";
    (void)state;

    talk_say(&talk, "POST /_test/hash HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\n");
    for (size_t i = 0; i < sizeof body - 1; i++) {
        talk_send(&talk, body + i, 1);
        talk_settle(&talk);
    }
    expect_hash(body, sizeof body - 1);
    talk_say(&talk, "POST /_test/hash HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                    "5\r\nhello\r\n7\r\n, world\r\n0\r\n\r\n");
    expect_hash(body, sizeof body - 1);
    talk_say(&talk, "POST /_test/hash HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    expect_hash("", 0);
    talk_expect_idle(&talk);
}

static void a_pool_thread_answers_the_same(void **state)
{
    (void)state;
    talk_say(&talk, "POST /_test/pool-hash HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
    expect_hash("abc", 3);
    talk_expect_idle(&talk);
}

/* What is lost with a process looks like a leak where the process is the test's. */
#ifdef __SANITIZE_ADDRESS__
#define LOSES_NOTHING 1
#else
#define LOSES_NOTHING 0
#endif

static void a_job_that_died_with_its_worker_is_done_again(void **state)
{
    (void)state;
    if (!ARENA_SHARED || LOSES_NOTHING)
        skip();
    talk_say(&talk, "POST /_test/pool-hash HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
    while (talk_step(&talk) != EXCHANGE_HANDLE && !talk.length)
        (void)rig_turn(&talk.rig, 0);
    talk_revive(&talk, -1);
    expect_hash("abc", 3);
    talk_expect_idle(&talk);
}

static void what_is_no_hook_is_not_found(void **state)
{
    (void)state;
    talk_say(&talk, "GET /_test/crush HTTP/1.1\r\nHost: a\r\n\r\n");
    talk_expect(&talk, 404, NULL);
    talk_say(&talk, "GET /_test/ HTTP/1.1\r\nHost: a\r\n\r\n");
    talk_expect(&talk, 404, NULL);
}

/* The worker is a process of its own here: how did it end? */
static int status_of(const char *target)
{
    int status;
    pid_t pid;

    talk_say(&talk, "GET ");
    talk_say(&talk, target);
    talk_say(&talk, " HTTP/1.1\r\nHost: a\r\n\r\n");
    pid = fork();
    if (!pid) {
        static const int faults[] = {SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL};

        for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
            (void)signal(faults[i],
                         SIG_DFL); /* cmocka's or a sanitizer's handler would say that a test failed */
        (void)alarm(1);            /* for those that never end */
        for (;;)
            (void)rig_turn(&talk.rig, 100);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void each_crash_is_of_its_kind(void **state)
{
    static const struct {
        const char *target;
        int signal;
    } crashes[] = {{"/_test/crash", SIGSEGV},
                   {"/_test/crash?how=segv", SIGSEGV},
                   {"/_test/crash?how=abort", SIGABRT},
                   {"/_test/crash?how=bus", SIGBUS},
                   {"/_test/hang", SIGALRM},
                   {"/_test/loop", SIGALRM}};
    (void)state;

    for (size_t i = 0; i < sizeof crashes / sizeof *crashes; i++) {
        const int status = status_of(crashes[i].target);

        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), crashes[i].signal);
        talk_close(&talk); /* the request that crashed lies there still */
        assert_int_equal(setup(NULL), 0);
    }
}

static void an_end_may_be_no_signal(void **state)
{
    const int status = status_of("/_test/crash?how=exit");
    (void)state;

    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 3);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(the_hash_is_of_every_byte_however_it_comes),
        CASE(a_pool_thread_answers_the_same),
        CASE(a_job_that_died_with_its_worker_is_done_again),
        CASE(what_is_no_hook_is_not_found),
        CASE(each_crash_is_of_its_kind),
        CASE(an_end_may_be_no_signal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
