/* Requests that are accepted, what they mean, and the limits of a head. */
#include "guarded.h"
#include "head_driver.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ABSENT ((struct slice){NULL, 0})

static struct h1_head accepted(const char *text)
{
    struct h1_head head;
    enum h1_refusal refusal = H1_REFUSE_NOTHING;
    int answer = head_drive(slice_of(text), &head, &refusal);
    if (answer != 0)
        print_error("%s refused: %s", text, h1_refusal_reason(refusal).at);
    assert_int_equal(answer, 0);
    assert_int_equal(refusal, H1_REFUSE_NOTHING);
    return head;
}

static void assert_slice(struct slice slice, const char *expected)
{
    assert_int_equal(slice.length, strlen(expected));
    if (slice.length > 0)
        assert_memory_equal(slice.at, expected, slice.length);
}

static void a_plain_request_is_taken_apart(void **state)
{
    struct h1_head head = accepted("GET /a/b.html?c=d?e HTTP/1.1\r\nHost: Example.com:8080\r\n"
                                   "X-Empty:\r\nX-Padded: \t one two\t \r\nX-Tight:x\r\n\r\n");
    (void)state;
    assert_int_equal(head.method, H1_GET);
    assert_slice(head.method_text, "GET");
    assert_int_equal(head.form, H1_ORIGIN_FORM);
    assert_slice(head.target, "/a/b.html?c=d?e");
    assert_slice(head.path, "/a/b.html");
    assert_int_equal(head.has_query, 1);
    assert_slice(head.query, "c=d?e");
    assert_slice(head.host, "Example.com");
    assert_int_equal(head.host_port, 8080);
    assert_int_equal(head.version_minor, 1);
    assert_int_equal(head.content_length, -1);
    assert_int_equal(head.chunked, 0);
    assert_int_equal(head.has_body, 0);
    assert_int_equal(head.keep_alive, 1);
    assert_int_equal(head.expect_continue, 0);
    assert_int_equal(head.wants_upgrade, 0);
    assert_int_equal(head.field_count, 4);
    assert_slice(head.fields[0].name, "Host");
    assert_slice(head.fields[1].value, "");
    assert_slice(head.fields[2].value, "one two");
    assert_slice(head.fields[3].value, "x");
}

/* RFC 9110 section 9.1: case-sensitive tokens. */
static void methods_are_told_apart_by_their_exact_letters(void **state)
{
    static const struct {
        const char *text;
        enum h1_method method;
    } rows[] = {
        {"GET", H1_GET},        {"HEAD", H1_HEAD},
        {"POST", H1_POST},      {"PUT", H1_PUT},
        {"DELETE", H1_DELETE},  {"OPTIONS", H1_OPTIONS},
        {"PATCH", H1_PATCH},    {"TRACE", H1_TRACE},
        {"get", H1_OTHER},      {"GETS", H1_OTHER},
        {"GE", H1_OTHER},       {"PROPFIND", H1_OTHER},
        {"M-SEARCH", H1_OTHER}, {"!#$%&'*+-.^_`|~9", H1_OTHER},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[100];
        snprintf(text, sizeof(text), "%s / HTTP/1.1\r\nHost: a\r\n\r\n", rows[i].text);
        struct h1_head head = accepted(text);
        assert_int_equal(head.method, rows[i].method);
        assert_slice(head.method_text, rows[i].text);
    }
}

static void assert_target(const char *request_line, enum h1_target_form form, const char *path,
                          const char *query, const char *host, int port)
{
    char text[300];
    snprintf(text, sizeof(text), "%s HTTP/1.1\r\nHost: field:81\r\n\r\n", request_line);
    struct h1_head head = accepted(text);
    assert_int_equal(head.form, form);
    assert_slice(head.path, path);
    assert_int_equal(head.has_query, query != NULL);
    assert_slice(head.query, query ? query : "");
    assert_slice(head.host, host);
    assert_int_equal(head.host_port, port);
}

