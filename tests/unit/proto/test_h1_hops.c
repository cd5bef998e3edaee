/* Which fields pass a proxy: RFC 9110 sections 7.6.1 and 6.5.1. */
#include "proto/h1.h"
#include "unit.h"

static int is_hop(const char *name, const char *first, const char *second)
{
    const struct h1_field fields[] = {
        {slice_of("Host"), slice_of("a")},
        {slice_of("connection"), slice_of(first)},
        {slice_of("X-Connection"), slice_of("X-Other")},
        {slice_of("Connection"), slice_of(second)},
    };
    return h1_hop_by_hop(fields, sizeof(fields) / sizeof(fields[0]), slice_of(name));
}

static void what_belongs_to_the_connection_stops_there(void **state)
{
    static const char *const hops[] = {"Connection", "KEEP-ALIVE", "Proxy-Connection",
                                       "te",         "Upgrade",    "Transfer-Encoding"};
    (void)state;
    for (size_t i = 0; i < sizeof(hops) / sizeof(hops[0]); i++) {
        assert_true(h1_hop_by_hop(NULL, 0, slice_of(hops[i])));
        assert_true(is_hop(hops[i], "", ""));
    }
}

static void everything_else_passes(void **state)
{
    static const char *const names[] = {"Host",
                                        "Content-Length",
                                        "Trailer",
                                        "Accept",
                                        "Proxy-Authorization",
                                        "Proxy-Authenticate",
                                        "X-Keep-Alive",
                                        "Keep",
                                        "Connections",
                                        "T",
                                        "TEE",
                                        "Sec-WebSocket-Key",
                                        "Via",
                                        "X-Other",
                                        ""};
    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        assert_false(is_hop(names[i], "close, x-a", "X-B"));
}

static void what_connection_names_stops_on_whichever_line_it_stands(void **state)
{
    (void)state;
    assert_true(is_hop("X-A", "close, x-a", "X-B"));
    assert_true(is_hop("x-b", "close, x-a", "X-B"));
    assert_false(is_hop("X-C", "close, x-a", "X-B"));
    assert_false(is_hop("X", "close, x-a", "X-B"));
    assert_true(is_hop("Close", "close", ""));
}

/* A client that names them would take them away from the server behind the proxy. */
static void what_is_meant_for_everybody_cannot_be_named_away(void **state)
{
    static const char *const names[] = {
        "Host",
        "Content-Length",
        "content-type",
        "Content-Encoding",
        "Content-Range",
        "Content-MD5",
        "Expect",
        "Range",
        "Trailer",
        "Cache-Control",
        "Authorization",
        "Cookie",
        "Set-Cookie",
        "Date",
        "Via",
        "Forwarded",
        "X-Forwarded-For",
        "X-Real-IP",
        "x-forwarded-proto",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        assert_false(is_hop(names[i], names[i], names[i]));
}

static void trailers_cannot_say_what_had_to_be_known_before(void **state)
{
    static const char *const kept[] = {"Connection", "Transfer-Encoding", "TE",
                                       "Upgrade",    "Content-Length",    "content-type",
                                       "Host",       "Trailer",           "Authorization",
                                       "Set-Cookie", "If-Match",          "Cache-Control",
                                       "Location",   "X-Forwarded-For",   "Proxy-Authenticate"};
    static const char *const passed[] = {"Server-Timing", "Digest",     "grpc-status",
                                         "ETag",          "X-Checksum", "If"};
    (void)state;
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
        assert_false(h1_trailer_may_pass(slice_of(kept[i])));
    for (size_t i = 0; i < sizeof(passed) / sizeof(passed[0]); i++)
        assert_true(h1_trailer_may_pass(slice_of(passed[i])));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_belongs_to_the_connection_stops_there),
        cmocka_unit_test(everything_else_passes),
        cmocka_unit_test(what_connection_names_stops_on_whichever_line_it_stands),
        cmocka_unit_test(what_is_meant_for_everybody_cannot_be_named_away),
        cmocka_unit_test(trailers_cannot_say_what_had_to_be_known_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
