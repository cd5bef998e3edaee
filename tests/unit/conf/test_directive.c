#include "conf/directive.h"

#include "base/bytes.h"
#include "conf/source.h"
#include "unit.h"

#include <stdlib.h>
#include <string.h>

/* A small grammar with one of everything; every callback writes down what it was given. */

enum { TOP, HOUSE, ROOM };

struct journal {
    char memory[2048];
    struct text text;
};

static struct journal journal;

static void add_value(const struct directive_argument *argument, const struct conf_value *value)
{
    if (value->word >= 0)
        text_add_f(&journal.text, " word%d", value->word);
    else if (argument->kind == CONF_SITE_ADDRESS || argument->kind == CONF_LISTEN_ADDRESS) {
        text_add_c(&journal.text, " @");
        conf_format_address(&journal.text, &value->address);
    } else if (argument->kind == CONF_COUNT || argument->kind == CONF_SIZE ||
               argument->kind == CONF_DURATION || argument->kind == CONF_ON_OFF)
        text_add_f(&journal.text, " %llu", (unsigned long long)value->number);
    else
        text_add_f(&journal.text, " '%s'", value->text);
}

static int apply(void *into, const struct conf_statement *statement, void **child)
{
    text_add_f(&journal.text, "%s.%s:", (const char *)into, conf_name(statement->node));
    for (size_t i = 0; i < DIRECTIVE_ARGUMENTS_MAX; i++) {
        for (size_t k = 0; k < statement->counts[i]; k++)
            add_value(&statement->directive->arguments[i], &statement->values[i][k]);
        if (!statement->counts[i] && statement->directive->arguments[i].kind != CONF_NOTHING)
            text_add_c(&journal.text, " -");
    }
    text_add_c(&journal.text, "\n");
    *child = statement->directive->opens == HOUSE ? "house" : "room";
    return 0;
}

static int finish(void *child, const struct conf_statement *statement)
{
    text_add_f(&journal.text, "end of %s %s\n", (const char *)child, statement->values[0][0].text);
    return 0;
}

static int refuse(void *into, const struct conf_statement *statement, void **child)
{
    (void)into;
    (void)child;
    conf_refuse_value(statement, conf_value(statement, 0), "a hint", "I do not like %s",
                      conf_value(statement, 0)->text);
    return 0;
}