/* RFC 9112 section 3.2. */
static void every_form_of_target_is_understood(void **state)
{
    (void)state;
    assert_target("GET /", H1_ORIGIN_FORM, "/", NULL, "field", 81);
    assert_target("GET /?", H1_ORIGIN_FORM, "/", "", "field", 81);
    assert_target("GET //a//?b", H1_ORIGIN_FORM, "//a//", "b", "field", 81);
    assert_target("GET /http://a/", H1_ORIGIN_FORM, "/http://a/", NULL, "field", 81);
    assert_target("GET /%41:@!$&'()*+,;=-._~[]^`{|}?\\/?", H1_ORIGIN_FORM, "/%41:@!$&'()*+,;=-._~[]^`{|}",
                  "\\/?", "field", 81);
    assert_target("GET http://uri:82/a?b", H1_ABSOLUTE_FORM, "/a", "b", "uri", 82);
    assert_target("GET HTTPS://uri/", H1_ABSOLUTE_FORM, "/", NULL, "uri", 0);
    assert_target("GET http://uri", H1_ABSOLUTE_FORM, "/", NULL, "uri", 0);
    assert_target("GET http://uri?a/b", H1_ABSOLUTE_FORM, "/", "a/b", "uri", 0);
    assert_target("GET http://[::1]:82/", H1_ABSOLUTE_FORM, "/", NULL, "[::1]", 82);
    assert_target("OPTIONS *", H1_ASTERISK_FORM, "*", NULL, "field", 81);
    assert_target("OPTIONS /a", H1_ORIGIN_FORM, "/a", NULL, "field", 81);
    assert_target("CONNECT uri:443", H1_AUTHORITY_FORM, "", NULL, "uri", 443);
}

/* RFC 9112 section 3.2.4. */
static void options_for_a_whole_server_may_come_as_a_uri(void **state)
{
    (void)state;
    assert_target("OPTIONS http://uri", H1_ASTERISK_FORM, "*", NULL, "uri", 0);
    assert_target("OPTIONS http://uri/", H1_ABSOLUTE_FORM, "/", NULL, "uri", 0);
    assert_target("OPTIONS http://uri?a", H1_ABSOLUTE_FORM, "/", "a", "uri", 0);
}

/* RFC 9112 section 3.2, RFC 3986 section 3.2.2. */
static void hosts_are_names_or_addresses_with_an_optional_port(void **state)
{
    static const struct {
        const char *field, *host;
        int port;
    } rows[] = {
        {"a", "a", 0},
        {"a.b.c", "a.b.c", 0},
        {"example.com.", "example.com.", 0},
        {"a_b-c~1", "a_b-c~1", 0},
        {"127.0.0.1:1", "127.0.0.1", 1},
        {"a:65535", "a", 65535},
        {"a:00080", "a", 80},
        {"a:", "a", 0}, /* RFC 3986 section 3.2.3: an empty port is the default one */
        {"[::]", "[::]", 0},
        {"[2001:DB8::1]:443", "[2001:DB8::1]", 443},
        {"[::ffff:255.255.255.255]:8", "[::ffff:255.255.255.255]", 8},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[200];
        snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nhOST: %s \r\n\r\n", rows[i].field);
        struct h1_head head = accepted(text);
        assert_slice(head.host, rows[i].host);
        assert_int_equal(head.host_port, rows[i].port);
    }
}

static void a_host_name_may_have_255_bytes_and_no_more(void **state)
{
    char text[600], name[300];
    struct h1_head head;
    enum h1_refusal refusal;
    (void)state;
    memset(name, 'a', sizeof(name));
    snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: %.255s\r\n\r\n", name);
    assert_int_equal(accepted(text).host.length, 255);
    snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: %.256s\r\n\r\n", name);
    assert_int_equal(head_drive(slice_of(text), &head, &refusal), ERR_SYNTAX);
    assert_int_equal(refusal, H1_REFUSE_HOST_INVALID);
}

/* RFC 9112 section 3.2 asks for it of HTTP/1.1 alone. */
static void http_1_0_may_leave_out_the_host(void **state)
{
    struct h1_head head = accepted("GET / HTTP/1.0\r\n\r\n");
    (void)state;
    assert_int_equal(head.version_minor, 0);
    assert_slice(head.host, "");
    assert_int_equal(head.host_port, 0);
    assert_int_equal(head.field_count, 0);
}

/* RFC 9110 section 2.5. */
static void a_later_minor_version_is_read_as_1_1(void **state)
{
    (void)state;
    assert_int_equal(accepted("GET / HTTP/1.2\r\nHost: a\r\n\r\n").version_minor, 1);
    assert_int_equal(accepted("GET / HTTP/1.9\r\nHost: a\r\n\r\n").version_minor, 1);
}

