#include "loop/timers.h"

#include "unit.h"

#include <stdlib.h>

#define NUMBERS 200u
#define STEPS 20000

/* The promise of each number, as a list that is searched from end to end. */
struct model {
    uint64_t deadline[NUMBERS];
    int is_set[NUMBERS];
};

static uint64_t earliest(const struct model *model)
{
    uint64_t found = UINT64_MAX;

    for (unsigned n = 0; n < NUMBERS; n++)
        if (model->is_set[n] && model->deadline[n] < found)
            found = model->deadline[n];
    return found;
}

static void step_set(struct timers *timers, struct model *model, uint32_t number, uint64_t deadline)
{
    timers_set(timers, number, deadline);
    if (!model->is_set[number] || deadline < model->deadline[number])
        model->deadline[number] = deadline; /* moving back is the owner's business */
    model->is_set[number] = 1;
}

static void step_take(struct timers *timers, struct model *model, uint64_t now)
{
    uint64_t due = earliest(model);
    uint32_t number = NUMBERS;

    if (due > now) {
        assert_int_equal(timers_take_due(timers, now, &number), 0);
        return;
    }
    assert_int_equal(timers_take_due(timers, now, &number), 1);
    assert_true(number < NUMBERS);
    assert_true(model->is_set[number]);
    assert_int_equal(model->deadline[number], due);
    model->is_set[number] = 0;
}

static void random_orders_agree_with_a_naive_list(void **state)
{
    static struct model model;
    struct timers timers;
    (void)state;

    srand(7);
    assert_int_equal(timers_init(&timers, NUMBERS), 0);
    for (int i = 0; i < STEPS; i++) {
        uint32_t number = (uint32_t)rand() % NUMBERS;
        int what = rand() % 10;

        if (what < 6) {
            step_set(&timers, &model, number, (uint64_t)(rand() % 1000));
        } else if (what < 8) {
            timers_remove(&timers, number);
            model.is_set[number] = 0;
        } else {
            step_take(&timers, &model, (uint64_t)(rand() % 1000));
        }
        assert_int_equal(timers_earliest(&timers), earliest(&model));
    }
    timers_fini(&timers);
}

static void what_is_due_comes_in_the_order_of_deadlines(void **state)
{
    struct timers timers;
    uint64_t before = 0;
    uint32_t number;
    (void)state;

    assert_int_equal(timers_init(&timers, NUMBERS), 0);
    for (uint32_t n = 0; n < NUMBERS; n++)
        timers_set(&timers, n, (n * 7919u) % 1009u + 1);
    for (uint32_t n = 0; n < NUMBERS; n++) {
        uint64_t deadline = timers_earliest(&timers);

        assert_true(deadline >= before);
        assert_int_equal(timers_take_due(&timers, deadline - 1, &number), 0);
        assert_int_equal(timers_take_due(&timers, deadline, &number), 1);
        assert_int_equal(deadline, (number * 7919u) % 1009u + 1);
        before = deadline;
    }
    assert_int_equal(timers_earliest(&timers), UINT64_MAX);
    assert_int_equal(timers_take_due(&timers, UINT64_MAX, &number), 0);
    timers_fini(&timers);
}

static void a_number_has_one_entry_and_the_earliest_promise_wins(void **state)
{
    struct timers timers;
    uint32_t number;
    (void)state;

    assert_int_equal(timers_init(&timers, 4), 0);
    timers_set(&timers, 2, 500);
    timers_set(&timers, 2, 300);
    timers_set(&timers, 2, 900);
    assert_int_equal(timers.count, 1);
    assert_int_equal(timers_earliest(&timers), 300);
    assert_int_equal(timers_take_due(&timers, 300, &number), 1);
    assert_int_equal(number, 2);
    assert_int_equal(timers_take_due(&timers, UINT64_MAX, &number), 0);
    timers_fini(&timers);
}

static void removing_what_is_not_there_changes_nothing(void **state)
{
    struct timers timers;
    (void)state;

    assert_int_equal(timers_init(&timers, 4), 0);
    timers_remove(&timers, 3);
    timers_set(&timers, 0, 10);
    timers_remove(&timers, 3);
    assert_int_equal(timers_earliest(&timers), 10);
    timers_remove(&timers, 0);
    timers_remove(&timers, 0);
    assert_int_equal(timers_earliest(&timers), UINT64_MAX);
    timers_fini(&timers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_orders_agree_with_a_naive_list),
        cmocka_unit_test(what_is_due_comes_in_the_order_of_deadlines),
        cmocka_unit_test(a_number_has_one_entry_and_the_earliest_promise_wins),
        cmocka_unit_test(removing_what_is_not_there_changes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
