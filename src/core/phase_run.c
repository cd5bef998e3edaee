/* RUN: nothing is due while all is well. A drain that can be undone, and queues whose workers cannot take anybody. */
#include "core/phases.h"

#include "base/clock.h"
#include "base/log.h"
#include "core/listeners.h"

#include <string.h>

enum arena_order master_standing_order(const struct master *master)
{
    const uint64_t quiet_at_ns = master->state->quiet_at_ns;

    if (quiet_at_ns && master->now_ns >= quiet_at_ns)
        return ARENA_ORDER_EMPTY;
    return master->state->is_quiet ? ARENA_ORDER_QUIET : ARENA_ORDER_RUN;
}

void phase_tell_pages(struct master *master)
{
    const uint32_t is_withdrawn = master->state->quiet_at_ns != 0;
    const uint32_t epoch = master->state->log_epoch;

    for (unsigned i = 0; i < MASTER_SLOTS_MAX; i++) {
        struct arena_page *page = master->slots[i].page;

        if (!page || (page->is_withdrawn == is_withdrawn && page->log_epoch == epoch))
            continue;
        page->is_withdrawn = is_withdrawn;
        page->log_epoch = epoch;
        slot_poke(&master->slots[i]);
    }
}

/* --- queues --- */

/* A worker that is being revived has its queue again in a moment; one that waits after a crash loop, or is full, does
 * not look at it for a while. */
static int takes_connections(const struct slot *slot)
{
    return slot->state->step == SLOT_RUN && slot->page && slot->page->state != ARENA_STATE_BACKOFF &&
           slot->page->state != ARENA_STATE_FAILED && !slot->page->is_full;
}

static void choose_queues(struct master *master)
{
    uint64_t wanted = 0;

    for (unsigned i = 0; i < MASTER_SLOTS_MAX; i++)
        if (takes_connections(&master->slots[i]))
            wanted |= 1ULL << master->slots[i].state->number;
    if (master->queues_known && wanted == master->queues_wanted)
        return;
    master->queues_known = 1;
    master->queues_wanted = wanted;
    for (size_t i = 0; i < master->settings.listener_count; i++)
        if (master->settings.listeners[i].accept == CORE_ACCEPT_REUSEPORT && master->listener_fds[i][0] >= 0)
            listener_choose_queues(master->listener_fds[i][0], wanted, master->settings.workers);
}

/* --- draining for a while --- */

static void hide_one(struct master *master, int fd, const struct core_listener *listener)
{
    int result = listener_hide(fd, listener);

    if (result && !master->hiding_failed)
        log_event(LOG_ERROR, LOG_EV_LISTENER_FAILED,
                  "address=%s step=\"put the path aside\" error=\"%s\" next=\"who connects waits; free "
                  "PATH.drained\"",
                  listener->text, err_text(result));
    master->hiding_failed |= result != 0;
}

static void shut_one(struct master *master, int fd, const struct core_listener *listener)
{
    (void)master;
    listener_shut(fd, listener);
}

static void for_each_queue(struct master *master,
                           void (*act)(struct master *master, int fd, const struct core_listener *listener))
{
    for (size_t i = 0; i < master->settings.listener_count; i++)
        for (unsigned queue = 0; queue < master_queue_count(master, i); queue++)
            if (master->listener_fds[i][queue] >= 0)
                act(master, master->listener_fds[i][queue], &master->settings.listeners[i]);
}

int master_drain(struct master *master)
{
    if (master->state->phase != PHASE_RUN)
        return ERR_BUSY;
    if (master->state->quiet_at_ns)
        return 0; /* it has begun already */
    log_event(LOG_INFO, LOG_EV_DRAIN_STARTED, "graceful=1 stays=1 delay_ms=%llu",
              (unsigned long long)master->settings.drain_delay_ms);
    master->state->quiet_at_ns = master->now_ns + master->settings.drain_delay_ms * NS_PER_MS;
    return 0;
}

/* All or nothing: one that cannot be shown has the others hidden again by phase_run. */
static int show_all(struct master *master)
{
    for (size_t i = 0; i < master->settings.listener_count; i++) {
        const struct core_listener *listener = &master->settings.listeners[i];
        const unsigned count = master_queue_count(master, i);
        int result = 0;

        for (unsigned queue = 0; queue < count; queue++)
            result = master->listener_fds[i][queue] < 0 ? ERR_CLOSED : result;
        if (!result)
            result = listener_show(master->listener_fds[i], count, listener);
        if (!result)
            continue;
        log_event(LOG_ERROR, LOG_EV_LISTENER_FAILED, "address=%s error=\"%s\" next=\"%s\"", listener->text,
                  err_text(result),
                  result == ERR_NOT_FOUND ? "restart to have its path again" : "still drained");
        if (result != ERR_NOT_FOUND) /* somebody has removed its path: no reason to keep the others away */
            return result;
    }
    return 0;
}

int master_resume(struct master *master)
{
    int result = 0;

    if (master->state->phase != PHASE_RUN)
        return ERR_BUSY;
    if (!master->state->quiet_at_ns && !master->state->is_quiet)
        return 0;
    if (master_standing_order(master) != ARENA_ORDER_RUN)
        result = show_all(master);
    master->listeners_shut = 0;
    if (result)
        return result;
    master->state->quiet_at_ns = 0;
    master->state->is_quiet = 0;
    master->hiding_failed = 0;
    master->queues_known = 0; /* the kernel has forgotten what it was told of the group */
    log_event(LOG_INFO, LOG_EV_RESUMED, "listeners=%zu", master->settings.listener_count);
    return 0;
}

const char *master_drain_name(const struct master *master)
{
    uint64_t connections = 0;

    for (unsigned i = 0; i < MASTER_SLOTS_MAX; i++)
        if (master->slots[i].state->step == SLOT_RUN && master->slots[i].page)
            connections += master->slots[i].page->connections;
    if (master_standing_order(master) == ARENA_ORDER_EMPTY)
        return connections || phase_any_slot_listens(master) ? "draining" : "drained";
    if (master->state->quiet_at_ns)
        return "waiting";
    return master->state->is_quiet ? "quiet" : "none";
}

/* Slots that leave, of a generation that was replaced, have their order already. */
static void order_standing(struct master *master, enum arena_order order)
{
    for (unsigned i = 0; i < MASTER_SLOTS_MAX; i++) {
        struct slot *slot = &master->slots[i];

        if (slot->state->step == SLOT_RUN && slot->page && slot->page->order != ARENA_ORDER_DRAIN &&
            slot->page->order != ARENA_ORDER_STOP)
            slot_order(slot, order, 0);
    }
}

void phase_run(struct master *master)
{
    enum arena_order order = master_standing_order(master);

    phase_tell_pages(master);
    order_standing(master, order);
    if (order == ARENA_ORDER_RUN) {
        choose_queues(master);
        return;
    }
    if (master->listeners_shut)
        return;
    for_each_queue(master, hide_one);
    if (phase_any_slot_listens(master))
        return;
    for_each_queue(master, shut_one);
    master->listeners_shut = 1;
}
