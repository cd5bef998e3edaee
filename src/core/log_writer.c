#include "core/log_writer.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "core/log_ring.h"
#include "core/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define GATHER_NS NS_PER_S
#define AGAIN_NS (20 * NS_PER_MS)
#define TROUBLE_NS NS_PER_S
#define TOLD_NS (10 * NS_PER_S)
#define FILE_MODE 0640

/* --- files --- */

static int open_file(const char *path)
{
    /* A pipe that nobody reads must not hold us up, neither here nor when it is full. */
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, FILE_MODE);

    return fd < 0 ? err_from_errno(errno) : fd;
}

static int start_one(struct worker *worker, unsigned number)
{
    struct arena_log *log = &worker->arena.core->logs[number];
    int fd, result = log->is_usable ? 0 : arena_log_reserve(&worker->arena, number);

    if (result)
        return result;
    log->is_usable = 1;
    if (log->fd >= 0) {
        log_ring_settle(&worker->arena, number);
        return 0;
    }
    fd = open_file(worker->settings->logs[number]);
    if (fd < 0)
        return fd;
    log->reopened = worker->arena.page->log_epoch;
    log->fd = fd;
    worker_note_descriptor(worker, fd);
    return 0;
}

int log_writer_start(struct worker *worker, unsigned *which)
{
    struct arena_core *core = worker->arena.core;

    worker->logs = (struct log_writer){.worker = worker};
    for (unsigned i = 0; i < worker->settings->log_count; i++) {
        int result = start_one(worker, i);

        *which = i;
        worker->logs.lost_told[i] = core->logs[i].lost;
        if (result)
            return result;
    }
    return 0;
}

/* The number stays the same, so that nothing has to be told to anybody. A death in between leaves a stray. */
static int reopen(struct worker *worker, unsigned number, uint32_t reopen_number)
{
    struct arena_log *log = &worker->arena.core->logs[number];
    int fd = open_file(worker->settings->logs[number]), result = fd < 0 ? fd : 0;

    if (!result && dup3(fd, log->fd, O_CLOEXEC) < 0)
        result = err_from_errno(errno);
    fd_close(&fd);
    log->reopened = reopen_number; /* also after an error: the old file goes on */
    return result;
}

/* O_EXCL: no link that somebody planted is followed, and nobody else's file is given away. */
void log_files_prepare(const struct core_settings *settings)
{
    for (size_t i = 0; i < settings->log_count; i++) {
        int fd = open(settings->logs[i], O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, FILE_MODE);

        if (fd < 0)
            continue; /* it is there, or the worker will say why not */
        if (geteuid() == 0 && fchown(fd, settings->uid, settings->gid))
            log_event(LOG_WARN, LOG_EV_ACCESS_LOG_FAILED, "path=\"%s\" step=chown error=\"%s\"",
                      settings->logs[i], strerror(errno));
        fd_close(&fd);
    }
}

/* --- the job --- */

static int must_reopen(const struct worker *worker, unsigned number)
{
    return worker->arena.page->log_epoch != worker->arena.core->logs[number].reopened;
}

static int write_one(struct worker *worker, unsigned number)
{
    const uint32_t reopen_number = worker->arena.page->log_epoch;
    int result = log_ring_write_patiently(&worker->arena, number);

    if (must_reopen(worker, number)) {
        const int failed = reopen(worker, number, reopen_number);

        result = failed ? failed : result;
    }
    return result;
}

static void run(struct pool_job *job, unsigned thread)
{
    struct log_writer *logs = (struct log_writer *)(void *)job;
    (void)thread;

    for (unsigned i = 0; i < logs->worker->settings->log_count; i++)
        logs->failed[i] = write_one(logs->worker, i);
}

static void tell_trouble(struct worker *worker, unsigned number)
{
    struct log_writer *logs = &worker->logs;
    const uint64_t lost = worker->arena.core->logs[number].lost;

    log_event(LOG_ERROR, LOG_EV_ACCESS_LOG_FAILED,
              "path=\"%s\" error=\"%s\" waiting_bytes=%llu lines_lost=%llu next=\"tried again every second\"",
              worker->settings->logs[number], logs->failed[number] ? err_text(logs->failed[number]) : "none",
              (unsigned long long)log_ring_waiting(&worker->arena, number),
              (unsigned long long)(lost - logs->lost_told[number]));
    logs->lost_told[number] = lost;
    logs->told_ns = worker->now_ns;
}

static void done(struct pool_job *job)
{
    struct log_writer *logs = (struct log_writer *)(void *)job;
    struct worker *worker = logs->worker;
    const int may_tell = !logs->told_ns || worker->now_ns >= logs->told_ns + TOLD_NS;

    logs->is_writing = 0;
    for (unsigned i = 0; i < worker->settings->log_count; i++) {
        const int failed = logs->failed[i];
        const uint64_t pause_ns = failed == ERR_AGAIN ? AGAIN_NS : TROUBLE_NS;

        if (failed && worker->now_ns + pause_ns > logs->try_at_ns)
            logs->try_at_ns = worker->now_ns + pause_ns;
        if (!log_ring_waiting(&worker->arena, i))
            logs->since_ns[i] = 0;
        if (may_tell &&
            ((failed && failed != ERR_AGAIN) || worker->arena.core->logs[i].lost != logs->lost_told[i]))
            tell_trouble(worker, i);
    }
}

/* --- when --- */

static uint64_t due_of(const struct worker *worker, unsigned number)
{
    const uint64_t waiting = log_ring_waiting(&worker->arena, number);
    const struct log_writer *logs = &worker->logs;

    if (waiting >= LOG_BATCH || must_reopen(worker, number))
        return logs->try_at_ns;
    if (!waiting || !logs->since_ns[number])
        return UINT64_MAX;
    if (logs->since_ns[number] + GATHER_NS > logs->try_at_ns)
        return logs->since_ns[number] + GATHER_NS;
    return logs->try_at_ns;
}

uint64_t log_writer_due_ns(const struct worker *worker)
{
    uint64_t due = UINT64_MAX;

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
    logs->job.run = run;
    logs->job.done = done;
    if (pool_submit(&worker->pool, &logs->job))
        logs->try_at_ns = worker->now_ns + AGAIN_NS;
    else
        logs->is_writing = 1;
}

void log_writer_finish(struct worker *worker)
{
    struct log_writer *logs = &worker->logs;

    for (unsigned i = 0; i < worker->settings->log_count; i++) {
        logs->failed[i] = log_ring_write_patiently(&worker->arena, i);
        if (log_ring_waiting(&worker->arena, i) || worker->arena.core->logs[i].lost != logs->lost_told[i])
            tell_trouble(worker, i);
    }
}
