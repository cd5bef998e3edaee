#include "conf/diagnostic.h"

#include "unit.h"

#include <stdlib.h>
#include <string.h>

static struct diagnostics diagnostics;

static void add(uint32_t line, uint32_t column, uint32_t width, const char *source, const char *message)
{
    struct diagnostic_place place = {
        .file = "t.conf", .line = line, .column = column, .width = width, .source = slice_of(source)};
    diagnostics_add(&diagnostics, &place, NULL, "%s", message);
}

static void assert_printed(const char *expected)
{
    char *printed = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&printed, &length);
    assert_non_null(out);
    diagnostics_print(&diagnostics, out);
    fclose(out);
    assert_string_equal(printed, expected);
    free(printed);
}

static int start(void **state)
{
    (void)state;
    diagnostics_init(&diagnostics);
    return 0;
}

static void a_mistake_is_shown_with_its_line_and_a_caret(void **state)
{
    (void)state;
    add(3, 5, 4, "    fles /srv", "unknown directive \"fles\"");
    assert_printed("t.conf:3:5: error: unknown directive \"fles\"\n"
                   "    3 |     fles /srv\n"
                   "      |     ^~~~\n");
}

static void tabs_stay_tabs_under_the_line(void **state)
{
    (void)state;
    add(1, 4, 1, "\ta\tb", "x");
    assert_printed("t.conf:1:4: error: x\n    1 | \ta\tb\n      | \t \t^\n");
}

static void columns_count_characters_and_not_bytes(void **state)
{
    (void)state;
    add(1, 3, 2, "\xc3\xa4 \xe2\x82\xac\xf0\x9f\x8c\x8a", "x");
    assert_printed("t.conf:1:3: error: x\n    1 | \xc3\xa4 \xe2\x82\xac\xf0\x9f\x8c\x8a\n      |   ^~\n");
}

static void bytes_that_could_disturb_a_terminal_are_question_marks(void **state)
{
    (void)state;
    add(1, 1, 1, "\x1b[1m\xff \xc2\x9b \xed\xa0\x80 \x7f",
        "\x1b"
        "x\n\xff");
    assert_printed("t.conf:1:1: error: ?x??\n    1 | ?[1m? ? ? ?\n      | ^\n");
}

static void a_caret_can_stand_behind_the_end_of_the_line(void **state)
{
    (void)state;
    add(1, 3, 0, "ab", "x");
    assert_printed("t.conf:1:3: error: x\n    1 | ab\n      |   ^\n");
}

static void of_a_long_line_the_part_around_the_caret_is_shown(void **state)
{
    char line[1001], expected[1000];
    (void)state;
    memset(line, 'a', 1000);
    line[1000] = '\0';
    memcpy(line + 499, "XYZ", 3);
    add(1, 500, 3, line, "x");
    snprintf(expected, sizeof expected,
             "t.conf:1:500: error: x\n    1 | ...%.60sXYZ%.37s...\n      |    %60s^~~\n", line, line, "");
    assert_printed(expected);
}

static void a_line_of_the_longest_characters_fits(void **state)
{
    char line[4001], *at = line;
    (void)state;
    for (int i = 0; i < 1000; i++, at += 4)
        memcpy(at, "\xf0\x9f\x8c\x8a", 4);
    *at = '\0';
    add(1, 500, 1000, line, "x");
    assert_int_equal(strlen(diagnostics.list[0].excerpt), 406);
    assert_int_equal(strlen(diagnostics.list[0].caret), 3 + 100);
}

static void the_order_is_that_of_the_text_whatever_came_first(void **state)
{
    struct diagnostic_place second = {.file = "second.conf", .file_order = 1};
    (void)state;
    diagnostics_add(&diagnostics, &second, "a hint", "whole file");
    add(10, 1, 1, "x", "d");
    add(2, 9, 1, "x       y", "c");
    add(2, 1, 1, "x", "b");
    add(2, 1, 1, "x", "a");
    assert_printed("t.conf:2:1: error: a\n    2 | x\n      | ^\n"
                   "t.conf:2:1: error: b\n    2 | x\n      | ^\n"
                   "t.conf:2:9: error: c\n    2 | x       y\n      |         ^\n"
                   "t.conf:10:1: error: d\n   10 | x\n      | ^\n"
                   "second.conf: error: whole file\n      = a hint\n");
}

static void beyond_fifty_they_are_only_counted(void **state)
{
    char *printed = NULL;
    size_t length = 0;
    (void)state;
    for (uint32_t i = 0; i < 50; i++) {
        assert_false(diagnostics_full(&diagnostics));
        add(i + 1, 1, 1, "x", "m");
    }
    assert_true(diagnostics_full(&diagnostics));
    for (uint32_t i = 0; i < 7; i++)
        add(1, 1, 1, "x", "left out");
    assert_int_equal(diagnostics.count, 57);
    FILE *out = open_memstream(&printed, &length);
    assert_non_null(out);
    diagnostics_print(&diagnostics, out);
    fclose(out);
    assert_string_equal(printed + length - 11, "and 7 more\n");
    assert_null(strstr(printed, "left out"));
    free(printed);
}

static void texts_that_are_too_long_end_in_dots(void **state)
{
    char text[2000];
    struct diagnostic_place place = {.file = text};
    (void)state;
    memset(text, 'm', sizeof text);
    text[1999] = '\0';
    text[1998] = '!';
    diagnostics_add(&diagnostics, &place, text, "%s", text);
    const struct diagnostic *only = &diagnostics.list[0];
    assert_int_equal(strlen(only->message), sizeof only->message - 1);
    assert_string_equal(only->message + strlen(only->message) - 4, "m...");
    assert_string_equal(only->hint + strlen(only->hint) - 4, "m...");
    assert_memory_equal(only->file, "...m", 4); /* of a path the end is kept */
    assert_string_equal(only->file + strlen(only->file) - 2, "m!");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_mistake_is_shown_with_its_line_and_a_caret, start),
        cmocka_unit_test_setup(tabs_stay_tabs_under_the_line, start),
        cmocka_unit_test_setup(columns_count_characters_and_not_bytes, start),
        cmocka_unit_test_setup(bytes_that_could_disturb_a_terminal_are_question_marks, start),
        cmocka_unit_test_setup(a_caret_can_stand_behind_the_end_of_the_line, start),
        cmocka_unit_test_setup(of_a_long_line_the_part_around_the_caret_is_shown, start),
        cmocka_unit_test_setup(a_line_of_the_longest_characters_fits, start),
        cmocka_unit_test_setup(the_order_is_that_of_the_text_whatever_came_first, start),
        cmocka_unit_test_setup(beyond_fifty_they_are_only_counted, start),
        cmocka_unit_test_setup(texts_that_are_too_long_end_in_dots, start),
    };
    return cmocka_run_group_tests_name("diagnostic", tests, NULL, NULL);
}
