#include "http/regex.h"

#include "base/clock.h"
#include "unit.h"

#include <string.h>

static struct storage storage;

static int finish(void **state)
{
    (void)state;
    storage_fini(&storage);
    return 0;
}

static struct regex *regex_of(const char *text)
{
    struct regex *regex = NULL;
    char problem[160] = "";
    size_t at;
    assert_int_equal(regex_compile(&storage, slice_of(text), &regex, problem, sizeof problem, &at), 0);
    return regex;
}

static int matches(const char *text, const char *subject)
{
    return regex_match(regex_of(text), slice_of(subject), NULL);
}

static void an_expression_matches_anywhere_unless_it_says_where(void **state)
{
    (void)state;
    assert_int_equal(matches("b", "abc"), 1);
    assert_int_equal(matches("^b", "abc"), 0);
    assert_int_equal(matches("^a.c$", "abc"), 1);
    assert_int_equal(matches("c$", "abc\n"), 0);
    assert_int_equal(matches("^$", ""), 1);
}

static void groups_are_what_they_caught_and_empty_otherwise(void **state)
{
    struct slice groups[REGEX_GROUPS_MAX];
    (void)state;
    struct regex *regex = regex_of("^/(a)?(b+)/(.*)$");
    assert_int_equal(regex_group_count(regex), 3);
    assert_int_equal(regex_match(regex, slice_of("/bb/c"), groups), 1);
    assert_int_equal(groups[0].length, 5);
    assert_int_equal(groups[1].length, 0);
    assert_int_equal(groups[2].length, 2);
    assert_memory_equal(groups[3].at, "c", 1);
    assert_int_equal(groups[4].length, 0);
    assert_int_equal(groups[9].length, 0);
}

static void more_groups_than_are_kept_do_no_harm(void **state)
{
    struct slice groups[REGEX_GROUPS_MAX];
    (void)state;
    struct regex *regex = regex_of("(a)(a)(a)(a)(a)(a)(a)(a)(a)(a)(a)(b)");
    assert_int_equal(regex_group_count(regex), 12);
    assert_int_equal(regex_match(regex, slice_of("aaaaaaaaaaab"), groups), 1);
    assert_int_equal(groups[9].length, 1);
}

static void any_bytes_are_bytes(void **state)
{
    (void)state;
    assert_int_equal(matches("^..$", "\xc3\xbc"), 1);
    assert_int_equal(matches("^.$", "\xff"), 1);
    assert_int_equal(matches("\xc3\xbc", "a\xc3\xbc"), 1);
}

static void what_works_too_long_is_an_error_and_ends_soon(void **state)
{
    char subject[4001];
    (void)state;
    memset(subject, 'a', sizeof subject - 1);
    subject[sizeof subject - 1] = '\0';
    uint64_t begin_ns = clock_monotonic_ns();
    assert_int_equal(matches("^(a+)+[bc]", subject), ERR_LIMIT);
    assert_int_equal(matches("^(a|aa)+[bc]", subject), ERR_LIMIT);
    assert_int_equal(matches("^((a*)*)*[bc]", subject), ERR_LIMIT);
    assert_true(clock_monotonic_ns() - begin_ns <
                3 * NS_PER_S); /* some ten milliseconds; without limits: for ever */
    assert_int_equal(matches("^a+$", subject), 1);
}

static void assert_refused(const char *text)
{
    struct regex *regex = NULL;
    char problem[160] = "";
    size_t at;
    assert_int_equal(regex_compile(&storage, slice_of(text), &regex, problem, sizeof problem, &at),
                     ERR_SYNTAX);
    assert_true(problem[0] != '\0' && at <= strlen(text));
}

static void what_is_no_expression_says_why(void **state)
{
    char text[REGEX_LENGTH_MAX + 2];
    (void)state;
    assert_refused("(");
    assert_refused("[a");
    assert_refused("a{2,1}");
    assert_refused("(*UTF)a");
    assert_refused("\\C");
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    assert_refused(text);
    text[REGEX_LENGTH_MAX] = '\0';
    regex_of(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(an_expression_matches_anywhere_unless_it_says_where, finish),
        cmocka_unit_test_teardown(groups_are_what_they_caught_and_empty_otherwise, finish),
        cmocka_unit_test_teardown(more_groups_than_are_kept_do_no_harm, finish),
        cmocka_unit_test_teardown(any_bytes_are_bytes, finish),
        cmocka_unit_test_teardown(what_works_too_long_is_an_error_and_ends_soon, finish),
        cmocka_unit_test_teardown(what_is_no_expression_says_why, finish),
    };
    return cmocka_run_group_tests_name("regex", tests, NULL, NULL);
}
