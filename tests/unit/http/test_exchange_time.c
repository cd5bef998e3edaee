/* Deadlines: what they are for, when they begin again, and what happens when they pass. Time is the test's. */
#include "http/exchange.h"

#include "stub.h"
#include "talk.h"
#include "unit.h"

#include <signal.h>
#include <string.h>
#include <sys/socket.h>

static void assert_deadline_in(uint64_t ms)
{
    assert_int_equal(talk_deadline(&talk) - talk.rig.worker.now_ns, ms * NS_PER_MS);
}

static void say(const char *text)
{
    talk_say(&talk, text);
    talk_settle(&talk);
}

static void pass_ms(uint64_t ms)
{
    assert_false(talk_pass(&talk, ms * NS_PER_MS));
}

static void hear_timeout(void)
{
    struct response response;

    talk_hear(&talk, &response, 0);
    assert_int_equal(response.status, 408);
    assert_true(response.says_close);
    talk_expect_end(&talk);
}

static void a_connection_without_a_request_has_the_time_of_a_head(void **state)
{
    (void)state;
    assert_deadline_in(TALK_HEADER_MS);
    talk_settle(&talk); /* the event that it can be written to */
    pass_ms(TALK_HEADER_MS - 1);
    talk_settle(&talk);
    assert_deadline_in(1);
    assert_true(talk_pass(&talk, NS_PER_MS));
    talk_expect_end(&talk); /* nothing was asked, nothing is answered */
    assert_int_equal(talk.record->life, RECORD_FREE);
}

static void a_head_has_one_deadline_however_slowly_it_comes(void **state)
{
    static const char head[] = "GET /echo/a HTTP/1.1\r\nHost: x\r\n";
    (void)state;

    for (size_t i = 0; i < sizeof head - 1; i++) {
        talk_send(&talk, head + i, 1);
        talk_settle(&talk);
        pass_ms(100);
    }
    assert_deadline_in(TALK_HEADER_MS - 100 * (sizeof head - 1));
    assert_true(talk_pass(&talk, TALK_HEADER_MS * NS_PER_MS));
    hear_timeout();
    assert_int_equal(stub_begun, 0);
}

static void each_head_of_a_pipeline_has_a_time_of_its_own(void **state)
{
    (void)state;
    say("GET /echo/1 HTTP/1.1\r\n");
    for (int i = 0; i < 10; i++) { /* there is always the beginning of a next one */
        pass_ms(TALK_HEADER_MS - 1000);
        say("Host: x\r\n\r\nGET /echo/1 HTTP/1.1\r\n");
        talk_expect(&talk, 200, "/echo/1");
        talk_settle(&talk);
        assert_deadline_in(TALK_HEADER_MS);
    }
}

static void an_idle_connection_is_closed_without_a_word(void **state)
{
    (void)state;
    say("GET /echo/1 HTTP/1.1\r\nHost: x\r\n\r\n");
    talk_expect(&talk, 200, "/echo/1");
    assert_deadline_in(TALK_KEEPALIVE_MS);
    pass_ms(TALK_KEEPALIVE_MS / 2);
    say("GET /echo/2 HTTP/1.1\r\nHost: x\r\n\r\n");
    talk_expect(&talk, 200, "/echo/2");
    talk_settle(&talk);
    assert_deadline_in(TALK_KEEPALIVE_MS);
    assert_true(talk_pass(&talk, TALK_KEEPALIVE_MS * NS_PER_MS));
    talk_expect_end(&talk);
}

static void a_body_has_its_time_again_with_every_byte(void **state)
{
    (void)state;
    say("POST /hash HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n");
    for (int i = 0; i < 5; i++) {
        assert_deadline_in(TALK_BODY_MS);
        pass_ms(TALK_BODY_MS - 1);
        say("x");
    }
    assert_true(talk_pass(&talk, TALK_BODY_MS * NS_PER_MS));
    hear_timeout();
    assert_int_equal(stub_ended, 0);
}

