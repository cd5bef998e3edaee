/* The bytes of responses: head, body, file, and what closes a connection. */
#include "http/exchange.h"

#include "base/fd.h"
#include "core/redo.h"
#include "stub.h"
#include "talk.h"
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct record_head head_before;

/* An exchange with an open transaction, as a handler gets it. */
static struct exchange begun(unsigned flags)
{
    struct exchange exchange;

    head_before = *record_head(talk.record);
    exchange = (struct exchange){.http = &talk.http,
                                 .worker = &talk.rig.worker,
                                 .record = talk.record,
                                 .head = record_begin(talk.record)};

    exchange.state = (struct exchange_state *)(void *)exchange.head->protocol;
    exchange.state->flags = (uint8_t)flags;
    exchange.state->request = 0xabc;
    return exchange;
}

/* Everything that is made so far, as the client will get it (NUL-terminated). */
static const char *made(const struct exchange *exchange)
{
    static char bytes[ARENA_BLOCK_SIZE + 1];
    const struct record_head *head = exchange->head;
    uint64_t end = head->file_fd >= 0 ? head->file_from : head->made;
    size_t length = 0;

    for (uint64_t at = talk.record->tx; at < end; at++)
        bytes[length++] = arena_block(&talk.rig.worker.arena,
                                      head->out_block - 1)[(at - head->out_base) % ARENA_BLOCK_SIZE];
    bytes[length] = '\0';
    return bytes;
}

static void respond(struct exchange *exchange, int status, const char *type, const char *fields,
                    const char *body)
{
    exchange_respond(exchange, status, slice_of(type), slice_of(fields), slice_of(body));
}

/* The block that was taken is given back: nothing of it is committed. */
static void forget(const struct exchange *exchange)
{
    if (exchange->head->out_block)
        worker_give_block(exchange->worker, exchange->head->out_block);
    if (!ARENA_SHARED)
        *exchange->head = head_before; /* a plain-fork build has no spare */
}

static void a_response_has_its_lines_in_order_and_then_its_body(void **state)
{
    struct exchange exchange = begun(0);
    char wanted[512];
    (void)state;

    respond(&exchange, 200, "text/plain", "X-One: 1\r\nX-Two: 2\r\n", "hello");
    snprintf(wanted, sizeof wanted,
             "HTTP/1.1 200 OK\r\nDate: %s\r\nServer: holdfast\r\nContent-Type: text/plain\r\n"
             "X-One: 1\r\nX-Two: 2\r\nContent-Length: 5\r\n\r\nhello",
             talk.http.date);
    assert_string_equal(made(&exchange), wanted);
    assert_int_equal(exchange.state->step, EXCHANGE_SEND);
    assert_int_equal(exchange.failed, 0);
    forget(&exchange);
}

static void without_type_and_body_there_is_a_length_all_the_same(void **state)
{
    struct exchange exchange = begun(0);
    (void)state;

    respond(&exchange, 404, "", "", "");
    assert_memory_equal(made(&exchange), "HTTP/1.1 404 Not Found\r\n", 24);
    assert_null(strstr(made(&exchange), "Content-Type"));
    assert_non_null(strstr(made(&exchange), "\r\nContent-Length: 0\r\n\r\n"));
    forget(&exchange);
}

static void an_answer_to_head_says_the_length_and_has_no_body(void **state)
{
    struct exchange exchange = begun(EXCHANGE_HEAD_ONLY);
    const char *text;
    (void)state;

    respond(&exchange, 200, "text/plain", "", "hello");
    text = made(&exchange);
    assert_non_null(strstr(text, "Content-Length: 5\r\n"));
    assert_string_equal(text + strlen(text) - 4, "\r\n\r\n");
    forget(&exchange);
}

/* What the connection line says, for these flags. */
static void assert_connection(unsigned flags, int step, int draining, const char *line)
{
    struct exchange exchange = begun(flags);
    const char *found;

    exchange.state->step = (uint8_t)step;
    talk.rig.worker.is_draining = draining;
    respond(&exchange, 200, "", "", "x");
    found = strstr(made(&exchange), "Connection: ");
    if (!line)
        assert_null(found);
    else
        assert_memory_equal(found, line, strlen(line));
    assert_int_equal(!!(exchange.state->flags & EXCHANGE_CLOSE),
                     line && !strcmp(line, "Connection: close\r\n"));
    talk.rig.worker.is_draining = 0;
    forget(&exchange);
}

static void the_connection_line_is_there_when_it_says_something_new(void **state)
{
    (void)state;
    assert_connection(0, EXCHANGE_READ_HEAD, 0, NULL);
    assert_connection(EXCHANGE_HTTP_1_0, EXCHANGE_READ_HEAD, 0, "Connection: keep-alive\r\n");
    assert_connection(EXCHANGE_CLOSE, EXCHANGE_READ_HEAD, 0, "Connection: close\r\n");
    assert_connection(EXCHANGE_CLOSE | EXCHANGE_HTTP_1_0, EXCHANGE_READ_HEAD, 0, "Connection: close\r\n");
    assert_connection(0, EXCHANGE_READ_HEAD, 1, "Connection: close\r\n");
    assert_connection(0, EXCHANGE_READ_BODY, 0, "Connection: close\r\n"); /* the rest was not taken */
    assert_connection(EXCHANGE_BODY_UNREAD, EXCHANGE_HANDLE, 0, "Connection: close\r\n");
    assert_connection(0, EXCHANGE_HANDLE, 0, NULL);
}

