#include "loop/pool.h"

#include "base/fd.h"
#include "unit.h"

#include <poll.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define JOBS 200

struct job {
    struct pool_job job; /* first */
    int number;
    unsigned thread;
};

static struct pool pool;
static int wakeup_fd;
static struct job jobs[POOL_QUEUE_MAX + POOL_THREADS_MAX + 1];
static int finished[JOBS], finished_count;
static sem_t gate, entered;
static _Atomic unsigned running, most_running, started_mask, job_without_signals;

static int setup(void **state)
{
    (void)state;
    wakeup_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    finished_count = 0;
    running = most_running = started_mask = job_without_signals = 0;
    return wakeup_fd < 0 || sem_init(&gate, 0, 0) || sem_init(&entered, 0, 0);
}

static int teardown(void **state)
{
    (void)state;
    fd_close(&wakeup_fd);
    return sem_destroy(&gate) || sem_destroy(&entered);
}

static void note_thread(unsigned thread)
{
    started_mask |= 1u << thread;
}

static void run_at_once(struct pool_job *job, unsigned thread)
{
    sigset_t blocked;

    ((struct job *)(void *)job)->thread = thread;
    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    job_without_signals += sigismember(&blocked, SIGTERM) && sigismember(&blocked, SIGCHLD) &&
                           !sigismember(&blocked, SIGSEGV) && !sigismember(&blocked, SIGABRT);
}

static void run_behind_the_gate(struct pool_job *job, unsigned thread)
{
    unsigned now = ++running;

    if (now > most_running)
        most_running = now;
    ((struct job *)(void *)job)->thread = thread;
    sem_post(&entered);
    sem_wait(&gate);
    running--;
}

static void run_until_the_pool_stops(struct pool_job *job, unsigned thread)
{
    int stopping = 0;

    ((struct job *)(void *)job)->thread = thread;
    running = 1;
    sem_post(&entered);
    while (!stopping) {
        sched_yield();
        pthread_mutex_lock(&pool.lock);
        stopping = pool.stopping;
        pthread_mutex_unlock(&pool.lock);
    }
    running = 0;
}

static void note_done(struct pool_job *job)
{
    if (finished_count < JOBS)
        finished[finished_count] = ((struct job *)(void *)job)->number;
    finished_count++;
}

static int submit(int number, void (*run)(struct pool_job *job, unsigned thread))
{
    jobs[number] = (struct job){.job = {.run = run, .done = note_done}, .number = number};
    return pool_submit(&pool, &jobs[number].job);
}

static void finish_until(int count)
{
    struct pollfd wait = {.fd = wakeup_fd, .events = POLLIN};

    while (finished_count < count) {
        assert_int_equal(poll(&wait, 1, 10000), 1);
        pool_finish(&pool);
    }
}

static void one_thread_finishes_jobs_in_their_order(void **state)
{
    (void)state;
    assert_int_equal(pool_init(&pool, 1, wakeup_fd), 0);
    for (int i = 0; i < JOBS; i++)
        assert_int_equal(submit(i, run_at_once), 0);
    finish_until(JOBS);
    for (int i = 0; i < JOBS; i++) {
        assert_int_equal(finished[i], i);
        assert_int_equal(jobs[i].thread, 1);
    }
    assert_int_equal(job_without_signals, JOBS);
    pool_stop(&pool);
}

static void threads_have_the_numbers_from_one_and_never_more_than_the_bound(void **state)
{
    (void)state;
    assert_int_equal(pool_init(&pool, 3, wakeup_fd), 0);
    pool.thread_started = note_thread;
    for (int i = 0; i < 20; i++)
        assert_int_equal(submit(i, run_behind_the_gate), 0);
    for (int i = 0; i < 3; i++)
        sem_wait(&entered);
    assert_int_equal(sem_trywait(&entered), -1); /* nobody else got in */
    for (int i = 0; i < 20; i++)
        sem_post(&gate);
    finish_until(20);
    assert_int_equal(most_running, 3);
    assert_int_equal(pool.threads, 3);
    assert_int_equal(started_mask, 1u << 1 | 1u << 2 | 1u << 3);
    for (int i = 0; i < 20; i++)
        assert_in_range(jobs[i].thread, 1, 3);
    pool_stop(&pool);
}

static void an_idle_thread_is_used_again(void **state)
{
    (void)state;
    assert_int_equal(pool_init(&pool, 8, wakeup_fd), 0);
    for (int i = 0; i < 50; i++) {
        assert_int_equal(submit(i, run_at_once), 0);
        finish_until(i + 1);
    }
    assert_int_equal(pool.threads, 1);
    pool_stop(&pool);
}

