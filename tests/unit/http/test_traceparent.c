/* traceparent, W3C Trace Context section 3.2. */
#include "http/traceparent.h"

#include "proto/guarded.h"
#include "request_head.h"
#include "unit.h"

#include <string.h>

#define TRACE "4bf92f3577b34da6a3ce929d0e0e4736"
#define PARENT "00f067aa0ba902b7"
#define GOOD "00-" TRACE "-" PARENT "-01"

static const struct row {
    const char *name, *value;
    int answer;
    unsigned flags;
} rows[] = {
    {"version 00", GOOD, 0, 1},
    {"not sampled", "00-" TRACE "-" PARENT "-00", 0, 0},
    {"unknown flags are cleared", "00-" TRACE "-" PARENT "-ff", 0, 1},
    {"unknown flags alone", "00-" TRACE "-" PARENT "-fe", 0, 0},
    {"a later version of the same length", "cc-" TRACE "-" PARENT "-01", 0, 1},
    {"a later version that goes on", "01-" TRACE "-" PARENT "-01-what-comes", 0, 1},
    {"a later version that ends in a dash", "01-" TRACE "-" PARENT "-01-", 0, 1},
    {"a later version that goes on without a dash", "01-" TRACE "-" PARENT "-01.what", ERR_SYNTAX, 0},
    {"version 00 that goes on", GOOD "-what", ERR_SYNTAX, 0},
    {"version 00 with a dash behind", GOOD "-", ERR_SYNTAX, 0},
    {"version 00 with a blank behind", GOOD " ", ERR_SYNTAX, 0},
    {"the forbidden version", "ff-" TRACE "-" PARENT "-01", ERR_SYNTAX, 0},
    {"a version in capitals", "0A-" TRACE "-" PARENT "-01", ERR_SYNTAX, 0},
    {"a trace in capitals", "00-4BF92F3577B34DA6A3CE929D0E0E4736-" PARENT "-01", ERR_SYNTAX, 0},
    {"a parent in capitals", "00-" TRACE "-00F067AA0BA902B7-01", ERR_SYNTAX, 0},
    {"flags in capitals", "00-" TRACE "-" PARENT "-0A", ERR_SYNTAX, 0},
    {"a trace of zeros", "00-00000000000000000000000000000000-" PARENT "-01", ERR_SYNTAX, 0},
    {"a parent of zeros", "00-" TRACE "-0000000000000000-01", ERR_SYNTAX, 0},
    {"a trace that is too short", "00-4bf92f3577b34da6a3ce929d0e0e473-" PARENT "-01", ERR_SYNTAX, 0},
    {"a trace that is too long", "00-" TRACE "0-" PARENT "-01", ERR_SYNTAX, 0},
    {"a letter that is no digit", "00-" TRACE "-00f067aa0ba902bg-01", ERR_SYNTAX, 0},
    {"underscores", "00_" TRACE "_" PARENT "_01", ERR_SYNTAX, 0},
    {"two of them in one", GOOD "," GOOD, ERR_SYNTAX, 0},
};

#define ROW_COUNT (sizeof(rows) / sizeof(rows[0]))

static void the_value_is_read(void **state)
{
    const struct row *row = *state;
    struct slice value = {guarded_copy(row->value, strlen(row->value)), strlen(row->value)};
    struct traceparent traceparent;

    assert_int_equal(traceparent_parse(value, &traceparent), row->answer);
    if (row->answer == 0) {
        assert_true(traceparent.trace_high == 0x4bf92f3577b34da6 &&
                    traceparent.trace_low == 0xa3ce929d0e0e4736);
        assert_true(traceparent.parent == 0x00f067aa0ba902b7);
        assert_int_equal(traceparent.flags, row->flags);
    }
}

static void what_is_cut_off_anywhere_is_refused(void **state)
{
    struct traceparent traceparent;

    (void)state;
    for (size_t length = 0; length < TRACEPARENT_LENGTH; length++) {
        struct slice value = {guarded_copy(GOOD, length), length};
        assert_int_equal(traceparent_parse(value, &traceparent), ERR_SYNTAX);
    }
}

static int choose(const char *fields, struct traceparent *chosen, char out[TRACEPARENT_SIZE])
{
    int goes_on = traceparent_choose(request_head("GET", fields), 1, 2, 3, chosen);

    traceparent_write(chosen, out);
    return goes_on;
}

static void a_trace_goes_on_with_our_step_as_the_parent(void **state)
{
    struct traceparent chosen;
    char out[TRACEPARENT_SIZE];

    (void)state;
    assert_int_equal(choose("Traceparent: " GOOD "\r\n", &chosen, out), 1);
    assert_string_equal(out, "00-" TRACE "-0000000000000003-01");
    assert_int_equal(choose("traceparent: 7f-" TRACE "-" PARENT "-fe-x\r\n", &chosen, out), 1);
    assert_string_equal(out, "00-" TRACE "-0000000000000003-00");
}

static void without_a_valid_one_a_new_trace_begins(void **state)
{
    static const char *const fields[] = {"", "traceparent: " GOOD "\r\ntraceparent: " GOOD "\r\n",
                                         "traceparent: ff-" TRACE "-" PARENT "-01\r\n", "traceparent:\r\n"};
    struct traceparent chosen;
    char out[TRACEPARENT_SIZE];

    (void)state;
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        assert_int_equal(choose(fields[i], &chosen, out), 0);
        assert_string_equal(out, "00-00000000000000010000000000000002-0000000000000003-00");
    }
}

static void zeros_where_they_are_forbidden_are_not_written(void **state)
{
    struct traceparent chosen, again;
    char out[TRACEPARENT_SIZE];

    (void)state;
    assert_int_equal(traceparent_choose(request_head("GET", ""), 0, 0, 0, &chosen), 0);
    traceparent_write(&chosen, out);
    assert_int_equal(traceparent_parse(slice_of(out), &again), 0);
}

int main(void)
{
    static struct CMUnitTest tests[ROW_COUNT + 4] = {
        cmocka_unit_test(what_is_cut_off_anywhere_is_refused),
        cmocka_unit_test(a_trace_goes_on_with_our_step_as_the_parent),
        cmocka_unit_test(without_a_valid_one_a_new_trace_begins),
        cmocka_unit_test(zeros_where_they_are_forbidden_are_not_written),
    };
    for (size_t i = 0; i < ROW_COUNT; i++)
        tests[4 + i] =
            (struct CMUnitTest){rows[i].name, the_value_is_read, NULL, NULL, (void *)(uintptr_t)&rows[i]};
    return cmocka_run_group_tests_name("traceparent", tests, NULL, NULL);
}
