/* When the logs of a worker are written, and what happens when they cannot be. */
#include "core/log_writer.h"

#include "base/fd.h"
#include "base/log.h"
#include "core/log_ring.h"
#include "core/worker.h"
#include "unit.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECOND_NS 1000000000ULL

static struct worker worker;
static struct core_settings settings;
static char folder[64];

static struct arena_log *log_0(void)
{
    return &worker.arena.core->logs[0];
}

static int setup(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/holdfast-logs-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    settings = (struct core_settings){.log_count = 1, .threads = 1};
    snprintf(settings.logs[0], sizeof settings.logs[0], "%s/a/log", folder);
    worker = (struct worker){.settings = &settings, .now_ns = SECOND_NS};
    if (arena_create(&worker.arena, 0, 1, 256) || arena_record_reserve(&worker.arena, 0))
        return -1;
    worker.arena.core->wakeup_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    log_init(-1, "test");
    return pool_init(&worker.pool, 1, worker.arena.core->wakeup_fd);
}

static void make_folder(void)
{
    char path[80];

    snprintf(path, sizeof path, "%s/a", folder);
    assert_int_equal(mkdir(path, 0700), 0);
}

static int teardown(void **state)
{
    char path[80];
    int fd = log_0()->fd, wakeup_fd = worker.arena.core->wakeup_fd;
    (void)state;

    (void)pool_stop(&worker.pool);
    fd_close(&fd);
    fd_close(&wakeup_fd);
    arena_close(&worker.arena);
    (void)unlink(settings.logs[0]);
    snprintf(path, sizeof path, "%s/a", folder);
    (void)rmdir(path);
    return rmdir(folder);
}

static void put_line(void)
{
    struct record *record = arena_record(&worker.arena, 0);

    redo_begin(&worker.arena);
    (void)record_begin(record);
    assert_int_equal(log_ring_put(&worker.arena, 0, SLICE_LITERAL("line\n")), 0);
    redo_commit(&worker.arena, record);
}

/* The job that was begun has run; the loop does not know it yet. */
static void await_job(void)
{
    struct pollfd wait = {.fd = worker.arena.core->wakeup_fd, .events = POLLIN};

    assert_true(worker.logs.is_writing);
    assert_int_equal(poll(&wait, 1, 10000), 1);
}

static off_t file_size(void)
{
    struct stat status;

    return stat(settings.logs[0], &status) ? -1 : status.st_size;
}

#define GATHER_NS (SECOND_NS / 10)

static void lines_are_gathered_for_a_tenth_of_a_second_also_those_that_come_during_a_write(void **state)
{
    unsigned which;
    (void)state;

    make_folder();
    assert_int_equal(log_writer_start(&worker, &which), 0);
    put_line();
    log_writer_turn(&worker);
    assert_false(worker.logs.is_writing);
    assert_int_equal(log_writer_due_ns(&worker), worker.now_ns + GATHER_NS);
    worker.now_ns += GATHER_NS;
    log_writer_turn(&worker);
    await_job();
    put_line();
    pool_finish(&worker.pool);
    assert_int_equal(file_size(), 5);
    assert_int_equal(log_writer_due_ns(&worker), worker.now_ns + GATHER_NS);
    worker.now_ns += GATHER_NS;
    log_writer_turn(&worker);
    await_job();
    pool_finish(&worker.pool);
    assert_int_equal(file_size(), 10);
    assert_int_equal(log_writer_due_ns(&worker), UINT64_MAX);
}

static void a_log_that_cannot_be_opened_stops_a_server_that_begins(void **state)
{
    unsigned which = 7;
    (void)state;

    assert_int_equal(log_writer_start(&worker, &which), ERR_NOT_FOUND);
    assert_int_equal(which, 0);
}

static void a_log_that_cannot_be_opened_stops_nothing_once_the_server_has_served(void **state)
{
    unsigned which;
    (void)state;

    worker.arena.core->has_served = 1;
    assert_int_equal(log_writer_start(&worker, &which), 0);
    for (int turn = 0; turn < 3; turn++) {
        if (turn == 2)
            make_folder();
        put_line();
        log_writer_turn(&worker);
        worker.now_ns += SECOND_NS;
        log_writer_turn(&worker);
        await_job();
        pool_finish(&worker.pool);
    }
    assert_int_equal(file_size(), 15);
    assert_int_equal(log_0()->lost, 0);
    assert_true(worker.arena.core->highest_fd >= (uint32_t)log_0()->fd);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(lines_are_gathered_for_a_tenth_of_a_second_also_those_that_come_during_a_write),
        CASE(a_log_that_cannot_be_opened_stops_a_server_that_begins),
        CASE(a_log_that_cannot_be_opened_stops_nothing_once_the_server_has_served),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
