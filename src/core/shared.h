/* A memory that the classes of all workers share: one memfd of fixed size, all zero at first, that the anchor holds as
 * `shared` for as long as the server lives.
 *
 * The first service.shared_size bytes are the classes', and core knows nothing of them; behind them lies core's own part
 * (crowd.h). The master makes it once and gives it to every keeper as
 * FD_SHARED; each worker maps it (worker->shared). It outlives every master, worker and generation. Several processes write
 * to it at once, and each may be killed between any two instructions: who uses it says how that is settled, and what
 * another version of it would find.
 *
 * It is sparse: pages are allocated before they are touched (shared_reserve), so that memory is short at a place that can
 * refuse, and never as a SIGBUS. */
#ifndef HOLDFAST_CORE_SHARED_H
#define HOLDFAST_CORE_SHARED_H

#include "base/err.h"

#include <stddef.h>

/* A new memfd, its size sealed. The descriptor or an error. */
WARN_UNUSED int shared_create(size_t size);
/* Maps it. 0; ERR_INVALID: it is none, or of another size. */
WARN_UNUSED int shared_map(int fd, size_t size, void **memory);
void shared_unmap(void **memory, size_t size);
/* Makes sure that these bytes may be touched. fd -1: they may (memory of one process). 0, ERR_NO_MEMORY and others. */
WARN_UNUSED int shared_reserve(int fd, size_t offset, size_t length);

#endif
