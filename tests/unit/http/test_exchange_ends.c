/* The HTTP class driven over real sockets with a handler of the test: files, ends, work elsewhere, want of memory. */
#include "http/exchange.h"

#include "stub.h"
#include "talk.h"
#include "unit.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* --- files --- */

static void hear_file(void)
{
    struct response response;

    talk_hear(&talk, &response, 0);
    assert_int_equal(response.status, 200);
    assert_int_equal(response.length, STUB_FILE_SIZE);
    for (size_t i = 0; i < response.length; i++)
        if (response.body[i] != stub_pattern(i))
            fail_msg("byte %zu of the file differs", i);
}

static void files_are_sent_whole_and_let_go(void **state)
{
    (void)state;
    talk_say(&talk, "GET /file HTTP/1.1\r\nHost: x\r\n\r\nGET /file HTTP/1.1\r\nHost: x\r\n\r\n"
                    "GET /echo/behind HTTP/1.1\r\nHost: x\r\n\r\n");
    talk_settle(&talk);
    assert_int_equal(talk_step(&talk), EXCHANGE_SEND);
    assert_int_equal(talk.rig.worker.files, 1);
    hear_file();
    hear_file();
    talk_expect(&talk, 200, "/echo/behind");
    talk_expect_idle(&talk);
}

static void a_file_survives_a_death_between_any_two_turns(void **state)
{
    (void)state;
    talk_say(&talk, "GET /file HTTP/1.1\r\nHost: x\r\n\r\nGET /echo/behind HTTP/1.1\r\nHost: x\r\n\r\n");
    while (talk_step(&talk) != EXCHANGE_SEND)
        assert_true(rig_turn(&talk.rig, 10000) > 0);
    for (size_t until = 0; until < STUB_FILE_SIZE; until += 40000) {
        (void)talk_await(&talk, until);
        talk_revive(&talk, -1);
    }
    hear_file();
    talk_expect(&talk, 200, "/echo/behind");
    assert_int_equal(talk.rig.worker.arena.page->odd, 0);
    talk_expect_idle(&talk);
}

/* --- ends --- */

static void a_half_closed_client_gets_all_its_answers(void **state)
{
    (void)state;
    talk_say(&talk, "GET /file HTTP/1.1\r\nHost: x\r\n\r\nGET /echo/last HTTP/1.1\r\nHost: x\r\n\r\n");
    talk_shut(&talk);
    hear_file();
    talk_expect(&talk, 200, "/echo/last");
    talk_expect_end(&talk);
    assert_int_equal(talk.record->life, RECORD_FREE);
    assert_int_equal(talk.rig.worker.files, 0);
}

