/* Targets that are not a plain path, and hosts: RFC 9112 section 3.2, RFC 9110 sections 4.2 and 7.2, RFC 3986 section 3.2. */
#include "guarded.h"
#include "proto/h1_internal.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>

static struct h1_head head;

static enum h1_refusal parsed(enum h1_method method, const char *target)
{
    head = (struct h1_head){.method = method, .target = slice_of(target)};
    return h1_target_parse(&head);
}

static void assert_slice(struct slice slice, const char *expected)
{
    assert_int_equal(slice.length, strlen(expected));
    if (slice.length > 0)
        assert_memory_equal(slice.at, expected, slice.length);
}

/* RFC 9112 section 3.2.2. */
static void an_absolute_target_names_host_port_path_and_query(void **state)
{
    (void)state;
    assert_int_equal(parsed(H1_GET, "http://Example.com:81/a/b?c=d?e"), H1_REFUSE_NOTHING);
    assert_int_equal(head.form, H1_ABSOLUTE_FORM);
    assert_slice(head.host, "Example.com");
    assert_int_equal(head.host_port, 81);
    assert_slice(head.path, "/a/b");
    assert_int_equal(head.has_query, 1);
    assert_slice(head.query, "c=d?e");
    assert_int_equal(parsed(H1_GET, "HTTPS://[::1]"),
                     H1_REFUSE_NOTHING); /* schemes know no case, section 4.2.3 */
    assert_slice(head.host, "[::1]");
    assert_int_equal(head.host_port, 0);
    assert_slice(head.path, "/");
    assert_int_equal(head.has_query, 0);
    assert_int_equal(parsed(H1_GET, "http://a?q"), H1_REFUSE_NOTHING);
    assert_slice(head.path, "/");
    assert_slice(head.query, "q");
}

/* RFC 9112 section 3.2.4: OPTIONS of a server as a whole; a proxy gives it with an authority alone. */
static void the_asterisk_is_for_options_alone(void **state)
{
    (void)state;
    assert_int_equal(parsed(H1_OPTIONS, "*"), H1_REFUSE_NOTHING);
    assert_int_equal(head.form, H1_ASTERISK_FORM);
    assert_slice(head.path, "*");
    assert_int_equal(parsed(H1_GET, "*"), H1_REFUSE_BAD_TARGET);
    assert_int_equal(parsed(H1_OPTIONS, "http://a:80"), H1_REFUSE_NOTHING);
    assert_int_equal(head.form, H1_ASTERISK_FORM);
    assert_slice(head.path, "*");
    assert_int_equal(parsed(H1_OPTIONS, "http://a/"), H1_REFUSE_NOTHING);
    assert_int_equal(head.form, H1_ABSOLUTE_FORM);
    assert_int_equal(parsed(H1_OPTIONS, "http://a?"), H1_REFUSE_NOTHING);
    assert_int_equal(head.form, H1_ABSOLUTE_FORM);
}

/* RFC 9110 section 9.3.6. */
static void connect_wants_host_and_port_and_nothing_else(void **state)
{
    (void)state;
    assert_int_equal(parsed(H1_CONNECT, "a:443"), H1_REFUSE_NOTHING);
    assert_int_equal(head.form, H1_AUTHORITY_FORM);
    assert_slice(head.host, "a");
    assert_int_equal(head.host_port, 443);
    for (const char *const *target =
             (const char *const[]){"a", "a:", "a:0", "a:443/", "http://a:443", "*", ":443", NULL};
         *target; target++)
        assert_int_equal(parsed(H1_CONNECT, *target), H1_REFUSE_BAD_TARGET);
}

static void targets_of_no_form_are_refused(void **state)
{
    (void)state;
    for (const char *const *target =
             (const char *const[]){"a", "a/b", "http:/a", "http:a", "http://", "http:///a", "http://u@a/",
                                   "http://u:p@a/", "ftp://a/", "http://a:b/", "http://a#f", "http", NULL};
         *target; target++)
        assert_int_equal(parsed(H1_GET, *target), H1_REFUSE_BAD_TARGET);
}

static void authorities_are_split_and_what_is_none_is_refused(void **state)
{
    char longest[258];
    static const struct {
        const char *text, *host; /* NULL: none */
        unsigned port;
    } cases[] = {
        {"a", "a", 0},
        {"a:", "a", 0},
        {"a:1", "a", 1},
        {"a:65535", "a", 65535},
        {"1.2.3.4:80", "1.2.3.4", 80},
        {"[::1]:8080", "[::1]", 8080},
        {"[::]", "[::]", 0},
        {"a.b.", "a.b.", 0},
        {"", NULL, 0},
        {":80", NULL, 0},
        {"a:0", NULL, 0},
        {"a:65536", NULL, 0},
        {"a:000080", NULL, 0},
        {"a:8x", NULL, 0},
        {"a:-1", NULL, 0},
        {"a:+1", NULL, 0},
        {"a b", NULL, 0},
        {"a,b", NULL, 0},
        {"u@a", NULL, 0},
        {"a/b", NULL, 0},
        {".a", NULL, 0},
        {"a..b", NULL, 0},
        {"[::1", NULL, 0},
        {"[]", NULL, 0},
        {"[::1]x", NULL, 0},
        {"[1.2.3.4]", NULL, 0},
        {"[::g]", NULL, 0},
        {"::1", NULL, 0},
        {"a:1:2", NULL, 0},
        {"[::1]:", "[::1]", 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct slice host = {NULL, 0};
        uint16_t port = 0;
        const size_t length = strlen(cases[i].text);
        struct slice text = {guarded_copy(cases[i].text, length), length};
        int result = h1_authority_parse(text, &host, &port);

        if ((result == 0) != (cases[i].host != NULL))
            print_error("\"%s\": %d\n", cases[i].text, result);
        assert_int_equal(result, cases[i].host ? 0 : ERR_SYNTAX);
        if (cases[i].host) {
            assert_slice(host, cases[i].host);
            assert_int_equal(port, cases[i].port);
        }
    }
    memset(longest, 'a', sizeof longest);
    for (size_t length = 255; length <= 256; length++) {
        struct slice host;
        uint16_t port;

        assert_int_equal(h1_authority_parse((struct slice){longest, length}, &host, &port),
                         length == 255 ? 0 : ERR_SYNTAX);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_absolute_target_names_host_port_path_and_query),
        cmocka_unit_test(the_asterisk_is_for_options_alone),
        cmocka_unit_test(connect_wants_host_and_port_and_nothing_else),
        cmocka_unit_test(targets_of_no_form_are_refused),
        cmocka_unit_test(authorities_are_split_and_what_is_none_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
