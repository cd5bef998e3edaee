#include "core/log_writer.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "core/error_log.h"
#include "core/log_ring.h"
#include "core/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define GATHER_NS (100 * NS_PER_MS) /* lines wait so long for others, to be written with them */
#define LEAVE_PAUSE_NS (200 * 1000ULL)
#define AGAIN_NS (20 * NS_PER_MS)
#define TROUBLE_NS NS_PER_S
#define LEAVE_TRIES 50000 /* of LEAVE_PAUSE_NS: a write that was left behind */
#define TOLD_NS (10 * NS_PER_S)
#define FILE_MODE 0640

/* --- files --- */

static int open_file(const char *path)
{
    /* A pipe that nobody reads must not hold us up, neither here nor when it is full. */
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, FILE_MODE);

    return fd < 0 ? err_from_errno(errno) : fd;
}

/* A death before the number is noted leaves a stray. */
static int open_missing(struct worker *worker, unsigned number)
{
    struct arena_log *log = &worker->arena.core->logs[number];
    const uint32_t reopen_number = worker->arena.page->log_epoch;
    int fd = open_file(worker->settings->logs[number]);

    if (fd < 0)
        return fd;
    log->reopened = reopen_number;
    log->fd = fd;
    return 0;
}

static int start_one(struct worker *worker, unsigned number)
{
    struct arena_log *log = &worker->arena.core->logs[number];
    int result = log->is_usable ? 0 : arena_log_reserve(&worker->arena, number);

    if (result)
        return result;
    log->is_usable = 1;
    if (log->writer == getpid())
        log->writer = 0; /* somebody who had our number */
    if (log->fd < 0)
        return open_missing(worker, number);
    log_ring_settle(&worker->arena, number);
    return 0;
}

/* The number stays the same, so that nothing has to be told to anybody. A death in between leaves a stray. */
static int reopen(struct worker *worker, unsigned number, uint32_t reopen_number)
{
    struct arena_log *log = &worker->arena.core->logs[number];
    int fd = open_file(worker->settings->logs[number]), result = fd < 0 ? fd : 0, cause;

    if (!result && dup3(fd, log->fd, O_CLOEXEC) < 0)
        result = err_from_errno(errno);
    cause = errno;
    fd_close(&fd);
    errno = cause;
    log->reopened = reopen_number; /* also after an error: the old file goes on */
    return result;
}

/* O_EXCL: no link that somebody planted is followed, and nobody else's file is given away. */
static void prepare(const struct core_settings *settings, const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, FILE_MODE);

    if (fd < 0)
        return; /* it is there, or whoever opens it will say why not */
    if (geteuid() == 0 && fchown(fd, settings->uid, settings->gid))
        log_event(LOG_WARN, LOG_EV_ACCESS_LOG_FAILED, "path=\"%s\" step=chown error=\"%s\"", path,
                  strerror(errno));
    fd_close(&fd);
}

void log_files_prepare(const struct core_settings *settings)
{
    if (settings->error_log[0])
        prepare(settings, settings->error_log);
    for (size_t i = 0; i < settings->log_count; i++)
        prepare(settings, settings->logs[i]);
}

/* --- the job --- */

static int must_reopen(const struct worker *worker, unsigned number)
{
    return worker->arena.page->log_epoch != worker->arena.core->logs[number].reopened;
}

/* 0 or an error, and errno. `pool`: as of log_ring_write. */
static int write_one(struct worker *worker, unsigned number, struct pool *pool)
{
    const uint32_t reopen_number = worker->arena.page->log_epoch;
    int result = worker->arena.core->logs[number].fd < 0 ? open_missing(worker, number) : 0, cause, failed;

    if (result)
        return result;
    result = log_ring_write_patiently(&worker->arena, number, pool);
    if (result == ERR_BUSY || !must_reopen(worker, number))
        return result; /* while somebody still writes, the file's size has to tell what became of it */
    cause = errno;
    failed = reopen(worker, number, reopen_number);
    if (failed)
        return failed;
    errno = cause;
    return result;
}

static void run(struct pool_job *job, unsigned thread)
{
    struct log_writer *logs = (struct log_writer *)(void *)job;
    (void)thread;

    logs->error_log_failed = 0;
    if (error_log_must_reopen(logs->worker)) {
        logs->error_log_failed = error_log_reopen(logs->worker);
        logs->error_log_cause = errno;
    }
    for (unsigned i = 0; i < logs->worker->settings->log_count; i++) {
        if (!logs->is_tried[i])
            continue;
        logs->failed[i] = write_one(logs->worker, i, &logs->worker->pool);
        logs->cause[i] = errno;
    }
}

static void tell_trouble(struct worker *worker, unsigned number)
{
    struct log_writer *logs = &worker->logs;
    const uint64_t lost = worker->arena.core->logs[number].lost;

    log_event(LOG_ERROR, LOG_EV_ACCESS_LOG_FAILED,
              "path=\"%s\" error=\"%s\" waiting_bytes=%llu lines_lost=%llu next=\"tried again every second\"",
              worker->settings->logs[number], logs->failed[number] ? strerror(logs->cause[number]) : "none",
              (unsigned long long)log_ring_waiting(&worker->arena, number),
              (unsigned long long)(lost - logs->lost_told[number]));
    logs->lost_told[number] = lost;
    logs->told_ns = worker->now_ns;
}

