/* Entity tags, RFC 9110 section 8.8.3. */
#include "http/etag.h"
#include "proto/guarded.h"
#include "unit.h"

#include <string.h>

static const struct etag_source usual = {0x5a, 0x65f0c3d2, 0x1dcd6500, 0x2f1, CODING_IDENTITY, 0};

static struct slice guarded(const char *text)
{
    return (struct slice){guarded_copy(text, strlen(text)), strlen(text)};
}

static void a_tag_is_made_of_size_time_and_inode(void **state)
{
    char out[ETAG_SIZE];
    struct slice tag = etag_write(&usual, out);

    (void)state;
    assert_string_equal(out, "\"5a-65f0c3d2-1dcd6500-2f1\"");
    assert_int_equal(tag.length, strlen(out));
}

static void each_coding_has_its_own_tag(void **state)
{
    struct etag_source source = usual;
    char out[ETAG_SIZE];

    (void)state;
    source.coding = CODING_GZIP;
    etag_write(&source, out);
    assert_string_equal(out, "\"5a-65f0c3d2-1dcd6500-2f1-gzip\"");
    source.coding = CODING_BR;
    etag_write(&source, out);
    assert_string_equal(out, "\"5a-65f0c3d2-1dcd6500-2f1-br\"");
}

static void every_difference_is_a_different_tag(void **state)
{
    struct etag_source sources[7] = {usual, usual, usual, usual, usual, usual, usual};
    char tags[7][ETAG_SIZE];

    (void)state;
    sources[1].size++;
    sources[2].modified_s++;
    sources[3].modified_ns++;
    sources[4].inode++;
    sources[5].coding = sources[6].coding = CODING_ZSTD;
    sources[6].maker = 1;
    for (int i = 0; i < 7; i++) {
        etag_write(&sources[i], tags[i]);
        for (int other = 0; other < i; other++)
            assert_string_not_equal(tags[i], tags[other]);
    }
}

static void the_longest_tag_fits_and_is_a_strong_tag(void **state)
{
    const struct etag_source longest = {UINT64_MAX, -1, UINT32_MAX, UINT64_MAX, CODING_ZSTD, UINT32_MAX};
    char out[ETAG_SIZE];
    struct etag tag;

    (void)state;
    assert_int_equal(etag_parse(etag_write(&longest, out), &tag), 0);
    assert_false(tag.is_weak);
}

/* RFC 9110 section 8.8.3.2, its table. */
static void tags_are_compared_as_in_8_8_3_2(void **state)
{
    static const struct {
        const char *a, *b;
        int strong, weak;
    } rows[] = {
        {"W/\"1\"", "W/\"1\"", 0, 1},
        {"W/\"1\"", "W/\"2\"", 0, 0},
        {"W/\"1\"", "\"1\"", 0, 1},
        {"\"1\"", "\"1\"", 1, 1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct etag a, b;
        assert_int_equal(etag_parse(slice_of(rows[i].a), &a), 0);
        assert_int_equal(etag_parse(slice_of(rows[i].b), &b), 0);
        assert_int_equal(etag_equals_strong(&a, &b), rows[i].strong);
        assert_int_equal(etag_equals_strong(&b, &a), rows[i].strong);
        assert_int_equal(etag_equals_weak(&a, &b), rows[i].weak);
    }
}

static void a_single_tag_is_read_strictly(void **state)
{
    static const char *const good[] = {"\"xyzzy\"", "W/\"xyzzy\"", "\"\"", "\"!#$,;\\~\"", "\"\x80\xff\""};
    static const char *const bad[] = {"",         "\"",       "W/",         "W/\"",   "xyzzy",
                                      "w/\"a\"",  "W\"a\"",   "W /\"a\"",   "\"a",    "a\"",
                                      "\"a b\"",  "\"a\"b",   "\"a\" ",     " \"a\"", "\"a\"\"",
                                      "\"\x7f\"", "\"a\tb\"", "\"a\\\"b\"", "*",      "'a'"};
    struct etag tag;

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_int_equal(etag_parse(guarded(good[i]), &tag), 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(etag_parse(guarded(bad[i]), &tag), ERR_SYNTAX);
}

/* RFC 9110 section 5.6.1.2. */
static void a_list_is_taken_apart(void **state)
{
    struct slice rest = guarded(" ,\"a\",, W/\"b,c\"\t,\"\",");
    struct etag tag;

    (void)state;
    assert_int_equal(etag_list_next(&rest, &tag), 1);
    assert_true(!tag.is_weak && slice_equals(tag.text, SLICE_LITERAL("\"a\"")));
    assert_int_equal(etag_list_next(&rest, &tag), 1);
    assert_true(tag.is_weak && slice_equals(tag.text, SLICE_LITERAL("\"b,c\"")));
    assert_int_equal(etag_list_next(&rest, &tag), 1);
    assert_true(!tag.is_weak && slice_equals(tag.text, SLICE_LITERAL("\"\"")));
    assert_int_equal(etag_list_next(&rest, &tag), 0);
    assert_int_equal(etag_list_next(&rest, &tag), 0);
}

static void a_list_ends_in_an_error_at_what_is_no_tag(void **state)
{
    static const char *const lists[] = {"\"a\" \"b\"", "\"a\"b",     "\"a\", b",
                                        "\"a\", *",    "\"a\", \"b", "\"a\", W/"};
    struct etag tag;

    (void)state;
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        struct slice rest = guarded(lists[i]);
        int answer = etag_list_next(&rest, &tag);
        if (answer == 1)
            answer = etag_list_next(&rest, &tag);
        assert_int_equal(answer, ERR_SYNTAX);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tag_is_made_of_size_time_and_inode),
        cmocka_unit_test(each_coding_has_its_own_tag),
        cmocka_unit_test(every_difference_is_a_different_tag),
        cmocka_unit_test(the_longest_tag_fits_and_is_a_strong_tag),
        cmocka_unit_test(tags_are_compared_as_in_8_8_3_2),
        cmocka_unit_test(a_single_tag_is_read_strictly),
        cmocka_unit_test(a_list_is_taken_apart),
        cmocka_unit_test(a_list_ends_in_an_error_at_what_is_no_tag),
    };

    return cmocka_run_group_tests_name("entity tags", tests, NULL, NULL);
}
