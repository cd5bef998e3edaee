#include "core/worker.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "core/crash.h"
#include "core/keeper.h"
#include "core/link.h"
#include "core/revival.h"
#include "core/shared.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EVENTS_A_TURN 256
/* After these a short read does not mean an empty socket: behind it may lie a FIN, or what follows an urgent byte
 * (recv(2) stops at the urgent mark), and no further edge comes for them. */
#define LAST_EDGES (EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI)
#define LISTENERS_LINGER_NS (100 * NS_PER_MS) /* handshakes under way when the stop began still arrive */
#define LAST_DESCRIPTORS 48u                  /* not for files: a revival needs some */
#define SPARE_EXTENTS 2u                      /* of records and blocks, for the next burst */
#define LAST_ACCEPTS 64 /* turns of worker_accept, should the queue be filled all the same */
#define MEMORY_LOOK_NS (50 * NS_PER_MS)
#define DRAIN_LOOK_NS (20 * NS_PER_MS)
#define PART_NS                                                                                              \
    NS_PER_S /* behind the end of a drain, for those that say goodbye; less than STOP_GRACE_NS of the master */

/* --- for classes --- */

void worker_give_block(struct worker *worker, uint32_t block)
{
    blocks_give(&worker->blocks, block - 1);
}

void worker_give_blocks(struct worker *worker, const struct record_head *head)
{
    if (head->in_block)
        worker_give_block(worker, head->in_block);
    if (head->out_block)
        worker_give_block(worker, head->out_block);
    if (head->plan_block)
        worker_give_block(worker, head->plan_block);
}

void worker_close(struct worker *worker, struct record *record)
{
    MUST(record->life == RECORD_OPEN);
    worker_end_record(worker, record);
}

void worker_end_record(struct worker *worker, struct record *record)
{
    const struct record_head *head = record_head(record);
    uint32_t number = arena_number(&worker->arena, record);

    MUST(record->magic == RECORD_MAGIC && record_is_held(record));
    record_set_life(record, RECORD_CLOSING);
    worker_give_blocks(worker, head);
    timers_remove(&worker->timers, number);
    worker_waits(worker, record, WAITING_NOT);
    worker_uncount_client(worker, record);
    close((int)number);
    record_set_life(record, RECORD_FREE);
    arena_count_add(record->listener == RECORD_NO_LISTENER ? &worker->arena.page->connected
                                                           : &worker->arena.page->connections,
                    -1ULL);
    if (worker->accept_again_ns > worker->now_ns)
        worker->accept_again_ns = worker->now_ns;
}

void worker_again(struct worker *worker, struct record *record)
{
    struct conn_side *side = worker_side(worker, record);

    if (side->is_again)
        return;
    side->is_again = 1;
    worker->again[worker->again_count++] = arena_number(&worker->arena, record);
}

void worker_again_later(struct worker *worker, struct record *record)
{
    worker_side(worker, record)->wants_memory = 1;
    timers_set(&worker->timers, arena_number(&worker->arena, record), worker->now_ns + MEMORY_LOOK_NS);
}

static int has_descriptor_for_file(const struct worker *worker)
{
    return worker_descriptors(worker) + LAST_DESCRIPTORS < worker->arena.core->record_count;
}

int worker_may_open_file(struct worker *worker)
{
    return has_descriptor_for_file(worker) || (worker_make_room(worker) && has_descriptor_for_file(worker));
}

void worker_file_use(struct worker *worker, int fd)
{
    worker_note_descriptor(worker, fd);
    if (worker->side[fd].file_references++ == 0)
        worker->files++;
    MUST(worker->side[fd].file_references != 0);
}

void worker_file_drop(struct worker *worker, int fd)
{
    MUST(worker->side[fd].file_references > 0);
    if (--worker->side[fd].file_references > 0)
        return;
    worker->files--;
    close(fd);
}

void worker_set_deadline(struct worker *worker, struct record *record, uint64_t deadline_ns)
{
    record->deadline_ns = deadline_ns;
    if (deadline_ns)
        timers_set(&worker->timers, arena_number(&worker->arena, record), deadline_ns);
}