static void done_one(struct worker *worker, unsigned number, int may_tell)
{
    struct log_writer *logs = &worker->logs;
    const struct arena_log *log = &worker->arena.core->logs[number];
    const int failed = logs->failed[number];

    if (log->fd >= 0)
        worker_note_descriptor(worker, log->fd);
    if (failed)
        logs->try_at_ns[number] = worker->now_ns + (failed == ERR_AGAIN ? AGAIN_NS : TROUBLE_NS);
    if (!log_ring_waiting(&worker->arena, number))
        logs->since_ns[number] = 0;
    else if (!failed)
        logs->since_ns[number] = worker->now_ns; /* what came during the write gathers anew */
    if (may_tell && ((failed && failed != ERR_AGAIN) || log->lost != logs->lost_told[number]))
        tell_trouble(worker, number);
}

static void done(struct pool_job *job)
{
    struct log_writer *logs = (struct log_writer *)(void *)job;
    struct worker *worker = logs->worker;
    const int may_tell = !logs->told_ns || worker->now_ns >= logs->told_ns + TOLD_NS;

    logs->is_writing = 0;
    if (logs->error_log_failed)
        log_event(LOG_ERROR, LOG_EV_ERROR_LOG_FAILED, "path=\"%s\" error=\"%s\" next=\"the old one goes on\"",
                  worker->settings->error_log, strerror(logs->error_log_cause));
    for (unsigned i = 0; i < worker->settings->log_count; i++)
        if (logs->is_tried[i])
            done_one(worker, i, may_tell);
}

/* --- the start --- */

/* Once the server has served, a log is no reason to stop: its lines wait, and the file is tried again. */
static int start_without(struct worker *worker, unsigned number, int result)
{
    struct log_writer *logs = &worker->logs;
    const int cause = errno;

    if (!worker->arena.core->has_served || !worker->arena.core->logs[number].is_usable)
        return result;
    logs->failed[number] = result;
    logs->cause[number] = cause;
    logs->try_at_ns[number] = worker->now_ns + TROUBLE_NS;
    tell_trouble(worker, number);
    return 0;
}

int log_writer_start(struct worker *worker, unsigned *which)
{
    struct arena_core *core = worker->arena.core;

    worker->logs = (struct log_writer){.worker = worker};
    for (unsigned i = 0; i < worker->settings->log_count; i++) {
        int result;

        *which = i;
        worker->logs.lost_told[i] = core->logs[i].lost;
        result = start_one(worker, i);
        if (result)
            result = start_without(worker, i, result);
        else
            worker_note_descriptor(worker, core->logs[i].fd);
        if (result)
            return result;
    }
    return 0;
}

/* --- when --- */

static uint64_t due_of(const struct worker *worker, unsigned number)
{
    const uint64_t waiting = log_ring_waiting(&worker->arena, number);
    const struct log_writer *logs = &worker->logs;

    if (waiting >= LOG_BATCH || must_reopen(worker, number))
        return logs->try_at_ns[number];
    if (!waiting || !logs->since_ns[number])
        return UINT64_MAX;
    if (logs->since_ns[number] + GATHER_NS > logs->try_at_ns[number])
        return logs->since_ns[number] + GATHER_NS;
    return logs->try_at_ns[number];
}

uint64_t log_writer_due_ns(const struct worker *worker)
{
    uint64_t due = !worker->logs.is_writing && error_log_must_reopen(worker)
                       ? worker->logs.error_log_try_at_ns
                       : UINT64_MAX;

    for (unsigned i = 0; !worker->logs.is_writing && i < worker->settings->log_count; i++) {
        const uint64_t its = due_of(worker, i);

        if (its < due)
            due = its;
    }
    return due;
}

void log_writer_turn(struct worker *worker)
{
    struct log_writer *logs = &worker->logs;

    if (logs->is_writing)
        return;
    for (unsigned i = 0; i < worker->settings->log_count; i++)
        if (!logs->since_ns[i] && log_ring_waiting(&worker->arena, i))
            logs->since_ns[i] = worker->now_ns;
    if (log_writer_due_ns(worker) > worker->now_ns)
        return;
    for (unsigned i = 0; i < worker->settings->log_count; i++)
        logs->is_tried[i] = logs->try_at_ns[i] <= worker->now_ns; /* one in trouble holds up no other */
    logs->job.run = run;
    logs->job.done = done;
    logs->is_writing = !pool_submit(&worker->pool, &logs->job);
    logs->error_log_try_at_ns = logs->is_writing ? 0 : worker->now_ns + AGAIN_NS;
    for (unsigned i = 0; !logs->is_writing && i < worker->settings->log_count; i++)
        if (logs->is_tried[i])
            logs->try_at_ns[i] = worker->now_ns + AGAIN_NS;
}

/* The pool leaves a thread behind that is in a write. The watchdog sees that we wait; a stop's time ends it. */
static void await_writer(struct worker *worker, unsigned number)
{
    const struct timespec pause = {0, (long)LEAVE_PAUSE_NS};

    for (int i = 0; log_ring_is_busy(&worker->arena, number) && i < LEAVE_TRIES; i++) {
        (void)nanosleep(&pause, NULL);
        worker->arena.core->turns += 2;
    }
}

void log_writer_finish(struct worker *worker)
{
    struct log_writer *logs = &worker->logs;

    for (unsigned i = 0; i < worker->settings->log_count; i++) {
        await_writer(worker, i);
        logs->failed[i] = write_one(worker, i, NULL);
        logs->cause[i] = errno;
        if (log_ring_waiting(&worker->arena, i) || worker->arena.core->logs[i].lost != logs->lost_told[i])
            tell_trouble(worker, i);
    }
}
