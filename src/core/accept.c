/* Accepting, and the one constructor of connection records. */
#include "core/worker.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "core/link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define ACCEPTS_A_TURN 64
#define ACCEPTS_IN_A_ROW 16 /* then it is a sibling's turn */
#define PAUSE_NS (100 * NS_PER_MS)
#define PAUSE_TOLD_NS (10 * NS_PER_S) /* the log hears of it no more often */
#define SPARE_DESCRIPTORS 128u        /* for files, pool threads and what a revival opens */
#define YIELDS_A_TURN 8               /* looks at connections that could be closed for others */
#define YIELDED_TOLD_NS (10 * NS_PER_S)

static int epoll_arm(struct worker *worker, struct record *record, int operation)
{
    uint32_t number = arena_number(&worker->arena, record);
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP | EPOLLET,
                                .data.u64 = record->serial << 32 | number};

    if (epoll_ctl(worker->epoll_fd, operation, (int)number, &event))
        return err_from_errno(errno);
    worker_side(worker, record)->is_watched = 1;
    return 0;
}

int worker_register_again(struct worker *worker, struct record *record)
{
    int result = epoll_arm(worker, record, EPOLL_CTL_MOD);

    return result == ERR_NOT_FOUND ? epoll_arm(worker, record, EPOLL_CTL_ADD) : result;
}

int worker_register(struct worker *worker, struct record *record)
{
    return epoll_arm(worker, record, EPOLL_CTL_ADD);
}

static uint8_t kind_of_listener(const struct worker *worker, unsigned listener)
{
    return worker->settings->listeners[listener].address.ss_family == AF_UNIX ? RECORD_UNIX
                                                                              : RECORD_TCP_ACCEPTED;
}

void worker_fill_record(struct worker *worker, struct record *record, uint8_t kind, uint8_t class_tag,
                        uint16_t listener)
{
    uint64_t serial = worker->arena.core->next_serial;

    worker->arena.core->next_serial = serial + 1;
    memset(record, 0, offsetof(struct record, heads[1]));
    record->magic = RECORD_MAGIC;
    record->life = RECORD_ACCEPTING;
    record->kind = kind;
    record->class_tag = class_tag;
    record->listener = listener;
    record->serial = serial;
    record->opened_ns = worker->now_ns;
    record->heads[0].file_fd = -1;
}

void worker_open_record(struct worker *worker, int fd, unsigned listener,
                        const struct sockaddr_storage *client)
{
    struct record *record = arena_record(&worker->arena, (uint32_t)fd);
    struct arena_page *page = worker->arena.page;

    MUST(record->life == RECORD_FREE || record->life == RECORD_ACCEPTING);
    record_set_life(record, RECORD_ACCEPTING);
    worker_fill_record(worker, record, kind_of_listener(worker, listener),
                       worker_class_of(&worker->settings->listeners[listener], client), (uint16_t)listener);
    worker_note_peer(record, client);
    /* A number that waits for its turn is in worker.again, whoever has it now. */
    *worker_side(worker, record) = (struct conn_side){.is_again = worker_side(worker, record)->is_again};
    worker_admit_client(worker, record, record);
    worker->service->classes[record->class_tag]->opened(worker, record, record_begin(record));
    record_commit(record);
    record_set_life(record, RECORD_OPEN);
    arena_count_add(&page->connections, 1);
    arena_count_add(&page->accepted, 1);
    arena_count_add(&page->accepted_by_listener[listener], 1);
}

/* Often the first bytes are there already, and a short answer ends a short connection before epoll needs to know of it. */
static void serve_at_once(struct worker *worker, int fd)
{
    struct record *record = arena_record(&worker->arena, (uint32_t)fd);

    worker_drive(worker, record, READY_IN | READY_OUT);
    if (record->life == RECORD_OPEN && worker_register(worker, record)) {
        log_event(LOG_ERROR, LOG_EV_DESCRIPTORS_SHORT, "fd=%d error=\"epoll_ctl: %s\"", fd, strerror(errno));
        worker->service->classes[record->class_tag]->abandon(worker, record);
    }
}

