/* Accepting, closing, and the services that core/worker.h gives to classes. */
#include "core/worker.h"

#include "base/clock.h"
#include "rig.h"
#include "unit.h"
#include "witness.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static struct rig rig;

static int setup(void **state)
{
    (void)state;
    witness_reset();
    rig_open(&rig, &witness_class, AF_INET);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rig_close(&rig);
    return 0;
}

static int number_of(const struct record *record)
{
    return (int)arena_number(&rig.worker.arena, record);
}

static void an_accepted_connection_gets_the_record_of_its_descriptor(void **state)
{
    struct record *record;
    int client = rig_open_connection(&rig, &record), fd = number_of(record);
    (void)state;

    assert_int_equal(record->magic, RECORD_MAGIC);
    assert_int_equal(record->life, RECORD_OPEN);
    assert_int_equal(record->kind, RECORD_TCP_ACCEPTED);
    assert_int_equal(record->class_tag, 1);
    assert_int_equal(record->listener, 0);
    assert_int_equal(record->opened_ns, rig.worker.now_ns);
    assert_int_equal(record_head(record)->file_fd, -1);
    assert_int_equal(record_head(record)->in_block, 0);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    assert_int_equal(witness->of_record[WITNESS_OPENED][fd], 1);
    assert_int_equal(rig.worker.arena.page->connections, 1);
    assert_int_equal(rig.worker.arena.page->accepted_by_listener[0], 1);
    assert_int_equal(rig.worker.intent->call, INTENT_NOTHING);
    close(client);
}

static void a_closed_record_gives_everything_back(void **state)
{
    struct record *record;
    struct worker *worker = &rig.worker;
    int client = rig_open_connection(&rig, &record), fd = number_of(record);
    struct record_head *head = record_begin(record);
    uint64_t serial = record->serial;
    (void)state;

    head->in_block = (uint32_t)blocks_take(&worker->blocks) + 1;
    head->out_block = (uint32_t)blocks_take(&worker->blocks) + 1;
    record_commit(record);
    worker_close(worker, record);
    assert_int_equal(record->life, RECORD_FREE);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    assert_int_equal(worker->blocks.in_use, 0);
    assert_int_equal(timers_earliest(&worker->timers), UINT64_MAX);
    assert_int_equal(worker->arena.page->connections, 0);
    close(client);
    client = rig_open_connection(&rig, &record);
    assert_int_equal(number_of(record), fd);      /* the same number, */
    assert_int_not_equal(record->serial, serial); /* another connection: */
    assert_int_equal(record->rx, 0);
    assert_int_equal(record_head(record)->in_block, 0); /* nothing of the former */
    close(client);
}

static void events_are_told_by_edges(void **state)
{
    struct record *record;
    int client = rig_open_connection(&rig, &record), fd = number_of(record);
    (void)state;

    assert_int_equal(rig_turn(&rig, 10000), 1);
    assert_int_equal(witness->events[fd], READY_OUT);
    assert_int_equal(rig_turn(&rig, 0), 0);
    assert_int_equal(send(client, "x", 1, 0), 1);
    assert_int_equal(rig_turn(&rig, 10000), 1);
    assert_true(witness->events[fd] & READY_IN);
    assert_int_equal(rig_turn(&rig, 0), 0);
    assert_int_equal(send(client, "x", 1, MSG_OOB), 1);
    assert_int_equal(rig_turn(&rig, 10000), 1);
    assert_true(witness->events[fd] & READY_TO_THE_END);
    assert_int_equal(shutdown(client, SHUT_WR), 0);
    assert_int_equal(rig_turn(&rig, 10000), 1);
    assert_true(witness->events[fd] & READY_TO_THE_END);
    assert_int_equal(rig.worker.intent->record, 0);
    close(client);
}

static int is_in_epoll(int fd)
{
    struct pollfd wait = {.fd = rig.worker.epoll_fd, .events = POLLIN};
    int client = rig_connect(&rig), told;

    assert_true(rig_await(fd, POLLIN));
    told = poll(&wait, 1, 0) == 1;
    close(client);
    return told;
}

static void too_many_connections_pause_accepting_until_one_ends(void **state)
{
    struct record *record[2];
    struct worker *worker = &rig.worker;
    int client[3];
    (void)state;

    rig.settings.max_connections = 2;
    log_set_level(LOG_ERROR);
    worker_listen(worker);
    for (int i = 0; i < 2; i++) {
        client[i] = rig_open_connection(&rig, &record[i]);
        while (rig_turn(&rig, 0))
            ;
    }
    client[2] = rig_connect(&rig);
    assert_true(rig_await(FD_LISTENERS, POLLIN));
    (void)worker_accept(worker, 0);
    assert_int_equal(worker->arena.page->connections, 2);
    assert_int_equal(worker->accept_again_ns, worker->now_ns + 100 * NS_PER_MS);
    assert_false(is_in_epoll(FD_LISTENERS)); /* a sibling may have it */
    worker_close(worker, record[0]);
    assert_int_equal(worker->accept_again_ns, worker->now_ns);
    worker_listen(worker);
    assert_int_equal(worker->arena.page->connections, 2);
    assert_int_equal(worker->arena.page->accepted, 3); /* it had waited in the queue */
    for (int i = 0; i < 3; i++)
        close(client[i]);
}

