/* The head that is sent on: what of the client's it keeps, what it replaces, what it leaves out. */
#include "handler/proxy/request_text.h"

#include "unit.h"

#include <string.h>

static struct h1_head head;
static struct request_text text;
static char made[8192], bytes[8192];

static void parse(const char *request)
{
    static char path[4096];
    enum h1_refusal refusal;
    uint32_t length;

    strcpy(bytes, request);
    assert_int_equal(h1_head_parse(bytes, (uint32_t)strlen(bytes), &head, &refusal), 0);
    assert_int_equal(h1_path_decode(head.path, path, sizeof path, &length), 0);
    text = (struct request_text){.request = &head,
                                 .path = {path, length},
                                 .query = head.query,
                                 .server = SLICE_LITERAL("10.0.0.1:3000"),
                                 .peer = SLICE_LITERAL("192.0.2.1"),
                                 .scheme = SLICE_LITERAL("http"),
                                 .trace = SLICE_LITERAL("00-t-p-00"),
                                 .id = SLICE_LITERAL("id-1"),
                                 .is_kept = 1};
}

static const char *make(void)
{
    struct text out;

    text_init(&out, made, sizeof made);
    assert_int_equal(request_text_make(&text, &out), 0);
    return made;
}

#define assert_has(line) assert_non_null(strstr(make(), "\r\n" line "\r\n"))
#define assert_lacks(word) assert_null(strcasestr(make(), word))
#define assert_begins(line) assert_memory_equal(make(), line "\r\n", sizeof(line "\r\n") - 1)

static void a_plain_request_gets_what_the_next_server_has_to_know(void **state)
{
    (void)state;
    parse("GET /a?b HTTP/1.1\r\nHost: example.com:81\r\nAccept: */*\r\n\r\n");
    assert_string_equal(make(), "GET /a?b HTTP/1.1\r\n"
                                "Host: example.com:81\r\n"
                                "Accept: */*\r\n"
                                "X-Forwarded-For: 192.0.2.1\r\n"
                                "X-Forwarded-Proto: http\r\n"
                                "X-Forwarded-Host: example.com:81\r\n"
                                "Forwarded: for=192.0.2.1;host=\"example.com:81\";proto=http\r\n"
                                "Via: 1.1 holdfast\r\n"
                                "traceparent: 00-t-p-00\r\n"
                                "X-Request-Id: id-1\r\n"
                                "\r\n");
}

static void a_path_is_sent_as_the_client_wrote_it_unless_we_read_it_otherwise(void **state)
{
    static const struct {
        const char *request, *line;
    } cases[] = {
        {"GET /%41%20b/;x=%22 HTTP/1.1\r\nHost: a\r\n\r\n", "GET /%41%20b/;x=%22 HTTP/1.1"},
        {"GET /a//b HTTP/1.1\r\nHost: a\r\n\r\n", "GET /a/b HTTP/1.1"},
        {"GET //evil.example/ HTTP/1.1\r\nHost: a\r\n\r\n", "GET /evil.example/ HTTP/1.1"},
        {"GET /a/../b%20c HTTP/1.1\r\nHost: a\r\n\r\n", "GET /b%20c HTTP/1.1"},
        {"GET /a/%2e%2E/b HTTP/1.1\r\nHost: a\r\n\r\n", "GET /b HTTP/1.1"},
        {"GET /a/.b/..c/... HTTP/1.1\r\nHost: a\r\n\r\n", "GET /a/.b/..c/... HTTP/1.1"},
        {"GET /a? HTTP/1.1\r\nHost: a\r\n\r\n", "GET /a? HTTP/1.1"},
        {"GET http://b?x HTTP/1.1\r\nHost: a\r\n\r\n", "GET /?x HTTP/1.1"},
    };
    (void)state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        parse(cases[i].request);
        assert_memory_equal(make(), cases[i].line, strlen(cases[i].line));
    }
}

static void an_edited_path_is_sent_encoded(void **state)
{
    (void)state;
    parse("GET /old?q HTTP/1.1\r\nHost: a\r\n\r\n");
    text.is_edited = 1;
    text.path = SLICE_LITERAL("/new one\r\nX: y");
    text.query = SLICE_LITERAL("z=1");
    assert_begins("GET /new%20one%0D%0AX%3A%20y?z=1 HTTP/1.1");
}

static void the_host_is_the_clients_or_the_configurations_or_the_servers(void **state)
{
    (void)state;
    parse("GET / HTTP/1.0\r\n\r\n");
    assert_has("Host: 10.0.0.1:3000");
    assert_lacks("X-Forwarded-Host");
    text.host = SLICE_LITERAL("app.example");
    assert_has("Host: app.example");
    parse("GET http://named.example/ HTTP/1.1\r\nHost: other.example\r\n\r\n");
    assert_has("Host: named.example"); /* RFC 9112 section 3.2.2 */
    assert_lacks("other.example");
}

