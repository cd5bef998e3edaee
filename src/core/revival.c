#include "core/revival.h"

#include "base/clock.h"
#include "base/log.h"
#include "core/ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define NOBODY UINT32_MAX
/* A stray has the lowest number that was free when it was made; a pool thread has two of them at most. */
#define STRAYS_AHEAD (2 * ARENA_THREADS + 16u)

struct revival {
    struct worker *worker;
    uint32_t limit; /* records that may be touched */
    uint32_t odd;   /* record that kernel and arena disagree about, or NOBODY */
    uint32_t adopted, closed, strays, reconciled;
    int accept_pending; /* listener of an accept4 that may have returned, or -1 */
};

static const struct conn_class *class_of(const struct revival *revival, const struct record *record)
{
    return revival->worker->service->classes[record->class_tag];
}

static void tell_odd(struct revival *revival, uint32_t number, const char *reason)
{
    revival->worker->arena.page->odd++;
    log_event(LOG_ERROR, LOG_EV_REVIVAL_ODD, "slot=%u fd=%u reason=\"%s\" next=\"the connection is closed\"",
              revival->worker->arena.page->slot, number, reason);
}

/* --- 0 finish --- */

void revival_finish_closes(struct arena *arena)
{
    uint32_t limit = arena_records_limit(arena);

    for (uint32_t number = 0; number < limit; number++) {
        struct record *record = arena_record(arena, number);

        if (record->life != RECORD_CLOSING)
            continue;
        close((int)number);
        record_set_life(record, RECORD_FREE);
    }
}

/* A stray has the lowest number that was free when it was made, so none is much higher than any that was noted. */
static uint32_t descriptors_end(const struct arena *arena)
{
    uint32_t end = arena_records_limit(arena);

    if (end <= arena->core->highest_fd)
        end = arena->core->highest_fd + 1;
    end += STRAYS_AHEAD;
    return end < arena->core->record_count ? end : arena->core->record_count;
}

/* Marks what records refer to: themselves and the files they send. */
static void mark_used(const struct arena *arena, uint32_t end, uint8_t *used)
{
    uint32_t limit = arena_records_limit(arena);

    for (uint32_t number = 0; number < limit && number < end; number++) {
        const struct record *record = &arena->records[number];
        const uint32_t spool = record_head(record)->spool;
        int file = record_head(record)->file_fd;

        if (record->life == RECORD_FREE)
            continue;
        used[number] = 1;
        if (record_is_held(record) && file >= 0 && (uint32_t)file < end)
            used[file] = 1;
        if (record_is_held(record) && spool && spool <= end)
            used[spool - 1] = 1;
    }
}

void revival_close_strays(struct arena *arena, int first)
{
    const struct arena_core *core = arena->core;
    const uint32_t end = descriptors_end(arena);
    uint8_t *used = calloc(end, 1);

    if (!used || core->intents[0].call == INTENT_ACCEPT) {
        free(used); /* there may be a client among them: reconcile_descriptors looks closer */
        return;
    }
    mark_used(arena, end, used);
    for (int fd = first; fd < (int)end; fd++)
        if (!used[fd] && !arena_is_own_descriptor(arena, fd))
            close(fd);
    free(used);
}

/* --- 1 settle --- */

static void settle(struct revival *revival)
{
    struct arena *arena = &revival->worker->arena;
    struct intent *intent = &arena->core->intents[0];
    uint32_t number = intent->record - 1;
    struct record *record;
    int result;

    revival->odd = NOBODY;
    revival->accept_pending = intent->call == INTENT_ACCEPT ? (int)intent->listener : -1;
    if (!intent->record || number >= revival->limit)
        return;
    record = arena_record(arena, number);
    if (record->life != RECORD_OPEN || record->magic != RECORD_MAGIC)
        return;
    worker_side(revival->worker, record)->was_cut = 1;
    result = ledger_settle(arena, intent, record);
    if (result < 0) {
        revival->odd = number;
        tell_odd(revival, number, err_text(result));
        return;
    }
    arena->page->reconciled += (uint32_t)result;
    revival->reconciled = (uint32_t)result;
}

/* Noted before the intents are forgotten, and forgotten after it was acted upon. */
static void note_blame(struct revival *revival)
{
    struct arena *arena = &revival->worker->arena;
    struct arena_core *core = arena->core;
    uint32_t thread = core->fault_thread < ARENA_THREADS ? core->fault_thread : 0;
    uint32_t number = core->intents[thread].record - 1;

    if (core->fault && core->intents[thread].record && number < revival->limit) {
        core->blamed_crashes = record_head(arena_record(arena, number))->crashes;
        core->blamed = number + 1;
    }
    core->fault = 0;
}