void worker_drive(struct worker *worker, struct record *record, unsigned events)
{
    struct intent *intent = worker->intent;

    intent->record = arena_number(&worker->arena, record) + 1;
    COMPILER_BARRIER();
    worker->service->classes[record->class_tag]->ready(worker, record, events);
    COMPILER_BARRIER();
    worker->keeps_house = 1;
    intent->request = 0;
    intent->record = 0;
}

/* --- becoming a worker --- */

static void take_signals(void)
{
    static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGUSR1, SIGUSR2, SIGWINCH};
    sigset_t none;

    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
        (void)signal(ignored[i], SIG_IGN);
    (void)signal(SIGCHLD, SIG_DFL);
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

_Noreturn static void worker_cannot_start(struct worker *worker, const char *step, int error)
{
    log_event(LOG_ERROR, LOG_EV_WORKER_FAILED, "slot=%u step=\"%s\" error=\"%s\"", worker->arena.page->slot,
              step, err_text(error));
    if (worker->arena.page
            ->connections) /* they are not given up for want of memory or descriptors: try again */
        _exit(KEEPER_EXIT_RETRY);
    worker->arena.page->state = ARENA_STATE_FAILED;
    (void)!link_send(FD_LINK, LINK_FAILED, worker->arena.page->slot, worker->arena.page->generation, error);
    _exit(KEEPER_EXIT_FAILED);
}

/* Mapped for every number, touched as they come into use. */
static void *map_numbers(const struct worker *worker, size_t item_size)
{
    size_t size = worker->arena.core->record_count * item_size;
    void *memory =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return memory == MAP_FAILED ? NULL : memory;
}

/* The keeper may be spared by the OOM killer; its worker is to be judged by its size, like everybody else. */
static void be_an_ordinary_victim(void)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return;
    (void)!write(fd, "0", 1); /* raising is always permitted (proc(5)) */
    close(fd);
}

static int worker_private_memory(struct worker *worker)
{
    int result;

    worker->side = map_numbers(worker, sizeof *worker->side);
    worker->again = map_numbers(worker, sizeof *worker->again);
    if (!worker->side || !worker->again)
        return ERR_NO_MEMORY;
    result = timers_init(&worker->timers, worker->arena.core->record_count);
    if (!result)
        result = waiting_init(&worker->waiting, worker->arena.core->record_count);
    return result ? result : blocks_init(&worker->blocks, &worker->arena);
}

static void worker_fini(struct worker *worker)
{
    (void)pool_stop(&worker->pool);
    worker->service->stop(worker);
    handover_fini(worker);
    board_unmap(&worker->board);
    shared_unmap(&worker->shared, CROWD_SHARED_SIZE(worker->service->shared_size));
    timers_fini(&worker->timers);
    waiting_fini(&worker->waiting);
    clients_fini(&worker->clients);
    blocks_fini(&worker->blocks);
    munmap(worker->side, worker->arena.core->record_count * sizeof *worker->side);
    munmap(worker->again, worker->arena.core->record_count * sizeof *worker->again);
}

static int add_plain(struct worker *worker, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = (uint64_t)fd};

    if (!epoll_ctl(worker->epoll_fd, EPOLL_CTL_ADD, fd, &event) ||
        (errno == EEXIST && !epoll_ctl(worker->epoll_fd, EPOLL_CTL_MOD, fd, &event)))
        return 0;
    return err_from_errno(errno);
}

/* The descriptors that are no connections: found in the arena, or made. A death between making one and noting it
 * leaves a stray that revival closes. */
static int worker_own_descriptors(struct worker *worker)
{
    struct arena_core *core = worker->arena.core;
    int result = 0;

    if (core->epoll_fd < 0)
        core->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (core->wakeup_fd < 0)
        core->wakeup_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (core->epoll_fd < 0 || core->wakeup_fd < 0)
        return err_from_errno(errno);
    worker->epoll_fd = core->epoll_fd;
    result = add_plain(worker, core->wakeup_fd);
    if (!result)
        result = add_plain(worker, FD_LINK);
    return result;
}

/* Returns 1 if the keeper is dead already. */
static int watch_keeper(struct worker *worker, pid_t keeper)
{
    struct arena_core *core = worker->arena.core;
    int old = core->keeper_pidfd;

    core->keeper_pidfd = -1;
    fd_close(&old);
    if (!ARENA_SHARED)
        return 0; /* a plain fork cannot take over */
    core->keeper_pidfd = (int)syscall(SYS_pidfd_open, keeper, 0);
    if (core->keeper_pidfd < 0 || getppid() != keeper)
        return 1;
    return add_plain(worker, core->keeper_pidfd) != 0;
}

