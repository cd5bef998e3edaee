/* A worker dies, the next one takes over: records in every life, and descriptors without records. */
#include "core/revival.h"

#include "base/fd.h"
#include "death.h"
#include "rig.h"
#include "unit.h"
#include "witness.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct rig rig;
static unsigned descriptors;

static int setup_family(int family)
{
    witness_reset();
    rig_open(&rig, &witness_class, family);
    descriptors = rig_count_descriptors();
    return 0;
}

static int setup(void **state)
{
    (void)state;
    return setup_family(AF_INET);
}

static int teardown(void **state)
{
    (void)state;
    rig_close(&rig);
    return 0;
}

static struct arena_core *core(void)
{
    return rig.worker.arena.core;
}

static int number_of(const struct record *record)
{
    return (int)arena_number(&rig.worker.arena, record);
}

static unsigned seen(enum witness_call call, const struct record *record)
{
    return witness_of(call, record, &rig.worker);
}

static int is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

/* The client's view: 1 if our end was closed. */
static int sees_end(int client)
{
    char byte;
    ssize_t count;

    assert_true(rig_await(client, POLLIN | POLLHUP | POLLERR));
    count = recv(client, &byte, 1, 0);
    return count == 0 || (count < 0 && errno == ECONNRESET);
}

/* --- open records --- */

static void open_connections_are_taken_up_with_all_they_have(void **state)
{
    struct record *record[3];
    int client[3], block;
    (void)state;

    for (int i = 0; i < 3; i++)
        client[i] = rig_open_connection(&rig, &record[i]);
    block = (int)blocks_take(&rig.worker.blocks);
    record_begin(record[1])->in_block = (uint32_t)block + 1;
    record_commit(record[1]);
    worker_set_deadline(&rig.worker, record[2], 12345);
    death_and_revival(&rig);
    assert_int_equal(rig.worker.arena.page->connections, 3);
    assert_int_equal(rig.worker.arena.page->revivals, 1);
    assert_int_equal(rig.worker.arena.page->odd, 0);
    assert_int_equal(rig.worker.blocks.in_use, 1);
    assert_int_equal(blocks_claim(&rig.worker.blocks, (uint32_t)block), ERR_INVALID); /* it is taken */
    assert_int_equal(timers_earliest(&rig.worker.timers), 12345);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(seen(WITNESS_OPENED, record[i]), 0);
        assert_int_equal(seen(WITNESS_REVIVED, record[i]), 1);
        assert_int_equal(seen(WITNESS_READY, record[i]), 1);
        assert_int_equal(witness->events[number_of(record[i])], READY_IN | READY_OUT);
        close(client[i]);
    }
    assert_int_equal(witness->count[WITNESS_BLAMED], 0);
}

static void deadlines_are_kept_to_the_nanosecond(void **state)
{
    struct record *record[2];
    uint64_t deadline[2];
    uint32_t number;
    (void)state;

    for (int i = 0; i < 2; i++) {
        close(rig_open_connection(&rig, &record[i]));
        deadline[i] = record[i]->deadline_ns;
        assert_true(deadline[i] > rig.worker.now_ns);
    }
    worker_set_deadline(&rig.worker, record[0], 0); /* never */
    rig.worker.now_ns += 5000000;
    death_and_revival(&rig);
    assert_int_equal(record[0]->deadline_ns, 0);
    assert_int_equal(record[1]->deadline_ns, deadline[1]);
    assert_int_equal(timers_take_due(&rig.worker.timers, deadline[1] - 1, &number), 0);
    assert_int_equal(timers_take_due(&rig.worker.timers, deadline[1], &number), 1);
    assert_int_equal(number, number_of(record[1]));
    assert_int_equal(timers_take_due(&rig.worker.timers, UINT64_MAX, &number), 0);
}

static void edges_that_the_dead_worker_took_are_given_again(void **state)
{
    struct record *record;
    int client = rig_open_connection(&rig, &record);
    (void)state;

    while (rig_turn(&rig, 0))
        ;
    assert_int_equal(send(client, "x", 1, 0), 1);
    assert_int_equal(rig_turn(&rig, 10000), 1); /* the edge is gone, the byte still unread */
    death_and_revival(&rig);
    witness_reset();
    assert_int_equal(rig_turn(&rig, 10000), 1);
    assert_int_equal(seen(WITNESS_READY, record), 1);
    assert_true(witness->events[number_of(record)] & READY_IN);
    close(client);
}

