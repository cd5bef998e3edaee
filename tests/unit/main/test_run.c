/* What `holdfast run` does before it becomes the anchor: the pid file, and what stands in the way. Each run is a process of its
 * own, beside which there is no anchor, so it says so and ends. */
#include "main/run.h"

#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[64], pid_file[128], said[4096];

static int setup(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/holdfast-run-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(pid_file, sizeof pid_file, "%s/pid", folder);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    (void)unlink(pid_file);
    assert_int_equal(rmdir(folder), 0); /* nothing else is left in it */
    return 0;
}

static struct run_options text_options(void)
{
    return (struct run_options){.config_text = "site :1 {\n}\n", .config_name = "line", .pid_file = pid_file};
}

/* Its exit code; what it said is in `said`. */
static int run(const struct run_options *options)
{
    int ends[2], status;
    size_t length = 0;
    ssize_t count;
    pid_t pid;

    assert_int_equal(pipe(ends), 0);
    pid = fork();
    if (!pid) {
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        _exit(run_server(options));
    }
    close(ends[1]);
    while ((count = read(ends[0], said + length, sizeof said - 1 - length)) > 0)
        length += (size_t)count;
    said[length] = '\0';
    close(ends[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void assert_says(const char *text)
{
    if (!strstr(said, text))
        fail_msg("\"%s\" is not in: %s", text, said);
}

static void a_configuration_that_cannot_be_read_is_named(void **state)
{
    const struct run_options options = {.config_path = "/nowhere/holdfast.conf", .pid_file = pid_file};
    (void)state;

    assert_int_equal(run(&options), 1);
    assert_says("holdfast: /nowhere/holdfast.conf: No such file or directory\n  name the configuration with "
                "-c FILE\n");
    assert_int_equal(access(pid_file, F_OK), -1);
}

static void without_an_anchor_it_says_so_and_leaves_no_pid_file(void **state)
{
    const struct run_options options = text_options();
    (void)state;

    assert_int_equal(run(&options), 1);
    assert_says("holdfast-anchor");
    assert_says("make install");
    assert_int_equal(access(pid_file, F_OK), -1);
}

static void a_daemon_whose_server_never_is_ready_fails_for_who_waits(void **state)
{
    struct run_options options = text_options();
    (void)state;

    options.daemon = 1;
    assert_int_equal(run(&options), 1);
    assert_says("holdfast-anchor"); /* the reason first … */
    assert_says("the server did not become ready");
    assert_int_equal(access(pid_file, F_OK), -1);
}

static void a_server_that_runs_is_not_disturbed(void **state)
{
    const struct run_options options = text_options();
    char left[16] = "";
    int fd = open(pid_file, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    (void)state;

    assert_int_equal(write(fd, "12345\n", 6), 6);
    assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
    assert_int_equal(run(&options), 1);
    assert_says("another server runs (pid 12345)");
    assert_says("--pid-file");
    assert_int_equal(pread(fd, left, 15, 0), 6);
    assert_string_equal(left, "12345\n");
    assert_int_equal(access(pid_file, F_OK), 0);
    close(fd);
}

static void a_pid_file_that_a_dead_server_left_is_replaced(void **state)
{
    const struct run_options options = text_options();
    int fd = open(pid_file, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    (void)state;

    assert_int_equal(write(fd, "12345\n", 6), 6);
    close(fd);
    assert_int_equal(run(&options), 1); /* for want of an anchor alone */
    assert_says("holdfast-anchor");
    assert_null(strstr(said, "12345"));
}

static void a_pid_file_that_cannot_be_written_is_named(void **state)
{
    struct run_options options = text_options();
    (void)state;

    options.pid_file = "/nowhere/pid";
    assert_int_equal(run(&options), 1);
    assert_says("holdfast: /nowhere/pid: No such file or directory");
    options.pid_file = folder; /* a folder in its place */
    assert_int_equal(run(&options), 1);
    assert_says(folder);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_configuration_that_cannot_be_read_is_named),
        CASE(without_an_anchor_it_says_so_and_leaves_no_pid_file),
        CASE(a_daemon_whose_server_never_is_ready_fails_for_who_waits),
        CASE(a_server_that_runs_is_not_disturbed),
        CASE(a_pid_file_that_a_dead_server_left_is_replaced),
        CASE(a_pid_file_that_cannot_be_written_is_named),
    };

    if (!access(HOLDFAST_LIBEXECDIR "/holdfast-anchor", X_OK))
        return unit_skip_all("an anchor is installed, and would be started");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
