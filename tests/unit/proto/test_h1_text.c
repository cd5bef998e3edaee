#include "proto/h1_internal.h"
#include "proto/h1_response.h"

#include "unit.h"

#include <string.h>

/* RFC 9110 section 5.6.1. */
static void a_token_is_found_in_a_list_as_a_whole_and_in_any_case(void **state)
{
    (void)state;
    assert_true(h1_token_list_has(slice_of("close"), slice_of("close")));
    assert_true(h1_token_list_has(slice_of("a, CLOSE ,b"), slice_of("close")));
    assert_true(h1_token_list_has(slice_of(",,\t close"), slice_of("Close")));
    assert_false(h1_token_list_has(slice_of("closed"), slice_of("close")));
    assert_false(h1_token_list_has(slice_of("a close"), slice_of("close")));
    assert_false(h1_token_list_has(slice_of(""), slice_of("close")));
    assert_false(h1_token_list_has(slice_of(",,"), slice_of("")));
}

static void a_list_gives_its_elements_in_order_and_ends(void **state)
{
    struct slice rest = slice_of(" ,a b ,, c,\t"), element;
    (void)state;
    assert_int_equal(h1_list_next(&rest, &element), 1);
    assert_true(slice_equals(element, slice_of("a b")));
    assert_int_equal(h1_list_next(&rest, &element), 1);
    assert_true(slice_equals(element, slice_of("c")));
    assert_int_equal(h1_list_next(&rest, &element), 0);
    assert_int_equal(h1_list_next(&rest, &element), 0);
    assert_int_equal(rest.length, 0);
}

static void every_refusal_has_a_status_and_a_reason_of_its_own(void **state)
{
    enum { COUNT = H1_REFUSE_BODY_IN_INTERIM + 1 };
    (void)state;
    assert_int_equal(h1_refusal_status(H1_REFUSE_NOTHING), 0);
    assert_int_equal(h1_refusal_reason(H1_REFUSE_NOTHING).length, 0);
    for (int i = 1; i < COUNT; i++) {
        assert_in_range(h1_refusal_status((enum h1_refusal)i), 400, 505);
        assert_int_not_equal(h1_reason_phrase(h1_refusal_status((enum h1_refusal)i)).length, 0);
        for (int j = 0; j < i; j++)
            assert_false(
                slice_equals(h1_refusal_reason((enum h1_refusal)i), h1_refusal_reason((enum h1_refusal)j)));
    }
    assert_int_equal(h1_refusal_status((enum h1_refusal)COUNT), 400);
    assert_int_equal(h1_refusal_reason((enum h1_refusal)COUNT).length, 0);
}

static void the_reasons_for_responses_say_where_they_come_from(void **state)
{
    (void)state;
    for (int i = 1; i <= H1_REFUSE_BODY_IN_INTERIM; i++) {
        struct slice plain = h1_refusal_reason((enum h1_refusal)i);
        struct slice reason = h1_response_refusal_reason((enum h1_refusal)i);
        assert_true(slice_starts_with(reason, slice_of("upstream_")));
        assert_string_equal(reason.at + strlen("upstream_"), plain.at);
        assert_int_equal(reason.length, strlen("upstream_") + plain.length);
    }
    assert_int_equal(h1_response_refusal_reason(H1_REFUSE_NOTHING).length, 0);
    assert_int_equal(h1_response_refusal_reason((enum h1_refusal)200).length, 0);
}

/* RFC 9110 section 15; RFC 9112 section 4 lets a phrase be empty. */
static void a_status_has_its_phrase_or_none(void **state)
{
    (void)state;
    assert_true(slice_equals(h1_reason_phrase(200), slice_of("OK")));
    assert_true(slice_equals(h1_reason_phrase(404), slice_of("Not Found")));
    assert_true(slice_equals(h1_reason_phrase(413), slice_of("Content Too Large")));
    assert_true(slice_equals(h1_reason_phrase(505), slice_of("HTTP Version Not Supported")));
    assert_int_equal(h1_reason_phrase(299).length, 0);
    assert_int_equal(h1_reason_phrase(-1).length, 0);
}

/* RFC 9110 section 5.6.2, RFC 3986 sections 3.3 and 3.4, and the exceptions that proto/h1.h names. */
static void every_byte_is_in_the_classes_the_grammar_gives_it(void **state)
{
    const char *alphanumeric = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    (void)state;
    for (int i = 1; i < 256; i++) {
        char byte = (char)i;
        int letter = strchr(alphanumeric, byte) != NULL;
        int path = letter || strchr("-._~!$&'()*+,;=:@/%[]^`{|}", byte) != NULL;
        assert_int_equal(h1_byte_is(byte, H1_IN_TOKEN), letter || strchr("!#$%&'*+-.^_`|~", byte) != NULL);
        assert_int_equal(h1_byte_is(byte, H1_IN_PATH), path);
        assert_int_equal(h1_byte_is(byte, H1_IN_QUERY), path || byte == '?' || byte == '\\');
        assert_int_equal(h1_byte_is(byte, H1_IN_HOST), letter || strchr("-._~", byte) != NULL);
        assert_int_equal(h1_byte_is(byte, H1_IN_HEX), strchr("0123456789abcdefABCDEF", byte) != NULL);
    }
    assert_int_equal(h1_byte_classes[0], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_is_found_in_a_list_as_a_whole_and_in_any_case),
        cmocka_unit_test(a_list_gives_its_elements_in_order_and_ends),
        cmocka_unit_test(every_refusal_has_a_status_and_a_reason_of_its_own),
        cmocka_unit_test(the_reasons_for_responses_say_where_they_come_from),
        cmocka_unit_test(a_status_has_its_phrase_or_none),
        cmocka_unit_test(every_byte_is_in_the_classes_the_grammar_gives_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
