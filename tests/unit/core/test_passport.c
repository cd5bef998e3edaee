/* The passport's codec. tests/fuzz/fuzz_passport.c looks at everything else that bytes can be. */
#include "core/passport.h"

#include "unit.h"

#include <string.h>

/* One passport with two fields, byte by byte as the header says: it must be read for ever. */
static const unsigned char fixture[] = {
    'H', 'F', 'P', 'B', 1, 0, 1, 0, 55,  0,   0,   0, 2, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, /* head */
    27,  0,   0,   0,                                                                     /* a passport */
    9,   0,   1,   0,   8, 0, 0, 0, 0,   1,   0,   0, 0, 0, 0, 0,                         /* number 256 */
    64,  0,   0,   0,   3, 0, 0, 0, 'a', 'b', 'c',                                        /* bytes */
};

static size_t make(void *memory, size_t capacity)
{
    struct passport_writer writer;

    passport_batch_begin(&writer, memory, capacity);
    passport_begin(&writer);
    passport_put_number(&writer, 9, PASSPORT_REQUIRED, 256);
    passport_put(&writer, 64, PASSPORT_OPTIONAL, SLICE_LITERAL("abc"));
    passport_end(&writer);
    return passport_batch_end(&writer, 7, 2);
}

static void what_is_written_is_what_the_header_says(void **state)
{
    unsigned char memory[256];
    (void)state;

    assert_int_equal(make(memory, sizeof memory), sizeof fixture);
    assert_memory_equal(memory, fixture, sizeof fixture);
}

static void what_was_written_once_is_read(void **state)
{
    struct passport_batch batch;
    struct passport passport;
    struct slice bytes;
    uint64_t number;
    (void)state;

    assert_int_equal(passport_batch_open(&batch, fixture, sizeof fixture), 0);
    assert_int_equal(batch.number, 7);
    assert_int_equal(batch.descriptors, 2);
    assert_true(passport_batch_next(&batch, &passport));
    assert_int_equal(passport_get_number(&passport, 9, 0, &number), 0);
    assert_int_equal(number, 256);
    assert_int_equal(passport_get_number(&passport, 10, 5, &number), 0);
    assert_int_equal(number, 5);
    assert_true(passport_get(&passport, 64, &bytes));
    assert_true(slice_equals(bytes, SLICE_LITERAL("abc")));
    assert_int_equal(passport_get_number(&passport, 64, 0, &number), ERR_PROTOCOL);
    assert_false(passport_batch_next(&batch, &passport));
}

static void a_required_field_must_be_understood_and_an_optional_one_need_not(void **state)
{
    struct passport_batch batch;
    struct passport passport;
    (void)state;

    assert_int_equal(passport_batch_open(&batch, fixture, sizeof fixture), 0);
    assert_true(passport_batch_next(&batch, &passport));
    assert_int_equal(passport_understand(&passport, (struct passport_known){.core = 1 << 9}), 0);
    assert_int_equal(passport_understand(&passport, (struct passport_known){.class = 1}), ERR_UNSUPPORTED);
}

static void cut_anywhere_it_is_malformed(void **state)
{
    struct passport_batch batch;
    (void)state;

    for (size_t length = 0; length < sizeof fixture; length++)
        assert_int_equal(passport_batch_open(&batch, fixture, length), ERR_PROTOCOL);
}

static void another_layout_is_another_version(void **state)
{
    unsigned char memory[sizeof fixture];
    struct passport_batch batch;
    (void)state;

    memcpy(memory, fixture, sizeof fixture);
    memory[4] = 2;
    assert_int_equal(passport_batch_open(&batch, memory, sizeof memory), ERR_VERSION);
}

static void a_tag_comes_once(void **state)
{
    unsigned char memory[256];
    struct passport_writer writer;
    struct passport_batch batch;
    size_t length;
    (void)state;

    passport_batch_begin(&writer, memory, sizeof memory);
    passport_begin(&writer);
    passport_put_number(&writer, 9, PASSPORT_OPTIONAL, 1);
    passport_put_number(&writer, 9, PASSPORT_OPTIONAL, 1);
    passport_end(&writer);
    length = passport_batch_end(&writer, 1, 0);
    assert_int_equal(passport_batch_open(&batch, memory, length), ERR_PROTOCOL);
}

static void what_does_not_fit_is_undone_and_the_rest_stays(void **state)
{
    unsigned char memory[100];
    struct passport_writer writer;
    struct passport_batch batch;
    size_t length;
    (void)state;

    passport_batch_begin(&writer, memory, sizeof memory);
    passport_begin(&writer);
    passport_put_number(&writer, 1, PASSPORT_REQUIRED, 1);
    passport_end(&writer);
    passport_begin(&writer);
    assert_null(passport_put_space(&writer, 2, PASSPORT_REQUIRED, 80));
    passport_put_number(&writer, 3, PASSPORT_REQUIRED, 1);
    assert_true(writer.overflow);
    passport_undo(&writer);
    length = passport_batch_end(&writer, 1, 0);
    assert_int_equal(passport_batch_open(&batch, memory, length), 0);
    assert_int_equal(batch.count, 1);
    assert_int_equal(make(memory, 40), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_what_the_header_says),
        cmocka_unit_test(what_was_written_once_is_read),
        cmocka_unit_test(a_required_field_must_be_understood_and_an_optional_one_need_not),
        cmocka_unit_test(cut_anywhere_it_is_malformed),
        cmocka_unit_test(another_layout_is_another_version),
        cmocka_unit_test(a_tag_comes_once),
        cmocka_unit_test(what_does_not_fit_is_undone_and_the_rest_stays),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
