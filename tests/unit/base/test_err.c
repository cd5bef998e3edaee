#include "base/err.h"

#include "unit.h"

#include <errno.h>
#include <string.h>

static const int all[] = {
#define ERR_NUMBER(name, number, text) ERR_##name,
    ERR_TABLE(ERR_NUMBER)
#undef ERR_NUMBER
};
#define COUNT (sizeof(all) / sizeof(all[0]))

static void every_error_has_a_number_a_name_and_a_text_of_its_own(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT; i++) {
        assert_true(all[i] < 0);
        assert_string_not_equal(err_name(all[i]), "UNKNOWN");
        assert_string_not_equal(err_text(all[i]), "unknown error");
        for (size_t j = 0; j < i; j++) {
            assert_int_not_equal(all[i], all[j]);
            assert_string_not_equal(err_name(all[i]), err_name(all[j]));
            assert_string_not_equal(err_text(all[i]), err_text(all[j]));
        }
    }
}

static void success_and_the_unknown_are_named_too(void **state)
{
    (void)state;
    assert_string_equal(err_name(0), "OK");
    assert_string_equal(err_text(0), "success");
    assert_string_equal(err_name(-9999), "UNKNOWN");
    assert_string_equal(err_name(1), "UNKNOWN");
    assert_string_equal(err_name(ERR_NO_MEMORY), "NO_MEMORY");
    assert_string_equal(err_text(ERR_NO_MEMORY), "out of memory");
}

static void what_the_kernel_says_becomes_an_error_of_the_table(void **state)
{
    (void)state;
    assert_int_equal(err_from_errno(EAGAIN), ERR_AGAIN);
    assert_int_equal(err_from_errno(EWOULDBLOCK), ERR_AGAIN);
    assert_int_equal(err_from_errno(ECONNRESET), ERR_RESET);
    assert_int_equal(err_from_errno(EPIPE), ERR_CLOSED);
    assert_int_equal(err_from_errno(EMFILE), ERR_NO_DESCRIPTORS);
    assert_int_equal(err_from_errno(ENOENT), ERR_NOT_FOUND);
    assert_int_equal(err_from_errno(EADDRINUSE), ERR_BUSY);
    assert_int_equal(err_from_errno(ENOTSUP), ERR_UNSUPPORTED);
}

static void an_errno_without_an_entry_is_an_input_output_error(void **state)
{
    (void)state;
    assert_int_equal(err_from_errno(EIO), ERR_IO);
    assert_int_equal(err_from_errno(4000), ERR_IO);
    for (int number = 1; number < 200; number++)
        assert_string_not_equal(err_name(err_from_errno(number)), "UNKNOWN");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_error_has_a_number_a_name_and_a_text_of_its_own),
        cmocka_unit_test(success_and_the_unknown_are_named_too),
        cmocka_unit_test(what_the_kernel_says_becomes_an_error_of_the_table),
        cmocka_unit_test(an_errno_without_an_entry_is_an_input_output_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
