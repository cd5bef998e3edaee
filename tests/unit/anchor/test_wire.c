#include "anchor/wire.h"

#include "unit.h"

static void a_header_is_laid_out_as_written_in_the_format(void **state)
{
    uint8_t bytes[WIRE_HEADER_SIZE];
    const uint8_t wanted[WIRE_HEADER_SIZE] = {'H', 'L', 'F', 'C', 1, 0, 2,    0,    4,    3,    0,    0,
                                              0,   0,   0,   0,   8, 7, 0x06, 0x05, 0x04, 0x03, 0x02, 0x01};
    (void)state;
    wire_header_put(bytes, WIRE_PUT, 0x304, 0x0102030405060708ULL);
    assert_memory_equal(bytes, wanted, sizeof wanted);
}

static void the_numbers_of_the_types_never_change(void **state)
{
    (void)state;
    assert_int_equal(WIRE_HELLO, 1);
    assert_int_equal(WIRE_LIST, 5);
    assert_int_equal(WIRE_ACK, 10);
    assert_int_equal(WIRE_PONG, 12);
    assert_int_equal(WIRE_OK, 64);
    assert_int_equal(WIRE_ERROR, 65);
    assert_int_equal(WIRE_STATUS, 128);
    assert_int_equal(WIRE_PING, 131);
}

static void a_header_comes_back_as_it_was_written(void **state)
{
    uint8_t bytes[WIRE_HEADER_SIZE + 9] = {0};
    struct wire_header header;
    (void)state;
    wire_header_put(bytes, WIRE_GET, 9, 77);
    assert_true(wire_header_get(bytes, sizeof bytes, &header));
    assert_int_equal(header.type, WIRE_GET);
    assert_int_equal(header.length, 9);
    assert_int_equal(header.serial, 77);
}

static void a_header_with_any_byte_of_magic_version_or_length_changed_is_refused(void **state)
{
    uint8_t bytes[WIRE_HEADER_SIZE + 3] = {0};
    struct wire_header header;
    (void)state;
    for (size_t at = 0; at < 12; at++) {
        if (at == 6 || at == 7)
            continue; /* the type: any is let through */
        wire_header_put(bytes, WIRE_GET, 3, 1);
        bytes[at] ^= 0x10;
        assert_false(wire_header_get(bytes, sizeof bytes, &header));
    }
    wire_header_put(bytes, WIRE_GET, 3, 1);
    for (size_t size = 0; size < sizeof bytes; size++)
        assert_false(wire_header_get(bytes, size, &header));
    assert_true(wire_header_get(bytes, sizeof bytes, &header));
}

static void names_are_1_to_63_printable_bytes_without_spaces(void **state)
{
    char name[WIRE_NAME_MAX + 1];
    (void)state;
    memset(name, 'n', sizeof name);
    assert_false(wire_name_valid(name, 0));
    assert_true(wire_name_valid(name, 1));
    assert_true(wire_name_valid(name, WIRE_NAME_MAX));
    assert_false(wire_name_valid(name, WIRE_NAME_MAX + 1));
    for (int byte = 0; byte < 256; byte++) {
        name[2] = (char)byte;
        assert_int_equal(wire_name_valid(name, 5), byte > ' ' && byte < 127);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_header_is_laid_out_as_written_in_the_format),
        cmocka_unit_test(the_numbers_of_the_types_never_change),
        cmocka_unit_test(a_header_comes_back_as_it_was_written),
        cmocka_unit_test(a_header_with_any_byte_of_magic_version_or_length_changed_is_refused),
        cmocka_unit_test(names_are_1_to_63_printable_bytes_without_spaces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
