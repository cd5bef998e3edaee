#include "proto/address.h"

#include "guarded.h"
#include "unit.h"

#include <string.h>

/* 1, and the bytes are these; or 0: refused. */
static int is_parsed(const char *text, size_t length, int is_ipv6, const uint8_t expected[16])
{
    const struct slice guarded = {guarded_copy(text, length), length};
    uint8_t address[16];

    if (address_parse(guarded, is_ipv6, address))
        return 0;
    assert_memory_equal(address, expected, sizeof address);
    return 1;
}

static void ipv4_is_written_in_its_ipv6_form(void **state)
{
    const uint8_t expected[16] = {[10] = 0xff, [11] = 0xff, 192, 0, 2, 1};
    (void)state;

    assert_true(is_parsed("192.0.2.1", 9, 0, expected));
    assert_true(is_parsed("::ffff:192.0.2.1", 16, 1, expected));
    assert_false(is_parsed("192.0.2.1", 9, 1, expected));
}

static void ipv6_is_taken_as_it_is(void **state)
{
    const uint8_t expected[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 1};
    (void)state;

    assert_true(is_parsed("2001:db8::1", 11, 1, expected));
    assert_false(is_parsed("2001:db8::1", 11, 0, expected));
}

static void everything_else_is_refused(void **state)
{
    static const char *const texts[] = {"",
                                        "1",
                                        "1.2.3",
                                        "1.2.3.4.5",
                                        "1.2.3.256",
                                        " 1.2.3.4",
                                        "1.2.3.4:80",
                                        "[::1]",
                                        "::1%lo",
                                        "localhost",
                                        "1:2:3:4:5:6:7:8:9:a:b:c:d:e:f:0:1:2:3:4:5:6:7:8"};
    (void)state;

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        for (int is_ipv6 = 0; is_ipv6 < 2; is_ipv6++)
            assert_false(is_parsed(texts[i], strlen(texts[i]), is_ipv6, NULL));
    assert_false(is_parsed("1.2.3.4\0", 8, 0, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ipv4_is_written_in_its_ipv6_form),
        cmocka_unit_test(ipv6_is_taken_as_it_is),
        cmocka_unit_test(everything_else_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
