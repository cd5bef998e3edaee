#include "handler/files/beneath.h"

#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* outside/secret and, beside it, root/ with a/b/file, links that stay and links that lead out. */
static char folder[64];
static int root;

static void make_file(int at, const char *path)
{
    int fd = openat(at, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, "x", 1), 1);
    close(fd);
}

static int setup(void **state)
{
    int at;
    (void)state;

    snprintf(folder, sizeof folder, "/tmp/holdfast-beneath-XXXXXX");
    assert_non_null(mkdtemp(folder));
    at = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(mkdirat(at, "outside", 0755), 0);
    make_file(at, "outside/secret");
    assert_int_equal(mkdirat(at, "root", 0755), 0);
    assert_int_equal(mkdirat(at, "root/a", 0755), 0);
    assert_int_equal(mkdirat(at, "root/a/b", 0755), 0);
    make_file(at, "root/a/b/file");
    make_file(at, "root/top");
    assert_int_equal(symlinkat("a/b", at, "root/inside"), 0);
    assert_int_equal(symlinkat("../../top", at, "root/a/b/up"), 0);
    assert_int_equal(symlinkat("inside/file", at, "root/twice"), 0);
    assert_int_equal(symlinkat("../outside", at, "root/out"), 0);
    assert_int_equal(symlinkat("/etc", at, "root/absolute"), 0);
    assert_int_equal(symlinkat("loop", at, "root/loop"), 0);
    assert_int_equal(symlinkat("..", at, "root/a/parent"), 0);
    assert_int_equal(symlinkat("nothing", at, "root/dangling"), 0);
    root = openat(at, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_true(root >= 0);
    close(at);
    return 0;
}

static int teardown(void **state)
{
    char command[128];
    (void)state;

    close(root);
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

struct expectation {
    const char *path;
    int number; /* 0: it is opened */
};

static const struct expectation expectations[] = {
    {"top", 0},
    {"a/b/file", 0},
    {"a//b/./file", 0},
    {"a/b/../b/file", 0},
    {"inside/file", 0},
    {"a/b/up", 0},
    {"twice", 0},
    {"a/parent/top", 0},
    {"a/parent/a/parent/inside/up", 0},
    {"", 0},
    {"a/", 0},
    {"inside/", 0},
    {"..", EXDEV},
    {"../outside/secret", EXDEV},
    {"a/../../outside/secret", EXDEV},
    {"a/parent/../outside/secret", EXDEV},
    {"out/secret", EXDEV},
    {"out", EXDEV},
    {"absolute/passwd", EXDEV},
    {"/etc/passwd", EXDEV},
    {"loop", ELOOP},
    {"loop/x", ELOOP},
    {"dangling", ENOENT},
    {"nothing", ENOENT},
    {"nothing/at/all", ENOENT},
    {"top/", ENOTDIR},
    {"top/x", ENOTDIR},
    {"twice/", ENOTDIR},
};

static void assert_opens(int (*open_it)(int, const char *, int), int flags)
{
    for (size_t i = 0; i < sizeof expectations / sizeof *expectations; i++) {
        int fd = open_it(root, expectations[i].path, flags), number = fd < 0 ? errno : 0;

        if (number != expectations[i].number)
            fail_msg("\"%s\": %s instead of %s", expectations[i].path, strerror(number),
                     strerror(expectations[i].number));
        if (fd >= 0)
            close(fd);
    }
}

static unsigned descriptors_open(void)
{
    unsigned count = 0;

    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static void the_system_call_leaves_the_folder_by_no_path(void **state)
{
    (void)state;
    assert_opens(beneath_open, O_RDONLY | O_NONBLOCK);
    assert_opens(beneath_open, O_PATH);
}

static void the_walk_answers_as_the_system_call_does(void **state)
{
    const unsigned before = descriptors_open();
    (void)state;

    assert_opens(beneath_walk, O_RDONLY | O_NONBLOCK);
    assert_opens(beneath_walk, O_PATH);
    assert_int_equal(descriptors_open(), before);
}

static void both_open_the_same_file(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof expectations / sizeof *expectations; i++) {
        struct stat by_call, by_walk;
        int call, walk;

        if (expectations[i].number)
            continue;
        call = beneath_open(root, expectations[i].path, O_PATH);
        walk = beneath_walk(root, expectations[i].path, O_PATH);
        assert_int_equal(fstat(call, &by_call), 0);
        assert_int_equal(fstat(walk, &by_walk), 0);
        assert_int_equal(by_call.st_ino, by_walk.st_ino);
        close(call);
        close(walk);
    }
}

static void a_path_that_is_too_long_is_refused(void **state)
{
    static char path[2 * BENEATH_PATH_MAX];
    (void)state;

    memset(path, 'x', sizeof path - 1);
    assert_int_equal(beneath_walk(root, path, O_PATH), -1);
    assert_int_equal(errno, ENAMETOOLONG);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(the_system_call_leaves_the_folder_by_no_path),
        CASE(the_walk_answers_as_the_system_call_does),
        CASE(both_open_the_same_file),
        CASE(a_path_that_is_too_long_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
