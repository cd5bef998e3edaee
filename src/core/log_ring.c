#include "core/log_ring.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define LOCK_TRIES 50 /* of LOCK_PAUSE_NS: a lock is held for as long as one write takes */
#define LOCK_PAUSE_NS (200 * 1000ULL)

static struct arena_log *log_of(struct arena *arena, uint32_t number)
{
    return &arena->core->logs[number];
}

/* --- the ring --- */

int log_ring_put(struct arena *arena, uint32_t number, struct slice line)
{
    struct arena_log *log = log_of(arena, number);
    const uint64_t made = redo_value(arena, &log->made), at = made % ARENA_LOG_SIZE;
    const uint64_t room = ARENA_LOG_SIZE - (made - log->written);
    const size_t piece = line.length < ARENA_LOG_SIZE - at ? line.length : (size_t)(ARENA_LOG_SIZE - at);
    char *ring = arena_log_ring(arena, number);

    if (!log->is_usable || line.length > room) {
        redo_add(arena, &log->lost, 1);
        return ERR_NO_SPACE;
    }
    memcpy(ring + at, line.at, piece);
    memcpy(ring, line.at + piece, line.length - piece);
    redo_set(arena, &log->made, made + line.length);
    return 0;
}

static char byte_at(struct arena *arena, uint32_t number, uint64_t offset)
{
    return arena_log_ring(arena, number)[offset % ARENA_LOG_SIZE];
}

/* Of the `length` bytes from `from` on: those up to the last line break among them. */
static uint64_t whole_lines(struct arena *arena, uint32_t number, uint64_t from, uint64_t length)
{
    while (length && byte_at(arena, number, from + length - 1) != '\n')
        length--;
    return length;
}

static ssize_t write_piece(struct arena *arena, uint32_t number, int fd, uint64_t from, uint64_t length)
{
    const uint64_t at = from % ARENA_LOG_SIZE;
    const uint64_t piece = length < ARENA_LOG_SIZE - at ? length : ARENA_LOG_SIZE - at;
    char *ring = arena_log_ring(arena, number);
    const struct iovec vectors[] = {{ring + at, piece}, {ring, length - piece}};

    return writev(fd, vectors, length > piece ? 2 : 1);
}

/* --- the file --- */

/* ERR_AGAIN: somebody else has it. Whatever else fails (a file system without locks) does not pass by waiting. */
static int lock_file(int fd, short type)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET};

    if (!fcntl(fd, F_OFD_SETLK, &lock))
        return 0;
    return errno == EAGAIN || errno == EACCES || errno == EINTR ? ERR_AGAIN : err_from_errno(errno);
}

static void note(struct arena_log *log, uint64_t from, uint64_t length, uint64_t file_size)
{
    log->written_before = from;
    log->file_size = file_size;
    COMPILER_BARRIER();
    log->length = length;
    COMPILER_BARRIER();
}

static void forget_note(struct arena_log *log, uint64_t done)
{
    log->written = log->written_before + done;
    COMPILER_BARRIER();
    log->length = 0;
    COMPILER_BARRIER();
}

/* A part was written: what lies behind its last whole line is taken back. A death in between comes here again. */
static uint64_t cut_to_lines(struct arena *arena, uint32_t number, uint64_t written)
{
    struct arena_log *log = log_of(arena, number);
    const uint64_t lines = whole_lines(arena, number, log->written_before, written);

    if (lines != written && ftruncate(log->fd, (off_t)(log->file_size + lines)))
        return written; /* an append-only file: the rest of the line follows */
    return lines;
}

/* With the note made. In the gate nothing is touched but the ring, which no line enters before `written` moves, and
 * `writer`: both lie in the arena, and who clones the process shares them. */
static ssize_t write_gated(struct arena *arena, uint32_t number, uint64_t length, struct pool *pool)
{
    struct arena_log *log = log_of(arena, number);
    ssize_t count;
    int cause;

    log->writer = (int32_t)getpid();
    if (pool)
        pool_enter_gate(pool);
    count = write_piece(arena, number, log->fd, log->written_before, length);
    cause = errno;
    log->writer = 0;
    if (pool)
        pool_leave_gate(pool); /* left behind, it ends here */
    errno = cause;
    return count;
}