/* 0 when a former worker has emptied the queues as it was told, or the slot begins while all are drained. */
static int is_to_listen(const struct arena_page *page)
{
    return page->order == ARENA_ORDER_RUN || page->listening;
}

static uint32_t place_on(const struct board *board, const struct arena_page *page)
{
    const int place = board ? board_find(board, page->generation, page->slot) : 0;

    return place < 0 ? 0 : (uint32_t)place;
}

/* What nobody here uses need not be there. */
static int worker_share(struct worker *worker)
{
    const size_t own_at = CROWD_AT(worker->service->shared_size);
    int result = shared_map(FD_SHARED, CROWD_SHARED_SIZE(worker->service->shared_size), &worker->shared);

    if (result)
        return worker->service->shared_size || worker->settings->max_connections_per_client ? result : 0;
    if (!worker->settings->max_connections_per_client)
        return 0;
    result = crowd_open(&worker->crowd, (char *)worker->shared + own_at, FD_SHARED, own_at, worker->place,
                        worker->board);
    if (!result && !worker->is_revived)
        crowd_recount(&worker->crowd, &worker->clients);
    return result;
}

static void worker_init(struct worker *worker, struct arena *arena, const struct service *service,
                        const struct core_settings *settings)
{
    struct arena_core *core = arena->core;
    struct board *board = NULL;
    unsigned log = 0;
    int fresh, result;

    *worker = (struct worker){.service = service, .settings = settings, .arena = *arena, .link_fd = FD_LINK};
    worker->intent = &core->intents[0];
    worker->now_ns = clock_monotonic_ns();
    worker->is_listening = is_to_listen(arena->page);
    core->turns = core->turns | 1; /* the watchdog also watches a revival */
    if (!ARENA_SHARED)
        arena_make_private(&worker->arena);
    fresh = core->epoll_fd < 0;
    (void)!board_map(FD_BOARD, 0, &board); /* without it only this worker is known */
    while (!core->id_seed) /* once for the slot: ids that were made must be made again after a death */
        (void)!getrandom(&core->id_seed, sizeof core->id_seed, 0);
    /* Not id_seed, which made ids tell to everybody. */
    (void)!getrandom(&worker->clients.seed, sizeof worker->clients.seed, GRND_NONBLOCK);
    if ((result = crash_init(core, arena->page)))
        worker_cannot_start(worker, "signal handlers", result);
    if ((result = worker_private_memory(worker)))
        worker_cannot_start(worker, "private memory", result);
    if ((result = worker_own_descriptors(worker)))
        worker_cannot_start(worker, "epoll and eventfd", result);
    if ((result = arena_record_reserve(&worker->arena, (uint32_t)worker_fixed_limit(settings))))
        worker_cannot_start(worker, "first records", result);
    if ((result = pool_init(&worker->pool, settings->threads, core->wakeup_fd)))
        worker_cannot_start(worker, "thread pool", result);
    worker->pool.thread_started = crash_thread;
    worker->is_revived = !fresh;
    worker->board = board;
    worker->place = place_on(board, arena->page);
    if ((result = worker_share(worker)))
        worker_cannot_start(worker, "shared memory", result);
    if ((result = log_writer_start(worker, &log)))
        worker_cannot_start(worker, settings->logs[log], result);
    if ((result = service->start(worker, FD_SNAPSHOT)))
        worker_cannot_start(worker, "application", result);
    if (!fresh)
        revival_run(worker);
}

/* --- the loop --- */

_Noreturn static void worker_leave(struct worker *worker)
{
    struct arena_page *page = worker->arena.page;

    (void)pool_stop(&worker->pool);
    log_writer_finish(worker);
    page->state = ARENA_STATE_LEFT;
    (void)!link_send(FD_LINK, LINK_LEFT, page->slot, page->generation, 0);
    _exit(0);
}

/* Nothing new comes into the queue (listener_steer_away, listener_hide), so its end is near. The sockets stay open, so
 * that their numbers never become connections, and the master may let them be used again. */
