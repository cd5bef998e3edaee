/* How a source is cut into statements: words, quotes, comments, braces, the environment. */
#include "conf/lexer.h"

#include "unit.h"

#include <string.h>

static struct diagnostics diagnostics;
static struct lexer lexer;

static const char *const environment[] = {"NAME=a b", "EMPTY=", "BRACES={ # \"}", NULL};

static int setup(void **state)
{
    (void)state;
    diagnostics_init(&diagnostics);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    lexer_fini(&lexer);
    return 0;
}

static void begin(const char *text)
{
    lexer_init(&lexer, slice_of(text), "t.conf", 0, environment, &diagnostics);
}

static enum lexer_event next(void)
{
    enum lexer_event event;

    assert_int_equal(lexer_next(&lexer, &event), 0);
    return event;
}

static void assert_word(size_t index, const char *expected)
{
    struct conf_word word = lexer_word(&lexer, index);

    assert_true(index < lexer.word_count);
    assert_int_equal(word.text.length, strlen(expected));
    assert_memory_equal(word.text.at, expected, word.text.length);
}

static void each_line_is_a_statement_of_words_and_knows_where_they_stand(void **state)
{
    (void)state;
    begin("a  bc # d\r\n\n\te \\\n f\n");
    assert_int_equal(next(), LEXER_STATEMENT);
    assert_int_equal(lexer.word_count, 2);
    assert_word(0, "a");
    assert_word(1, "bc");
    assert_int_equal(lexer_word(&lexer, 1).line, 1);
    assert_int_equal(lexer_word(&lexer, 1).column, 4);
    assert_int_equal(lexer_word(&lexer, 1).width, 2);
    assert_int_equal(next(), LEXER_STATEMENT);
    assert_word(0, "e");
    assert_word(1, "f");
    assert_int_equal(lexer_word(&lexer, 1).line, 4);
    assert_int_equal(next(), LEXER_END);
    assert_int_equal(next(), LEXER_END);
    assert_int_equal(diagnostics.count, 0);
}

static void braces_open_and_close_blocks_at_the_end_of_a_line_and_alone(void **state)
{
    (void)state;
    begin("a {\nb\n}\n} c {\n");
    assert_int_equal(next(), LEXER_OPEN);
    assert_int_equal(lexer.word_count, 1);
    assert_int_equal(next(), LEXER_STATEMENT);
    assert_int_equal(next(), LEXER_CLOSE);
    assert_int_equal(diagnostics.count, 0);
    assert_int_equal(next(), LEXER_REOPEN);
    assert_int_equal(diagnostics.count, 1);
    assert_int_equal(next(), LEXER_END);
}

static void quotes_hold_blanks_and_escapes_and_placeholders_stay(void **state)
{
    (void)state;
    begin("a \"b c\" \"\\\"\\\\\\n\\t\\$\" {x.y} \"\" a{b}c\n");
    assert_int_equal(next(), LEXER_STATEMENT);
    assert_int_equal(lexer.word_count, 6);
    assert_word(1, "b c");
    assert_true(lexer_word(&lexer, 1).quoted);
    assert_word(2, "\"\\\n\t$");
    assert_word(3, "{x.y}");
    assert_false(lexer_word(&lexer, 3).quoted);
    assert_word(4, "");
    assert_word(5, "a{b}c");
    assert_int_equal(diagnostics.count, 0);
}

static void what_comes_from_the_environment_stays_in_its_word(void **state)
{
    (void)state;
    begin("a ${NAME}x \"${BRACES}\" ${BRACES} ${NONE:-c} ${EMPTY:-e}\n");
    assert_int_equal(next(), LEXER_STATEMENT);
    assert_int_equal(lexer.word_count, 6);
    assert_word(1, "a bx");
    assert_word(2, "{ # \"}");
    assert_word(3, "{ # \"}");
    assert_word(4, "c");
    assert_word(5, "e");
    assert_int_equal(diagnostics.count, 0);
}

static void after_a_mistake_it_goes_on_with_the_next_line(void **state)
{
    static const char *const mistakes[] = {"a \"b\n",    "a \"\\q\"\n", "a ${NONE}\n",
                                           "a ${NAME\n", "a {b\n",      "a \001\n"};
    char text[64];
    (void)state;
    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
        diagnostics_init(&diagnostics);
        snprintf(text, sizeof text, "%sgood\n", mistakes[i]);
        begin(text);
        (void)next();
        if (diagnostics.count != 1)
            print_error("%s: %zu diagnostics\n", mistakes[i], (size_t)diagnostics.count);
        assert_int_equal(diagnostics.count, 1);
        assert_true(lexer.broken);
        assert_int_equal(next(), LEXER_STATEMENT);
        assert_false(lexer.broken);
        assert_word(0, "good");
        assert_int_equal(next(), LEXER_END);
        lexer_fini(&lexer);
    }
    begin("");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_line_is_a_statement_of_words_and_knows_where_they_stand),
        TEST(braces_open_and_close_blocks_at_the_end_of_a_line_and_alone),
        TEST(quotes_hold_blanks_and_escapes_and_placeholders_stay),
        TEST(what_comes_from_the_environment_stays_in_its_word),
        TEST(after_a_mistake_it_goes_on_with_the_next_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
