/* Files that hold a body on its way: of a request until it is whole, of a response until its client has taken it.
 *
 * A file has no name, and its length does not count: how many of its bytes do says a committed head (the client's
 * record: `spool` and relay_state.leg_serial, or `file_fd` and `made`). So what a worker wrote before it died is written
 * again, the same to the same place. Space is reserved before the first byte of a transaction, so that a full disk never
 * meets one in its middle: then no more is held back, and the rest is streamed. */
#include "handler/proxy/internal.h"

#include "base/fd.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ROOM (2u * ARENA_BLOCK_SIZE) /* bytes of one transaction: an input ring, framed anew */
#define ROOM_MIN 64u                 /* less is not worth a transaction */
#define STEP (8u * ROOM)             /* a file grows by so much */
#define FOLDER "/var/tmp"            /* for files that may be large (file-hierarchy(7)) */

static void tell(struct worker *worker, int error)
{
    static uint64_t quiet_until_ns;

    if (worker->now_ns < quiet_until_ns)
        return;
    quiet_until_ns = worker->now_ns + 10 * NS_PER_S;
    log_event(LOG_WARN, LOG_EV_BUFFER_FAILED, "folder=%s reason=\"%s\" outcome=streamed", FOLDER,
              strerror(error));
}

/* What was made by fd_memfd can be sealed; a file of a folder cannot, wherever that lies. */
static int is_in_memory(int fd)
{
    const int seals = fcntl(fd, F_GET_SEALS);

    return seals >= 0 && !(seals & F_SEAL_SEAL);
}

static int copy(int target, int source, uint64_t length)
{
    static char bytes[65536];

    for (uint64_t at = 0; at < length;) {
        const uint64_t left = length - at;
        const ssize_t count =
            pread(source, bytes, left < sizeof bytes ? (size_t)left : sizeof bytes, (off_t)at);

        if (count <= 0 || buffer_write(target, at, (struct slice){bytes, (size_t)count}))
            return ERR_IO;
        at += (uint64_t)count;
    }
    return 0;
}

/* The file has at least so many bytes, or -errno. */
static int allocate(int fd, uint64_t length)
{
    struct stat status;

    if (fstat(fd, &status))
        return -errno;
    if ((uint64_t)status.st_size >= length)
        return 0;
    return fallocate(fd, 0, status.st_size, (off_t)(length - (uint64_t)status.st_size)) ? -errno : 0;
}

static uint64_t smaller(uint64_t one, uint64_t other)
{
    return one < other ? one : other;
}

/* The descriptor, or negative with errno. */
static int make_file(struct worker *worker, int in_memory)
{
    if (!worker_may_open_file(worker)) {
        errno = EMFILE; /* those that are left are others' */
        return -1;
    }
    return in_memory ? fd_memfd("holdfast-body", 0, 0) : open(FOLDER, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
}

uint32_t buffer_reserve(struct worker *worker, int *fd, uint64_t used, struct buffer_limits limits)
{
    const int former = *fd;
    const int stays = (former < 0 || is_in_memory(former)) &&
                      (used + ROOM_MIN <= limits.memory || limits.memory >= limits.file);
    const uint64_t limit = stays ? limits.memory : limits.file;
    int result, made = former;

    if (used + ROOM_MIN > limit)
        return 0;
    if (former < 0 || stays != is_in_memory(former))
        made = make_file(worker, stays);
    if (made < 0) {
        tell(worker, errno);
        return 0;
    }
    result = allocate(made, smaller(limit, (used + ROOM + STEP - 1) / STEP * STEP));
    if (!result && made != former && former >= 0 && copy(made, former, used))
        result = -EIO;
    if (result) {
        tell(worker, -result);
        if (made != former)
            fd_close(&made);
        return 0;
    }
    *fd = made;
    return (uint32_t)smaller(ROOM, limit - used);
}

int buffer_write(int fd, uint64_t offset, struct slice bytes)
{
    while (bytes.length) {
        const ssize_t count = pwrite(fd, bytes.at, bytes.length, (off_t)offset);

        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return ERR_IO;
        bytes.at += count;
        bytes.length -= (size_t)count;
        offset += (uint64_t)count;
    }
    return 0;
}

void buffer_settle(struct worker *worker, struct record *client)
{
    const struct record_head *head = record_head(client);
    const int fd = head->file_fd;

    if (fd < 0 || conn_has_output(client, head))
        return;
    record_begin(client)->file_fd = -1;
    record_commit(client);
    worker_file_drop(worker, fd);
}
