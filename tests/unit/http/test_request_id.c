#include "http/request_id.h"

#include "request_head.h"
#include "unit.h"

#include <string.h>

#define MADE "0123456789abcdeffedcba9876543210"

static int choose(const char *fields, char out[REQUEST_ID_SIZE])
{
    return request_id_choose(request_head("GET", fields), 0x0123456789abcdef, 0xfedcba9876543210, out);
}

static void a_request_without_one_gets_one(void **state)
{
    char out[REQUEST_ID_SIZE];

    (void)state;
    assert_int_equal(choose("", out), 0);
    assert_string_equal(out, MADE);
    request_id_make(0, 1, out);
    assert_string_equal(out, "00000000000000000000000000000001");
    assert_true(request_id_is_acceptable(slice_of(out)));
}

static void a_harmless_one_is_taken_over(void **state)
{
    char out[REQUEST_ID_SIZE];

    (void)state;
    assert_int_equal(choose("x-request-id: 7b1e6f1a-39ae-4c57-9bd6-1a2a7a3d1c11\r\n", out), 1);
    assert_string_equal(out, "7b1e6f1a-39ae-4c57-9bd6-1a2a7a3d1c11");
    assert_int_equal(choose("X-Request-Id: aZ09-._~:+/=@\r\n", out), 1);
    assert_string_equal(out, "aZ09-._~:+/=@");
}

static void two_of_them_are_none(void **state)
{
    char out[REQUEST_ID_SIZE];

    (void)state;
    assert_int_equal(choose("X-Request-Id: a\r\nX-Request-Id: a\r\n", out), 0);
    assert_string_equal(out, MADE);
}

static void every_byte_but_the_harmless_ones_is_refused(void **state)
{
    (void)state;
    for (int i = 0; i < 256; i++) {
        const char text[3] = {'a', (char)i, 'b'};
        int is_harmless = (i >= 'a' && i <= 'z') || (i >= 'A' && i <= 'Z') || (i >= '0' && i <= '9') ||
                          (i != 0 && strchr("-._~:+/=@", i) != NULL);
        assert_int_equal(request_id_is_acceptable((struct slice){text, 3}), is_harmless);
    }
}

static void its_length_is_bounded(void **state)
{
    char text[REQUEST_ID_MAX + 1], fields[REQUEST_ID_MAX + 64], out[REQUEST_ID_SIZE];
    struct text lines;

    (void)state;
    memset(text, 'x', sizeof(text));
    assert_false(request_id_is_acceptable((struct slice){text, 0}));
    assert_true(request_id_is_acceptable((struct slice){text, REQUEST_ID_MAX}));
    assert_false(request_id_is_acceptable((struct slice){text, REQUEST_ID_MAX + 1}));
    text_init(&lines, fields, sizeof(fields));
    text_add_f(&lines, "X-Request-Id: %.*s\r\n", REQUEST_ID_MAX, text);
    assert_int_equal(choose(fields, out), 1);
    assert_int_equal(strlen(out), REQUEST_ID_MAX);
    assert_int_equal(choose("X-Request-Id:\r\n", out), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_without_one_gets_one),
        cmocka_unit_test(a_harmless_one_is_taken_over),
        cmocka_unit_test(two_of_them_are_none),
        cmocka_unit_test(every_byte_but_the_harmless_ones_is_refused),
        cmocka_unit_test(its_length_is_bounded),
    };

    return cmocka_run_group_tests_name("request ids", tests, NULL, NULL);
}
