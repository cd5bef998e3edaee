#include "loop/pool.h"

#include <errno.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

int pool_init(struct pool *pool, unsigned threads, int wakeup_fd)
{
    pthread_condattr_t attributes;

    if (threads < 1 || threads > POOL_THREADS_MAX)
        return ERR_INVALID;
    *pool = (struct pool){.limit = threads, .wakeup_fd = wakeup_fd, .idle_ms = POOL_IDLE_MS};
    pool->waiting_end = &pool->waiting;
    pool->finished_end = &pool->finished;
    if (pthread_condattr_init(&attributes) || pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) ||
        pthread_mutex_init(&pool->lock, NULL) || pthread_cond_init(&pool->wake, &attributes) ||
        pthread_cond_init(&pool->quiet, NULL))
        return ERR_NO_MEMORY;
    return 0;
}

static _Thread_local unsigned own_number; /* of a pool thread: 1, 2, … */

static struct timespec pool_idle_end(const struct pool *pool)
{
    struct timespec end;

    (void)clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += pool->idle_ms / 1000;
    end.tv_nsec += (long)(pool->idle_ms % 1000) * 1000000;
    if (end.tv_nsec >= 1000000000) {
        end.tv_nsec -= 1000000000;
        end.tv_sec++;
    }
    return end;
}

/* NULL: the thread is to end. */
static struct pool_job *pool_wait_for_job(struct pool *pool)
{
    const struct timespec end = pool_idle_end(pool);
    struct pool_job *job;
    int result = 0;

    pool->idle++;
    while (!pool->waiting && !pool->stopping && result != ETIMEDOUT)
        result = pthread_cond_timedwait(&pool->wake, &pool->lock, &end);
    pool->idle--;
    if (pool->stopping || !pool->waiting)
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
    struct pool_place *place = argument;
    struct pool *pool = place->pool;
    const unsigned number = place->number;
    struct pool_job *job;

    pthread_mutex_lock(&pool->lock);
    own_number = number;
    if (pool->thread_started)
        pool->thread_started(number);
    while ((job = pool_wait_for_job(pool))) {
        pthread_mutex_unlock(&pool->lock);
        job->run(job, number);
        pthread_mutex_lock(&pool->lock);
        pool_job_finished(pool, job);
    }
    pool->threads--;
    place->state = POOL_PLACE_ENDED;
    pthread_cond_signal(&pool->quiet);
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

/* A place without a thread. One that has ended gives its lock back before it is seen to, so it is not waited for long. */
static struct pool_place *pool_free_place(struct pool *pool)
{
    struct pool_place *place = pool->places;

    while (place->state == POOL_PLACE_TAKEN)
        place++;
    if (place->state == POOL_PLACE_ENDED)
        pthread_join(place->thread, NULL);
    *place = (struct pool_place){.pool = pool, .number = (unsigned)(place - pool->places) + 1};
    return place;
}

/* Signals belong to the loop thread. */
static int pool_add_thread(struct pool *pool)
{
    struct pool_place *place = pool_free_place(pool);
    sigset_t all, before;
    int failed;

    sigfillset(&all);
    sigdelset(&all, SIGSEGV);
    sigdelset(&all, SIGBUS);
    sigdelset(&all, SIGFPE);
    sigdelset(&all, SIGILL);
    sigdelset(&all, SIGABRT);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    failed = pthread_create(&place->thread, NULL, pool_thread, place);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed)
        return ERR_NO_MEMORY;
    place->state = POOL_PLACE_TAKEN;
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
    pool->places[own_number - 1].is_gated = 1;
    pool->gated++;
    pthread_cond_signal(&pool->quiet);
    pthread_mutex_unlock(&pool->lock);
}

void pool_leave_gate(struct pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    while (pool->stopping)
        pthread_cond_wait(&pool->wake, &pool->lock);
    pool->places[own_number - 1].is_gated = 0;
    pool->gated--;
    pthread_mutex_unlock(&pool->lock);
}

unsigned pool_stop(struct pool *pool)
{
    unsigned behind;

    pthread_mutex_lock(&pool->lock);
    pool->stopping = 1;
    pthread_cond_broadcast(&pool->wake);
    while (pool->threads > pool->gated)
        pthread_cond_wait(&pool->quiet, &pool->lock);
    behind = pool->gated;
    pthread_mutex_unlock(&pool->lock);
    for (unsigned i = 0; i < POOL_THREADS_MAX; i++)
        if (pool->places[i].state == POOL_PLACE_ENDED)
            pthread_join(pool->places[i].thread,
                         NULL); /* out of libc, too: a lock held there would be cloned */
    return behind;
}
