#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

/* Of Linux 6.3, newer than Debian 12's headers; uapi linux/memfd.h. */
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif
#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif

void fd_close(int *fd)
{
    int kept = errno;

    if (*fd >= 0)
        close(*fd); /* never again after EINTR: Linux has freed the number by then */
    *fd = -1;
    errno = kept;
}

int fd_set_cloexec(int fd, int on)
{
    int flags = fcntl(fd, F_GETFD), wanted;

    if (flags < 0)
        return err_from_errno(errno);
    wanted = on ? flags | FD_CLOEXEC : flags & ~FD_CLOEXEC;
    return wanted != flags && fcntl(fd, F_SETFD, wanted) < 0 ? err_from_errno(errno) : 0;
}

int fd_write_all(int fd, const void *bytes, size_t length)
{
    const char *at = bytes;

    while (length > 0) {
        ssize_t written = write(fd, at, length);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return err_from_errno(errno);
        at += written;
        length -= (size_t)written;
    }
    return 0;
}

int fd_read_all(int fd, void *bytes, size_t capacity, size_t *length)
{
    char *at = bytes;

    *length = 0;
    while (*length < capacity) {
        ssize_t got = read(fd, at + *length, capacity - *length);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_from_errno(errno);
        if (got == 0)
            break;
        *length += (size_t)got;
    }
    return 0;
}

int fd_memfd(const char *name, size_t size, int executable)
{
    unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
    int fd = memfd_create(name, flags | (executable ? MFD_EXEC : MFD_NOEXEC_SEAL));
    int error;

    if (fd < 0 && errno == EINVAL)
        fd = memfd_create(name, flags);
    if (fd < 0)
        return err_from_errno(errno);
    if (size > INT64_MAX) {
        error = ERR_INVALID;
        goto out;
    }
    if (size > 0 && ftruncate(fd, (off_t)size) < 0) {
        error = err_from_errno(errno);
        goto out;
    }
    return fd;
out:
    fd_close(&fd);
    return error;
}

static int copy_all(int target, int source, off_t size)
{
    off_t offset = 0;

    while (offset < size) {
        ssize_t sent = sendfile(target, source, &offset, (size_t)(size - offset));
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return err_from_errno(errno);
        if (sent == 0)
            return ERR_IO; /* the file shrank meanwhile: half an image is none */
    }
    return 0;
}

int fd_sealed_copy(int source, const char *name, int executable)
{
    struct stat status;
    int error;

    if (fstat(source, &status) < 0)
        return err_from_errno(errno);
    if (!S_ISREG(status.st_mode))
        return ERR_INVALID;
    int fd = fd_memfd(name, 0, executable);
    if (fd < 0)
        return fd;
    error = copy_all(fd, source, status.st_size);
    if (error < 0)
        goto out;
    if (executable && fchmod(fd, 0555) < 0) {
        error = err_from_errno(errno);
        goto out;
    }
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0) {
        error = err_from_errno(errno);
        goto out;
    }
    return fd;
out:
    fd_close(&fd);
    return error;
}
