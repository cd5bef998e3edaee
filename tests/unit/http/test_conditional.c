/* Preconditions, RFC 9110 section 13; numbers in the names are its sections. */
#include "http/conditional.h"
#include "request_head.h"
#include "unit.h"

#include <string.h>

#define MODIFIED 784111777 /* Sun, 06 Nov 1994 08:49:37 GMT */
#define BEFORE "Sun, 06 Nov 1994 08:49:36 GMT"
#define EXACT "Sun, 06 Nov 1994 08:49:37 GMT"
#define AFTER "Sun, 06 Nov 1994 08:49:38 GMT"
#define NOW 1767225600

#define RANGED "Range: bytes=0-1\r\n"

static const struct row {
    const char *name, *method, *fields;
    int status, has_range;
} rows[] = {
    {"no condition", "GET", "Accept: */*\r\n", 0, 0},

    {"13.1.1: If-Match with our tag", "GET", "If-Match: \"a\"\r\n", 0, 0},
    {"13.1.1: If-Match with our tag among others", "GET", "If-Match: \"x\", \"a\",\"y\"\r\n", 0, 0},
    {"13.1.1: If-Match over two fields", "GET", "If-Match: \"x\"\r\nIf-Match: \"a\"\r\n", 0, 0},
    {"13.1.1: If-Match with other tags", "GET", "If-Match: \"x\", \"y\"\r\n", 412, 0},
    {"13.1.1: If-Match compares strongly", "GET", "If-Match: W/\"a\"\r\n", 412, 0},
    {"13.1.1: If-Match: * holds for what exists", "GET", "If-Match: *\r\n", 0, 0},
    {"13.1.1: If-Match applies to HEAD too", "HEAD", "If-Match: \"x\"\r\n", 412, 0},
    {"13.1.1: and to what changes something", "PUT", "If-Match: \"x\"\r\n", 412, 0},
    {"13.1.1: an empty If-Match matches nothing", "GET", "If-Match:\r\n", 412, 0},
    {"a malformed If-Match fails", "GET", "If-Match: a\r\n", 412, 0},
    {"a malformed If-Match fails although a tag before it matches", "GET", "If-Match: \"a\", b\r\n", 412, 0},
    {"* beside a tag is malformed", "GET", "If-Match: *, \"a\"\r\n", 412, 0},
    {"* twice is malformed", "GET", "If-Match: *\r\nIf-Match: *\r\n", 412, 0},
    {"a tag that is not closed", "GET", "If-Match: \"a\r\n", 412, 0},
    {"two tags without a comma", "GET", "If-Match: \"x\" \"a\"\r\n", 412, 0},
    {"5.6.1.2: empty elements are skipped", "GET", "If-Match: ,, \"x\" ,\t, \"a\" ,\r\n", 0, 0},
    {"8.8.3: a comma in a tag belongs to it", "GET", "If-Match: \"x,\"\r\n", 412, 0},
    {"8.8.3: tags are case-sensitive", "GET", "If-Match: \"A\"\r\n", 412, 0},

    {"13.1.2: If-None-Match with our tag", "GET", "If-None-Match: \"a\"\r\n", 304, 0},
    {"13.1.2: the same for HEAD", "HEAD", "If-None-Match: \"a\"\r\n", 304, 0},
    {"13.1.2: the same for any other method", "POST", "If-None-Match: \"a\"\r\n", 412, 0},
    {"13.1.2: If-None-Match compares weakly", "GET", "If-None-Match: W/\"a\"\r\n", 304, 0},
    {"8.8.3: W is a capital", "GET", "If-None-Match: w/\"a\"\r\n", 0, 0},
    {"13.1.2: If-None-Match with another tag", "GET", "If-None-Match: \"x\"\r\n", 0, 0},
    {"13.1.2: If-None-Match over several fields", "GET", "If-None-Match: \"x\"\r\nIf-None-Match: W/\"a\"\r\n",
     304, 0},
    {"13.1.2: If-None-Match: *", "GET", "If-None-Match: *\r\n", 304, 0},
    {"13.1.2: * to what changes something", "PUT", "If-None-Match: *\r\n", 412, 0},
    {"a malformed If-None-Match gets the whole", "GET", "If-None-Match: a\r\n", 0, 0},
    {"a malformed If-None-Match gets the whole although a tag matches", "GET",
     "If-None-Match: \"a\", \"b\r\n", 0, 0},
    {"a malformed second field counts as well", "GET", "If-None-Match: \"a\"\r\nIf-None-Match: b\r\n", 0, 0},
    {"an empty If-None-Match matches nothing", "GET", "If-None-Match:\r\n", 0, 0},

    {"13.1.3: not changed since that second", "GET", "If-Modified-Since: " EXACT "\r\n", 304, 0},
    {"13.1.3: not changed since a later one", "GET", "If-Modified-Since: " AFTER "\r\n", 304, 0},
    {"13.1.3: changed since", "GET", "If-Modified-Since: " BEFORE "\r\n", 0, 0},
    {"13.1.3: the same for HEAD", "HEAD", "If-Modified-Since: " EXACT "\r\n", 304, 0},
    {"13.1.3: ignored with other methods", "POST", "If-Modified-Since: " EXACT "\r\n", 0, 0},
    {"13.1.3: the form of RFC 850", "GET", "If-Modified-Since: Sunday, 06-Nov-94 08:49:37 GMT\r\n", 304, 0},
    {"13.1.3: asctime", "GET", "If-Modified-Since: Sun Nov  6 08:49:37 1994\r\n", 304, 0},
    {"13.1.3: ignored if it is no date", "GET", "If-Modified-Since: yesterday\r\n", 0, 0},
    {"13.1.3: ignored if there are two", "GET",
     "If-Modified-Since: " EXACT "\r\nIf-Modified-Since: " EXACT "\r\n", 0, 0},
    {"13.1.3: ignored beside If-None-Match", "GET",
     "If-None-Match: \"x\"\r\nIf-Modified-Since: " EXACT "\r\n", 0, 0},
    {"13.1.3: also beside a malformed one", "GET", "If-None-Match: x\r\nIf-Modified-Since: " EXACT "\r\n", 0,
     0},

    {"13.1.4: not changed since that second", "GET", "If-Unmodified-Since: " EXACT "\r\n", 0, 0},
    {"13.1.4: changed since", "GET", "If-Unmodified-Since: " BEFORE "\r\n", 412, 0},
    {"13.1.4: changed since, to a method that writes", "DELETE", "If-Unmodified-Since: " BEFORE "\r\n", 412,
     0},
    {"13.1.4: ignored if it is no date", "GET", "If-Unmodified-Since: 0\r\n", 0, 0},
    {"13.1.4: ignored if there are two", "GET",
     "If-Unmodified-Since: " BEFORE "\r\nIf-Unmodified-Since: " BEFORE "\r\n", 0, 0},
    {"13.1.4: ignored beside If-Match", "GET", "If-Match: \"a\"\r\nIf-Unmodified-Since: " BEFORE "\r\n", 0,
     0},

    {"13.2.2: If-Match comes before If-None-Match", "GET", "If-None-Match: \"a\"\r\nIf-Match: \"x\"\r\n", 412,
     0},
    {"13.2.2: and If-None-Match is still asked", "GET", "If-None-Match: \"a\"\r\nIf-Match: \"a\"\r\n", 304,
     0},
    {"13.2.2: If-Unmodified-Since comes before If-None-Match", "GET",
     "If-None-Match: \"a\"\r\nIf-Unmodified-Since: " BEFORE "\r\n", 412, 0},
    {"13.2.2: If-Match and then If-Modified-Since", "GET",
     "If-Match: \"a\"\r\nIf-Modified-Since: " EXACT "\r\n", 304, 0},
    {"13.2.2: 304 comes before the range", "GET", RANGED "If-None-Match: \"a\"\r\n", 304, 0},
    {"13.2.2: 412 comes before the range", "GET", RANGED "If-Match: \"x\"\r\n", 412, 0},

    {"14.2: a range", "GET", RANGED, 0, 1},
    {"14.2: HEAD has none", "HEAD", RANGED, 0, 0},
    {"14.2: other methods have none", "POST", RANGED, 0, 0},
    {"5.3: two Range fields are none", "GET", RANGED RANGED, 0, 0},
    {"13.2.2: a range after conditions that hold", "GET", RANGED "If-Match: *\r\nIf-None-Match: \"x\"\r\n", 0,
     1},
    {"13.1.5: If-Range with our tag", "GET", RANGED "If-Range: \"a\"\r\n", 0, 1},
    {"13.1.5: If-Range with another tag", "GET", RANGED "If-Range: \"x\"\r\n", 0, 0},
    {"13.1.5: If-Range compares strongly", "GET", RANGED "If-Range: W/\"a\"\r\n", 0, 0},
    {"13.1.5: If-Range takes no list", "GET", RANGED "If-Range: \"a\", \"x\"\r\n", 0, 0},
    {"13.1.5: If-Range takes no *", "GET", RANGED "If-Range: *\r\n", 0, 0},
    {"13.1.5: an empty If-Range does not hold", "GET", RANGED "If-Range:\r\n", 0, 0},
    {"13.1.5: If-Range twice does not hold", "GET", RANGED "If-Range: \"a\"\r\nIf-Range: \"a\"\r\n", 0, 0},
    {"13.1.5: If-Range with our date", "GET", RANGED "If-Range: " EXACT "\r\n", 0, 1},
    {"13.1.5: If-Range with a later date: only the exact one counts", "GET", RANGED "If-Range: " AFTER "\r\n",
     0, 0},
    {"13.1.5: If-Range with an earlier date", "GET", RANGED "If-Range: " BEFORE "\r\n", 0, 0},
    {"13.1.5: If-Range with something else", "GET", RANGED "If-Range: a\r\n", 0, 0},
    {"13.1.5: If-Range without Range means nothing", "GET", "If-Range: \"x\"\r\n", 0, 0},
    {"5.1: names in any case", "GET", "if-NONE-match: \"a\"\r\n", 304, 0},
    {"names that only begin alike", "GET", "If-None-Matches: \"a\"\r\nRange-x: bytes=0-1\r\n", 0, 0},
};

