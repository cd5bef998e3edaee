/* launch_start runs this very program again, in a role: as such it looks at what it was given and answers with its
 * exit code. It is a sibling of who launches it, so a process in between does that. */
#include "core/launch.h"

#include "unit.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define SOUND 55

static _Atomic int32_t *pid_word;

/* --- the launched role --- */

static int count_descriptors(void)
{
    int count = 0;

    for (int fd = 0; fd < 1024; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static int signals_are_default(void)
{
    sigset_t blocked;
    struct sigaction action;

    sigprocmask(SIG_SETMASK, NULL, &blocked);
    return !sigaction(SIGUSR1, NULL, &action) && action.sa_handler == SIG_DFL &&
           !sigismember(&blocked, SIGTERM);
}

/* Descriptors 3 and 4 are the two ends of a pair, crossed on the way; the first says how to judge. */
static int launched(char **arguments)
{
    char byte = 0;

    if (strcmp(arguments[2], "argument") || count_descriptors() != 5)
        return 1;
    if (write(3, "x", 1) != 1 || read(4, &byte, 1) != 1 || byte != 'x')
        return 2;
    if (!signals_are_default() || getsid(0) != getpid())
        return 3;
    if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != !strcmp(arguments[3], "dropped"))
        return 4;
    return getuid() == (uid_t)atoi(arguments[4]) && getgid() == getuid() ? SOUND : 5;
}

/* --- who launches --- */

/* Both in each other's place, as a master may happen to hold them. */
static void crossed_pair(struct launch *launch)
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) || dup3(pair[0], 104, O_CLOEXEC) != 104 ||
        dup3(pair[1], 103, O_CLOEXEC) != 103 || dup3(104, 4, O_CLOEXEC) != 4 || dup3(103, 3, O_CLOEXEC) != 3)
        _exit(1);
    launch_add_fd(launch, 4, 3);
    launch_add_fd(launch, 3, 4);
}

_Noreturn static void launch_and_leave(const struct core_settings *drop_to, const char *uid)
{
    static char program[] = "holdfast", role[] = "role", argument[] = "argument", number[16];
    static char dropped[] = "dropped", kept[] = "kept";
    char *arguments[] = {program, role, argument, drop_to ? dropped : kept, number, NULL};
    struct launch launch = {.arguments = arguments, .drop_to = drop_to, .own_session = 1};
    sigset_t all;

    strcpy(number, uid);
    /* What this test was itself started with stays behind, like everything of a master. */
    if (close_range(3, ~0U, CLOSE_RANGE_CLOEXEC))
        _exit(3);
    crossed_pair(&launch);
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    (void)signal(SIGUSR1, SIG_IGN);
    _exit(launch_start(&launch, pid_word) ? 2 : 0);
}

static int exit_code_of(pid_t pid)
{
    int status = -1;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static int code_of_launched(const struct core_settings *drop_to, const char *uid)
{
    pid_t pid = fork();

    if (pid == 0)
        launch_and_leave(drop_to, uid);
    assert_int_equal(exit_code_of(pid), 0);
    assert_true(*pid_word > 0);
    return exit_code_of(*pid_word);
}

static void text_of_uid(uid_t uid, char out[16])
{
    snprintf(out, 16, "%u", uid);
}

static void a_role_gets_its_descriptors_in_place_and_nothing_else(void **state)
{
    char uid[16];
    (void)state;

    text_of_uid(getuid(), uid);
    assert_int_equal(code_of_launched(NULL, uid), SOUND);
}

static void a_role_can_be_given_less_than_its_maker_has(void **state)
{
    struct core_settings settings = {.uid = 65534, .gid = 65534};
    char uid[16];
    (void)state;

    text_of_uid(geteuid() == 0 ? 65534 : getuid(), uid);
    assert_int_equal(code_of_launched(&settings, uid), SOUND);
}

static void a_role_that_cannot_be_given_its_descriptors_says_so_by_its_exit(void **state)
{
    pid_t pid = fork();
    (void)state;

    if (pid == 0) {
        static char program[] = "holdfast", role[] = "role";
        char *arguments[] = {program, role, NULL};
        struct launch launch = {.arguments = arguments};

        log_set_level(LOG_ERROR + 1);
        launch_add_fd(&launch, 999, 3); /* there is none */
        _exit(launch_start(&launch, pid_word) ? 2 : 0);
    }
    assert_int_equal(exit_code_of(pid), 0);
    assert_int_equal(exit_code_of(*pid_word), 127);
}

int main(int count, char **arguments)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_role_gets_its_descriptors_in_place_and_nothing_else),
        cmocka_unit_test(a_role_can_be_given_less_than_its_maker_has),
        cmocka_unit_test(a_role_that_cannot_be_given_its_descriptors_says_so_by_its_exit),
    };

    if (count > 4 && !strcmp(arguments[1], "role"))
        return launched(arguments);
    pid_word = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
