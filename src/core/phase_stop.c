/* DRAIN, STOP, LEAVE: from the wish to stop to nothing left. */
#include "core/phases.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "core/control.h"
#include "core/listeners.h"

#include <unistd.h>

#define STOP_GRACE_NS (5 * NS_PER_S)

/* --- ends --- */

void master_fail(struct master *master, int exit_code)
{
    if (master->state->phase >= PHASE_STOP)
        return;
    master->state->exit_code = exit_code;
    master_stop(master, 0);
}

void master_stop(struct master *master, int graceful)
{
    uint64_t drain_ns = graceful ? master->settings.drain_ms * NS_PER_MS : 0;

    if (master->state->phase >= PHASE_STOP || (graceful && master->state->phase == PHASE_DRAIN))
        return;
    log_event(LOG_INFO, LOG_EV_DRAIN_STARTED, "graceful=%d drain_ms=%llu", graceful,
              (unsigned long long)(drain_ns / NS_PER_MS));
    (void)!anchor_link_notify(&master->anchor, "STOPPING=1");
    master->state->stop_deadline_ns = master->now_ns + drain_ns;
    phase_enter(master, graceful ? PHASE_DRAIN : PHASE_STOP);
}

/* --- DRAIN, STOP, LEAVE --- */

void phase_close_listeners(struct master *master)
{
    char name[WIRE_NAME_MAX + 1];

    if (master->listeners_closed)
        return;
    master->listeners_closed = 1;
    for (size_t i = 0; i < master->settings.listener_count; i++) {
        if (master->listener_fds[i] >= 0)
            listener_unlink(&master->settings.listeners[i]);
        fd_close(&master->listener_fds[i]);
        phase_listener_name(name, &master->settings.listeners[i]);
        (void)!anchor_link_del(&master->anchor, name);
    }
}

void phase_order_all(struct master *master, enum arena_order order)
{
    for (unsigned i = 0; i < MASTER_SLOTS_MAX; i++)
        if (master->slots[i].state->step == SLOT_RUN)
            slot_order(&master->slots[i], order, master->state->stop_deadline_ns);
}

static void steer_away(struct master *master)
{
    for (size_t i = 0; i < master->settings.listener_count; i++)
        if (master->listener_fds[i] >= 0)
            listener_steer_away(master->listener_fds[i]);
}

static int any_slot_is_left(const struct master *master)
{
    for (unsigned i = 0; i < MASTER_SLOTS_MAX; i++)
        if (master->slots[i].state->step != SLOT_FREE)
            return 1;
    return 0;
}

static int any_slot_listens(const struct master *master)
{
    for (unsigned i = 0; i < MASTER_SLOTS_MAX; i++) {
        const struct slot *slot = &master->slots[i];

        if (slot->state->step != SLOT_FREE && slot->page && slot->page->listening)
            return 1;
    }
    return 0;
}

/* Nothing is due while all is well; after SIGWINCH what is open goes on, and nothing new comes. */
void phase_run(struct master *master)
{
    if (!master->state->is_quiet)
        return;
    steer_away(master);
    phase_order_all(master, ARENA_ORDER_QUIET);
    if (!any_slot_listens(master))
        phase_close_listeners(master);
}

/* From "stop accepting" to closed: SYNs are dropped while the workers empty the queues, then the port is closed. */
void phase_drain(struct master *master)
{
    steer_away(master);
    phase_order_all(master, ARENA_ORDER_DRAIN);
    if (!any_slot_listens(master))
        phase_close_listeners(master);
    if (!any_slot_is_left(master))
        phase_enter(master, PHASE_LEAVE);
    else if (master->now_ns > master->state->stop_deadline_ns + STOP_GRACE_NS)
        phase_enter(master, PHASE_STOP);
}

/* A keeper ends a worker that does not leave. Whoever is stuck himself is left to the anchor, which kills all that
 * remains when we say that it may leave. */
static int gave_up_waiting(const struct master *master)
{
    return master->now_ns > master->state->stop_deadline_ns + 2 * STOP_GRACE_NS;
}

void phase_stop(struct master *master)
{
    phase_order_all(master, ARENA_ORDER_STOP);
    phase_close_listeners(master);
    if (!any_slot_is_left(master) || gave_up_waiting(master))
        phase_enter(master, PHASE_LEAVE);
}

_Noreturn void phase_leave(struct master *master)
{
    phase_close_listeners(master);
    control_stop(master);
    log_event(LOG_INFO, LOG_EV_STOPPED, "exit=%d", master->state->exit_code);
    (void)!anchor_link_exit(&master->anchor, master->state->exit_code);
    _exit(0);
}
