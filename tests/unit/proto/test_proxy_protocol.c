/* Headers of the PROXY protocol. Each that is accepted is also cut at every byte, followed by others, and has its bytes
 * changed one by one, against a guard page: nothing may be read past the end, and nothing cut may be accepted. */
#include "proto/proxy_protocol.h"

#include "guarded.h"
#include "unit.h"

#include <arpa/inet.h>
#include <string.h>

#define BYTES(...)                                                                                           \
    {                                                                                                        \
        __VA_ARGS__, sizeof(__VA_ARGS__) - 1                                                                 \
    }
#define V2 "\r\n\r\n\0\r\nQUIT\n"
#define IPV4_ADDRESSES "\xc0\0\2\1\xc6\x33\x64\2\xdc\4\1\xbb" /* 192.0.2.1:56324 to 198.51.100.2:443 */
#define IPV6_ADDRESSES                                                                                       \
    "\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\2\xdc\4\1\xbb"

static int parse(struct slice bytes, struct proxy_protocol_header *header, size_t *length,
                 enum proxy_protocol_refusal *refusal)
{
    return proxy_protocol_parse(guarded_copy(bytes.at, bytes.length), bytes.length, header, length, refusal);
}

static void assert_partial(struct slice bytes)
{
    struct proxy_protocol_header header;
    enum proxy_protocol_refusal refusal;
    size_t length;

    for (size_t cut = 0; cut < bytes.length; cut++)
        assert_int_equal(parse((struct slice){bytes.at, cut}, &header, &length, &refusal), ERR_PARTIAL);
}

static void assert_safe(struct slice bytes)
{
    char changed[PROXY_PROTOCOL_MAX];
    struct proxy_protocol_header header;
    enum proxy_protocol_refusal refusal;
    size_t length;

    for (size_t at = 0; at < bytes.length; at++)
        for (int value = 0; value < 256; value++) {
            memcpy(changed, bytes.at, bytes.length);
            changed[at] = (char)value;
            const int result = parse((struct slice){changed, bytes.length}, &header, &length, &refusal);
            assert_true(result == 0 || result == ERR_SYNTAX || result == ERR_PARTIAL);
            assert_true(length <= bytes.length || result);
            assert_int_equal(result == ERR_SYNTAX, refusal != PROXY_PROTOCOL_REFUSE_NOTHING);
        }
}

/* With the first bytes of the connection behind it, and without. */
static struct proxy_protocol_header accepted(struct slice bytes)
{
    static char memory[PROXY_PROTOCOL_MAX + 16];
    struct proxy_protocol_header header;
    enum proxy_protocol_refusal refusal;
    size_t length;

    assert_partial(bytes);
    assert_safe(bytes);
    memcpy(memory, bytes.at, bytes.length);
    memcpy(memory + bytes.length, "GET / HTTP/1.1\r\n", 16);
    assert_int_equal(parse((struct slice){memory, bytes.length + 16}, &header, &length, &refusal), 0);
    assert_int_equal(length, bytes.length);
    assert_int_equal(parse(bytes, &header, &length, &refusal), 0);
    assert_int_equal(length, bytes.length);
    assert_int_equal(refusal, PROXY_PROTOCOL_REFUSE_NOTHING);
    return header;
}

static void assert_refused(struct slice bytes, enum proxy_protocol_refusal why)
{
    struct proxy_protocol_header header;
    enum proxy_protocol_refusal refusal;
    size_t length;

    assert_int_equal(parse(bytes, &header, &length, &refusal), ERR_SYNTAX);
    assert_int_equal(refusal, why);
    assert_true(proxy_protocol_refusal_text(refusal)[0]);
}

static void assert_ends(const struct proxy_protocol_header *header, const char *source,
                        const char *destination)
{
    char text[INET6_ADDRSTRLEN];

    assert_non_null(inet_ntop(AF_INET6, header->source, text, sizeof text));
    assert_string_equal(text, source);
    assert_non_null(inet_ntop(AF_INET6, header->destination, text, sizeof text));
    assert_string_equal(text, destination);
    assert_int_equal(header->source_port, 56324);
    assert_int_equal(header->destination_port, 443);
}

