/* The words of a statement find their arguments, or it is said why they do not. */
#include "conf/arguments.h"

#include "base/bytes.h"
#include "conf/source.h"
#include "unit.h"

#include <stdlib.h>
#include <string.h>

static struct source *source;
static struct conf_value values[CONF_ARGUMENTS_MAX];
static struct conf_statement statement;

static void forget(void)
{
    if (source)
        source_free(source);
    source = NULL;
}

static int teardown(void **state)
{
    (void)state;
    forget();
    return 0;
}

static void match(const struct directive *directive, const char *text)
{
    char line[512];

    forget();
    snprintf(line, sizeof line, "d %s\n", text);
    source = source_new(line);
    assert_int_equal(source->error, 0);
    statement = (struct conf_statement){.node = source_child(conf_root(&source->tree), "d", 0),
                                        .directive = directive,
                                        .diagnostics = &source->diagnostics};
    arguments_match(&statement, values);
}

static void takes(const struct directive *directive, const char *text)
{
    match(directive, text);
    if (source->diagnostics.count)
        fail_msg("d %s: %s", text, source->diagnostics.list[0].message);
}

static void refuses(const struct directive *directive, const char *text, const char *message,
                    const char *hint)
{
    match(directive, text);
    assert_true(source->diagnostics.count > 0);
    if (!strstr(source->diagnostics.list[0].message, message) ||
        !strstr(source->diagnostics.list[0].hint, hint))
        fail_msg("d %s: %s = %s", text, source->diagnostics.list[0].message,
                 source->diagnostics.list[0].hint);
}

static const char *text_of(size_t argument, size_t place)
{
    assert_true(place < statement.counts[argument]);
    return statement.values[argument][place].text;
}

/* --- which word is which --- */

static void positional_ones_come_in_their_order(void **state)
{
    static const struct directive d = {
        .name = "d", .arguments = {{.name = "A", .kind = CONF_WORD}, {.name = "B", .kind = CONF_TEXT}}};
    (void)state;

    takes(&d, "one \"two words\"");
    assert_string_equal(text_of(0, 0), "one");
    assert_string_equal(text_of(1, 0), "two words");
    refuses(&d, "one", "needs", "usage: d A B");
    refuses(&d, "one two three", "\"three\" is one word too many", "usage: d A B");
}

static void an_optional_one_is_left_out_where_the_words_are_few(void **state)
{
    static const struct directive d = {
        .name = "d",
        .arguments = {{.name = "A", .kind = CONF_WORD, .optional = 1}, {.name = "B", .kind = CONF_WORD}}};
    (void)state;

    takes(&d, "x");
    assert_int_equal(statement.counts[0], 0);
    assert_null(conf_value(&statement, 0));
    assert_string_equal(text_of(1, 0), "x");
    takes(&d, "x y");
    assert_string_equal(text_of(0, 0), "x");
    assert_string_equal(text_of(1, 0), "y");
}

static void a_repeated_one_takes_what_the_others_leave(void **state)
{
    static const struct directive d = {
        .name = "d",
        .arguments = {{.name = "A", .kind = CONF_WORD, .repeat = 1},
                      {.name = "N", .kind = CONF_COUNT, .keyword = "times", .optional = 1}}};
    (void)state;

    takes(&d, "a b c times 3");
    assert_int_equal(statement.counts[0], 3);
    assert_string_equal(text_of(0, 2), "c");
    assert_int_equal(conf_value(&statement, 1)->number, 3);
    takes(&d, "a");
    assert_int_equal(statement.counts[0], 1);
    refuses(&d, "times 3", "needs A", "usage: d A...");
}

static const struct directive keywords = {
    .name = "d",
    .arguments = {{.name = "N", .kind = CONF_COUNT},
                  {.name = "TIME", .kind = CONF_DURATION, .keyword = "per"},
                  {.name = "W", .kind = CONF_WORD, .keyword = "with", .optional = 1},
                  {.kind = CONF_FLAG, .keyword = "backup", .optional = 1}}};

static void those_with_a_keyword_come_in_any_order(void **state)
{
    static const char *const orders[] = {"5 per 10s with x backup", "5 backup with x per 10s",
                                         "5 with x per 10s backup"};
    (void)state;

    for (size_t i = 0; i < 3; i++) {
        takes(&keywords, orders[i]);
        assert_int_equal(statement.values[0][0].number, 5);
        assert_int_equal(statement.values[1][0].number, 10000);
        assert_string_equal(text_of(2, 0), "x");
        assert_int_equal(statement.counts[3], 1);
    }
    takes(&keywords, "5 per 1m");
    assert_int_equal(statement.counts[2], 0);
    assert_int_equal(statement.counts[3], 0);
    takes(&keywords, "5 per 1m with per"); /* a value may look like a keyword */
    assert_string_equal(text_of(2, 0), "per");
}

static void a_keyword_stands_once_and_has_a_value(void **state)
{
    (void)state;
    refuses(&keywords, "5 per 1s per 2s", "\"per\" is given twice", "usage: d N per TIME");
    refuses(&keywords, "5 per 1s backup backup", "\"backup\" is given twice", "usage");
    refuses(&keywords, "5", "needs", "usage");
    refuses(&keywords, "5 per", "", "usage");
    refuses(&keywords, "5 per 1s after 2s", "\"after\" is one word too many", "usage");
}

/* --- what a word is --- */

