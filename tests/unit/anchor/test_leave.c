/* The end of the anchor: whatever was started is gone, and nobody else's pid file. Each end is that of a process of its own,
 * which is subreaper as the anchor is. */
#include "anchor/anchor.h"

#include "base/fd.h"
#include "base/log.h"
#include "unit.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct anchor anchor;
static char path[64];
static int lives[2]; /* a pipe: it ends when nobody lives any more who has its other end */

static void be_anchor(void)
{
    log_set_level(LOG_ERROR);
    close(lives[0]);
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    anchor = (struct anchor){.pid_fd = -1, .ready_fd = -1};
    for (unsigned i = 0; i < ANCHOR_MASTERS; i++)
        anchor.masters[i].link = -1;
    if (signals_init(&anchor.signals))
        _exit(99);
}

/* A process that no polite signal ends, with a child of its own that is the same. */
static pid_t start_stubborn(unsigned depth)
{
    const pid_t pid = fork();
    sigset_t all;

    if (pid)
        return pid;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    if (depth)
        (void)start_stubborn(depth - 1);
    for (;;)
        pause();
}

/* Runs it as an anchor; what it exits with. All that it started is gone then. */
static int run(void (*end)(void))
{
    char byte;
    int status;
    pid_t pid;

    assert_int_equal(pipe2(lives, O_CLOEXEC), 0);
    pid = fork();
    if (!pid) {
        be_anchor();
        end();
        _exit(0);
    }
    close(lives[1]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(read(lives[0], &byte, 1), 0);
    close(lives[0]);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int has_children(void)
{
    siginfo_t info;

    return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

static void leave_with_many(void)
{
    for (int i = 0; i < 20; i++)
        (void)start_stubborn(3);
    anchor_leave(&anchor);
    if (has_children())
        _exit(1);
}

static void children_and_theirs_are_killed_and_reaped(void **state)
{
    (void)state;
    assert_int_equal(run(leave_with_many), 0);
}

static void leave_with_nobody(void)
{
    anchor_leave(&anchor);
}

static void without_children_it_leaves_at_once(void **state)
{
    (void)state;
    assert_int_equal(run(leave_with_nobody), 0);
}

static int said[2];

static void leave_while_a_master_ends(void)
{
    struct master *master = &anchor.masters[0];
    char word[6] = "";

    if (pipe2(said, O_CLOEXEC))
        _exit(99);
    master->pid = fork();
    if (!master->pid) {
        usleep(50000);
        _exit(write(said[1], "last", 4) != 4);
    }
    anchor_leave(&anchor);
    if (master->pid || has_children())
        _exit(1);
    close(said[1]);
    if (read(said[0], word, 5) != 4)
        _exit(2);
}

static void the_master_in_command_may_say_its_last_words(void **state)
{
    (void)state;
    assert_int_equal(run(leave_while_a_master_ends), 0);
}

static void leave_with_a_doomed_master(void)
{
    anchor.masters[0].pid = start_stubborn(0);
    anchor.masters[0].doomed = 1;
    anchor_leave(&anchor);
    _exit(anchor.masters[0].pid != 0);
}

static void a_doomed_master_is_not_waited_for(void **state)
{
    (void)state;
    assert_int_equal(run(leave_with_a_doomed_master), 0);
}

/* --- the pid file --- */

static void make_pid_file(void)
{
    anchor.pid_path = path;
    anchor.pid_fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
}

static void leave_with_pid_file(void)
{
    make_pid_file();
    anchor_leave(&anchor);
    _exit(anchor.pid_fd != -1);
}

static void leave_with_anothers_pid_file(void)
{
    char aside[80];
    int other;

    make_pid_file();
    snprintf(aside, sizeof aside, "%s.new", path);
    other = open(aside, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (other < 0 || rename(aside, path))
        _exit(99);
    anchor_leave(&anchor);
}

static void leave_with_a_link_for_a_pid_file(void)
{
    char aside[80];

    snprintf(aside, sizeof aside, "%s.real", path);
    make_pid_file();
    if (rename(path, aside) || symlink(aside, path))
        _exit(99);
    anchor_leave(&anchor);
}

static void the_pid_file_goes(void **state)
{
    (void)state;
    assert_int_equal(run(leave_with_pid_file), 0);
    assert_int_equal(access(path, F_OK), -1);
}

static void a_pid_file_that_another_has_put_there_stays(void **state)
{
    (void)state;
    assert_int_equal(run(leave_with_anothers_pid_file), 0);
    assert_int_equal(unlink(path), 0);
}

static void a_symbolic_link_in_its_place_is_not_ours(void **state)
{
    char aside[80];
    (void)state;

    assert_int_equal(run(leave_with_a_link_for_a_pid_file), 0);
    assert_int_equal(unlink(path), 0);
    snprintf(aside, sizeof aside, "%s.real", path);
    assert_int_equal(unlink(aside), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(children_and_theirs_are_killed_and_reaped),
        cmocka_unit_test(without_children_it_leaves_at_once),
        cmocka_unit_test(the_master_in_command_may_say_its_last_words),
        cmocka_unit_test(a_doomed_master_is_not_waited_for),
        cmocka_unit_test(the_pid_file_goes),
        cmocka_unit_test(a_pid_file_that_another_has_put_there_stays),
        cmocka_unit_test(a_symbolic_link_in_its_place_is_not_ours),
    };

    snprintf(path, sizeof path, "/tmp/holdfast-leave-%d.pid", (int)getpid());
    return cmocka_run_group_tests(tests, NULL, NULL);
}
