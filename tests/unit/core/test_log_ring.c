/* Lines from the ring to a file: each once, also after a death at any point. */
#include "core/log_ring.h"

#include "base/fd.h"
#include "unit.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct arena arena;
static char path[] = "/tmp/holdfast-log-XXXXXX";
static uint64_t made;

static struct arena_log *log_0(void)
{
    return &arena.core->logs[0];
}

static int open_log(void)
{
    return open(path, O_RDWR | O_APPEND | O_CLOEXEC);
}

static int setup(void **state)
{
    int fd;
    (void)state;

    strcpy(path + strlen(path) - 6, "XXXXXX");
    fd = mkstemp(path);
    close(fd);
    if (arena_create(&arena, 0, 1, 256) || arena_record_reserve(&arena, 0) || arena_log_reserve(&arena, 0))
        return -1;
    log_0()->is_usable = 1;
    log_0()->fd = open_log();
    made = 0;
    return log_0()->fd < 0;
}

static int teardown(void **state)
{
    (void)state;
    close(log_0()->fd);
    unlink(path);
    arena_close(&arena);
    return 0;
}

/* "0\n", "1\n", …, with some length. */
static int put_line(void)
{
    struct record *record = arena_record(&arena, 0);
    char line[128];
    int length = snprintf(
        line, sizeof line, "%llu %.*s\n", (unsigned long long)made, (int)(made % 90),
        "------------------------------------------------------------------------------------------");
    int result;

    redo_begin(&arena);
    (void)record_begin(record);
    result = log_ring_put(&arena, 0, (struct slice){line, (size_t)length});
    redo_commit(&arena, record);
    made += result == 0;
    return result;
}

static void put_lines(unsigned count)
{
    while (count--)
        assert_int_equal(put_line(), 0);
}

/* Every line from 0 on, once, in their order, whole. */
static void assert_lines(uint64_t expected)
{
    FILE *file = fopen(path, "r");
    char line[256];
    uint64_t count = 0;

    assert_non_null(file);
    while (fgets(line, sizeof line, file)) {
        assert_int_equal(strtoull(line, NULL, 10), count);
        assert_int_equal(line[strlen(line) - 1], '\n');
        count++;
    }
    fclose(file);
    assert_int_equal(count, expected);
}

static void what_is_committed_gets_written_in_its_order(void **state)
{
    (void)state;
    assert_int_equal(log_ring_write(&arena, 0, NULL), 0);
    put_lines(100);
    assert_lines(0);
    assert_int_equal(log_ring_write(&arena, 0, NULL), 0);
    assert_lines(100);
    put_lines(100);
    assert_int_equal(log_ring_write(&arena, 0, NULL), 0);
    assert_int_equal(log_ring_waiting(&arena, 0), 0);
    assert_lines(200);
}

static void a_line_whose_event_has_not_happened_is_not_there(void **state)
{
    (void)state;
    redo_begin(&arena);
    assert_int_equal(log_ring_put(&arena, 0, SLICE_LITERAL("never\n")), 0);
    redo_begin(&arena);
    put_lines(1);
    assert_int_equal(log_ring_write(&arena, 0, NULL), 0);
    assert_lines(1);
}

static void the_ring_goes_round_many_times(void **state)
{
    (void)state;
    for (int round = 0; round < 300; round++) {
        put_lines(200);
        assert_int_equal(log_ring_write(&arena, 0, NULL), 0);
    }
    assert_true(log_0()->made > 2 * ARENA_LOG_SIZE);
    assert_lines(60000);
}

static void a_full_ring_loses_lines_and_counts_them(void **state)
{
    unsigned lost = 0;
    (void)state;

    while (put_line() == 0)
        ;
    lost = 1;
    while (lost < 10 && put_line() == ERR_NO_SPACE)
        lost++;
    assert_int_equal(log_0()->lost, 10);
    assert_true(ARENA_LOG_SIZE - log_ring_waiting(&arena, 0) < 128);
    assert_int_equal(log_ring_write(&arena, 0, NULL), 0);
    put_lines(1);
    assert_int_equal(log_ring_write(&arena, 0, NULL), 0);
    assert_lines(made);
}

static void somebody_elses_lock_is_waited_for(void **state)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int other = open_log();
    (void)state;

    assert_int_equal(fcntl(other, F_OFD_SETLK, &lock), 0);
    put_lines(3);
    assert_int_equal(log_ring_write(&arena, 0, NULL), ERR_AGAIN);
    assert_lines(0);
    close(other);
    assert_int_equal(log_ring_write(&arena, 0, NULL), 0);
    assert_lines(3);
}

/* EBADF stands for what a file system without locks says. */
static void a_lock_that_fails_is_an_error_and_not_somebody_elses(void **state)
{
    const int writable = log_0()->fd;
    (void)state;

    log_0()->fd = open(path, O_RDONLY | O_CLOEXEC);
    put_lines(3);
    assert_int_equal(log_ring_write(&arena, 0, NULL), ERR_INVALID);
    close(log_0()->fd);
    log_0()->fd = writable;
    assert_int_equal(log_ring_write(&arena, 0, NULL), 0);
    assert_lines(3);
}

/* A writer that died: `written` bytes of its batch are in the file. */
static void die_after(size_t written)
{
    struct arena_log *log = log_0();
    const off_t size = lseek(log->fd, 0, SEEK_END);

    log->file_size = (uint64_t)size;
    log->written_before = log->written;
    log->length = log_ring_waiting(&arena, 0);
    assert_int_equal(
        fd_write_all(log->fd, arena_log_ring(&arena, 0) + log->written % ARENA_LOG_SIZE, written), 0);
    log_ring_settle(&arena, 0);
    if (!log_ring_is_busy(&arena, 0))
        assert_int_equal(log->length, 0);
}