static void worker_stop_listening(struct worker *worker)
{
    worker->listeners_close_ns = 0;
    for (unsigned i = 0; i < worker->settings->listener_count; i++) {
        for (int turns = 0; turns < LAST_ACCEPTS && worker_accept(worker, i); turns++)
            ;
        (void)epoll_ctl(worker->epoll_fd, EPOLL_CTL_DEL, FD_LISTENERS + (int)i, NULL);
    }
    worker->is_listening = 0;
    worker->accept_again_ns = 0;
    worker->arena.page->listening = 0;
    (void)!link_send(FD_LINK, LINK_QUIET, worker->arena.page->slot, worker->arena.page->generation, 0);
}

/* A drain was undone. */
static void worker_listen_again(struct worker *worker)
{
    worker->listeners_close_ns = 0;
    worker->is_listening = 1;
    worker_listen(worker);
    worker->arena.page->listening = 1;
    worker->arena.page->state = ARENA_STATE_READY;
}

static void abandon_all(struct worker *worker)
{
    uint32_t limit = arena_records_limit(&worker->arena);

    for (uint32_t n = 0; n < limit; n++) {
        struct record *record = arena_record(&worker->arena, n);

        if (record->life == RECORD_OPEN)
            worker->service->classes[record->class_tag]->abandon(worker, record);
    }
}

static int any_busy(struct worker *worker)
{
    uint32_t limit = arena_records_limit(&worker->arena);

    if (handover_is_open(worker))
        return 1;
    for (uint32_t n = 0; n < limit; n++) {
        const struct record *record = arena_record(&worker->arena, n);
        const struct conn_class *class = worker->service->classes[record->class_tag];

        if (record->life == RECORD_OPEN && class->is_idle && !class->is_idle(record, worker->now_ns))
            return 1;
    }
    return 0;
}

/* 1 while somebody needs a moment. */
static int any_parts(struct worker *worker)
{
    uint32_t limit = arena_records_limit(&worker->arena);
    int parts = 0;

    for (uint32_t n = 0; n < limit; n++) {
        struct record *record = arena_record(&worker->arena, n);
        const struct conn_class *class = worker->service->classes[record->class_tag];

        if (record->life != RECORD_OPEN || !class->part)
            continue;
        worker_turn_to(worker, record);
        parts |= class->part(worker, record);
        COMPILER_BARRIER();
        worker->intent->record = 0;
    }
    return parts;
}

/* Idle connections are closed last: until then a request on them is still answered (and told to close). */
static void worker_drain(struct worker *worker)
{
    const struct arena_page *page = worker->arena.page;
    const int stays = worker->order_seen == ARENA_ORDER_EMPTY;
    int is_over = !stays && worker->now_ns >= page->order_deadline_ns;

    if (worker->listeners_close_ns && (worker->now_ns >= worker->listeners_close_ns || is_over))
        worker_stop_listening(worker);
    if (worker->listeners_close_ns || (stays && !page->connections) || (!is_over && any_busy(worker)))
        return;
    if (is_over && worker->now_ns < page->order_deadline_ns + PART_NS && any_parts(worker))
        return;
    log_event(LOG_INFO, LOG_EV_DRAIN_ENDED, "slot=%u cut_off=%d idle_closed=%llu", page->slot,
              is_over && any_busy(worker), (unsigned long long)page->connections);
    abandon_all(worker);
    if (!stays)
        worker_leave(worker);
}

/* Nobody new comes to a Unix socket that was steered away, and epoll would tell of its shutdown for ever: its queue is
 * emptied and it is not looked at again. */
static void empty_unix_listeners(struct worker *worker)
{
    for (unsigned i = 0; worker->is_listening && i < worker->settings->listener_count; i++) {
        if (worker->settings->listeners[i].kind != CORE_LISTENER_UNIX)
            continue;
        for (int turns = 0; turns < LAST_ACCEPTS && worker_accept(worker, i); turns++)
            ;
        (void)epoll_ctl(worker->epoll_fd, EPOLL_CTL_DEL, FD_LISTENERS + (int)i, NULL);
    }
}

