#include "core/client_net.h"

#include "unit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

static struct sockaddr_storage address_of(const char *text)
{
    struct sockaddr_storage storage = {0};
    if (strchr(text, ':')) {
        struct sockaddr_in6 ipv6 = {.sin6_family = AF_INET6, .sin6_port = htons(443)};
        assert_int_equal(inet_pton(AF_INET6, text, &ipv6.sin6_addr), 1);
        memcpy(&storage, &ipv6, sizeof ipv6);
    } else {
        struct sockaddr_in ipv4 = {.sin_family = AF_INET, .sin_port = htons(80)};
        assert_int_equal(inet_pton(AF_INET, text, &ipv4.sin_addr), 1);
        memcpy(&storage, &ipv4, sizeof ipv4);
    }
    return storage;
}

static int has(const char *net_text, const char *address_text)
{
    struct client_net net;
    struct sockaddr_storage address = address_of(address_text);
    assert_int_equal(client_net_parse(net_text, &net), 0);
    return client_net_has(&net, &address);
}

static void an_address_lies_in_the_nets_that_it_begins_like(void **state)
{
    (void)state;
    assert_true(has("10.0.0.0/8", "10.255.1.2"));
    assert_false(has("10.0.0.0/8", "11.0.0.0"));
    assert_true(has("10.64.0.0/10", "10.127.0.1"));
    assert_false(has("10.64.0.0/10", "10.128.0.1"));
    assert_true(has("127.0.0.1", "127.0.0.1"));
    assert_false(has("127.0.0.1", "127.0.0.2"));
    assert_true(has("0.0.0.0/0", "8.8.8.8"));
    assert_true(has("2001:db8::/33", "2001:db8:7fff::1"));
    assert_false(has("2001:db8::/33", "2001:db8:8000::1"));
    assert_true(has("::1", "::1"));
    assert_true(has("::/0", "fe80::1"));
}

static void the_two_families_are_not_mixed_but_mapped_addresses_are_ipv4(void **state)
{
    (void)state;
    assert_false(has("0.0.0.0/0", "::1"));
    assert_false(has("::/0", "1.2.3.4"));
    assert_true(has("10.0.0.0/8", "::ffff:10.1.2.3"));
    assert_false(has("::/0", "::ffff:10.1.2.3"));
    assert_true(has("::ffff:10.0.0.0/104", "10.1.2.3"));
}

static void unix_sockets_lie_in_no_net(void **state)
{
    struct sockaddr_storage address = {.ss_family = AF_UNIX};
    struct client_net net;
    (void)state;
    assert_int_equal(client_net_parse("0.0.0.0/0", &net), 0);
    assert_false(client_net_has(&net, NULL));
    assert_false(client_net_has(&net, &address));
}

static void what_is_no_net_is_refused(void **state)
{
    const char *const wrong[] = {"",
                                 "/8",
                                 "10.0.0.0/",
                                 "10.0.0.0/33",
                                 "10.0.0/8",
                                 "::/129",
                                 "localhost",
                                 "1.2.3.4.5",
                                 "10.0.0.0/-1",
                                 "10.0.0.0/8/8",
                                 "[::1]",
                                 "0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0001"};
    struct client_net net;
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_int_equal(client_net_parse(wrong[i], &net), ERR_SYNTAX);
}

static void assert_meant(const char *text, const char *meant)
{
    char memory[CLIENT_NET_TEXT_MAX];
    struct text out;
    struct client_net net;
    assert_int_equal(client_net_parse(text, &net), ERR_INVALID);
    text_init(&out, memory, sizeof memory);
    client_net_format(&net, &out);
    assert_string_equal(memory, meant);
}

static void bits_behind_the_length_are_an_error_with_the_net_that_was_meant(void **state)
{
    (void)state;
    assert_meant("10.1.2.3/8", "10.0.0.0/8");
    assert_meant("10.1.2.3/31", "10.1.2.2/31");
    assert_meant("2001:db8::1/32", "2001:db8::/32");
    assert_meant("1.2.3.4/0", "0.0.0.0/0");
}

static int contains(const char *outer_text, const char *inner_text)
{
    struct client_net outer, inner;
    assert_int_equal(client_net_parse(outer_text, &outer), 0);
    assert_int_equal(client_net_parse(inner_text, &inner), 0);
    return client_net_contains(&outer, &inner);
}

static void a_net_contains_those_that_are_part_of_it(void **state)
{
    (void)state;
    assert_true(contains("10.0.0.0/8", "10.1.0.0/16"));
    assert_true(contains("10.0.0.0/8", "10.0.0.0/8"));
    assert_false(contains("10.1.0.0/16", "10.0.0.0/8"));
    assert_false(contains("10.0.0.0/8", "11.0.0.0/16"));
    assert_false(contains("::/0", "10.0.0.0/8"));
}

static void addresses_are_shown_without_their_ports(void **state)
{
    char memory[64];
    struct text out;
    struct sockaddr_storage address = address_of("::ffff:10.1.2.3");
    (void)state;
    text_init(&out, memory, sizeof memory);
    client_address_format(&address, &out);
    assert_string_equal(memory, "10.1.2.3");
    assert_int_equal(client_port(&address), 443);
    address = address_of("2001:db8::1");
    text_init(&out, memory, sizeof memory);
    client_address_format(&address, &out);
    assert_string_equal(memory, "2001:db8::1");
    text_init(&out, memory, sizeof memory);
    client_address_format(NULL, &out);
    assert_string_equal(memory, "");
    assert_int_equal(client_port(NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_address_lies_in_the_nets_that_it_begins_like),
        cmocka_unit_test(the_two_families_are_not_mixed_but_mapped_addresses_are_ipv4),
        cmocka_unit_test(unix_sockets_lie_in_no_net),
        cmocka_unit_test(what_is_no_net_is_refused),
        cmocka_unit_test(bits_behind_the_length_are_an_error_with_the_net_that_was_meant),
        cmocka_unit_test(a_net_contains_those_that_are_part_of_it),
        cmocka_unit_test(addresses_are_shown_without_their_ports),
    };
    return cmocka_run_group_tests_name("client_net", tests, NULL, NULL);
}
