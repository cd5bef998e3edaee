/* The JSON of status, as any process makes it from the board: its shape is docs/control.md, key by key. */
#include "core/status.h"

#include "base/clock.h"
#include "base/fd.h"
#include "master_rig.h"
#include "unit.h"

#include <string.h>

static struct master_rig rig;
static struct master *const master = &rig.master;
static struct board *board;
static json_t *status;

static int setup(void **state)
{
    (void)state;
    master_rig_open(&rig, PHASE_RUN);
    board = master->board;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    json_decref(status);
    status = NULL;
    master_rig_close(&rig);
    return 0;
}

static json_t *look(void)
{
    json_decref(status);
    status = status_json(&(struct status_source){.board = master->board, .settings = &master->settings});
    assert_non_null(status);
    return status;
}

static json_int_t number(json_t *object, const char *name)
{
    assert_true(json_is_integer(json_object_get(object, name)));
    return json_integer_value(json_object_get(object, name));
}

static const char *text(json_t *object, const char *name)
{
    assert_true(json_is_string(json_object_get(object, name)));
    return json_string_value(json_object_get(object, name));
}

static void assert_keys(json_t *object, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!json_object_get(object, names[i]))
            fail_msg("there is no \"%s\"", names[i]);
    assert_int_equal(json_object_size(object), count);
}

#define ASSERT_KEYS(object, names) assert_keys(object, names, sizeof names / sizeof *names)

static void a_server_without_slots_says_who_it_is(void **state)
{
    static const char *const names[] = {"version", "generation", "uptime_s",         "phase",   "drain",
                                        "anchor",  "master",     "counters_trusted", "workers", "listeners"};
    (void)state;

    board->generation = 4;
    board->anchor_pid = 1234;
    board->master_pid = 1235;
    board->masters_started = 7;
    board->started_ns = clock_monotonic_ns() - 5 * NS_PER_S;
    strcpy(board->phase, "run");
    strcpy(board->drain, "none");
    look();
    ASSERT_KEYS(status, names);
    assert_string_equal(text(status, "version"), HOLDFAST_VERSION);
    assert_string_equal(text(status, "phase"), "run");
    assert_string_equal(text(status, "drain"), "none");
    assert_int_equal(number(status, "generation"), 4);
    assert_true(json_real_value(json_object_get(status, "uptime_s")) >= 5.0);
    assert_int_equal(number(json_object_get(status, "anchor"), "pid"), 1234);
    assert_int_equal(number(json_object_get(status, "master"), "pid"), 1235);
    assert_int_equal(number(json_object_get(status, "master"), "started"), 7);
    assert_int_equal(json_array_size(json_object_get(status, "workers")), 0);
    assert_int_equal(json_array_size(json_object_get(status, "listeners")), 0);
}

static void each_phase_has_its_name(void **state)
{
    static const char *const names[] = {"load", "listen", "start", "run", "drain", "stop", "leave"};
    (void)state;

    for (unsigned phase = PHASE_LOAD; phase <= PHASE_LEAVE; phase++) {
        master->state->phase = phase;
        assert_string_equal(master_phase_name(master), names[phase]);
        assert_true(strlen(names[phase]) < BOARD_WORD_MAX);
    }
}

static void a_kernel_whose_counters_lie_is_told(void **state)
{
    (void)state;
    assert_true(json_is_true(json_object_get(look(), "counters_trusted")));
    board->counters_lie = 1;
    assert_true(json_is_false(json_object_get(look(), "counters_trusted")));
}

static void a_worker_is_told_from_its_page_on_the_board(void **state)
{
    static const char *const names[] = {"slot",        "pid",      "keeper_pid",  "generation", "state",
                                        "connections", "requests", "accepted",    "deaths",     "revivals",
                                        "takeovers",   "poisoned", "crash_loops", "reconciled", "odd",
                                        "blocks",      "died_ns",  "revived_ns"};
    int keeper_end;
    struct arena_page *page;
    json_t *worker;
    (void)state;

    master->state->generation = 3;
    page = master_rig_slot(&rig, 2, &keeper_end)->page;
    page->worker_pid = 11;
    page->keeper_pid = 12;
    page->connections = 1ULL << 33;
    page->requests = 14;
    page->accepted = 15;
    page->deaths = 16;
    page->revivals = 17;
    page->takeovers = 18;
    page->poisoned = 19;
    page->crash_loops = 20;
    page->reconciled = 21;
    page->odd = 22;
    page->blocks_used = 23;
    page->died_ns = 24;
    page->revived_ns = 1ULL << 62;
    worker = json_array_get(json_object_get(look(), "workers"), 0);
    ASSERT_KEYS(worker, names);
    assert_int_equal(number(worker, "slot"), 2);
    assert_int_equal(number(worker, "generation"), 3);
    assert_string_equal(text(worker, "state"), "ready");
    assert_int_equal(number(worker, "pid"), 11);
    assert_int_equal(number(worker, "keeper_pid"), 12);
    assert_int_equal(number(worker, "connections"), 1LL << 33);
    for (json_int_t i = 14; i <= 24; i++)
        assert_int_equal(number(worker, names[i - 14 + 6]), i);
    assert_int_equal(number(worker, "revived_ns"), 1LL << 62);
    fd_close(&keeper_end);
}