/* The master then leads new clients to other queues, where there are several. */
static void tell_full(struct worker *worker, uint32_t is_full)
{
    struct arena_page *page = worker->arena.page;

    if (page->is_full == is_full)
        return;
    page->is_full = is_full;
    (void)!link_send(worker->link_fd, LINK_FULL, page->slot, page->generation, 0);
}

/* Nothing more can be taken in: listeners leave the epoll instance, so that siblings get the wake-ups, and the
 * clients wait in the queue. */
static void accept_pause(struct worker *worker, enum log_event event, const char *reason)
{
    if (worker->now_ns >= worker->pause_told_ns + PAUSE_TOLD_NS || !worker->pause_told_ns)
        log_event(LOG_WARN, event, "reason=\"%s\" connections=%llu next=\"trying again every 100 ms\"",
                  reason, (unsigned long long)worker->arena.page->connections);
    if (worker->now_ns >= worker->pause_told_ns + PAUSE_TOLD_NS)
        worker->pause_told_ns = worker->now_ns;
    worker->accept_again_ns = worker->now_ns + PAUSE_NS;
    tell_full(worker, 1);
    for (unsigned i = 0; i < worker->settings->listener_count; i++)
        (void)epoll_ctl(worker->epoll_fd, EPOLL_CTL_DEL, FD_LISTENERS + (int)i, NULL);
}

/* --- room --- */

static void tell_yielded(struct worker *worker)
{
    worker->yielded++;
    if (worker->yielded_told_ns && worker->now_ns < worker->yielded_told_ns + YIELDED_TOLD_NS)
        return;
    log_event(LOG_WARN, LOG_EV_CONNECTIONS_CLOSED,
              "count=%llu reason=\"no room for others\" connections=%llu",
              (unsigned long long)worker->yielded, (unsigned long long)worker->arena.page->connections);
    worker->yielded = 0;
    worker->yielded_told_ns = worker->now_ns;
}

