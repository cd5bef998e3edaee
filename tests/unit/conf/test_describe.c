/* The reference that is written from the tables. */
#include "conf/directive.h"

#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const words[] = {"auto", "off", NULL};

static const char *usage(const struct directive *directive)
{
    static char memory[512];
    struct text text;

    text_init(&text, memory, sizeof memory);
    conf_format_usage(&text, directive);
    return memory;
}

static void a_usage_says_what_may_stand_where(void **state)
{
    static const struct directive plain = {.name = "plain"};
    static const struct directive repeated = {
        .name = "site", .arguments = {{.name = "ADDR", .kind = CONF_WORD, .repeat = 1}}, .opens = 1};
    static const struct directive bare = {
        .name = "check", .arguments = {{.name = "PATH", .kind = CONF_TEXT}}, .opens = 1, .bare_block = 1};
    static const struct directive keyed = {
        .name = "limit",
        .arguments = {{.name = "N", .kind = CONF_COUNT, .words = words},
                      {.name = "TIME", .kind = CONF_DURATION, .keyword = "per"},
                      {.kind = CONF_FLAG, .keyword = "backup", .optional = 1},
                      {.name = "X", .kind = CONF_WORD, .keyword = "with", .optional = 1}}};
    static const struct directive choices = {
        .name = "how",
        .arguments = {{.name = "unseen", .kind = CONF_CHOICE, .words = words},
                      {.kind = CONF_ON_OFF, .optional = 1}}};
    (void)state;

    assert_string_equal(usage(&plain), "plain");
    assert_string_equal(usage(&repeated), "site ADDR... { ... }");
    assert_string_equal(usage(&bare), "check PATH [{ ... }]");
    assert_string_equal(usage(&keyed), "limit N|auto|off per TIME [backup] [with X]");
    assert_string_equal(usage(&choices), "how auto|off [on|off]");
}

static const struct directive top[] = {
    {.name = "size",
     .contexts = 1u << 0 | 1u << 1,
     .arguments = {{.name = "SIZE", .kind = CONF_SIZE, .min = 1024, .max = 1u << 20}},
     .required = 1,
     .doc = "How large.",
     .example = "size 2k",
     .default_text = "`1k`"},
    {.name = "house",
     .contexts = 1u << 0,
     .arguments = {{.name = "NAME", .kind = CONF_TEXT}},
     .opens = 1,
     .repeat = 1,
     .required = 1,
     .unless = "tent",
     .doc = "A house."},
};
static const struct directive inside[] = {
    {.name = "wait",
     .contexts = 1u << 1,
     .arguments = {{.name = "TIME", .kind = CONF_DURATION, .min = 5},
                   {.name = "N", .kind = CONF_COUNT, .min = 1, .max = 9}},
     .doc = "How long, and how often."},
};

static void the_reference_tells_each_once_where_it_is_at_home(void **state)
{
    static const struct directive_table tables[] = {{top, 2}, {inside, 1}};
    static const struct directive_table *const all[] = {&tables[0], &tables[1]};
    static const char *const names[] = {"the top level", "a house"};
    static const struct conf_grammar grammar = {all, 2, names, 2};
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);
    (void)state;

    conf_describe(&grammar, out);
    assert_int_equal(fclose(out), 0);
    assert_string_equal(text, "## At the top level\n\n"
                              "### `size SIZE`\n\nHow large.\n\n"
                              "- SIZE: from 1k to 1m\n- Default: `1k`\n- Required. At most once.\n\n"
                              "```\nsize 2k\n```\n\n"
                              "### `house NAME { ... }`\n\nA house.\n\n"
                              "- Required, unless there is a `tent`. May be given more than once.\n\n"
                              "## In a house\n\n"
                              "### `wait TIME N`\n\nHow long, and how often.\n\n"
                              "- TIME: at least 5ms\n- N: from 1 to 9\n- At most once.\n\n"
                              "These stand here, too, and mean what is said above:\n\n"
                              "- `size`\n\n");
    free(text);
}

static void a_usage_that_does_not_fit_is_cut(void **state)
{
    static const struct directive keyed = {.name = "a_long_name",
                                           .arguments = {{.name = "LONG", .kind = CONF_WORD}}};
    char memory[8];
    struct text text;
    (void)state;

    text_init(&text, memory, sizeof memory);
    conf_format_usage(&text, &keyed);
    assert_true(text.overflow);
    assert_true(strlen(memory) < sizeof memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_usage_says_what_may_stand_where),
        cmocka_unit_test(the_reference_tells_each_once_where_it_is_at_home),
        cmocka_unit_test(a_usage_that_does_not_fit_is_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
