#include "conf/parse.h"

#include "conf/source.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static void assert_outline(const char *text, const char *expected)
{
    struct source *source = source_new(text);
    char *report = source_report(source);
    assert_string_equal(report, "");
    assert_int_equal(source->error, 0);
    char *outline = source_outline(&source->tree);
    assert_string_equal(outline, expected);
    free(outline);
    free(report);
    source_free(source);
}

/* The first line of the only diagnostic is "t.conf:" and this. */
static void assert_mistake(const char *text, const char *expected)
{
    struct source *source = source_new(text);
    char *report = source_report(source);
    assert_int_equal(source->diagnostics.count, 1);
    assert_memory_equal(report, "t.conf:", 7);
    report[strcspn(report, "\n")] = '\0';
    assert_string_equal(report + 7, expected);
    free(report);
    source_free(source);
}

static void statements_end_with_their_line(void **state)
{
    (void)state;
    assert_outline("", "");
    assert_outline("\n\n  \t\n# only a comment", "");
    assert_outline("a b c\nd", "a(b,c)d()");
    assert_outline("  a\tb   c  \n", "a(b,c)");
    assert_outline("a b # c d\n#e\nf", "a(b)f()");
    assert_outline("a b#c", "a(b#c)");
}

static void blocks_stand_in_braces(void **state)
{
    (void)state;
    assert_outline("a b {\n  c\n  d {\n  }\n}\ne", "a(b){c()d(){}}e()");
    assert_outline("a { # one\n} # two\n", "a(){}");
}

static void a_backslash_at_the_end_of_a_line_goes_on(void **state)
{
    (void)state;
    assert_outline("a b \\\n   c\\\n d\ne", "a(b,c,d)e()");
    assert_outline("a \\\r\n b {\r\n}\r\n", "a(b){}");
    assert_outline("a \\d+\\\\.x b\\c", "a(\\d+\\\\.x,b\\c)");
    assert_outline("a \\", "a()");
    assert_outline("# no \\\na", "a()");
}

static void lines_may_end_in_cr_lf(void **state)
{
    (void)state;
    assert_outline("a b\r\n\r\nc {\r\n\td\r\n}\r\n", "a(b)c(){d()}");
    assert_mistake("a \rb\n", "1:3: error: byte 0x0d is a control character");
}

static void a_byte_order_mark_is_passed_over(void **state)
{
    (void)state;
    assert_outline("\xef\xbb\xbf"
                   "a b\n",
                   "a(b)");
    assert_mistake("\xef\xbb\xbf"
                   "a \"",
                   "1:3: error: the quoted string is not closed");
}

static void quoted_strings_hold_blanks_and_escapes(void **state)
{
    (void)state;
    assert_outline("a \"b c\" \"\" \"{\" \"#\"", "a(b c,,{,#)");
    assert_outline("a \"\\\"\\\\\\n\\t\\$\\${NAME}\"", "a(\"\\\n\t$${NAME})");
    assert_mistake("a \"b", "1:3: error: the quoted string is not closed");
    assert_mistake("a \"b\\", "1:3: error: the quoted string is not closed");
    assert_mistake("a \"b\\\nc", "1:3: error: the quoted string is not closed");
    assert_mistake("a \"\\x\"", "1:4: error: unknown escape in a quoted string");
    assert_mistake("a \"b\"c", "1:6: error: a blank is missing after the closing quote");
    assert_mistake("a b\"c\"", "1:4: error: a quote in the middle of a word");
}

static void placeholders_are_left_alone(void **state)
{
    (void)state;
    assert_outline("a --port={port} {client.address} \\d{3}", "a(--port={port},{client.address},\\d{3})");
    assert_mistake("a {port", "1:3: error: the braces in this word do not come in pairs");
    assert_mistake("a port}", "1:3: error: the braces in this word do not come in pairs");
}

