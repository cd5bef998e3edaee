#include "http/route_test.h"

#include "unit.h"

#include <string.h>

static void assert_query(const char *query, const char *expected)
{
    char memory[256];
    struct text out;
    struct slice rest = slice_of(query), name, value;
    text_init(&out, memory, sizeof memory);
    while (query_next(&rest, &name, &value)) {
        text_add_c(&out, "(");
        text_add(&out, name);
        text_add_c(&out, "|");
        text_add(&out, value);
        text_add_c(&out, ")");
    }
    assert_string_equal(memory, expected);
}

static void a_query_is_names_and_values(void **state)
{
    (void)state;
    assert_query("", "");
    assert_query("a=1&b=2", "(a|1)(b|2)");
    assert_query("a", "(a|)");
    assert_query("a=", "(a|)");
    assert_query("=1", "(|1)");
    assert_query("a=b=c", "(a|b=c)");
    assert_query("&&a&", "(a|)");
    assert_query("a&a=1", "(a|)(a|1)");
}

static int equals(const char *encoded, const char *plain)
{
    return query_equals(slice_of(encoded), slice_of(plain));
}

static void parts_of_a_query_are_compared_decoded(void **state)
{
    (void)state;
    assert_true(equals("a", "a"));
    assert_true(equals("a+b%20c", "a b c"));
    assert_true(equals("%41%c3%bC", "A\xc3\xbc"));
    assert_true(equals("100%", "100%"));
    assert_true(equals("%4", "%4"));
    assert_true(equals("%zz", "%zz"));
    assert_true(equals("", ""));
    assert_false(equals("a", ""));
    assert_false(equals("", "a"));
    assert_false(equals("A", "a"));
    assert_false(equals("ab", "a"));
}

struct field {
    const char *name, *value;
};

/* Ends with a field without a name. */
static int header_of(const void *headers, struct slice name, size_t nth, struct slice *value)
{
    for (const struct field *field = headers; field->name; field++) {
        if (!slice_equals_nocase(slice_of(field->name), name) || nth--)
            continue;
        *value = slice_of(field->value);
        return 1;
    }
    return 0;
}

static const struct field fields[] = {{"X-A", "1"}, {"x-a", "2"}, {"Empty", ""}, {NULL, NULL}};

static const struct route_request *request(void)
{
    static struct route_request made;
    made = (struct route_request){.method = SLICE_LITERAL("GET"),
                                  .host = SLICE_LITERAL("Www.Example.com"),
                                  .path = SLICE_LITERAL("/a/b"),
                                  .query = SLICE_LITERAL("a=1&b&a=x+y"),
                                  .has_query = 1,
                                  .header = header_of,
                                  .headers = fields};
    return &made;
}

static int holds_words(enum route_test_kind kind, const char *first, const char *second)
{
    const struct slice words[] = {slice_of(first), slice_of(second)};
    const struct route_test test = {.kind = kind, .count = 2, .words = words};
    return route_test_holds(&test, request());
}

static void a_method_is_compared_with_its_case(void **state)
{
    (void)state;
    assert_int_equal(holds_words(ROUTE_TEST_METHOD, "POST", "GET"), 1);
    assert_int_equal(holds_words(ROUTE_TEST_METHOD, "get", "GETS"), 0);
}

static void a_host_is_a_name_or_all_beneath_one(void **state)
{
    (void)state;
    assert_int_equal(holds_words(ROUTE_TEST_HOST, "a", "www.example.COM"), 1);
    assert_int_equal(holds_words(ROUTE_TEST_HOST, "a", "*.example.com"), 1);
    assert_int_equal(holds_words(ROUTE_TEST_HOST, "a", "*.com"), 1);
    assert_int_equal(holds_words(ROUTE_TEST_HOST, "example.com", "*.www.example.com"), 0);
    assert_int_equal(holds_words(ROUTE_TEST_HOST, "*.ww.example.com", "ww.example.com"), 0);
}

static int holds_pair(enum route_test_kind kind, const char *name, const char *value)
{
    const struct route_test test = {.kind = kind,
                                    .name = slice_of(name),
                                    .value = slice_of(value ? value : ""),
                                    .any_value = value == NULL};
    return route_test_holds(&test, request());
}

