/* What becomes of a request whose worker dies while it is handled: killed from outside it is run again, by its own fault
 * it is not. The stub's crash leaves the handler as a death would: nothing behind it happens. */
#include "http/exchange.h"

#include "stub.h"
#include "talk.h"
#include "unit.h"

#include <string.h>
#include <sys/socket.h>

#define LOOP_THREAD 0
#define NOBODYS_FAULT (-1)

/* The worker handles what was sent, until it dies in the handler; then the next one comes. */
static void die_in_handler(const char *request, int fault_thread)
{
    talk_say(&talk, request);
    stub_crashes = 1;
    if (!setjmp(stub_crash)) {
        talk_settle(&talk);
        fail_msg("the handler did not crash");
    }
    stub_crashes = 0;
    talk_revive(&talk, fault_thread);
}

static void assert_crashed_once(unsigned poisoned)
{
    assert_int_equal(talk.rig.worker.arena.page->poisoned, poisoned);
    assert_int_equal(talk.rig.worker.arena.page->odd, 0);
}

static void a_request_killed_from_outside_is_run_again_and_answered_once(void **state)
{
    (void)state;
    if (!ARENA_SHARED)
        skip();
    die_in_handler("GET /crash HTTP/1.1\r\nHost: x\r\n\r\nGET /echo/next HTTP/1.1\r\nHost: x\r\n\r\n",
                   NOBODYS_FAULT);
    talk_expect(&talk, 200, "/crash");
    talk_expect(&talk, 200, "/echo/next");
    assert_int_equal(stub_begun, 3);
    assert_crashed_once(0);
}

static void a_body_being_taken_when_killed_is_taken_exactly_once(void **state)
{
    char line[64];
    (void)state;

    if (!ARENA_SHARED)
        skip();
    stub_hash_line("abcdef", 6, line);
    talk_say(&talk, "POST /crash-body HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nabc");
    talk_settle(&talk);
    die_in_handler("def", NOBODYS_FAULT);
    talk_expect(&talk, 200, line);
    assert_crashed_once(0);
}

static void a_request_that_crashes_its_worker_gets_500_and_the_next_is_served(void **state)
{
    (void)state;
    if (!ARENA_SHARED)
        skip();
    die_in_handler("GET /crash HTTP/1.1\r\nHost: x\r\n\r\nGET /echo/next HTTP/1.1\r\nHost: x\r\n\r\n",
                   LOOP_THREAD);
    talk_expect(&talk, 500, NULL);
    talk_expect(&talk, 200, "/echo/next");
    assert_int_equal(stub_begun, 2); /* it was not run again */
    assert_int_equal(record_head(talk.record)->crashes, 1);
    assert_crashed_once(1);
}

static void a_second_crash_on_the_same_connection_closes_it(void **state)
{
    (void)state;
    if (!ARENA_SHARED)
        skip();
    die_in_handler("GET /crash HTTP/1.1\r\nHost: x\r\n\r\n", LOOP_THREAD);
    talk_expect(&talk, 500, NULL);
    die_in_handler("GET /crash HTTP/1.1\r\nHost: x\r\n\r\n", LOOP_THREAD);
    talk_expect_end(&talk);
    assert_int_equal(talk.record->life, RECORD_FREE);
    assert_crashed_once(2);
    talk_connect(&talk); /* the next owner of the number has a clean record */
    assert_int_equal(record_head(talk.record)->crashes, 0);
    talk_say(&talk, "GET /echo/a HTTP/1.1\r\nHost: x\r\n\r\n");
    talk_expect(&talk, 200, "/echo/a");
}

