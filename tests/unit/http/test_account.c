/* The account of requests: one line and one count each, however they end and whoever dies meanwhile. */
#include "http/account.h"

#include "core/log_ring.h"
#include "http/counters.h"
#include "stub.h"
#include "talk.h"
#include "unit.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct route_settings *settings(void)
{
    return &talk.config.sites[0].route->settings;
}

static int setup(void **state)
{
    assert_int_equal(stub_setup(state), 0);
    log_set_level(LOG_ERROR);
    settings()->access_log = 1;
    settings()->access_log_format = ROUTE_LOG_COMBINED;
    talk.rig.worker.arena.core->id_seed = 0x1234;
    if (arena_log_reserve(&talk.rig.worker.arena, 0))
        return -1;
    talk.rig.worker.arena.core->logs[0].is_usable = 1;
    return 0;
}

static int teardown(void **state)
{
    settings()->access_log = 0;
    return stub_teardown(state);
}

static uint64_t counter(unsigned number)
{
    return talk.rig.worker.arena.page->counters[number];
}

/* All lines so far; the ring is never full here. */
static const char *lines(unsigned *count)
{
    static char text[65536];
    const uint64_t made = talk.rig.worker.arena.core->logs[0].made;

    assert_true(made < sizeof text);
    memcpy(text, arena_log_ring(&talk.rig.worker.arena, 0), made);
    text[made] = '\0';
    *count = 0;
    for (const char *c = text; *c; c++)
        *count += *c == '\n';
    return text;
}

/* There are so many lines, and the last one has this in it; everything was counted as often. */
static void assert_lines(unsigned expected, const char *last_has)
{
    unsigned count;
    const char *text = lines(&count), *last = text;
    uint64_t counted = 0;

    assert_int_equal(count, expected);
    for (const char *next = text; (next = strchr(next, '\n')) && next[1];)
        last = ++next;
    if (!strstr(last, last_has))
        fail_msg("no %s in: %s", last_has, last);
    for (unsigned class = HTTP_REQUESTS_UNANSWERED; class <= HTTP_RESPONSES_5XX; class ++)
        counted += counter(class);
    assert_int_equal(counted, expected);
}

static void a_request_answered_at_once_has_its_line_with_the_answer(void **state)
{
    (void)state;
    talk_say(&talk, "GET /echo/a HTTP/1.1\r\nHost: x\r\nX-Request-Id: mine\r\n\r\n");
    talk_expect(&talk, 200, "/echo/a");
    assert_lines(1, "\"GET /echo/a HTTP/1.1\" 200 7 \"-\" \"-\" mine ");
    assert_int_equal(counter(HTTP_RESPONSES_1XX + 1), 1);
    assert_int_equal(counter(HTTP_RESPONSE_BODY_BYTES), 7);
    talk_expect_idle(&talk);
}

static void what_is_no_request_has_a_line_in_the_outermost_log(void **state)
{
    static struct http_route outermost = {.settings = {.access_log = 1}};
    (void)state;

    talk.config.route = &outermost;
    talk_say(&talk, "NONSENSE\r\n\r\n");
    talk_settle(&talk);
    assert_lines(1, "\"-\" 400 ");
    talk.config.route = NULL;
}

static void a_request_with_a_body_keeps_its_name_until_it_is_answered(void **state)
{
    (void)state;
    talk_say(&talk, "POST /hash HTTP/1.1\r\nHost: x\r\nX-Request-Id: mine\r\nContent-Length: 5\r\n\r\nab");
    talk_settle(&talk);
    assert_int_not_equal(exchange_seen(talk.record)->note, 0);
    talk_revive(&talk, -1);
    talk_say(&talk, "cde");
    talk_settle(&talk);
    assert_lines(1, " mine ");
    assert_int_equal(counter(HTTP_REQUEST_BODY_BYTES), 5);
    assert_int_equal(exchange_seen(talk.record)->note, 0);
}

static void a_long_line_is_kept_in_a_block_of_its_own(void **state)
{
    const uint32_t before = talk.rig.worker.blocks.in_use;
    char request[4096], agent[1001];
    (void)state;

    memset(agent, 'a', sizeof agent - 1);
    agent[sizeof agent - 1] = '\0';
    snprintf(request, sizeof request,
             "POST /hash HTTP/1.1\r\nHost: x\r\nReferer: %s\r\nUser-Agent: %s\r\nContent-Length: 5\r\n\r\nab",
             agent, agent);
    talk_say(&talk, request);
    talk_settle(&talk);
    assert_true(exchange_seen(talk.record)->note >= ARENA_BLOCK_SIZE); /* no part has such a number here */
    talk_revive(&talk, -1);
    talk_say(&talk, "cde");
    talk_settle(&talk);
    assert_lines(1, agent);
    assert_int_equal(exchange_seen(talk.record)->note, 0);
    assert_int_equal(talk.rig.worker.blocks.in_use, before);
}

