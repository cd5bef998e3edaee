#include "loop/pool.h"

#include <signal.h>
#include <unistd.h>

int pool_init(struct pool *pool, unsigned threads, int wakeup_fd)
{
    if (threads < 1 || threads > POOL_THREADS_MAX)
        return ERR_INVALID;
    *pool = (struct pool){.limit = threads, .wakeup_fd = wakeup_fd};
    pool->waiting_end = &pool->waiting;
    pool->finished_end = &pool->finished;
    if (pthread_mutex_init(&pool->lock, NULL) || pthread_cond_init(&pool->wake, NULL) ||
        pthread_cond_init(&pool->quiet, NULL))
        return ERR_NO_MEMORY;
    return 0;
}

static _Thread_local unsigned own_number; /* of a pool thread: 1, 2, … */

static struct pool_job *pool_wait_for_job(struct pool *pool)
{
    struct pool_job *job;

    pool->idle++;
    while (!pool->waiting && !pool->stopping)
        pthread_cond_wait(&pool->wake, &pool->lock);
    pool->idle--;
    if (pool->stopping)
        return NULL;
    job = pool->waiting;
    pool->waiting = job->next;
    if (!pool->waiting)
        pool->waiting_end = &pool->waiting;
    pool->queued--;
    return job;
}

static void pool_job_finished(struct pool *pool, struct pool_job *job)
{
    const uint64_t one = 1;

    job->next = NULL;
    *pool->finished_end = job;
    pool->finished_end = &job->next;
    /* A full counter means that the loop has been told long ago. */
    (void)!write(pool->wakeup_fd, &one, sizeof one);
}

static void *pool_thread(void *argument)
{
    struct pool *pool = argument;
    struct pool_job *job;
    unsigned number;

    pthread_mutex_lock(&pool->lock);
    number = own_number = ++pool->numbered;
    if (pool->thread_started)
        pool->thread_started(number);
    while ((job = pool_wait_for_job(pool))) {
        pthread_mutex_unlock(&pool->lock);
        job->run(job, number);
        pthread_mutex_lock(&pool->lock);
        pool_job_finished(pool, job);
    }
    pool->ended++;
    pthread_cond_signal(&pool->quiet);
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

/* Signals belong to the loop thread. */
static int pool_add_thread(struct pool *pool)
{
    sigset_t all, before;
    int failed;

    sigfillset(&all);
    sigdelset(&all, SIGSEGV);
    sigdelset(&all, SIGBUS);
    sigdelset(&all, SIGFPE);
    sigdelset(&all, SIGILL);
    sigdelset(&all, SIGABRT);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    failed = pthread_create(&pool->thread[pool->threads], NULL, pool_thread, pool);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed)
        return ERR_NO_MEMORY;
    pool->threads++;
    return 0;
}

int pool_submit(struct pool *pool, struct pool_job *job)
{
    int result = 0;

    pthread_mutex_lock(&pool->lock);
    if (pool->queued >= POOL_QUEUE_MAX)
        result = ERR_LIMIT;
    else if (pool->queued >= pool->idle && pool->threads < pool->limit)
        result = pool_add_thread(pool);
    if (result == ERR_NO_MEMORY && pool->threads > 0)
        result = 0; /* those that there are will do it */
    if (!result) {
        job->next = NULL;
        *pool->waiting_end = job;
        pool->waiting_end = &job->next;
        pool->queued++;
        pthread_cond_signal(&pool->wake);
    }
    pthread_mutex_unlock(&pool->lock);
    return result;
}

void pool_finish(struct pool *pool)
{
    struct pool_job *job;
    uint64_t count;

    (void)!read(pool->wakeup_fd, &count, sizeof count);
    pthread_mutex_lock(&pool->lock);
    job = pool->finished;
    pool->finished = NULL;
    pool->finished_end = &pool->finished;
    pthread_mutex_unlock(&pool->lock);
    while (job) {
        struct pool_job *next = job->next;

        job->done(job);
        job = next;
    }
}

void pool_enter_gate(struct pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    pool->is_gated[own_number - 1] = 1;
    pool->gated++;
    pthread_cond_signal(&pool->quiet);
    pthread_mutex_unlock(&pool->lock);
}

void pool_leave_gate(struct pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    while (pool->stopping)
        pthread_cond_wait(&pool->wake, &pool->lock);
    pool->is_gated[own_number - 1] = 0;
    pool->gated--;
    pthread_mutex_unlock(&pool->lock);
}

unsigned pool_stop(struct pool *pool)
{
    unsigned behind;

    pthread_mutex_lock(&pool->lock);
    pool->stopping = 1;
    pthread_cond_broadcast(&pool->wake);
    while (pool->threads > pool->ended + pool->gated)
        pthread_cond_wait(&pool->quiet, &pool->lock);
    behind = pool->gated;
    pthread_mutex_unlock(&pool->lock);
    for (unsigned i = 0; i < pool->threads; i++)
        if (!pool->is_gated[i])
            pthread_join(pool->thread[i], NULL); /* out of libc, too: a lock held there would be cloned */
    return behind;
}
