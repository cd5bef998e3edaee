/* Slots: (generation, number), each an arena, a link, a keeper and its worker. */
#include "core/master.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/process.h"
#include "core/keeper.h"
#include "core/launch.h"
#include "core/link.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define KEEPER_SILENT_NS (5 * NS_PER_S)
#define LOSS_BACKOFF_FIRST_NS (100 * NS_PER_MS)
#define LOSS_BACKOFF_LAST_NS (5 * NS_PER_S)
#define LOSS_FORGIVEN_NS (10 * NS_PER_S)
#define PREPARE_TRIES 20u
#define KEEPER_OOM_SCORE (-500)
#define RECORDS_MAX (1u << 20)

static void name_of(char *out, const char *kind, const struct slot *slot)
{
    snprintf(out, WIRE_NAME_MAX + 1, "%s:%u.%u", kind, slot->state->generation, slot->state->number);
}

/* Of its page on the board. */
static unsigned place_of(const struct master *master, const struct slot *slot)
{
    return (unsigned)(slot - master->slots);
}

/* --- making --- */

static uint32_t record_count(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur > RECORDS_MAX)
        return RECORDS_MAX;
    return (uint32_t)limit.rlim_cur;
}

static int make_arena(struct master *master, struct slot *slot)
{
    char name[WIRE_NAME_MAX + 1];
    struct arena arena;
    int result = arena_create(&arena, slot->state->number, slot->state->generation, record_count());

    if (result)
        return result;
    arena.core->counters_lie = master->state->counters_lie;
    arena.core->has_served = master->state->phase >= PHASE_RUN;
    name_of(name, "arena", slot);
    result = anchor_link_put(&master->anchor, name, arena.fd);
    if (!result)
        result = board_use(master->board, master->board_fd, place_of(master, slot), arena.page);
    if (!result) {
        slot->arena_fd = arena.fd;
        arena.fd = -1;
        slot->page = board_page(master->board, place_of(master, slot));
    }
    arena_close(&arena);
    return result;
}

/* Both ends are needed: if the keeper's end was lost with a former master, a new pair replaces the old one. */
static int make_link(struct master *master, struct slot *slot, int *keeper_end)
{
    char name[WIRE_NAME_MAX + 1];
    int pair[2], result;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair))
        return err_from_errno(errno);
    name_of(name, "link", slot);
    result = anchor_link_put(&master->anchor, name, pair[0]);
    if (result) {
        fd_close(&pair[0]);
        fd_close(&pair[1]);
        return result;
    }
    fd_close(&slot->link_fd);
    slot->link_fd = pair[0];
    slot->link_ended = 0;
    *keeper_end = pair[1];
    return 0;
}

static int launch_keeper(struct master *master, struct slot *slot, int keeper_end)
{
    char number[16], generation[16];
    char *arguments[] = {"holdfast", "keeper", number, generation, NULL};
    struct launch launch = {.arguments = arguments,
                            .drop_to = &master->settings,
                            .own_session = 1,
                            .oom_score_adj = KEEPER_OOM_SCORE};

    snprintf(number, sizeof number, "slot=%u", slot->state->number);
    snprintf(generation, sizeof generation, "gen=%u", slot->state->generation);
    launch_add_fd(&launch, slot->arena_fd, FD_ARENA);
    launch_add_fd(&launch, keeper_end, FD_LINK);
    launch_add_fd(&launch, master->snapshot_fd, FD_SNAPSHOT);
    launch_add_fd(&launch, master->board_fd, FD_BOARD);
    launch_add_fd(&launch, master->shared_fd >= 0 ? master->shared_fd : FD_NULL, FD_SHARED);
    /* Where nothing is accepted any more, /dev/null keeps the listener's number taken. */
    for (size_t i = 0; i < master->settings.listener_count; i++) {
        int fd = master->listener_fds[i][slot->state->number % master_queue_count(master, i)];

        launch_add_fd(&launch, fd >= 0 ? fd : FD_NULL, FD_LISTENERS + (int)i);
    }
    return launch_start(&launch, &slot->state->keeper_pid);
}

static void put_off(struct master *master, struct slot *slot, const char *step, int error)
{
    log_event(LOG_ERROR, LOG_EV_MASTER_FAILED, "slot=%u generation=%u step=\"%s\" error=\"%s\" next=retry",
              slot->state->number, slot->state->generation, step, err_text(error));
    slot->state->start_at_ns = master->now_ns + LOSS_BACKOFF_FIRST_NS;
    if (!master->state->ready_told && ++slot->state->losses > PREPARE_TRIES)
        master_fail(master, 1); /* at the first start nobody waits for better times */
}

