#include "rig.h"

#include "base/fd.h"
#include "core/listeners.h"
#include "core/revival.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PATIENCE_MS 10000
#define NOW_NS (1000 * 1000000000ULL) /* any time will do, as long as it is the test's */

int rig_aside(int fd)
{
    int moved = fcntl(fd, F_DUPFD_CLOEXEC, RIG_ASIDE);

    assert_true(moved >= RIG_ASIDE);
    close(fd);
    return moved;
}

int rig_await(int fd, short events)
{
    struct pollfd wait = {.fd = fd, .events = events};

    return poll(&wait, 1, PATIENCE_MS) == 1;
}

unsigned rig_count_descriptors(void)
{
    unsigned count = 0;

    for (int fd = 0; fd < RIG_ASIDE; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

/* --- the listener --- */

static void address_of(struct rig *rig, struct core_listener *listener, int family)
{
    struct sockaddr_un *path = (struct sockaddr_un *)&listener->address;

    listener->class_tag = 1;
    listener->address.ss_family = (sa_family_t)family;
    switch (family) {
    case AF_INET6:
        listener->kind = CORE_LISTENER_IPV6;
        listener->length = sizeof(struct sockaddr_in6);
        ((struct sockaddr_in6 *)&listener->address)->sin6_addr = in6addr_loopback;
        break;
    case AF_UNIX:
        listener->kind = CORE_LISTENER_UNIX;
        listener->length = sizeof *path;
        snprintf(rig->path, sizeof rig->path, "/tmp/holdfast-unit-%d", getpid());
        memcpy(path->sun_path, rig->path, sizeof path->sun_path);
        break;
    default:
        listener->kind = CORE_LISTENER_IPV4;
        listener->length = sizeof(struct sockaddr_in);
        ((struct sockaddr_in *)&listener->address)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    }
}

/* All numbers below the listener's are taken, as in a real worker. */
static void fixed_descriptors(struct rig *rig, int family)
{
    struct core_listener *listener = &rig->settings.listeners[0];
    char why[128];
    int fd, null = open("/dev/null", O_RDWR | O_CLOEXEC);

    assert_true(null >= 0);
    null = rig_aside(null);
    (void)close_range(FD_LISTENERS, RIG_ASIDE - 1, 0); /* what the test was started with */
    for (fd = 0; fd < FD_LISTENERS; fd++)
        if (fcntl(fd, F_GETFD) < 0)
            assert_int_equal(dup3(null, fd, O_CLOEXEC), fd);
    close(null);
    address_of(rig, listener, family);
    fd = listener_open(listener, 0, why, sizeof why);
    assert_true(fd >= 0);
    if (fd != FD_LISTENERS) {
        assert_int_equal(dup3(fd, FD_LISTENERS, O_CLOEXEC), FD_LISTENERS);
        close(fd);
    }
}

/* --- the worker --- */

static void private_memory(struct rig *rig)
{
    struct worker *worker = &rig->worker;

    worker->side = calloc(RIG_RECORDS, sizeof *worker->side);
    worker->again = calloc(RIG_RECORDS, sizeof *worker->again);
    assert_non_null(worker->side);
    assert_non_null(worker->again);
    assert_int_equal(timers_init(&worker->timers, RIG_RECORDS), 0);
    assert_int_equal(waiting_init(&worker->waiting, RIG_RECORDS), 0);
    assert_int_equal(blocks_init(&worker->blocks, &worker->arena), 0);
}

static int no_housekeeping(struct worker *worker)
{
    (void)worker;
    return 0;
}

static void watch_pool(struct rig *rig)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = (uint64_t)rig->wakeup_fd};

    assert_int_equal(epoll_ctl(rig->worker.epoll_fd, EPOLL_CTL_ADD, rig->wakeup_fd, &event), 0);
}

