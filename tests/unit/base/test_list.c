#include "base/list.h"

#include "unit.h"

struct item {
    int number;
    struct list link;
};

/* The numbers in the list, first to last, as one decimal number; checks the way back too. */
static int numbers_of(struct list *head)
{
    int forward = 0, backward = 0, place = 1;

    LIST_EACH(head, at)
    forward = forward * 10 + LIST_ENTRY(at, struct item, link)->number;
    for (struct list *at = head->previous; at != head; at = at->previous, place *= 10)
        backward += LIST_ENTRY(at, struct item, link)->number * place;
    assert_int_equal(forward, backward);
    return forward;
}

static void an_empty_list_has_nothing_to_walk_or_take(void **state)
{
    struct list head;

    (void)state;
    list_init(&head);
    assert_true(list_is_empty(&head));
    assert_null(list_take_first(&head));
    assert_int_equal(numbers_of(&head), 0);
}

static void items_stand_in_the_order_in_which_they_were_put(void **state)
{
    struct list head;
    struct item items[4] = {{.number = 1}, {.number = 2}, {.number = 3}, {.number = 4}};

    (void)state;
    list_init(&head);
    list_add_last(&head, &items[1].link);
    list_add_last(&head, &items[3].link);
    list_add_first(&head, &items[0].link);
    list_add_before(&items[3].link, &items[2].link);
    assert_int_equal(numbers_of(&head), 1234);
    assert_false(list_is_empty(&head));
}

static void an_item_leaves_from_anywhere_and_may_leave_twice(void **state)
{
    struct list head;
    struct item items[3] = {{.number = 1}, {.number = 2}, {.number = 3}};

    (void)state;
    list_init(&head);
    for (int i = 0; i < 3; i++)
        list_add_last(&head, &items[i].link);
    list_remove(&items[1].link);
    list_remove(&items[1].link);
    assert_int_equal(numbers_of(&head), 13);
    assert_true(list_is_empty(&items[1].link));
    assert_ptr_equal(list_take_first(&head), &items[0].link);
    list_remove(&items[2].link);
    assert_true(list_is_empty(&head));
}

static void the_walk_goes_on_when_its_item_leaves(void **state)
{
    struct list head;
    struct item items[4] = {{.number = 1}, {.number = 2}, {.number = 3}, {.number = 4}};
    int visited = 0;

    (void)state;
    list_init(&head);
    for (int i = 0; i < 4; i++)
        list_add_last(&head, &items[i].link);
    LIST_EACH(&head, at)
    {
        visited++;
        if (LIST_ENTRY(at, struct item, link)->number % 2 == 0)
            list_remove(at);
    }
    assert_int_equal(visited, 4);
    assert_int_equal(numbers_of(&head), 13);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_list_has_nothing_to_walk_or_take),
        cmocka_unit_test(items_stand_in_the_order_in_which_they_were_put),
        cmocka_unit_test(an_item_leaves_from_anywhere_and_may_leave_twice),
        cmocka_unit_test(the_walk_goes_on_when_its_item_leaves),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
