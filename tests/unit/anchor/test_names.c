#include "anchor/names.h"

#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static struct names names;

static int new_fd(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static int is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static int setup(void **state)
{
    (void)state;
    names_init(&names, 3, ERR_LIMIT);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    names_fini(&names);
    return 0;
}

static void a_descriptor_is_taken_and_found_by_its_name(void **state)
{
    int fd = new_fd(), number = fd;
    (void)state;
    assert_int_equal(names_put(&names, "one", &fd, 7), 0);
    assert_int_equal(fd, -1);
    struct named *named = names_find(&names, "one");
    assert_non_null(named);
    assert_int_equal(named->fd, number);
    assert_int_equal(named->depositor, 7);
    assert_null(names_find(&names, "on"));
    assert_null(names_find(&names, "one "));
}

static void replacing_closes_the_old_descriptor_and_needs_no_place(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        char name[2] = {(char)('a' + i), 0};
        int fd = new_fd();
        assert_int_equal(names_put(&names, name, &fd, 1), 0);
    }
    int old = names_find(&names, "b")->fd, next = new_fd(), number = next;
    assert_int_equal(names_put(&names, "b", &next, 2), 0);
    assert_false(is_open(old) && old != number);
    assert_int_equal(names_find(&names, "b")->fd, number);
    assert_int_equal(names_find(&names, "b")->depositor, 2);
    assert_int_equal(names.count, 3);
}

static void a_full_table_refuses_and_leaves_the_descriptor_to_the_caller(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        char name[2] = {(char)('a' + i), 0};
        int fd = new_fd();
        assert_int_equal(names_put(&names, name, &fd, 1), 0);
    }
    int fd = new_fd();
    assert_int_equal(names_put(&names, "d", &fd, 1), ERR_LIMIT);
    assert_true(fd >= 0 && is_open(fd));
    names_delete(&names, names_find(&names, "a"));
    assert_int_equal(names_put(&names, "d", &fd, 1), 0);
}

static void deleting_closes_and_forgets(void **state)
{
    int fd = new_fd(), number = fd;
    (void)state;
    assert_int_equal(names_put(&names, "one", &fd, 1), 0);
    names_delete(&names, names_find(&names, "one"));
    assert_false(is_open(number));
    assert_null(names_find(&names, "one"));
    assert_int_equal(names.count, 0);
}

static void a_walk_meets_every_name_with_the_prefix_once(void **state)
{
    unsigned met = 0;
    (void)state;
    names_init(&names, 20, ERR_LIMIT);
    for (int i = 0; i < 20; i++) {
        char name[32];
        int fd = new_fd();
        snprintf(name, sizeof name, "%s:%d", i % 2 ? "odd" : "even", i);
        assert_int_equal(names_put(&names, name, &fd, 1), 0);
    }
    for (unsigned at = names_next(&names, 0, "odd:"); at < NAMES_MAX;
         at = names_next(&names, at + 1, "odd:")) {
        met++;
        /* What has been met may go; what is still to come stays in its place. */
        names_delete(&names, &names.places[at]);
    }
    assert_int_equal(met, 10);
    assert_int_equal(names.count, 10);
    assert_int_equal(names_next(&names, 0xffffffffu, ""), 0xffffffffu);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_descriptor_is_taken_and_found_by_its_name),
        TEST(replacing_closes_the_old_descriptor_and_needs_no_place),
        TEST(a_full_table_refuses_and_leaves_the_descriptor_to_the_caller),
        TEST(deleting_closes_and_forgets),
        TEST(a_walk_meets_every_name_with_the_prefix_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