static void prepare(struct master *master, struct slot *slot)
{
    int keeper_end = -1, result = slot->page ? 0 : make_arena(master, slot);

    if (!result)
        result = make_link(master, slot, &keeper_end);
    if (result) {
        put_off(master, slot, "prepare", result);
        return;
    }
    slot->state->keeper_pid = 0;
    slot->state->started_ns = master->now_ns;
    slot->page->order = master_standing_order(master); /* before its worker looks */
    slot->state->step = SLOT_FORK;
    result = launch_keeper(master, slot, keeper_end);
    fd_close(&keeper_end);
    if (!result) {
        slot->state->step = SLOT_RUN;
        return;
    }
    slot->state->step = SLOT_PREPARE;
    put_off(master, slot, "start the keeper", result);
}

/* --- ending --- */

static void forget(struct master *master, struct slot *slot)
{
    char name[WIRE_NAME_MAX + 1];

    fd_close(&slot->arena_fd);
    fd_close(&slot->link_fd);
    board_release(master->board, place_of(master, slot));
    slot->page = NULL;
    slot->link_ended = 0;
    name_of(name, "arena", slot);
    (void)!anchor_link_del(&master->anchor, name);
    name_of(name, "link", slot);
    (void)!anchor_link_del(&master->anchor, name);
}

static int is_stopping(const struct master *master)
{
    return master->state->phase >= PHASE_DRAIN;
}

/* Keeper and worker are gone. The slot is made again, unless we stop. */
static void ended(struct master *master, struct slot *slot)
{
    forget(master, slot);
    if (is_stopping(master) || slot->state->generation != master->state->generation) {
        slot->state->step = SLOT_FREE;
        return;
    }
    slot->state->step = SLOT_PREPARE;
}

static void lost(struct master *master, struct slot *slot)
{
    uint64_t backoff_ns;
    char next[64];

    if (master->now_ns - slot->state->started_ns > LOSS_FORGIVEN_NS)
        slot->state->losses = 0;
    backoff_ns = LOSS_BACKOFF_FIRST_NS << (slot->state->losses < 6 ? slot->state->losses : 6);
    slot->state->losses++;
    if (backoff_ns > LOSS_BACKOFF_LAST_NS)
        backoff_ns = LOSS_BACKOFF_LAST_NS;
    if (is_stopping(master))
        snprintf(next, sizeof next, "the server stops");
    else
        snprintf(next, sizeof next, "started again in %llu ms", (unsigned long long)(backoff_ns / NS_PER_MS));
    log_event(LOG_ERROR, LOG_EV_SLOT_LOST, "slot=%u generation=%u connections_lost=%llu next=\"%s\"",
              slot->state->number, slot->state->generation,
              (unsigned long long)(slot->page ? slot->page->connections : 0), next);
    if (slot->state->keeper_pid)
        slot->state->former_pid = slot->state->keeper_pid;
    slot->state->start_at_ns = master->now_ns + backoff_ns;
    slot->state->step = SLOT_ENDED;
    slots_poke_siblings(master, slot);
}

/* --- one step further --- */

/* The page says who is keeper now: a worker that took over has written itself there. The page is the worker's, and we
 * may signal more than it may: only a child of the anchor that nobody else claims is believed. */
static int is_unclaimed_child(const struct master *master, pid_t pid)
{
    if (pid == getpid() || process_parent(pid) != master->hello.anchor)
        return 0;
    for (unsigned i = 0; i < MASTER_SLOTS_MAX; i++)
        if (master->slots[i].state->step != SLOT_FREE && master->slots[i].state->keeper_pid == pid)
            return 0;
    return pid != master->hello.other && pid != master->state->loader_pid;
}

static void follow_keeper(const struct master *master, struct slot *slot)
{
    int32_t keeper = slot->page ? slot->page->keeper_pid : 0;

    if (keeper <= 0 || keeper == slot->state->keeper_pid || keeper == slot->state->former_pid ||
        !is_unclaimed_child(master, keeper))
        return;
    if (slot->state->keeper_pid)
        slot->state->former_pid = slot->state->keeper_pid;
    slot->state->keeper_pid = keeper;
}

void slot_advance(struct master *master, struct slot *slot)
{
    switch ((enum slot_step)slot->state->step) {
    case SLOT_PREPARE:
        if (is_stopping(master))
            ended(master, slot);
        else if (master->now_ns >= slot->state->start_at_ns)
            prepare(master, slot);
        break;
    case SLOT_FORK: /* a former master died here: the kernel has written whether there is a keeper */
        slot->state->step = slot->state->keeper_pid ? SLOT_RUN : SLOT_PREPARE;
        break;
    case SLOT_RUN:
        follow_keeper(master, slot);
        if (!slot->link_ended)
            break;
        if (slot->page && slot->page->state == ARENA_STATE_LEFT)
            slot->state->step = SLOT_ENDED;
        else if (slot->page && slot->page->state == ARENA_STATE_FAILED && master->state->phase < PHASE_RUN)
            master_fail(master, 1);
        else
            lost(master, slot);
        break;
    case SLOT_ENDED:
        ended(master, slot);
        break;
    case SLOT_FREE:
        break;
    }
}

static int has_place(const struct master *master, const struct slot *slot)
{
    const struct board_slot *place = &master->board->slots[place_of(master, slot)];

    return place->is_used && place->generation == slot->state->generation &&
           place->number == slot->state->number;
}

