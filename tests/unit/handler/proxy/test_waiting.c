/* Requests that wait: for a server, for another try, for memory. */
#include "base/fd.h"
#include "behind.h"
#include "unit.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct worker *worker(void)
{
    return &behind.talk.rig.worker;
}

static struct record *client(void)
{
    return behind.talk.record;
}

static void assert_nothing_is_held(void)
{
    talk_settle(&behind.talk);
    assert_int_equal(behind_active(), 0);
    assert_int_equal(worker()->blocks.in_use, 0);
    assert_int_equal(worker()->files, 0);
}

/* --- memory --- */

static int64_t hoard[1u << 16];
static size_t hoarded;

/* All blocks are taken but so many. */
static void leave_blocks(unsigned count)
{
    int64_t block;

    while ((block = blocks_take(&worker()->blocks)) >= 0)
        hoard[hoarded++] = block;
    while (count-- && hoarded)
        blocks_give(&worker()->blocks, (uint32_t)hoard[--hoarded]);
}

static void give_blocks_back(void)
{
    while (hoarded)
        blocks_give(&worker()->blocks, (uint32_t)hoard[--hoarded]);
}

/* It is looked at again later, as worker_expire does. */
static void look_again(void)
{
    for (uint32_t n = 0; n < arena_records_limit(&worker()->arena); n++) {
        struct record *record = arena_record(&worker()->arena, n);

        if (record->life != RECORD_OPEN || !worker()->side[n].wants_memory)
            continue;
        worker()->side[n].wants_memory = 0;
        worker_drive(worker(), record, READY_IN | READY_OUT);
    }
    talk_settle(&behind.talk);
}

static int somebody_waits(void)
{
    for (uint32_t n = 0; n < arena_records_limit(&worker()->arena); n++)
        if (arena_record(&worker()->arena, n)->life == RECORD_OPEN && worker()->side[n].wants_memory)
            return 1;
    return 0;
}

