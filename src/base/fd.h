/* Descriptors: always opened CLOEXEC, always closed by name so that no variable keeps a closed number. */
#ifndef HOLDFAST_BASE_FD_H
#define HOLDFAST_BASE_FD_H

#include "base/err.h"

#include <stddef.h>

/* Closes *fd if it is >= 0 and sets it to -1. Keeps errno. */
void fd_close(int *fd);
/* Sets or clears FD_CLOEXEC. 0 or an error. */
WARN_UNUSED int fd_set_cloexec(int fd, int on);
/* Writes all of `bytes` to a blocking descriptor, past EINTR. 0 or an error. */
WARN_UNUSED int fd_write_all(int fd, const void *bytes, size_t length);
/* Reads until `capacity` bytes or end of file, past EINTR; *length gets the count. 0 or an error. */
WARN_UNUSED int fd_read_all(int fd, void *bytes, size_t capacity, size_t *length);
/* A new CLOEXEC memfd of `size` bytes (0: empty). Returns the descriptor or an error. `executable` images
 * need MFD_EXEC where the kernel knows it (Linux 6.3), and work without where it does not. memfd_create(2). */
WARN_UNUSED int fd_memfd(const char *name, size_t size, int executable);
/* Copies the whole file behind `source` (regular file, read from offset 0) into a new memfd and seals it
 * against every change (F_SEAL_WRITE, GROW, SHRINK, SEAL). Returns the memfd or an error. */
WARN_UNUSED int fd_sealed_copy(int source, const char *name, int executable);

#endif