static void open_files_of_committed_heads_are_counted_and_others_closed(void **state)
{
    struct record *record[2];
    int kept = open("/dev/null", O_RDONLY | O_CLOEXEC), stray = open("/dev/null", O_RDONLY | O_CLOEXEC);
    (void)state;

    for (int i = 0; i < 2; i++) {
        close(rig_open_connection(&rig, &record[i]));
        record_begin(record[i])->file_fd = kept;
        record_commit(record[i]);
    }
    death_and_revival(&rig);
    assert_int_equal(rig.worker.side[kept].file_references, 2);
    assert_int_equal(rig.worker.files, 1);
    assert_true(is_open(kept));
    assert_false(is_open(stray));
    worker_file_drop(&rig.worker, kept);
    worker_file_drop(&rig.worker, kept);
    assert_false(is_open(kept));
}

static void serials_go_on_behind_the_highest_that_was_given(void **state)
{
    struct record *before, *after;
    (void)state;

    close(rig_open_connection(&rig, &before));
    core()->next_serial = 1; /* killed before it was stored */
    death_and_revival(&rig);
    close(rig_open_connection(&rig, &after));
    assert_true(after->serial > before->serial);
}

/* --- accepting --- */

static void orphans_are_adopted(int family, enum record_life life)
{
    struct record *record;
    int client, fd;

    setup_family(family);
    client = rig_connect(&rig);
    fd = death_in_accept(&rig, life);
    record = arena_record(&rig.worker.arena, (uint32_t)fd);
    death_and_revival(&rig);
    assert_int_equal(record->life, RECORD_OPEN);
    assert_int_equal(record->magic, RECORD_MAGIC);
    assert_int_equal(record->kind, family == AF_UNIX ? RECORD_UNIX : RECORD_TCP_ACCEPTED);
    assert_int_equal(record->rx, 0);
    assert_int_equal(seen(WITNESS_OPENED, record), 1);
    assert_int_equal(seen(WITNESS_REVIVED, record), 0);
    assert_int_equal(seen(WITNESS_READY, record), 1); /* what it sent meanwhile gave no edge to anybody */
    assert_int_equal(rig.worker.arena.page->connections, 1);
    assert_int_equal(rig.worker.intent->call, INTENT_NOTHING);
    witness_reset();
    assert_int_equal(send(client, "x", 1, MSG_NOSIGNAL), 1);
    while (!(witness->events[fd] & READY_IN))
        assert_true(rig_turn(&rig, 10000) > 0);
    close(client);
    rig_close(&rig);
}

static void an_accepted_socket_without_a_record_is_adopted(void **state)
{
    (void)state;
    orphans_are_adopted(AF_INET, RECORD_FREE);
    orphans_are_adopted(AF_INET, RECORD_ACCEPTING);
    orphans_are_adopted(AF_INET6, RECORD_FREE);
    orphans_are_adopted(AF_UNIX, RECORD_FREE);
    orphans_are_adopted(AF_UNIX, RECORD_ACCEPTING);
}

static void an_orphan_whose_client_has_left_is_adopted_too(void **state)
{
    const struct linger at_once = {1, 0};
    int client = rig_connect(&rig), fd;
    (void)state;

    assert_int_equal(setsockopt(client, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
    fd = death_in_accept(&rig, RECORD_FREE);
    close(client);
    assert_true(rig_await(fd, POLLHUP));
    death_and_revival(&rig);
    assert_int_equal(witness->of_record[WITNESS_OPENED][fd], 1); /* its class finds out */
}

static void an_accept_that_had_come_to_its_end_is_not_done_twice(void **state)
{
    struct record *record;
    int client = rig_open_connection(&rig, &record);
    (void)state;

    rig.worker.intent->call = INTENT_ACCEPT; /* killed before it was taken back */
    death_and_revival(&rig);
    assert_int_equal(witness->count[WITNESS_OPENED], 0);
    assert_int_equal(rig.worker.arena.page->accepted, 1);
    assert_int_equal(rig.worker.arena.page->connections, 1);
    close(client);
}

/* --- strays --- */

static void without_an_accept_under_way_a_socket_without_a_record_is_a_stray(void **state)
{
    int client = rig_connect(&rig), fd = death_in_accept(&rig, RECORD_FREE);
    (void)state;

    rig.worker.intent->call = INTENT_NOTHING;
    death_and_revival(&rig);
    assert_false(is_open(fd));
    assert_int_equal(witness->total, 0);
    assert_true(sees_end(client));
    close(client);
}

/* A connection of another listener of this machine. */
static int foreign_connection(int *client)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fd;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, length), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &length), 0);
    *client = rig_aside(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    assert_int_equal(connect(*client, (struct sockaddr *)&address, length), 0);
    fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    close(listener);
    return fd;
}