static void the_environment_is_filled_in_and_stays_in_its_word(void **state)
{
    (void)state;
    assert_outline("a ${NAME} x${NAME}y \"${NAME} z\" $NAME $ {${NAME}}",
                   "a(value,xvaluey,value z,$NAME,$,{value})");
    assert_outline("a ${NONE:-b} ${EMPTY:-c} ${NAME:-d} \"${NONE:-e f}\" ${NONE:-}", "a(b,c,value,e f,)");
    assert_outline("a ${EMPTY} ${BRACE} ${SEMI}", "a(,{,a;)");
    assert_outline("${NAME} b", "value(b)");
    assert_mistake("a ${NONE}", "1:3: error: the environment variable NONE is not set");
    assert_mistake("a ${NAME", "1:3: error: ${ has no } behind it");
    assert_mistake("a ${NONE:-b c}", "1:3: error: ${ has no } behind it");
    assert_mistake("a \"${NAME\"", "1:4: error: ${ has no } behind it");
    assert_mistake("a ${}", "1:3: error: this is not the name of an environment variable");
    assert_mistake("a ${1A}", "1:3: error: this is not the name of an environment variable");
    assert_mistake("a ${NAME:b}", "1:3: error: this is not the name of an environment variable");
}

static void control_bytes_are_refused_once_a_line(void **state)
{
    (void)state;
    assert_mistake("a b\001\002c", "1:4: error: byte 0x01 is a control character");
    assert_mistake("a # \x7f", "1:5: error: byte 0x7f is a control character");
    assert_mistake("a \"\x1b\"", "1:4: error: byte 0x1b is a control character");
    struct source *source = source_new_bytes("a\0b\nc\0\nd", 8);
    assert_int_equal(source->diagnostics.count, 2);
    source_free(source);
}

static void braces_in_wrong_places_are_explained(void **state)
{
    (void)state;
    assert_mistake("a {b", "1:3: error: the braces in this word do not come in pairs");
    assert_mistake("a :80{\nb\n}", "1:6: error: a blank is missing before the {");
    assert_mistake("a { b }", "1:3: error: something follows the { on its line");
    assert_mistake("a {\nb }", "2:3: error: } stands alone on its line");
    assert_mistake("a {\n};", "2:1: error: } stands alone on its line");
    assert_mistake("a {\n} b", "2:3: error: nothing else stands on the line of a }");
    assert_mistake("{\n}", "1:1: error: a block without a directive");
    assert_mistake("a b;", "1:3: error: a statement ends with its line, not with ;");
}

static void a_block_that_is_not_closed_is_named_by_its_beginning(void **state)
{
    (void)state;
    assert_mistake("a\nbb c {\n  d {\n}\n", "2:1: error: this block is not closed");
    assert_mistake("a\n}\nb", "2:1: error: this } closes nothing");
    struct source *source = source_new("a {");
    assert_int_equal(source->error, ERR_SYNTAX);
    source_free(source);
}

static void after_a_mistake_the_rest_is_read_all_the_same(void **state)
{
    (void)state;
    struct source *source = source_new("a \"b\nc {\n d ${NONE}\n e f;\n}\ng");
    assert_int_equal(source->error, 0);
    assert_int_equal(source->diagnostics.count, 3);
    struct conf_node root = conf_root(&source->tree), c = source_child(root, "c", 0);
    assert_true(conf_is_broken(source_child(root, "a", 0)));
    assert_false(conf_is_broken(c));
    assert_true(conf_is_broken(source_child(c, "d", 0)));
    assert_true(conf_is_broken(source_child(c, "e", 0)));
    assert_false(conf_is_broken(source_child(root, "g", 0)));
    source_free(source);
}

static char *repeat(const char *head, const char *piece, size_t times, const char *tail)
{
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    assert_non_null(out);
    fputs(head, out);
    for (size_t i = 0; i < times; i++)
        fputs(piece, out);
    fputs(tail, out);
    fclose(out);
    return text;
}

static void assert_mistakes(char *text, size_t count)
{
    struct source *source = source_new(text);
    assert_int_equal(source->diagnostics.count, count);
    source_free(source);
    free(text);
}

static void limits_hold_to_the_last_one_allowed(void **state)
{
    (void)state;
    assert_mistakes(repeat("a", " b", 256, "\n"), 0);
    assert_mistakes(repeat("a", " b", 257, "\n"), 1);
    char *deep = repeat("", "a {\n", 16, ""), *closed = repeat(deep, "}\n", 16, "");
    assert_mistakes(closed, 0);
    free(deep);
    assert_mistakes(repeat("", "a {\n", 17, ""), 1);
    assert_mistakes(repeat("a ", "b", (1 << 20) - 1, "\n"), 0);
    assert_mistakes(repeat("a ", "b", 1 << 20, "\n"), 1);
}