/* RFC 9112 section 2.2. */
static void one_empty_line_before_a_request_is_tolerated(void **state)
{
    struct h1_head head = accepted("\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n");
    (void)state;
    assert_slice(head.path, "/a");
}

/* RFC 9110 section 5.5. */
static void values_may_hold_tabs_and_bytes_beyond_ascii(void **state)
{
    struct h1_head head = accepted("GET / HTTP/1.1\r\nHost: a\r\nA:\tb\tc \xc3\xa4\xff\r\n\r\n");
    (void)state;
    assert_slice(head.fields[1].value, "b\tc \xc3\xa4\xff");
}

/* RFC 9110 section 8.6. */
static void the_length_of_a_body_is_read_up_to_the_largest(void **state)
{
    static const struct {
        const char *field;
        int64_t length;
    } rows[] = {
        {"0", 0}, {"7", 7}, {"0000000000000000000000000000000007", 7}, {"9223372036854775807", INT64_MAX}};
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[200];
        snprintf(text, sizeof(text), "POST / HTTP/1.1\r\nHost: a\r\ncontent-LENGTH: %s\r\n\r\n",
                 rows[i].field);
        struct h1_head head = accepted(text);
        assert_true(head.content_length == rows[i].length);
        assert_int_equal(head.has_body, rows[i].length > 0);
        assert_int_equal(head.chunked, 0);
    }
}

/* RFC 9112 sections 6.1 and 7: case does not matter, RFC 9110 section 5.6.1: nor do empty elements. */
static void a_chunked_body_is_announced_in_any_spelling(void **state)
{
    static const char *const rows[] = {"chunked", "Chunked", "CHUNKED", "chunked,", ", ,chunked\t,"};
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[200];
        snprintf(text, sizeof(text), "POST / HTTP/1.1\r\nHost: a\r\ntransfer-ENCODING: %s\r\n\r\n", rows[i]);
        struct h1_head head = accepted(text);
        assert_int_equal(head.chunked, 1);
        assert_int_equal(head.has_body, 1);
        assert_int_equal(head.content_length, -1);
    }
}

