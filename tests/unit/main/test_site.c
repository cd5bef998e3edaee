/* The directive `site`: which listeners it makes, and which names it answers on them. */
#include "main/settings.h"

#include "built.h"
#include "unit.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

static size_t build(const char *text)
{
    assert_int_equal(built_settings(text, NULL), 0);
    return built_diagnostics.count;
}

static void assert_refused(const char *text, const char *message, const char *hint)
{
    assert_true(build(text) > 0);
    if (!strstr(built_diagnostics.list[0].message, message) || !strstr(built_diagnostics.list[0].hint, hint))
        fail_msg("%s = %s", built_diagnostics.list[0].message, built_diagnostics.list[0].hint);
}

static unsigned port_of(size_t listener)
{
    const struct sockaddr_storage *address = &built_core.listeners[listener].address;

    return address->ss_family == AF_INET6 ? ntohs(((const struct sockaddr_in6 *)address)->sin6_port)
                                          : ntohs(((const struct sockaddr_in *)address)->sin_port);
}

static const struct http_site_address *address(size_t site, size_t place)
{
    assert_true(site < built_http.site_count && place < built_http.sites[site].address_count);
    return &built_http.sites[site].addresses[place];
}

static void without_a_port_it_is_80_on_all_addresses(void **state)
{
    (void)state;
    assert_int_equal(build("site example.com {\n respond 200\n}\n"), 0);
    assert_int_equal(built_core.listener_count, 1);
    assert_int_equal(port_of(0), 80);
    assert_string_equal(address(0, 0)->host, "example.com");
    assert_string_equal(built_http.sites[0].index, "index.html");
}

static void names_share_a_listener_and_addresses_have_their_own(void **state)
{
    (void)state;
    assert_int_equal(
        build("site a.example:8080 b.example:8080 127.0.0.1:8081 [::1]:8081 unix:/run/x.sock {\n respond "
              "200\n}\nsite c.example:8080 {\n respond 200\n}\n"),
        0);
    assert_int_equal(built_core.listener_count, 4);
    assert_int_equal(built_http.sites[0].address_count, 5);
    assert_int_equal(address(0, 0)->listener, address(0, 1)->listener);
    assert_int_equal(address(0, 0)->listener, address(1, 0)->listener);
    assert_string_equal(address(1, 0)->host, "c.example");
    for (size_t i = 2; i < 5; i++) { /* whatever name is asked for there */
        assert_string_equal(address(0, i)->host, "");
        assert_int_not_equal(address(0, i)->listener, address(0, i - 1)->listener);
    }
    assert_int_equal(built_core.listeners[address(0, 2)->listener].address.ss_family, AF_INET);
    assert_int_equal(built_core.listeners[address(0, 3)->listener].address.ss_family, AF_INET6);
    assert_int_equal(built_core.listeners[address(0, 4)->listener].address.ss_family, AF_UNIX);
}

static void a_name_is_the_same_in_any_case(void **state)
{
    (void)state;
    assert_int_equal(build("site EXAMPLE.com:8080 {\n respond 200\n}\n"), 0);
    assert_string_equal(address(0, 0)->host, "example.com");
    assert_refused("site example.com:8080 {\n respond 200\n}\nsite Example.COM:8080 {\n respond 200\n}\n",
                   "is taken", "the site in line 1 of t.conf has it");
}

static void a_name_is_taken_once(void **state)
{
    (void)state;
    assert_refused("site a.example:80 a.example {\n respond 200\n}\n", "\"a.example\" is taken",
                   "this site has it twice");
    assert_refused("site :8080 {\n respond 200\n}\nsite :8080 {\n respond 200\n}\n", "\":8080\" is taken",
                   "in line 1");
    assert_int_equal(
        build("site a.example:8080 {\n respond 200\n}\nsite a.example:8081 {\n respond 200\n}\n"), 0);
}

static void what_is_no_address_is_refused(void **state)
{
    (void)state;
    assert_refused("site a.example:0 {\n respond 200\n}\n", "a.example:0", "");
    assert_refused("site a.example:65536 {\n respond 200\n}\n", "a.example:65536", "");
    assert_refused("site -a.example {\n respond 200\n}\n", "-a.example", "");
    assert_refused("site 1.2.3.4.5:80 {\n respond 200\n}\n", "1.2.3.4.5:80", "");
    assert_refused("site {\n respond 200\n}\n", "needs ADDRESS", "usage: site ADDRESS...");
}

static void a_site_answers_something(void **state)
{
    (void)state;
    assert_refused("site :8080 {\n}\n", "answers nothing", "usage: files DIR");
}

#define CASE(test) cmocka_unit_test_teardown(test, built_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(without_a_port_it_is_80_on_all_addresses),
        CASE(names_share_a_listener_and_addresses_have_their_own),
        CASE(a_name_is_the_same_in_any_case),
        CASE(a_name_is_taken_once),
        CASE(what_is_no_address_is_refused),
        CASE(a_site_answers_something),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
