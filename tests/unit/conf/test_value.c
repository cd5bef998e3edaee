#include "conf/value.h"

#include "unit.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

static void sizes_are_powers_of_1024(void **state)
{
    uint64_t bytes = 0;
    (void)state;
    assert_int_equal(conf_parse_size("0", &bytes), 0);
    assert_int_equal(bytes, 0);
    assert_int_equal(conf_parse_size("10k", &bytes), 0);
    assert_int_equal(bytes, 10240);
    assert_int_equal(conf_parse_size("3m", &bytes), 0);
    assert_int_equal(bytes, 3 * 1048576);
    assert_int_equal(conf_parse_size("2g", &bytes), 0);
    assert_true(bytes == 2147483648u);
    assert_int_equal(conf_parse_size("8589934591g", &bytes), 0);
    assert_int_equal(conf_parse_size("8589934592g", &bytes), ERR_LIMIT);
    assert_int_equal(conf_parse_size("99999999999999999999", &bytes), ERR_LIMIT);
    const char *const wrong[] = {"", "k", "10K", "10kb", "1.5k", "-1", "+1", "10 k", "0x10", "k10"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_int_equal(conf_parse_size(wrong[i], &bytes), ERR_SYNTAX);
}

static void durations_need_a_unit(void **state)
{
    const struct {
        const char *text;
        uint64_t ms;
    } right[] = {{"0s", 0},      {"250ms", 250},  {"10s", 10000},
                 {"3m", 180000}, {"2h", 7200000}, {"1d", 86400000}};
    uint64_t ms = 1;
    (void)state;
    for (size_t i = 0; i < sizeof right / sizeof right[0]; i++) {
        assert_int_equal(conf_parse_duration(right[i].text, &ms), 0);
        assert_true(ms == right[i].ms);
    }
    assert_int_equal(conf_parse_duration("10", &ms), ERR_INVALID);
    assert_int_equal(conf_parse_duration("3650d", &ms), 0);
    assert_int_equal(conf_parse_duration("3651d", &ms), ERR_LIMIT);
    assert_int_equal(conf_parse_duration("9223372036854775807d", &ms), ERR_LIMIT);
    const char *const wrong[] = {"", "s", "10sec", "1h30m", "1.5s", "-1s", "10 s", "10S"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_int_equal(conf_parse_duration(wrong[i], &ms), ERR_SYNTAX);
}

static void a_switch_is_on_or_off_and_nothing_else(void **state)
{
    int on = -1;
    (void)state;
    assert_int_equal(conf_parse_switch("on", &on), 0);
    assert_int_equal(on, 1);
    assert_int_equal(conf_parse_switch("off", &on), 0);
    assert_int_equal(on, 0);
    assert_int_equal(conf_parse_switch("ON", &on), ERR_SYNTAX);
    assert_int_equal(conf_parse_switch("", &on), ERR_SYNTAX);
}

static void durations_and_sizes_are_written_in_their_largest_exact_unit(void **state)
{
    char memory[128];
    struct text out;
    (void)state;
    text_init(&out, memory, sizeof memory);
    const uint64_t durations[] = {0, 1, 1500, 1000, 90000, 60000, 3600000, 86400000};
    for (size_t i = 0; i < sizeof durations / sizeof durations[0]; i++) {
        conf_format_duration(&out, durations[i]);
        text_add_c(&out, " ");
    }
    const uint64_t sizes[] = {0, 1023, 1024, 1048576, 1073741824};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        conf_format_size(&out, sizes[i]);
        text_add_c(&out, " ");
    }
    assert_string_equal(memory, "0s 1ms 1500ms 1s 90s 1m 1h 1d 0 1023 1k 1m 1g ");
}

static const char *written(const char *text, enum conf_address_form form)
{
    static char memory[400];
    struct conf_address address;
    struct text out;
    const char *problem, *hint;
    if (conf_parse_address(text, form, &address, &problem, &hint))
        return problem;
    text_init(&out, memory, sizeof memory);
    conf_format_address(&out, &address);
    return memory;
}

static void addresses_are_read_and_written_in_one_form(void **state)
{
    (void)state;
    assert_string_equal(written("127.0.0.1:8080", CONF_ADDRESS_LISTEN), "127.0.0.1:8080");
    assert_string_equal(written(":8080", CONF_ADDRESS_LISTEN), ":8080");
    assert_string_equal(written("[::1]:8080", CONF_ADDRESS_LISTEN), "[::1]:8080");
    assert_string_equal(written("[0:0::0:1]:08080", CONF_ADDRESS_LISTEN), "[::1]:8080");
    assert_string_equal(written("[FE80::A]:1", CONF_ADDRESS_LISTEN), "[fe80::a]:1");
    assert_string_equal(written("unix:/run/x", CONF_ADDRESS_LISTEN), "unix:/run/x");
    assert_string_equal(written("Example.COM.", CONF_ADDRESS_SITE), "example.com");
    assert_string_equal(written("example.com:81", CONF_ADDRESS_SITE), "example.com:81");
    assert_string_equal(written("10.0.0.1", CONF_ADDRESS_SITE), "10.0.0.1");
    assert_string_equal(written("[::1]", CONF_ADDRESS_SITE), "[::1]");
    assert_string_equal(written("my_app-1.internal:3000", CONF_ADDRESS_UPSTREAM), "my_app-1.internal:3000");
}

static void a_wrong_address_says_what_is_wrong(void **state)
{
    (void)state;
    assert_string_equal(written("", CONF_ADDRESS_SITE), "is empty");
    assert_string_equal(written("8080", CONF_ADDRESS_SITE), "has no colon before its port");
    assert_string_equal(written("127.0.0.1", CONF_ADDRESS_LISTEN), "needs a port");
    assert_string_equal(written("localhost:80", CONF_ADDRESS_LISTEN), "needs an IP address, not a name");
    assert_string_equal(written(":0", CONF_ADDRESS_SITE), "has a port that is not a number from 1 to 65535");
    assert_string_equal(written(":65536", CONF_ADDRESS_SITE),
                        "has a port that is not a number from 1 to 65535");
    assert_string_equal(written("a:", CONF_ADDRESS_SITE), "has a port that is not a number from 1 to 65535");
    assert_string_equal(written("::1:80", CONF_ADDRESS_SITE), "has too many colons");
    assert_string_equal(written("[::1", CONF_ADDRESS_SITE), "has no ] after its [");
    assert_string_equal(written("[::1]80", CONF_ADDRESS_SITE), "has something else than a port after its ]");
    assert_string_equal(written("[::1]x:80", CONF_ADDRESS_SITE),
                        "has something else than a port after its ]");
    assert_string_equal(written("[127.0.0.1]:80", CONF_ADDRESS_SITE), "is not an IPv6 address");
    assert_string_equal(written("1.2.3.256:80", CONF_ADDRESS_SITE), "is not an IPv4 address");
    assert_string_equal(written("*:80", CONF_ADDRESS_SITE), "has * for its host");
    assert_string_equal(written("http://a:80", CONF_ADDRESS_SITE), "is a URL");
    assert_string_equal(written("a:80/x", CONF_ADDRESS_SITE), "has a path");
    assert_string_equal(written("-a.com", CONF_ADDRESS_SITE), "is not a host name");
    assert_string_equal(written("a-.com", CONF_ADDRESS_SITE), "is not a host name");
    assert_string_equal(written("a..com", CONF_ADDRESS_SITE), "is not a host name");
    assert_string_equal(written(".", CONF_ADDRESS_SITE), "is not an IPv4 address");
    assert_string_equal(written("b\xc3\xbc"
                                "cher.example",
                                CONF_ADDRESS_SITE),
                        "has letters beyond ASCII");
    assert_string_equal(written(":80", CONF_ADDRESS_UPSTREAM), "needs a host before its port");
    assert_string_equal(written("unix:x", CONF_ADDRESS_SITE), "needs an absolute path");
}

static void labels_and_names_end_where_dns_ends_them(void **state)
{
    char name[300];
    (void)state;
    memset(name, 'a', sizeof name);
    name[63] = '\0';
    assert_string_equal(written(name, CONF_ADDRESS_SITE), name);
    name[63] = 'a';
    name[64] = '\0';
    assert_string_equal(written(name, CONF_ADDRESS_SITE), "is not a host name");
    for (size_t i = 0; i < sizeof name; i++)
        name[i] = i % 2 ? '.' : 'a';
    name[253] = '\0';
    assert_string_equal(written(name, CONF_ADDRESS_SITE), name);
    name[253] = '.';
    name[254] = 'a';
    name[255] = '\0';
    assert_string_equal(written(name, CONF_ADDRESS_SITE), "is not a host name");
    name[255] = '.';
    name[256] = '\0';
    assert_string_equal(written(name, CONF_ADDRESS_SITE), "is too long for a host name");
}

static void a_unix_path_fills_sun_path_with_its_nul(void **state)
{
    char text[5 + 109] = "unix:/";
    (void)state;
    memset(text + 6, 'a', 106);
    assert_string_equal(written(text, CONF_ADDRESS_LISTEN), text);
    text[112] = 'a';
    assert_string_equal(written(text, CONF_ADDRESS_LISTEN),
                        "is longer than the 107 bytes that a Unix socket's path can have");
}

static socklen_t to_sockaddr(const char *text, struct sockaddr_storage *out)
{
    struct conf_address address;
    const char *problem, *hint;
    socklen_t length = 0;
    assert_int_equal(conf_parse_address(text, CONF_ADDRESS_SITE, &address, &problem, &hint), 0);
    assert_int_equal(conf_address_to_sockaddr(&address, out, &length), 0);
    return length;
}

static void addresses_become_what_bind_takes(void **state)
{
    struct sockaddr_storage storage;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    struct sockaddr_un un;
    (void)state;
    assert_int_equal(to_sockaddr("127.0.0.1:8080", &storage), sizeof in);
    memcpy(&in, &storage, sizeof in);
    assert_int_equal(in.sin_family, AF_INET);
    assert_int_equal(ntohs(in.sin_port), 8080);
    assert_int_equal(ntohl(in.sin_addr.s_addr), INADDR_LOOPBACK);
    assert_int_equal(to_sockaddr(":80", &storage), sizeof in6);
    memcpy(&in6, &storage, sizeof in6);
    assert_int_equal(in6.sin6_family, AF_INET6);
    assert_memory_equal(&in6.sin6_addr, &in6addr_any, sizeof in6addr_any);
    assert_int_equal(to_sockaddr("unix:/run/x", &storage), offsetof(struct sockaddr_un, sun_path) + 7);
    memcpy(&un, &storage, sizeof un);
    assert_string_equal(un.sun_path, "/run/x");
    struct conf_address name = {.kind = CONF_ADDRESS_NAME, .host = "a", .port = 1};
    socklen_t length;
    assert_int_equal(conf_address_to_sockaddr(&name, &storage, &length), ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_are_powers_of_1024),
        cmocka_unit_test(durations_need_a_unit),
        cmocka_unit_test(a_switch_is_on_or_off_and_nothing_else),
        cmocka_unit_test(durations_and_sizes_are_written_in_their_largest_exact_unit),
        cmocka_unit_test(addresses_are_read_and_written_in_one_form),
        cmocka_unit_test(a_wrong_address_says_what_is_wrong),
        cmocka_unit_test(labels_and_names_end_where_dns_ends_them),
        cmocka_unit_test(a_unix_path_fills_sun_path_with_its_nul),
        cmocka_unit_test(addresses_become_what_bind_takes),
    };
    return cmocka_run_group_tests_name("value", tests, NULL, NULL);
}