/* --- version 1 --- */

static void a_line_names_ipv4_clients(void **state)
{
    const struct proxy_protocol_header header =
        accepted(SLICE_LITERAL("PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n"));
    (void)state;

    assert_int_equal(header.version, PROXY_PROTOCOL_V1);
    assert_int_equal(header.family, PROXY_PROTOCOL_IPV4);
    assert_int_equal(header.is_local, 0);
    assert_ends(&header, "::ffff:192.0.2.1", "::ffff:198.51.100.2");
}

static void a_line_names_ipv6_clients(void **state)
{
    const struct proxy_protocol_header header =
        accepted(SLICE_LITERAL("PROXY TCP6 2001:db8::1 2001:DB8:0:0:0:0:0:2 56324 443\r\n"));
    (void)state;

    assert_int_equal(header.family, PROXY_PROTOCOL_IPV6);
    assert_ends(&header, "2001:db8::1", "2001:db8::2");
}

static void a_line_of_the_greatest_length_is_accepted(void **state)
{
    static const char longest[] = "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
                                  "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n";
    (void)state;

    assert_int_equal(sizeof longest - 1, PROXY_PROTOCOL_V1_MAX);
    assert_int_equal(accepted(SLICE_LITERAL(longest)).family, PROXY_PROTOCOL_UNKNOWN);
    assert_int_equal(accepted(SLICE_LITERAL("PROXY UNKNOWN\r\n")).family, PROXY_PROTOCOL_UNKNOWN);
}

static void lines_that_are_not_quite_right_are_refused(void **state)
{
    static const struct {
        struct slice line;
        enum proxy_protocol_refusal why;
    } cases[] = {
        {BYTES("GET / HTTP/1.1\r\n"), PROXY_PROTOCOL_REFUSE_NO_HEADER},
        {BYTES("POST / HTTP/1.1\r\n"), PROXY_PROTOCOL_REFUSE_NO_HEADER},
        {BYTES("proxy TCP4 192.0.2.1 198.51.100.2 56324 443\r\n"), PROXY_PROTOCOL_REFUSE_NO_HEADER},
        {BYTES(" PROXY UNKNOWN\r\n"), PROXY_PROTOCOL_REFUSE_NO_HEADER},
        {BYTES("PROXY\tUNKNOWN\r\n"), PROXY_PROTOCOL_REFUSE_NO_HEADER},
        {BYTES("PROXY \r\n"), PROXY_PROTOCOL_REFUSE_PROTOCOL},
        {BYTES("PROXY  TCP4 192.0.2.1 198.51.100.2 56324 443\r\n"), PROXY_PROTOCOL_REFUSE_PROTOCOL},
        {BYTES("PROXY UDP4 192.0.2.1 198.51.100.2 56324 443\r\n"), PROXY_PROTOCOL_REFUSE_PROTOCOL},
        {BYTES("PROXY unknown\r\n"), PROXY_PROTOCOL_REFUSE_PROTOCOL},
        {BYTES("PROXY UNKNOWN\n"), PROXY_PROTOCOL_REFUSE_LINE},
        {BYTES("PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\n"), PROXY_PROTOCOL_REFUSE_LINE},
        {BYTES("PROXY TCP4 192.0.2.1 198.51.100.2 56324\r\n"), PROXY_PROTOCOL_REFUSE_LINE},
        {BYTES("PROXY TCP4 192.0.2.1 198.51.100.2 56324 443 \r\n"), PROXY_PROTOCOL_REFUSE_LINE},
        {BYTES("PROXY TCP4 192.0.2.1 198.51.100.2 56324 443 1 2\r\n"), PROXY_PROTOCOL_REFUSE_LINE},
        {BYTES("PROXY TCP4 192.0.2.1  198.51.100.2 56324 443\r\n"), PROXY_PROTOCOL_REFUSE_LINE},
        {BYTES("PROXY TCP4 192.0.2.256 198.51.100.2 56324 443\r\n"), PROXY_PROTOCOL_REFUSE_ADDRESS},
        {BYTES("PROXY TCP4 192.0.2.01 198.51.100.2 56324 443\r\n"), PROXY_PROTOCOL_REFUSE_ADDRESS},
        {BYTES("PROXY TCP4 192.0.2 198.51.100.2 56324 443\r\n"), PROXY_PROTOCOL_REFUSE_ADDRESS},
        {BYTES("PROXY TCP4 192.0.2.1\0 198.51.100.2 56324 443\r\n"), PROXY_PROTOCOL_REFUSE_ADDRESS},
        {BYTES("PROXY TCP4 2001:db8::1 2001:db8::2 56324 443\r\n"), PROXY_PROTOCOL_REFUSE_ADDRESS},
        {BYTES("PROXY TCP6 192.0.2.1 198.51.100.2 56324 443\r\n"), PROXY_PROTOCOL_REFUSE_ADDRESS},
        {BYTES("PROXY TCP6 2001:db8::1::2 2001:db8::2 56324 443\r\n"), PROXY_PROTOCOL_REFUSE_ADDRESS},
        {BYTES("PROXY TCP6 fe80::1%eth0 2001:db8::2 56324 443\r\n"), PROXY_PROTOCOL_REFUSE_ADDRESS},
        {BYTES("PROXY TCP4 192.0.2.1 198.51.100.2 65536 443\r\n"), PROXY_PROTOCOL_REFUSE_PORT},
        {BYTES("PROXY TCP4 192.0.2.1 198.51.100.2 056324 443\r\n"), PROXY_PROTOCOL_REFUSE_PORT},
        {BYTES("PROXY TCP4 192.0.2.1 198.51.100.2 +1 443\r\n"), PROXY_PROTOCOL_REFUSE_PORT},
        {BYTES("PROXY TCP4 192.0.2.1 198.51.100.2 56324 \r\n"), PROXY_PROTOCOL_REFUSE_PORT},
    };
    char endless[PROXY_PROTOCOL_V1_MAX];
    (void)state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_refused(cases[i].line, cases[i].why);
    memset(endless, 'x', sizeof endless);
    memcpy(endless, "PROXY UNKNOWN ", 14);
    assert_partial((struct slice){endless, sizeof endless});
    assert_refused((struct slice){endless, sizeof endless}, PROXY_PROTOCOL_REFUSE_TOO_LONG);
}

