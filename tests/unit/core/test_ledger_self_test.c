/* The start-up self-test trusts this kernel, leaves nothing open, and does not trust what it could not try. */
#include "core/ledger.h"

#include "unit.h"

#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static int next_descriptor(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    close(fd);
    return fd;
}

static void this_kernels_counters_are_true(void **state)
{
    char what[256] = "";
    (void)state;

    if (ledger_self_test(what, sizeof what))
        fail_msg("%s", what);
}

static void nothing_stays_open(void **state)
{
    char what[256];
    int before = next_descriptor();
    (void)state;

    assert_int_equal(ledger_self_test(what, sizeof what), 0);
    assert_int_equal(next_descriptor(), before);
}

static void what_cannot_be_tried_is_not_trusted_and_told(void **state)
{
    struct rlimit limit, tight;
    int next = next_descriptor();
    (void)state;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    for (int room = 0; room < 3; room++) { /* descriptors: a listener and two ends are needed */
        char what[256] = "";
        int result;

        tight = (struct rlimit){(rlim_t)(next + room), limit.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
        result = ledger_self_test(what, sizeof what);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
        assert_int_not_equal(result, 0);
        assert_true(strlen(what) > 0);
        assert_int_equal(next_descriptor(), next);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(this_kernels_counters_are_true),
        cmocka_unit_test(nothing_stays_open),
        cmocka_unit_test(what_cannot_be_tried_is_not_trusted_and_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