static void worker_obey(struct worker *worker)
{
    struct arena_page *page = worker->arena.page;
    uint32_t order = page->order;

    if (order == ARENA_ORDER_STOP) {
        abandon_all(worker);
        worker_leave(worker);
    }
    if (order == worker->order_seen && (order != ARENA_ORDER_RUN || worker->is_listening))
        return;
    worker->order_seen = order;
    worker->is_draining = order == ARENA_ORDER_DRAIN || order == ARENA_ORDER_EMPTY;
    if (order == ARENA_ORDER_RUN) {
        worker_listen_again(worker);
        return;
    }
    empty_unix_listeners(worker);
    worker->listeners_close_ns = worker->is_listening ? worker->now_ns + LISTENERS_LINGER_NS : 0;
    if (worker->is_draining)
        page->state = ARENA_STATE_DRAINING;
}

static void worker_read_link(struct worker *worker)
{
    struct link_message message;
    int result;

    while ((result = handover_receive_link(worker, &message)) != ERR_AGAIN && result != ERR_CLOSED)
        ;
    /* The other end is the anchor's and the master's: nobody is left who could command us. */
    if (result == ERR_CLOSED)
        worker->arena.page->order = ARENA_ORDER_STOP;
    /* Among what was read may be the poke for an order that was given after the last look: nothing else wakes us for it. */
    worker_obey(worker);
    for (unsigned i = 0; worker->is_listening && i < worker->settings->listener_count; i++)
        (void)worker_accept(worker, i);
}

static void worker_become_keeper(struct worker *worker)
{
    int pidfd = worker->arena.core->keeper_pidfd;

    worker->arena.core->keeper_pidfd = -1;
    fd_close(&pidfd);
    worker_fini(worker);
    keeper_take_over(&worker->arena, worker->service, worker->settings);
}

static void worker_dispatch(struct worker *worker, const struct epoll_event *event)
{
    const struct arena_core *core = worker->arena.core;
    uint32_t number = (uint32_t)event->data.u64, events = event->events;
    struct record *record = arena_record(&worker->arena, number);

    if (number >= (uint32_t)worker_fixed_limit(worker->settings) && record->life == RECORD_OPEN) {
        if ((uint32_t)record->serial == event->data.u64 >> 32)
            worker_drive(worker, record,
                         (events & EPOLLIN ? READY_IN : 0) | (events & EPOLLOUT ? READY_OUT : 0) |
                             (events & LAST_EDGES ? READY_IN | READY_TO_THE_END : 0) |
                             (events & (EPOLLHUP | EPOLLERR) ? READY_GONE : 0));
    } else if ((int)number == FD_LINK) {
        worker_read_link(worker);
    } else if ((int)number == core->wakeup_fd) {
        pool_finish(&worker->pool);
    } else if ((int)number == core->keeper_pidfd) {
        worker_become_keeper(worker);
    } else if (number >= FD_LISTENERS && number < (uint32_t)worker_fixed_limit(worker->settings)) {
        (void)worker_accept(worker, number - FD_LISTENERS);
    } else {
        (void)handover_ready(worker, number);
    }
}

static void worker_expire(struct worker *worker)
{
    uint32_t number;

    while (timers_take_due(&worker->timers, worker->now_ns, &number)) {
        struct record *record = arena_record(&worker->arena, number);

        if (record->life != RECORD_OPEN)
            continue;
        /* A deadline goes before: driven in vain again and again, its record would hold us in this loop. */
        if (worker->side[number].wants_memory &&
            (!record->deadline_ns || record->deadline_ns > worker->now_ns)) {
            worker->side[number].wants_memory = 0;
            if (record->deadline_ns)
                timers_set(&worker->timers, number, record->deadline_ns);
            worker_drive(worker, record, READY_IN | READY_OUT);
            continue;
        }
        if (!record->deadline_ns)
            continue;
        if (record->deadline_ns > worker->now_ns) {
            timers_set(&worker->timers, number, record->deadline_ns);
            continue;
        }
        worker->intent->record = number + 1;
        COMPILER_BARRIER();
        worker->service->classes[record->class_tag]->expired(worker, record);
        COMPILER_BARRIER();
        worker->intent->record = 0;
    }
}

static void worker_drive_again(struct worker *worker)
{
    uint32_t count = worker->again_count;

    /* What is added meanwhile has its turn after the next look at the others. */
    for (uint32_t i = 0; i < count; i++) {
        uint32_t number = worker->again[i];
        struct record *record = arena_record(&worker->arena, number);

        worker->side[number].is_again = 0;
        if (record->life == RECORD_OPEN)
            worker_drive(worker, record, 0);
    }
    worker->again_count -= count;
    memmove(worker->again, worker->again + count, worker->again_count * sizeof *worker->again);
}

