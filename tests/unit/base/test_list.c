/* Lists of numbers. */
#include "base/list.h"

#include "unit.h"

#include <stdarg.h>
#include <string.h>

#define NUMBERS 16u

struct item {
    struct list_link link;
    char other;
};

static struct item items[NUMBERS];
static struct list list;

static int setup(void **state)
{
    (void)state;
    memset(items, 0, sizeof items);
    list = (struct list){0, 0};
    return 0;
}

static void put(uint32_t number, uint32_t before)
{
    list_put(&list, LIST_ITEMS(items), number, before);
}

static void take(uint32_t number)
{
    list_remove(&list, LIST_ITEMS(items), number);
}

/* The numbers in their order, forwards and backwards; digits of one text. */
static void assert_order(const char *expected)
{
    const size_t length = strlen(expected);
    uint32_t at = list.first;

    for (size_t i = 0; i < length; i++, at = items[at - 1].link.after)
        assert_int_equal(at, (uint32_t)(expected[i] - '0') + 1);
    assert_int_equal(at, 0);
    at = list.last;
    for (size_t i = length; i > 0; i--, at = items[at - 1].link.before)
        assert_int_equal(at, (uint32_t)(expected[i - 1] - '0') + 1);
    assert_int_equal(at, 0);
}

static void numbers_are_put_at_the_end_or_before_another(void **state)
{
    (void)state;
    assert_order("");
    put(3, 0);
    assert_order("3");
    put(5, 0);
    assert_order("35");
    put(0, list.first);
    assert_order("035");
    put(4, 5 + 1);
    assert_order("0345");
}

static void numbers_are_taken_from_anywhere(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 6; i++)
        put(i, 0);
    take(0);
    assert_order("12345");
    take(5);
    assert_order("1234");
    take(3);
    assert_order("124");
    assert_int_equal(items[3].link.before, 0);
    assert_int_equal(items[3].link.after, 0);
    put(3, 0); /* and come back */
    assert_order("1243");
    for (uint32_t i = 1; i < 5; i++)
        take(i);
    assert_order("");
}

static void two_lists_may_share_the_items(void **state)
{
    struct list other = {0, 0};
    (void)state;

    put(1, 0);
    list_put(&other, LIST_ITEMS(items), 2, 0);
    put(3, 0);
    list_put(&other, LIST_ITEMS(items), 4, 0);
    assert_order("13");
    list_remove(&other, LIST_ITEMS(items), 2);
    list_remove(&other, LIST_ITEMS(items), 4);
    assert_int_equal(other.first, 0);
    assert_order("13");
}

static void nothing_else_of_an_item_is_touched(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < NUMBERS; i++)
        items[i].other = (char)('a' + i);
    for (uint32_t i = 0; i < NUMBERS; i++)
        put(i, list.first);
    for (uint32_t i = 0; i < NUMBERS; i += 2)
        take(i);
    for (uint32_t i = 0; i < NUMBERS; i++)
        assert_int_equal(items[i].other, 'a' + (int)i);
}

#define CASE(test) cmocka_unit_test_setup(test, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(numbers_are_put_at_the_end_or_before_another),
        CASE(numbers_are_taken_from_anywhere),
        CASE(two_lists_may_share_the_items),
        CASE(nothing_else_of_an_item_is_touched),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