/* --- version 2 --- */

static void bytes_name_ipv4_clients(void **state)
{
    static const struct slice bytes = BYTES(V2 "\x21\x11\0\x0c" IPV4_ADDRESSES);
    const struct proxy_protocol_header header = accepted(bytes);
    (void)state;

    assert_int_equal(header.version, PROXY_PROTOCOL_V2);
    assert_int_equal(header.family, PROXY_PROTOCOL_IPV4);
    assert_ends(&header, "::ffff:192.0.2.1", "::ffff:198.51.100.2");
}

static void bytes_name_ipv6_clients(void **state)
{
    static const struct slice bytes = BYTES(V2 "\x21\x21\0\x24" IPV6_ADDRESSES);
    const struct proxy_protocol_header header = accepted(bytes);
    (void)state;

    assert_int_equal(header.family, PROXY_PROTOCOL_IPV6);
    assert_ends(&header, "2001:db8::1", "2001:db8::2");
}

static void a_client_on_a_unix_socket_has_no_address(void **state)
{
    char bytes[16 + 216];
    struct proxy_protocol_header header;
    (void)state;

    memset(bytes, 0, sizeof bytes);
    memcpy(bytes,
           V2 "\x21\x31\0\xd8"
              "/run/a",
           16 + 6);
    header = accepted((struct slice){bytes, sizeof bytes});
    assert_int_equal(header.family, PROXY_PROTOCOL_UNIX);
    assert_memory_equal(header.source, (uint8_t[16]){0}, 16);
}