static void more_than_16_mib_in_all_is_refused(void **state)
{
    (void)state;
    /* Some 80 bytes a statement in the tree. */
    char *text = repeat("", "a b\n", 300000, "");
    struct source *source = source_new(text);
    char *report = source_report(source);
    assert_int_equal(source->error, ERR_LIMIT);
    assert_string_equal(report, "t.conf: error: the configuration is larger than 16 MiB in all\n");
    free(report);
    source_free(source);
    free(text);
}

static void a_source_is_read_to_its_last_byte_and_not_beyond(void **state)
{
    static const char *const texts[] = {"a",     "a \\", "a \"", "a \"\\", "a $", "a ${",
                                        "a ${N", "a \r", "#",    "a {",    "}",   "\xef\xbb"};
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *memory = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    (void)state;
    assert_ptr_not_equal(memory, MAP_FAILED);
    assert_int_equal(mprotect(memory + page, page, PROT_NONE), 0);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        size_t length = strlen(texts[i]);
        char *at = memory + page - length;
        memcpy(at, texts[i], length);
        source_free(source_new_bytes(at, length));
    }
    munmap(memory, 2 * page);
}

/* Files. */

static char folder[64];

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/hf-parse-XXXXXX");
    return mkdtemp(folder) && chdir(folder) == 0 ? 0 : -1;
}

