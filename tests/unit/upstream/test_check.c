/* Active checks, against a server that is the test: what an answer says of a member, and that a death in the middle of a check
 * neither tells twice nor leaves anything. */
#include "upstream/check.h"

#include "base/clock.h"
#include "base/fd.h"
#include "core/witness.h"
#include "rig.h"
#include "unit.h"
#include "upstream/table.h"
#include "upstream/upkeep.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define TIMEOUT_MS 500u
#define INTERVAL_MS 2000u

static struct rig rig;
static struct pools *pools;
static void *shared;
static struct upstream_server server;
static struct upstream_pool pool;
static struct upstream_config config;
static struct upkeep *upkeep;
static char path[64], got[8192];
static int listener, fd;
static uint32_t member;

static struct worker *worker(void)
{
    return &rig.worker;
}

static void open_listener(void)
{
    struct sockaddr_un *address = (void *)&server.address;

    snprintf(path, sizeof path, "/tmp/holdfast-unit-check-%d", (int)getpid());
    (void)unlink(path);
    address->sun_family = AF_UNIX;
    memcpy(address->sun_path, path, sizeof path);
    server.length = sizeof *address;
    listener = rig_aside(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    assert_int_equal(bind(listener, (struct sockaddr *)address, sizeof *address), 0);
    assert_int_equal(listen(listener, 4), 0);
}

static void start_pools(void)
{
    const struct pools_start start = {.config = &config, .shared = shared, .shared_fd = -1};

    assert_int_equal(pools_start(&pools, &start, worker()->now_ns), 0);
    pools_recount_begin(pools);
    pools_recount_end(pools);
    check_set_pools(pools);
}

static int setup(void **state)
{
    (void)state;
    (void)signal(SIGPIPE, SIG_IGN);
    witness_reset();
    rig_open(&rig, &witness_class, AF_UNIX);
    rig.service.classes[CONN_CLASS_CHECK] = &upstream_check_class;
    server = (struct upstream_server){.text = slice_of("unix:/check"), .kind = UPSTREAM_UNIX, .weight = 1};
    fd = -1;
    open_listener();
    pool = (struct upstream_pool){.name = SLICE_LITERAL("app"),
                                  .servers = &server,
                                  .server_count = 1,
                                  .check = {.kind = UPSTREAM_CHECK_HTTP,
                                            .path = "/health",
                                            .interval_ms = INTERVAL_MS,
                                            .timeout_ms = TIMEOUT_MS,
                                            .rise = 1,
                                            .fall = 1}};
    config = (struct upstream_config){.pools = &pool, .pool_count = 1};
    shared =
        mmap(NULL, TABLE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_true(shared != MAP_FAILED);
    start_pools();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    upkeep_stop(&upkeep);
    check_set_pools(NULL);
    pools_stop(&pools);
    munmap(shared, TABLE_SIZE);
    fd_close(&fd);
    fd_close(&listener);
    (void)unlink(path);
    rig_close(&rig);
    return 0;
}

/* --- the steps --- */

static void settle(void)
{
    while (rig_turn(&rig, 0) > 0 || worker()->again_count)
        ;
}

static void begin(void)
{
    const struct upstream_pool *rules;

    assert_int_equal(pools_take_check(pools, worker()->now_ns, &member, &rules), 1);
    assert_ptr_equal(rules, &pool);
    check_begin(worker(), member, rules);
    settle();
}

static void accept_it(void)
{
    assert_true(rig_await(listener, POLLIN));
    fd = rig_aside(accept(listener, NULL, NULL));
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
}

static void hear(void)
{
    ssize_t length;

    accept_it();
    assert_true(rig_await(fd, POLLIN));
    length = recv(fd, got, sizeof got - 1, 0);
    assert_true(length > 0);
    got[length] = '\0';
}

static void say(const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
    settle();
}

static struct record *check_record(void)
{
    for (uint32_t n = 0; n < arena_records_limit(&worker()->arena); n++) {
        struct record *record = arena_record(&worker()->arena, n);

        if (record->life == RECORD_OPEN && record->class_tag == CONN_CLASS_CHECK)
            return record;
    }
    return NULL;
}

static uint64_t told(void)
{
    return table_entry(&(struct table){.memory = shared}, 0)->checks;
}

static uint64_t told_bad(void)
{
    return table_entry(&(struct table){.memory = shared}, 0)->checks_failed;
}

static void assert_ended(uint64_t good, uint64_t bad)
{
    settle();
    assert_null(check_record());
    assert_int_equal(told(), good + bad);
    assert_int_equal(told_bad(), bad);
    assert_int_equal(worker()->blocks.in_use, 0);
    assert_int_equal(worker()->arena.page->connected, 0);
    fd_close(&fd);
}

static void pass_ms(uint64_t ms)
{
    worker()->now_ns += ms * NS_PER_MS;
}

static void expire(void)
{
    struct record *record = check_record();

    assert_true(record->deadline_ns && record->deadline_ns <= worker()->now_ns);
    upstream_check_class.expired(worker(), record);
}

static void revive(void)
{
    check_set_pools(NULL);
    pools_stop(&pools);
    rig_forget(&rig);
    start_pools();
    rig_revive(&rig);
    settle();
}

/* --- answers --- */

static void a_good_answer_tells_that_the_server_is_up(void **state)
{
    (void)state;
    begin();
    hear();
    assert_memory_equal(got, "GET /health HTTP/1.1\r\nHost: localhost\r\n", 39);
    assert_non_null(strstr(got, "\r\nConnection: close\r\n"));
    say("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe");
    assert_int_equal(told(), 1);
    assert_non_null(check_record()); /* the rest is read, so that the server sees no reset */
    say("llo");
    fd_close(&fd);
    assert_ended(1, 0);
    assert_true(pools_is_up(pools, member, worker()->now_ns));
}

static void a_host_of_its_own_is_asked_for(void **state)
{
    (void)state;
    pool.check.host = "app.example.com";
    begin();
    hear();
    assert_non_null(strstr(got, "\r\nHost: app.example.com\r\n"));
}

static void whatever_is_no_good_answer_tells_that_it_is_down(void **state)
{
    static const char *const answers[] = {"HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n",
                                          "SSH-2.0-OpenSSH_9\r\n", "HTTP/2 200\r\n\r\n",
                                          "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
                                          "HTTP/1.1 404 Not Found\r\n\r\n"};
    (void)state;

    for (unsigned i = 0; i < sizeof answers / sizeof *answers; i++) {
        begin();
        hear();
        say(answers[i]);
        fd_close(&fd);
        assert_ended(0, i + 1);
        assert_false(pools_is_up(pools, member, worker()->now_ns));
        pass_ms(INTERVAL_MS);
    }
}

static void interim_answers_are_not_the_answer(void **state)
{
    (void)state;
    begin();
    hear();
    say("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n");
    assert_int_equal(told(), 0);
    say("HTTP/1.1 204 No Content\r\n\r\n");
    fd_close(&fd);
    assert_ended(1, 0);
}

static void a_server_that_ends_too_early_is_down(void **state)
{
    (void)state;
    begin();
    hear();
    say("HTTP/1.1 200 OK\r\nCont");
    fd_close(&fd);
    assert_ended(0, 1);
}

static void a_server_that_says_nothing_is_down_when_its_time_is_over(void **state)
{
    (void)state;
    begin();
    accept_it();
    pass_ms(TIMEOUT_MS - 1);
    settle();
    assert_int_equal(told(), 0);
    pass_ms(1);
    expire();
    assert_ended(0, 1);
}

static void a_server_that_is_not_there_is_down_at_once(void **state)
{
    (void)state;
    fd_close(&listener);
    begin();
    assert_ended(0, 1);
}

static void a_body_without_an_end_is_not_waited_for(void **state)
{
    static char much[20000];
    (void)state;

    memset(much, 'x', sizeof much - 1);
    begin();
    hear();
    say("HTTP/1.1 200 OK\r\n\r\n");
    for (int i = 0; i < 5; i++)
        say(much);
    assert_int_equal(told(), 1);
    pass_ms(1000);
    expire();
    assert_ended(1, 0);
}

static void a_connection_alone_may_be_the_check(void **state)
{
    char byte;
    (void)state;

    pool.check.kind = UPSTREAM_CHECK_CONNECT;
    begin();
    assert_ended(1, 0);
    accept_it();
    assert_true(recv(fd, &byte, 1, 0) <= 0); /* nothing is asked */
    pass_ms(INTERVAL_MS);
    fd_close(&listener);
    begin();
    assert_ended(1, 1);
}

/* --- deaths --- */

static void the_next_worker_goes_on_with_it(void **state)
{
    (void)state;
    if (!ARENA_SHARED)
        skip();
    begin();
    hear();
    revive();
    say("HTTP/1.1 200 OK\r\n");
    revive();
    assert_int_equal(told(), 0);
    say("Content-Length: 3\r\n\r\n");
    assert_int_equal(told(), 1);
    revive(); /* what was told is not told again */
    assert_int_equal(told(), 1);
    say("end");
    fd_close(&fd);
    assert_ended(1, 0);
}

static void a_check_of_nobody_is_closed_by_the_next_worker(void **state)
{
    struct record *record;
    (void)state;

    if (!ARENA_SHARED)
        skip();
    assert_int_equal(
        worker_open_connected(worker(), (struct sockaddr *)&server.address, CONN_CLASS_CHECK, &record),
        0); /* and its worker dies, before a member is named */
    revive();
    assert_ended(0, 0);
}

static void the_deadline_outlives_the_worker(void **state)
{
    (void)state;
    if (!ARENA_SHARED)
        skip();
    begin();
    accept_it();
    pass_ms(TIMEOUT_MS - 1);
    revive();
    assert_int_equal(told(), 0);
    pass_ms(1);
    expire();
    assert_ended(0, 1);
}

static void a_worker_that_crashed_over_a_check_tells_nothing(void **state)
{
    (void)state;
    if (!ARENA_SHARED)
        skip();
    begin();
    hear();
    worker()->arena.core->fault = 1;
    worker()->arena.core->fault_thread = 0;
    worker()->intent->record = arena_number(&worker()->arena, check_record()) + 1;
    revive();
    assert_ended(0, 0);
}

static void without_memory_nothing_is_told(void **state)
{
    const struct upstream_pool *rules;
    (void)state;

    while (blocks_take(&worker()->blocks) >= 0)
        ;
    assert_int_equal(pools_take_check(pools, worker()->now_ns, &member, &rules), 1);
    check_begin(worker(), member, rules);
    settle();
    assert_null(check_record());
    assert_int_equal(told(), 0);
    assert_int_equal(worker()->arena.page->connected, 0);
}

/* --- who makes them (upkeep.h) --- */

static void checks_are_made_when_they_are_due_by_one_worker_alone(void **state)
{
    (void)state;
    worker()->housekeeping_ns = UINT64_MAX;
    assert_int_equal(upkeep_start(&upkeep, worker(), pools, &config), 0);
    assert_int_equal(worker()->housekeeping_ns, worker()->now_ns); /* it asks for its first turn */
    assert_int_equal(upkeep_turn(upkeep), 1);
    settle();
    hear();
    say("HTTP/1.1 200 OK\r\n\r\n");
    fd_close(&fd);
    assert_ended(1, 0);
    for (int i = 0; i < 3; i++) { /* nothing is due */
        assert_int_equal(upkeep_turn(upkeep), 1);
        settle();
        assert_ended(1, 0);
        pass_ms(INTERVAL_MS / 4);
    }
    pass_ms(INTERVAL_MS / 4);
    worker()->housekeeping_ns = UINT64_MAX;
    assert_int_equal(upkeep_turn(upkeep), 1);
    settle();
    hear();
    assert_true(worker()->housekeeping_ns <= worker()->now_ns + INTERVAL_MS * NS_PER_MS);
    say("HTTP/1.1 200 OK\r\n\r\n");
    fd_close(&fd);
    assert_ended(2, 0);
}

static void without_names_or_checks_there_is_nothing_to_do(void **state)
{
    (void)state;
    pool.check.kind = UPSTREAM_CHECK_NONE;
    check_set_pools(NULL);
    pools_stop(&pools);
    start_pools();
    assert_int_equal(upkeep_start(&upkeep, worker(), pools, &config), 0);
    assert_int_equal(upkeep_turn(upkeep), 0);
    upkeep_stop(&upkeep);
    upkeep_stop(&upkeep); /* of nobody */
    check_set_pools(pools);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_good_answer_tells_that_the_server_is_up),
        CASE(a_host_of_its_own_is_asked_for),
        CASE(whatever_is_no_good_answer_tells_that_it_is_down),
        CASE(interim_answers_are_not_the_answer),
        CASE(a_server_that_ends_too_early_is_down),
        CASE(a_server_that_says_nothing_is_down_when_its_time_is_over),
        CASE(a_server_that_is_not_there_is_down_at_once),
        CASE(a_body_without_an_end_is_not_waited_for),
        CASE(a_connection_alone_may_be_the_check),
        CASE(the_next_worker_goes_on_with_it),
        CASE(a_check_of_nobody_is_closed_by_the_next_worker),
        CASE(the_deadline_outlives_the_worker),
        CASE(a_worker_that_crashed_over_a_check_tells_nothing),
        CASE(without_memory_nothing_is_told),
        CASE(checks_are_made_when_they_are_due_by_one_worker_alone),
        CASE(without_names_or_checks_there_is_nothing_to_do),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