static void worker_housekeeping(struct worker *worker)
{
    if (worker->accept_again_ns && worker->now_ns >= worker->accept_again_ns)
        worker_listen(worker);
    if (worker->now_ns < worker->housekeeping_ns)
        return;
    worker->housekeeping_ns = worker->now_ns + NS_PER_S;
    blocks_trim(&worker->blocks, SPARE_EXTENTS);
    (void)arena_trim_records(&worker->arena, SPARE_EXTENTS);
    worker->keeps_house =
        worker->service->housekeeping(worker) || worker->arena.core->block_extents > SPARE_EXTENTS;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static int wait_ms(const struct worker *worker)
{
    uint64_t until = timers_earliest(&worker->timers), now = worker->now_ns;

    if (worker->again_count)
        return 0;
    until = earlier(until, log_writer_due_ns(worker));
    until = earlier(until, handover_due_ns(worker));
    if (worker->accept_again_ns)
        until = earlier(until, worker->accept_again_ns);
    if (worker->is_draining && (worker->order_seen == ARENA_ORDER_DRAIN || worker->arena.page->connections))
        until = earlier(until, now + DRAIN_LOOK_NS);
    if (worker->listeners_close_ns)
        until = earlier(until, worker->listeners_close_ns);
    if (worker->keeps_house)
        until = earlier(until, worker->housekeeping_ns);
    if (until == UINT64_MAX)
        return -1;
    until = until > now ? (until - now + NS_PER_MS - 1) / NS_PER_MS : 0;
    return until > 60000 ? 60000 : (int)until;
}

static void loop_is_busy(struct worker *worker, int busy)
{
    _Atomic uint64_t *turns = &worker->arena.core->turns;
    uint64_t turn = atomic_load_explicit(turns, memory_order_relaxed);

    /* Odd while events are handled; the watchdog looks for a number that is odd and stays. */
    atomic_store_explicit(turns, busy ? turn | 1 : (turn | 1) + 1, memory_order_relaxed);
}

_Noreturn static void worker_loop(struct worker *worker)
{
    struct epoll_event events[EVENTS_A_TURN];

    worker_obey(worker); /* what woke a former worker for its orders wakes nobody again */
    for (;;) {
        int count;

        loop_is_busy(worker, 0);
        count = epoll_wait(worker->epoll_fd, events, EVENTS_A_TURN, wait_ms(worker));
        loop_is_busy(worker, 1);
        worker->now_ns = clock_monotonic_ns();
        worker_obey(worker); /* before the others: what is answered from now on says that we leave */
        for (int i = 0; i < count; i++)
            worker_dispatch(worker, &events[i]);
        worker_drive_again(worker);
        worker_expire(worker);
        worker_housekeeping(worker);
        log_writer_turn(worker);
        handover_turn(worker);
        if (worker->is_draining)
            worker_drain(worker);
        else if (worker->listeners_close_ns && worker->now_ns >= worker->listeners_close_ns)
            worker_stop_listening(worker);
    }
}

_Noreturn void worker_run(struct arena *arena, const struct service *service,
                          const struct core_settings *settings, pid_t keeper)
{
    static struct worker worker;
    struct arena_page *page = arena->page;

    take_signals();
    (void)prctl(PR_SET_NAME, "holdfast-worker");
    log_init(log_fd(), "worker");
    page->started_ns = clock_monotonic_ns();
    if (ARENA_SHARED && arena->core->epoll_fd >= 0) {
        revival_finish_closes(arena);
        revival_close_strays(arena, FD_LISTENERS + (int)settings->listener_count);
    }
    be_an_ordinary_victim();
    worker_init(&worker, arena, service, settings);
    if (watch_keeper(&worker, keeper))
        worker_become_keeper(&worker);
    worker_listen(&worker);
    page->listening = (uint32_t)worker.is_listening;
    page->state = ARENA_STATE_READY;
    arena->core->has_served = 1;
    (void)!link_send(FD_LINK, LINK_READY, page->slot, page->generation, 0);
    worker_loop(&worker);
}
