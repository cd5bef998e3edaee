/* Range, RFC 9110 section 14; numbers in the names are its sections. */
#include "http/range.h"
#include "proto/guarded.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>

#define SIXTEEN "0-0,2-2,4-4,6-6,8-8,10-10,12-12,14-14,16-16,18-18,20-20,22-22,24-24,26-26,28-28,30-30"

static const struct row {
    const char *name, *value;
    uint64_t size;
    enum range_answer answer;
    const char *ranges; /* as text, separated by blanks */
} rows[] = {
    {"14.1.2: the first 500", "bytes=0-499", 10000, RANGE_PARTIAL, "0-499"},
    {"14.1.2: the second 500", "bytes=500-999", 10000, RANGE_PARTIAL, "500-999"},
    {"14.1.2: the last 500", "bytes=-500", 10000, RANGE_PARTIAL, "9500-9999"},
    {"14.1.2: from 9500 on", "bytes=9500-", 10000, RANGE_PARTIAL, "9500-9999"},
    {"14.1.2: the first, the last", "bytes=0-0,-1", 10000, RANGE_PARTIAL, "0-0 9999-9999"},
    {"14.1.2: the first, the middle, the last 1000", "bytes= 0-999, 4500-5499, -1000", 10000, RANGE_PARTIAL,
     "0-999 4500-5499 9000-9999"},
    {"14.1.2: the second 500 in two ways: touching", "bytes=500-600,601-999", 10000, RANGE_PARTIAL,
     "500-999"},
    {"14.1.2: the second 500 in two ways: overlapping", "bytes=500-700,601-999", 10000, RANGE_PARTIAL,
     "500-999"},
    {"14.1.2: an end beyond the last byte is cut", "bytes=9000-99999", 10000, RANGE_PARTIAL, "9000-9999"},
    {"14.1.2: a suffix longer than the whole is the whole", "bytes=-99999", 10000, RANGE_PARTIAL, "0-9999"},
    {"14.1.2: everything", "bytes=0-", 10000, RANGE_PARTIAL, "0-9999"},
    {"14.1.2: large numbers overflow nothing", "bytes=0-99999999999999999999999999999", 10000, RANGE_PARTIAL,
     "0-9999"},
    {"14.1.2: a large suffix", "bytes=-18446744073709551616", 10000, RANGE_PARTIAL, "0-9999"},
    {"14.1.2: a large beginning", "bytes=18446744073709551616-", 10000, RANGE_UNSATISFIED, ""},
    {"leading zeros", "bytes=0000000000000000000000000000001-02", 10000, RANGE_PARTIAL, "1-2"},
    {"a file of the greatest size", "bytes=9223372036854775806-,0-0", INT64_MAX, RANGE_PARTIAL,
     "9223372036854775806-9223372036854775806 0-0"},
    {"14.1: the unit in any case", "BYTES=0-1", 10000, RANGE_PARTIAL, "0-1"},
    {"5.6.1.2: empty elements are skipped", "bytes=, 0-1 ,\t,,3-4,", 10000, RANGE_PARTIAL, "0-1 3-4"},

    {"15.3.7.2: the order of the request stays", "bytes=20-29,0-9", 100, RANGE_PARTIAL, "20-29 0-9"},
    {"15.3.7.2: one becomes part of the first that it touches", "bytes=20-29,0-9,25-40", 100, RANGE_PARTIAL,
     "20-40 0-9"},
    {"one that fills the gap makes three into one", "bytes=20-29,40-49,0-9,30-39", 100, RANGE_PARTIAL,
     "20-49 0-9"},
    {"one that covers all makes all into one", "bytes=20-29,40-49,0-9,0-", 100, RANGE_PARTIAL, "0-99"},
    {"17.15: the same again and again", "bytes=0-,0-,0-,0-,0-,0-", 100, RANGE_PARTIAL, "0-99"},
    {"a gap of one byte stays", "bytes=0-9,11-19", 100, RANGE_PARTIAL, "0-9 11-19"},
    {"14.1.1: what begins beyond the end is left out", "bytes=0-9,100-,200-300", 100, RANGE_PARTIAL, "0-9"},

    {"15.5.17: nothing satisfiable", "bytes=100-", 100, RANGE_UNSATISFIED, ""},
    {"15.5.17: several of them", "bytes=100-200,300-", 100, RANGE_UNSATISFIED, ""},
    {"14.1.1: a suffix of zero bytes", "bytes=-0", 100, RANGE_UNSATISFIED, ""},
    {"14.1.1: a suffix of zero bytes beside a range", "bytes=-0,1-1", 100, RANGE_PARTIAL, "1-1"},
    {"an empty file has no first byte", "bytes=0-", 0, RANGE_UNSATISFIED, ""},
    {"the last bytes of an empty file are the whole", "bytes=-5", 0, RANGE_WHOLE, ""},
    {"the last zero bytes of an empty file", "bytes=-0", 0, RANGE_UNSATISFIED, ""},
    {"a malformed range of an empty file", "bytes=-5,x", 0, RANGE_WHOLE, ""},

    {"nothing", "", 100, RANGE_WHOLE, ""},
    {"14.2: another unit", "lines=0-1", 100, RANGE_WHOLE, ""},
    {"another unit that begins alike", "bytesx=0-1", 100, RANGE_WHOLE, ""},
    {"no unit", "0-1", 100, RANGE_WHOLE, ""},
    {"a blank before the sign", "bytes =0-1", 100, RANGE_WHOLE, ""},
    {"14.1.1: no range", "bytes=", 100, RANGE_WHOLE, ""},
    {"14.1.1: empty elements alone", "bytes=, ,", 100, RANGE_WHOLE, ""},
    {"14.1.1: an end before its beginning", "bytes=5-4", 100, RANGE_WHOLE, ""},
    {"14.1.1: one of those spoils all", "bytes=0-1,5-4", 100, RANGE_WHOLE, ""},
    {"a dash alone", "bytes=-", 100, RANGE_WHOLE, ""},
    {"no dash", "bytes=5", 100, RANGE_WHOLE, ""},
    {"two dashes", "bytes=5--6", 100, RANGE_WHOLE, ""},
    {"a negative beginning", "bytes=-5-6", 100, RANGE_WHOLE, ""},
    {"blanks inside", "bytes=0 - 1", 100, RANGE_WHOLE, ""},
    {"letters", "bytes=0-1,a-b", 100, RANGE_WHOLE, ""},
    {"hexadecimal", "bytes=0x0-0x1", 100, RANGE_WHOLE, ""},
    {"a sign", "bytes=+0-1", 100, RANGE_WHOLE, ""},
    {"a semicolon", "bytes=0-1;2-3", 100, RANGE_WHOLE, ""},
    {"17.15: as many as are allowed", "bytes=" SIXTEEN, 100, RANGE_PARTIAL,
     "0-0 2-2 4-4 6-6 8-8 10-10 12-12 14-14 16-16 18-18 20-20 22-22 24-24 26-26 28-28 30-30"},
    {"17.15: one more", "bytes=" SIXTEEN ",32-32", 100, RANGE_WHOLE, ""},
    {"17.15: one more that cannot be had", "bytes=" SIXTEEN ",100-", 100, RANGE_WHOLE, ""},
    {"17.15: one more that is part of the others", "bytes=" SIXTEEN ",0-0", 100, RANGE_WHOLE, ""},
};