void slot_recover(struct master *master, struct slot *slot)
{
    char name[WIRE_NAME_MAX + 1];

    slot->arena_fd = slot->link_fd = -1;
    if (slot->state->step == SLOT_FREE)
        return;
    name_of(name, "arena", slot);
    if (!anchor_link_get(&master->anchor, name, &slot->arena_fd) && has_place(master, slot))
        slot->page = board_page(master->board, place_of(master, slot));
    else
        fd_close(&slot->arena_fd);
    name_of(name, "link", slot);
    (void)!anchor_link_get(&master->anchor, name, &slot->link_fd);
    if (slot->state->step == SLOT_RUN && (!slot->page || slot->link_fd < 0))
        slot->link_ended = 1; /* cannot be: both were deposited before the keeper was made */
}

/* --- what comes from it --- */

int slot_status(const struct slot *slot, pid_t pid, const char **kind)
{
    const struct slot_state *state = slot->state;

    if (pid == state->keeper_pid || pid == state->former_pid)
        *kind = "keeper";
    else if (slot->page && pid == slot->page->worker_pid)
        *kind = "worker";
    else
        return 0;
    return 1;
}

void slot_keeper_ended(struct slot *slot, pid_t pid)
{
    if (slot->state->former_pid == pid)
        slot->state->former_pid = 0;
    if (slot->state->keeper_pid != pid)
        return;
    /* The page may still name it; former_pid keeps it from being believed. */
    slot->state->former_pid = slot->state->step == SLOT_RUN ? pid : 0;
    slot->state->keeper_pid = 0;
    slot->state->keeper_gone_ns = clock_monotonic_ns();
}

void slot_read_link(struct master *master, struct slot *slot)
{
    struct link_message message;

    for (;;) {
        int result = link_receive(slot->link_fd, &message);

        if (result == ERR_AGAIN)
            return;
        if (result == ERR_CLOSED) {
            slot->link_ended = 1;
            return;
        }
        if (result) {
            log_event(LOG_ERROR, LOG_EV_PROTOCOL_ERROR, "slot=%u error=\"%s\"", slot->state->number,
                      err_text(result));
            continue;
        }
        if (message.type == LINK_DIED)
            slots_poke_siblings(master, slot);
    }
}

void slot_poke(struct slot *slot)
{
    int32_t keeper = slot->page ? slot->page->keeper_pid : 0;

    if (slot->link_fd >= 0 && slot->page)
        (void)!link_send(slot->link_fd, LINK_POKE, slot->state->number, slot->state->generation, 0);
    /* Its status is not acknowledged yet while it is in our books, so the pid is nobody else's. */
    if (keeper > 0 && keeper == slot->state->keeper_pid)
        (void)kill(keeper, SIGUSR1);
}

void slot_order(struct slot *slot, enum arena_order order, uint64_t deadline_ns)
{
    if (!slot->page || slot->page->order == (uint32_t)order)
        return;
    slot->page->order_deadline_ns = deadline_ns;
    slot->page->order = order;
    slot_poke(slot);
}

void slots_poke_siblings(struct master *master, const struct slot *but)
{
    for (unsigned i = 0; i < MASTER_SLOTS_MAX; i++)
        if (&master->slots[i] != but && master->slots[i].state->step == SLOT_RUN)
            slot_poke(&master->slots[i]);
}

/* The worker should have taken over at once. If it hangs, nobody else is there who would notice. */
static void watch_orphaned_worker(struct master *master, struct slot *slot)
{
    pid_t worker = slot->page->worker_pid;

    if (master->now_ns < slot->state->keeper_gone_ns + KEEPER_SILENT_NS || worker <= 0 ||
        !is_unclaimed_child(master, worker) || !process_may_run(worker))
        return;
    log_event(LOG_ERROR, LOG_EV_WORKER_HUNG,
              "slot=%u pid=%d reason=\"did not take over from its dead keeper\" next=SIGKILL",
              slot->state->number, worker);
    (void)kill(worker, SIGKILL);
}

void slot_watch(struct master *master, struct slot *slot, uint64_t late_ns)
{
    struct slot_state *state = slot->state;
    uint64_t beat;

    if (state->step != SLOT_RUN || !slot->page)
        return;
    if (state->keeper_pid <= 0) {
        watch_orphaned_worker(master, slot);
        return;
    }
    beat = slot->page->keeper_beat_ns;
    if (beat < state->started_ns)
        beat = state->started_ns;
    if (master->now_ns < beat + KEEPER_SILENT_NS + late_ns)
        return;
    if (!process_may_run(state->keeper_pid))
        return;
    log_event(LOG_ERROR, LOG_EV_KEEPER_SILENT, "slot=%u pid=%d silent_ms=%llu next=SIGKILL", state->number,
              state->keeper_pid, (unsigned long long)((master->now_ns - beat) / NS_PER_MS));
    (void)kill(state->keeper_pid, SIGKILL);
}
