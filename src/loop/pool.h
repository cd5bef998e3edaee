/* A bounded, reused pool of threads for work that blocks: cold file reads, hashing.
 *
 * Jobs wait in a queue of fixed length; threads are made when jobs wait and none is idle, up to a bound, and end when they
 * were idle for a while.
 * A job runs in a pool thread (`run`, with the thread's number from 1) and is finished on the loop thread
 * (`done`, from pool_finish), in the order of completion. The pool writes to an eventfd when there is something to finish.
 * A job that blocks in a system call enters a gate around it, so that the loop can clone its process meanwhile: within
 * the gate a thread holds no lock and touches nothing. Jobs belong to the caller and must stay valid until `done` returns or the process dies. */
#ifndef HOLDFAST_LOOP_POOL_H
#define HOLDFAST_LOOP_POOL_H

#include "base/err.h"

#include <pthread.h>
#include <stdint.h>

#define POOL_THREADS_MAX 64u
#define POOL_QUEUE_MAX 4096u
#define POOL_IDLE_MS 10000u /* a thread without a job ends after this */

struct pool_job {
    void (*run)(struct pool_job *job, unsigned thread);
    void (*done)(struct pool_job *job);
    struct pool_job *next; /* the pool's */
};

struct pool {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    pthread_cond_t quiet;
    struct pool_job *waiting, **waiting_end;
    struct pool_job *finished, **finished_end;
    unsigned queued, threads, idle, gated, limit;
    unsigned idle_ms;
    int wakeup_fd;                           /* borrowed */
    void (*thread_started)(unsigned thread); /* called first in each thread; may be NULL */
    int stopping;
    /* By number - 1. A number is given again when its thread has ended. */
    struct pool_place {
        struct pool *pool;
        pthread_t thread;
        unsigned number;
        enum { POOL_PLACE_FREE, POOL_PLACE_TAKEN, POOL_PLACE_ENDED } state; /* ENDED: to be joined */
        int is_gated;
    } places[POOL_THREADS_MAX];
};

/* `wakeup_fd`: a non-blocking eventfd, borrowed until pool_stop. `threads`: 1 to POOL_THREADS_MAX. */
WARN_UNUSED int pool_init(struct pool *pool, unsigned threads, int wakeup_fd);
/* Queues a job. 0; ERR_LIMIT when POOL_QUEUE_MAX wait; ERR_NO_MEMORY when not even one thread can be made. */
WARN_UNUSED int pool_submit(struct pool *pool, struct pool_job *job);
/* Calls `done` of each finished job. Loop thread only. */
void pool_finish(struct pool *pool);
/* For jobs: around a system call that may block for long, with nothing but local variables touched in between. After
 * pool_stop, pool_leave_gate does not return. */
void pool_enter_gate(struct pool *pool);
void pool_leave_gate(struct pool *pool);
/* Drops waiting jobs without calling `done` and ends the threads. Waits for those that run, except within a gate: they
 * stay behind there for good, and `pool` with them (its memory must stay). Returns how many. */
unsigned pool_stop(struct pool *pool);

#endif
