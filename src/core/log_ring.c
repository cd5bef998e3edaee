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

static int lock_file(int fd, short type)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET};

    return fcntl(fd, F_OFD_SETLK, &lock) ? ERR_AGAIN : 0;
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

static int write_file(struct arena *arena, uint32_t number)
{
    struct arena_log *log = log_of(arena, number);
    const uint64_t waiting = log_ring_waiting(arena, number);
    struct stat status;
    ssize_t count;
    int result = 0;

    if (lock_file(log->fd, F_WRLCK))
        return ERR_AGAIN;
    if (fstat(log->fd, &status)) {
        result = err_from_errno(errno);
    } else {
        note(log, log->written, waiting, (uint64_t)status.st_size);
        count = write_piece(arena, number, log->fd, log->written_before, waiting);
        if (count < 0)
            result = err_from_errno(errno);
        else if ((uint64_t)count < waiting)
            result = ERR_NO_SPACE;
        forget_note(log, count < 0                   ? 0
                         : (uint64_t)count < waiting ? cut_to_lines(arena, number, (uint64_t)count)
                                                     : waiting);
    }
    (void)lock_file(log->fd, F_UNLCK);
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

int log_ring_write(struct arena *arena, uint32_t number)
{
    const struct arena_log *log = log_of(arena, number);

    if (!log_ring_waiting(arena, number))
        return 0;
    if (log->fd < 0)
        return ERR_IO;
    return is_file(log->fd) ? write_file(arena, number) : write_stream(arena, number);
}

int log_ring_write_patiently(struct arena *arena, uint32_t number)
{
    const struct timespec pause = {0, (long)LOCK_PAUSE_NS};
    int result = log_ring_write(arena, number);

    for (int i = 0; result == ERR_AGAIN && i < LOCK_TRIES; i++) {
        (void)nanosleep(&pause, NULL);
        result = log_ring_write(arena, number);
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

    if (log->fd < 0)
        return;
    if (log->length)
        forget_note(log, written_by(arena, number));
    (void)lock_file(log->fd, F_UNLCK);
}
