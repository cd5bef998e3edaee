#include "core/shared.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

int shared_create(size_t size)
{
    int fd = fd_memfd("holdfast-shared", size, 0), error;

    if (fd >= 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)) {
        error = err_from_errno(errno);
        fd_close(&fd);
        return error;
    }
    return fd;
}

int shared_map(int fd, size_t size, void **memory)
{
    struct stat status;
    void *mapped;

    *memory = NULL;
    if (!size || fstat(fd, &status) || !S_ISREG(status.st_mode) || status.st_size != (off_t)size)
        return ERR_INVALID;
    mapped = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (mapped == MAP_FAILED)
        return err_from_errno(errno);
    (void)madvise(mapped, size, MADV_DONTDUMP);
    *memory = mapped;
    return 0;
}

void shared_unmap(void **memory, size_t size)
{
    if (*memory)
        munmap(*memory, size);
    *memory = NULL;
}

int shared_reserve(int fd, size_t offset, size_t length)
{
    if (fd < 0)
        return 0;
    while (fallocate(fd, 0, (off_t)offset, (off_t)length))
        if (errno != EINTR)
            return err_from_errno(errno);
    return 0;
}
