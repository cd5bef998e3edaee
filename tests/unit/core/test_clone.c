#include "core/clone.h"

#include "core/arena.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* What a child and its parent can both see. */
struct shared {
    _Atomic int32_t pid, seen_pid; /* CLONE_PARENT_SETTID; what the child saw there */
    int private_copy, child_fd;
    pthread_mutex_t lock;
};

static struct shared *shared;

static int setup(void **state)
{
    (void)state;
    shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return shared == MAP_FAILED;
}

static int teardown(void **state)
{
    (void)state;
    return munmap(shared, 4096);
}

static int exit_code_of(pid_t pid)
{
    int status = -1;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void a_worker_shares_descriptors_and_nothing_else(void **state)
{
    int memory = 1, fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    pid_t pid = clone_worker(&shared->pid);
    (void)state;

    if (pid == 0) {
        memory = 2;
        shared->private_copy = memory;
        close(fd);
        shared->child_fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
        shared->child_fd = fcntl(shared->child_fd, F_DUPFD_CLOEXEC, 100);
        _exit(7);
    }
    assert_true(pid > 0);
    assert_int_equal(exit_code_of(pid), 7);
    assert_int_equal(memory, 1);
    assert_int_equal(shared->private_copy, 2);
    if (ARENA_SHARED) {
        char byte = 1;

        assert_int_equal(read(shared->child_fd, &byte, 1), 1); /* it outlives its maker */
        assert_int_equal(byte, 0);
        close(shared->child_fd);
    } else {
        assert_int_equal(fcntl(shared->child_fd, F_GETFD), -1);
        close(fd);
    }
}

static void the_pid_is_written_before_the_child_runs(void **state)
{
    pid_t pid = clone_worker(&shared->pid);
    (void)state;

    if (pid == 0) {
        shared->seen_pid = shared->pid;
        _exit(0);
    }
    assert_int_equal(shared->pid, pid);
    assert_int_equal(exit_code_of(pid), 0);
    assert_int_equal(shared->seen_pid, pid);
}

/* What breaks first when libc has stale ideas of who it is. */
static int child_is_sound(void)
{
    pthread_mutex_t mutex;
    pthread_mutexattr_t attributes;

    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&mutex, &attributes);
    if (gettid() != getpid() || getpid() != shared->pid)
        return 1;
    if (pthread_mutex_lock(&mutex) || pthread_mutex_lock(&mutex) == 0 || pthread_mutex_unlock(&mutex))
        return 2;
    free(malloc(100000));
    return signal(SIGUSR1, SIG_IGN) == SIG_ERR || raise(SIGUSR1) ? 3 : 0;
}

static void *thread_body(void *argument)
{
    return argument;
}

static void the_child_is_a_sound_process(void **state)
{
    pid_t pid = clone_worker(&shared->pid);
    (void)state;

    if (pid == 0) {
        pthread_t thread;
        void *result = NULL;
        int failed = child_is_sound();

        if (!failed && (pthread_create(&thread, NULL, thread_body, shared) || pthread_join(thread, &result) ||
                        result != shared))
            failed = 4;
        _exit(failed);
    }
    assert_int_equal(exit_code_of(pid), 0);
}

/* The kernel hands such a lock on only if libc has put the child's own id into it, and told where its list is. */
static void a_lock_that_a_child_dies_with_is_known_to_be_abandoned(void **state)
{
    pthread_mutexattr_t attributes;
    pid_t pid;
    (void)state;

    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    assert_int_equal(pthread_mutex_init(&shared->lock, &attributes), 0);
    pid = clone_worker(&shared->pid);
    if (pid == 0)
        _exit(pthread_mutex_lock(&shared->lock) ? 1 : 0);
    assert_int_equal(exit_code_of(pid), 0);
    assert_int_equal(pthread_mutex_trylock(&shared->lock), EOWNERDEAD);
}

static void a_signal_that_the_child_raises_kills_the_child(void **state)
{
    pid_t pid = clone_worker(&shared->pid);
    (void)state;

    if (pid == 0) {
        const struct rlimit none = {0, 0};

        (void)setrlimit(RLIMIT_CORE, &none);
        (void)signal(SIGABRT, SIG_DFL);
        abort();
    }
    assert_int_equal(exit_code_of(pid), -SIGABRT);
}

/* We -> middle -> sibling, which is ours and not the middle's. The middle ends after its sibling. */
_Noreturn static void middle(void)
{
    int go[2], fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    pid_t parent = getppid(), pid;
    char byte;

    if (pipe2(go, O_CLOEXEC))
        _exit(1);
    pid = clone_sibling(&shared->pid);
    if (pid == 0) {
        close(fd);
        _exit(getppid() == parent ? 21 : 1);
    }
    close(go[1]);
    (void)!read(go[0], &byte, 1); /* the end of file comes with the end of the sibling */
    _exit(fcntl(fd, F_GETFD) >= 0 && shared->pid == pid ? 22 : 2);
}

static void a_sibling_is_a_child_of_our_parent_with_a_table_of_its_own(void **state)
{
    pid_t pid = fork();
    (void)state;

    if (pid == 0)
        middle();
    assert_int_equal(exit_code_of(pid), 22);
    assert_int_equal(exit_code_of(shared->pid), 21);
}

static void a_process_limit_is_an_error_to_try_again(void **state)
{
    int status;
    pid_t pid = fork();
    (void)state;

    if (pid == 0) {
        const struct rlimit none = {0, 0};
        pid_t child;

        /* Root is not bound by it. */
        if (geteuid() == 0 && (setgid(65534) || setuid(65534)))
            _exit(1);
        (void)setrlimit(RLIMIT_NPROC, &none);
        child = clone_worker(&shared->pid);
        if (child == 0)
            _exit(0);
        _exit(child == ERR_AGAIN ? 0 : 2);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_worker_shares_descriptors_and_nothing_else),
        CASE(the_pid_is_written_before_the_child_runs),
        CASE(the_child_is_a_sound_process),
        CASE(a_lock_that_a_child_dies_with_is_known_to_be_abandoned),
        CASE(a_signal_that_the_child_raises_kills_the_child),
        CASE(a_sibling_is_a_child_of_our_parent_with_a_table_of_its_own),
        CASE(a_process_limit_is_an_error_to_try_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
