/* Whom a request's headers make its client, for a peer that is trusted and for one that is not. */
#include "http/client.h"

#include "http/request.h"
#include "proto/guarded.h"
#include "request_head.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>

/* 10.0.0.0/8 and 2001:db8:1::/48 are ours; the peer is one of them. */
static const struct client_net trusted[] = {
    {.bits = 8, .bytes = {10}}, {.is_ipv6 = 1, .bits = 48, .bytes = {0x20, 0x01, 0x0d, 0xb8, 0, 1}}};
#define PEER "10.0.0.1"

static struct sockaddr_storage peer_of(uint8_t first)
{
    const uint8_t address[16] = {[10] = 0xff, [11] = 0xff, first, 0, 0, 1};

    return client_sockaddr(address, 4711);
}

static const char *found_by(uint8_t first, size_t count, const struct h1_head *head, unsigned *port)
{
    static char text[64];
    const struct sockaddr_storage peer = peer_of(first);
    struct sockaddr_storage memory;
    const struct sockaddr_storage *client = client_find(&peer, trusted, count, request_field, head, &memory);
    struct text out;

    text_init(&out, text, sizeof text);
    client_address_format(client, &out);
    *port = client_port(client);
    return text;
}

static const char *found(const char *fields)
{
    unsigned port;

    return found_by(10, 2, request_head("GET", fields), &port);
}

static const char *found_in(const char *name, const char *value)
{
    char fields[1024];

    assert_in_range(snprintf(fields, sizeof fields, "%s: %s\r\n", name, value), 1, sizeof fields - 1);
    return found(fields);
}

#define assert_for(value, client) assert_string_equal(found_in("x-forwarded-FOR", value), client)
#define assert_forwarded(value, client) assert_string_equal(found_in("Forwarded", value), client)

static void who_is_not_trusted_speaks_for_itself(void **state)
{
    const struct h1_head *head =
        request_head("GET", "X-Forwarded-For: 192.0.2.1\r\nForwarded: for=192.0.2.1\r\n");
    struct sockaddr_storage memory;
    unsigned port;
    (void)state;

    assert_string_equal(found_by(11, 2, head, &port), "11.0.0.1");
    assert_int_equal(port, 4711);
    assert_string_equal(found_by(10, 0, head, &port), PEER);
    assert_null(client_find(NULL, trusted, 2, request_field, head, &memory));
}

static void the_last_one_that_is_not_trusted_is_the_client(void **state)
{
    (void)state;
    assert_for("192.0.2.1", "192.0.2.1");
    assert_for("192.0.2.9, 192.0.2.1", "192.0.2.1");
    assert_for("192.0.2.9, 192.0.2.1, 10.0.0.3,10.9.0.2", "192.0.2.1");
    assert_for("192.0.2.9 ,\t2001:db8:2::1 , 2001:db8:1::7, ::ffff:10.0.0.2", "2001:db8:2::1");
    assert_for(",, 192.0.2.1 , ,", "192.0.2.1");
}

static void of_those_who_are_all_trusted_it_is_the_farthest(void **state)
{
    (void)state;
    assert_for("10.0.0.7", "10.0.0.7");
    assert_for("10.0.0.7, 10.0.0.6", "10.0.0.7");
    assert_string_equal(found("X-Forwarded-For: 10.0.0.7\r\nX-Forwarded-For: 10.0.0.6\r\n"), "10.0.0.7");
}

static void several_lines_are_one_list(void **state)
{
    (void)state;
    assert_string_equal(found("X-Forwarded-For: 192.0.2.9\r\nX-Forwarded-For: 192.0.2.1\r\n"), "192.0.2.1");
    assert_string_equal(found("X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-For: 10.0.0.6\r\n"), "192.0.2.1");
    assert_string_equal(found("X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-For:\r\n"), "192.0.2.1");
    assert_string_equal(found("X-Forwarded-For: unknown\r\nX-Forwarded-For: 192.0.2.1\r\n"), "192.0.2.1");
    assert_string_equal(found("X-Forwarded-For: unknown\r\nX-Forwarded-For: 10.0.0.6\r\n"), PEER);
    assert_string_equal(found("X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-For: unknown\r\n"), PEER);
}

static void what_is_no_address_leaves_the_peer(void **state)
{
    static const char *const junk[] = {
        "",         ",",          "unknown",     "_hidden",       "192.0.2.1.5",
        "1.2.3.4:", "1.2.3.4:x",  "1.2.3.4:1:2", "1.2.3.4:65536", "[2001:db8::1",
        "[]",       "[1.2.3.4]",  "[::1]x",      "2001:db8::1]",  "::1%lo",
        ":",        "10.0.0.6 x", "\"1.2.3.4\"", "for=1.2.3.4",   ":80"};
    (void)state;

    for (size_t i = 0; i < sizeof junk / sizeof *junk; i++) {
        char value[64];

        assert_for(junk[i], PEER);
        snprintf(value, sizeof value, "192.0.2.1, %s, 10.0.0.6", junk[i]);
        assert_for(value, i < 2 ? "192.0.2.1" : PEER); /* empty elements are none */
        snprintf(value, sizeof value, "%s, 192.0.2.1", junk[i]);
        assert_for(value, "192.0.2.1");
    }
    assert_string_equal(found(""), PEER);
    assert_string_equal(found("X_Forwarded_For: 192.0.2.1\r\nX-Real-IP: 192.0.2.1\r\n"), PEER);
}

