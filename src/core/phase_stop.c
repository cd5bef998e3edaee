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
    uint64_t delay_ns = graceful ? master->settings.drain_delay_ms * NS_PER_MS : 0;

    if (master->state->phase >= PHASE_STOP || (graceful && master->state->phase == PHASE_DRAIN))
        return;
    log_event(LOG_INFO, LOG_EV_DRAIN_STARTED, "graceful=%d drain_ms=%llu", graceful,
              (unsigned long long)(drain_ns / NS_PER_MS));
    (void)!anchor_link_notify(&master->anchor, "STOPPING=1");
    if (!master->state->quiet_at_ns) /* else a drain has begun already */
        master->state->quiet_at_ns = master->now_ns + delay_ns;
    master->state->stop_deadline_ns =
        (graceful && master->state->quiet_at_ns > master->now_ns ? master->state->quiet_at_ns
                                                                 : master->now_ns) +
        drain_ns;
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
        const struct core_listener *listener = &master->settings.listeners[i];

        if (master->listener_fds[i][0] >= 0)
            listener_unlink(listener);
        for (unsigned queue = 0; queue < master_queue_count(master, i); queue++) {
            if (master->listener_fds[i][queue] >= 0)
                listener_shut(master->listener_fds[i][queue], listener); /* workers have it open, too */
            fd_close(&master->listener_fds[i][queue]);
            phase_listener_name(name, listener, queue);
            (void)!anchor_link_del(&master->anchor, name);
        }
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
        for (unsigned queue = 0; queue < master_queue_count(master, i); queue++)
            if (master->listener_fds[i][queue] >= 0)
                listener_steer_away(master->listener_fds[i][queue]);
}

static int any_slot_is_left(const struct master *master)
{
    for (unsigned i = 0; i < MASTER_SLOTS_MAX; i++)
        if (master->slots[i].state->step != SLOT_FREE)
            return 1;
    return 0;
}

int phase_any_slot_listens(const struct master *master)
{
    for (unsigned i = 0; i < MASTER_SLOTS_MAX; i++) {
        const struct slot *slot = &master->slots[i];

        if (slot->state->step != SLOT_FREE && slot->page && slot->page->listening)
            return 1;
    }
    return 0;
}

/* From "stop accepting" to closed: SYNs are dropped while the workers empty the queues, then the port is closed. */
void phase_drain(struct master *master)
{
    phase_tell_pages(master);
    if (master->now_ns < master->state->quiet_at_ns)
        return; /* only readiness is denied so far */
    steer_away(master);
    phase_order_all(master, ARENA_ORDER_DRAIN);
    if (!phase_any_slot_listens(master))
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