/* Not before an odd record is gone: a death until then must find it again. */
static void forget_intents(struct revival *revival)
{
    struct intent *intents = revival->worker->arena.core->intents;

    for (unsigned i = 0; i < ARENA_THREADS; i++) {
        intents[i].record = 0;
        intents[i].request = 0;
    }
    intents[0].call = INTENT_NOTHING;
}

/* --- 2 rebuild --- */

int worker_claim_blocks(struct worker *worker, const struct record *record)
{
    const struct record_head *head = record_head(record);
    struct blocks *blocks = &worker->blocks;
    int result = head->in_block ? blocks_claim(blocks, head->in_block - 1) : 0;

    if (!result && head->out_block)
        result = blocks_claim(blocks, head->out_block - 1);
    if (!result && head->plan_block)
        result = blocks_claim(blocks, head->plan_block - 1);
    return result;
}

void worker_adopt(struct worker *worker, struct record *record)
{
    struct arena_page *page = worker->arena.page;

    arena_count_add(record->listener == RECORD_NO_LISTENER ? &page->connected : &page->connections, 1);
    if (record->serial >= worker->arena.core->next_serial)
        worker->arena.core->next_serial = record->serial + 1;
    worker_count_client(worker, record);
    if (record->deadline_ns)
        timers_set(&worker->timers, arena_number(&worker->arena, record), record->deadline_ns);
    if (record_head(record)->file_fd >= 0)
        worker_file_use(worker, record_head(record)->file_fd);
    if (record_head(record)->spool)
        worker_file_use(worker, (int)record_head(record)->spool - 1);
    worker->service->classes[record->class_tag]->revived(worker, record);
}

static void forget(struct revival *revival, uint32_t number)
{
    close((int)number);
    record_set_life(arena_record(&revival->worker->arena, number), RECORD_FREE);
    revival->closed++;
}

static void rebuild_record(struct revival *revival, uint32_t number)
{
    struct worker *worker = revival->worker;
    struct record *record = arena_record(&worker->arena, number);

    if (record->magic != RECORD_MAGIC || worker_claim_blocks(worker, record)) {
        tell_odd(revival, number, "the record is damaged");
        forget(revival, number);
        return;
    }
    if (worker_register_again(worker, record)) {
        tell_odd(revival, number, "there is no such descriptor");
        forget(revival, number);
        return;
    }
    worker_adopt(worker, record);
    if (record->life == RECORD_FROZEN)
        handover_hold(worker, record);
}

/* Who waits for the same has the same time for it, so the earlier deadline is the earlier beginning. */
static uint64_t deadline_of(const void *arena, uint32_t number)
{
    return ((const struct arena *)arena)->records[number].deadline_ns;
}

static void rebuild(struct revival *revival)
{
    struct arena *arena = &revival->worker->arena;

    arena->page->connections = arena->page->connected = 0;
    for (uint32_t number = 0; number < revival->limit; number++) {
        struct record *record = arena_record(arena, number);

        if (record_is_held(record))
            rebuild_record(revival, number);
        else if (record->life == RECORD_ACCEPTING)
            record_set_life(record, RECORD_FREE); /* its descriptor is adopted below */
    }
    waiting_sort(&revival->worker->waiting, deadline_of, arena);
    crowd_recount(&revival->worker->crowd, &revival->worker->clients); /* before anybody new is counted */
}

/* --- 3 reconcile --- */

static int same_address(const struct sockaddr_storage *a, const struct sockaddr_storage *listener)
{
    if (a->ss_family == AF_UNIX && listener->ss_family == AF_UNIX)
        return !strcmp(((const struct sockaddr_un *)a)->sun_path,
                       ((const struct sockaddr_un *)listener)->sun_path);
    if (a->ss_family == AF_INET && listener->ss_family == AF_INET)
        return ((const struct sockaddr_in *)a)->sin_port == ((const struct sockaddr_in *)listener)->sin_port;
    if (a->ss_family == AF_INET6 && listener->ss_family == AF_INET6)
        return ((const struct sockaddr_in6 *)a)->sin6_port ==
               ((const struct sockaddr_in6 *)listener)->sin6_port;
    return 0;
}

