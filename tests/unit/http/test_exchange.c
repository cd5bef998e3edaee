/* The HTTP class driven over real sockets with a handler of the test: framing, pipelines, bodies, refusals. */
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

/* --- one request after the other --- */

static void a_request_is_answered_and_the_connection_stays_open(void **state)
{
    struct response response;
    (void)state;

    for (int i = 0; i < 3; i++) {
        talk_say(&talk, "GET /echo/a HTTP/1.1\r\nHost: x\r\n\r\n");
        talk_hear(&talk, &response, 0);
        assert_int_equal(response.status, 200);
        assert_string_equal(response.body, "/echo/a");
        assert_false(response.says_close);
        talk_expect_idle(&talk);
    }
    assert_int_equal(stub_begun, 3);
    assert_int_equal(talk.rig.worker.arena.page->requests, 3);
}

static void head_has_the_length_and_no_body(void **state)
{
    struct response response;
    (void)state;

    talk_say(&talk, "HEAD /big HTTP/1.1\r\nHost: x\r\n\r\nHEAD /file HTTP/1.1\r\nHost: x\r\n\r\n"
                    "GET /echo/after HTTP/1.1\r\nHost: x\r\n\r\n");
    talk_hear(&talk, &response, 1);
    assert_non_null(strstr(response.head, "\r\nContent-Length: 11264\r\n"));
    talk_hear(&talk, &response, 1);
    assert_non_null(strstr(response.head, "\r\nContent-Length: 3000017\r\n"));
    talk_expect(&talk, 200, "/echo/after");
    talk_expect_idle(&talk);
}

/* Three requests of all kinds of framing in one text. */
static const char three_requests[] =
    "POST /hash?a HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\nhello world"
    "POST /hash HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    "5;x=y\r\nhello\r\n6\r\n world\r\n0\r\nTrailer: 1\r\n\r\n"
    "GET /echo/last HTTP/1.1\r\nHost: x\r\n\r\n";

static void hear_three(void)
{
    char line[64];

    stub_hash_line("hello world", 11, line);
    talk_expect(&talk, 200, line);
    talk_expect(&talk, 200, line);
    talk_expect(&talk, 200, "/echo/last");
    talk_expect_idle(&talk);
}

static void requests_may_be_split_at_every_byte(void **state)
{
    const size_t length = sizeof three_requests - 1;
    (void)state;

    for (size_t split = 1; split < length; split++) {
        talk_connect(&talk);
        talk_send(&talk, three_requests, split);
        talk_settle(&talk);
        talk_send(&talk, three_requests + split, length - split);
        hear_three();
    }
}

static void requests_may_come_byte_by_byte(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof three_requests - 1; i++) {
        talk_send(&talk, three_requests + i, 1);
        talk_settle(&talk);
    }
    hear_three();
}

static void a_death_after_every_byte_changes_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof three_requests - 1; i++) {
        talk_send(&talk, three_requests + i, 1);
        talk_settle(&talk);
        talk_revive(&talk, -1);
    }
    hear_three();
    assert_int_equal(stub_begun, 3);
    assert_int_equal(talk.rig.worker.arena.page->odd, 0);
}

/* --- pipelines --- */

static size_t add_request(char *out, int number)
{
    return (size_t)sprintf(
        out, "GET /echo/%d%.*s HTTP/1.1\r\nHost: x\r\n\r\n", number, number * 7 % 300,
        "ppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppp"
        "ppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppp"
        "ppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppp"
        "ppppppppppppppppppppppppppppppppppppppppppppppppppp");
}

static void hear_pipeline(int count)
{
    for (int i = 0; i < count; i++) {
        struct response response;
        char wanted[32];

        talk_hear(&talk, &response, 0);
        assert_int_equal(response.status, 200);
        snprintf(wanted, sizeof wanted, "/echo/%d", i);
        assert_memory_equal(response.body, wanted, strlen(wanted));
        assert_int_equal(response.length, strlen(wanted) + (size_t)(i * 7 % 300));
    }
}

/* Both rings wrap around many times, at ever other places. */
static void a_long_pipeline_is_answered_in_order(void **state)
{
    static char all[3000 * 400];
    size_t length = 0;
    (void)state;

    for (int i = 0; i < 3000; i++)
        length += add_request(all + length, i);
    assert_true(length > 20 * ARENA_BLOCK_SIZE);
    talk_send(&talk, all, length);
    hear_pipeline(3000);
    talk_expect_idle(&talk);
    assert_true(talk.record->rx == length);
}