static void what_belongs_to_the_clients_connection_stays_behind(void **state)
{
    (void)state;
    parse("GET / HTTP/1.1\r\nHost: a\r\nConnection: close, X-Mine, Cookie\r\nX-Mine: 1\r\nCookie: c=1\r\n"
          "Keep-Alive: 5\r\nProxy-Connection: close\r\nTE: trailers;q=1, deflate\r\n\r\n");
    assert_lacks("X-Mine");
    assert_lacks("Keep-Alive");
    assert_lacks("Proxy-Connection");
    assert_lacks("close");
    assert_has("Cookie: c=1"); /* naming that is no legal option */
}

static void framing_is_written_anew(void **state)
{
    (void)state;
    parse("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 007\r\n\r\n");
    assert_has("Content-Length: 7");
    parse("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n");
    assert_has("Transfer-Encoding: chunked");
    assert_lacks("Content-Length");
    parse("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    assert_has("Content-Length: 0");
}

static void trailers_are_asked_for_by_who_wants_them(void **state)
{
    (void)state;
    parse("GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\n\r\n");
    assert_has("TE: trailers\r\nConnection: TE");
    text.is_kept = 0;
    assert_has("TE: trailers\r\nConnection: close, TE");
}

static void a_connection_that_is_not_kept_says_so(void **state)
{
    (void)state;
    parse("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_lacks("Connection");
    text.is_kept = 0;
    assert_has("Connection: close");
}

static void an_upgrade_is_passed_on_if_it_may_be_one(void **state)
{
    (void)state;
    parse("GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert_true(request_text_upgrades(&head));
    assert_has("Upgrade: websocket\r\nConnection: upgrade");
    parse("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n"); /* Connection does not name it */
    assert_false(request_text_upgrades(&head));
    assert_lacks("Upgrade");
    parse("POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\nContent-Length: 3\r\n\r\n");
    assert_false(request_text_upgrades(&head)); /* where would the other protocol begin? */
    parse("GET / HTTP/1.0\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
    assert_false(request_text_upgrades(&head));
    parse("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade:\r\n\r\n");
    assert_false(request_text_upgrades(&head));
}

static void nobody_goes_around_the_routes_by_http_2(void **state)
{
    (void)state;
    parse("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: H2C\r\nHTTP2-Settings: "
          "AAMAAABk\r\n\r\n");
    assert_false(request_text_upgrades(&head));
    assert_lacks("Upgrade");
    parse("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket, h2c\r\n\r\n");
    assert_false(request_text_upgrades(&head));
}

static void only_who_waits_for_100_makes_the_next_server_send_it(void **state)
{
    (void)state;
    parse("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-Continue\r\n\r\n");
    assert_has("Expect: 100-continue");
    parse("POST / HTTP/1.0\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-continue, x\r\n\r\n");
    assert_lacks("Expect");
    parse("GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n");
    assert_lacks("Expect");
}

#define FORGED                                                                                               \
    "X-Forwarded-For: 1.1.1.1\r\nX_Forwarded_For: 2.2.2.2\r\nx-real-ip: 3.3.3.3\r\nForwarded: "              \
    "for=4.4.4.4\r\n"                                                                                        \
    "X-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Port: 1\r\n"

static void who_is_not_trusted_says_nothing_of_clients(void **state)
{
    (void)state;
    parse("GET / HTTP/1.1\r\nHost: a\r\n" FORGED "\r\n");
    assert_has("X-Forwarded-For: 192.0.2.1");
    assert_has("X-Forwarded-Proto: http");
    assert_has("X-Forwarded-Host: a");
    assert_has("Forwarded: for=192.0.2.1;host=\"a\";proto=http");
    assert_lacks("evil");
    for (char digit = '1'; digit <= '4'; digit++)
        assert_null(strstr(make(), (char[]){digit, '.', digit, '.', digit, '\0'}));
}

static void who_is_trusted_is_passed_on_and_added_to(void **state)
{
    (void)state;
    parse("GET / HTTP/1.1\r\nHost: a\r\n" FORGED "X-Forwarded-For: 5.5.5.5\r\n\r\n");
    text.believes = 1;
    assert_has("X-Forwarded-For: 1.1.1.1, 5.5.5.5, 192.0.2.1");
    assert_has("X-Forwarded-Proto: https");
    assert_has("X-Forwarded-Host: evil");
    assert_has("Forwarded: for=4.4.4.4, for=192.0.2.1;host=\"a\";proto=http");
    assert_lacks("2.2.2.2");
    assert_lacks("3.3.3.3");
}

static void addresses_are_written_as_the_fields_want_them(void **state)
{
    (void)state;
    parse("GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n");
    text.peer = SLICE_LITERAL("2001:db8::1");
    assert_has("X-Forwarded-For: 2001:db8::1");
    assert_has("Forwarded: for=\"[2001:db8::1]\";host=\"[::1]:80\";proto=http");
    text.peer = SLICE_LITERAL(""); /* of a Unix socket */
    assert_has("X-Forwarded-For: unknown");
    assert_has("Forwarded: for=unknown;host=\"[::1]:80\";proto=http");
}

static void a_trace_of_the_clients_goes_on_with_its_state(void **state)
{
    (void)state;
    parse("GET / HTTP/1.1\r\nHost: a\r\ntraceparent: theirs\r\ntracestate: a=1\r\ntracestate: b=2\r\n\r\n");
    assert_lacks("tracestate");
    assert_lacks("theirs");
    text.goes_on = 1;
    assert_has("tracestate: a=1\r\ntracestate: b=2");
}

static void every_proxy_on_the_way_is_named(void **state)
{
    (void)state;
    parse("GET / HTTP/1.0\r\nHost: a\r\nVia: 1.1 one\r\nVia:\r\nVia: 1.1 two\r\n\r\n");
    assert_has("Via: 1.1 one, 1.1 two, 1.0 holdfast");
}

static void forwards_are_counted_where_they_mean_something(void **state)
{
    (void)state;
    parse("TRACE / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 3\r\n\r\n");
    assert_has("Max-Forwards: 2");
    parse("GET / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 3\r\n\r\n");
    assert_lacks("Max-Forwards");
    parse("OPTIONS /a HTTP/1.1\r\nHost: a\r\nMax-Forwards: many\r\n\r\n");
    assert_lacks("Max-Forwards");
}

static void the_configuration_changes_what_is_sent_on(void **state)
{
    const char value[] = "theirs-not";
    const struct template_part part = {.text = {value, sizeof value - 1}};
    const struct template compiled = {.part_count = 1, .parts = &part};
    const struct route_header removed = {.change = ROUTE_HEADER_REMOVE, .name = SLICE_LITERAL("Cookie")};
    const struct route_header added = {&removed, ROUTE_HEADER_ADD, SLICE_LITERAL("X-More"), &compiled};
    const struct route_header ours = {&added, ROUTE_HEADER_SET, SLICE_LITERAL("x-forwarded-proto"),
                                      &compiled};
    const struct route_header set = {&ours, ROUTE_HEADER_SET, SLICE_LITERAL("X_Real-User"), &compiled};
    const struct route_context values = {0};
    (void)state;

    parse("GET / HTTP/1.1\r\nHost: a\r\nx-real-user: theirs\r\nX_REAL_USER: theirs\r\nX-More: kept\r\n"
          "Cookie: a=b\r\nConnection: X-More\r\nContent-Length: 5\r\n\r\n");
    text.changes = &set;
    text.values = &values;
    assert_has("X_Real-User: theirs-not");
    assert_has("x-forwarded-proto: theirs-not\r\nX-More: theirs-not");
    assert_has("Content-Length: 5");
    assert_lacks(": theirs\r\n");
    assert_lacks("kept");
    assert_lacks("Cookie");
    assert_lacks(": http\r\n");
    assert_begins("GET / HTTP/1.1\r\nHost: a");
}

static void what_does_not_fit_is_refused(void **state)
{
    const struct template_part part = {.text = SLICE_LITERAL("long")};
    const struct template compiled = {.part_count = 1, .parts = &part};
    const struct route_header change = {.name = SLICE_LITERAL("X-A"), .value = &compiled};
    char small[100];
    struct text out;
    (void)state;

    parse("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    text_init(&out, small, sizeof small);
    assert_int_equal(request_text_make(&text, &out), ERR_LIMIT);
    text.changes = &change;
    for (size_t size = 1; size < 700; size++) {
        text_init(&out, made, size);
        if (!request_text_make(&text, &out))
            break;
        assert_in_range(size, 1, 600);
    }
    assert_non_null(strstr(made, "\r\nX-A: long\r\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plain_request_gets_what_the_next_server_has_to_know),
        cmocka_unit_test(a_path_is_sent_as_the_client_wrote_it_unless_we_read_it_otherwise),
        cmocka_unit_test(an_edited_path_is_sent_encoded),
        cmocka_unit_test(the_host_is_the_clients_or_the_configurations_or_the_servers),
        cmocka_unit_test(what_belongs_to_the_clients_connection_stays_behind),
        cmocka_unit_test(framing_is_written_anew),
        cmocka_unit_test(trailers_are_asked_for_by_who_wants_them),
        cmocka_unit_test(a_connection_that_is_not_kept_says_so),
        cmocka_unit_test(an_upgrade_is_passed_on_if_it_may_be_one),
        cmocka_unit_test(nobody_goes_around_the_routes_by_http_2),
        cmocka_unit_test(only_who_waits_for_100_makes_the_next_server_send_it),
        cmocka_unit_test(who_is_not_trusted_says_nothing_of_clients),
        cmocka_unit_test(who_is_trusted_is_passed_on_and_added_to),
        cmocka_unit_test(addresses_are_written_as_the_fields_want_them),
        cmocka_unit_test(a_trace_of_the_clients_goes_on_with_its_state),
        cmocka_unit_test(every_proxy_on_the_way_is_named),
        cmocka_unit_test(forwards_are_counted_where_they_mean_something),
        cmocka_unit_test(the_configuration_changes_what_is_sent_on),
        cmocka_unit_test(what_does_not_fit_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
