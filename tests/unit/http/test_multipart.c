/* multipart/byteranges, RFC 9110 sections 14.6 and 15.3.7.2, RFC 2046 section 5.1.1. */
#include "http/multipart.h"
#include "unit.h"

#include <string.h>

static const struct range_set two = {2, 0, {{500, 504}, {7000, 7002}}};

static void build(struct multipart *multipart, const struct range_set *set, uint64_t size, const char *type,
                  uint64_t serial, uint64_t salt)
{
    assert_int_equal(multipart_init(multipart, set, size, slice_of(type), serial, salt), 0);
}

static void the_parts_are_written_as_in_14_6(void **state)
{
    struct multipart multipart;
    char memory[1024], expected[1024];
    struct text text, wanted;

    (void)state;
    build(&multipart, &two, 8000, "application/pdf", 7, 8);
    text_init(&text, memory, sizeof(memory));
    multipart_add_part_head(&multipart, 0, &text);
    text_add_c(&text, "AAAAA");
    multipart_add_part_head(&multipart, 1, &text);
    text_add_c(&text, "BBB");
    multipart_add_end(&multipart, &text);

    const char *b = multipart.boundary;
    text_init(&wanted, expected, sizeof(expected));
    text_add_f(&wanted, "--%s\r\nContent-Type: application/pdf\r\nContent-Range: bytes 500-504/8000\r\n\r\n",
               b);
    text_add_f(&wanted, "AAAAA\r\n--%s\r\nContent-Type: application/pdf\r\n", b);
    text_add_f(&wanted, "Content-Range: bytes 7000-7002/8000\r\n\r\nBBB\r\n--%s--\r\n", b);
    assert_string_equal(text.at, expected);
    assert_int_equal(multipart_length(&multipart), text.length);
}

static void the_answers_type_names_the_boundary(void **state)
{
    struct multipart multipart;
    char memory[MULTIPART_TYPE_FIELD_SIZE], expected[256];
    struct text text, wanted;

    (void)state;
    build(&multipart, &two, 8000, "text/plain", 1, 1);
    text_init(&text, memory, sizeof(memory));
    multipart_add_type(&multipart, &text);
    text_init(&wanted, expected, sizeof(expected));
    text_add_f(&wanted, "multipart/byteranges; boundary=%s", multipart.boundary);
    assert_string_equal(text.at, expected);
    assert_int_equal(strlen(multipart.boundary), MULTIPART_BOUNDARY_LENGTH);
    assert_int_equal(strspn(multipart.boundary, "0123456789abcdef"), MULTIPART_BOUNDARY_LENGTH);
}

static void without_a_type_the_parts_have_none(void **state)
{
    struct multipart multipart;
    char memory[MULTIPART_PART_HEAD_SIZE];
    struct text text;

    (void)state;
    build(&multipart, &two, 8000, "", 1, 1);
    text_init(&text, memory, sizeof(memory));
    multipart_add_part_head(&multipart, 1, &text);
    assert_null(strstr(text.at, "Content-Type"));
}

static void the_boundary_follows_from_serial_and_salt_alone(void **state)
{
    static const struct range_set other = {2, 0, {{1, 2}, {4, 5}}};
    struct multipart a, b;

    (void)state;
    build(&a, &two, 8000, "text/plain", 41, 99);
    build(&b, &other, 9000, "", 41, 99);
    assert_string_equal(a.boundary, b.boundary);
    /* another version of the program goes on with the answers of this one: it may never change */
    build(&a, &two, 8000, "text/plain", 1, 2);
    assert_string_equal(a.boundary, "f7c3cae260d253e37d3b85b305440dda");
}

static void no_two_serials_and_no_two_salts_share_a_boundary(void **state)
{
    enum { COUNT = 300 };
    static char seen[3 * COUNT][MULTIPART_BOUNDARY_LENGTH + 1];
    struct multipart multipart;

    (void)state;
    for (unsigned i = 0; i < COUNT; i++) {
        build(&multipart, &two, 8000, "", 1 + i, 1);
        memcpy(seen[i], multipart.boundary, sizeof(seen[0]));
        build(&multipart, &two, 8000, "", 1, 2 + i);
        memcpy(seen[COUNT + i], multipart.boundary, sizeof(seen[0]));
        build(&multipart, &two, 8000, "", 0, (uint64_t)i << 40);
        memcpy(seen[2 * COUNT + i], multipart.boundary, sizeof(seen[0]));
    }
    for (unsigned i = 0; i < 3 * COUNT; i++)
        for (unsigned other = 0; other < i; other++)
            assert_string_not_equal(seen[i], seen[other]);
}

static void the_largest_part_head_has_room(void **state)
{
    static const struct range_set far = {2, 0, {{0, 0}, {INT64_MAX - 1, INT64_MAX - 1}}};
    char type[MULTIPART_TYPE_MAX + 2], memory[MULTIPART_PART_HEAD_SIZE], end[MULTIPART_END_SIZE];
    struct multipart multipart;
    struct text text;

    (void)state;
    memset(type, 't', sizeof(type));
    type[MULTIPART_TYPE_MAX + 1] = '\0';
    assert_int_equal(multipart_init(&multipart, &far, INT64_MAX, slice_of(type), 1, 1), ERR_LIMIT);
    type[MULTIPART_TYPE_MAX] = '\0';
    build(&multipart, &far, INT64_MAX, type, UINT64_MAX, UINT64_MAX);
    text_init(&text, memory, sizeof(memory));
    multipart_add_part_head(&multipart, 1, &text);
    assert_false(text.overflow);
    text_init(&text, end, sizeof(end));
    multipart_add_end(&multipart, &text);
    assert_false(text.overflow);
}

static void the_length_of_very_long_ranges_does_not_overflow(void **state)
{
    static const struct range_set halves = {2, 0, {{0, INT64_MAX / 2}, {INT64_MAX / 2 + 2, INT64_MAX - 1}}};
    struct multipart multipart;

    (void)state;
    build(&multipart, &halves, INT64_MAX, "", 1, 1);
    assert_in_range(multipart_length(&multipart), (uint64_t)INT64_MAX, (uint64_t)INT64_MAX + 400);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_parts_are_written_as_in_14_6),
        cmocka_unit_test(the_answers_type_names_the_boundary),
        cmocka_unit_test(without_a_type_the_parts_have_none),
        cmocka_unit_test(the_boundary_follows_from_serial_and_salt_alone),
        cmocka_unit_test(no_two_serials_and_no_two_salts_share_a_boundary),
        cmocka_unit_test(the_largest_part_head_has_room),
        cmocka_unit_test(the_length_of_very_long_ranges_does_not_overflow),
    };

    return cmocka_run_group_tests_name("multipart", tests, NULL, NULL);
}
