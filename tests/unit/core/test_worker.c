/* What the worker does for classes, step by step on a rig; and the worker as the process that it is, with this test as
 * keeper and master. */
#include "base/clock.h"
#include "base/fd.h"
#include "core/keeper.h"
#include "core/link.h"
#include "core/listeners.h"
#include "rig.h"
#include "unit.h"
#include "witness.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_MS 10000

static struct rig rig;
static struct worker *const worker = &rig.worker;

static int setup(void **state)
{
    (void)state;
    witness_reset();
    rig_open(&rig, &witness_class, AF_UNIX);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rig_close(&rig);
    return 0;
}

static int is_open(uint32_t fd)
{
    return fcntl((int)fd, F_GETFD) >= 0;
}

static uint32_t number_of(const struct record *record)
{
    return arena_number(&worker->arena, record);
}

/* The first edges of a new connection are through. */
static unsigned driven_so_far(const struct record *record)
{
    while (rig_turn(&rig, 0) > 0)
        ;
    return witness_of(WITNESS_READY, record, worker);
}

/* Whether the call would abort the process. */
static int aborts(void (*call)(struct worker *, struct record *), struct record *record)
{
    pid_t pid = fork();
    int status = 0, null;

    if (pid == 0) {
        (void)setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        null = open("/dev/null", O_WRONLY | O_CLOEXEC);
        (void)dup2(null, STDERR_FILENO);
        call(worker, record);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

/* --- closing --- */

static void closing_gives_back_all_that_a_record_has(void **state)
{
    struct record *record;
    int client = rig_open_connection(&rig, &record);
    uint32_t number = number_of(record);
    struct record_head *head = record_begin(record);
    char byte;
    (void)state;

    head->in_block = (uint32_t)blocks_take(&worker->blocks) + 1;
    head->out_block = (uint32_t)blocks_take(&worker->blocks) + 1;
    record_commit(record);
    assert_int_equal(worker->blocks.in_use, 2);
    assert_int_equal(worker->arena.page->connections, 1);
    worker_close(worker, record);
    assert_int_equal(worker->blocks.in_use, 0);
    assert_int_equal(worker->arena.page->connections, 0);
    assert_int_equal(record->life, RECORD_FREE);
    assert_false(is_open(number));
    assert_true(timers_earliest(&worker->timers) == UINT64_MAX);
    assert_int_equal(recv(client, &byte, 1, 0), 0);
    close(client);
}

static void a_pause_of_accepting_ends_with_a_connection_that_closes(void **state)
{
    struct record *record;
    int client = rig_open_connection(&rig, &record);
    (void)state;

    worker->accept_again_ns = worker->now_ns + NS_PER_S;
    worker_close(worker, record);
    assert_true(worker->accept_again_ns == worker->now_ns);
    close(client);
}

static void only_an_open_record_is_closed(void **state)
{
    static const enum record_life lives[] = {RECORD_FREE, RECORD_ACCEPTING, RECORD_CLOSING};
    struct record *record;
    int client = rig_open_connection(&rig, &record);
    (void)state;

    for (int i = 0; i < 3; i++) {
        record->life = lives[i];
        assert_true(aborts(worker_close, record));
    }
    record->life = RECORD_OPEN;
    record->magic++;
    assert_true(aborts(worker_close, record));
    record->magic--;
    assert_false(aborts(worker_close, record));
    close(client);
}

/* --- again, and deadlines --- */

static void a_record_is_driven_again_once_however_often_it_is_asked_for(void **state)
{
    struct record *record;
    int client = rig_open_connection(&rig, &record);
    unsigned before = driven_so_far(record);
    (void)state;

    for (int i = 0; i < 3; i++)
        worker_again(worker, record);
    assert_int_equal(worker->again_count, 1);
    (void)rig_turn(&rig, 0);
    assert_int_equal(witness_of(WITNESS_READY, record, worker), before + 1);
    (void)rig_turn(&rig, 0);
    assert_int_equal(witness_of(WITNESS_READY, record, worker), before + 1);
    worker_again(worker, record); /* it may ask anew */
    (void)rig_turn(&rig, 0);
    assert_int_equal(witness_of(WITNESS_READY, record, worker), before + 2);
    close(client);
}

static void a_record_that_was_closed_meanwhile_is_not_driven_again(void **state)
{
    struct record *records[2];
    int clients[2];
    unsigned before;
    (void)state;

    for (int i = 0; i < 2; i++)
        clients[i] = rig_open_connection(&rig, &records[i]);
    before = driven_so_far(records[1]);
    worker_again(worker, records[0]);
    worker_again(worker, records[1]);
    worker_close(worker, records[0]);
    (void)rig_turn(&rig, 0);
    assert_int_equal(witness_of(WITNESS_READY, records[1], worker), before + 1);
    assert_int_equal(worker->again_count, 0);
    for (int i = 0; i < 2; i++)
        close(clients[i]);
}

static void a_deadline_stands_in_the_record_and_wakes_in_time(void **state)
{
    struct record *record;
    int client = rig_open_connection(&rig, &record);
    uint32_t number = 0;
    (void)state;

    worker_set_deadline(worker, record, worker->now_ns + 5);
    assert_true(record->deadline_ns == worker->now_ns + 5);
    assert_true(timers_earliest(&worker->timers) == worker->now_ns + 5);
    worker_set_deadline(worker, record, 0); /* the timer may stay, and finds nothing to do */
    assert_int_equal(record->deadline_ns, 0);
    worker_set_deadline(worker, record, worker->now_ns + 3);
    assert_true(timers_take_due(&worker->timers, worker->now_ns + 3, &number));
    assert_int_equal(number, number_of(record));
    close(client);
}

/* --- driving --- */

static void while_a_record_is_driven_the_intent_names_it(void **state)
{
    struct record *record;
    int client = rig_open_connection(&rig, &record);
    (void)state;

    worker->intent->request = 77;
    worker_drive(worker, record, READY_IN | READY_TO_THE_END); /* the witness looks at the intent */
    assert_int_equal(witness->events[number_of(record)], READY_IN | READY_TO_THE_END);
    assert_int_equal(worker->intent->record, 0);
    assert_int_equal(worker->intent->request, 0);
    assert_int_equal(worker->keeps_house, 1);
    close(client);
}

/* --- files --- */

static void a_file_is_closed_with_its_last_user(void **state)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    (void)state;

    worker_file_use(worker, fd);
    worker_file_use(worker, fd);
    assert_int_equal(worker->files, 1);
    assert_true(worker->arena.core->highest_fd >= (uint32_t)fd);
    worker_file_drop(worker, fd);
    assert_true(is_open((uint32_t)fd));
    assert_int_equal(worker->files, 1);
    worker_file_drop(worker, fd);
    assert_false(is_open((uint32_t)fd));
    assert_int_equal(worker->files, 0);
}

static void drop_unused(struct worker *whose, struct record *record)
{
    worker_file_drop(whose, (int)arena_number(&whose->arena, record));
}

static void a_file_that_nobody_uses_cannot_be_dropped(void **state)
{
    struct record *record;
    int client = rig_open_connection(&rig, &record);
    (void)state;

    assert_true(aborts(drop_unused, record));
    close(client);
}

static void the_last_descriptors_are_not_for_files(void **state)
{
    const unsigned fixed = FD_LISTENERS + 1, last = 48;
    (void)state;

    worker->files = RIG_RECORDS - fixed - last - 1;
    assert_true(worker_may_open_file(worker));
    worker->files++;
    assert_false(worker_may_open_file(worker));
    worker->files--;
    worker->arena.page->connections = 1; /* connections count the same */
    assert_false(worker_may_open_file(worker));
    worker->files--;
    assert_true(worker_may_open_file(worker));
    worker->arena.page->connections = 0;
    worker->files = 0;
}

static void the_highest_descriptor_is_remembered(void **state)
{
    (void)state;
    worker_note_descriptor(worker, 99);
    worker_note_descriptor(worker, 42);
    assert_int_equal(worker->arena.core->highest_fd, 99);
}

/* --- the process --- */

static int link_fd;
static pid_t process;

/* The witness, but for an answer to each byte, without which nobody could know that it was heard. */
static void answer(struct worker *of, struct record *record, unsigned events)
{
    int fd = (int)arena_number(&of->arena, record);
    char byte;

    (void)events;
    if (recv(fd, &byte, 1, MSG_DONTWAIT) == 1)
        (void)!send(fd, &byte, 1, MSG_DONTWAIT);
}

static int start(struct worker *of, int snapshot_fd)
{
    (void)of;
    return snapshot_fd == FD_SNAPSHOT ? 0 : ERR_INVALID;
}

static int start_fails(struct worker *of, int snapshot_fd)
{
    (void)of;
    (void)snapshot_fd;
    return ERR_NO_MEMORY;
}

static void stop(struct worker *of)
{
    (void)of;
}

/* The rig's arena and listener, in a process that does nothing but serve them. */
static void run_worker(void)
{
    static struct conn_class class;
    int ends[2];

    class = witness_class;
    class.ready = answer;
    rig.service.classes[1] = &class;
    rig.service.start = rig.service.start ? rig.service.start : start;
    rig.service.stop = stop;
    rig.settings.log_level = LOG_ERROR + 1;
    /* the rig's are not the process's */
    worker->arena.core->epoll_fd = worker->arena.core->wakeup_fd = -1;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    ends[0] = rig_aside(ends[0]);
    link_fd = ends[0];
    process = fork();
    if (process == 0) {
        struct arena arena = worker->arena;

        log_set_level(LOG_ERROR + 1);
        arena.fd = FD_ARENA;
        if (dup2(worker->arena.fd, FD_ARENA) < 0 || dup2(ends[1], FD_LINK) < 0)
            _exit(99);
        (void)close_range(FD_LISTENERS + 1, ~0U, 0);
        worker_run(&arena, &rig.service, &rig.settings, getppid());
    }
    close(ends[1]);
}

static void await_message(enum link_type type)
{
    struct link_message message = {.type = 0};

    while (message.type != type) {
        assert_true(rig_await(link_fd, POLLIN));
        assert_int_equal(link_receive(link_fd, &message), 0);
    }
}

static void order(enum arena_order order, uint64_t deadline_ns)
{
    worker->arena.page->order_deadline_ns = deadline_ns;
    worker->arena.page->order = (uint32_t)order;
    (void)!link_send(link_fd, LINK_POKE, 0, 1, 0); /* it may have seen the order already, and left */
}

static void await_end(int status_wanted)
{
    int status = -1;

    assert_int_equal(waitpid(process, &status, 0), process);
    assert_int_equal(status, status_wanted);
    close(link_fd);
}

static void assert_ends(int client)
{
    char byte;

    assert_true(rig_await(client, POLLIN));
    assert_int_equal(recv(client, &byte, 1, 0), 0);
    close(client);
}

/* A client that was accepted: it has its answer. */
static int accepted_client(void)
{
    int client = rig_connect(&rig);
    char byte = 'x';

    assert_int_equal(send(client, &byte, 1, 0), 1);
    assert_true(rig_await(client, POLLIN));
    assert_int_equal(recv(client, &byte, 1, 0), 1);
    return client;
}

static void a_worker_is_ready_when_it_listens_and_leaves_when_it_is_told_to_stop(void **state)
{
    const struct arena_page *page = worker->arena.page;
    int client;
    (void)state;

    run_worker();
    await_message(LINK_READY);
    assert_int_equal(page->state, ARENA_STATE_READY);
    assert_int_equal(page->listening, 1);
    client = accepted_client();
    order(ARENA_ORDER_STOP, 0); /* its last word is lost when it leaves before it has read ours */
    await_end(0);
    assert_int_equal(page->state, ARENA_STATE_LEFT);
    assert_int_equal(page->connections, 0);
    assert_int_equal(witness->count[WITNESS_ABANDONED], 1);
    assert_ends(client);
}

static void a_quiet_worker_closes_its_listeners_and_keeps_its_connections(void **state)
{
    const struct arena_page *page = worker->arena.page;
    int client;
    (void)state;

    run_worker();
    await_message(LINK_READY);
    client = accepted_client();
    listener_steer_away(FD_LISTENERS);
    order(ARENA_ORDER_QUIET, 0);
    await_message(LINK_QUIET);
    assert_int_equal(page->listening, 0);
    assert_int_equal(page->state, ARENA_STATE_READY);
    assert_int_equal(page->connections, 1);
    order(ARENA_ORDER_STOP, 0); /* its last word is lost when it leaves before it has read ours */
    await_end(0);
    assert_ends(client);
}

static void a_draining_worker_leaves_when_nothing_runs_any_more(void **state)
{
    int client;
    (void)state;

    run_worker();
    await_message(LINK_READY);
    client = accepted_client();
    listener_steer_away(FD_LISTENERS);
    order(ARENA_ORDER_DRAIN, UINT64_MAX); /* the witness's connections are idle */
    await_message(LINK_QUIET);
    await_message(LINK_LEFT);
    await_end(0);
    assert_int_equal(worker->arena.page->state, ARENA_STATE_LEFT);
    assert_ends(client);
}

static void a_worker_that_nobody_can_command_any_more_stops(void **state)
{
    (void)state;
    run_worker();
    await_message(LINK_READY);
    (void)shutdown(link_fd, SHUT_RDWR);
    await_end(0);
    assert_int_equal(worker->arena.page->state, ARENA_STATE_LEFT);
}

static void a_worker_whose_application_cannot_start_says_so_and_ends(void **state)
{
    struct link_message message;
    (void)state;

    rig.service.start = start_fails;
    run_worker();
    assert_true(rig_await(link_fd, POLLIN));
    assert_int_equal(link_receive(link_fd, &message), 0);
    assert_int_equal(message.type, LINK_FAILED);
    assert_int_equal(message.detail, ERR_NO_MEMORY);
    await_end(KEEPER_EXIT_FAILED << 8);
    assert_int_equal(worker->arena.page->state, ARENA_STATE_FAILED);
}

static void a_worker_that_cannot_start_but_has_connections_asks_to_be_tried_again(void **state)
{
    (void)state;
    if (!ARENA_SHARED)
        skip(); /* nobody's connections are taken up */
    rig.service.start = start_fails;
    worker->arena.page->connections = 1;
    run_worker();
    await_end(KEEPER_EXIT_RETRY << 8);
    assert_int_not_equal(worker->arena.page->state, ARENA_STATE_FAILED);
    worker->arena.page->connections = 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(closing_gives_back_all_that_a_record_has),
        TEST(a_pause_of_accepting_ends_with_a_connection_that_closes),
        TEST(only_an_open_record_is_closed),
        TEST(a_record_is_driven_again_once_however_often_it_is_asked_for),
        TEST(a_record_that_was_closed_meanwhile_is_not_driven_again),
        TEST(a_deadline_stands_in_the_record_and_wakes_in_time),
        TEST(while_a_record_is_driven_the_intent_names_it),
        TEST(a_file_is_closed_with_its_last_user),
        TEST(a_file_that_nobody_uses_cannot_be_dropped),
        TEST(the_last_descriptors_are_not_for_files),
        TEST(the_highest_descriptor_is_remembered),
        TEST(a_worker_is_ready_when_it_listens_and_leaves_when_it_is_told_to_stop),
        TEST(a_quiet_worker_closes_its_listeners_and_keeps_its_connections),
        TEST(a_draining_worker_leaves_when_nothing_runs_any_more),
        TEST(a_worker_that_nobody_can_command_any_more_stops),
        TEST(a_worker_whose_application_cannot_start_says_so_and_ends),
        TEST(a_worker_that_cannot_start_but_has_connections_asks_to_be_tried_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
