/* LISTEN and START: addresses are bound, the kernel is tried, the slots of a generation are made and become ready. */
#include "core/phases.h"

#include "base/clock.h"
#include "base/log.h"
#include "core/control.h"
#include "core/error_log.h"
#include "core/ledger.h"
#include "core/listeners.h"
#include "core/log_writer.h"

#include <stdio.h>
#include <string.h>

/* --- LISTEN --- */

unsigned master_queue_count(const struct master *master, size_t listener)
{
    return master->settings.listeners[listener].accept == CORE_ACCEPT_REUSEPORT ? master->settings.workers
                                                                                : 1;
}

void phase_listener_name(char *out, const struct core_listener *listener, unsigned queue)
{
    const char *text = listener->text;
    uint32_t hash = 2166136261u;

    if (listener->accept == CORE_ACCEPT_REUSEPORT) { /* never a path, so it fits */
        snprintf(out, WIRE_NAME_MAX + 1, "listener:%s#%u", text, queue);
        return;
    }
    if (strlen(text) + sizeof "listener:" <= WIRE_NAME_MAX && !strpbrk(text, " \t")) {
        snprintf(out, WIRE_NAME_MAX + 1, "listener:%s", text);
        return;
    }
    for (const char *c = text; *c; c++)
        hash = (hash ^ (unsigned char)*c) * 16777619u;
    snprintf(out, WIRE_NAME_MAX + 1, "listener:#%08x:%zu", hash, strlen(text));
}

static const char *what_next(const struct core_listener *listener, int error)
{
    if (error == ERR_BUSY)
        return listener->kind == CORE_LISTENER_UNIX
                   ? "end who listens there (ss -xlp), or change the address"
                   : "end who listens there (ss -tlnp), or change the address";
    if (error == ERR_PERMISSION)
        return "start as root, or change the address";
    return error == ERR_INVALID ? "no network interface of this machine has it: change the address"
                                : "change the address";
}

static int ensure_queue(struct master *master, size_t i, unsigned queue)
{
    const struct core_listener *listener = &master->settings.listeners[i];
    char name[WIRE_NAME_MAX + 1], why[128] = "";
    int *fd = &master->listener_fds[i][queue];
    int result;

    if (*fd >= 0)
        return 0;
    phase_listener_name(name, listener, queue);
    result = anchor_link_get(&master->anchor, name, fd);
    if (result &&
        result != ERR_NOT_FOUND) /* it may be there: binding again would fail, or make a second one */
        log_event(LOG_ERROR, LOG_EV_LISTENER_FAILED, "address=%s step=\"ask the anchor\" error=\"%s\"",
                  listener->text, err_text(result));
    if (result != ERR_NOT_FOUND)
        return result;
    result = listener_open(listener, queue, why, sizeof why);
    if (result < 0) {
        log_event(LOG_ERROR, LOG_EV_LISTENER_FAILED, "address=%s error=\"%s\" next=\"%s\"", listener->text,
                  why, what_next(listener, result));
        return result;
    }
    *fd = result;
    if (queue == 0)
        log_event(LOG_INFO, LOG_EV_LISTENER_OPEN, "address=%s", listener->text);
    return anchor_link_put(&master->anchor, name, *fd);
}

static int ensure_listener(struct master *master, size_t i)
{
    int result = 0;

    for (unsigned queue = 0; !result && queue < master_queue_count(master, i); queue++)
        result = ensure_queue(master, i, queue);
    return result;
}

static void self_test(struct master *master)
{
    char what[256];
    int result = ledger_self_test(what, sizeof what);

    master->state->counters_lie = result != 0;
    if (result)
        log_event(LOG_ERROR, LOG_EV_KERNEL_SELF_TEST,
                  "result=failed what=\"%s\" next=\"connections in question after a crash are closed, not "
                  "guessed\"",
                  what);
    else
        log_event(LOG_DEBUG, LOG_EV_KERNEL_SELF_TEST, "result=good");
}

/* What is said before this goes to standard error, so that a start that fails says why where it is looked for. */
static int move_error_log(struct master *master)
{
    int result;

    if (!master->settings.error_log[0])
        return 0;
    log_event(LOG_INFO, LOG_EV_ERROR_LOG_OPENED, "path=\"%s\"", master->settings.error_log);
    result = master_open_error_log(master);
    if (result)
        log_event(LOG_ERROR, LOG_EV_ERROR_LOG_FAILED,
                  "path=\"%s\" error=\"%s\" next=\"let the workers' user write it, or name another\"",
                  master->settings.error_log, err_text(result));
    return result;
}

