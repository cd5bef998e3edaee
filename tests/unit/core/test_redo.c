/* Words that change with a head: after a death, all of them or none. */
#include "core/redo.h"

#include "core/arena.h"
#include "unit.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static struct arena arena;

static int setup(void **state)
{
    (void)state;
    if (arena_create(&arena, 0, 1, 256))
        return -1;
    return arena_record_reserve(&arena, 0);
}

static int teardown(void **state)
{
    (void)state;
    arena_close(&arena);
    return 0;
}

static _Atomic uint64_t *counter(unsigned number)
{
    return &arena.page->counters[number];
}

static struct record *record(void)
{
    return arena_record(&arena, 0);
}

static void words_change_with_the_commit_and_not_before(void **state)
{
    (void)state;
    redo_begin(&arena);
    (void)record_begin(record());
    redo_add(&arena, counter(0), 2);
    redo_add(&arena, counter(0), 3);
    redo_set(&arena, counter(1), 7);
    assert_int_equal(*counter(0), 0);
    assert_int_equal(redo_value(&arena, counter(0)), 5);
    redo_commit(&arena, record());
    assert_int_equal(*counter(0), 5);
    assert_int_equal(*counter(1), 7);
    assert_int_equal(arena.core->redo.is_armed, 0);
}

static void what_is_given_up_is_forgotten(void **state)
{
    (void)state;
    redo_begin(&arena);
    redo_add(&arena, counter(0), 2);
    redo_begin(&arena);
    redo_commit(&arena, record());
    assert_int_equal(*counter(0), 0);
}

/* The three places at which a commit can be cut off, made by hand. */
static void a_commit_that_was_cut_off_has_happened_as_a_whole_or_not_at_all(void **state)
{
    struct redo *redo = &arena.core->redo;
    (void)state;

    if (!ARENA_SHARED)
        skip();
    redo_begin(&arena);
    redo_set(&arena, counter(0), 9);
    redo_set(&arena, counter(1), 9);
    redo->record = 0;
    redo->current = record()->current + 1;
    redo->is_armed = 1; /* killed before the head was committed */
    assert_int_equal(redo_settle(&arena), 0);
    assert_int_equal(*counter(0), 0);
    redo_set(&arena, counter(0), 9);
    redo_set(&arena, counter(1), 9);
    redo->is_armed = 1;
    record()->current++;
    *counter(0) = 9; /* killed between the two words */
    assert_int_equal(redo_settle(&arena), 1);
    assert_int_equal(*counter(0), 9);
    assert_int_equal(*counter(1), 9);
    assert_int_equal(redo_settle(&arena), 0); /* once */
}

static void garbage_in_the_note_harms_nobody(void **state)
{
    (void)state;
    arena.core->redo = (struct redo){.is_armed = 1, .record = 77777, .count = 1};
    assert_int_equal(redo_settle(&arena), 0);
    arena.core->redo = (struct redo){.is_armed = 1, .count = REDO_WORDS + 1};
    assert_int_equal(redo_settle(&arena), 0);
}

/* Events of which any may be the last: the head and two words elsewhere always tell of the same number. */
static void a_death_never_parts_the_head_from_its_words(void **state)
{
    (void)state;
    if (!ARENA_SHARED)
        skip();
    for (int round = 0; round < 100; round++) {
        const uint64_t before = record_head(record())->taken;
        pid_t pid = fork();

        while (pid == 0) {
            redo_begin(&arena);
            record_begin(record())->taken++;
            redo_add(&arena, counter(0), 1);
            redo_add(&arena, counter(1), 1);
            redo_commit(&arena, record());
        }
        while (*(volatile const uint64_t *)&record_head(record())->taken == before)
            ;
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        (void)redo_settle(&arena);
        assert_int_equal(record_head(record())->taken, *counter(0));
        assert_int_equal(record_head(record())->taken, *counter(1));
    }
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

static struct record *other(void)
{
    return arena_record(&arena, 1);
}

static void a_partner_changes_with_the_record_and_not_before(void **state)
{
    (void)state;
    redo_begin(&arena);
    record_begin(record())->made = 5;
    record_begin(other())->taken = 6;
    redo_partner(&arena, other());
    if (ARENA_SHARED)
        assert_int_not_equal(record_head(other())->taken, 6);
    redo_commit(&arena, record());
    assert_int_equal(record_head(record())->made, 5);
    assert_int_equal(record_head(other())->taken, 6);
    redo_begin(&arena);
    record_begin(record())->made = 7;
    record_begin(other())->taken = 8;
    redo_commit(&arena, record()); /* was nobody's partner this time */
    if (ARENA_SHARED)
        assert_int_equal(record_head(other())->taken, 6);
}

/* The three places at which it can be cut off, made by hand. */
static void a_partner_whose_commit_was_cut_off_is_settled_with_the_record(void **state)
{
    struct redo *redo = &arena.core->redo;
    (void)state;

    if (!ARENA_SHARED)
        skip();
    for (int has_happened = 0; has_happened < 3; has_happened++) {
        const uint32_t before = other()->current;

        redo_begin(&arena);
        (void)record_begin(record());
        (void)record_begin(other());
        redo_partner(&arena, other());
        redo->record = 0;
        redo->current = record()->current + 1;
        redo->partner_current = before + 1;
        redo->is_armed = 1;
        if (has_happened > 0)
            record_commit(record());
        if (has_happened > 1)
            record_commit(other());
        assert_int_equal(redo_settle(&arena), has_happened > 0);
        assert_int_equal(other()->current, before + (has_happened > 0));
        assert_int_equal(redo_settle(&arena), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(words_change_with_the_commit_and_not_before),
        CASE(what_is_given_up_is_forgotten),
        CASE(a_commit_that_was_cut_off_has_happened_as_a_whole_or_not_at_all),
        CASE(garbage_in_the_note_harms_nobody),
        CASE(a_death_never_parts_the_head_from_its_words),
        CASE(a_partner_changes_with_the_record_and_not_before),
        CASE(a_partner_whose_commit_was_cut_off_is_settled_with_the_record),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
