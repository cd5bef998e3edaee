/* Files that hold bodies on their way: when they are made, when they move to a disk, and what happens where there is no room. */
#include "handler/proxy/internal.h"

#include "base/fd.h"
#include "core/witness.h"
#include "rig.h"
#include "unit.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static struct rig rig;
static int fd;

static int setup(void **state)
{
    (void)state;
    (void)signal(SIGXFSZ, SIG_IGN);
    rig_open(&rig, &witness_class, AF_UNIX);
    fd = -1;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fd_close(&fd);
    rig_close(&rig);
    return 0;
}

static uint32_t reserve(uint64_t used, uint64_t memory, uint64_t file)
{
    return buffer_reserve(&rig.worker, &fd, used, (struct buffer_limits){memory, file});
}

static int is_memory(int file)
{
    return fcntl(file, F_GET_SEALS) >= 0 && !(fcntl(file, F_GET_SEALS) & F_SEAL_SEAL);
}

static void assert_holds(const char *bytes)
{
    char found[64] = "";

    assert_int_equal(pread(fd, found, strlen(bytes), 0), strlen(bytes));
    assert_string_equal(found, bytes);
}

static void a_file_is_made_when_it_is_needed_and_stays_the_same(void **state)
{
    int first;
    (void)state;

    assert_true(reserve(0, 100000, 0) >= ARENA_BLOCK_SIZE);
    assert_true(fd >= 0 && is_memory(fd));
    first = fd;
    assert_int_equal(buffer_write(fd, 0, SLICE_LITERAL("abc")), 0);
    assert_true(reserve(3, 100000, 0) >= ARENA_BLOCK_SIZE);
    assert_int_equal(fd, first);
    assert_int_equal(buffer_write(fd, 0, SLICE_LITERAL("abc")), 0); /* after a death: the same again */
    assert_int_equal(buffer_write(fd, 3, SLICE_LITERAL("def")), 0);
    assert_holds("abcdef");
}

static void no_more_is_given_than_the_limit_says(void **state)
{
    (void)state;
    assert_int_equal(reserve(0, 63, 0), 0); /* not worth a file */
    assert_int_equal(fd, -1);
    assert_int_equal(reserve(0, 1000, 0), 1000);
    assert_int_equal(reserve(900, 1000, 0), 100);
    assert_int_equal(reserve(937, 1000, 0), 0);
    assert_int_equal(reserve(1000, 1000, 0), 0);
}

static void what_is_too_large_for_memory_moves_to_a_disk_with_all_that_it_has(void **state)
{
    static char bytes[70000];
    char back[16];
    int memory;
    (void)state;

    memset(bytes, 'x', sizeof bytes);
    assert_true(reserve(0, 100000, 200000) > 0);
    memory = fd;
    assert_true(is_memory(fd));
    memcpy(bytes, "begin", 5);
    memcpy(bytes + sizeof bytes - 3, "end", 3);
    assert_int_equal(buffer_write(fd, 0, (struct slice){bytes, sizeof bytes}), 0);
    assert_int_equal(reserve(sizeof bytes, 100000, 200000), 30000); /* there is room in memory still */
    assert_int_equal(fd, memory);
    assert_true(reserve(sizeof bytes, 70050, 200000) > 0); /* and now there is none */
    assert_int_not_equal(fd, memory);
    assert_false(is_memory(fd));
    assert_holds("begin");
    assert_int_equal(pread(fd, back, 3, sizeof bytes - 3), 3);
    assert_memory_equal(back, "end", 3);
    assert_int_equal(reserve(190000, 100000, 200000), 10000);
    assert_int_equal(reserve(199990, 100000, 200000), 0);
    fd_close(&memory); /* was the caller's, until its commit */
}

static void without_memory_it_begins_on_the_disk(void **state)
{
    (void)state;
    assert_true(reserve(0, 0, 100000) > 0);
    assert_false(is_memory(fd));
}

/* A limit of file sizes stands for a disk that is full. */
static void without_space_nothing_is_held_and_the_former_file_stays(void **state)
{
    const struct rlimit none = {20000, RLIM_INFINITY}, all = {RLIM_INFINITY, RLIM_INFINITY};
    int former;
    (void)state;

    assert_true(reserve(0, 50000, 400000) > 0);
    assert_int_equal(buffer_write(fd, 0, SLICE_LITERAL("abc")), 0);
    former = fd;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
    assert_int_equal(reserve(49990, 50000, 400000), 0);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &all), 0);
    assert_int_equal(fd, former);
    assert_holds("abc");
    assert_true(reserve(49990, 50000, 400000) > 0); /* and when there is space, it moves */
    assert_int_not_equal(fd, former);
    assert_holds("abc");
    fd_close(&former);
}

static void the_last_descriptors_are_left_to_others(void **state)
{
    (void)state;
    rig.worker.files = RIG_RECORDS; /* as if as many were open */
    assert_int_equal(reserve(0, 100000, 0), 0);
    assert_int_equal(fd, -1);
    rig.worker.files = 0;
    assert_true(reserve(0, 100000, 0) > 0);
}

static void a_write_that_fails_says_so(void **state)
{
    int closed = -1, read_only = open("/dev/null", O_RDONLY | O_CLOEXEC);
    (void)state;

    assert_int_equal(buffer_write(closed, 0, SLICE_LITERAL("x")), ERR_IO);
    assert_int_equal(buffer_write(read_only, 0, SLICE_LITERAL("x")), ERR_IO);
    assert_int_equal(buffer_write(closed, 0, SLICE_LITERAL("")), 0);
    fd_close(&read_only);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_file_is_made_when_it_is_needed_and_stays_the_same),
        CASE(no_more_is_given_than_the_limit_says),
        CASE(what_is_too_large_for_memory_moves_to_a_disk_with_all_that_it_has),
        CASE(without_memory_it_begins_on_the_disk),
        CASE(without_space_nothing_is_held_and_the_former_file_stays),
        CASE(the_last_descriptors_are_left_to_others),
        CASE(a_write_that_fails_says_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