/* A proxy's own connection: whatever it says of addresses does not count. */
static void a_local_connection_speaks_for_itself(void **state)
{
    static const struct slice plain = BYTES(V2 "\x20\0\0\0"), odd = BYTES(V2 "\x20\x11\0\x0c" IPV4_ADDRESSES),
                              stranger = BYTES(V2 "\x20\xff\0\3xyz");
    struct proxy_protocol_header header = accepted(plain);
    (void)state;

    assert_int_equal(header.is_local, 1);
    assert_int_equal(header.family, PROXY_PROTOCOL_UNKNOWN);
    header = accepted(odd);
    assert_int_equal(header.is_local, 1);
    assert_int_equal(header.family, PROXY_PROTOCOL_UNKNOWN);
    assert_int_equal(accepted(stranger).is_local, 1);
}

static void a_client_may_be_unknown(void **state)
{
    static const struct slice bytes = BYTES(V2 "\x21\0\0\4\1\0\1h");
    const struct proxy_protocol_header header = accepted(bytes);
    (void)state;

    assert_int_equal(header.is_local, 0);
    assert_int_equal(header.family, PROXY_PROTOCOL_UNKNOWN);
    assert_true(slice_equals(header.alpn, SLICE_LITERAL("h")));
}

/* The checksum is that of the header with 0 in its place (RFC 3720 appendix B.4). */
static void what_is_said_beyond_addresses_is_taken(void **state)
{
    static const struct slice bytes = BYTES(V2 "\x21\x11\0\x35" IPV4_ADDRESSES "\1\0\2h2" /* ALPN */
                                               "\2\0\x0b"
                                               "example.com" /* authority */
                                               "\4\0\3"
                                               "abc"                /* nothing: NOOP */
                                               "\x20\0\5\1\0\0\0\0" /* TLS, which is not read */
                                               "\5\0\2id"           /* unique id */
                                               "\xea\0\0");         /* somebody's own */
    const struct proxy_protocol_header header = accepted(bytes);
    (void)state;

    assert_true(slice_equals(header.alpn, SLICE_LITERAL("h2")));
    assert_true(slice_equals(header.authority, SLICE_LITERAL("example.com")));
    assert_true(slice_equals(header.unique_id, SLICE_LITERAL("id")));
    assert_ends(&header, "::ffff:192.0.2.1", "::ffff:198.51.100.2");
}

static void a_checksum_is_verified(void **state)
{
    static const struct slice good = BYTES(V2 "\x21\x11\0\x13" IPV4_ADDRESSES "\3\0\4"
                                              "\x20\xec\x95\x49");
    char bad[64];
    (void)state;

    (void)accepted(good);
    for (size_t bit = 16 * 8; bit < good.length * 8; bit++) {
        struct proxy_protocol_header header;
        enum proxy_protocol_refusal refusal;
        size_t length;

        memcpy(bad, good.at, good.length);
        bad[bit / 8] = (char)(bad[bit / 8] ^ 1 << bit % 8);
        if (bit / 8 >= 28 && bit / 8 < 31) /* then it is another TLV */
            continue;
        assert_int_equal(parse((struct slice){bad, good.length}, &header, &length, &refusal), ERR_SYNTAX);
        assert_int_equal(refusal, PROXY_PROTOCOL_REFUSE_CHECKSUM);
    }
}

