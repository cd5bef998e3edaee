#include "core/status.h"

#include "base/clock.h"

#include <stdlib.h>

static const char *const state_names[] = {"new",  "starting", "ready", "draining",
                                          "left", "backoff",  "failed"};

static json_t *worker_json(const struct arena_page *page)
{
    uint32_t state = page->state;

    return json_pack(
        "{s:i, s:i, s:i, s:i, s:s, s:I, s:I, s:I, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:I, s:I, s:I}", "slot",
        (int)page->slot, "pid", (int)page->worker_pid, "keeper_pid", (int)page->keeper_pid, "generation",
        (int)page->generation, "state",
        state < sizeof state_names / sizeof *state_names ? state_names[state] : "unknown", "connections",
        (json_int_t)page->connections, "requests", (json_int_t)page->requests, "accepted",
        (json_int_t)page->accepted, "deaths", (int)page->deaths, "revivals", (int)page->revivals, "takeovers",
        (int)page->takeovers, "poisoned", (int)page->poisoned, "crash_loops", (int)page->crash_loops,
        "reconciled", (int)page->reconciled, "odd", (int)page->odd, "blocks", (json_int_t)page->blocks_used,
        "died_ns", (json_int_t)page->died_ns, "revived_ns", (json_int_t)page->revived_ns);
}

static json_t *workers_json(const struct board *board)
{
    json_t *workers = json_array();

    for (unsigned place = 0; place < BOARD_SLOTS; place++) {
        const struct arena_page *page = board_used_page(board, place);

        if (page && page->keeper_pid) /* before, there is nobody yet */
            (void)json_array_append_new(workers, worker_json(page));
    }
    return workers;
}

static const char *accept_name(const struct core_listener *listener)
{
    return listener->accept == CORE_ACCEPT_REUSEPORT ? "reuseport" : "shared";
}

static json_t *listeners_json(const struct board *board, const struct core_settings *settings)
{
    json_t *listeners = json_array();

    for (size_t l = 0; l < settings->listener_count; l++) {
        json_int_t accepted = 0;

        for (unsigned place = 0; place < BOARD_SLOTS; place++)
            if (board_used_page(board, place))
                accepted += (json_int_t)board_used_page(board, place)->accepted_by_listener[l];
        (void)json_array_append_new(
            listeners, json_pack("{s:s, s:s, s:I}", "address", settings->listeners[l].text, "accept",
                                 accept_name(&settings->listeners[l]), "accepted", accepted));
    }
    return listeners;
}

/* Adds what the service says of the shared memory. A new reference, or NULL. */
static json_t *with_shared(json_t *status, const struct status_source *source)
{
    char *text = source->service->describe_shared(source->shared, source->board);
    json_t *more = text ? json_loads(text, 0, NULL) : NULL;

    if (status && (!more || json_object_update(status, more))) {
        json_decref(status);
        status = NULL;
    }
    json_decref(more);
    free(text);
    return status;
}

json_t *status_json(const struct status_source *source)
{
    const struct board *board = source->board;
    json_t *status = json_pack(
        "{s:s, s:i, s:f, s:s, s:s, s:{s:i}, s:{s:i, s:I}, s:b, s:o, s:o}", "version", HOLDFAST_VERSION,
        "generation", (int)board->generation, "uptime_s",
        (double)(clock_monotonic_ns() - board->started_ns) / NS_PER_S, "phase", board->phase, "drain",
        board->drain, "anchor", "pid", (int)board->anchor_pid, "master", "pid", (int)board->master_pid,
        "started", (json_int_t)board->masters_started, "counters_trusted", !board->counters_lie, "workers",
        workers_json(board), "listeners", listeners_json(board, source->settings));

    if (!source->shared || !source->service || !source->service->describe_shared)
        return status;
    return with_shared(status, source);
}

char *status_text(const struct status_source *source)
{
    json_t *status = status_json(source);
    char *text = status ? json_dumps(status, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;

    json_decref(status);
    return text;
}