static void connection_close_is_obeyed_and_http_1_0_understood(void **state)
{
    struct response response;
    (void)state;

    talk_say(&talk, "GET /echo/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    talk_hear(&talk, &response, 0);
    assert_true(response.says_close);
    talk_expect_end(&talk);
    assert_int_equal(talk.record->life, RECORD_FREE); /* nothing unread: no farewell needed */
    talk_connect(&talk);
    talk_say(&talk, "GET /file HTTP/1.0\r\n\r\n");
    hear_file();
    talk_expect_end(&talk);
    talk_connect(&talk);
    talk_say(&talk, "GET /echo/a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    talk_hear(&talk, &response, 0);
    assert_non_null(strstr(response.head, "\r\nConnection: keep-alive\r\n"));
    talk_expect_idle(&talk);
}

static void a_draining_worker_says_close_with_its_next_answer(void **state)
{
    struct response response;
    (void)state;

    talk.rig.worker.is_draining = 1;
    talk_say(&talk, "GET /echo/a HTTP/1.1\r\nHost: x\r\n\r\n");
    talk_hear(&talk, &response, 0);
    assert_true(response.says_close);
    talk_expect_end(&talk);
}

static void a_client_that_resets_is_let_go_with_all_it_had(void **state)
{
    const struct linger at_once = {1, 0};
    (void)state;

    talk_say(&talk, "GET /file HTTP/1.1\r\nHost: x\r\n\r\n");
    (void)talk_await(&talk, 100000);
    assert_int_equal(setsockopt(talk.client, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
    close(talk.client);
    talk.client = -1;
    while (talk.record->life == RECORD_OPEN)
        (void)rig_turn(&talk.rig, 10000);
    assert_int_equal(talk.rig.worker.files, 0);
    assert_int_equal(talk.rig.worker.blocks.in_use, 0);
    assert_int_equal(talk.rig.worker.arena.page->connections, 0);
}

/* recv(2) stops at the urgent mark: what lies behind it gives no further edge. */
static void urgent_bytes_hold_nothing_up(void **state)
{
    char line[64];
    (void)state;

    stub_hash_line("0123456789", 10, line);
    talk_say(&talk, "POST /hash HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n0123");
    assert_int_equal(send(talk.client, "4", 1, MSG_OOB), 1);
    talk_say(&talk, "56789");
    talk_expect(&talk, 200, line);
    talk_say(&talk, "GET /echo/on HTTP/1.1\r\nHost: x\r\n\r\n");
    talk_expect(&talk, 200, "/echo/on");
}

/* --- waiting elsewhere --- */

static void work_elsewhere_is_answered_when_it_is_done(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        talk_say(&talk,
                 i ? "POST /wait HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
                     "GET /echo/next HTTP/1.1\r\nHost: x\r\n\r\n"
                   : "GET /wait HTTP/1.1\r\nHost: x\r\n\r\nGET /echo/next HTTP/1.1\r\nHost: x\r\n\r\n");
        talk_settle(&talk);
        assert_int_equal(talk_step(&talk), EXCHANGE_HANDLE);
        assert_int_equal(talk.record->deadline_ns, 0);
        assert_true(stub_finish());
        talk_expect(&talk, 200, "waited");
        talk_expect(&talk, 200, "/echo/next");
        assert_false(stub_finish()); /* it waits no more */
    }
    assert_int_equal(stub_resumed, 0);
    talk_expect_idle(&talk);
}

static void a_client_may_half_close_while_work_is_done_elsewhere(void **state)
{
    (void)state;
    talk_say(&talk, "GET /wait HTTP/1.1\r\nHost: x\r\n\r\n");
    talk_shut(&talk);
    talk_settle(&talk);
    assert_true(stub_finish());
    talk_expect(&talk, 200, "waited");
    talk_expect_end(&talk);
}

static void work_for_a_request_that_is_gone_is_dropped(void **state)
{
    (void)state;
    talk_say(&talk, "GET /wait HTTP/1.1\r\nHost: x\r\n\r\n");
    talk_settle(&talk);
    http_class.abandon(&talk.rig.worker, talk.record);
    assert_false(stub_finish());
    talk_connect(&talk); /* the same number, another request that waits */
    talk_say(&talk, "GET /echo/a HTTP/1.1\r\nHost: x\r\n\r\n");
    talk_expect(&talk, 200, "/echo/a");
    assert_false(stub_finish());
}

/* --- without memory --- */

static void without_memory_a_request_waits_and_is_answered_later(void **state)
{
    struct worker *worker = &talk.rig.worker;
    uint32_t taken = 0;
    int64_t block;
    uint32_t number;
    (void)state;

    if (!ARENA_SHARED)
        skip(); /* there is no undo */
    talk_say(&talk, "GET /echo/a HTTP/1.1\r\nHost: x\r\n\r\n");
    while ((block = blocks_take(&worker->blocks)) >= 0)
        taken++;
    talk_settle(&talk);
    assert_int_equal(talk.record->rx, 0);
    blocks_give(&worker->blocks, 0); /* enough to read, not to answer */
    worker_drive(worker, talk.record, READY_IN);
    assert_int_equal(talk_step(&talk), EXCHANGE_READ_HEAD);
    assert_true(talk.record->rx > 0);
    assert_true(worker_side(worker, talk.record)->wants_memory);
    assert_int_equal(timers_take_due(&worker->timers, worker->now_ns + NS_PER_S, &number), 1);
    for (uint32_t i = 1; i < taken; i++)
        blocks_give(&worker->blocks, i);
    worker_drive(worker, talk.record, READY_IN);
    talk_expect(&talk, 200, "/echo/a");
    talk_expect_idle(&talk);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, stub_setup, stub_teardown)
#define CASE_TCP(test) cmocka_unit_test_setup_teardown(test, stub_setup_tcp, stub_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(files_are_sent_whole_and_let_go),
        CASE(a_file_survives_a_death_between_any_two_turns),
        CASE_TCP(a_file_survives_a_death_between_any_two_turns),
        CASE(a_half_closed_client_gets_all_its_answers),
        CASE_TCP(a_half_closed_client_gets_all_its_answers),
        CASE(connection_close_is_obeyed_and_http_1_0_understood),
        CASE(a_draining_worker_says_close_with_its_next_answer),
        CASE_TCP(a_client_that_resets_is_let_go_with_all_it_had),
        CASE_TCP(urgent_bytes_hold_nothing_up),
        CASE(work_elsewhere_is_answered_when_it_is_done),
        CASE(a_client_may_half_close_while_work_is_done_elsewhere),
        CASE(work_for_a_request_that_is_gone_is_dropped),
        CASE(without_memory_a_request_waits_and_is_answered_later),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
