/* What of a server's head goes to the client. */
#include "handler/proxy/response_text.h"

#include "unit.h"

#include <string.h>

static struct h1_response response;
static char bytes[8192], lines_memory[8192], made[8192];
static struct exchange_head_of head;
static struct respond_to to;

static void parse(const char *text, int is_head)
{
    enum h1_refusal refusal;

    strcpy(bytes, text);
    to = (struct respond_to){.date = SLICE_LITERAL("now")};
    assert_int_equal(h1_response_parse(bytes, (uint32_t)strlen(bytes), is_head, &response, &refusal), 0);
}

static const char * final(void)
{
    struct text lines, out;

    text_init(&lines, lines_memory, sizeof lines_memory);
    text_init(&out, made, sizeof made);
    assert_int_equal(response_text_final(&response, to.is_1_0, &lines, &head), 0);
    assert_int_equal(respond_head_make(&head, &to, &out), 0);
    return made;
}

static void a_head_keeps_what_is_the_clients_and_loses_what_is_the_connections(void **state)
{
    (void)state;
    parse("HTTP/1.1 203 Some Phrase\r\nServer: x\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nConnection: close, "
          "X-Hop, "
          "Set-Cookie\r\nX-Hop: 1\r\nKeep-Alive: 1\r\nContent-Length: 5\r\n\r\n",
          0);
    assert_string_equal(
        final(), "HTTP/1.1 203 Some Phrase\r\nDate: now\r\nServer: x\r\nSet-Cookie: a=1\r\nSet-Cookie: "
                 "b=2\r\nVia: 1.1 holdfast\r\nContent-Length: 5\r\n\r\n");
}

static void a_date_of_the_servers_is_kept(void **state)
{
    (void)state;
    parse("HTTP/1.0 200 OK\r\ndate: then\r\nContent-Length: 0\r\n\r\n", 0);
    assert_non_null(strstr(final(), "\r\ndate: then\r\n"));
    assert_null(strstr(made, "Date: now"));
    assert_non_null(strstr(made, "\r\nVia: 1.0 holdfast\r\nContent-Length: 0\r\n\r\n"));
}

static void a_body_without_a_length_is_framed_as_the_client_understands_it(void **state)
{
    static const char *const heads[] = {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                                        "HTTP/1.0 200 OK\r\n\r\n"};
    (void)state;

    for (size_t i = 0; i < 2; i++) {
        parse(heads[i], 0);
        assert_non_null(strstr(final(), "\r\nTransfer-Encoding: chunked\r\n\r\n"));
        assert_int_equal(head.framing, EXCHANGE_FRAMED_BY_CHUNKS);
        to.is_1_0 = to.closes = 1;
        assert_non_null(strstr(final(), "\r\nConnection: close\r\n\r\n"));
        assert_null(strstr(made, "chunked"));
        assert_int_equal(head.framing, EXCHANGE_FRAMED_BY_END);
    }
}

static void a_head_without_a_body_says_what_the_body_would_be(void **state)
{
    (void)state;
    parse("HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n", 1);
    assert_non_null(strstr(final(), "\r\nContent-Length: 1234\r\n\r\n"));
    parse("HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", 0);
    assert_non_null(strstr(final(), "\r\nContent-Length: 7\r\n\r\n"));
    parse("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 1);
    assert_null(strstr(final(), "chunked"));
    parse("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", 0); /* RFC 9110 section 8.6 */
    assert_null(strstr(final(), "Content-Length"));
}

static void an_old_client_is_told_that_it_may_ask_again(void **state)
{
    (void)state;
    parse("HTTP/1.1 200\r\nContent-Length: 1\r\n\r\n", 0);
    to.is_1_0 = 1;
    assert_memory_equal(final(), "HTTP/1.1 200 \r\n", 15);
    assert_non_null(strstr(made, "\r\nConnection: keep-alive\r\n\r\n"));
}

static void an_interim_head_is_passed_on_whole(void **state)
{
    struct text out;
    (void)state;

    parse("HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\nConnection: close\r\nContent-Length: "
          "0\r\n\r\n",
          0);
    text_init(&out, made, sizeof made);
    assert_int_equal(response_text_interim(&response, &out), 0);
    assert_string_equal(made, "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n");
    text_init(&out, made, 20);
    assert_int_equal(response_text_interim(&response, &out), ERR_NO_SPACE);
}

static void another_protocol_is_named_or_it_is_none(void **state)
{
    struct text lines, out;
    (void)state;

    parse("HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-X: y\r\n\r\n", 0);
    text_init(&lines, lines_memory, sizeof lines_memory);
    text_init(&out, made, sizeof made);
    assert_int_equal(response_text_upgrade(&response, &lines, &head), 0);
    to.closes = 1; /* of no meaning behind an upgrade */
    assert_int_equal(respond_head_make(&head, &to, &out), 0);
    assert_string_equal(
        made,
        "HTTP/1.1 101 Go\r\nDate: now\r\nSec-X: y\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n");
    parse("HTTP/1.1 101 Go\r\nConnection: Upgrade\r\n\r\n", 0);
    text_init(&lines, lines_memory, sizeof lines_memory);
    assert_int_equal(response_text_upgrade(&response, &lines, &head), ERR_INVALID);
    parse("HTTP/1.1 101 Go\r\nUpgrade: websocket\r\n\r\n", 0);
    assert_int_equal(response_text_upgrade(&response, &lines, &head), ERR_INVALID);
}

static void what_does_not_fit_is_refused(void **state)
{
    struct text lines, out;
    (void)state;

    parse("HTTP/1.1 200 OK\r\nServer: quite a long name of a server\r\nContent-Length: 1\r\n\r\n", 0);
    text_init(&lines, lines_memory, 30);
    assert_int_equal(response_text_final(&response, 0, &lines, &head), ERR_NO_SPACE);
    for (size_t room = 1; room < 100; room++) {
        text_init(&lines, lines_memory, sizeof lines_memory);
        assert_int_equal(response_text_final(&response, 0, &lines, &head), 0);
        text_init(&out, made, room);
        assert_int_equal(respond_head_make(&head, &to, &out), ERR_NO_SPACE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_head_keeps_what_is_the_clients_and_loses_what_is_the_connections),
        cmocka_unit_test(a_date_of_the_servers_is_kept),
        cmocka_unit_test(a_body_without_a_length_is_framed_as_the_client_understands_it),
        cmocka_unit_test(a_head_without_a_body_says_what_the_body_would_be),
        cmocka_unit_test(an_old_client_is_told_that_it_may_ask_again),
        cmocka_unit_test(an_interim_head_is_passed_on_whole),
        cmocka_unit_test(another_protocol_is_named_or_it_is_none),
        cmocka_unit_test(what_does_not_fit_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