static int write_file(struct arena *arena, uint32_t number, struct pool *pool)
{
    struct arena_log *log = log_of(arena, number);
    const uint64_t waiting = log_ring_waiting(arena, number);
    struct stat status;
    ssize_t count;
    int result = lock_file(log->fd, F_WRLCK), cause;

    if (result)
        return result;
    if (fstat(log->fd, &status)) {
        result = err_from_errno(errno);
    } else {
        note(log, log->written, waiting, (uint64_t)status.st_size);
        count = write_gated(arena, number, waiting, pool);
        if (count < 0)
            result = err_from_errno(errno);
        else if ((uint64_t)count < waiting)
            result = ERR_NO_SPACE, errno = ENOSPC;
        cause = errno;
        forget_note(log, count < 0                   ? 0
                         : (uint64_t)count < waiting ? cut_to_lines(arena, number, (uint64_t)count)
                                                     : waiting);
        errno = cause;
    }
    cause = errno;
    (void)lock_file(log->fd, F_UNLCK);
    errno = cause;
    return result;
}

/* Up to PIPE_BUF bytes go in whole or not at all (pipe(7)): lines of several slots do not mix. */
static int write_stream(struct arena *arena, uint32_t number)
{
    struct arena_log *log = log_of(arena, number);
    uint64_t waiting;

    while ((waiting = log_ring_waiting(arena, number))) {
        uint64_t length = whole_lines(arena, number, log->written, waiting < PIPE_BUF ? waiting : PIPE_BUF);
        ssize_t count;

        if (!length) /* one line longer than that */
            length = waiting;
        note(log, log->written, length, 0);
        count = write_piece(arena, number, log->fd, log->written, length);
        forget_note(log, count < 0 ? 0 : (uint64_t)count);
        if (count < 0)
            return errno == EAGAIN || errno == EINTR ? ERR_AGAIN : err_from_errno(errno);
    }
    return 0;
}

static int is_file(int fd)
{
    struct stat status;

    return !fstat(fd, &status) && S_ISREG(status.st_mode);
}

int log_ring_is_busy(const struct arena *arena, uint32_t number)
{
    const pid_t writer = arena->core->logs[number].writer;

    return writer && (writer == (pid_t)arena->page->keeper_pid || writer == getpid());
}

int log_ring_write(struct arena *arena, uint32_t number, struct pool *pool)
{
    const struct arena_log *log = log_of(arena, number);

    if (log_ring_is_busy(arena, number)) {
        errno = EBUSY;
        return ERR_BUSY;
    }
    if (log->length) /* it was, until now */
        log_ring_settle(arena, number);
    if (!log_ring_waiting(arena, number))
        return 0;
    if (log->fd < 0) {
        errno = EBADF;
        return ERR_IO;
    }
    return is_file(log->fd) ? write_file(arena, number, pool) : write_stream(arena, number);
}

int log_ring_write_patiently(struct arena *arena, uint32_t number, struct pool *pool)
{
    const struct timespec pause = {0, (long)LOCK_PAUSE_NS};
    int result = log_ring_write(arena, number, pool);

    for (int i = 0; result == ERR_AGAIN && i < LOCK_TRIES; i++) {
        (void)nanosleep(&pause, NULL);
        result = log_ring_write(arena, number, pool);
    }
    return result;
}

/* --- after a death --- */

static uint64_t written_by(struct arena *arena, uint32_t number)
{
    struct arena_log *log = log_of(arena, number);
    struct stat status;
    uint64_t size;

    if (fstat(log->fd, &status) || !S_ISREG(status.st_mode))
        return 0;
    size = (uint64_t)status.st_size;
    if (size == log->file_size)
        return 0;
    if (size > log->file_size && size < log->file_size + log->length)
        return cut_to_lines(arena, number, size - log->file_size);
    return log->length; /* all of it, or somebody else has changed the file */
}

void log_ring_settle(struct arena *arena, uint32_t number)
{
    struct arena_log *log = log_of(arena, number);

    if (log->fd < 0 || log_ring_is_busy(arena, number))
        return;
    log->writer = 0;
    if (log->length)
        forget_note(log, written_by(arena, number));
    (void)lock_file(log->fd, F_UNLCK);
}
