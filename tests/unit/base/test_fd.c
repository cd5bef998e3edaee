#include "base/fd.h"

#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void closing_forgets_the_number_and_keeps_errno(void **state)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int number = fd;

    (void)state;
    errno = EILSEQ;
    fd_close(&fd);
    assert_int_equal(errno, EILSEQ);
    assert_int_equal(fd, -1);
    assert_int_equal(fcntl(number, F_GETFD), -1);
    errno = EILSEQ;
    fd_close(&fd);
    assert_int_equal(errno, EILSEQ);
}

static void closing_on_exec_is_set_and_cleared(void **state)
{
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

    (void)state;
    assert_int_equal(fd_set_cloexec(fd, 0), 0);
    assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
    assert_int_equal(fd_set_cloexec(fd, 1), 0);
    assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    fd_close(&fd);
    assert_int_equal(fd_set_cloexec(-1, 1), ERR_INVALID);
}

/* More than a pipe holds, so that both sides are cut short many times. */
static void a_long_text_goes_through_a_pipe_whole(void **state)
{
    static char sent[300000], received[sizeof(sent) + 1];
    size_t length = 0;
    int ends[2], status;

    (void)state;
    for (size_t i = 0; i < sizeof(sent); i++)
        sent[i] = (char)(i * 31 + i / 251);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(ends[0]);
        _exit(fd_write_all(ends[1], sent, sizeof(sent)) == 0 ? 0 : 1);
    }
    fd_close(&ends[1]);
    assert_int_equal(fd_read_all(ends[0], received, sizeof(received), &length), 0);
    assert_int_equal(length, sizeof(sent));
    assert_memory_equal(sent, received, sizeof(sent));
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    fd_close(&ends[0]);
}

static void reading_stops_at_the_capacity(void **state)
{
    char bytes[4];
    size_t length = 99;
    int fd = fd_memfd("test", 0, 0);

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(fd_write_all(fd, "abcdef", 6), 0);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    assert_int_equal(fd_read_all(fd, bytes, sizeof(bytes), &length), 0);
    assert_int_equal(length, 4);
    assert_memory_equal(bytes, "abcd", 4);
    fd_close(&fd);
    assert_int_equal(fd_read_all(fd, bytes, sizeof(bytes), &length), ERR_INVALID);
    assert_int_equal(length, 0);
    assert_int_equal(fd_write_all(fd, "a", 1), ERR_INVALID);
}

static void a_memfd_has_its_size_and_closes_on_exec(void **state)
{
    struct stat status;
    int fd = fd_memfd("test", 12345, 0);

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &status), 0);
    assert_int_equal(status.st_size, 12345);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    fd_close(&fd);
    assert_int_equal(fd_memfd("test", SIZE_MAX, 0), ERR_INVALID);
}

static void a_sealed_copy_is_equal_and_cannot_be_changed(void **state)
{
    static char original[100000], copy[sizeof(original) + 1];
    size_t length;
    int source = fd_memfd("source", 0, 0);

    (void)state;
    for (size_t i = 0; i < sizeof(original); i++)
        original[i] = (char)(i * 7);
    assert_int_equal(fd_write_all(source, original, sizeof(original)), 0);
    int fd = fd_sealed_copy(source, "copy", 0);
    assert_true(fd >= 0);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    assert_int_equal(fd_read_all(fd, copy, sizeof(copy), &length), 0);
    assert_int_equal(length, sizeof(original));
    assert_memory_equal(original, copy, sizeof(original));
    assert_int_equal(pwrite(fd, "x", 1, 0), -1);
    assert_int_equal(ftruncate(fd, 1), -1);
    assert_int_equal(ftruncate(fd, 200000), -1);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE), -1);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    fd_close(&fd);
    fd_close(&source);
}

#ifndef HOLDFAST_PLAIN_FORK /* that build is for valgrind, which cannot follow into a memfd */
static void a_sealed_copy_of_a_program_runs(void **state)
{
    int status;
    int source = open("/bin/true", O_RDONLY | O_CLOEXEC);
    int fd = fd_sealed_copy(source, "program", 1);

    (void)state;
    assert_true(fd >= 0);
    pid_t child = fork();
    if (child == 0) {
        char *arguments[] = {(char[]){"true"}, NULL};
        fexecve(fd, arguments, environ);
        _exit(99);
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    fd_close(&fd);
    fd_close(&source);
}
#endif

static void only_regular_files_are_copied(void **state)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    (void)state;
    assert_int_equal(fd_sealed_copy(fd, "copy", 0), ERR_INVALID);
    fd_close(&fd);
    assert_int_equal(fd_sealed_copy(fd, "copy", 0), ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(closing_forgets_the_number_and_keeps_errno),
        cmocka_unit_test(closing_on_exec_is_set_and_cleared),
        cmocka_unit_test(a_long_text_goes_through_a_pipe_whole),
        cmocka_unit_test(reading_stops_at_the_capacity),
        cmocka_unit_test(a_memfd_has_its_size_and_closes_on_exec),
        cmocka_unit_test(a_sealed_copy_is_equal_and_cannot_be_changed),
#ifndef HOLDFAST_PLAIN_FORK
        cmocka_unit_test(a_sealed_copy_of_a_program_runs),
#endif
        cmocka_unit_test(only_regular_files_are_copied),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
