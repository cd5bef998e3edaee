#include "base/bytes.h"

#include "unit.h"

#include <string.h>

static void slices_compare_by_their_bytes(void **state)
{
    (void)state;
    assert_true(slice_equals(slice_of("abc"), SLICE_LITERAL("abc")));
    assert_false(slice_equals(slice_of("abc"), slice_of("abd")));
    assert_false(slice_equals(slice_of("abc"), slice_of("ab")));
    assert_true(slice_equals((struct slice){NULL, 0}, slice_of("")));
    assert_true(slice_equals((struct slice){"a\0b", 3}, (struct slice){"a\0b", 3}));
    assert_false(slice_equals((struct slice){"a\0b", 3}, (struct slice){"a\0c", 3}));
}

static void case_matters_only_where_asked_and_only_in_ascii(void **state)
{
    (void)state;
    assert_false(slice_equals(slice_of("Host"), slice_of("hOST")));
    assert_true(slice_equals_nocase(slice_of("Host"), slice_of("hOST")));
    assert_true(slice_equals_nocase(slice_of("aZ@[`{"), slice_of("Az@[`{")));
    assert_false(slice_equals_nocase(slice_of("@"), slice_of("`")));
    assert_false(slice_equals_nocase(slice_of("["), slice_of("{")));
    assert_false(slice_equals_nocase(slice_of("\xc4"), slice_of("\xe4")));
    assert_false(slice_equals_nocase(slice_of("Host"), slice_of("Hos")));
}

static void a_prefix_is_found_at_the_front_only(void **state)
{
    (void)state;
    assert_true(slice_starts_with(slice_of("/static/a"), slice_of("/static")));
    assert_true(slice_starts_with(slice_of("x"), slice_of("")));
    assert_false(slice_starts_with(slice_of("a/static"), slice_of("/static")));
    assert_false(slice_starts_with(slice_of("/st"), slice_of("/static")));
}

static void decimal_numbers_are_read_whole_or_not_at_all(void **state)
{
    static const char *const malformed[] = {"",   "-1",  "+1",  " 1",
                                            "1 ", "0x1", "1e3", "99999999999999999999x"};
    uint64_t value = 7;

    (void)state;
    for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++)
        assert_int_equal(slice_to_u64(slice_of(malformed[i]), &value), ERR_SYNTAX);
    assert_int_equal(slice_to_u64((struct slice){"1\0", 2}, &value), ERR_SYNTAX);
    assert_int_equal(value, 7);
    assert_int_equal(slice_to_u64(slice_of("0"), &value), 0);
    assert_int_equal(value, 0);
    assert_int_equal(slice_to_u64(slice_of("000012"), &value), 0);
    assert_int_equal(value, 12);
}

static void numbers_past_the_limit_are_refused_at_the_exact_border(void **state)
{
    uint64_t value = 0;

    (void)state;
    assert_int_equal(slice_to_u64(slice_of("9223372036854775807"), &value), 0);
    assert_true(value == INT64_MAX);
    assert_int_equal(slice_to_u64(slice_of("9223372036854775808"), &value), ERR_LIMIT);
    assert_int_equal(slice_to_u64(slice_of("18446744073709551616"), &value), ERR_LIMIT);
    assert_int_equal(slice_to_u64(slice_of("00009223372036854775808"), &value), ERR_LIMIT);
    assert_true(value == INT64_MAX);
}

static void text_grows_until_it_is_full_and_then_stays(void **state)
{
    char memory[8];
    struct text text;

    (void)state;
    text_init(&text, memory, sizeof(memory));
    assert_string_equal(text.at, "");
    text_add_c(&text, "abc");
    text_add_f(&text, "%d-%s", 1, "x");
    assert_string_equal(text.at, "abc1-x");
    text_add_c(&text, "z");
    assert_int_equal(text.length, 7);
    assert_false(text.overflow);
    text_add_c(&text, "!");
    assert_true(text.overflow);
    text_add_c(&text, "");
    text_add_u64(&text, 1);
    assert_string_equal(text.at, "abc1-xz");
}