static void a_response_has_its_time_again_only_when_bytes_are_taken(void **state)
{
    (void)state;
    say("GET /file HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_deadline_in(TALK_WRITE_MS);
    pass_ms(TALK_WRITE_MS / 2);
    assert_true(talk_await(&talk, 500000) >= 500000);
    assert_deadline_in(TALK_WRITE_MS);
    talk_settle(&talk);
    pass_ms(TALK_WRITE_MS / 2);
    say("GET /echo/more HTTP/1.1\r\nHost: x\r\n\r\n"); /* asking is not taking */
    assert_deadline_in(TALK_WRITE_MS / 2);
    assert_true(
        talk_pass(&talk, TALK_WRITE_MS * NS_PER_MS)); /* the first look: what was taken since is not known */
    assert_int_equal(talk.record->life, RECORD_OPEN);
    assert_true(talk_pass(&talk, TALK_WRITE_MS * NS_PER_MS));
    assert_int_equal(talk.record->life, RECORD_FREE);
    assert_int_equal(talk.rig.worker.files, 0);
}

/* --- rates --- */

static void set_rates(uint64_t body, uint64_t write)
{
    static struct http_route route;

    route.settings = (struct route_settings){.min_body_rate = body, .min_write_rate = write};
    talk.config.route = &route;
}

static void hear_too_slow(void)
{
    struct response response;

    talk_hear(&talk, &response, 0);
    assert_int_equal(response.status, 408);
    assert_non_null(strstr(response.body, "body_too_slow"));
    talk_expect_end(&talk);
}

static void a_body_that_trickles_is_ended_when_its_grace_is_over(void **state)
{
    (void)state;
    set_rates(100, 0);
    say("POST /hash HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n");
    for (unsigned passed_ms = 0; passed_ms < HTTP_RATE_GRACE_MS - 1000; passed_ms += 1000) {
        assert_deadline_in(HTTP_RATE_GRACE_MS - passed_ms);
        pass_ms(1000);
        say("x");
    }
    assert_true(talk_pass(&talk, NS_PER_S));
    hear_too_slow();
    assert_int_equal(stub_ended, 0);
}

static void a_body_with_a_good_beginning_may_pause(void **state)
{
    static char bytes[1700];
    (void)state;

    memset(bytes, 'x', sizeof bytes - 1);
    set_rates(100, 0);
    say("POST /hash HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n");
    say("x"); /* from here on it is measured: the head came with what was counted before */
    talk_send(&talk, bytes, sizeof bytes - 1);
    talk_settle(&talk);
    pass_ms(16900);
    say("x"); /* 17 seconds' worth has come, and it is the 17th */
    pass_ms(50);
    assert_true(talk_pass(&talk, 200 * NS_PER_MS));
    hear_too_slow();
}

static void a_slow_body_without_a_rate_is_not_judged(void **state)
{
    (void)state;
    set_rates(0, 0);
    say("POST /hash HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n");
    for (int i = 0; i < 20; i++) {
        pass_ms(TALK_BODY_MS - 1);
        say("x");
    }
    talk_expect(&talk, 200, NULL);
}

static void a_body_is_measured_anew_after_a_death(void **state)
{
    (void)state;
    set_rates(100, 0);
    say("POST /hash HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n");
    pass_ms(9000);
    talk_revive(&talk, -1);
    set_rates(100, 0);
    talk_settle(&talk);
    assert_deadline_in(1000); /* the deadline itself has outlived the worker … */
    say("x");
    assert_deadline_in(HTTP_RATE_GRACE_MS); /* … and the next byte sets another one */
}

static void a_response_that_is_taken_too_slowly_is_cut_off(void **state)
{
    unsigned seconds = 0;
    (void)state;

    set_rates(0, 1u << 20);
    say("GET /file HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_deadline_in(HTTP_RATE_GRACE_MS);
    while (talk.record->life == RECORD_OPEN && seconds < 60) {
        (void)talk_pass(&talk, NS_PER_S);
        seconds++;
        if (talk.record->life == RECORD_OPEN && seconds < 4) {
            (void)talk_await(&talk, talk.length + 1000);
            talk_settle(&talk);
        }
    }
    assert_in_range(seconds, HTTP_RATE_GRACE_MS / 1000, HTTP_RATE_GRACE_MS / 1000 + 1);
    assert_int_equal(talk.rig.worker.files, 0);
}

static void work_elsewhere_has_no_deadline_and_what_follows_has(void **state)
{
    (void)state;
    say("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_int_equal(talk.record->deadline_ns, 0);
    pass_ms(10 * TALK_KEEPALIVE_MS);
    assert_true(stub_finish());
    talk_expect(&talk, 200, "waited");
    talk_settle(&talk);
    assert_deadline_in(TALK_KEEPALIVE_MS);
}

static void a_farewell_ends_with_its_time(void **state)
{
    (void)state;
    say("BAD\r\n\r\nunread");
    talk_expect(&talk, 400, NULL);
    talk_expect_end(&talk);
    assert_int_equal(talk_step(&talk), EXCHANGE_LINGER);
    assert_deadline_in(2000);
    for (int i = 0; i < 28; i++) { /* an upload that was refused goes on; it must be able to read why */
        pass_ms(1000);
        say("still talking");
        assert_deadline_in(2000);
    }
    for (unsigned left_ms = 2000; left_ms > 0; left_ms -= 500) { /* but not for ever */
        assert_deadline_in(left_ms);
        assert_int_equal(talk_pass(&talk, 500 * NS_PER_MS), left_ms == 500);
        if (left_ms > 500)
            say("and talking");
    }
    assert_int_equal(talk.record->life, RECORD_FREE);
}

static void the_deadline_of_a_head_goes_on_across_a_death(void **state)
{
    uint64_t deadline;
    (void)state;

    say("GET /echo/a HTTP/1.1\r\n");
    deadline = talk.record->deadline_ns;
    for (int i = 0; i < 9; i++) {
        pass_ms(1000);
        talk_revive(&talk, -1);
        talk_settle(&talk);
        assert_int_equal(talk.record->deadline_ns, deadline);
    }
    assert_true(talk_pass(&talk, NS_PER_S));
    hear_timeout();
}

/* --- a death between a step and the deadline that follows from it --- */

/* The worker dies in the handler, which has been called for bytes of a body: the deadline is set only behind it. */
static void die_in_body(const char *text)
{
    talk_say(&talk, text);
    stub_crashes = 1;
    if (!setjmp(stub_crash)) {
        talk_settle(&talk);
        fail_msg("the handler did not crash");
    }
    stub_crashes = 0;
    talk_revive(&talk, -1);
    talk_settle(&talk);
}

static void a_body_whose_worker_died_at_its_beginning_has_not_the_time_of_the_head(void **state)
{
    char line[64];
    (void)state;

    if (!ARENA_SHARED)
        skip();
    say("POST /crash-body HTTP/1.1\r\n");
    pass_ms(TALK_HEADER_MS - 1);
    die_in_body("Host: x\r\nContent-Length: 6\r\n\r\nabc");
    assert_deadline_in(TALK_BODY_MS);
    pass_ms(TALK_BODY_MS - 1);
    talk_revive(&talk, -1); /* … and is the body's from now on */
    talk_settle(&talk);
    assert_deadline_in(1);
    say("def");
    stub_hash_line("abcdef", 6, line);
    talk_expect(&talk, 200, line);
}

static void bytes_whose_worker_died_give_a_body_its_time_again(void **state)
{
    (void)state;
    if (!ARENA_SHARED)
        skip();
    say("POST /crash-body HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nabc");
    pass_ms(TALK_BODY_MS - 1);
    die_in_body("d");
    assert_deadline_in(TALK_BODY_MS);
    pass_ms(TALK_BODY_MS - 1);
    talk_revive(&talk, -1); /* once: this worker has died elsewhere */
    talk_settle(&talk);
    assert_deadline_in(1);
    assert_true(talk_pass(&talk, NS_PER_MS));
    hear_timeout();
}

static void a_pipeline_whose_worker_died_gives_the_next_head_its_own_time(void **state)
{
    char line[64];
    (void)state;

    if (!ARENA_SHARED)
        skip();
    stub_hash_line("abc", 3, line);
    say("POST /crash-end HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n");
    pass_ms(TALK_BODY_MS - 1);
    die_in_body("abcGET /echo/next HTTP/1.1\r\n");
    talk_expect(&talk, 200, line);
    talk_settle(&talk);
    assert_deadline_in(TALK_HEADER_MS);
    pass_ms(TALK_HEADER_MS - 1);
    say("Host: x\r\n\r\n");
    talk_expect(&talk, 200, "/echo/next");
    talk_settle(&talk);
    assert_deadline_in(TALK_KEEPALIVE_MS);
}

/* As if a worker had died right behind any step: each state with the deadline of each other one. */
static void whatever_deadline_a_dead_worker_left_the_next_one_sets_the_right_one(void **state)
{
    static const struct {
        const char *says;
        uint64_t ms;
    } cases[] = {
        {"GET /echo/a HTTP/1.1\r\n", TALK_HEADER_MS},
        {"POST /hash HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nabc", TALK_BODY_MS},
        {"GET /file HTTP/1.1\r\nHost: x\r\n\r\n", TALK_WRITE_MS},
        {"BAD\r\n\r\nunread", 2000},
        {"GET /echo/a HTTP/1.1\r\nHost: x\r\n\r\n", TALK_KEEPALIVE_MS},
    };
    (void)state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (unsigned former = 0; former <= RECORD_PURPOSE_MASK; former++) {
            unsigned purpose;

            talk_connect(&talk);
            talk_settle(&talk);
            say(cases[i].says);
            purpose = record_purpose(talk.record);
            assert_deadline_in(cases[i].ms);
            if (former == purpose)
                continue;
            talk.record->deadline_ns = record_deadline(talk.rig.worker.now_ns + NS_PER_MS, former);
            talk_revive(&talk, -1);
            talk_settle(&talk);
            assert_int_equal(record_purpose(talk.record), purpose);
            assert_deadline_in(cases[i].ms);
        }
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, stub_setup, stub_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_connection_without_a_request_has_the_time_of_a_head),
        CASE(a_head_has_one_deadline_however_slowly_it_comes),
        CASE(each_head_of_a_pipeline_has_a_time_of_its_own),
        CASE(an_idle_connection_is_closed_without_a_word),
        CASE(a_body_has_its_time_again_with_every_byte),
        CASE(a_response_has_its_time_again_only_when_bytes_are_taken),
        CASE(a_body_that_trickles_is_ended_when_its_grace_is_over),
        CASE(a_body_with_a_good_beginning_may_pause),
        CASE(a_slow_body_without_a_rate_is_not_judged),
        CASE(a_body_is_measured_anew_after_a_death),
        CASE(a_response_that_is_taken_too_slowly_is_cut_off),
        CASE(work_elsewhere_has_no_deadline_and_what_follows_has),
        CASE(a_farewell_ends_with_its_time),
        CASE(the_deadline_of_a_head_goes_on_across_a_death),
        CASE(a_body_whose_worker_died_at_its_beginning_has_not_the_time_of_the_head),
        CASE(bytes_whose_worker_died_give_a_body_its_time_again),
        CASE(a_pipeline_whose_worker_died_gives_the_next_head_its_own_time),
        CASE(whatever_deadline_a_dead_worker_left_the_next_one_sets_the_right_one),
    };

    (void)signal(SIGPIPE, SIG_IGN); /* as a worker does */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