static void only_connections_of_the_listener_are_adopted(void **state)
{
    int pair[2], pipes[2], foreign, client = -1;
    (void)state;

    rig.worker.intent->call = INTENT_ACCEPT;
    rig.worker.intent->listener = 0;
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    foreign = foreign_connection(&client);
    assert_true(dup(FD_LISTENERS) > FD_LISTENERS);
    assert_true(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0) > FD_LISTENERS);
    assert_true(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) > FD_LISTENERS);
    death_and_revival(&rig);
    assert_int_equal(witness->total, 0);
    assert_false(is_open(foreign));
    assert_int_equal(rig_count_descriptors(), descriptors);
    assert_true(is_open(FD_LISTENERS));
    close(client);
}

/* --- closing --- */

static void a_close_that_was_begun_is_ended(void **state)
{
    struct record *record;
    int client = rig_open_connection(&rig, &record);
    (void)state;

    record->life = RECORD_CLOSING;
    death_and_revival(&rig);
    assert_int_equal(record->life, RECORD_FREE);
    assert_int_equal(witness->total, 0);
    assert_int_equal(rig.worker.arena.page->connections, 0);
    assert_int_equal(rig_count_descriptors(), descriptors);
    assert_true(sees_end(client));
    close(client);
}

/* The number was closed already, and what the next worker opens first gets it. */
static void a_number_that_was_closed_already_is_not_taken_from_its_next_owner(void **state)
{
    struct record *record;
    int client = rig_open_connection(&rig, &record), fd = number_of(record), file;
    (void)state;

    record->life = RECORD_CLOSING;
    close(fd);
    rig_forget(&rig);
    rig_begin_again(&rig);
    file = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_int_equal(file, fd);
    worker_file_use(&rig.worker, file);
    revival_run(&rig.worker);
    assert_true(is_open(file));
    assert_int_equal(record->life, RECORD_FREE);
    close(client);
}

/* --- what does not agree --- */

static void a_damaged_record_is_closed_and_told(void **state)
{
    struct record *record;
    int client = rig_open_connection(&rig, &record);
    (void)state;

    record->magic++;
    log_set_level(LOG_ERROR + 1);
    death_and_revival(&rig);
    assert_int_equal(record->life, RECORD_FREE);
    assert_int_equal(rig.worker.arena.page->odd, 1);
    assert_int_equal(witness->total, 0);
    assert_true(sees_end(client));
    close(client);
}

static void a_block_that_two_records_name_is_given_to_one(void **state)
{
    struct record *record[2];
    uint32_t block = (uint32_t)blocks_take(&rig.worker.blocks) + 1;
    (void)state;

    for (int i = 0; i < 2; i++) {
        close(rig_open_connection(&rig, &record[i]));
        record_begin(record[i])->out_block = block;
        record_commit(record[i]);
    }
    log_set_level(LOG_ERROR + 1);
    death_and_revival(&rig);
    assert_int_equal(record[0]->life, RECORD_OPEN);
    assert_int_equal(record[1]->life, RECORD_FREE);
    assert_int_equal(rig.worker.arena.page->odd, 1);
    assert_int_equal(rig.worker.arena.page->connections, 1);
}

static void a_record_without_a_descriptor_is_forgotten(void **state)
{
    struct record *record;
    int client = rig_open_connection(&rig, &record);
    (void)state;

    close(number_of(record));
    log_set_level(LOG_ERROR + 1);
    death_and_revival(&rig);
    assert_int_equal(record->life, RECORD_FREE);
    assert_int_equal(rig.worker.arena.page->odd, 1);
    close(client);
}

