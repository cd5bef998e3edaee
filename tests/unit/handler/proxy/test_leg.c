/* The upstream's connections: what their deadlines are for, what becomes of them at a death, and who is blamed. */
#include "behind.h"
#include "unit.h"

#include <string.h>
#include <sys/socket.h>

static struct worker *worker(void)
{
    return &behind.talk.rig.worker;
}

static void assert_deadline_in(const struct record *record, uint64_t ms)
{
    assert_int_equal((record->deadline_ns & ~(uint64_t)RECORD_PURPOSE_MASK) - worker()->now_ns,
                     ms * NS_PER_MS);
}

/* --- deadlines --- */

static void each_thing_that_is_awaited_has_a_time_of_its_own(void **state)
{
    struct record *leg;
    (void)state;

    behind_ask();
    leg = behind_leg();
    assert_deadline_in(leg, BEHIND_FIRST_MS);
    assert_false(behind_pass(leg, BEHIND_FIRST_MS - 1));
    behind_say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n");
    (void)talk_await(&behind.talk, 10); /* the client takes what there is: it is the server's turn */
    talk_settle(&behind.talk);
    assert_deadline_in(leg, BEHIND_BETWEEN_MS);
    behind_say("ok");
    talk_expect(&behind.talk, 200, "ok");
    assert_int_equal(leg_seen(leg)->step, LEG_IDLE);
    assert_deadline_in(leg, BEHIND_KEEPALIVE_MS);
    assert_true(behind_pass(leg, BEHIND_KEEPALIVE_MS));
    assert_int_equal(leg->life, RECORD_FREE);
}

static void a_route_may_say_its_own_times_and_the_whole_time_is_the_last_word(void **state)
{
    struct record *leg;
    (void)state;

    behind.proxy.first_byte_ms = 700;
    behind.proxy.whole_ms = 900;
    behind_ask();
    leg = behind_leg();
    assert_deadline_in(leg, 700);
    assert_false(behind_pass(leg, 650));
    behind_say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n");
    (void)talk_await(&behind.talk, 10);
    talk_settle(&behind.talk);
    assert_deadline_in(leg, 250); /* not BEHIND_BETWEEN_MS */
    assert_true(behind_pass(leg, 250));
    assert_null(behind_leg());
}

static void a_server_that_says_nothing_in_its_time_is_answered_for(void **state)
{
    (void)state;
    behind_ask();
    assert_true(behind_pass(behind_leg(), BEHIND_FIRST_MS));
    talk_expect(&behind.talk, 504, NULL);
    assert_int_equal(behind_active(), 0);
}

/* As if a worker had died right behind a step: what it left was for something else. */
static void whatever_deadline_a_dead_worker_left_the_next_one_sets_the_right_one(void **state)
{
    (void)state;
    for (unsigned former = 0; former <= RECORD_PURPOSE_MASK; former++) {
        struct record *leg;
        unsigned purpose;

        talk_connect(&behind.talk);
        behind_ask();
        leg = behind_leg();
        purpose = record_purpose(leg);
        if (former != purpose) {
            leg->deadline_ns = record_deadline(worker()->now_ns + 1, former);
            behind_revive(NULL);
            talk_settle(&behind.talk);
            assert_ptr_equal(behind_leg(), leg);
            assert_int_equal(record_purpose(leg), purpose);
            assert_deadline_in(leg, BEHIND_FIRST_MS);
        }
        behind_say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        talk_expect(&behind.talk, 200, "ok");
        purpose = record_purpose(leg);
        leg->deadline_ns = record_deadline(former == purpose ? 0 : worker()->now_ns + 1, former);
        behind_revive(NULL);
        talk_settle(&behind.talk);
        assert_int_equal(leg->life, RECORD_OPEN);
        assert_int_equal(leg_seen(leg)->step, LEG_IDLE);
        assert_deadline_in(leg, BEHIND_KEEPALIVE_MS);
    }
}

static void a_death_elsewhere_gives_nobody_more_time(void **state)
{
    struct record *leg;
    (void)state;

    behind_ask();
    leg = behind_leg();
    for (int i = 0; i < 3; i++) {
        assert_false(behind_pass(leg, 500));
        behind_revive(NULL);
        talk_settle(&behind.talk);
        assert_deadline_in(leg, BEHIND_FIRST_MS - 500 * (unsigned)(i + 1));
    }
    assert_true(behind_pass(leg, 500));
    talk_expect(&behind.talk, 504, NULL);
}

/* --- places and lists --- */

static void a_place_is_held_as_long_as_a_request_is_under_way(void **state)
{
    (void)state;
    assert_int_equal(behind_active(), 0);
    behind_ask();
    assert_int_equal(behind_active(), 1);
    behind_revive(NULL);
    assert_int_equal(behind_active(), 1);
    behind_say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    talk_expect(&behind.talk, 200, "ok");
    assert_int_equal(behind_active(), 0);
    behind_revive(NULL);
    assert_int_equal(behind_active(), 0);
}