static void a_death_before_the_write_writes_it_again(void **state)
{
    (void)state;
    put_lines(20);
    die_after(0);
    assert_int_equal(log_ring_write(&arena, 0, NULL), 0);
    assert_lines(20);
}

/* A worker that became keeper has left a thread behind in its write: nobody touches what it has. */
static void who_is_left_behind_in_a_write_is_waited_for(void **state)
{
    const pid_t writers[] = {getpid(), 1};
    (void)state;

    arena.page->keeper_pid = writers[1];
    for (size_t i = 0; i < 2; i++) {
        size_t length;

        put_lines(20);
        length = log_ring_waiting(&arena, 0);
        log_0()->writer = writers[i];
        die_after(0); /* looks as if nothing was written, and the write goes on */
        assert_int_equal(log_0()->length, length);
        assert_int_equal(log_ring_write(&arena, 0, NULL), ERR_BUSY);
        assert_int_equal(fd_write_all(log_0()->fd, arena_log_ring(&arena, 0) + log_0()->written, length), 0);
        log_0()->writer = 0;
        put_lines(1);
        assert_int_equal(log_ring_write(&arena, 0, NULL), 0);
        assert_lines(made);
    }
}

static void a_death_behind_the_write_does_not_write_it_again(void **state)
{
    (void)state;
    put_lines(20);
    die_after(log_ring_waiting(&arena, 0));
    assert_int_equal(log_ring_waiting(&arena, 0), 0);
    assert_lines(20);
}

static void a_death_in_the_middle_of_a_write_cuts_to_whole_lines_and_goes_on(void **state)
{
    size_t length;
    (void)state;

    for (size_t part = 1; part < 60; part += 7) {
        put_lines(20);
        length = log_ring_waiting(&arena, 0);
        die_after(part < length ? part : length);
        assert_int_equal(log_ring_write(&arena, 0, NULL), 0);
        assert_lines(made);
    }
}

static void a_death_behind_the_move_changes_nothing(void **state)
{
    (void)state;
    put_lines(20);
    assert_int_equal(log_ring_write(&arena, 0, NULL), 0);
    log_0()->length = log_0()->written - log_0()->written_before; /* the note was not forgotten yet */
    log_ring_settle(&arena, 0);
    assert_int_equal(log_ring_waiting(&arena, 0), 0);
    assert_lines(20);
}

/* The real thing: a process that does nothing else is killed at any time, and its descriptors stay. */
static void a_writer_may_be_killed_at_any_time(void **state)
{
    (void)state;
    if (!ARENA_SHARED)
        skip();
    for (int round = 0; round < 60; round++) {
        const uint64_t before = log_0()->written;
        pid_t pid = fork();

        if (pid == 0)
            for (;; made++) {
                char line[64];
                int length =
                    snprintf(line, sizeof line, "%llu x\n", (unsigned long long)arena.page->counters[0]);

                redo_begin(&arena);
                (void)record_begin(arena_record(&arena, 0));
                if (!log_ring_put(&arena, 0, (struct slice){line, (size_t)length}))
                    redo_add(&arena, &arena.page->counters[0], 1);
                redo_commit(&arena, arena_record(&arena, 0));
                if (made % 16 == 0)
                    (void)!log_ring_write(&arena, 0, NULL);
            }
        while (log_0()->written < before + 2000)
            ;
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        (void)redo_settle(&arena);
        log_ring_settle(&arena, 0);
    }
    assert_int_equal(log_ring_write(&arena, 0, NULL), 0);
    assert_int_equal(log_0()->lost, 0);
    assert_lines(arena.page->counters[0]);
}

static void a_pipe_gets_whole_lines_as_far_as_it_has_room(void **state)
{
    int pipe_fd[2];
    char bytes[65536];
    ssize_t count;
    (void)state;

    assert_int_equal(pipe2(pipe_fd, O_NONBLOCK | O_CLOEXEC), 0);
    close(log_0()->fd);
    log_0()->fd = pipe_fd[1];
    put_lines(3000);
    assert_int_equal(log_ring_write(&arena, 0, NULL), ERR_AGAIN);
    count = read(pipe_fd[0], bytes, sizeof bytes);
    assert_true(count > 0 && bytes[count - 1] == '\n');
    while (log_ring_write(&arena, 0, NULL) == ERR_AGAIN)
        assert_true(read(pipe_fd[0], bytes, sizeof bytes) > 0);
    assert_int_equal(log_ring_waiting(&arena, 0), 0);
    close(pipe_fd[0]);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(what_is_committed_gets_written_in_its_order),
        CASE(a_line_whose_event_has_not_happened_is_not_there),
        CASE(the_ring_goes_round_many_times),
        CASE(a_full_ring_loses_lines_and_counts_them),
        CASE(somebody_elses_lock_is_waited_for),
        CASE(a_lock_that_fails_is_an_error_and_not_somebody_elses),
        CASE(a_death_before_the_write_writes_it_again),
        CASE(who_is_left_behind_in_a_write_is_waited_for),
        CASE(a_death_behind_the_write_does_not_write_it_again),
        CASE(a_death_in_the_middle_of_a_write_cuts_to_whole_lines_and_goes_on),
        CASE(a_death_behind_the_move_changes_nothing),
        CASE(a_writer_may_be_killed_at_any_time),
        CASE(a_pipe_gets_whole_lines_as_far_as_it_has_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
