#include "two_slots.h"

#include "core/link.h"
#include "core/revival.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <setjmp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TURNS_MAX 3000
#define LINK_ASIDE 395 /* where each table has the slot's end of the master's link, for the test alone */

struct slot_under_test two_slots[2];

static struct thread_of_slot {
    pthread_t thread;
    sem_t wanted, done;
    void (*what)(struct rig *rig, void *context);
    void *context;
    int ends;
} threads[2];

static __thread struct slot_under_test *own;
static __thread jmp_buf death;
static __thread int may_die;

/* --- deaths --- */

void two_slots_point(void)
{
    if (!own || !may_die)
        return;
    own->points++;
    if (own->die_at && own->points == own->die_at) {
        own->die_at = own->then_at ? own->points + own->then_at : 0;
        own->then_at = 0;
        longjmp(death, 1);
    }
}

/* The calls of a handover. What they do in other threads is nobody's business. */
int sendmmsg(int fd, struct mmsghdr *messages, unsigned int count, int flags)
{
    long result;

    two_slots_point();
    result = syscall(SYS_sendmmsg, fd, messages, count, flags);
    two_slots_point();
    return (int)result;
}

int recvmmsg(int fd, struct mmsghdr *messages, unsigned int count, int flags, struct timespec *timeout)
{
    long result;

    two_slots_point();
    result = syscall(SYS_recvmmsg, fd, messages, count, flags, timeout);
    two_slots_point();
    return (int)result;
}

ssize_t send(int fd, const void *bytes, size_t length, int flags)
{
    long result;

    two_slots_point();
    result = syscall(SYS_sendto, fd, bytes, length, flags, NULL, 0);
    two_slots_point();
    return result;
}

int epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event)
{
    long result;

    two_slots_point();
    result = syscall(SYS_epoll_ctl, epoll, operation, fd, event);
    two_slots_point();
    return (int)result;
}

int close(int fd)
{
    long result;

    two_slots_point();
    result = syscall(SYS_close, fd);
    two_slots_point();
    return (int)result;
}

/* --- threads --- */

/* The successor may die, too. */
static void run_and_revive(void)
{
    struct thread_of_slot *thread = &threads[own - two_slots];
    volatile int has_died = 0;

    if (setjmp(death)) {
        may_die = 0;
        has_died = 1;
        own->deaths++;
        rig_forget(&own->rig);
        if (own->crashes) {
            own->rig.worker.arena.core->fault = 1;
            own->rig.worker.arena.core->fault_thread = 0;
        }
    }
    if (!has_died) {
        may_die = 1;
        thread->what(&own->rig, thread->context);
    } else {
        rig_begin_again(&own->rig);
        may_die = 1;
        revival_run(&own->rig.worker);
    }
    may_die = 0;
}

static void *live(void *slot)
{
    struct thread_of_slot *thread;

    own = slot;
    thread = &threads[own - two_slots];
    assert_int_equal(unshare(CLONE_FILES), 0);
    for (;;) {
        sem_wait(&thread->wanted);
        if (thread->ends)
            return NULL;
        run_and_revive();
        sem_post(&thread->done);
    }
}

void two_slots_run(int slot, void (*what)(struct rig *rig, void *context), void *context)
{
    struct thread_of_slot *thread = &threads[slot];

    thread->what = what;
    thread->context = context;
    sem_post(&thread->wanted);
    sem_wait(&thread->done);
}

/* --- opening and closing --- */

struct opening {
    const struct conn_class *class;
    int family, link;
};

static void open_slot(struct rig *rig, void *context)
{
    const struct opening *opening = context;

    rig_open(rig, opening->class, opening->family);
    assert_int_equal(dup3(opening->link, FD_LINK, O_CLOEXEC), FD_LINK);
    rig->worker.link_fd = FD_LINK;
    strcpy(rig->settings.listeners[0].text, ":1");
}

static void close_slot(struct rig *rig, void *context)
{
    (void)context;
    rig_close(rig);
}

static int links[2]; /* the master's ends */