static void bytes_that_are_not_quite_right_are_refused(void **state)
{
    static const struct {
        struct slice bytes;
        enum proxy_protocol_refusal why;
    } cases[] = {
        {BYTES("\r\n\r\n\0\r\nQUIX"), PROXY_PROTOCOL_REFUSE_NO_HEADER},
        {BYTES("\r\n\r\nG"), PROXY_PROTOCOL_REFUSE_NO_HEADER},
        {BYTES(V2 "\x11"), PROXY_PROTOCOL_REFUSE_VERSION},
        {BYTES(V2 "\x31"), PROXY_PROTOCOL_REFUSE_VERSION},
        {BYTES(V2 "\x22"), PROXY_PROTOCOL_REFUSE_COMMAND},
        {BYTES(V2 "\x21\x41"), PROXY_PROTOCOL_REFUSE_TRANSPORT},
        {BYTES(V2 "\x21\x12"), PROXY_PROTOCOL_REFUSE_TRANSPORT},
        {BYTES(V2 "\x21\x10"), PROXY_PROTOCOL_REFUSE_TRANSPORT},
        {BYTES(V2 "\x21\x13"), PROXY_PROTOCOL_REFUSE_TRANSPORT},
        {BYTES(V2 "\x21\1"), PROXY_PROTOCOL_REFUSE_TRANSPORT},
        {BYTES(V2 "\x21\x11\x0f\xf1"), PROXY_PROTOCOL_REFUSE_TOO_LONG},
        {BYTES(V2 "\x20\0\xff\xff"), PROXY_PROTOCOL_REFUSE_TOO_LONG},
        {BYTES(V2 "\x21\x11\0\x0b" IPV4_ADDRESSES), PROXY_PROTOCOL_REFUSE_TOO_SHORT},
        {BYTES(V2 "\x21\x21\0\x0c" IPV4_ADDRESSES), PROXY_PROTOCOL_REFUSE_TOO_SHORT},
        {BYTES(V2 "\x21\x31\0\x0c" IPV4_ADDRESSES), PROXY_PROTOCOL_REFUSE_TOO_SHORT},
        {BYTES(V2 "\x21\x11\0\x0d" IPV4_ADDRESSES "\4"), PROXY_PROTOCOL_REFUSE_TLV},
        {BYTES(V2 "\x21\x11\0\x0e" IPV4_ADDRESSES "\4\0"), PROXY_PROTOCOL_REFUSE_TLV},
        {BYTES(V2 "\x21\x11\0\x0f" IPV4_ADDRESSES "\4\0\1"
                  "x"),
         PROXY_PROTOCOL_REFUSE_TLV},
        {BYTES(V2 "\x21\x11\0\x10" IPV4_ADDRESSES "\4\xff\xff"
                  "x"),
         PROXY_PROTOCOL_REFUSE_TLV},
        {BYTES(V2 "\x21\x11\0\x12" IPV4_ADDRESSES "\3\0\3"
                  "abc"),
         PROXY_PROTOCOL_REFUSE_CHECKSUM},
        {BYTES(V2 "\x21\x11\0\x13" IPV4_ADDRESSES "\3\0\4"
                  "\0\0\0\0"),
         PROXY_PROTOCOL_REFUSE_CHECKSUM},
    };
    (void)state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_refused(cases[i].bytes, cases[i].why);
}

static void the_greatest_length_fits_and_one_byte_more_does_not(void **state)
{
    char bytes[PROXY_PROTOCOL_MAX];
    struct proxy_protocol_header header;
    enum proxy_protocol_refusal refusal;
    size_t length;
    (void)state;

    memset(bytes, 0, sizeof bytes);
    memcpy(bytes, V2 "\x21\x11\x0f\xf0" IPV4_ADDRESSES "\4\x0f\xe1", 16 + 12 + 3);
    assert_int_equal(parse((struct slice){bytes, sizeof bytes}, &header, &length, &refusal), 0);
    assert_int_equal(length, PROXY_PROTOCOL_MAX);
    assert_int_equal(parse((struct slice){bytes, sizeof bytes - 1}, &header, &length, &refusal), ERR_PARTIAL);
    bytes[15] = (char)0xf1;
    assert_refused((struct slice){bytes, 16}, PROXY_PROTOCOL_REFUSE_TOO_LONG);
}

static void a_unique_id_has_128_bytes_at_most(void **state)
{
    char bytes[16 + 12 + 3 + PROXY_PROTOCOL_UNIQUE_MAX + 1];
    (void)state;

    memset(bytes, 'i', sizeof bytes);
    memcpy(bytes, V2 "\x21\x11\0\x8f" IPV4_ADDRESSES "\5\0\x80", 16 + 12 + 3);
    assert_int_equal(accepted((struct slice){bytes, sizeof bytes - 1}).unique_id.length, 128);
    memcpy(bytes, V2 "\x21\x11\0\x90" IPV4_ADDRESSES "\5\0\x81", 16 + 12 + 3);
    assert_refused((struct slice){bytes, sizeof bytes}, PROXY_PROTOCOL_REFUSE_TLV);
}