static void a_port_may_be_said(void **state)
{
    unsigned port;
    (void)state;

    assert_string_equal(found_by(10, 2, request_head("GET", "X-Forwarded-For: 192.0.2.1:80\r\n"), &port),
                        "192.0.2.1");
    assert_int_equal(port, 80);
    assert_string_equal(
        found_by(10, 2, request_head("GET", "Forwarded: for=\"[2001:db8::1]:443\"\r\n"), &port),
        "2001:db8::1");
    assert_int_equal(port, 443);
    assert_string_equal(found_by(10, 2, request_head("GET", "Forwarded: for=\"1.2.3.4:_a\"\r\n"), &port),
                        "1.2.3.4");
    assert_int_equal(port, 0);
    assert_string_equal(found_by(10, 2, request_head("GET", "X-Forwarded-For: ::2\r\n"), &port), "::2");
    assert_int_equal(port, 0);
}

static void forwarded_says_the_same(void **state)
{
    (void)state;
    assert_forwarded("for=192.0.2.1", "192.0.2.1");
    assert_forwarded("for=192.0.2.9, For=192.0.2.1;proto=https;by=_x, proto=http;FOR=10.0.0.2", "192.0.2.1");
    assert_forwarded("for=\"[2001:db8::1]\" ; host=\"a,b;\\\"c\", for=10.0.0.2;host=\"x,y\"", "2001:db8::1");
    assert_forwarded("for=[2001:db8::1]:80", "2001:db8::1");
    assert_forwarded("for=\"192.0.2.1\"", "192.0.2.1");
    assert_forwarded("for=10.0.0.7, for=10.0.0.6", "10.0.0.7");
}

static void a_forwarded_out_of_shape_leaves_the_peer(void **state)
{
    static const char *const junk[] = {"for=unknown",
                                       "for=\"_gazonk\"",
                                       "proto=http",
                                       "for=1.2.3.4;for=2.3.4.5",
                                       "for=1.2.3.4;",
                                       "for",
                                       "for=",
                                       "=1.2.3.4",
                                       "for=1.2.3.4 x",
                                       "for = 1.2.3.4",
                                       "for=\"1.2.3.4\"x",
                                       "for=1.2.3.4;;proto=http",
                                       "for=\"1.2.3.4",
                                       "for=1.2.3.4;x=\"",
                                       "for=1.2.3.4;x=\"\\\"",
                                       "for=\"1.2.3\\.4\"",
                                       "1.2.3.4",
                                       "for=1.2.3.4;x"};
    (void)state;

    for (size_t i = 0; i < sizeof junk / sizeof *junk; i++)
        assert_forwarded(junk[i], PEER);
}

/* What a client begins, and a proxy only adds to. */
static void no_open_quote_hides_what_a_trusted_proxy_has_added(void **state)
{
    (void)state;
    assert_forwarded("for=6.6.6.6, x=\", for=192.0.2.1", "192.0.2.1");
    assert_forwarded("for=6.6.6.6;x=\", for=\"[2001:db8::1]\"", "2001:db8::1");
    assert_forwarded("for=6.6.6.6, x=\"\\, for=\"192.0.2.1\";host=\"a,b\", for=10.0.0.2", "192.0.2.1");
    assert_for("6.6.6.6, \", 192.0.2.1", "192.0.2.1");
}

static void the_list_that_is_there_counts_x_forwarded_for_before_forwarded(void **state)
{
    (void)state;
    assert_string_equal(found("Forwarded: for=192.0.2.1\r\nX-Forwarded-For: 192.0.2.2\r\n"), "192.0.2.2");
    assert_string_equal(found("Forwarded: for=192.0.2.1\r\nX-Forwarded-For: unknown\r\n"), PEER);
}

/* --- bytes that no head lets through, before a page that nobody may touch --- */

static int one_line(const void *line, struct slice name, size_t nth, struct slice *value)
{
    (void)name;
    if (nth)
        return 0;
    *value = *(const struct slice *)line;
    return 1;
}

static int one_forwarded(const void *line, struct slice name, size_t nth, struct slice *value)
{
    return slice_equals(name, SLICE_LITERAL("Forwarded")) && one_line(line, name, nth, value);
}

static void any_bytes_of_any_length_are_read_within_their_bounds(void **state)
{
    static const char bytes[] =
        "for=\"[2001:db8::1]:80\";a=\"\\\"\\\\\", for=1.2.3.4:5;x=y ,\t\0\x80\"\\, [::1, =;:,";
    const struct sockaddr_storage peer = peer_of(10);
    (void)state;

    for (size_t from = 0; from < sizeof bytes; from++) {
        for (size_t until = from; until <= sizeof bytes; until++) {
            const struct slice line = {guarded_copy(bytes + from, until - from), until - from};
            struct sockaddr_storage memory;

            assert_non_null(client_find(&peer, trusted, 2, one_line, &line, &memory));
            assert_non_null(client_find(&peer, trusted, 2, one_forwarded, &line, &memory));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_is_not_trusted_speaks_for_itself),
        cmocka_unit_test(the_last_one_that_is_not_trusted_is_the_client),
        cmocka_unit_test(of_those_who_are_all_trusted_it_is_the_farthest),
        cmocka_unit_test(several_lines_are_one_list),
        cmocka_unit_test(what_is_no_address_leaves_the_peer),
        cmocka_unit_test(a_port_may_be_said),
        cmocka_unit_test(forwarded_says_the_same),
        cmocka_unit_test(a_forwarded_out_of_shape_leaves_the_peer),
        cmocka_unit_test(no_open_quote_hides_what_a_trusted_proxy_has_added),
        cmocka_unit_test(the_list_that_is_there_counts_x_forwarded_for_before_forwarded),
        cmocka_unit_test(any_bytes_of_any_length_are_read_within_their_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