#define ROW_COUNT (sizeof(rows) / sizeof(rows[0]))

static void the_ranges_are_selected(void **state)
{
    const struct row *row = *state;
    struct slice value = {guarded_copy(row->value, strlen(row->value)), strlen(row->value)};
    struct range_set set;
    char memory[1024];
    struct text text;

    assert_int_equal(range_select(value, row->size, &set), row->answer);
    assert_int_equal(set.count > 0, row->answer == RANGE_PARTIAL);
    text_init(&text, memory, sizeof(memory));
    for (uint32_t i = 0; i < set.count; i++)
        text_add_f(&text, "%s%llu-%llu", i ? " " : "", (unsigned long long)set.at[i].first,
                   (unsigned long long)set.at[i].last);
    assert_string_equal(text.at, row->ranges);
}

static void content_range_is_written_as_in_14_4(void **state)
{
    const struct range range = {42, 1233};
    const struct range widest = {INT64_MAX - 1, INT64_MAX - 1};
    char memory[128];
    struct text text;

    (void)state;
    text_init(&text, memory, sizeof(memory));
    range_add_content_range(&text, &range, 1234);
    assert_string_equal(text.at, "Content-Range: bytes 42-1233/1234\r\n");
    assert_int_equal(range_length(&range), 1192);
    text_init(&text, memory, sizeof(memory));
    range_add_unsatisfied(&text, 1234);
    assert_string_equal(text.at, "Content-Range: bytes */1234\r\n");
    text_init(&text, memory, sizeof(memory));
    range_add_content_range(&text, &widest, INT64_MAX);
    assert_true(!text.overflow && text.length <= RANGE_LINE_MAX);
}

int main(void)
{
    static struct CMUnitTest tests[ROW_COUNT + 1] = {
        cmocka_unit_test(content_range_is_written_as_in_14_4),
    };
    for (size_t i = 0; i < ROW_COUNT; i++)
        tests[1 + i] = (struct CMUnitTest){rows[i].name, the_ranges_are_selected, NULL, NULL,
                                           (void *)(uintptr_t)&rows[i]};
    return cmocka_run_group_tests_name("ranges", tests, NULL, NULL);
}