static int give_up(void *into, const struct conf_statement *statement, void **child)
{
    (void)into;
    (void)statement;
    (void)child;
    return ERR_NO_MEMORY;
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static const struct directive directives[] = {
    {.name = "count",
     .contexts = 1 << TOP,
     .arguments = {{.name = "N", .kind = CONF_COUNT, .min = 2, .max = 9, .words = WORDS("auto", "many")}},
     .doc = "Counts.",
     .example = "count 2",
     .default_text = "`auto`",
     .apply = apply},
    {.name = "size",
     .contexts = 1 << TOP,
     .arguments = {{.name = "SIZE", .kind = CONF_SIZE, .max = 1024}},
     .doc = "d",
     .apply = apply},
    {.name = "time",
     .contexts = 1 << TOP,
     .arguments = {{.name = "TIME", .kind = CONF_DURATION, .min = 500}},
     .doc = "d",
     .apply = apply},
    {.name = "switch",
     .contexts = 1 << TOP,
     .arguments = {{.name = "S", .kind = CONF_ON_OFF}},
     .doc = "d",
     .apply = apply},
    {.name = "choice",
     .contexts = 1 << TOP,
     .arguments = {{.name = "C", .kind = CONF_CHOICE, .words = WORDS("red", "green")}},
     .doc = "d",
     .apply = apply},
    {.name = "word",
     .contexts = 1 << TOP,
     .arguments = {{.name = "WORD", .kind = CONF_WORD}},
     .doc = "d",
     .apply = apply},
    {.name = "path",
     .contexts = 1 << TOP,
     .arguments = {{.name = "PATH", .kind = CONF_PATH}},
     .doc = "d",
     .apply = apply},
    {.name = "text",
     .contexts = 1 << TOP,
     .arguments = {{.name = "TEXT", .kind = CONF_TEXT}},
     .doc = "d",
     .apply = apply},
    {.name = "listen",
     .contexts = 1 << TOP,
     .arguments = {{.name = "ADDRESS", .kind = CONF_LISTEN_ADDRESS, .repeat = 1}},
     .doc = "d",
     .apply = apply},
    {.name = "limit",
     .contexts = 1 << TOP,
     .arguments = {{.name = "N", .kind = CONF_COUNT},
                   {.name = "TIME", .kind = CONF_DURATION, .keyword = "per"}},
     .doc = "d",
     .apply = apply},
    {.name = "server",
     .contexts = 1 << TOP,
     .repeat = 1,
     .arguments = {{.name = "NAME", .kind = CONF_WORD, .repeat = 1},
                   {.name = "N", .kind = CONF_COUNT, .keyword = "weight", .optional = 1},
                   {.kind = CONF_FLAG, .keyword = "backup", .optional = 1}},
     .doc = "d",
     .apply = apply},
    {.name = "maybe",
     .contexts = 1 << TOP,
     .arguments = {{.name = "A", .kind = CONF_WORD}, {.name = "B", .kind = CONF_WORD, .optional = 1}},
     .doc = "d",
     .apply = apply},
    {.name = "move",
     .contexts = 1 << TOP,
     .arguments = {{.name = "N", .kind = CONF_COUNT, .optional = 1},
                   {.name = "TO", .kind = CONF_WORD},
                   {.kind = CONF_FLAG, .keyword = "fast", .optional = 1}},
     .repeat = 1,
     .doc = "d",
     .apply = apply},
    {.name = "house",
     .contexts = 1 << TOP,
     .arguments = {{.name = "NAME", .kind = CONF_WORD}},
     .opens = HOUSE,
     .repeat = 1,
     .doc = "d",
     .apply = apply,
     .finish = finish},
    {.name = "room",
     .contexts = 1 << HOUSE,
     .opens = ROOM,
     .bare_block = 1,
     .repeat = 1,
     .doc = "d",
     .apply = apply},
    {.name = "door",
     .contexts = 1 << HOUSE | 1 << ROOM,
     .arguments = {{.name = "N", .kind = CONF_COUNT}},
     .required = 1,
     .doc = "d",
     .apply = apply},
    {.name = "*",
     .contexts = 1 << ROOM,
     .repeat = 1,
     .arguments = {{.name = "VALUE", .kind = CONF_TEXT, .repeat = 1}},
     .doc = "Anything.",
     .apply = apply},
};
static const struct directive more_directives[] = {
    {.name = "refuse",
     .contexts = 1 << TOP,
     .arguments = {{.name = "X", .kind = CONF_WORD}},
     .doc = "d",
     .apply = refuse},
    {.name = "fail", .contexts = 1 << TOP, .doc = "d", .apply = give_up},
};
static const struct directive_table first_table = {directives, sizeof directives / sizeof directives[0]};
static const struct directive_table second_table = {more_directives, 2};
static const struct directive_table *const tables[] = {&first_table, &second_table};
static const char *const contexts[] = {"the top level", "a house", "a room"};
static const struct conf_grammar grammar = {tables, 2, contexts, 3};

static int apply_text(struct source *source)
{
    text_init(&journal.text, journal.memory, sizeof journal.memory);
    return conf_apply(&source->tree, &grammar, "top", &source->diagnostics);
}

static void assert_applied(const char *text, const char *expected)
{
    struct source *source = source_new(text);
    assert_int_equal(apply_text(source), 0);
    char *report = source_report(source);
    assert_string_equal(report, "");
    assert_string_equal(journal.memory, expected);
    free(report);
    source_free(source);
}

/* Messages and hints without the source lines, each ending in a line feed. */
static void assert_refused(const char *text, const char *expected)
{
    char memory[4096];
    struct text lines;
    struct source *source = source_new(text);
    assert_int_equal(apply_text(source), 0);
    free(source_report(source)); /* sorts */
    text_init(&lines, memory, sizeof memory);
    for (size_t i = 0; i < source->diagnostics.count; i++) {
        const struct diagnostic *one = &source->diagnostics.list[i];
        text_add_f(&lines, "%u:%u %s%s%s\n", one->line, one->column, one->message, one->hint[0] ? " = " : "",
                   one->hint);
    }
    assert_string_equal(memory, expected);
    source_free(source);
}

static void each_kind_of_argument_comes_as_its_value(void **state)
{
    (void)state;
    assert_applied("count 9", "top.count: 9\n");
    assert_applied("count auto", "top.count: word0\n");
    assert_applied("count many", "top.count: word1\n");
    assert_applied("size 1k", "top.size: 1024\n");
    assert_applied("time 1m", "top.time: 60000\n");
    assert_applied("switch on", "top.switch: 1\n");
    assert_applied("choice green", "top.choice: word1\n");
    assert_applied("word a-b", "top.word: 'a-b'\n");
    assert_applied("path \"/a b\"", "top.path: '/a b'\n");
    assert_applied("text \"\"", "top.text: ''\n");
    assert_applied("listen :80 [::1]:81", "top.listen: @:80 @[::1]:81\n");
}

static void arguments_with_keywords_come_in_any_order_after_the_others(void **state)
{
    (void)state;
    assert_applied("limit 5 per 10s", "top.limit: 5 10000\n");
    assert_applied("server a", "top.server: 'a' - -\n");
    assert_applied("server a b backup weight 3", "top.server: 'a' 'b' 3 'backup'\n");
    assert_applied("server a \"backup\" backup", "top.server: 'a' 'backup' - 'backup'\n");
    assert_applied("maybe a", "top.maybe: 'a' -\n");
    assert_applied("maybe a b", "top.maybe: 'a' 'b'\n");
}

static void an_optional_argument_is_left_out_where_the_words_do_only_for_those_behind_it(void **state)
{
    (void)state;
    struct source *source = source_new("move 7 there\nmove there\nmove 7\nmove 7 there fast\n");
    assert_int_equal(apply_text(source), 0);
    assert_int_equal(source->diagnostics.count, 0);
    assert_string_equal(journal.memory, "top.move: 7 'there' -\ntop.move: - 'there' -\ntop.move: - '7' -\n"
                                        "top.move: 7 'there' 'fast'\n");
    source_free(source);
}

static void blocks_get_what_their_statement_made(void **state)
{
    (void)state;
    assert_applied("house a {\n door 1\n room\n room {\n  door 2\n  x y z\n }\n}\nhouse b {\n door 3\n}\n",
                   "top.house: 'a'\nhouse.door: 1\nhouse.room:\nhouse.room:\nroom.door: 2\nroom.x: 'y' 'z'\n"
                   "end of house a\n"
                   "top.house: 'b'\nhouse.door: 3\nend of house b\n");
}

static void wrong_values_say_what_is_expected(void **state)
{
    (void)state;
    assert_refused("count 1", "1:7 \"1\" is too small = from 2 to 9, or \"auto\" or \"many\"\n");
    assert_refused("count 10", "1:7 \"10\" is too large = from 2 to 9, or \"auto\" or \"many\"\n");
    assert_refused("count 99999999999999999999",
                   "1:7 \"99999999999999999999\" is too large = from 2 to 9, or \"auto\" or \"many\"\n");
    assert_refused("count -1", "1:7 \"-1\" is not a number = from 2 to 9, or \"auto\" or \"many\"\n");
    assert_refused("count aut", "1:7 \"aut\" is not a number = did you mean \"auto\"?\n");
    assert_refused("size 1kb", "1:6 \"1kb\" is not a size = from 0 to 1k\n");
    assert_refused("size 2k", "1:6 \"2k\" is too large = from 0 to 1k\n");
    assert_refused("time 499ms", "1:6 \"499ms\" is too small = at least 500ms\n");
    assert_refused("time 10", "1:6 \"10\" has no unit = the units are ms, s, m, h and d: 10s\n");
    assert_refused("time soon", "1:6 \"soon\" is not a duration = at least 500ms\n");
    assert_refused("switch onn", "1:8 \"onn\" is neither \"on\" nor \"off\" = did you mean \"on\"?\n");
    assert_refused("switch true", "1:8 \"true\" is neither \"on\" nor \"off\"\n");
    assert_refused("choice blue", "1:8 \"blue\" is none of \"red\", \"green\"\n");
    assert_refused("choice gren", "1:8 \"gren\" is none of \"red\", \"green\" = did you mean \"green\"?\n");
    assert_refused("word \"a b\"", "1:6 WORD has a blank in it\n");
    assert_refused("word \"\"", "1:6 WORD is empty\n");
    assert_refused("path \"a\\nb\"", "1:6 PATH has a control character in it\n");
    assert_refused("listen :80 a:80", "1:12 \"a:80\" needs an IP address, not a name\n");
}

static void wrong_numbers_of_words_show_the_usage(void **state)
{
    (void)state;
    assert_refused("count", "1:1 \"count\" needs N = usage: count N|auto|many\n");
    assert_refused("choice", "1:1 \"choice\" needs \"red\" or \"green\" = usage: choice red|green\n");
    assert_refused("count 2 3", "1:9 \"3\" is one word too many = usage: count N|auto|many\n");
    assert_refused("limit 5", "1:1 \"limit\" needs \"per TIME\" = usage: limit N per TIME\n");
    assert_refused("limit per 5s", "1:1 \"limit\" needs N = usage: limit N per TIME\n");
    assert_refused("limit 5 per", "1:1 \"limit\" needs \"per TIME\" = usage: limit N per TIME\n");
    assert_refused("limit 5 10s", "1:9 \"10s\" is one word too many = usage: limit N per TIME\n");
    assert_refused("server a weight 1 weight 2",
                   "1:19 \"weight\" is given twice = usage: server NAME... [weight N] [backup]\n");
    assert_refused("listen", "1:1 \"listen\" needs ADDRESS = usage: listen ADDRESS...\n");
    assert_refused("maybe a b c", "1:11 \"c\" is one word too many = usage: maybe A [B]\n");
}

static void what_stands_in_the_wrong_place_is_told_where_it_belongs(void **state)
{
    (void)state;
    assert_refused("door 1",
                   "1:1 \"door\" cannot stand at the top level = it belongs in a house or in a room\n");
    assert_refused("house a {\n door 1\n count 2\n}",
                   "3:2 \"count\" cannot stand in a house = it belongs at the top level\n");
    assert_refused("cuont 2", "1:1 unknown directive \"cuont\" = did you mean \"count\"?\n");
    assert_refused("inclde x", "1:1 unknown directive \"inclde\" = did you mean \"include\"?\n");
    assert_refused("quite_different 2", "1:1 unknown directive \"quite_different\"\n");
}

static void blocks_stand_where_they_belong_and_only_there(void **state)
{
    (void)state;
    assert_refused("house a", "1:1 \"house\" needs a block = usage: house NAME { ... }\n");
    assert_refused("count 2 {\n}", "1:1 \"count\" has no block = usage: count N|auto|many\n");
}

static void what_may_stand_once_and_what_must_stand_is_watched_for_each_block(void **state)
{
    (void)state;
    assert_refused("count 2\nswitch on\ncount 3",
                   "3:1 \"count\" is given twice = it was given first in line 1\n");
    assert_refused("house a {\n}", "1:1 this \"house\" has no \"door\" = usage: door N\n");
    /* A misspelt one is not missing as well. */
    assert_refused("house a {\n doro 1\n}", "2:2 unknown directive \"doro\" = did you mean \"door\"?\n");
}

static void inside_a_wrong_statement_everything_is_checked_and_nothing_applied(void **state)
{
    (void)state;
    assert_refused(
        "house \"\" {\n door x\n room {\n  door y\n }\n}",
        "1:7 NAME is empty\n2:7 \"x\" is not a number = digits\n4:8 \"y\" is not a number = digits\n");
    assert_string_equal(journal.memory, "");
    assert_refused(
        "house ${NONE} {\n door x\n}",
        "1:7 the environment variable NONE is not set = set it, or give a default: ${NONE:-value}\n"
        "2:7 \"x\" is not a number = digits\n");
}

static void a_callback_can_refuse_and_the_walk_goes_on(void **state)
{
    (void)state;
    assert_refused("refuse me\ncount x",
                   "1:8 I do not like me = a hint\n"
                   "2:7 \"x\" is not a number = from 2 to 9, or \"auto\" or \"many\"\n");
}

static void an_error_of_a_callback_ends_the_walk(void **state)
{
    (void)state;
    struct source *source = source_new("fail\ncount 2");
    assert_int_equal(apply_text(source), ERR_NO_MEMORY);
    assert_string_equal(journal.memory, "");
    source_free(source);
}

static void the_reference_is_written_from_the_tables(void **state)
{
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    (void)state;
    assert_non_null(out);
    conf_describe(&grammar, out);
    fclose(out);
    const char head[] = "## At the top level\n\n### `count N|auto|many`\n\nCounts.\n\n- N: from 2 to 9\n"
                        "- Default: `auto`\n- At most once.\n\n```\ncount 2\n```\n\n### `size SIZE`\n";
    assert_memory_equal(text, head, sizeof head - 1);
    assert_non_null(strstr(text, "\n### `door N`\n\nd\n\n- Required. At most once.\n"));
    assert_non_null(strstr(text, "\n### `server NAME... [weight N] [backup]`\n"));
    assert_non_null(strstr(text, "\n### `room [{ ... }]`\n"));
    assert_non_null(strstr(text, "\n### `switch on|off`\n"));
    /* `door` stands in two contexts, and is described in the first. */
    assert_non_null(strstr(text, "These stand here, too, and mean what is said above:\n\n- `door`\n\n"));
    assert_null(strstr(strstr(text, "### `door N`") + 1, "### `door N`"));
    free(text);
}

static void any_bytes_survive_being_quoted(void **state)
{
    char quoted[600], bytes[256];
    struct text out;
    size_t length = 0;
    (void)state;
    bytes[length++] = '\t';
    bytes[length++] = '\n';
    for (int c = 0x20; c < 256; c++) {
        if (c != 0x7f)
            bytes[length++] = (char)c;
    }
    text_init(&out, quoted, sizeof quoted);
    text_add_c(&out, "text ");
    conf_quote(&out, (struct slice){bytes, length});
    struct source *source = source_new(quoted);
    assert_int_equal(source->diagnostics.count, 0);
    struct conf_node node = source_child(conf_root(&source->tree), "text", 0);
    assert_int_equal(strlen(conf_arg(node, 0)), length);
    assert_memory_equal(conf_arg(node, 0), bytes, length);
    source_free(source);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_of_argument_comes_as_its_value),
        cmocka_unit_test(arguments_with_keywords_come_in_any_order_after_the_others),
        cmocka_unit_test(an_optional_argument_is_left_out_where_the_words_do_only_for_those_behind_it),
        cmocka_unit_test(blocks_get_what_their_statement_made),
        cmocka_unit_test(wrong_values_say_what_is_expected),
        cmocka_unit_test(wrong_numbers_of_words_show_the_usage),
        cmocka_unit_test(what_stands_in_the_wrong_place_is_told_where_it_belongs),
        cmocka_unit_test(blocks_stand_where_they_belong_and_only_there),
        cmocka_unit_test(what_may_stand_once_and_what_must_stand_is_watched_for_each_block),
        cmocka_unit_test(inside_a_wrong_statement_everything_is_checked_and_nothing_applied),
        cmocka_unit_test(a_callback_can_refuse_and_the_walk_goes_on),
        cmocka_unit_test(an_error_of_a_callback_ends_the_walk),
        cmocka_unit_test(the_reference_is_written_from_the_tables),
        cmocka_unit_test(any_bytes_survive_being_quoted),
    };
    return cmocka_run_group_tests_name("directive", tests, NULL, NULL);
}