void two_slots_open(const struct conn_class *class, int family)
{
    memset(two_slots, 0, sizeof two_slots);
    for (int i = 0; i < 2; i++) {
        int pair[2];
        struct opening opening = {class, family, 0};

        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
        links[i] = rig_aside(pair[0]);
        opening.link = rig_aside(pair[1]);
        threads[i] = (struct thread_of_slot){0};
        sem_init(&threads[i].wanted, 0, 0);
        sem_init(&threads[i].done, 0, 0);
        assert_int_equal(pthread_create(&threads[i].thread, NULL, live, &two_slots[i]), 0);
        two_slots_run(i, open_slot, &opening);
        two_slots[i].points = 0;
        close(opening.link);
    }
}

void two_slots_close(void)
{
    for (int i = 0; i < 2; i++) {
        two_slots_run(i, close_slot, NULL);
        threads[i].ends = 1;
        sem_post(&threads[i].wanted);
        pthread_join(threads[i].thread, NULL);
        close(links[i]);
    }
}

/* --- what happens --- */

static void accept_one(struct rig *rig, void *context)
{
    uint32_t *number = context;
    struct record *record;

    assert_true(rig_await(FD_LISTENERS, POLLIN));
    worker_accept(&rig->worker, 0);
    for (uint32_t n = 0; n < arena_records_limit(&rig->worker.arena); n++) {
        record = arena_record(&rig->worker.arena, n);
        if (record->life == RECORD_OPEN && record->serial + 1 == rig->worker.arena.core->next_serial)
            *number = n;
    }
}

static void address_of(struct rig *rig, void *context)
{
    struct sockaddr_storage *address = context;
    socklen_t length = sizeof *address;

    (void)rig;
    assert_int_equal(getsockname(FD_LISTENERS, (struct sockaddr *)address, &length), 0);
}

int two_slots_connect(uint32_t *number)
{
    struct sockaddr_storage address;
    int fd;

    two_slots_run(SENDER, address_of, &address);
    fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    two_slots_run(SENDER, accept_one, number);
    return fd;
}

void two_slots_link(void)
{
    int page = handover_page_create(), pair[2];

    assert_true(page >= 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
    assert_int_equal(handover_send_link(links[RECEIVER], 1, 1, HANDOVER_TAKES, pair[1], page), 0);
    assert_int_equal(handover_send_link(links[SENDER], 0, 1, HANDOVER_GIVES, pair[0], page), 0);
    close(page);
    close(pair[0]);
    close(pair[1]);
}

static void read_link(struct worker *worker)
{
    struct link_message message;

    while (!handover_receive_link(worker, &message))
        ;
}

static void drive_again(struct worker *worker)
{
    const uint32_t count = worker->again_count;

    for (uint32_t i = 0; i < count; i++) {
        struct record *record = arena_record(&worker->arena, worker->again[i]);

        worker->side[worker->again[i]].is_again = 0;
        if (record->life == RECORD_OPEN)
            worker_drive(worker, record, 0);
    }
    worker->again_count = 0;
}

static void turn(struct rig *rig, void *context)
{
    struct worker *worker = &rig->worker;
    struct epoll_event events[64];
    int count;

    (void)context;
    worker->now_ns += 10 * 1000000ULL;
    read_link(worker);
    count = epoll_wait(worker->epoll_fd, events, 64, 0);
    for (int i = 0; i < count; i++) {
        const uint32_t number = (uint32_t)events[i].data.u64;
        struct record *record = arena_record(&worker->arena, number);

        if (number < RIG_RECORDS && record->life == RECORD_OPEN && number > FD_LISTENERS)
            worker_drive(worker, record, READY_IN | READY_OUT);
        else if (number < RIG_RECORDS)
            (void)handover_ready(worker, number);
    }
    drive_again(worker);
    handover_turn(worker);
}

void two_slots_turn(int slot)
{
    two_slots_run(slot, turn, NULL);
}

static int has_link(int slot)
{
    for (unsigned i = 0; i < HANDOVER_LINKS; i++)
        if (two_slots[slot].rig.worker.arena.core->handover.links[i].role != HANDOVER_NONE)
            return 1;
    return 0;
}

void two_slots_turn_until_done(void)
{
    int turns = 0;

    do {
        two_slots_turn(SENDER);
        two_slots_turn(RECEIVER);
        assert_in_range(++turns, 1, TURNS_MAX);
    } while (has_link(SENDER) || has_link(RECEIVER));
}
