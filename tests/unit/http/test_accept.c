/* Media types that a client would like, RFC 9110 section 12.5.1. */
#include "http/accept.h"
#include "request_head.h"
#include "unit.h"

static void assert_weight(const char *fields, int html, int json)
{
    const struct h1_head *head = request_head("GET", fields);

    assert_int_equal(accept_weight(head, SLICE_LITERAL("text/html")), html);
    assert_int_equal(accept_weight(head, SLICE_LITERAL("application/json")), json);
}

static void the_most_specific_range_counts(void **state)
{
    (void)state;
    assert_weight("Accept: text/*;q=0.3, text/html;q=0.7, */*;q=0.5\r\n", 700, 500);
    assert_weight("Accept: */*;q=0.5\r\nAccept: text/*;q=0.25\r\n", 250, 500);
    assert_weight("Accept: TEXT/HTML, application/JSON;q=0\r\n", 1000, 0);
}

static void without_the_field_everything_is_liked(void **state)
{
    (void)state;
    assert_weight("", 1000, 1000);
    assert_weight("Accept:\r\n", 0, 0);
}

static void what_is_malformed_or_another_type_does_not_count(void **state)
{
    (void)state;
    assert_weight("Accept: text/html;q=2, application/json;q=x\r\n", 0, 0);
    assert_weight("Accept: text/html;level=1, application/json; q=0.5\r\n", 0, 500);
    assert_weight("Accept: text, /, ;;, application/*;q=1.0\r\n", 0, 1000);
    assert_weight("Accept: text/html;q=0.1234, application/jso\r\n", 0, 0);
}

static void one_is_preferred_only_if_it_is_liked_more(void **state)
{
    (void)state;
    assert_false(accept_prefers(request_head("GET", "Accept: */*\r\n"), SLICE_LITERAL("application/json"),
                                SLICE_LITERAL("text/html")));
    assert_true(accept_prefers(request_head("GET", "Accept: application/json, */*;q=0.9\r\n"),
                               SLICE_LITERAL("application/json"), SLICE_LITERAL("text/html")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_most_specific_range_counts),
        cmocka_unit_test(without_the_field_everything_is_liked),
        cmocka_unit_test(what_is_malformed_or_another_type_does_not_count),
        cmocka_unit_test(one_is_preferred_only_if_it_is_liked_more),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
