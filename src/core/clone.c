#include "core/clone.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef PR_GET_TID_ADDRESS
#define PR_GET_TID_ADDRESS 40
#endif

static long raw_clone(unsigned long flags, void *parent_tid, void *child_tid)
{
#if defined(__x86_64__)
    return syscall(SYS_clone, flags, NULL, parent_tid, child_tid, NULL);
#elif defined(__aarch64__) || defined(__riscv) || defined(__arm__) || defined(__powerpc64__)
    return syscall(SYS_clone, flags, NULL, parent_tid, NULL, child_tid);
#else
#error "the order of clone's arguments on this architecture is not known here: see clone(2)"
#endif
}

/* glibc registers the address of its own thread id at start; the kernel gives it back (prctl(2)). Kernels without
 * checkpoint support do not; then the child's cached id stays stale, which only error-checking mutexes would see. */
static void *own_tid_address(void)
{
    void *address = NULL;

    return prctl(PR_GET_TID_ADDRESS, &address) ? NULL : address;
}

static pid_t clone_with(unsigned long flags, _Atomic int32_t *pid)
{
    void *tid = own_tid_address(), *robust = NULL;
    size_t robust_size = 0;
    long result;

    if (syscall(SYS_get_robust_list, 0, &robust, &robust_size))
        robust = NULL;
    if (tid)
        flags |= CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID;
    result = raw_clone(flags | CLONE_PARENT_SETTID | SIGCHLD, pid, tid);
    if (result == 0 && robust)
        (void)syscall(SYS_set_robust_list, robust, robust_size);
    if (result >= 0)
        return (pid_t)result;
    return errno == EAGAIN ? ERR_AGAIN : err_from_errno(errno);
}

pid_t clone_worker(_Atomic int32_t *pid)
{
#ifdef HOLDFAST_PLAIN_FORK
    return clone_with(0, pid);
#else
    return clone_with(CLONE_FILES, pid);
#endif
}

pid_t clone_sibling(_Atomic int32_t *pid)
{
    return clone_with(CLONE_PARENT, pid);
}