/* The client sends and does not read: the worker must neither lose a byte nor hoard them. */
static void a_client_that_does_not_read_is_waited_for(void **state)
{
    static const char request[] = "GET /big HTTP/1.1\r\nHost: x\r\n\r\n";
    static char all[1000 * (sizeof request - 1)];
    struct response response;
    (void)state;

    for (int i = 0; i < 1000; i++)
        memcpy(all + (size_t)i * (sizeof request - 1), request, sizeof request - 1);
    talk_send(&talk, all, 400 * (sizeof request - 1));
    talk_settle(&talk);
    assert_in_range(stub_begun, 1, 399); /* it stopped when the socket was full */
    assert_in_range(talk.rig.worker.blocks.in_use, 1, 2);
    talk_send(&talk, all, 600 * (sizeof request - 1));
    for (int i = 0; i < 1000; i++) {
        talk_hear(&talk, &response, 0);
        assert_int_equal(response.length, EXCHANGE_BODY_MAX);
        assert_int_equal(response.body[0], 'b');
        assert_int_equal(response.body[EXCHANGE_BODY_MAX - 1], 'b');
    }
    talk_expect_idle(&talk);
}

/* --- bodies --- */

static size_t chunked(char *out, const char *bytes, size_t length)
{
    size_t at = 0;

    srand(3);
    while (length > 0) {
        size_t piece = 1 + (size_t)rand() % 40000;

        piece = piece < length ? piece : length;
        at += (size_t)sprintf(out + at, "%zx\r\n", piece);
        memcpy(out + at, bytes, piece);
        at += piece;
        at += (size_t)sprintf(out + at, "\r\n");
        bytes += piece;
        length -= piece;
    }
    return at + (size_t)sprintf(out + at, "0\r\n\r\n");
}