static void a_request_that_finds_no_memory_for_its_leg_is_begun_again(void **state)
{
    (void)state;
    leave_blocks(1); /* for the client's bytes */
    talk_say(&behind.talk, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    talk_settle(&behind.talk);
    assert_true(somebody_waits());
    assert_int_equal(talk_step(&behind.talk), EXCHANGE_READ_HEAD);
    assert_int_equal(behind_active(), 0); /* nothing is kept of a try that could not be made */
    assert_int_equal(worker()->arena.page->connected, 0);
    look_again(); /* still nothing */
    assert_int_equal(behind_active(), 0);
    give_blocks_back();
    look_again();
    behind_accept();
    behind_hear("GET / HTTP/1.1\r\n");
    behind_say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    talk_expect(&behind.talk, 200, "ok");
    assert_nothing_is_held();
}

static void a_body_that_finds_no_memory_goes_on_when_there_is_some(void **state)
{
    char body[101] = "";
    (void)state;

    memset(body, 'b', 100);
    talk_say(&behind.talk, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 200\r\n\r\n");
    behind_accept();
    behind_hear("Content-Length: 200\r\n");
    talk_settle(&behind.talk);
    leave_blocks(0);
    talk_say(&behind.talk, body);
    talk_settle(&behind.talk);
    assert_true(somebody_waits());
    assert_int_equal(client()->rx, strlen("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 200\r\n\r\n"));
    give_blocks_back();
    leave_blocks(1); /* enough to take it in, not to pass it on */
    look_again();
    if (somebody_waits())
        give_blocks_back();
    look_again();
    behind_hear("bbbb");
    assert_int_equal(strlen(behind.got), 100);
    give_blocks_back();
    talk_say(&behind.talk, body);
    behind_hear("bbbb");
    behind_say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    talk_expect(&behind.talk, 200, "ok");
    assert_nothing_is_held();
}

static void an_answer_that_finds_no_memory_goes_on_when_there_is_some(void **state)
{
    (void)state;
    behind_ask();
    talk_settle(&behind.talk);
    leave_blocks(0);
    behind_say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"); /* nowhere to receive it */
    assert_true(somebody_waits());
    assert_int_equal(behind.talk.length, 0);
    give_blocks_back();
    leave_blocks(1); /* received, and nowhere to put it for the client */
    look_again();
    assert_true(somebody_waits());
    assert_int_equal(talk_step(&behind.talk), EXCHANGE_RELAY);
    give_blocks_back();
    look_again();
    talk_expect(&behind.talk, 200, "ok");
    assert_nothing_is_held();
}

static void who_finds_no_memory_to_wait_in_is_begun_again(void **state)
{
    int first;
    (void)state;

    behind.server.max = 1;
    behind_ask();
    first = behind.talk.client; /* somebody else has the one place */
    behind.talk.client = -1;
    talk_connect(&behind.talk);
    leave_blocks(1);
    talk_say(&behind.talk, "GET /second HTTP/1.1\r\nHost: a\r\n\r\n");
    talk_settle(&behind.talk);
    assert_true(somebody_waits());
    assert_int_equal(talk_step(&behind.talk), EXCHANGE_READ_HEAD);
    give_blocks_back();
    look_again();
    assert_int_equal(talk_step(&behind.talk), EXCHANGE_RELAY);
    behind_say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    behind_hear("GET /second ");
    behind_say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    talk_expect(&behind.talk, 200, "ok");
    assert_nothing_is_held();
    fd_close(&first);
}

/* --- the queue --- */

struct waiter {
    int client;
    struct record *record;
};

/* A client that asks for a path, and is put aside. */
static struct waiter another(const char *path)
{
    struct waiter waiter;
    char text[128];

    behind.talk.client = -1;
    talk_connect(&behind.talk);
    snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", path);
    talk_say(&behind.talk, text);
    talk_settle(&behind.talk);
    waiter = (struct waiter){behind.talk.client, behind.talk.record};
    worker()->now_ns += NS_PER_MS; /* who comes later is due later */
    return waiter;
}

static void turn_to(const struct waiter *waiter)
{
    behind.talk.client = waiter->client;
    behind.talk.record = waiter->record;
    behind.talk.length = 0;
    behind.talk.has_ended = 0;
}

static void answer(const struct waiter *waiter, const char *body)
{
    char text[128];

    snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s", strlen(body), body);
    behind_say(text);
    turn_to(waiter);
    talk_expect(&behind.talk, 200, body);
}

static void who_waits_longest_is_served_first_also_after_deaths(void **state)
{
    struct waiter waiters[3];
    (void)state;

    behind.server.max = 1;
    waiters[0] = another("/0");
    behind_accept();
    behind_hear("GET /0 ");
    waiters[1] = another("/1");
    waiters[2] = another("/2");
    for (int i = 0; i < 3; i++) {
        assert_int_equal(behind_active(), 1);
        behind_revive(NULL);
        talk_settle(&behind.talk);
        answer(&waiters[i], i == 1 ? "one" : "another");
        if (i < 2)
            behind_hear(i ? "GET /2 " : "GET /1 ");
    }
    assert_nothing_is_held();
    for (int i = 0; i < 3; i++)
        fd_close(&waiters[i].client);
    behind.talk.client = -1;
}

static void a_full_queue_turns_away_and_a_place_in_it_is_given_back(void **state)
{
    struct waiter waiters[2 + BEHIND_QUEUE];
    struct response response;
    (void)state;

    behind.server.max = 1;
    for (unsigned i = 0; i < 2 + BEHIND_QUEUE; i++)
        waiters[i] = another("/");
    talk_hear(&behind.talk, &response, 0); /* the last one */
    assert_int_equal(response.status, 503);
    assert_non_null(strstr(response.head, "\r\nHoldfast-Error: pool_full\r\n"));
    behind_accept();
    behind_hear("GET / ");
    turn_to(&waiters[1]);
    assert_true(behind_pass(waiters[1].record, BEHIND_QUEUE_MS - 3)); /* it has waited in vain */
    talk_expect(&behind.talk, 503, NULL);
    turn_to(&waiters[2]); /* who came a moment later, too, but not yet */
    assert_int_equal(talk_step(&behind.talk), EXCHANGE_RELAY);
    answer(&waiters[0], "ok");
    behind_hear("GET / ");
    answer(&waiters[2], "ok");
    assert_nothing_is_held();
    for (unsigned i = 0; i < 2 + BEHIND_QUEUE; i++)
        fd_close(&waiters[i].client);
    behind.talk.client = -1;
}

/* A place that another worker gives back is nobody's news: whoever comes then must not go past those who wait. */
static void who_comes_later_does_not_go_past_who_waits(void **state)
{
    struct waiter waiters[2];
    struct table other;
    (void)state;

    behind.server.max = 1;
    assert_int_equal(table_open(&other, behind.shared, -1, 1, NULL), 0);
    assert_int_equal(table_take(&other, 0, 1), 0);
    waiters[0] = another("/first");
    assert_int_equal(behind_active(), 1);
    table_release(&other, 0);
    waiters[1] = another("/second");
    behind_accept();
    behind_hear("GET /first ");
    answer(&waiters[0], "ok");
    behind_hear("GET /second ");
    answer(&waiters[1], "ok");
    assert_nothing_is_held();
    table_close(&other);
    fd_close(&waiters[0].client);
    fd_close(&waiters[1].client);
    behind.talk.client = -1;
}

/* The leg's record could not be trusted at a revival, say. */
static void a_request_whose_leg_has_vanished_is_not_sent_again(void **state)
{
    struct waiter waiters[2];
    (void)state;

    behind.server.max = 1;
    waiters[0] = another("/");
    behind_accept();
    behind_hear("GET / ");
    waiters[1] = another("/waited"); /* so its request lies in a plan */
    answer(&waiters[0], "ok");
    behind_hear("GET /waited ");
    turn_to(&waiters[1]);
    close((int)arena_number(&worker()->arena, behind_leg()));
    record_set_life(behind_leg(), RECORD_FREE);
    behind_revive(NULL);
    talk_settle(&behind.talk);
    talk_expect(&behind.talk, 502, NULL);
    assert_false(behind_is_asked());
    fd_close(&waiters[0].client);
    fd_close(&waiters[1].client);
    behind.talk.client = -1;
}

static void who_leaves_the_queue_is_not_served_and_the_next_one_is(void **state)
{
    struct waiter waiters[3];
    (void)state;

    behind.server.max = 1;
    for (int i = 0; i < 3; i++)
        waiters[i] = another(i == 2 ? "/last" : "/");
    behind_accept();
    behind_hear("GET / ");
    exchange_close(worker(), waiters[1].record, LOG_END_CLIENT_RESET);
    talk_settle(&behind.talk);
    answer(&waiters[0], "ok");
    behind_hear("GET /last ");
    answer(&waiters[2], "ok");
    assert_nothing_is_held();
    for (int i = 0; i < 3; i++)
        fd_close(&waiters[i].client);
    behind.talk.client = -1;
}

/* --- bodies that are held back --- */

#define CHUNKED "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"

static void no_server_is_asked_before_the_body_is_whole(void **state)
{
    (void)state;
    behind.proxy.buffer_request = 100000;
    talk_say(&behind.talk, CHUNKED "5\r\nhello\r\n");
    assert_false(behind_is_asked());
    behind_revive(NULL);
    talk_say(&behind.talk, "1\r\n!\r\n0\r\n\r\n");
    behind_accept();
    behind_hear("\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n");
    behind_say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    talk_expect(&behind.talk, 200, "ok");
    assert_nothing_is_held();
}

static void a_worker_may_die_between_the_last_byte_and_the_choice_of_a_server(void **state)
{
    enum h1_refusal refusal;
    (void)state;

    behind.proxy.buffer_request = 100000;
    talk_say(&behind.talk, CHUNKED "5\r\nhello\r\n");
    talk_settle(&behind.talk);
    talk_say(&behind.talk, "0\r\n\r\n");
    worker_turn_to(worker(), client());
    assert_true(conn_fill(worker(), client()) > 0);
    assert_int_equal(request_body_hold(worker(), client(), &refusal), 1);
    assert_false(exchange_seen(client())->flags & EXCHANGE_BODY_UNREAD);
    behind_revive(NULL); /* what follows from it was not done */
    behind_accept();
    behind_hear("\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    behind_say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    talk_expect(&behind.talk, 200, "ok");
    assert_nothing_is_held();
}

/* --- other tries --- */

static void a_kept_connection_that_has_ended_is_no_failure(void **state)
{
    (void)state;
    (void)behind_ask_and_answer();
    talk_say(&behind.talk, "GET /again HTTP/1.1\r\nHost: a\r\n\r\n");
    talk_settle(&behind.talk);
    fd_close(&behind.fd); /* the server hears it, and ends without a word */
    behind_accept();
    behind_hear("GET /again ");
    behind_say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    talk_expect(&behind.talk, 200, "ok");
    assert_nothing_is_held();
}

static void what_may_have_been_executed_is_not_asked_again(void **state)
{
    (void)state;
    (void)behind_ask_and_answer();
    talk_say(&behind.talk, "POST /once HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
    behind_hear("\r\n\r\nhi");
    fd_close(&behind.fd);
    talk_settle(&behind.talk);
    talk_expect(&behind.talk, 502, NULL);
    assert_false(behind_is_asked());
    assert_nothing_is_held();
}

static void a_new_connection_that_ends_without_a_word_is_a_failure(void **state)
{
    (void)state;
    behind_ask();
    fd_close(&behind.fd);
    talk_settle(&behind.talk);
    talk_expect(&behind.talk, 502, NULL);
    assert_false(behind_is_asked());
    assert_nothing_is_held();
}

static void a_server_that_is_not_there_is_told_as_refused(void **state)
{
    struct response response;
    (void)state;

    fd_close(&behind.listener);
    talk_say(&behind.talk, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    talk_hear(&behind.talk, &response, 0);
    assert_int_equal(response.status, 502);
    assert_non_null(strstr(response.head, "\r\nHoldfast-Error: upstream_connect_refused\r\n"));
    assert_nothing_is_held();
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, behind_setup, behind_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_request_that_finds_no_memory_for_its_leg_is_begun_again),
        CASE(a_body_that_finds_no_memory_goes_on_when_there_is_some),
        CASE(an_answer_that_finds_no_memory_goes_on_when_there_is_some),
        CASE(who_finds_no_memory_to_wait_in_is_begun_again),
        CASE(who_waits_longest_is_served_first_also_after_deaths),
        CASE(a_full_queue_turns_away_and_a_place_in_it_is_given_back),
        CASE(who_comes_later_does_not_go_past_who_waits),
        CASE(a_request_whose_leg_has_vanished_is_not_sent_again),
        CASE(who_leaves_the_queue_is_not_served_and_the_next_one_is),
        CASE(no_server_is_asked_before_the_body_is_whole),
        CASE(a_worker_may_die_between_the_last_byte_and_the_choice_of_a_server),
        CASE(a_kept_connection_that_has_ended_is_no_failure),
        CASE(what_may_have_been_executed_is_not_asked_again),
        CASE(a_new_connection_that_ends_without_a_word_is_a_failure),
        CASE(a_server_that_is_not_there_is_told_as_refused),
    };

    if (!ARENA_SHARED)
        return unit_skip_all("a plain fork keeps no connection across a death");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