/* All that cannot be bound is told at once. */
void phase_listen(struct master *master)
{
    int failed = 0;

    for (size_t i = 0; i < master->settings.listener_count; i++)
        failed |= ensure_listener(master, i) != 0;
    if (!failed && control_start(master))
        failed = 1;
    if (failed) {
        master_fail(master, EXIT_BAD_START);
        return;
    }
    log_files_prepare(&master->settings);
    self_test(master);
    if (move_error_log(master)) {
        master_fail(master, EXIT_BAD_START);
        return;
    }
    master->state->generation = 1;
    phase_enter(master, PHASE_START);
}

/* --- generations --- */

static int has_slot(const struct master_state *state, uint32_t generation, uint32_t number)
{
    for (unsigned i = 0; i < MASTER_SLOTS_MAX; i++)
        if (state->slots[i].step != SLOT_FREE && state->slots[i].generation == generation &&
            state->slots[i].number == number)
            return 1;
    return 0;
}

static struct slot_state *free_slot(struct master_state *state)
{
    for (unsigned i = 0; i < MASTER_SLOTS_MAX; i++)
        if (state->slots[i].step == SLOT_FREE)
            return &state->slots[i];
    return NULL;
}

/* Makes the slots of the present generation that are not there yet: a former master may have made some. */
static int make_slots(struct master *master)
{
    struct master_state *state = master->state;

    for (uint32_t number = 0; number < master->settings.workers; number++) {
        struct slot_state *slot;

        if (has_slot(state, state->generation, number))
            continue;
        slot = free_slot(state);
        if (!slot)
            return ERR_LIMIT;
        slot->generation = state->generation;
        slot->number = number;
        slot->start_at_ns = 0;
        slot->losses = 0;
        if (slot->keeper_pid)
            slot->former_pid = slot->keeper_pid; /* its status has not come yet */
        slot->keeper_pid = 0;
        slot->step = SLOT_PREPARE;
    }
    return 0;
}

int master_begin_generation(struct master *master)
{
    if (master->state->phase != PHASE_RUN)
        return ERR_BUSY;
    master->state->generation++;
    phase_enter(master, PHASE_START);
    return 0;
}

/* The others go on with what they have, and leave when it has ended. */
int master_retire_former(struct master *master)
{
    const uint64_t drain_ns = master->settings.drain_ms * NS_PER_MS;
    int retired = 0;

    for (unsigned i = 0; i < MASTER_SLOTS_MAX; i++) {
        struct slot *slot = &master->slots[i];

        if (slot->state->step != SLOT_RUN || slot->state->generation == master->state->generation)
            continue;
        slot_order(slot, ARENA_ORDER_DRAIN, master->now_ns + drain_ns);
        retired++;
    }
    return retired;
}

/* --- START --- */

static int all_ready(const struct master *master)
{
    for (unsigned i = 0; i < MASTER_SLOTS_MAX; i++) {
        const struct slot *slot = &master->slots[i];

        if (slot->state->step == SLOT_FREE || slot->state->generation != master->state->generation)
            continue;
        if (slot->state->step != SLOT_RUN || !slot->page || slot->page->state != ARENA_STATE_READY)
            return 0;
    }
    return 1;
}

/* At the first start there is nothing to go back to, and nobody waits for better times. */
static int any_crash_loop(const struct master *master)
{
    for (unsigned i = 0; i < MASTER_SLOTS_MAX; i++)
        if (master->slots[i].state->step == SLOT_RUN && master->slots[i].page &&
            master->slots[i].page->crash_loops)
            return !master->state->ready_told;
    return 0;
}

void phase_start(struct master *master)
{
    char text[64];

    if (make_slots(master)) {
        log_event(LOG_ERROR, LOG_EV_MASTER_FAILED, "step=\"make slots\" error=\"more than %d\"",
                  MASTER_SLOTS_MAX);
        master_fail(master, EXIT_BAD_START);
        return;
    }
    if (any_crash_loop(master)) {
        log_event(LOG_ERROR, LOG_EV_WORKER_FAILED, "step=start error=\"workers crash before they accept\"");
        master_fail(master, EXIT_BAD_START);
        return;
    }
    if (!all_ready(master))
        return;
    snprintf(text, sizeof text, "READY=1\nMAINPID=%d", master->hello.anchor);
    if (anchor_link_notify(&master->anchor, text)) {
        log_event(LOG_WARN, LOG_EV_NOTIFY_FAILED, "error=\"%s\" next=retry", master->anchor.error_text);
        return;
    }
    log_event(LOG_INFO, LOG_EV_READY, "pid=%d workers=%u took_ms=%llu", master->hello.anchor,
              master->settings.workers,
              (unsigned long long)((master->now_ns - master->state->started_ns) / NS_PER_MS));
    master->state->ready_told = 1;
    phase_enter(master, PHASE_RUN);
}