/* A lister reads without a lock: the note's block may have become anything meanwhile. */
static void a_listing_believes_no_name_that_could_not_be_one(void **state)
{
    struct arena *arena = &talk.rig.worker.arena;
    struct conn_description description = {0};
    char *part, *name;
    (void)state;

    talk_say(&talk, "POST /hash HTTP/1.1\r\nHost: x\r\nX-Request-Id: mine\r\nContent-Length: 5\r\n\r\nab");
    talk_settle(&talk);
    account_describe(arena, talk.record, &description);
    assert_string_equal(description.request, "mine");
    part = blocks_part(arena, exchange_seen(talk.record)->note - 1);
    for (char *from = part; (name = memmem(from, (size_t)(part + BLOCKS_PART_SIZE - from), "mine", 4));
         from = name)
        memcpy(name, "mi\n\"", 4);
    account_describe(arena, talk.record, &description);
    assert_int_equal(strspn(description.request, "0123456789abcdef"), 32);
}

static void a_file_has_its_line_when_it_is_through(void **state)
{
    unsigned count;
    char expected[64];
    (void)state;

    talk_say(&talk, "GET /file HTTP/1.1\r\nHost: x\r\n\r\n");
    rig_turn(&talk.rig, 1000);
    (void)lines(&count);
    assert_int_equal(count, 0);
    talk_revive(&talk, -1);
    assert_true(talk_await(&talk, STUB_FILE_SIZE) >= STUB_FILE_SIZE);
    talk_settle(&talk);
    snprintf(expected, sizeof expected, " 200 %u ", STUB_FILE_SIZE);
    assert_lines(1, expected);
}

static void a_file_broken_off_by_the_client_says_so_and_how_much_was_sent(void **state)
{
    (void)state;
    talk_say(&talk, "GET /file HTTP/1.1\r\nHost: x\r\n\r\n");
    rig_turn(&talk.rig, 1000);
    talk_connect(&talk); /* closes the one before */
    talk_settle(&talk);
    assert_lines(1, " client_reset -");
    assert_int_equal(counter(HTTP_RESPONSES_CUT), 1);
    assert_in_range(counter(HTTP_RESPONSE_BODY_BYTES), 1, STUB_FILE_SIZE - 1);
}

static void a_body_broken_off_is_a_request_without_an_answer(void **state)
{
    (void)state;
    talk_say(&talk, "POST /hash HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab");
    talk_shut(&talk);
    talk_settle(&talk);
    assert_lines(1, "\" 0 0 \"");
    assert_int_equal(counter(HTTP_REQUESTS_UNANSWERED), 1);
}

static void a_request_that_crashed_its_worker_has_one_line_and_says_why(void **state)
{
    (void)state;
    if (!ARENA_SHARED)
        skip();
    talk_say(&talk, "GET /crash HTTP/1.1\r\nHost: x\r\nX-Request-Id: guilty\r\n\r\n");
    stub_crashes = 1;
    if (!setjmp(stub_crash)) {
        talk_settle(&talk);
        fail_msg("the handler did not crash");
    }
    stub_crashes = 0;
    talk_revive(&talk, 0);
    talk_settle(&talk);
    assert_lines(1, " guilty ");
    assert_lines(1, "handler_crashed");
}

static void an_idle_connection_that_is_closed_has_no_line(void **state)
{
    (void)state;
    talk_say(&talk, "GET /echo/a HTTP/1.1\r\nHost: x\r\n\r\nGET /half");
    talk_settle(&talk);
    talk_connect(&talk);
    talk_settle(&talk);
    assert_lines(1, "/echo/a");
}

static void a_full_log_loses_lines_and_counts_them_and_nothing_else(void **state)
{
    (void)state;
    talk.rig.worker.arena.core->logs[0].is_usable = 0;
    talk_say(&talk, "GET /echo/a HTTP/1.1\r\nHost: x\r\n\r\n");
    talk_expect(&talk, 200, "/echo/a");
    assert_int_equal(counter(HTTP_LOG_LINES_LOST), 1);
    assert_int_equal(talk.rig.worker.arena.core->logs[0].lost, 1);
    assert_int_equal(counter(HTTP_LATENCY_FIRST) + counter(HTTP_LATENCY_SUM_US) > 0, 1);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_request_answered_at_once_has_its_line_with_the_answer),
        CASE(what_is_no_request_has_a_line_in_the_outermost_log),
        CASE(a_request_with_a_body_keeps_its_name_until_it_is_answered),
        CASE(a_long_line_is_kept_in_a_block_of_its_own),
        CASE(a_listing_believes_no_name_that_could_not_be_one),
        CASE(a_file_has_its_line_when_it_is_through),
        CASE(a_file_broken_off_by_the_client_says_so_and_how_much_was_sent),
        CASE(a_body_broken_off_is_a_request_without_an_answer),
        CASE(a_request_that_crashed_its_worker_has_one_line_and_says_why),
        CASE(an_idle_connection_that_is_closed_has_no_line),
        CASE(a_full_log_loses_lines_and_counts_them_and_nothing_else),
    };

    (void)signal(SIGPIPE, SIG_IGN); /* as a worker does: sendfile(2) knows no MSG_NOSIGNAL */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