/* 1 if fd is a connected stream socket whose own address is that of the listener. */
static int came_from(int fd, int listener_fd)
{
    struct sockaddr_storage address = {0}, listener = {0};
    socklen_t length = sizeof address, listener_length = sizeof listener, int_length = sizeof(int);
    int type = 0, listening = 0;

    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &int_length) || type != SOCK_STREAM)
        return 0;
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &int_length) || listening)
        return 0;
    return !getsockname(fd, (struct sockaddr *)&address, &length) &&
           !getsockname(listener_fd, (struct sockaddr *)&listener, &listener_length) &&
           same_address(&address, &listener);
}

static int is_known(struct revival *revival, int fd)
{
    struct worker *worker = revival->worker;

    if ((uint32_t)fd < revival->limit && record_is_held(arena_record(&worker->arena, (uint32_t)fd)))
        return 1;
    return arena_is_own_descriptor(&worker->arena, fd) || worker->side[fd].file_references;
}

static void adopt(struct revival *revival, int fd)
{
    struct worker *worker = revival->worker;
    struct record *record = arena_record(&worker->arena, (uint32_t)fd);
    struct sockaddr_storage client = {.ss_family = AF_UNSPEC};
    socklen_t length = sizeof client;

    (void)getpeername(fd, (struct sockaddr *)&client, &length); /* gone already: nobody's address */
    worker_open_record(worker, fd, (unsigned)revival->accept_pending, &client);
    revival->adopted++;
    if (worker_register_again(worker, record))
        class_of(revival, record)->abandon(worker, record);
}

static void reconcile_descriptors(struct revival *revival)
{
    struct worker *worker = revival->worker;
    uint32_t end = descriptors_end(&worker->arena);

    for (int fd = worker_fixed_limit(worker->settings); fd < (int)end; fd++) {
        int flags;

        if (is_known(revival, fd))
            continue;
        flags = fcntl(fd, F_GETFD);
        if (flags < 0)
            continue;
        if (revival->accept_pending >= 0 && !arena_record_reserve(&worker->arena, (uint32_t)fd) &&
            came_from(fd, FD_LISTENERS + revival->accept_pending)) {
            adopt(revival, fd);
            continue;
        }
        close(fd);
        revival->strays++;
    }
}

/* --- 4 drive --- */

static void settle_blame(struct revival *revival)
{
    struct worker *worker = revival->worker;
    struct arena_core *core = worker->arena.core;
    struct record *record;

    if (!core->blamed)
        return;
    record = arena_record(&worker->arena, core->blamed - 1);
    if (record->life == RECORD_OPEN && record_head(record)->crashes == core->blamed_crashes) {
        worker->intent->record = core->blamed;
        COMPILER_BARRIER();
        class_of(revival, record)->blamed(worker, record);
        COMPILER_BARRIER();
        worker->intent->record = 0;
    }
    core->blamed = 0;
}

static void drive_all(struct revival *revival)
{
    struct worker *worker = revival->worker;
    uint32_t limit = arena_records_limit(&worker->arena);

    for (uint32_t number = 0; number < limit; number++) {
        struct record *record = arena_record(&worker->arena, number);

        if (record->life == RECORD_OPEN)
            worker_drive(worker, record, READY_IN | READY_OUT);
        if (number % 1024 == 0)
            worker->arena.core->turns += 2; /* progress, for the watchdog */
    }
}

void revival_run(struct worker *worker)
{
    struct arena_page *page = worker->arena.page;
    struct revival revival = {.worker = worker, .limit = arena_records_limit(&worker->arena)};
    uint64_t began_ns = clock_monotonic_ns();

    (void)redo_settle(&worker->arena);
    handover_settle(worker);
    settle(&revival);
    handover_note_fault(&worker->arena);
    note_blame(&revival);
    rebuild(&revival);
    if (revival.odd != NOBODY && arena_record(&worker->arena, revival.odd)->life == RECORD_OPEN) {
        struct record *record = arena_record(&worker->arena, revival.odd);

        class_of(&revival, record)->abandon(worker, record);
    }
    reconcile_descriptors(&revival);
    forget_intents(&revival);
    settle_blame(&revival);
    drive_all(&revival);
    handover_revive(worker);
    page->revived_ns = clock_monotonic_ns();
    page->revivals++;
    log_event(
        LOG_INFO, LOG_EV_WORKER_REVIVED,
        "slot=%u connections=%llu took_us=%llu since_death_us=%llu settled=%u adopted=%u closed=%u strays=%u",
        page->slot, (unsigned long long)page->connections,
        (unsigned long long)((page->revived_ns - began_ns) / 1000),
        (unsigned long long)((page->revived_ns - page->died_ns) / 1000), revival.reconciled, revival.adopted,
        revival.closed, revival.strays);
}