static void what_does_not_fit_is_left_out_whole(void **state)
{
    char memory[4];
    struct text text;

    (void)state;
    text_init(&text, memory, sizeof(memory));
    text_add_f(&text, "%d", 12345);
    assert_true(text.overflow);
    assert_string_equal(text.at, "");
    text_add_c(&text, "a");
    assert_string_equal(text.at, "");
    text_init(&text, memory, 1);
    text_add_c(&text, "");
    assert_false(text.overflow);
    text_add_c(&text, "a");
    assert_true(text.overflow);
}

static void numbers_are_added_up_to_the_largest(void **state)
{
    char memory[64];
    struct text text;

    (void)state;
    text_init(&text, memory, sizeof(memory));
    text_add_u64(&text, 0);
    text_add_c(&text, " ");
    text_add_u64(&text, UINT64_MAX);
    assert_string_equal(text.at, "0 18446744073709551615");
}

static void expect_json(struct slice bytes, const char *expected)
{
    char memory[128];
    struct text text;

    text_init(&text, memory, sizeof(memory));
    text_add_json(&text, bytes);
    assert_string_equal(text.at, expected);
}

static void json_strings_escape_what_must_not_stand_in_them(void **state)
{
    (void)state;
    expect_json(slice_of("plain /path"), "plain /path");
    expect_json(slice_of("\"\\"), "\\\"\\\\");
    expect_json(slice_of("\b\f\n\r\t"), "\\b\\f\\n\\r\\t");
    expect_json((struct slice){"a\0b\x1f\x7f", 5}, "a\\u0000b\\u001f\\u007f");
}

static void json_strings_keep_utf_8_and_replace_what_is_none(void **state)
{
#define REPLACED "\xef\xbf\xbd"
    (void)state;
    expect_json(slice_of("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x8c\x8a"),
                "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x8c\x8a");
    expect_json(slice_of("a\xff"), "a" REPLACED);
    expect_json(slice_of("\x80"), REPLACED);
    expect_json(slice_of("\xc3"), REPLACED);
    expect_json(slice_of("\xc3("), REPLACED "(");
    expect_json(slice_of("\xc0\xaf"), REPLACED REPLACED);                           /* overlong */
    expect_json(slice_of("\xe0\x80\x80"), REPLACED REPLACED REPLACED);              /* overlong */
    expect_json(slice_of("\xed\xa0\x80"), REPLACED REPLACED REPLACED);              /* surrogate */
    expect_json(slice_of("\xf4\x90\x80\x80"), REPLACED REPLACED REPLACED REPLACED); /* above U+10FFFF */
    expect_json(slice_of("\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf"),
                "\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf");
}

static void json_stops_at_a_whole_escape_when_the_text_is_full(void **state)
{
    char memory[5];
    struct text text;

    (void)state;
    text_init(&text, memory, sizeof(memory));
    text_add_json(&text, slice_of("abc\nd"));
    assert_true(text.overflow);
    assert_string_equal(text.at, "abc");
}

static void blanks_are_spaces_and_tabs_around_a_text(void **state)
{
    (void)state;
    assert_true(slice_equals(slice_trim(slice_of(" \t a b\t ")), slice_of("a b")));
    assert_true(slice_equals(slice_skip_blanks(slice_of(" \t a b\t ")), slice_of("a b\t ")));
    assert_true(slice_equals(slice_trim(slice_of("\r\n")), slice_of("\r\n")));
    assert_int_equal(slice_trim(slice_of(" \t ")).length, 0);
    assert_int_equal(slice_trim(slice_of("")).length, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slices_compare_by_their_bytes),
        cmocka_unit_test(case_matters_only_where_asked_and_only_in_ascii),
        cmocka_unit_test(a_prefix_is_found_at_the_front_only),
        cmocka_unit_test(blanks_are_spaces_and_tabs_around_a_text),
        cmocka_unit_test(decimal_numbers_are_read_whole_or_not_at_all),
        cmocka_unit_test(numbers_past_the_limit_are_refused_at_the_exact_border),
        cmocka_unit_test(text_grows_until_it_is_full_and_then_stays),
        cmocka_unit_test(what_does_not_fit_is_left_out_whole),
        cmocka_unit_test(numbers_are_added_up_to_the_largest),
        cmocka_unit_test(json_strings_escape_what_must_not_stand_in_them),
        cmocka_unit_test(json_strings_keep_utf_8_and_replace_what_is_none),
        cmocka_unit_test(json_stops_at_a_whole_escape_when_the_text_is_full),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
