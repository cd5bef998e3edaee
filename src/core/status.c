#include "core/status.h"

#include "base/clock.h"

#include <unistd.h>

static const char *const state_names[] = {"new",  "starting", "ready", "draining",
                                          "left", "backoff",  "failed"};

static json_t *worker_json(const struct slot *slot)
{
    const struct arena_page *page = slot->page;
    uint32_t state = page->state;

    return json_pack(
        "{s:i, s:i, s:i, s:i, s:s, s:I, s:I, s:I, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:I, s:I, s:I}", "slot",
        (int)slot->state->number, "pid", (int)page->worker_pid, "keeper_pid", (int)page->keeper_pid,
        "generation", (int)slot->state->generation, "state",
        state < sizeof state_names / sizeof *state_names ? state_names[state] : "unknown", "connections",
        (json_int_t)page->connections, "requests", (json_int_t)page->requests, "accepted",
        (json_int_t)page->accepted, "deaths", (int)page->deaths, "revivals", (int)page->revivals, "takeovers",
        (int)page->takeovers, "poisoned", (int)page->poisoned, "crash_loops", (int)page->crash_loops,
        "reconciled", (int)page->reconciled, "odd", (int)page->odd, "blocks", (json_int_t)page->blocks_used,
        "died_ns", (json_int_t)page->died_ns, "revived_ns", (json_int_t)page->revived_ns);
}

static json_t *workers_json(const struct master *master)
{
    json_t *workers = json_array();

    for (unsigned i = 0; i < MASTER_SLOTS_MAX; i++)
        if (master->slots[i].state->step == SLOT_RUN && master->slots[i].page)
            (void)json_array_append_new(workers, worker_json(&master->slots[i]));
    return workers;
}

static const char *accept_name(const struct core_listener *listener)
{
    return listener->accept == CORE_ACCEPT_REUSEPORT ? "reuseport" : "shared";
}

static json_t *listeners_json(const struct master *master)
{
    json_t *listeners = json_array();

    for (size_t l = 0; l < master->settings.listener_count; l++) {
        json_int_t accepted = 0;

        for (unsigned i = 0; i < MASTER_SLOTS_MAX; i++)
            if (master->slots[i].state->step == SLOT_RUN && master->slots[i].page)
                accepted += (json_int_t)master->slots[i].page->accepted_by_listener[l];
        (void)json_array_append_new(
            listeners, json_pack("{s:s, s:s, s:I}", "address", master->settings.listeners[l].text, "accept",
                                 accept_name(&master->settings.listeners[l]), "accepted", accepted));
    }
    return listeners;
}

json_t *status_json(const struct master *master)
{
    const struct master_state *state = master->state;

    return json_pack("{s:s, s:i, s:f, s:s, s:s, s:{s:i}, s:{s:i, s:I}, s:b, s:o, s:o}", "version",
                     HOLDFAST_VERSION, "generation", (int)state->generation, "uptime_s",
                     (double)(clock_monotonic_ns() - state->started_ns) / NS_PER_S, "phase",
                     master_phase_name(master), "drain", master_drain_name(master), "anchor", "pid",
                     (int)master->hello.anchor, "master", "pid", (int)getpid(), "started",
                     (json_int_t)master->hello.started, "counters_trusted", !state->counters_lie, "workers",
                     workers_json(master), "listeners", listeners_json(master));
}