/* --- making --- */

static void assert_comes_back(const struct proxy_protocol_header *header)
{
    char bytes[PROXY_PROTOCOL_MADE_MAX];
    const size_t length = proxy_protocol_make(header, bytes);
    struct proxy_protocol_header again;

    assert_true(length <= sizeof bytes);
    again = accepted((struct slice){bytes, length});
    assert_int_equal(again.version, header->version);
    assert_int_equal(again.family, header->family);
    assert_int_equal(again.is_local, header->version == PROXY_PROTOCOL_V2 && header->is_local);
    assert_memory_equal(again.source, header->source, 16);
    assert_memory_equal(again.destination, header->destination, 16);
    assert_int_equal(again.source_port, header->source_port);
    assert_int_equal(again.destination_port, header->destination_port);
}

static void what_is_made_is_what_is_read(void **state)
{
    struct proxy_protocol_header header = {.source_port = 65535, .destination_port = 0};
    (void)state;

    for (int version = PROXY_PROTOCOL_V1; version <= PROXY_PROTOCOL_V2; version++) {
        header.version = (enum proxy_protocol_version)version;
        header.family = PROXY_PROTOCOL_IPV6;
        memset(header.source, 0xff, 16);
        memset(header.destination, 0xee, 16);
        assert_comes_back(&header);
        header.family = PROXY_PROTOCOL_IPV4;
        memset(header.source, 0, 10);
        memset(header.destination, 0, 10);
        header.destination[10] = header.destination[11] = 0xff;
        assert_comes_back(&header);
        header.family = PROXY_PROTOCOL_IPV6; /* one of both in its IPv6 form */
        assert_comes_back(&header);
        assert_comes_back(&(struct proxy_protocol_header){.version = header.version});
        assert_comes_back(&(struct proxy_protocol_header){.version = header.version, .is_local = 1});
    }
}

static void a_line_is_made_as_it_is_always_written(void **state)
{
    struct proxy_protocol_header header = {.version = PROXY_PROTOCOL_V1,
                                           .family = PROXY_PROTOCOL_IPV4,
                                           .source = {[10] = 0xff, 0xff, 192, 0, 2, 1},
                                           .destination = {[10] = 0xff, 0xff, 198, 51, 100, 2},
                                           .source_port = 56324,
                                           .destination_port = 443};
    static const char line[] = "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n";
    char bytes[PROXY_PROTOCOL_MADE_MAX];
    (void)state;

    assert_int_equal(proxy_protocol_make(&header, bytes), sizeof line - 1);
    assert_memory_equal(bytes, line, sizeof line - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_names_ipv4_clients),
        cmocka_unit_test(a_line_names_ipv6_clients),
        cmocka_unit_test(a_line_of_the_greatest_length_is_accepted),
        cmocka_unit_test(lines_that_are_not_quite_right_are_refused),
        cmocka_unit_test(bytes_name_ipv4_clients),
        cmocka_unit_test(bytes_name_ipv6_clients),
        cmocka_unit_test(a_client_on_a_unix_socket_has_no_address),
        cmocka_unit_test(a_local_connection_speaks_for_itself),
        cmocka_unit_test(a_client_may_be_unknown),
        cmocka_unit_test(what_is_said_beyond_addresses_is_taken),
        cmocka_unit_test(a_checksum_is_verified),
        cmocka_unit_test(bytes_that_are_not_quite_right_are_refused),
        cmocka_unit_test(the_greatest_length_fits_and_one_byte_more_does_not),
        cmocka_unit_test(a_unique_id_has_128_bytes_at_most),
        cmocka_unit_test(what_is_made_is_what_is_read),
        cmocka_unit_test(a_line_is_made_as_it_is_always_written),
    };

    return cmocka_run_group_tests_name("proxy_protocol", tests, NULL, NULL);
}