static void without_descriptors_accepting_pauses_and_loses_nobody(void **state)
{
    struct rlimit before, few;
    struct worker *worker = &rig.worker;
    int client;
    (void)state;

    if (unit_is_under_valgrind())
        skip(); /* valgrind has a limit of descriptors of its own */
    client = rig_connect(&rig);
    worker_listen(worker); /* takes that one */
    assert_int_equal(worker->arena.page->connections, 1);
    close(client);
    client = rig_connect(&rig);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = (struct rlimit){FD_LISTENERS + 2, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    assert_true(rig_await(FD_LISTENERS, POLLIN));
    (void)worker_accept(worker, 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_true(worker->accept_again_ns > worker->now_ns);
    assert_int_equal(worker->intent->call, INTENT_NOTHING);
    worker_listen(worker);
    assert_int_equal(worker->arena.page->connections, 2);
    close(client);
}

/* Room for the record is made before accept4 could give a number without one. */
static void there_is_always_a_record_for_the_next_number(void **state)
{
    struct record *record;
    int clients[120], count = 0;
    (void)state;

    while (count < 120) {
        uint64_t before = rig.worker.arena.page->accepted;

        clients[count] = rig_connect(&rig);
        assert_true(rig_await(FD_LISTENERS, POLLIN));
        (void)worker_accept(&rig.worker, 0);
        assert_int_equal(rig.worker.arena.page->accepted, before + 1);
        count++;
    }
    assert_true(arena_records_limit(&rig.worker.arena) > ARENA_RECORD_EXTENT);
    record = arena_record(&rig.worker.arena, FD_LISTENERS + 100);
    assert_int_equal(record->life, RECORD_OPEN);
    while (count > 0)
        close(clients[--count]);
}

static void who_asks_for_another_turn_gets_one_and_only_one(void **state)
{
    struct record *record;
    int client = rig_open_connection(&rig, &record);
    (void)state;

    while (rig_turn(&rig, 0))
        ;
    witness_reset();
    worker_again(&rig.worker, record);
    worker_again(&rig.worker, record);
    assert_int_equal(rig.worker.again_count, 1);
    (void)rig_turn(&rig, 0);
    assert_int_equal(witness->count[WITNESS_READY], 1);
    (void)rig_turn(&rig, 0);
    assert_int_equal(witness->count[WITNESS_READY], 1);
    worker_again(&rig.worker, record);
    worker_close(&rig.worker, record); /* it is not there any more when its turn comes */
    (void)rig_turn(&rig, 0);
    assert_int_equal(witness->count[WITNESS_READY], 1);
    close(client);
}

static void a_file_is_closed_with_its_last_user_however_many_there_were(void **state)
{
    int file = open("/dev/null", O_RDONLY | O_CLOEXEC);
    (void)state;

    for (int i = 0; i < 200000; i++) /* more than fit into 16 bits: as many clients may want one file */
        worker_file_use(&rig.worker, file);
    assert_int_equal(rig.worker.files, 1);
    for (int i = 0; i < 199999; i++)
        worker_file_drop(&rig.worker, file);
    assert_true(fcntl(file, F_GETFD) >= 0);
    worker_file_drop(&rig.worker, file);
    assert_int_equal(fcntl(file, F_GETFD), -1);
    assert_int_equal(rig.worker.files, 0);
}

static void who_waits_for_memory_is_looked_at_soon_without_a_new_deadline(void **state)
{
    struct record *record;
    int client = rig_open_connection(&rig, &record);
    uint64_t deadline = record->deadline_ns;
    (void)state;

    worker_again_later(&rig.worker, record);
    assert_int_equal(record->deadline_ns, deadline);
    assert_int_equal(timers_earliest(&rig.worker.timers), rig.worker.now_ns + 50 * NS_PER_MS);
    assert_true(worker_side(&rig.worker, record)->wants_memory);
    close(client);
}

/* --- room --- */

static int may_yield(const struct worker *worker, const struct record *record)
{
    (void)worker;
    (void)record;
    return 1;
}

static void who_is_driven_is_not_closed_for_others_but_the_next_is(void **state)
{
    static struct conn_class yielding;
    struct record *record[2];
    struct worker *worker = &rig.worker;
    int client[2];
    (void)state;

    log_set_level(LOG_ERROR);
    rig_close(&rig);
    yielding = witness_class;
    yielding.may_yield = may_yield;
    rig_open(&rig, &yielding, AF_INET);
    for (int i = 0; i < 2; i++) {
        client[i] = rig_open_connection(&rig, &record[i]);
        waiting_put(&worker->waiting, arena_number(&worker->arena, record[i]), WAITING_IDLE);
    }
    worker->intent->record = arena_number(&worker->arena, record[0]) + 1;
    assert_int_equal(worker_make_room(worker), 1);
    assert_int_equal(witness_of(WITNESS_ABANDONED, record[0], worker), 0);
    assert_int_equal(witness_of(WITNESS_ABANDONED, record[1], worker), 1);
    worker->intent->record = 0;
    for (int i = 0; i < 2; i++)
        close(client[i]);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(an_accepted_connection_gets_the_record_of_its_descriptor),
        CASE(a_closed_record_gives_everything_back),
        CASE(events_are_told_by_edges),
        CASE(too_many_connections_pause_accepting_until_one_ends),
        CASE(without_descriptors_accepting_pauses_and_loses_nobody),
        CASE(there_is_always_a_record_for_the_next_number),
        CASE(who_asks_for_another_turn_gets_one_and_only_one),
        CASE(a_file_is_closed_with_its_last_user_however_many_there_were),
        CASE(who_waits_for_memory_is_looked_at_soon_without_a_new_deadline),
        CASE(who_is_driven_is_not_closed_for_others_but_the_next_is),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
