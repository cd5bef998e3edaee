/* Preloaded into a server under test (LD_PRELOAD): makes one role misbehave where the test cannot reach.
 *
 *   SHIM_WORKER_ABORTS=1     a worker that makes its epoll instance aborts
 *   SHIM_WORKER_WAITS=FIFO   it waits until somebody has opened the FIFO for writing and closed it
 *   SHIM_LOADER_HANGS=FILE   a loader that is about to hand over its snapshot, and finds this file, removes it and hangs
 *   SHIM_MASTER_HANGS=FILE   a master that finds this file removes it and never returns from poll */
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int __poll_chk(struct pollfd *polled, nfds_t count, int timeout_ms, size_t size);

static int is_role(const char *wanted)
{
    char name[16] = "";

    return !prctl(PR_GET_NAME, name) && !strcmp(name, wanted);
}

static void wait_for_writer(const char *fifo)
{
    int fd = open(fifo, O_RDONLY | O_CLOEXEC);
    char byte;

    if (fd < 0)
        return;
    while (read(fd, &byte, 1) > 0)
        ;
    close(fd);
}

int epoll_create1(int flags)
{
    const char *fifo = getenv("SHIM_WORKER_WAITS");

    if (getenv("SHIM_WORKER_ABORTS"))
        abort();
    if (fifo)
        wait_for_writer(fifo);
    return (int)syscall(SYS_epoll_create1, flags);
}

static void hang_once(const char *file)
{
    if (file && !unlink(file))
        for (;;)
            pause();
}

int memfd_create(const char *name, unsigned flags)
{
    if (!strcmp(name, "holdfast-config"))
        hang_once(getenv("SHIM_LOADER_HANGS"));
    return (int)syscall(SYS_memfd_create, name, flags);
}

int poll(struct pollfd *polled, nfds_t count, int timeout_ms)
{
    if (is_role("holdfast-master"))
        hang_once(getenv("SHIM_MASTER_HANGS"));
    return (int)syscall(SYS_poll, polled, count, timeout_ms);
}

/* What poll becomes where the compiler knows the array's size (_FORTIFY_SOURCE). */
int __poll_chk(struct pollfd *polled, nfds_t count, int timeout_ms, size_t size)
{
    (void)size;
    return poll(polled, count, timeout_ms);
}
