#include "http/template.h"

#include "unit.h"

#include <stdio.h>
#include <string.h>

static struct storage storage;
static struct template_mistake mistake;

static int finish(void **state)
{
    (void)state;
    storage_fini(&storage);
    return 0;
}

/* Shows which value was asked for; {client.port} is a value that no header may hold. */
static void say(const void *context, enum template_value value, struct slice argument, struct text *out)
{
    if (value == TEMPLATE_CLIENT_PORT) {
        text_add_c(out, "a\r\nSet-Cookie: b\t\x7f");
        return;
    }
    text_add_f(out, "%s<%s", (const char *)context, template_value_name(value));
    text_add(out, argument);
    text_add_c(out, ">");
}

static void assert_rendered(const char *text, const char *expected)
{
    const struct template *template = NULL;
    char memory[256];
    struct text out;
    assert_int_equal(template_compile(&storage, slice_of(text), &template, &mistake), 0);
    text_init(&out, memory, sizeof memory);
    assert_int_equal(template_render(template, say, "", &out), 0);
    assert_string_equal(memory, expected);
}

static void literal_bytes_and_values_stand_in_their_order(void **state)
{
    (void)state;
    assert_rendered("", "");
    assert_rendered("plain", "plain");
    assert_rendered("{path}", "<path>");
    assert_rendered("a{path}b{query}c", "a<path>b<query>c");
    assert_rendered("{host}{host}", "<host><host>");
}

static void a_name_that_ends_in_a_dot_takes_what_follows(void **state)
{
    (void)state;
    assert_rendered("{request.header.X-Y}", "<request.header.X-Y>");
    assert_rendered("{query.a b}", "<query.a b>");
    assert_rendered("{match.0}{match.9}", "<match.0><match.9>");
    assert_rendered("{request.id}", "<request.id>");
}

static void a_doubled_brace_is_a_literal_one(void **state)
{
    (void)state;
    assert_rendered("{{", "{");
    assert_rendered("}}", "}");
    assert_rendered("{{path}}", "{path}");
    assert_rendered("{{{path}}}", "{<path>}");
    assert_rendered("{{{{}}}}", "{{}}");
}

static void every_value_of_the_table_can_be_written(void **state)
{
    (void)state;
    for (unsigned i = 0; i < TEMPLATE_VALUES; i++) {
        const char *name = template_value_name((enum template_value)i);
        char text[64];
        const struct template *template = NULL;
        snprintf(text, sizeof text, "{%s%s}", name, name[strlen(name) - 1] == '.' ? "1" : "");
        assert_int_equal(template_compile(&storage, slice_of(text), &template, &mistake), 0);
        assert_int_equal(template->part_count, 1);
        assert_int_equal(template->parts[0].value, i);
        assert_true(template_value_doc((enum template_value)i)[0] != '\0');
    }
}

static void assert_refused(const char *text, const char *message, const char *wanted)
{
    const struct template *template = NULL;
    assert_int_equal(template_compile(&storage, slice_of(text), &template, &mistake), ERR_SYNTAX);
    assert_null(template);
    assert_string_equal(mistake.message, message);
    assert_int_equal(mistake.wanted.length, strlen(wanted));
    assert_memory_equal(mistake.wanted.at, wanted, strlen(wanted));
    if (wanted[0]) /* lent from the caller's text */
        assert_true(mistake.wanted.at > text && mistake.wanted.at < text + strlen(text));
}

static void what_is_no_template_says_why(void **state)
{
    (void)state;
    assert_refused("a{paht}", "there is no value {paht}", "paht");
    assert_refused("{}", "there is no value {}", "");
    assert_refused("{path", "there is a { without a }", "");
    assert_refused("path}", "there is a } without a {", "");
    assert_refused("{{path}", "there is a } without a {", "");
    assert_refused("{", "there is a { without a }", "");
    assert_refused("{path.}", "there is no value {path.}", "path.");
    assert_refused("{Path}", "there is no value {Path}", "Path");
    assert_refused("{request.header.a:b}", "{request.header.a:b} names no header", "");
    assert_refused("{match.10}", "the group in {match.10} is not a number from 0 to 9", "");
    assert_refused("{match.}", "the group in {match.} is not a number from 0 to 9", "");
}

static void control_bytes_of_values_cannot_get_out(void **state)
{
    (void)state;
    assert_rendered("x{client.port}", "xa??Set-Cookie: b??");
}

static void what_does_not_fit_is_an_error(void **state)
{
    const struct template *template = NULL;
    char memory[8];
    struct text out;
    (void)state;
    assert_int_equal(template_compile(&storage, slice_of("1234567"), &template, &mistake), 0);
    text_init(&out, memory, sizeof memory);
    assert_int_equal(template_render(template, say, "", &out), 0);
    text_init(&out, memory, sizeof memory - 1);
    assert_int_equal(template_render(template, say, "", &out), ERR_NO_SPACE);
    assert_int_equal(template_compile(&storage, slice_of("{path}{path}"), &template, &mistake), 0);
    text_init(&out, memory, sizeof memory);
    assert_int_equal(template_render(template, say, "", &out), ERR_NO_SPACE);
}

static void a_text_is_at_most_8192_bytes_long(void **state)
{
    static char text[TEMPLATE_LENGTH_MAX + 1];
    const struct template *template = NULL;
    (void)state;
    memset(text, 'a', sizeof text);
    assert_int_equal(template_compile(&storage, (struct slice){text, sizeof text - 1}, &template, &mistake),
                     0);
    assert_int_equal(template_literal_length(template), TEMPLATE_LENGTH_MAX);
    assert_int_equal(template_compile(&storage, (struct slice){text, sizeof text}, &template, &mistake),
                     ERR_SYNTAX);
}

static void a_text_without_values_is_constant(void **state)
{
    const struct template *template = NULL;
    (void)state;
    assert_int_equal(template_compile(&storage, slice_of("a{{b}}"), &template, &mistake), 0);
    assert_true(template_is_constant(template));
    assert_int_equal(template_compile(&storage, slice_of("a{path}"), &template, &mistake), 0);
    assert_false(template_is_constant(template));
}

static void the_highest_group_is_known(void **state)
{
    const struct template *template = NULL;
    (void)state;
    assert_int_equal(template_compile(&storage, slice_of("{match.3}{match.1}{path}"), &template, &mistake),
                     0);
    assert_int_equal(template_highest_capture(template), 3);
    assert_int_equal(template_compile(&storage, slice_of("{path}"), &template, &mistake), 0);
    assert_int_equal(template_highest_capture(template), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(literal_bytes_and_values_stand_in_their_order, finish),
        cmocka_unit_test_teardown(a_name_that_ends_in_a_dot_takes_what_follows, finish),
        cmocka_unit_test_teardown(a_doubled_brace_is_a_literal_one, finish),
        cmocka_unit_test_teardown(every_value_of_the_table_can_be_written, finish),
        cmocka_unit_test_teardown(what_is_no_template_says_why, finish),
        cmocka_unit_test_teardown(control_bytes_of_values_cannot_get_out, finish),
        cmocka_unit_test_teardown(what_does_not_fit_is_an_error, finish),
        cmocka_unit_test_teardown(a_text_is_at_most_8192_bytes_long, finish),
        cmocka_unit_test_teardown(a_text_without_values_is_constant, finish),
        cmocka_unit_test_teardown(the_highest_group_is_known, finish),
    };
    return cmocka_run_group_tests_name("template", tests, NULL, NULL);
}
