#include "base/log.h"

#include "unit.h"

#include <errno.h>
#include <regex.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* A datagram socket shows each write(2) by itself. */
static int reader, writer;

static int open_log(void **state)
{
    int ends[2];

    (void)state;
    if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
        return -1;
    reader = ends[0];
    writer = ends[1];
    log_init(writer, "tester");
    log_set_level(LOG_DEBUG);
    return 0;
}

static int close_log(void **state)
{
    (void)state;
    log_init(STDERR_FILENO, "tester");
    close(reader);
    close(writer);
    return 0;
}

/* The next line, or NULL when nothing was written. */
static const char *next_line(size_t *length)
{
    static char line[4096];
    ssize_t got = recv(reader, line, sizeof(line) - 1, 0);

    if (got < 0)
        return NULL;
    line[got] = '\0';
    *length = (size_t)got;
    return line;
}

static void a_line_has_time_level_role_pid_event_and_values(void **state)
{
    size_t length = 0;
    regex_t expected;
    char pattern[256];

    (void)state;
    log_event(LOG_WARN, LOG_EV_WORKER_DIED, "slot=%d cause=\"%s\"", 3, "signal 9 (SIGKILL)");
    snprintf(
        pattern, sizeof(pattern),
        "^20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-9:]{8}[.][0-9]{6}Z warn tester pid=%d event=worker_died slot=3 "
        "cause=\"signal 9 [(]SIGKILL[)]\"\n$",
        (int)getpid());
    assert_int_equal(regcomp(&expected, pattern, REG_EXTENDED | REG_NOSUB), 0);
    const char *line = next_line(&length);
    assert_non_null(line);
    assert_int_equal(regexec(&expected, line, 0, NULL, 0), 0);
    regfree(&expected);
    assert_null(next_line(&length));
}

static void the_pid_is_that_of_the_process_that_writes(void **state)
{
    size_t length = 0;
    int status;
    char expected[32];

    (void)state;
    pid_t child = fork();
    if (child == 0) {
        log_event(LOG_INFO, LOG_EV_READY, "%s", "");
        _exit(0);
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    snprintf(expected, sizeof(expected), "pid=%d ", (int)child);
    const char *line = next_line(&length);
    assert_non_null(line);
    assert_non_null(strstr(line, expected));
    assert_non_null(strstr(line, "event=ready\n"));
}

static void nothing_a_peer_says_can_forge_a_line(void **state)
{
    size_t length = 0;

    (void)state;
    log_event(LOG_INFO, LOG_EV_DIAGNOSTIC, "path=\"%s\"", "a\nb\rc\x1b[2Jd\x7f\xc2\x9b\xc3\xbc");
    const char *line = next_line(&length);
    assert_non_null(strstr(line, "path=\"a?b?c?[2Jd?\xc2?\xc3\xbc\"\n"));
    assert_ptr_equal(strchr(line, '\n'), line + length - 1);
}

static void a_long_line_is_cut_at_1024_bytes_and_still_ends(void **state)
{
    char value[2000];
    size_t length = 0;

    (void)state;
    memset(value, 'x', sizeof(value));
    for (int width = 900; width < 1100; width++) {
        log_event(LOG_INFO, LOG_EV_DIAGNOSTIC, "%.*s", width, value);
        const char *line = next_line(&length);
        assert_true(length <= 1024);
        assert_int_equal(line[length - 1], '\n');
        assert_int_equal(strlen(line), length);
        if (width > 1000)
            assert_int_equal(length, 1024);
    }
}

static void what_is_below_the_level_is_not_written(void **state)
{
    size_t length = 0;

    (void)state;
    log_set_level(LOG_WARN);
    log_event(LOG_INFO, LOG_EV_READY, "slot=%d", 1);
    assert_null(next_line(&length));
    log_event(LOG_WARN, LOG_EV_READY, "slot=%d", 2);
    assert_non_null(next_line(&length));
}

static void a_log_that_cannot_be_written_changes_nothing(void **state)
{
    (void)state;
    log_init(-1, "tester");
    errno = EILSEQ;
    log_event(LOG_ERROR, LOG_EV_READY, "slot=%d", 1);
    assert_int_equal(errno, EILSEQ);
    assert_int_equal(log_fd(), -1);
}

static void every_event_has_a_name_of_its_own(void **state)
{
    static const enum log_event all[] = {
#define EVENT(name, text, meaning) LOG_EV_##name,
        LOG_EVENT_TABLE(EVENT)
#undef EVENT
    };

    (void)state;
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        assert_string_not_equal(log_event_name(all[i]), "unknown");
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(log_event_name(all[i]), log_event_name(all[j]));
    }
    assert_string_equal(log_event_name(LOG_EV_CRASH_LOOP), "crash_loop");
    assert_string_equal(log_event_name((enum log_event)9999), "unknown");
}

int main(void)
{
#define WITH_LOG(function) cmocka_unit_test_setup_teardown(function, open_log, close_log)
    const struct CMUnitTest tests[] = {
        WITH_LOG(a_line_has_time_level_role_pid_event_and_values),
        WITH_LOG(the_pid_is_that_of_the_process_that_writes),
        WITH_LOG(nothing_a_peer_says_can_forge_a_line),
        WITH_LOG(a_long_line_is_cut_at_1024_bytes_and_still_ends),
        WITH_LOG(what_is_below_the_level_is_not_written),
        WITH_LOG(a_log_that_cannot_be_written_changes_nothing),
        cmocka_unit_test(every_event_has_a_name_of_its_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
