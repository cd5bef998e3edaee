/* Making the processes that fork(2) cannot make: with a common descriptor table, or as a sibling.
 *
 * Both use the raw clone system call without CLONE_VM: the child is a copy of the calling thread in an address
 * space of its own. glibc is told of the child's thread id at its own place (CLONE_CHILD_SETTID, CLEARTID) and the
 * robust futex list is registered again, as fork(3) would. Only call it when no other thread holds a lock.
 *
 * `pid` is written by the kernel before the caller can be killed (CLONE_PARENT_SETTID): in shared memory it is the
 * record that a child exists. */
#ifndef HOLDFAST_CORE_CLONE_H
#define HOLDFAST_CORE_CLONE_H

#include "base/err.h"

#include <stdatomic.h>
#include <stdint.h>
#include <sys/types.h>

/* A child that shares the caller's descriptor table (in plain-fork builds: has a copy of it). Returns the pid in
 * the parent, 0 in the child, or an error (ERR_AGAIN: process limit, try again). */
pid_t clone_worker(_Atomic int32_t *pid);
/* A sibling: a child of the caller's parent, with a copy of the descriptor table. The same results. */
pid_t clone_sibling(_Atomic int32_t *pid);

#endif
