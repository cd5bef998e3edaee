#include "conf/suggest.h"

#include "unit.h"

#include <stdint.h>
#include <string.h>

static void the_distance_counts_letters_inserted_removed_changed_and_swapped(void **state)
{
    (void)state;
    assert_int_equal(suggestion_distance("files", "files"), 0);
    assert_int_equal(suggestion_distance("", "abc"), 3);
    assert_int_equal(suggestion_distance("fles", "files"), 1);
    assert_int_equal(suggestion_distance("filess", "files"), 1);
    assert_int_equal(suggestion_distance("filed", "files"), 1);
    assert_int_equal(suggestion_distance("flies", "files"), 1);
    assert_int_equal(suggestion_distance("FILES", "files"), 0);
    assert_int_equal(suggestion_distance("kitten", "sitting"), 3);
}

static void very_long_names_are_never_near(void **state)
{
    char name[66];
    (void)state;
    memset(name, 'a', sizeof name);
    name[65] = '\0';
    assert_true(suggestion_distance(name, name) == SIZE_MAX);
    name[64] = '\0';
    assert_int_equal(suggestion_distance(name, name), 0);
}

static const char *best_of(const char *wanted, const char *const *names)
{
    struct suggestion suggestion;
    suggestion_init(&suggestion, wanted);
    for (; *names; names++)
        suggestion_offer(&suggestion, *names);
    return suggestion.best;
}

static void the_nearest_name_is_suggested(void **state)
{
    const char *const names[] = {"index", "files", "workers", "header_timeout", NULL};
    (void)state;
    assert_string_equal(best_of("fils", names), "files");
    assert_string_equal(best_of("wokrers", names), "workers");
    assert_string_equal(best_of("haeder_timout", names), "header_timeout");
    assert_string_equal(best_of("Index", names), "index");
    assert_string_equal(best_of("header", names), "header_timeout");
    assert_string_equal(best_of("indexfile", names), "index");
}

static void a_name_that_is_far_from_all_gets_no_suggestion(void **state)
{
    const char *const names[] = {"on", "off", "files", NULL};
    (void)state;
    assert_null(best_of("yes", names));
    assert_null(best_of("x", names));
    assert_null(best_of("", names));
    assert_null(best_of("fixtures", names));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_distance_counts_letters_inserted_removed_changed_and_swapped),
        cmocka_unit_test(very_long_names_are_never_near),
        cmocka_unit_test(the_nearest_name_is_suggested),
        cmocka_unit_test(a_name_that_is_far_from_all_gets_no_suggestion),
    };
    return cmocka_run_group_tests_name("suggest", tests, NULL, NULL);
}