static int remove_folder(void **state)
{
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -r %s", folder);
    return chdir("/") || system(command);
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static char *read_files(const char *path, char **report)
{
    const struct conf_parse_options options = {.environment = NULL};
    static struct diagnostics diagnostics;
    struct conf_builder *builder;
    struct conf_tree tree;
    void *image = NULL;
    char *outline = NULL;
    size_t size = 0;
    diagnostics_init(&diagnostics);
    assert_int_equal(conf_builder_new(&builder), 0);
    if (conf_parse_file(builder, path, &options, &diagnostics) == 0) {
        assert_int_equal(conf_builder_image(builder, &image, &size), 0);
        assert_int_equal(conf_tree_view(&tree, image, size), 0);
        outline = source_outline(&tree);
    }
    FILE *out = open_memstream(report, &size);
    assert_non_null(out);
    diagnostics_print(&diagnostics, out);
    fclose(out);
    conf_builder_free(&builder);
    free(image);
    return outline;
}

static void assert_read(const char *path, const char *expected)
{
    char *report, *outline = read_files(path, &report);
    assert_string_equal(report, "");
    assert_string_equal(outline, expected);
    free(outline);
    free(report);
}

static void assert_refused(const char *path, const char *expected)
{
    char *report, *outline = read_files(path, &report);
    assert_null(outline);
    assert_string_equal(report, expected);
    free(report);
}

static void included_files_stand_where_they_are_named_in_the_order_of_their_names(void **state)
{
    (void)state;
    assert_int_equal(mkdir("parts", 0755), 0);
    assert_int_equal(mkdir("parts/[x]*", 0755), 0);
    write_file("parts/b.conf", "b\n");
    write_file("parts/a.conf", "a\ninclude */deep.conf\n");
    write_file("parts/.hidden.conf", "hidden\n");
    write_file("parts/[x]*/deep.conf", "deep\ninclude deeper.conf\n");
    write_file("parts/[x]*/deeper.conf", "deeper {\n}\n");
    write_file("main.conf", "first\nblock {\n include parts/*.conf none/*.conf\n}\nlast\n");
    /* Wildcards in the name of a folder that a file lies in are no wildcards for its includes. */
    assert_read("main.conf", "first()block(){a()deep()deeper(){}b()}last()");
    char absolute[256];
    snprintf(absolute, sizeof absolute, "include %s/parts/b.conf parts/b.conf\n", folder);
    write_file("main.conf", absolute);
    assert_read("main.conf", "b()b()");
}

static void files_that_include_themselves_are_found_out(void **state)
{
    (void)state;
    write_file("a.conf", "include b.conf\n");
    write_file("b.conf", "include ./a.conf\n");
    assert_refused("a.conf", "b.conf:1:9: error: \"./a.conf\" includes itself\n"
                             "    1 | include ./a.conf\n"
                             "      |         ^~~~~~~~\n");
}

static void includes_are_ten_deep_at_most(void **state)
{
    char name[32], text[64];
    (void)state;
    for (int i = 0; i < 10; i++) {
        snprintf(name, sizeof name, "%d.conf", i);
        snprintf(text, sizeof text, "include %d.conf\n", i + 1);
        write_file(name, text);
    }
    write_file("10.conf", "end\n");
    assert_read("0.conf", "end()");
    write_file("10.conf", "include 11.conf\n");
    write_file("11.conf", "end\n");
    assert_refused("0.conf", "10.conf:1:9: error: \"11.conf\" would be the 11th include inside an include\n"
                             "    1 | include 11.conf\n"
                             "      |         ^~~~~~~\n");
}

static void what_is_not_a_readable_file_is_refused_with_the_reason(void **state)
{
    (void)state;
    assert_refused("none.conf", "none.conf: error: the file cannot be read: No such file or directory\n");
    assert_int_equal(mkdir("dir", 0755), 0);
    assert_refused("dir", "dir: error: the file is a folder\n");
    assert_int_equal(mkfifo("fifo", 0600), 0);
    assert_refused("fifo", "fifo: error: the file is not a regular file\n");
    write_file("a.conf", "include none.conf\n");
    assert_refused("a.conf", "a.conf:1:9: error: there is no file \"none.conf\"\n"
                             "    1 | include none.conf\n"
                             "      |         ^~~~~~~~~\n"
                             "      = only a name with * or ? may match nothing\n");
    write_file("a.conf", "include\n");
    assert_refused("a.conf", "a.conf:1:1: error: include needs a file\n"
                             "    1 | include\n"
                             "      | ^~~~~~~\n"
                             "      = usage: include GLOB...\n");
    write_file("large.conf", "");
    assert_int_equal(truncate("large.conf", (4 << 20) + 1), 0);
    assert_refused("large.conf", "large.conf: error: the file is larger than 4 MiB\n");
}

static void an_included_file_closes_what_it_opens_and_no_more(void **state)
{
    (void)state;
    write_file("open.conf", "b {\n");
    write_file("close.conf", "}\n");
    write_file("a.conf", "a {\n include open.conf\n}\n");
    assert_refused("a.conf", "open.conf:1:1: error: this block is not closed\n"
                             "    1 | b {\n"
                             "      | ^\n"
                             "      = its } has a line of its own\n");
    write_file("a.conf", "a {\n include close.conf\n}\n");
    assert_refused("a.conf", "close.conf:1:1: error: this } closes nothing\n"
                             "    1 | }\n"
                             "      | ^\n");
}

#define FILES_TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(statements_end_with_their_line),
        cmocka_unit_test(blocks_stand_in_braces),
        cmocka_unit_test(a_backslash_at_the_end_of_a_line_goes_on),
        cmocka_unit_test(lines_may_end_in_cr_lf),
        cmocka_unit_test(a_byte_order_mark_is_passed_over),
        cmocka_unit_test(quoted_strings_hold_blanks_and_escapes),
        cmocka_unit_test(placeholders_are_left_alone),
        cmocka_unit_test(the_environment_is_filled_in_and_stays_in_its_word),
        cmocka_unit_test(control_bytes_are_refused_once_a_line),
        cmocka_unit_test(braces_in_wrong_places_are_explained),
        cmocka_unit_test(a_block_that_is_not_closed_is_named_by_its_beginning),
        cmocka_unit_test(after_a_mistake_the_rest_is_read_all_the_same),
        cmocka_unit_test(limits_hold_to_the_last_one_allowed),
        cmocka_unit_test(more_than_16_mib_in_all_is_refused),
        cmocka_unit_test(a_source_is_read_to_its_last_byte_and_not_beyond),
        FILES_TEST(included_files_stand_where_they_are_named_in_the_order_of_their_names),
        FILES_TEST(files_that_include_themselves_are_found_out),
        FILES_TEST(includes_are_ten_deep_at_most),
        FILES_TEST(what_is_not_a_readable_file_is_refused_with_the_reason),
        FILES_TEST(an_included_file_closes_what_it_opens_and_no_more),
    };
    return cmocka_run_group_tests_name("parse", tests, NULL, NULL);
}