static void large_bodies_by_length_and_in_chunks_arrive_whole(void **state)
{
    static char bytes[2000003], framed[2100000];
    char head[128], line[64];
    (void)state;

    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = stub_pattern(i);
    stub_hash_line(bytes, sizeof bytes, line);
    for (int i = 0; i < 2; i++) {
        snprintf(head, sizeof head, "POST /hash HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n",
                 sizeof bytes);
        talk_say(&talk, head);
        talk_send(&talk, bytes, sizeof bytes);
        talk_expect(&talk, 200, line);
        talk_say(&talk, "POST /hash HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
        talk_send(&talk, framed, chunked(framed, bytes, sizeof bytes));
        talk_expect(&talk, 200, line);
    }
    talk_expect_idle(&talk);
}

static void a_post_without_a_body_is_answered_and_the_connection_stays_open(void **state)
{
    struct response response;
    char line[64];
    (void)state;

    stub_hash_line("", 0, line);
    talk_say(&talk, "POST /hash HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
    talk_hear(&talk, &response, 0);
    assert_string_equal(response.body, line);
    assert_false(response.says_close);
    talk_say(&talk, "POST /hash HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    talk_hear(&talk, &response, 0);
    assert_string_equal(response.body, line);
    assert_false(response.says_close);
    talk_expect_idle(&talk);
}

static void who_waits_for_100_gets_it_once_and_only_when_needed(void **state)
{
    static const char head[] =
        "POST /hash HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    char line[64];
    (void)state;

    stub_hash_line("ab", 2, line);
    talk_say(&talk, head);
    talk_expect(&talk, 100, "");
    talk_say(&talk, "a");
    talk_settle(&talk);
    talk_say(&talk, "b");
    talk_expect(&talk, 200, line);
    talk_say(&talk, head);
    talk_say(&talk, "ab"); /* it is there already */
    talk_expect(&talk, 200, line);
    talk_expect_idle(&talk);
}

static void an_answer_before_the_end_of_the_body_closes_with_a_farewell(void **state)
{
    struct response response;
    (void)state;

    talk_say(&talk, "POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nfirst bytes");
    talk_hear(&talk, &response, 0);
    assert_string_equal(response.body, "early");
    assert_true(response.says_close);
    talk_expect_end(&talk);
    assert_int_equal(talk.record->life, RECORD_OPEN);
    assert_int_equal(talk_step(&talk), EXCHANGE_LINGER);
    talk_say(&talk, "more of the body, which nobody wants");
    talk_settle(&talk);
    assert_int_equal(talk_step(&talk), EXCHANGE_LINGER);
    talk_shut(&talk);
    talk_settle(&talk);
    assert_int_equal(talk.record->life, RECORD_FREE);
}

static void a_body_cut_off_by_the_client_ends_the_connection_unanswered(void **state)
{
    (void)state;
    talk_say(&talk, "POST /hash HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345");
    talk_shut(&talk);
    talk_expect_end(&talk);
    assert_int_equal(talk.record->life, RECORD_FREE);
    assert_int_equal(stub_ended, 0);
}

/* --- refusals --- */

static void assert_refused(const char *request, int status)
{
    struct response response;

    talk_connect(&talk);
    talk_say(&talk, request);
    talk_hear(&talk, &response, 0);
    assert_int_equal(response.status, status);
    assert_true(response.says_close);
    talk_expect_end(&talk);
    talk_shut(&talk);
    talk_settle(&talk);
    assert_int_equal(talk.record->life, RECORD_FREE);
    assert_int_equal(talk.rig.worker.blocks.in_use, 0);
}

static void what_is_no_request_is_refused_and_the_connection_closed(void **state)
{
    static char long_head[10000];
    (void)state;

    assert_refused("GARBAGE\r\n\r\n", 400);
    assert_refused("GET / HTTP/1.1\r\n\r\n", 400);
    assert_refused("GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505);
    assert_refused("GET / HTTP/1.1\nHost: x\n\n", 400);
    memset(long_head, 'a', sizeof long_head - 1);
    memcpy(long_head, "GET / HTTP/1.1\r\nHost: x\r\nX: ", 28);
    assert_refused(long_head, 431);
    assert_refused("POST /hash HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n", 400);
    assert_int_equal(stub_ended, 0);
}

static void answers_before_a_refusal_are_sent_first(void **state)
{
    (void)state;
    talk_say(
        &talk,
        "GET /echo/good HTTP/1.1\r\nHost: x\r\n\r\nBAD\r\n\r\nGET /echo/never HTTP/1.1\r\nHost: x\r\n\r\n");
    talk_expect(&talk, 200, "/echo/good");
    talk_expect(&talk, 400, NULL);
    talk_expect_end(&talk);
    assert_int_equal(stub_begun, 1);
}

static void a_name_that_is_no_site_of_the_listener_is_answered_404(void **state)
{
    static char name[] = "only.example";
    static struct http_site_address address = {.listener = 0, .host = name};
    static struct http_route route = {.text = "", .answer = ROUTE_FILES};
    static struct http_site site = {.addresses = &address, .address_count = 1, .route = &route};
    (void)state;

    talk.config.sites = &site;
    sites_fini(&talk.http.sites);
    assert_int_equal(sites_init(&talk.http.sites, &talk.config), 0);
    talk_say(&talk, "GET /echo/a HTTP/1.1\r\nHost: other.example\r\n\r\n");
    talk_expect(&talk, 404, NULL);
    talk_say(&talk, "GET /echo/a HTTP/1.1\r\nHost: ONLY.example:80\r\n\r\n");
    talk_expect(&talk, 200, "/echo/a");
    talk_expect_idle(&talk);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, stub_setup, stub_teardown)
#define CASE_TCP(test) cmocka_unit_test_setup_teardown(test, stub_setup_tcp, stub_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_request_is_answered_and_the_connection_stays_open),
        CASE(head_has_the_length_and_no_body),
        CASE(requests_may_be_split_at_every_byte),
        CASE(requests_may_come_byte_by_byte),
        CASE(a_death_after_every_byte_changes_nothing),
        CASE(a_long_pipeline_is_answered_in_order),
        CASE_TCP(a_long_pipeline_is_answered_in_order),
        CASE(a_client_that_does_not_read_is_waited_for),
        CASE_TCP(a_client_that_does_not_read_is_waited_for),
        CASE(large_bodies_by_length_and_in_chunks_arrive_whole),
        CASE_TCP(large_bodies_by_length_and_in_chunks_arrive_whole),
        CASE(a_post_without_a_body_is_answered_and_the_connection_stays_open),
        CASE(who_waits_for_100_gets_it_once_and_only_when_needed),
        CASE(an_answer_before_the_end_of_the_body_closes_with_a_farewell),
        CASE(a_body_cut_off_by_the_client_ends_the_connection_unanswered),
        CASE(what_is_no_request_is_refused_and_the_connection_closed),
        CASE(answers_before_a_refusal_are_sent_first),
        CASE(a_name_that_is_no_site_of_the_listener_is_answered_404),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