/* --- the intent --- */

static void the_record_of_the_intent_is_settled(void **state)
{
    struct record *record;
    int client = rig_open_connection(&rig, &record);
    (void)state;

    record_begin(record)->in_block = (uint32_t)blocks_take(&rig.worker.blocks) + 1;
    record_commit(record);
    death_in_receive(&rig, record, client, 17);
    death_and_revival(&rig);
    assert_int_equal(record->rx, 17);
    assert_int_equal(rig.worker.arena.page->reconciled, 1);
    assert_int_equal(rig.worker.arena.page->odd, 0);
    assert_int_equal(core()->intents[0].record, 0);
    close(client);
}

static void what_cannot_be_settled_is_abandoned(void **state)
{
    struct record *record, *other;
    int client = rig_open_connection(&rig, &record);
    (void)state;

    close(rig_open_connection(&rig, &other));
    death_in_receive(&rig, record, client, 17); /* there is no block: it cannot be */
    log_set_level(LOG_ERROR + 1);
    death_and_revival(&rig);
    assert_int_equal(record->life, RECORD_FREE);
    assert_int_equal(other->life, RECORD_OPEN);
    assert_int_equal(seen(WITNESS_ABANDONED, record), 1);
    assert_int_equal(seen(WITNESS_READY, record), 0);
    assert_true(sees_end(client));
    close(client);
}

static void garbage_in_the_intent_harms_nobody(void **state)
{
    struct record *record;
    int client = rig_open_connection(&rig, &record);
    (void)state;

    rig.worker.intent->record = UINT32_MAX;
    rig.worker.intent->call = 99;
    core()->fault = 1;
    core()->fault_thread = 12345;
    death_and_revival(&rig);
    assert_int_equal(record->life, RECORD_OPEN);
    assert_int_equal(witness->count[WITNESS_BLAMED], 0);
    close(client);
}

/* --- blame --- */

static void a_death_by_its_own_fault_blames_the_record_of_its_thread(void **state)
{
    struct record *innocent, *guilty;
    (void)state;

    close(rig_open_connection(&rig, &innocent));
    close(rig_open_connection(&rig, &guilty));
    core()->intents[0].record = (uint32_t)number_of(innocent) + 1;
    core()->intents[7].record = (uint32_t)number_of(guilty) + 1;
    core()->fault = 1;
    core()->fault_thread = 7;
    death_and_revival(&rig);
    assert_int_equal(seen(WITNESS_BLAMED, innocent), 0);
    assert_int_equal(seen(WITNESS_BLAMED, guilty), 1);
    assert_int_equal(seen(WITNESS_READY, guilty), 1);
    assert_int_equal(core()->fault, 0);
    assert_int_equal(core()->blamed, 0);
    assert_int_equal(core()->intents[7].record, 0);
    death_and_revival(&rig); /* the next death is nobody's fault */
    assert_int_equal(witness->count[WITNESS_BLAMED], 0);
}

static void a_kill_from_outside_blames_nobody(void **state)
{
    struct record *record;
    (void)state;

    close(rig_open_connection(&rig, &record));
    core()->intents[0].record = (uint32_t)number_of(record) + 1;
    death_and_revival(&rig);
    assert_int_equal(witness->count[WITNESS_BLAMED], 0);
    assert_int_equal(record_head(record)->crashes, 0);
}

/* --- before the new worker opens anything --- */

static int stray_at(int number)
{
    assert_int_equal(dup2(FD_NULL, number), number);
    return number;
}