static void an_error_says_status_reason_and_request(void **state)
{
    struct exchange exchange = begun(0);
    const struct slice id = exchange_id(&exchange);
    char wanted[128];
    (void)state;

    snprintf(wanted, sizeof wanted,
             "\r\n\r\n503 Service Unavailable\nreason: nothing is left\nrequest: %.*s\n", (int)id.length,
             id.at);
    exchange_respond_error(&exchange, 503, SLICE_LITERAL("nothing is left"));
    assert_non_null(strstr(made(&exchange), "HTTP/1.1 503 Service Unavailable\r\n"));
    assert_non_null(strstr(made(&exchange), "Content-Type: text/plain; charset=utf-8\r\n"));
    assert_non_null(strstr(made(&exchange), wanted));
    forget(&exchange);
}

static void a_file_follows_its_head_and_nothing_of_it_is_copied(void **state)
{
    struct exchange exchange = begun(0);
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    (void)state;

    worker_file_use(exchange.worker, fd);
    exchange_respond_file(&exchange, 200, SLICE_LITERAL("text/css"), SLICE_LITERAL("ETag: \"a\"\r\n"), fd,
                          100, 1ULL << 40);
    assert_non_null(strstr(made(&exchange), "ETag: \"a\"\r\nContent-Length: 1099511627776\r\n\r\n"));
    assert_int_equal(exchange.head->file_fd, fd);
    assert_int_equal(exchange.head->file_offset, 100);
    assert_true(exchange.head->made - exchange.head->file_from == 1ULL << 40);
    assert_int_equal(exchange.state->step, EXCHANGE_SEND);
    forget(&exchange);
    while (talk.rig.worker.files)
        worker_file_drop(exchange.worker, fd);
}

static void for_head_and_for_nothing_no_file_is_kept(void **state)
{
    static const struct {
        unsigned flags;
        uint64_t length;
    } cases[] = {{EXCHANGE_HEAD_ONLY, 77}, {0, 0}};
    (void)state;

    for (int i = 0; i < 2; i++) {
        struct exchange exchange = begun(cases[i].flags);
        char line[64];

        exchange_respond_file(&exchange, 200, SLICE_LITERAL("text/css"), (struct slice){"", 0}, 0, 0,
                              cases[i].length);
        snprintf(line, sizeof line, "Content-Length: %llu\r\n\r\n", (unsigned long long)cases[i].length);
        assert_non_null(strstr(made(&exchange), line));
        assert_int_equal(exchange.head->file_fd, -1);
        assert_int_equal(talk.rig.worker.files, 0);
        forget(&exchange);
    }
}

static void a_response_that_does_not_fit_now_is_put_off_as_a_whole(void **state)
{
    static char bytes[EXCHANGE_BODY_MAX];
    struct exchange exchange = begun(0);
    struct arena *arena = &talk.rig.worker.arena;
    uint64_t before, requests = redo_value(arena, &arena->page->requests);
    (void)state;

    memset(bytes, 'b', sizeof bytes);
    exchange_respond(&exchange, 200, SLICE_LITERAL("text/plain"), (struct slice){"", 0},
                     (struct slice){bytes, sizeof bytes});
    assert_int_equal(exchange.failed, 0); /* the largest there may be fits into an empty ring */
    before = exchange.head->made;
    exchange_respond(&exchange, 200, SLICE_LITERAL("text/plain"), (struct slice){"", 0},
                     (struct slice){bytes, sizeof bytes});
    assert_int_equal(exchange.failed, 1);
    assert_true(exchange.head->made == before);
    assert_true(redo_value(arena, &arena->page->requests) == requests + 1);
    forget(&exchange);
}

static void the_date_is_made_again_when_the_loop_has_moved_on(void **state)
{
    struct exchange exchange = begun(0);
    (void)state;

    respond(&exchange, 200, "", "", "");
    strcpy(talk.http.date, "Mon, 01 Jan 2001 00:00:00 GMT");
    respond(&exchange, 200, "", "", "");
    assert_non_null(strstr(made(&exchange), "Date: Mon, 01 Jan 2001"));
    talk.rig.worker.now_ns += 10 * NS_PER_MS;
    respond(&exchange, 200, "", "", "");
    assert_string_not_equal(talk.http.date, "Mon, 01 Jan 2001 00:00:00 GMT");
    forget(&exchange);
}

static void a_handler_can_ask_for_the_body_or_for_time(void **state)
{
    struct exchange exchange = begun(0);
    (void)state;

    exchange_want_body(&exchange);
    assert_int_equal(exchange.state->step, EXCHANGE_READ_BODY);
    exchange_wait(&exchange);
    assert_int_equal(exchange.state->step, EXCHANGE_HANDLE);
    assert_int_equal(worker_side(exchange.worker, exchange.record)->is_working, 1);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, stub_setup, stub_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_response_has_its_lines_in_order_and_then_its_body),
        CASE(without_type_and_body_there_is_a_length_all_the_same),
        CASE(an_answer_to_head_says_the_length_and_has_no_body),
        CASE(the_connection_line_is_there_when_it_says_something_new),
        CASE(an_error_says_status_reason_and_request),
        CASE(a_file_follows_its_head_and_nothing_of_it_is_copied),
        CASE(for_head_and_for_nothing_no_file_is_kept),
        CASE(a_response_that_does_not_fit_now_is_put_off_as_a_whole),
        CASE(the_date_is_made_again_when_the_loop_has_moved_on),
        CASE(a_handler_can_ask_for_the_body_or_for_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