static void a_header_has_the_value_in_one_of_its_fields(void **state)
{
    (void)state;
    assert_int_equal(holds_pair(ROUTE_TEST_HEADER, "x-A", "1"), 1);
    assert_int_equal(holds_pair(ROUTE_TEST_HEADER, "X-A", "2"), 1);
    assert_int_equal(holds_pair(ROUTE_TEST_HEADER, "X-A", "3"), 0);
    assert_int_equal(holds_pair(ROUTE_TEST_HEADER, "X-A", NULL), 1);
    assert_int_equal(holds_pair(ROUTE_TEST_HEADER, "empty", ""), 1);
    assert_int_equal(holds_pair(ROUTE_TEST_HEADER, "empty", NULL), 1);
    assert_int_equal(holds_pair(ROUTE_TEST_HEADER, "none", NULL), 0);
    assert_int_equal(holds_pair(ROUTE_TEST_HEADER, "none", ""), 0);
}

static void a_query_has_the_value_in_one_of_its_names(void **state)
{
    (void)state;
    assert_int_equal(holds_pair(ROUTE_TEST_QUERY, "a", "1"), 1);
    assert_int_equal(holds_pair(ROUTE_TEST_QUERY, "a", "x y"), 1);
    assert_int_equal(holds_pair(ROUTE_TEST_QUERY, "a", "x+y"), 0);
    assert_int_equal(holds_pair(ROUTE_TEST_QUERY, "b", ""), 1);
    assert_int_equal(holds_pair(ROUTE_TEST_QUERY, "b", NULL), 1);
    assert_int_equal(holds_pair(ROUTE_TEST_QUERY, "c", NULL), 0);
    assert_int_equal(holds_pair(ROUTE_TEST_QUERY, "A", NULL), 0);
}

static void not_holds_unless_all_inside_hold(void **state)
{
    const struct slice get = SLICE_LITERAL("GET");
    struct route_test second = {.kind = ROUTE_TEST_QUERY, .name = SLICE_LITERAL("a"), .any_value = 1};
    struct route_test first = {.kind = ROUTE_TEST_METHOD, .count = 1, .words = &get, .next = &second};
    const struct route_test not_both = {.kind = ROUTE_TEST_NOT, .inner = &first};
    (void)state;
    assert_int_equal(route_test_holds(&not_both, request()), 0);
    second.name = slice_of("none");
    assert_int_equal(route_test_holds(&not_both, request()), 1);
}

static void a_test_that_is_not_known_is_neither_true_nor_false(void **state)
{
    struct storage storage = {0};
    struct regex *regex = NULL;
    char problem[100], path[4000];
    size_t at;
    (void)state;
    assert_int_equal(regex_compile(&storage, slice_of("^(a+)+[bc]"), &regex, problem, sizeof problem, &at),
                     0);
    memset(path, 'a', sizeof path);
    struct route_request long_one = *request();
    long_one.path = (struct slice){path, sizeof path};
    struct route_test pattern = {.kind = ROUTE_TEST_PATTERN, .regex = regex};
    const struct route_test not_it = {.kind = ROUTE_TEST_NOT, .inner = &pattern};
    const struct route_test *failed = NULL;
    assert_int_equal(route_test_holds(&pattern, &long_one), ERR_LIMIT);
    assert_int_equal(route_test_holds(&not_it, &long_one), ERR_LIMIT);
    assert_int_equal(route_tests_hold(&not_it, &long_one, &failed), ERR_LIMIT);
    assert_ptr_equal(failed, &not_it);
    storage_fini(&storage);
}

static void a_test_is_shown_as_it_is_written(void **state)
{
    const struct slice methods[] = {SLICE_LITERAL("GET"), SLICE_LITERAL("HEAD")};
    struct route_test query = {
        .kind = ROUTE_TEST_QUERY, .name = SLICE_LITERAL("a"), .value = SLICE_LITERAL("b c")};
    struct route_test method = {.kind = ROUTE_TEST_METHOD, .count = 2, .words = methods, .next = &query};
    const struct route_test test = {.kind = ROUTE_TEST_NOT, .inner = &method};
    char memory[100];
    struct text out;
    (void)state;
    text_init(&out, memory, sizeof memory);
    route_test_format(&test, &out);
    assert_string_equal(memory, "not { method GET HEAD; query a b c }");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_query_is_names_and_values),
        cmocka_unit_test(parts_of_a_query_are_compared_decoded),
        cmocka_unit_test(a_method_is_compared_with_its_case),
        cmocka_unit_test(a_host_is_a_name_or_all_beneath_one),
        cmocka_unit_test(a_header_has_the_value_in_one_of_its_fields),
        cmocka_unit_test(a_query_has_the_value_in_one_of_its_names),
        cmocka_unit_test(not_holds_unless_all_inside_hold),
        cmocka_unit_test(a_test_that_is_not_known_is_neither_true_nor_false),
        cmocka_unit_test(a_test_is_shown_as_it_is_written),
    };
    return cmocka_run_group_tests_name("route_test", tests, NULL, NULL);
}