/* RFC 9112 section 9.3. */
static void the_connection_stays_open_as_version_and_options_say(void **state)
{
    static const struct {
        const char *version, *fields;
        int keep_alive;
    } rows[] = {
        {"1", "", 1},
        {"1", "Connection: close\r\n", 0},
        {"1", "Connection: Close\r\n", 0},
        {"1", "Connection: x, close\r\n", 0},
        {"1", "Connection: x\r\nConnection: close\r\n", 0},
        {"1", "Connection: keep-alive, close\r\n", 0},
        {"1", "Connection: closed\r\n", 1},
        {"1", "Connection: keep-alive\r\n", 1},
        {"0", "", 0},
        {"0", "Connection: keep-alive\r\n", 1},
        {"0", "Connection: Keep-Alive\r\n", 1},
        {"0", "Connection: keep-alive, close\r\n", 0},
        {"0", "Keep-Alive: timeout=5\r\n", 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[200];
        snprintf(text, sizeof(text), "GET / HTTP/1.%s\r\nHost: a\r\n%s\r\n", rows[i].version, rows[i].fields);
        assert_int_equal(accepted(text).keep_alive, rows[i].keep_alive);
    }
}

/* RFC 9110 section 7.8. */
static void an_upgrade_must_be_named_by_connection(void **state)
{
    (void)state;
    assert_int_equal(accepted("GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\n"
                              "Upgrade: websocket\r\n\r\n")
                         .wants_upgrade,
                     1);
    assert_int_equal(accepted("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n").wants_upgrade, 0);
}

/* RFC 9110 section 10.1.1. */
static void a_client_is_told_to_continue_only_if_it_waits_with_a_body(void **state)
{
    static const struct {
        const char *version, *fields;
        int expect;
    } rows[] = {
        {"1", "Content-Length: 1\r\nExpect: 100-continue\r\n", 1},
        {"1", "Expect: 100-Continue\r\nTransfer-Encoding: chunked\r\n", 1},
        {"1", "Content-Length: 1\r\n", 0},
        {"1", "Content-Length: 1\r\nExpect:\r\n", 0},
        {"1", "Content-Length: 0\r\nExpect: 100-continue\r\n", 0},
        {"1", "Expect: 100-continue\r\n", 0},
        {"0", "Content-Length: 1\r\nExpect: 100-continue\r\n", 0},
        {"0", "Content-Length: 1\r\nExpect: something\r\n", 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[200];
        snprintf(text, sizeof(text), "POST / HTTP/1.%s\r\nHost: a\r\n%s\r\n", rows[i].version,
                 rows[i].fields);
        assert_int_equal(accepted(text).expect_continue, rows[i].expect);
    }
}

static void what_follows_a_head_is_left_alone(void **state)
{
    const char *first = "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n",
               *both = "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2\nx";
    uint32_t scanned = 0, length = 0;
    (void)state;
    assert_int_equal(h1_head_find_end(both, (uint32_t)strlen(both), HEAD_LIMIT, &scanned, &length), 0);
    assert_int_equal(length, strlen(first));
    assert_int_equal(scanned, length);
}

static void bytes_behind_the_head_are_not_parsed_into_it(void **state)
{
    const char *text = "GET / HTTP/1.1\r\nHost: a\r\n\r\nx";
    struct h1_head head;
    enum h1_refusal refusal;
    (void)state;
    assert_int_equal(h1_head_parse(text, (uint32_t)strlen(text), &head, &refusal), ERR_SYNTAX);
    assert_int_equal(refusal, H1_REFUSE_HEAD_CUT);
}

/* A head of `fields` fields besides Host; free it. */
static char *head_with_fields(unsigned fields)
{
    char *text = malloc(64 + fields * 8), *at = text;
    assert_non_null(text);
    at += sprintf(at, "GET / HTTP/1.1\r\nHost: a\r\n");
    for (unsigned i = 0; i < fields; i++)
        at += sprintf(at, "A: b\r\n");
    memcpy(at, "\r\n", 3);
    return text;
}

/* RFC 6585 section 5. */
static void a_head_may_have_100_fields_and_no_more(void **state)
{
    char *fits = head_with_fields(H1_FIELDS_MAX - 1), *over = head_with_fields(H1_FIELDS_MAX);
    struct h1_head head;
    enum h1_refusal refusal;
    (void)state;
    assert_int_equal(h1_head_parse(fits, (uint32_t)strlen(fits), &head, &refusal), 0);
    assert_int_equal(head.field_count, H1_FIELDS_MAX);
    assert_slice(head.fields[H1_FIELDS_MAX - 1].value, "b");
    assert_int_equal(h1_head_parse(over, (uint32_t)strlen(over), &head, &refusal), ERR_LIMIT);
    assert_int_equal(refusal, H1_REFUSE_FIELDS_TOO_MANY);
    free(fits);
    free(over);
}

static int find_end_bytewise(const char *bytes, uint32_t length, uint32_t limit)
{
    uint32_t scanned = 0, head_length = 0;
    int answer = ERR_PARTIAL;
    for (uint32_t i = 1; i <= length && answer == ERR_PARTIAL; i++)
        answer = h1_head_find_end(guarded_copy(bytes, i), i, limit, &scanned, &head_length);
    return answer;
}

static void the_limit_of_a_head_is_exact_however_it_arrives(void **state)
{
    const char *text = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    uint32_t length = (uint32_t)strlen(text);
    (void)state;
    for (uint32_t limit = 0; limit < length + 3; limit++) {
        uint32_t scanned = 0, head_length = 0;
        int expected = limit < length ? ERR_LIMIT : 0;
        assert_int_equal(h1_head_find_end(guarded_copy(text, length), length, limit, &scanned, &head_length),
                         expected);
        assert_int_equal(find_end_bytewise(text, length, limit), expected);
        if (limit < length) /* nothing is waited for that could not be taken */
            assert_int_equal(find_end_bytewise(text, limit, limit), limit > 0 ? ERR_LIMIT : ERR_PARTIAL);
    }
}

/* RFC 9112 section 3: 414, RFC 6585 section 5: 431. */
static void a_head_over_its_limit_is_explained_by_the_line_that_did_it(void **state)
{
    const char *text = "\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n";
    uint32_t length = (uint32_t)strlen(text);
    (void)state;
    assert_int_equal(h1_head_explain(text, length, 10), H1_REFUSE_URI_TOO_LONG);
    assert_int_equal(h1_head_explain(text, length, 25), H1_REFUSE_FIELDS_TOO_LARGE);
    assert_int_equal(h1_head_explain(text, 10, 10), H1_REFUSE_URI_TOO_LONG);
}

static void a_stray_control_byte_is_refused_as_soon_as_it_is_seen(void **state)
{
    static const char *const heads[] = {"GET / HTTP/1.1\n", "GET / HTTP/1.1\r\nA: b\rc", "GET /\x01",
                                        "\x16\x03"};
    (void)state;
    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++)
        assert_int_equal(find_end_bytewise(heads[i], (uint32_t)strlen(heads[i]), HEAD_LIMIT), ERR_SYNTAX);
}

/* Control bytes are looked for eight at a time: none may hide at any place in the eight. */
static void a_control_byte_is_found_at_every_place_of_a_value(void **state)
{
    static const char bad[] = {0x00, 0x01, 0x08, 0x0b, 0x1f, 0x7f};
    const char prefix[] = "GET / HTTP/1.1\r\nHost: a\r\nA: ";
    (void)state;
    for (size_t place = 0; place < 40; place++) {
        for (size_t i = 0; i < sizeof(bad); i++) {
            char text[sizeof(prefix) + 44];
            uint32_t scanned = 0, length = 0;
            struct h1_head head;
            enum h1_refusal refusal;
            memcpy(text, prefix, sizeof(prefix) - 1);
            for (size_t fill = 0; fill < 40; fill++) /* bytes from 0x80 on must not hide it */
                text[sizeof(prefix) - 1 + fill] = (char)(fill % 3 ? 'a' : 0xff);
            text[sizeof(prefix) - 1 + place] = bad[i];
            memcpy(text + sizeof(prefix) - 1 + 40, "\r\n\r\n", 4);
            uint32_t all = sizeof(prefix) - 1 + 44;
            assert_int_equal(h1_head_find_end(text, all, HEAD_LIMIT, &scanned, &length), ERR_SYNTAX);
            assert_int_equal(h1_head_parse(text, all, &head, &refusal), ERR_SYNTAX);
            assert_int_equal(refusal, H1_REFUSE_CONTROL_BYTE);
        }
    }
}

static void fields_are_found_by_name_in_any_case(void **state)
{
    struct h1_head head = accepted("GET / HTTP/1.1\r\nHost: a\r\nX-One: 1\r\nx-one: 2\r\n\r\n");
    (void)state;
    const struct h1_field *field = h1_field_find(&head, SLICE_LITERAL("X-ONE"));
    assert_non_null(field);
    assert_slice(field->value, "1");
    assert_null(h1_field_find(&head, SLICE_LITERAL("X-On")));
    assert_null(h1_field_find(&head, ABSENT));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plain_request_is_taken_apart),
        cmocka_unit_test(methods_are_told_apart_by_their_exact_letters),
        cmocka_unit_test(every_form_of_target_is_understood),
        cmocka_unit_test(options_for_a_whole_server_may_come_as_a_uri),
        cmocka_unit_test(hosts_are_names_or_addresses_with_an_optional_port),
        cmocka_unit_test(a_host_name_may_have_255_bytes_and_no_more),
        cmocka_unit_test(http_1_0_may_leave_out_the_host),
        cmocka_unit_test(a_later_minor_version_is_read_as_1_1),
        cmocka_unit_test(one_empty_line_before_a_request_is_tolerated),
        cmocka_unit_test(values_may_hold_tabs_and_bytes_beyond_ascii),
        cmocka_unit_test(the_length_of_a_body_is_read_up_to_the_largest),
        cmocka_unit_test(a_chunked_body_is_announced_in_any_spelling),
        cmocka_unit_test(the_connection_stays_open_as_version_and_options_say),
        cmocka_unit_test(an_upgrade_must_be_named_by_connection),
        cmocka_unit_test(a_client_is_told_to_continue_only_if_it_waits_with_a_body),
        cmocka_unit_test(what_follows_a_head_is_left_alone),
        cmocka_unit_test(bytes_behind_the_head_are_not_parsed_into_it),
        cmocka_unit_test(a_head_may_have_100_fields_and_no_more),
        cmocka_unit_test(the_limit_of_a_head_is_exact_however_it_arrives),
        cmocka_unit_test(a_head_over_its_limit_is_explained_by_the_line_that_did_it),
        cmocka_unit_test(a_stray_control_byte_is_refused_as_soon_as_it_is_seen),
        cmocka_unit_test(a_control_byte_is_found_at_every_place_of_a_value),
        cmocka_unit_test(fields_are_found_by_name_in_any_case),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