/* A request that has arrived and was not yet read would be lost. */
static int has_unread(uint32_t number)
{
    char byte;

    return recv((int)number, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

/* 1: closed; 0: nobody here; ERR_BUSY: this one is no longer waiting. */
static int yield_first(struct worker *worker, enum waiting_for kind)
{
    uint32_t number = waiting_first(&worker->waiting, kind);
    const struct conn_class *class;
    struct record *record;

    if (number != WAITING_NOBODY && number + 1 == worker->intent->record) /* it is being driven */
        number = waiting_next(&worker->waiting, number);
    if (number == WAITING_NOBODY)
        return 0;
    record = arena_record(&worker->arena, number);
    class = worker->service->classes[record->class_tag];
    if (!class->may_yield || !class->may_yield(worker, record))
        return 0;
    if (has_unread(number)) {
        worker_side(worker, record)->readable = 1;
        waiting_put(&worker->waiting, number, kind);
        worker_again(worker, record);
        return ERR_BUSY;
    }
    class->abandon(worker, record);
    tell_yielded(worker);
    return 1;
}

int worker_make_room(struct worker *worker)
{
    if (worker->is_draining)
        return 0;
    for (int i = 0; i < YIELDS_A_TURN; i++) {
        int result = yield_first(worker, WAITING_IDLE);

        if (!result)
            result = yield_first(worker, WAITING_BEGUN);
        if (result != ERR_BUSY)
            return result;
    }
    return 0;
}

/* The kernel gives the lowest free descriptor, so it is not above the number of those in use: room for its record is
 * made before accept4, which cannot be undone without the client's noticing. */
static int has_room(struct worker *worker)
{
    const struct core_settings *settings = worker->settings;
    uint64_t next = worker_descriptors(worker) + SPARE_DESCRIPTORS;

    /* At a stop the queue is emptied: whoever waited there is answered, too. */
    if (settings->max_connections && !worker->order_seen &&
        worker->arena.page->connections >= settings->max_connections)
        return ERR_LIMIT;
    if (next >= worker->arena.core->record_count)
        return ERR_NO_DESCRIPTORS;
    return arena_record_reserve(&worker->arena, (uint32_t)next);
}

static int somebody_waits(unsigned listener)
{
    struct pollfd wait = {.fd = FD_LISTENERS + (int)listener, .events = POLLIN};

    return poll(&wait, 1, 0) == 1;
}

/* Nobody's connection is closed for nobody: ERR_AGAIN. */
static int accept_make_room(struct worker *worker, unsigned listener)
{
    int result = has_room(worker);

    if (result && !somebody_waits(listener))
        return ERR_AGAIN;
    return result && worker_make_room(worker) ? has_room(worker) : result;
}

static int accept_one(struct worker *worker, unsigned listener)
{
    struct intent *intent = worker->intent;
    struct sockaddr_storage client = {.ss_family = AF_UNSPEC};
    socklen_t client_length = sizeof client;
    int fd, result = worker->is_listening ? accept_make_room(worker, listener) : ERR_AGAIN;

    if (result == ERR_AGAIN)
        return result;
    if (result) {
        accept_pause(worker, result == ERR_NO_MEMORY ? LOG_EV_ARENA_SHORT : LOG_EV_DESCRIPTORS_SHORT,
                     err_text(result));
        return result;
    }
    intent->listener = listener;
    COMPILER_BARRIER();
    intent->call = INTENT_ACCEPT;
    COMPILER_BARRIER();
    fd = accept4(FD_LISTENERS + (int)listener, (struct sockaddr *)&client, &client_length,
                 SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        result = errno == ECONNABORTED || errno == EINTR ? 0 : err_from_errno(errno);
        intent->call = INTENT_NOTHING;
        if (result && result != ERR_AGAIN)
            accept_pause(worker, LOG_EV_DESCRIPTORS_SHORT, strerror(errno));
        if (result == ERR_NO_DESCRIPTORS)
            (void)worker_make_room(worker); /* others of the system have taken what we counted on */
        return result;
    }
    result = arena_record_reserve(&worker->arena,
                                  (uint32_t)fd); /* made room for above; more are open than we knew */
    if (result) {
        close(fd);
        intent->call = INTENT_NOTHING;
        accept_pause(worker, LOG_EV_ARENA_SHORT, err_text(result));
        return result;
    }
    worker_note_descriptor(worker, fd);
    worker_open_record(worker, fd, listener, &client);
    COMPILER_BARRIER();
    intent->call = INTENT_NOTHING;
    serve_at_once(worker, fd);
    return 0;
}

static void listener_add(struct worker *worker, unsigned listener)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLEXCLUSIVE, .data.u64 = FD_LISTENERS + listener};

    /* EPOLL_CTL_MOD is not allowed with EPOLLEXCLUSIVE (epoll_ctl(2)). */
    (void)epoll_ctl(worker->epoll_fd, EPOLL_CTL_DEL, FD_LISTENERS + (int)listener, NULL);
    if (epoll_ctl(worker->epoll_fd, EPOLL_CTL_ADD, FD_LISTENERS + (int)listener, &event))
        log_event(LOG_ERROR, LOG_EV_LISTENER_FAILED, "address=%s error=\"epoll_ctl: %s\"",
                  worker->settings->listeners[listener].text, strerror(errno));
}

/* The kernel wakes exclusive waiters in the order in which they were added: without this, the first worker would take
 * nearly all connections. */
static void let_siblings_accept(struct worker *worker, unsigned listener)
{
    if (worker->settings->listeners[listener].accept == CORE_ACCEPT_REUSEPORT) /* none share the queue */
        return;
    if (++worker->accepted_in_a_row < ACCEPTS_IN_A_ROW)
        return;
    worker->accepted_in_a_row = 0;
    listener_add(worker, listener);
}

int worker_accept(struct worker *worker, unsigned listener)
{
    for (int i = 0; i < ACCEPTS_A_TURN; i++) {
        if (accept_one(worker, listener))
            return 0;
        let_siblings_accept(worker, listener);
    }
    return 1;
}

void worker_listen(struct worker *worker)
{
    worker->accept_again_ns = 0;
    if (!worker->is_listening)
        return;
    for (unsigned i = 0; i < worker->settings->listener_count; i++) {
        listener_add(worker, i);
        (void)worker_accept(worker, i); /* a wake-up that a dead worker took is not given again */
    }
    if (!worker->accept_again_ns)
        tell_full(worker, 0);
}