static void what_the_dead_worker_had_open_for_itself_is_closed_and_nothing_else(void **state)
{
    struct record *records[3];
    int clients[3], file, stray, last;
    (void)state;

    for (int i = 0; i < 3; i++)
        clients[i] = rig_open_connection(&rig, &records[i]);
    file = stray_at(40);
    record_begin(records[0])->file_fd = file;
    record_commit(records[0]);
    records[1]->life = RECORD_CLOSING; /* its close is somebody else's to end */
    core()->wakeup_fd = stray_at(41);
    core()->keeper_pidfd = stray_at(42);
    stray = stray_at(43);
    last = stray_at(RIG_RECORDS - 1);
    core()->highest_fd = RIG_RECORDS - 1;
    revival_close_strays(&rig.worker.arena, FD_LISTENERS + 1);
    assert_false(is_open(stray));
    assert_false(is_open(last));
    assert_true(is_open(file));
    assert_true(is_open(41) && is_open(42));
    for (int i = 0; i < 3; i++)
        assert_true(is_open(number_of(records[i])));
    for (int fd = 0; fd <= FD_LISTENERS; fd++)
        assert_true(is_open(fd));
    records[1]->life = RECORD_OPEN;
    core()->wakeup_fd = core()->keeper_pidfd = -1;
    for (int i = 0; i < 3; i++)
        close(clients[i]);
}

static void a_file_that_only_a_spare_head_names_is_a_stray(void **state)
{
    struct record *record;
    int client = rig_open_connection(&rig, &record), file = stray_at(40);
    (void)state;

    record_begin(record)->file_fd = file; /* the death came before the commit */
    core()->highest_fd = (uint32_t)file;
    revival_close_strays(&rig.worker.arena, FD_LISTENERS + 1);
    assert_int_equal(is_open(file), !ARENA_SHARED);
    assert_true(is_open(number_of(record)));
    close(client);
}

static void strays_are_looked_for_only_as_far_as_descriptors_went(void **state)
{
    int far = stray_at(RIG_RECORDS - 1), near = stray_at(50);
    (void)state;

    core()->highest_fd = 20; /* and a little further, for what was not noted any more */
    revival_close_strays(&rig.worker.arena, FD_LISTENERS + 1);
    assert_false(is_open(near));
    assert_int_equal(is_open(far), arena_records_limit(&rig.worker.arena) < RIG_RECORDS - 100);
    close(far);
}

static void while_an_accept_is_in_question_no_stray_is_closed_by_guess(void **state)
{
    int client = rig_connect(&rig), fd = death_in_accept(&rig, RECORD_FREE);
    (void)state;

    core()->highest_fd = (uint32_t)fd;
    revival_close_strays(&rig.worker.arena, FD_LISTENERS + 1);
    assert_true(is_open(fd)); /* it is a client's */
    death_and_revival(&rig);
    assert_true(is_open(fd));
    assert_int_equal(arena_record(&rig.worker.arena, (uint32_t)fd)->life, RECORD_OPEN);
    close(client);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(open_connections_are_taken_up_with_all_they_have),
        CASE(deadlines_are_kept_to_the_nanosecond),
        CASE(edges_that_the_dead_worker_took_are_given_again),
        CASE(open_files_of_committed_heads_are_counted_and_others_closed),
        CASE(serials_go_on_behind_the_highest_that_was_given),
        cmocka_unit_test(an_accepted_socket_without_a_record_is_adopted),
        CASE(an_orphan_whose_client_has_left_is_adopted_too),
        CASE(an_accept_that_had_come_to_its_end_is_not_done_twice),
        CASE(without_an_accept_under_way_a_socket_without_a_record_is_a_stray),
        CASE(only_connections_of_the_listener_are_adopted),
        CASE(a_close_that_was_begun_is_ended),
        CASE(a_number_that_was_closed_already_is_not_taken_from_its_next_owner),
        CASE(a_damaged_record_is_closed_and_told),
        CASE(a_block_that_two_records_name_is_given_to_one),
        CASE(a_record_without_a_descriptor_is_forgotten),
        CASE(the_record_of_the_intent_is_settled),
        CASE(what_cannot_be_settled_is_abandoned),
        CASE(garbage_in_the_intent_harms_nobody),
        CASE(a_death_by_its_own_fault_blames_the_record_of_its_thread),
        CASE(a_kill_from_outside_blames_nobody),
        CASE(what_the_dead_worker_had_open_for_itself_is_closed_and_nothing_else),
        CASE(a_file_that_only_a_spare_head_names_is_a_stray),
        CASE(strays_are_looked_for_only_as_far_as_descriptors_went),
        CASE(while_an_accept_is_in_question_no_stray_is_closed_by_guess),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