static void the_next_worker_uses_what_was_kept(void **state)
{
    struct record *leg;
    (void)state;

    leg = behind_ask_and_answer();
    behind_revive(NULL);
    talk_settle(&behind.talk);
    assert_ptr_equal(behind_ask_and_answer(), leg);
    assert_int_equal(leg_seen(leg)->step, LEG_IDLE);
}

static void what_a_server_says_unasked_ends_the_connection(void **state)
{
    struct record *leg;
    (void)state;

    leg = behind_ask_and_answer();
    behind_say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"); /* nobody's answer */
    assert_int_equal(leg->life, RECORD_FREE);
    (void)behind_ask_and_answer();
}

static void no_more_are_kept_than_the_pool_says(void **state)
{
    struct record *leg;
    (void)state;

    behind.pool.keepalive = 0;
    leg = behind_ask_and_answer();
    assert_non_null(strstr(behind.got, "Connection: close"));
    assert_int_equal(leg->life, RECORD_FREE);
}

static void a_leg_whose_client_has_gone_is_closed_and_its_place_is_free(void **state)
{
    struct record *leg;
    (void)state;

    behind_ask();
    leg = behind_leg();
    exchange_close(worker(), behind.talk.record, LOG_END_CLIENT_RESET);
    talk_settle(&behind.talk);
    assert_int_equal(leg->life, RECORD_FREE);
    assert_int_equal(behind_active(), 0);
    assert_int_equal(worker()->blocks.in_use, 0);
}

static void a_leg_whose_client_has_gone_with_its_worker_is_closed_too(void **state)
{
    struct record *leg;
    struct exchange exchange;
    (void)state;

    behind_ask();
    leg = behind_leg();
    exchange =
        exchange_begin(worker(), behind.talk.record); /* the detachment is committed, and then it dies */
    proxy_handler.detach(&exchange);
    exchange.state->step = EXCHANGE_READ_HEAD;
    exchange_end(&exchange);
    behind_revive(NULL);
    talk_settle(&behind.talk);
    assert_int_equal(leg->life, RECORD_FREE);
    assert_int_equal(behind_active(), 0);
}

/* --- blame --- */

static void a_worker_that_crashes_over_a_leg_costs_its_client_a_500_and_no_second_try(void **state)
{
    struct record *leg;
    (void)state;

    behind_ask();
    leg = behind_leg();
    behind_revive(leg);
    talk_settle(&behind.talk);
    talk_expect(&behind.talk, 500, NULL);
    assert_int_equal(leg->life, RECORD_FREE);
    assert_false(behind_is_asked());
    assert_int_equal(behind_active(), 0);
    assert_int_equal(worker()->arena.page->poisoned, 1);
    (void)behind_ask_and_answer(); /* the client's connection goes on */
}

static void a_worker_that_crashes_over_an_idle_leg_costs_nobody_anything(void **state)
{
    struct record *leg;
    (void)state;

    leg = behind_ask_and_answer();
    behind_revive(leg);
    talk_settle(&behind.talk);
    assert_int_equal(leg->life, RECORD_FREE);
    assert_int_equal(worker()->arena.page->poisoned, 0);
    assert_int_equal(worker()->arena.page->odd, 0);
    (void)behind_ask_and_answer();
}

static void a_worker_that_crashes_over_a_leg_that_is_nobodys_closes_it(void **state)
{
    struct record *leg;
    struct exchange exchange;
    (void)state;

    behind_ask();
    leg = behind_leg();
    exchange = exchange_begin(worker(), behind.talk.record);
    proxy_handler.detach(&exchange);
    exchange.state->step = EXCHANGE_READ_HEAD;
    exchange_end(&exchange);
    behind_revive(leg);
    talk_settle(&behind.talk);
    assert_int_equal(leg->life, RECORD_FREE);
    assert_int_equal(behind.talk.record->life, RECORD_OPEN);
    assert_int_equal(behind_active(), 0);
    (void)behind_ask_and_answer();
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, behind_setup, behind_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(each_thing_that_is_awaited_has_a_time_of_its_own),
        CASE(a_route_may_say_its_own_times_and_the_whole_time_is_the_last_word),
        CASE(a_server_that_says_nothing_in_its_time_is_answered_for),
        CASE(whatever_deadline_a_dead_worker_left_the_next_one_sets_the_right_one),
        CASE(a_death_elsewhere_gives_nobody_more_time),
        CASE(a_place_is_held_as_long_as_a_request_is_under_way),
        CASE(the_next_worker_uses_what_was_kept),
        CASE(what_a_server_says_unasked_ends_the_connection),
        CASE(no_more_are_kept_than_the_pool_says),
        CASE(a_leg_whose_client_has_gone_is_closed_and_its_place_is_free),
        CASE(a_leg_whose_client_has_gone_with_its_worker_is_closed_too),
        CASE(a_worker_that_crashes_over_a_leg_costs_its_client_a_500_and_no_second_try),
        CASE(a_worker_that_crashes_over_an_idle_leg_costs_nobody_anything),
        CASE(a_worker_that_crashes_over_a_leg_that_is_nobodys_closes_it),
    };

    if (!ARENA_SHARED)
        return unit_skip_all("a plain fork keeps no connection across a death");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
