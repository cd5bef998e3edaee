#include "net/warm.h"

#include "base/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

#define SEEN_ENTRIES 256u
#define SEEN_NS NS_PER_S
#define READ_BYTES 65536u

/* What was in memory lately, by descriptor. A number that names another file by now costs a wait at worst. */
static struct seen {
    int fd;
    uint64_t from, end, until_ns;
} seen[SEEN_ENTRIES];

struct warming {
    struct pool_job job; /* first */
    struct worker *worker;
    uint32_t record;
    uint64_t serial;
    int fd; /* one use of worker_file_use */
    uint64_t offset, end;
};

ssize_t warm_read(int fd, void *into, size_t length, uint64_t offset)
{
    struct iovec piece = {into, length};
    ssize_t count = preadv2(fd, &piece, 1, (off_t)offset, RWF_NOWAIT);

    if (count < 0 && (errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL))
        count = pread(fd, into, length, (off_t)offset);
    return count < 0 ? -errno : count;
}

/* 0 only if some byte is known to be elsewhere. */
static int is_in_memory(int fd, uint64_t offset, uint64_t end)
{
    for (uint64_t at = offset; at < end; at += WARM_STRIDE) {
        char byte;
        struct iovec piece = {&byte, 1};

        if (preadv2(fd, &piece, 1, (off_t)at, RWF_NOWAIT) < 0)
            return errno != EAGAIN;
    }
    return 1;
}

static int was_seen(const struct worker *worker, const struct seen *entry, int fd, uint64_t offset,
                    uint64_t end)
{
    return entry->fd == fd && entry->until_ns > worker->now_ns && entry->from <= offset && entry->end >= end;
}

/* A run of bytes grows while it is sent. */
static void note_seen(const struct worker *worker, struct seen *entry, int fd, uint64_t offset, uint64_t end)
{
    if (entry->fd == fd && entry->until_ns > worker->now_ns && entry->from <= offset &&
        entry->end >= offset) {
        entry->end = end > entry->end ? end : entry->end;
        return;
    }
    *entry = (struct seen){fd, offset, end, worker->now_ns + SEEN_NS};
}

/* In the gate: nothing but local variables. */
static void warming_run(struct pool_job *job, unsigned thread)
{
    struct warming *warming = (struct warming *)(void *)job;
    struct pool *pool = &warming->worker->pool;
    const uint64_t end = warming->end;
    const int fd = warming->fd;
    uint64_t at = warming->offset;
    char bytes[READ_BYTES];
    ssize_t count = 1;

    (void)thread;
    pool_enter_gate(pool);
    while (at < end && count > 0) {
        count = pread(fd, bytes, end - at < sizeof bytes ? (size_t)(end - at) : sizeof bytes, (off_t)at);
        at += count > 0 ? (uint64_t)count : 0;
    }
    pool_leave_gate(pool);
}

static void warming_done(struct pool_job *job)
{
    struct warming *warming = (struct warming *)(void *)job;
    struct worker *worker = warming->worker;
    struct record *record = arena_record(&worker->arena, warming->record);

    seen[(unsigned)warming->fd % SEEN_ENTRIES] =
        (struct seen){warming->fd, warming->offset, warming->end, worker->now_ns + SEEN_NS};
    worker_file_drop(worker, warming->fd);
    if (record->life == RECORD_OPEN && record->serial == warming->serial) {
        worker_side(worker, record)->is_warming = 0;
        worker_again(worker, record);
    }
    free(warming);
}

static int start(struct worker *worker, struct record *record, int fd, uint64_t offset, uint64_t end)
{
    struct warming *warming = malloc(sizeof *warming);

    if (!warming)
        return ERR_NO_MEMORY;
    *warming = (struct warming){.job = {.run = warming_run, .done = warming_done},
                                .worker = worker,
                                .record = arena_number(&worker->arena, record),
                                .serial = record->serial,
                                .fd = fd,
                                .offset = offset,
                                .end = end};
    worker_file_use(worker, fd);
    if (!pool_submit(&worker->pool, &warming->job))
        return 0;
    worker_file_drop(worker, fd);
    free(warming);
    return ERR_LIMIT;
}

int warm_wait(struct worker *worker, struct record *record, int file_fd, uint64_t offset, uint64_t length)
{
    struct seen *entry = &seen[(unsigned)file_fd % SEEN_ENTRIES];
    struct conn_side *side = worker_side(worker, record);
    const uint64_t end = offset + length;

    if (side->is_warming)
        return 1;
    if (was_seen(worker, entry, file_fd, offset, end))
        return 0;
    if (is_in_memory(file_fd, offset, end)) {
        note_seen(worker, entry, file_fd, offset, end);
        return 0;
    }
    side->is_warming = start(worker, record, file_fd, offset, end) == 0;
    return side->is_warming;
}
