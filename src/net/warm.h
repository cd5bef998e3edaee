/* Keeps the loop from waiting for a disk: file bytes that are not in memory are read by a pool thread before they are sent.
 *
 * What lies in memory is asked of the kernel with preadv2(2) RWF_NOWAIT, at one byte in each WARM_STRIDE: what is read
 * from a disk comes in pieces at least so large. What was seen in memory is not asked for again for a second. It is a
 * probe and no promise: a page that leaves memory between probe and sendfile is waited for. So are file systems that
 * cannot tell (EOPNOTSUPP), and a pool without room. */
#ifndef HOLDFAST_NET_WARM_H
#define HOLDFAST_NET_WARM_H

#include "core/worker.h"

#include <sys/types.h>

#define WARM_STRIDE 32768u

/* 1: the record must wait, worker_again will be called for it when the bytes [offset, offset + length) of the file are in
 * memory (or could not be read). 0: send them. Loop thread only; the record's head names the file. */
int warm_wait(struct worker *worker, struct record *record, int file_fd, uint64_t offset, uint64_t length);

/* Reads as pread(2) does, but not from a disk: bytes; -EAGAIN: it would have to wait; another negative errno. Where the
 * kernel cannot tell, it waits. */
ssize_t warm_read(int fd, void *into, size_t length, uint64_t offset);

#endif