#define ROW_COUNT (sizeof(rows) / sizeof(rows[0]))

static struct conditional evaluate(const char *method, const char *fields, const char *etag,
                                   int date_is_strong)
{
    const struct conditional_resource resource = {slice_of(etag), MODIFIED, date_is_strong};

    return conditional_evaluate(request_head(method, fields), &resource, NOW);
}

static void the_condition_is_evaluated(void **state)
{
    const struct row *row = *state;
    struct conditional result = evaluate(row->method, row->fields, "\"a\"", 1);

    assert_int_equal(result.status, row->status);
    assert_int_equal(result.range.length > 0, row->has_range);
    if (row->has_range)
        assert_true(slice_equals(result.range, SLICE_LITERAL("bytes=0-1")));
}

static void a_date_that_is_no_strong_validator_gets_the_whole(void **state)
{
    (void)state;
    assert_int_equal(evaluate("GET", RANGED "If-Range: " EXACT "\r\n", "\"a\"", 0).range.length, 0);
    assert_int_equal(evaluate("GET", RANGED "If-Range: \"a\"\r\n", "\"a\"", 0).range.length, 9);
}

static void a_resource_without_a_tag_matches_the_asterisk_alone(void **state)
{
    (void)state;
    assert_int_equal(evaluate("GET", "If-Match: \"a\", \"\"\r\n", "", 0).status, 412);
    assert_int_equal(evaluate("GET", "If-Match: *\r\n", "", 0).status, 0);
    assert_int_equal(evaluate("GET", "If-None-Match: \"\"\r\n", "", 0).status, 0);
    assert_int_equal(evaluate("GET", "If-None-Match: *\r\n", "", 0).status, 304);
    assert_int_equal(evaluate("GET", RANGED "If-Range: \"\"\r\n", "", 0).range.length, 0);
}

int main(void)
{
    static struct CMUnitTest tests[ROW_COUNT + 2] = {
        cmocka_unit_test(a_date_that_is_no_strong_validator_gets_the_whole),
        cmocka_unit_test(a_resource_without_a_tag_matches_the_asterisk_alone),
    };
    for (size_t i = 0; i < ROW_COUNT; i++)
        tests[2 + i] = (struct CMUnitTest){rows[i].name, the_condition_is_evaluated, NULL, NULL,
                                           (void *)(uintptr_t)&rows[i]};
    return cmocka_run_group_tests_name("conditions", tests, NULL, NULL);
}