static void wait_until_no_thread_is_left(void)
{
    pthread_mutex_lock(&pool.lock);
    while (pool.threads)
        pthread_cond_wait(&pool.quiet, &pool.lock);
    pthread_mutex_unlock(&pool.lock);
}

static void a_thread_without_work_ends_and_its_number_is_given_again(void **state)
{
    (void)state;
    assert_int_equal(pool_init(&pool, 2, wakeup_fd), 0);
    pool.idle_ms = 20;
    for (int i = 0; i < 3; i++) {
        jobs[i] = (struct job){{run_at_once, note_done, NULL}, i, 0};
        assert_int_equal(pool_submit(&pool, &jobs[i].job), 0);
        finish_until(i + 1);
        assert_int_equal(jobs[i].thread, 1);
        wait_until_no_thread_is_left();
    }
    assert_int_equal(pool_stop(&pool), 0);
}

static void a_full_queue_refuses(void **state)
{
    (void)state;
    assert_int_equal(pool_init(&pool, 1, wakeup_fd), 0);
    assert_int_equal(submit(0, run_behind_the_gate), 0);
    sem_wait(&entered);
    for (unsigned i = 1; i <= POOL_QUEUE_MAX; i++)
        assert_int_equal(submit((int)i, run_at_once), 0);
    assert_int_equal(submit((int)POOL_QUEUE_MAX + 1, run_at_once), ERR_LIMIT);
    sem_post(&gate);
    finish_until((int)POOL_QUEUE_MAX + 1);
    assert_int_equal(submit(0, run_at_once), 0);
    finish_until((int)POOL_QUEUE_MAX + 2);
    pool_stop(&pool);
}

static void stopping_ends_what_runs_and_drops_what_waits(void **state)
{
    (void)state;
    assert_int_equal(pool_init(&pool, 1, wakeup_fd), 0);
    assert_int_equal(submit(0, run_until_the_pool_stops), 0);
    sem_wait(&entered);
    for (int i = 1; i < 10; i++)
        assert_int_equal(submit(i, run_at_once), 0);
    pool_stop(&pool);
    assert_int_equal(running, 0);
    assert_int_equal(jobs[0].thread, 1);
    for (int i = 1; i < 10; i++)
        assert_int_equal(jobs[i].thread, 0);
    assert_int_equal(finished_count, 0);
    assert_int_equal(pool.threads, 0);
}

static void run_behind_a_gate(struct pool_job *job, unsigned thread)
{
    ((struct job *)(void *)job)->thread = thread;
    pool_enter_gate(&pool);
    sem_post(&entered);
    sem_wait(&gate);
    pool_leave_gate(&pool);
}

static void who_waits_within_a_gate_is_not_waited_for(void **state)
{
    (void)state;
    assert_int_equal(pool_init(&pool, 2, wakeup_fd), 0);
    assert_int_equal(submit(0, run_behind_a_gate), 0);
    sem_wait(&entered);
    sem_post(&gate); /* while nobody stops, it comes out again */
    finish_until(1);
    assert_int_equal(submit(0, run_behind_a_gate), 0);
    assert_int_equal(submit(1, run_at_once), 0);
    sem_wait(&entered);
    finish_until(2);
    assert_int_equal(pool_stop(&pool), 1);
    assert_int_equal(finished_count, 2);
    /* It stays there for good, and the semaphore with it: this is the last test. */
}

static void a_bound_out_of_range_is_refused(void **state)
{
    (void)state;
    assert_int_equal(pool_init(&pool, 0, wakeup_fd), ERR_INVALID);
    assert_int_equal(pool_init(&pool, POOL_THREADS_MAX + 1, wakeup_fd), ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_thread_finishes_jobs_in_their_order, setup, teardown),
        cmocka_unit_test_setup_teardown(threads_have_the_numbers_from_one_and_never_more_than_the_bound,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(an_idle_thread_is_used_again, setup, teardown),
        cmocka_unit_test_setup_teardown(a_thread_without_work_ends_and_its_number_is_given_again, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_full_queue_refuses, setup, teardown),
        cmocka_unit_test_setup_teardown(stopping_ends_what_runs_and_drops_what_waits, setup, teardown),
        cmocka_unit_test_setup_teardown(a_bound_out_of_range_is_refused, setup, teardown),
        cmocka_unit_test_setup(who_waits_within_a_gate_is_not_waited_for, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