static void a_number_lies_between_its_bounds(void **state)
{
    static const struct directive d = {.name = "d",
                                       .arguments = {{.name = "N", .kind = CONF_COUNT, .min = 1, .max = 64}}};
    static const struct directive sizes = {
        .name = "d", .arguments = {{.name = "SIZE", .kind = CONF_SIZE, .min = 1024, .max = 1u << 30}}};
    static const struct directive times = {
        .name = "d", .arguments = {{.name = "TIME", .kind = CONF_DURATION, .min = 1, .max = 60000}}};
    (void)state;

    takes(&d, "64");
    assert_int_equal(statement.values[0][0].number, 64);
    refuses(&d, "65", "\"65\" is too large", "from 1 to 64");
    refuses(&d, "0", "\"0\" is too small", "from 1 to 64");
    refuses(&d, "99999999999999999999999", "is too large", "from 1 to 64");
    refuses(&d, "-1", "\"-1\" is not a number", "");
    refuses(&d, "1x", "\"1x\" is not a number", "");
    takes(&sizes, "2m");
    assert_int_equal(statement.values[0][0].number, 2u << 20);
    refuses(&sizes, "1023", "too small", "from 1k to 1g");
    refuses(&sizes, "1tb", "is not a size", "");
    takes(&times, "1500ms");
    assert_int_equal(statement.values[0][0].number, 1500);
    refuses(&times, "10", "\"10\" has no unit", "10s");
    refuses(&times, "2m", "too large", "from 1ms to 1m");
    refuses(&times, "soon", "is not a duration", "");
}

static const char *const autos[] = {"auto", "off", NULL};

static void a_word_may_stand_for_a_number(void **state)
{
    static const struct directive d = {
        .name = "d", .arguments = {{.name = "N", .kind = CONF_COUNT, .words = autos, .min = 1, .max = 9}}};
    (void)state;

    takes(&d, "off");
    assert_int_equal(statement.values[0][0].word, 1);
    takes(&d, "7");
    assert_int_equal(statement.values[0][0].word, -1);
    assert_int_equal(statement.values[0][0].number, 7);
    refuses(&d, "of", "\"of\" is not a number", "did you mean \"off\"?");
    refuses(&d, "zebra", "is not a number", "\"auto\" or \"off\"");
}

static void a_choice_is_one_of_its_words(void **state)
{
    static const struct directive d = {.name = "d", .arguments = {{.kind = CONF_CHOICE, .words = autos}}};
    (void)state;

    takes(&d, "auto");
    assert_int_equal(statement.values[0][0].word, 0);
    refuses(&d, "Auto", "\"Auto\" is none of", "auto");
    refuses(&d, "7", "\"7\" is none of \"auto\", \"off\"", "");
}

static void a_switch_is_on_or_off(void **state)
{
    static const struct directive d = {.name = "d", .arguments = {{.kind = CONF_ON_OFF}}};
    (void)state;

    takes(&d, "on");
    assert_int_equal(statement.values[0][0].number, 1);
    takes(&d, "off");
    assert_int_equal(statement.values[0][0].number, 0);
    refuses(&d, "onn", "\"onn\" is neither \"on\" nor \"off\"", "did you mean \"on\"?");
}

static void words_and_paths_hold_what_they_may(void **state)
{
    static const struct directive word = {.name = "d", .arguments = {{.name = "W", .kind = CONF_WORD}}};
    static const struct directive path = {.name = "d", .arguments = {{.name = "FILE", .kind = CONF_PATH}}};
    static const struct directive text = {.name = "d", .arguments = {{.name = "T", .kind = CONF_TEXT}}};
    (void)state;

    refuses(&word, "\"\"", "W is empty", "");
    refuses(&word, "\"a b\"", "W has a blank in it", "");
    refuses(&word, "\"a\\tb\"", "W has a control character in it", "");
    takes(&path, "\"a b\"");
    refuses(&path, "\"\"", "FILE is empty", "");
    refuses(&path, "\"a\\nb\"", "FILE has a control character in it", "");
    takes(&text, "\"\"");
    assert_string_equal(text_of(0, 0), "");
    takes(&text, "\"a\\nb\"");
}

static void addresses_are_taken_apart(void **state)
{
    static const struct directive listens = {.name = "d",
                                             .arguments = {{.name = "A", .kind = CONF_LISTEN_ADDRESS}}};
    static const struct directive upstream = {.name = "d",
                                              .arguments = {{.name = "A", .kind = CONF_UPSTREAM_ADDRESS}}};
    (void)state;

    takes(&listens, "127.0.0.1:8080");
    assert_int_equal(statement.values[0][0].address.port, 8080);
    takes(&upstream, "app.example.com:3000");
    assert_string_equal(statement.values[0][0].address.host, "app.example.com");
    refuses(&listens, "127.0.0.1:99999", "\"127.0.0.1:99999\"", "");
    refuses(&upstream, "app.example.com", "\"app.example.com\"", "");
}

static void every_mistake_stands_at_its_word(void **state)
{
    (void)state;
    match(&keywords, "many per ever");
    assert_int_equal(source->diagnostics.count, 2);
    assert_int_equal(source->diagnostics.list[0].column, 3);
    assert_int_equal(source->diagnostics.list[1].column, 12);
}

#define CASE(test) cmocka_unit_test_teardown(test, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(positional_ones_come_in_their_order),
        CASE(an_optional_one_is_left_out_where_the_words_are_few),
        CASE(a_repeated_one_takes_what_the_others_leave),
        CASE(those_with_a_keyword_come_in_any_order),
        CASE(a_keyword_stands_once_and_has_a_value),
        CASE(a_number_lies_between_its_bounds),
        CASE(a_word_may_stand_for_a_number),
        CASE(a_choice_is_one_of_its_words),
        CASE(a_switch_is_on_or_off),
        CASE(words_and_paths_hold_what_they_may),
        CASE(addresses_are_taken_apart),
        CASE(every_mistake_stands_at_its_word),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
