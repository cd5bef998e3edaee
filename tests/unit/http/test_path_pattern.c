#include "http/path_pattern.h"

#include "unit.h"

#include <string.h>

static struct storage storage;

static int finish(void **state)
{
    (void)state;
    storage_fini(&storage);
    return 0;
}

static struct path_pattern pattern_of(const char *text)
{
    struct path_pattern pattern;
    const char *problem, *hint;
    assert_int_equal(path_pattern_compile(&storage, slice_of(text), &pattern, &problem, &hint), 0);
    return pattern;
}

static int matches(const char *text, const char *path)
{
    struct path_pattern pattern = pattern_of(text);
    return path_pattern_matches(&pattern, slice_of(path));
}

static void a_pattern_without_a_star_is_one_path(void **state)
{
    (void)state;
    assert_true(matches("/a", "/a"));
    assert_true(matches("/", "/"));
    assert_false(matches("/a", "/a/"));
    assert_false(matches("/a", "/A"));
    assert_false(matches("/a", "/ab"));
    assert_false(matches("/a/", "/a"));
    assert_true(matches("/a b%", "/a b%"));
}

static void a_star_is_everything_beneath_and_the_folder_itself(void **state)
{
    (void)state;
    assert_true(matches("/a/*", "/a"));
    assert_true(matches("/a/*", "/a/"));
    assert_true(matches("/a/*", "/a/b/c"));
    assert_false(matches("/a/*", "/ab"));
    assert_false(matches("/a/*", "/"));
    assert_true(matches("/*", "/"));
    assert_true(matches("*", "/x/y"));
}

static void what_follows_the_star_ends_the_path(void **state)
{
    (void)state;
    assert_true(matches("*.php", "/a/b.php"));
    assert_false(matches("*.php", "/.php"));
    assert_false(matches("*.php", "/a.phpx"));
    assert_true(matches("/a/*.md", "/a/b/c.md"));
    assert_false(matches("/a/*.md", "/a/.md"));
    assert_false(matches("/a/*.md", "/a.md"));
    assert_false(matches("/a/*.md", "/a"));
}

static void assert_rest(const char *text, const char *path, const char *rest)
{
    struct path_pattern pattern = pattern_of(text);
    struct slice found = path_pattern_rest(&pattern, slice_of(path));
    assert_true(path_pattern_matches(&pattern, slice_of(path)));
    assert_int_equal(found.length, strlen(rest));
    assert_memory_equal(found.at, rest, strlen(rest));
}

static void the_rest_is_what_the_star_stands_for(void **state)
{
    (void)state;
    assert_rest("/a/*", "/a/b/c", "b/c");
    assert_rest("/a/*", "/a/", "");
    assert_rest("/a/*", "/a", "");
    assert_rest("*", "/a", "a");
    assert_rest("/a/*.md", "/a/b.md", "b");
    assert_rest("/a", "/a", "");
}

static const char *const all[] = {"/",  "/a",    "/a/",    "/a/b",    "/a/*", "/a/b/*",   "/*",      "*.php",
                                  "*p", "/a/*p", "/a.php", "/a/.php", "/b/*", "/a/*.php", "/a/b.php"};
#define ALL (sizeof all / sizeof all[0])
static const char *const paths[] = {"/",       "/a",    "/a/",    "/a/b",     "/a/b/",     "/a/b/c",
                                    "/b",      "/b/",   "/b/p",   "/a.php",   "/a/.php",   "/a/b.php",
                                    "/ap",     "/a/p",  "/a/xp",  "/x",       "/p",        "/a/b/p",
                                    "/a/b/xp", "/.php", "/x.php", "/b/x.php", "/a/b/x.php"};

/* Held against what matching says of many paths. */
static void covering_and_meeting_agree_with_matching(void **state)
{
    (void)state;
    for (size_t i = 0; i < ALL; i++) {
        for (size_t k = 0; k < ALL; k++) {
            struct path_pattern a = pattern_of(all[i]), b = pattern_of(all[k]);
            int covers = 1, meets = 0;
            for (size_t n = 0; n < sizeof paths / sizeof paths[0]; n++) {
                int in_a = path_pattern_matches(&a, slice_of(paths[n]));
                int in_b = path_pattern_matches(&b, slice_of(paths[n]));
                covers = covers && (!in_b || in_a);
                meets = meets || (in_a && in_b);
            }
            if (path_pattern_covers(&a, &b) != covers || path_pattern_meets(&a, &b) != meets)
                fail_msg("%s and %s", all[i], all[k]);
            assert_int_equal(path_pattern_meets(&a, &b), path_pattern_meets(&b, &a));
        }
    }
}

static void assert_refused(const char *text, const char *expected)
{
    struct path_pattern pattern;
    const char *problem, *hint;
    assert_int_equal(path_pattern_compile(&storage, slice_of(text), &pattern, &problem, &hint), ERR_SYNTAX);
    assert_string_equal(problem, expected);
}

static void what_can_never_match_or_is_misunderstood_is_refused(void **state)
{
    (void)state;
    assert_refused("", "begins with no slash");
    assert_refused("a", "begins with no slash");
    assert_refused("/a*", "has a * that does not follow a slash");
    assert_refused("/a/*/b", "has its * in the middle");
    assert_refused("**", "has its * in the middle");
    assert_refused("/a//b", "has an empty segment, which no path has when it is matched");
    assert_refused("/..", "has a dot segment, which no path has when it is matched");
    assert_refused("/a/./b", "has a dot segment, which no path has when it is matched");
    assert_refused("/%2e", "is percent-encoded");
    assert_refused("/a?b", "has a query, which patterns do not look at");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_pattern_without_a_star_is_one_path, finish),
        cmocka_unit_test_teardown(a_star_is_everything_beneath_and_the_folder_itself, finish),
        cmocka_unit_test_teardown(what_follows_the_star_ends_the_path, finish),
        cmocka_unit_test_teardown(the_rest_is_what_the_star_stands_for, finish),
        cmocka_unit_test_teardown(covering_and_meeting_agree_with_matching, finish),
        cmocka_unit_test_teardown(what_can_never_match_or_is_misunderstood_is_refused, finish),
    };
    return cmocka_run_group_tests_name("path_pattern", tests, NULL, NULL);
}
