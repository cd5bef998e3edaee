#include "http/storage.h"

#include "unit.h"

#include <string.h>

static int released[4];
static size_t release_count;

static void note(void *object)
{
    released[release_count++] = *(int *)object;
}

static void what_is_taken_is_zero_aligned_and_stays(void **state)
{
    struct storage storage = {0};
    unsigned char *taken[600];
    (void)state;
    for (size_t i = 0; i < 600; i++) {
        size_t size = i % 7 == 0 ? 5000 : i;
        taken[i] = storage_take(&storage, size);
        assert_non_null(taken[i]);
        assert_int_equal((uintptr_t)taken[i] % _Alignof(max_align_t), 0);
        for (size_t k = 0; k < size; k++)
            assert_int_equal(taken[i][k], 0);
        memset(taken[i], (int)(i & 0xff), size);
    }
    for (size_t i = 1; i < 600; i++)
        assert_int_equal(taken[i][0], i & 0xff);
    storage_fini(&storage);
    assert_null(storage.blocks);
}

static void a_copy_ends_in_a_nul_and_holds_any_bytes(void **state)
{
    struct storage storage = {0};
    (void)state;
    struct slice copy = storage_copy(&storage, (struct slice){"a\0b", 3});
    assert_int_equal(copy.length, 3);
    assert_memory_equal(copy.at, "a\0b", 4);
    copy = storage_copy(&storage, (struct slice){NULL, 0});
    assert_string_equal(copy.at, "");
    storage_fini(&storage);
}

static void what_is_to_be_released_is_released_once_newest_first(void **state)
{
    struct storage storage = {0};
    int one = 1, two = 2;
    (void)state;
    assert_int_equal(storage_release_with(&storage, note, &one), 0);
    assert_int_equal(storage_release_with(&storage, note, &two), 0);
    assert_int_equal(release_count, 0);
    storage_fini(&storage);
    storage_fini(&storage);
    assert_int_equal(release_count, 2);
    assert_int_equal(released[0], 2);
    assert_int_equal(released[1], 1);
}

static void more_than_there_can_be_is_refused(void **state)
{
    struct storage storage = {0};
    (void)state;
    assert_null(storage_take(&storage, SIZE_MAX));
    assert_null(storage_take(&storage, SIZE_MAX - 31));
    assert_null(storage_take(&storage, SIZE_MAX / 2 + 1));
    assert_non_null(storage_take(&storage, 1));
    storage_fini(&storage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_taken_is_zero_aligned_and_stays),
        cmocka_unit_test(a_copy_ends_in_a_nul_and_holds_any_bytes),
        cmocka_unit_test(what_is_to_be_released_is_released_once_newest_first),
        cmocka_unit_test(more_than_there_can_be_is_refused),
    };
    return cmocka_run_group_tests_name("storage", tests, NULL, NULL);
}
