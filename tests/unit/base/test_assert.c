#include "base/assert.h"

#include "unit.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* Runs `MUST(value)` in a child. Returns its wait status; what it wrote to standard error goes to `said`. */
static int run_must(int value, char *said, size_t capacity)
{
    int ends[2];
    int status;
    size_t length = 0;
    ssize_t got;

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid_t child = fork();
    if (child == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        signal(SIGABRT, SIG_DFL);
        dup2(ends[1], STDERR_FILENO);
        MUST(value > 2);
        _exit(0);
    }
    assert_true(child > 0);
    close(ends[1]);
    while ((got = read(ends[0], said + length, capacity - 1 - length)) > 0)
        length += (size_t)got;
    said[length] = '\0';
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void a_condition_that_holds_costs_nothing(void **state)
{
    char said[1024];
    int status = run_must(3, said, sizeof(said));

    (void)state;
    assert_true(WIFEXITED(status));
    assert_string_equal(said, "");
}

static void a_broken_condition_names_itself_in_one_line_and_aborts(void **state)
{
    char said[1024];
    int status = run_must(2, said, sizeof(said));

    (void)state;
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
    assert_non_null(strstr(said, "test_assert.c:"));
    assert_non_null(strstr(said, ": this must hold and does not: value > 2\n"));
    assert_ptr_equal(strchr(said, '\n'), said + strlen(said) - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_condition_that_holds_costs_nothing),
        cmocka_unit_test(a_broken_condition_names_itself_in_one_line_and_aborts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
