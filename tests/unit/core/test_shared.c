/* The memory that all workers share. */
#include "core/shared.h"

#include "base/fd.h"
#include "unit.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SIZE (64u * 4096u)

static void what_one_mapping_writes_the_other_one_reads(void **state)
{
    void *one, *other;
    int fd = shared_create(SIZE);
    (void)state;

    assert_true(fd >= 0);
    assert_int_equal(shared_map(fd, SIZE, &one), 0);
    assert_int_equal(shared_map(fd, SIZE, &other), 0);
    assert_int_equal(shared_reserve(fd, 4096, 4096), 0);
    assert_int_equal(((char *)other)[4096], 0);
    strcpy((char *)one + 4096, "seen");
    assert_string_equal((char *)other + 4096, "seen");
    shared_unmap(&one, SIZE);
    assert_null(one);
    shared_unmap(&other, SIZE);
    fd_close(&fd);
}

static void only_what_is_reserved_takes_memory(void **state)
{
    struct stat status;
    int fd = shared_create(SIZE);
    (void)state;

    assert_int_equal(fstat(fd, &status), 0);
    assert_int_equal(status.st_blocks, 0);
    assert_int_equal(shared_reserve(fd, 8192, 4096), 0);
    assert_int_equal(fstat(fd, &status), 0);
    assert_int_equal(status.st_blocks, 8);
    fd_close(&fd);
}

static void its_size_cannot_change(void **state)
{
    int fd = shared_create(SIZE);
    (void)state;

    assert_int_equal(ftruncate(fd, SIZE * 2), -1);
    assert_int_equal(ftruncate(fd, 0), -1);
    fd_close(&fd);
}

static void another_file_or_size_is_refused(void **state)
{
    void *memory;
    int fd = shared_create(SIZE), pipes[2];
    (void)state;

    assert_int_equal(shared_map(fd, SIZE / 2, &memory), ERR_INVALID);
    assert_null(memory);
    assert_int_equal(pipe(pipes), 0);
    assert_int_equal(shared_map(pipes[0], SIZE, &memory), ERR_INVALID);
    assert_int_equal(shared_map(-1, SIZE, &memory), ERR_INVALID);
    fd_close(&fd);
    fd_close(&pipes[0]);
    fd_close(&pipes[1]);
}

static void memory_of_one_process_needs_no_reservation(void **state)
{
    (void)state;
    assert_int_equal(shared_reserve(-1, 0, SIZE), 0);
}

#define TEST(name) cmocka_unit_test(name)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_one_mapping_writes_the_other_one_reads),
        TEST(only_what_is_reserved_takes_memory),
        TEST(its_size_cannot_change),
        TEST(another_file_or_size_is_refused),
        TEST(memory_of_one_process_needs_no_reservation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
