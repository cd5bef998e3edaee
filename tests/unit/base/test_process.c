#include "base/process.h"

#include "unit.h"

#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static void a_cause_names_the_exit_code_or_the_signal(void **state)
{
    char text[PROCESS_CAUSE_SIZE];
    (void)state;
    process_cause_text(CLD_EXITED, 3, text, sizeof text);
    assert_string_equal(text, "exit 3");
    process_cause_text(CLD_KILLED, SIGKILL, text, sizeof text);
    assert_string_equal(text, "signal 9 (SIGKILL)");
    process_cause_text(CLD_DUMPED, SIGSEGV, text, sizeof text);
    assert_string_equal(text, "signal 11 (SIGSEGV, core dumped)");
    process_cause_text(CLD_KILLED, SIGRTMIN + 1, text, sizeof text);
    assert_non_null(strstr(text, "real-time"));
    process_cause_text(CLD_STOPPED, SIGSTOP, text, sizeof text);
    assert_non_null(strstr(text, "unknown"));
}

static void a_cause_is_cut_to_the_room_there_is(void **state)
{
    char text[8];
    (void)state;
    process_cause_text(CLD_KILLED, SIGKILL, text, sizeof text);
    assert_string_equal(text, "signal ");
}

static void the_state_is_read_past_a_name_with_brackets(void **state)
{
    int status;
    (void)state;
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_NAME, "a) Z (b");
        raise(SIGSTOP);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, WUNTRACED), child);
    assert_int_equal(process_state(child), 'T');
    assert_false(process_may_run(child));
    assert_int_equal(process_parent(child), getpid());
    siginfo_t info;
    kill(child, SIGKILL);
    assert_int_equal(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
    assert_int_equal(process_state(child), 'Z');
    assert_false(process_may_run(child));
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(process_state(child), 0);
    assert_false(process_may_run(child));
    assert_int_equal(process_parent(child), 0);
    assert_int_equal(process_state(getpid()), 'R');
    assert_true(process_may_run(getpid()));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cause_names_the_exit_code_or_the_signal),
        cmocka_unit_test(a_cause_is_cut_to_the_room_there_is),
        cmocka_unit_test(the_state_is_read_past_a_name_with_brackets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