/* A slot that has, or had, a keeper. */
static struct slot *kept_slot(unsigned index, int *keeper_end)
{
    struct slot *slot = master_rig_slot(&rig, index, keeper_end);

    slot->page->keeper_pid = 100 + (int32_t)index;
    return slot;
}

static void each_state_of_a_worker_has_its_name_also_one_that_this_version_does_not_know(void **state)
{
    static const char *const names[] = {"new",  "starting", "ready",  "draining",
                                        "left", "backoff",  "failed", "unknown"};
    int keeper_end;
    struct slot *slot = kept_slot(0, &keeper_end);
    (void)state;

    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        slot->page->state = i;
        assert_string_equal(text(json_array_get(json_object_get(look(), "workers"), 0), "state"), names[i]);
    }
    fd_close(&keeper_end);
}

static void only_slots_that_had_a_keeper_and_are_not_gone_are_listed_of_all_generations(void **state)
{
    int ends[4];
    json_t *workers;
    (void)state;

    for (unsigned i = 0; i < 4; i++) {
        master->state->generation = 1 + i / 2;
        (void)kept_slot(i, &ends[i]);
    }
    master->slots[1].page->keeper_pid = 0;
    board_release(board, 3);
    workers = json_object_get(look(), "workers");
    assert_int_equal(json_array_size(workers), 2);
    assert_int_equal(number(json_array_get(workers, 0), "generation"), 1);
    assert_int_equal(number(json_array_get(workers, 1), "slot"), 2);
    for (unsigned i = 0; i < 4; i++)
        fd_close(&ends[i]);
}

static void a_listener_counts_what_all_workers_accepted_there(void **state)
{
    static const char *const names[] = {"address", "accept", "accepted"};
    int ends[3];
    json_t *listeners;
    (void)state;

    master_rig_add_path(&rig, "/tmp/holdfast-nowhere");
    master_rig_add_listener(&rig);
    for (unsigned i = 0; i < 3; i++) {
        struct slot *slot = kept_slot(i, &ends[i]);

        slot->page->accepted_by_listener[0] = 1000 * i;
        slot->page->accepted_by_listener[1] = i;
    }
    board_release(board, 2);
    listeners = json_object_get(look(), "listeners");
    assert_int_equal(json_array_size(listeners), 2);
    ASSERT_KEYS(json_array_get(listeners, 0), names);
    assert_string_equal(text(json_array_get(listeners, 0), "address"), "unix:/tmp/holdfast-nowhere");
    assert_int_equal(number(json_array_get(listeners, 0), "accepted"), 1000);
    assert_string_equal(text(json_array_get(listeners, 1), "address"), master->settings.listeners[1].text);
    assert_int_equal(number(json_array_get(listeners, 1), "accepted"), 1);
    assert_string_equal(text(json_array_get(listeners, 1), "accept"), "shared");
    master->settings.listeners[1].accept = CORE_ACCEPT_REUSEPORT;
    listeners = json_object_get(look(), "listeners");
    assert_string_equal(text(json_array_get(listeners, 1), "accept"), "reuseport");
    for (unsigned i = 0; i < 3; i++)
        fd_close(&ends[i]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_server_without_slots_says_who_it_is),
        TEST(each_phase_has_its_name),
        TEST(a_kernel_whose_counters_lie_is_told),
        TEST(a_worker_is_told_from_its_page_on_the_board),
        TEST(each_state_of_a_worker_has_its_name_also_one_that_this_version_does_not_know),
        TEST(only_slots_that_had_a_keeper_and_are_not_gone_are_listed_of_all_generations),
        TEST(a_listener_counts_what_all_workers_accepted_there),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