void rig_open(struct rig *rig, const struct conn_class *class, int family)
{
    struct worker *worker = &rig->worker;

    *rig = (struct rig){.settings = {.workers = 1, .threads = 1, .listener_count = 1}};
    rig->service.classes[1] = class;
    rig->service.housekeeping = no_housekeeping;
    log_set_level(LOG_ERROR);
    fixed_descriptors(rig, family);
    worker->service = &rig->service;
    worker->settings = &rig->settings;
    worker->now_ns = NOW_NS;
    worker->link_fd = -1;
    worker->is_listening = 1;
    assert_int_equal(arena_create(&worker->arena, 0, 1, RIG_RECORDS), 0);
    worker->arena.fd = rig_aside(worker->arena.fd);
    worker->intent = &worker->arena.core->intents[0];
    worker->epoll_fd = rig_aside(epoll_create1(EPOLL_CLOEXEC));
    worker->arena.core->epoll_fd = worker->epoll_fd;
    assert_int_equal(arena_record_reserve(&worker->arena, 0), 0);
    rig->wakeup_fd = rig_aside(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    worker->arena.core->wakeup_fd = rig->wakeup_fd;
    watch_pool(rig);
    private_memory(rig);
    assert_int_equal(pool_init(&worker->pool, rig->settings.threads, rig->wakeup_fd), 0);
}

/* What jobs have finished is lost with the process that had them. */
static void end_pool(struct rig *rig)
{
    uint64_t count;

    (void)pool_stop(&rig->worker.pool);
    (void)!read(rig->wakeup_fd, &count, sizeof count);
}

void rig_forget(struct rig *rig)
{
    struct worker *worker = &rig->worker;

    end_pool(rig);
    handover_fini(worker);
    worker->handover = (struct handover){0};
    timers_fini(&worker->timers);
    waiting_fini(&worker->waiting);
    clients_fini(&worker->clients);
    blocks_fini(&worker->blocks);
    free(worker->side);
    free(worker->again);
    worker->again_count = 0;
    worker->files = 0;
    worker->accept_again_ns = 0;
}

void rig_begin_again(struct rig *rig)
{
    revival_finish_closes(&rig->worker.arena);
    private_memory(rig);
    assert_int_equal(pool_init(&rig->worker.pool, rig->settings.threads, rig->wakeup_fd), 0);
}

void rig_revive(struct rig *rig)
{
    rig_begin_again(rig);
    revival_run(&rig->worker);
}

void rig_close(struct rig *rig)
{
    struct worker *worker = &rig->worker;

    for (int fd = FD_LISTENERS; fd < (int)RIG_RECORDS; fd++)
        close(fd);
    close(worker->epoll_fd);
    rig_forget(rig);
    close(rig->wakeup_fd);
    arena_close(&worker->arena);
    if (rig->path[0])
        unlink(rig->path);
}

/* --- connections --- */

int rig_connect(struct rig *rig)
{
    const struct core_listener *listener = &rig->settings.listeners[0];
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    int fd = rig_aside(socket(listener->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));

    assert_int_equal(getsockname(FD_LISTENERS, (struct sockaddr *)&address, &length), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, length), 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    return fd;
}

static struct record *newest(struct rig *rig)
{
    struct record *found = NULL;

    for (uint32_t n = 0; n < arena_records_limit(&rig->worker.arena); n++) {
        struct record *record = arena_record(&rig->worker.arena, n);

        if (record->life == RECORD_OPEN && (!found || record->serial > found->serial))
            found = record;
    }
    return found;
}

int rig_open_connection(struct rig *rig, struct record **record)
{
    uint64_t before = rig->worker.arena.page->accepted;
    int fd = rig_connect(rig);

    assert_true(rig_await(FD_LISTENERS, POLLIN));
    worker_accept(&rig->worker, 0);
    assert_int_equal(rig->worker.arena.page->accepted, before + 1);
    *record = newest(rig);
    return fd;
}

static void dispatch(struct rig *rig, const struct epoll_event *event)
{
    const uint32_t last_edges = EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI;
    uint32_t number = (uint32_t)event->data.u64, events = event->events;
    struct record *record;

    if (number == (uint32_t)rig->wakeup_fd) {
        pool_finish(&rig->worker.pool);
        return;
    }
    record = arena_record(&rig->worker.arena, number);
    if (number == FD_LISTENERS)
        worker_accept(&rig->worker, 0);
    else if (record->life == RECORD_OPEN && (uint32_t)record->serial == event->data.u64 >> 32)
        worker_drive(&rig->worker, record,
                     (events & EPOLLIN ? READY_IN : 0) | (events & EPOLLOUT ? READY_OUT : 0) |
                         (events & last_edges ? READY_IN | READY_TO_THE_END : 0));
}

int rig_turn(struct rig *rig, int timeout_ms)
{
    struct worker *worker = &rig->worker;
    struct epoll_event events[64];
    int count = epoll_wait(worker->epoll_fd, events, 64, worker->again_count ? 0 : timeout_ms);
    uint32_t again = worker->again_count;

    for (int i = 0; i < count; i++)
        dispatch(rig, &events[i]);
    for (uint32_t i = 0; i < again; i++) {
        struct record *record = arena_record(&worker->arena, worker->again[i]);

        worker->side[worker->again[i]].is_again = 0;
        if (record->life == RECORD_OPEN)
            worker_drive(worker, record, 0);
    }
    worker->again_count -= again;
    memmove(worker->again, worker->again + again, worker->again_count * sizeof *worker->again);
    return count < 0 ? 0 : count;
}