static void a_crash_on_a_request_with_a_body_gets_500_and_a_close(void **state)
{
    static const char *const requests[] = {
        "POST /crash HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
        "POST /crash-body HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
        "POST /crash-end HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
        "POST /crash-end HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    };
    (void)state;

    if (!ARENA_SHARED)
        skip();
    for (unsigned i = 0; i < sizeof requests / sizeof *requests; i++) {
        struct response response;

        talk_connect(&talk);
        die_in_handler(requests[i], LOOP_THREAD);
        talk_hear(&talk, &response, 0);
        assert_int_equal(response.status, 500);
        assert_true(response.says_close);
        talk_expect_end(&talk);
        talk_shut(&talk);
        talk_settle(&talk);
        assert_int_equal(talk.record->life, RECORD_FREE);
        assert_crashed_once(i + 1);
    }
}

static void a_crash_in_a_pool_thread_gets_500_and_the_connection_stays_open(void **state)
{
    struct intent *intent = &talk.rig.worker.arena.core->intents[3];
    (void)state;

    talk_say(&talk, "GET /wait HTTP/1.1\r\nHost: x\r\n\r\nGET /echo/next HTTP/1.1\r\nHost: x\r\n\r\n");
    talk_settle(&talk);
    intent->record = arena_number(&talk.rig.worker.arena, talk.record) + 1;
    talk_revive(&talk, 3);
    talk_expect(&talk, 500, NULL);
    talk_expect(&talk, 200, "/echo/next");
    assert_int_equal(stub_resumed, 0);
    assert_false(stub_finish());
    assert_crashed_once(1);
}

static void work_in_the_pool_is_begun_again_by_the_next_worker(void **state)
{
    (void)state;
    talk_say(&talk, "POST /wait HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc");
    talk_settle(&talk);
    for (unsigned i = 1; i <= 3; i++) {
        talk_revive(&talk, NOBODYS_FAULT);
        talk_settle(&talk);
        assert_int_equal(stub_resumed, i); /* once a revival, whatever events come */
        assert_int_equal(talk_step(&talk), EXCHANGE_HANDLE);
    }
    assert_true(stub_finish());
    talk_expect(&talk, 200, "waited");
    assert_int_equal(stub_ended, 1);
}

static void a_response_that_had_begun_is_closed_when_it_is_to_blame(void **state)
{
    (void)state;
    talk_say(&talk, "GET /file HTTP/1.1\r\nHost: x\r\n\r\n");
    talk_settle(&talk);
    assert_int_equal(talk_step(&talk), EXCHANGE_SEND);
    talk.rig.worker.intent->record = arena_number(&talk.rig.worker.arena, talk.record) + 1;
    talk_revive(&talk, LOOP_THREAD);
    assert_int_equal(talk.record->life, RECORD_FREE);
    assert_int_equal(talk.rig.worker.files, 0);
    assert_crashed_once(1);
}

static void a_farewell_that_is_to_blame_is_closed(void **state)
{
    (void)state;
    talk_say(&talk, "BAD\r\n\r\nunread");
    talk_expect(&talk, 400, NULL);
    talk_expect_end(&talk);
    assert_int_equal(talk_step(&talk), EXCHANGE_LINGER);
    talk.rig.worker.intent->record = arena_number(&talk.rig.worker.arena, talk.record) + 1;
    talk_revive(&talk, LOOP_THREAD);
    assert_int_equal(talk.record->life, RECORD_FREE);
}

/* Death between the decision to say farewell and the FIN: nobody else would ever send it. */
static void a_farewell_cut_off_before_its_fin_is_said_by_the_next_worker(void **state)
{
    struct record_head *head;
    (void)state;

    talk_say(&talk, "GET /echo/a HTTP/1.1\r\nHost: x\r\n\r\n");
    talk_expect(&talk, 200, "/echo/a");
    head = record_begin(talk.record);
    ((struct exchange_state *)(void *)head->protocol)->step = EXCHANGE_LINGER;
    record_commit(talk.record);
    talk_revive(&talk, NOBODYS_FAULT);
    talk_expect_end(&talk);
    assert_true(record_head(talk.record)->shut);
    assert_in_range(talk.record->deadline_ns, talk.rig.worker.now_ns, talk.rig.worker.now_ns + 5 * NS_PER_S);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, stub_setup, stub_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_request_killed_from_outside_is_run_again_and_answered_once),
        CASE(a_body_being_taken_when_killed_is_taken_exactly_once),
        CASE(a_request_that_crashes_its_worker_gets_500_and_the_next_is_served),
        CASE(a_second_crash_on_the_same_connection_closes_it),
        CASE(a_crash_on_a_request_with_a_body_gets_500_and_a_close),
        CASE(a_crash_in_a_pool_thread_gets_500_and_the_connection_stays_open),
        CASE(work_in_the_pool_is_begun_again_by_the_next_worker),
        CASE(a_response_that_had_begun_is_closed_when_it_is_to_blame),
        CASE(a_farewell_that_is_to_blame_is_closed),
        CASE(a_farewell_cut_off_before_its_fin_is_said_by_the_next_worker),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
