/* The shared table: what several workers know together, whoever of them is killed when. */
#include "upstream/table.h"

#include "base/clock.h"
#include "base/fd.h"
#include "core/shared.h"
#include "unit.h"

#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int fd;
static void *shared;
static struct table one, other;

static int setup(void **state)
{
    (void)state;
    fd = shared_create(TABLE_SIZE);
    return fd < 0 || shared_map(fd, TABLE_SIZE, &shared) || table_open(&one, shared, fd, 0, NULL) ||
           table_open(&other, shared, fd, 3, NULL);
}

static int teardown(void **state)
{
    (void)state;
    table_close(&one);
    table_close(&other);
    shared_unmap(&shared, TABLE_SIZE);
    fd_close(&fd);
    return 0;
}

static struct sockaddr_storage address_of(uint16_t port)
{
    struct sockaddr_storage address;
    struct sockaddr_in *v4 = (void *)&address;

    memset(&address, 0, sizeof address);
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

static int join(struct table *table, const char *pool, uint16_t port, uint32_t *number)
{
    struct sockaddr_storage address = address_of(port);
    char server[32];
    struct table_key key = {.pool = slice_of(pool),
                            .address = &address,
                            .address_length = sizeof(struct sockaddr_in),
                            .weight = 1};

    snprintf(server, sizeof server, "127.0.0.1:%u", port);
    key.server = slice_of(server);
    return table_join(table, &key, number);
}

/* --- entries --- */

static void the_same_server_is_the_same_entry_for_all(void **state)
{
    uint32_t a, b, c, d;
    (void)state;

    assert_int_equal(join(&one, "app", 80, &a), 0);
    assert_int_equal(join(&other, "app", 80, &b), 0);
    assert_int_equal(join(&one, "app", 81, &c), 0);
    assert_int_equal(join(&one, "web", 80, &d), 0);
    assert_int_equal(a, b);
    assert_true(a != c && a != d && c != d);
    assert_string_equal(table_entry(&other, a)->pool, "app");
    assert_string_equal(table_entry(&other, a)->server, "127.0.0.1:80");
    assert_string_equal(table_entry(&other, a)->address_text, "127.0.0.1:80");
    assert_true(table_is_shown(&one, a));
}

static void a_member_that_nobody_has_any_more_makes_room_and_its_number_is_not_given_again(void **state)
{
    uint32_t number, old, again;
    (void)state;

    for (uint16_t i = 0; i < TABLE_ENTRIES; i++)
        assert_int_equal(join(&one, "app", (uint16_t)(1000 + i), &number), 0);
    assert_int_equal(join(&one, "app", 5000, &number), ERR_LIMIT);
    assert_int_equal(join(&one, "app", 1700, &number), 0);
    old = table_member(&one, number);
    table_entry(&one, number)->failures = 7;
    assert_int_equal(table_take(&other, number, 0), 0);
    table_part(&one, number);
    assert_int_equal(join(&one, "app", 5000, &again), ERR_LIMIT); /* the other one has a request there */
    assert_non_null(table_find(&one, old));
    table_release(&other, number);
    assert_int_equal(join(&one, "app", 5000, &again), 0);
    assert_int_equal(again, number);
    assert_null(table_find(&one, old));
    assert_int_not_equal(table_member(&one, again), old);
    assert_int_equal(table_entry(&one, again)->failures, 0);
    assert_string_equal(table_entry(&one, again)->server, "127.0.0.1:5000");
}

static void a_mark_whose_owner_died_is_taken_over(void **state)
{
    uint32_t number;
    (void)state;

    for (uint16_t i = 0; i < TABLE_ENTRIES; i++)
        assert_int_equal(join(&one, "app", (uint16_t)(1000 + i), &number), 0);
    table_part(&one, 9);
    table_head(&one)->keys[9] = TABLE_MARK | 77;
    assert_int_equal(join(&one, "app", 5000, &number), 0);
    assert_int_equal(number, 9);
}

static void an_entry_that_its_claimer_did_not_fill_is_filled_by_the_next_one(void **state)
{
    uint32_t number;
    (void)state;

    assert_int_equal(join(&one, "app", 80, &number), 0);
    table_entry(&one, number)->filled = 0;
    memset(table_entry(&one, number)->server, 'x', TABLE_TEXT_SIZE);
    assert_false(table_is_shown(&one, number));
    assert_int_equal(join(&other, "app", 80, &number), 0);
    assert_string_equal(table_entry(&one, number)->server, "127.0.0.1:80");
    assert_true(table_is_shown(&one, number));
}

static void another_layout_is_not_touched(void **state)
{
    struct table third;
    (void)state;

    table_head(&one)->version = TABLE_VERSION + 1;
    assert_int_equal(table_open(&third, shared, fd, 1, NULL), ERR_VERSION);
    table_close(&third);
}

/* --- rows --- */

static void a_limit_holds_over_all_workers(void **state)
{
    uint32_t number;
    (void)state;

    assert_int_equal(join(&one, "app", 80, &number), 0);
    assert_int_equal(table_take(&one, number, 3), 0);
    assert_int_equal(table_take(&other, number, 3), 0);
    assert_int_equal(table_take(&other, number, 3), 0);
    assert_int_equal(table_take(&one, number, 3), ERR_BUSY);
    assert_int_equal(table_take(&other, number, 3), ERR_BUSY);
    assert_int_equal(table_active(&one, number), 3);
    table_release(&one, number);
    assert_int_equal(table_take(&other, number, 3), 0);
    assert_int_equal(table_active(&other, number), 3);
}

static void the_old_row_holds_until_the_new_one_is_counted(void **state)
{
    uint32_t number;
    (void)state;

    assert_int_equal(join(&one, "app", 80, &number), 0);
    for (int i = 0; i < 5; i++)
        assert_int_equal(table_take(&one, number, 5), 0);
    table_recount_begin(&one);
    table_recount(&one, number);
    assert_int_equal(table_take(&other, number, 5), ERR_BUSY);
    table_recount_end(&one);
    assert_int_equal(table_active(&other, number), 1);
    assert_int_equal(table_take(&other, number, 5), 0);
    table_leave(&one);
    assert_int_equal(table_active(&other, number), 1);
}

static void rows_of_slots_that_are_gone_do_not_count(void **state)
{
    static struct board board;
    struct table third;
    uint32_t number;
    (void)state;

    memset(&board, 0, sizeof board);
    board.slots[0].is_used = 1;
    board.slots[1].is_used = 1;
    assert_int_equal(table_open(&third, shared, fd, 1, &board), 0);
    assert_int_equal(join(&third, "app", 80, &number), 0);
    assert_int_equal(table_take(&one, number, 0), 0);
    assert_int_equal(table_active(&third, number), 1);
    board.slots[0].is_used = 0;
    assert_int_equal(table_active(&third, number), 0);
    assert_int_equal(table_take(&third, number, 1), 0);
    table_close(&third);
}

/* --- deaths --- */

/* Takes and gives back for ever, and says in `held` how much it has at most and at least, as a record would. */
_Noreturn static void be_a_worker(uint32_t place, uint32_t number, uint32_t max, _Atomic uint32_t *held)
{
    struct table table;
    uint32_t mine;

    if (table_open(&table, shared, fd, place, NULL) || join(&table, "app", 80, &mine) || mine != number)
        _exit(1);
    table_recount_begin(&table);
    for (uint32_t i = 0; i < *held; i++)
        table_recount(&table, number);
    table_recount_end(&table);
    for (uint32_t turn = place;; turn = turn * 1664525 + 1013904223) {
        if (turn >> 31 && !table_take(&table, number, max)) {
            (*held)++;
        } else if (*held) {
            (*held)--;
            table_release(&table, number);
        }
    }
}

/* Three workers at once, killed at any instruction; each life goes on with what the records of the last one say. */
static void no_death_makes_a_row_say_too_little_or_a_limit_give_way(void **state)
{
    const uint32_t max = 7, deaths = unit_is_under_valgrind() ? 20 : 300;
    _Atomic uint32_t *held = (void *)((char *)shared + TABLE_ROWS_AT + 200 * TABLE_ROW_SIZE);
    pid_t workers[3];
    uint32_t number;
    (void)state;

    assert_int_equal(shared_reserve(fd, TABLE_ROWS_AT + 200 * TABLE_ROW_SIZE, TABLE_ROW_SIZE), 0);
    assert_int_equal(join(&one, "app", 80, &number), 0);
    for (uint32_t i = 0; i < 3; i++) {
        workers[i] = fork();
        if (!workers[i])
            be_a_worker(10 + i, number, max, &held[i]);
    }
    for (uint32_t death = 0; death < deaths; death++) {
        const uint32_t i = death % 3;
        const uint64_t until_ns = clock_monotonic_ns() + (death * 7919 % 500) * 1000;
        uint32_t row;
        int status;

        do /* what the records hold never is more than the limit */
            assert_true(held[0] + held[1] + held[2] <= max + 3);
        while (clock_monotonic_ns() < until_ns);
        kill(workers[i], SIGKILL);
        assert_int_equal(waitpid(workers[i], &status, 0), workers[i]);
        assert_true(WIFSIGNALED(status));
        row = table_row(&one, 10 + i)->words[number] & TABLE_ACTIVE;
        assert_in_range(row, held[i], held[i] + 1);
        workers[i] = fork();
        if (!workers[i])
            be_a_worker(10 + i, number, max, &held[i]);
    }
    for (uint32_t i = 0; i < 3; i++)
        kill(workers[i], SIGKILL);
    for (uint32_t i = 0; i < 3; i++)
        (void)waitpid(workers[i], NULL, 0);
    assert_true(held[0] + held[1] + held[2] <= max);
}

_Noreturn static void join_for_ever(uint32_t place)
{
    struct table table;
    uint32_t number;

    if (table_open(&table, shared, fd, place, NULL))
        _exit(1);
    for (uint32_t turn = 0;; turn++) {
        const uint16_t port = (uint16_t)(1 + turn * 7919 % 1500); /* more than there is room for */

        if (join(&table, "app", port, &number))
            continue;
        if (!(table_head(&table)->keys[number] & TABLE_MARK) && /* somebody looks whether he can have it */
            table_entry(&table, number)->filled != table_head(&table)->keys[number])
            _exit(2);
        if (((struct sockaddr_in *)(void *)&table_entry(&table, number)->address)->sin_port != htons(port))
            _exit(3);
        table_part(&table, number);
    }
}

static void no_death_of_somebody_who_joins_loses_an_entry(void **state)
{
    const uint32_t deaths = unit_is_under_valgrind() ? 10 : 100;
    pid_t workers[3];
    uint32_t number;
    int status;
    (void)state;

    for (uint32_t death = 0; death < deaths; death++) {
        const uint64_t until_ns = clock_monotonic_ns() + 1000000 + (death * 7919 % 2000) * 1000;

        for (uint32_t i = 0; i < 3; i++) {
            workers[i] = fork();
            if (!workers[i])
                join_for_ever(10 + i);
        }
        while (clock_monotonic_ns() < until_ns)
            ;
        for (uint32_t i = 0; i < 3; i++) {
            kill(workers[i], SIGKILL);
            assert_int_equal(waitpid(workers[i], &status, 0), workers[i]);
            assert_true(WIFSIGNALED(status));
        }
    }
    for (uint32_t place = 10; place < 13; place++) /* as the next worker of each does */
        for (uint32_t i = 0; i < TABLE_ENTRIES; i++)
            table_row(&one, place)->words[i] = 0;
    for (uint16_t i = 0; i < TABLE_ENTRIES; i++)
        assert_int_equal(join(&one, "new", (uint16_t)(3000 + i), &number), 0);
}

/* --- names --- */

static void addresses_of_a_name_are_read_whole_or_not_at_all(void **state)
{
    struct table_copy copy = {.count = 2}, seen;
    uint32_t a, b;
    (void)state;

    assert_int_equal(table_name_join(&one, slice_of("app.example.com:80"), 1, &a), 0);
    assert_int_equal(table_name_join(&other, slice_of("app.example.com:80"), 1, &b), 0);
    assert_int_equal(a, b);
    assert_int_equal(table_name_read(&other, b, &seen), ERR_NOT_FOUND);
    copy.found[1].port = 81;
    table_name_write(&one, a, &copy);
    assert_int_equal(table_name_read(&other, b, &seen), 0);
    assert_int_equal(seen.found[1].port, 81);
    copy.found[1].port = 82;
    table_name_write(&one, a, &copy);
    assert_int_equal(table_name_read(&other, b, &seen), 0);
    assert_int_equal(seen.found[1].port, 82);
    table_name(&one, a)->copies[table_name(&one, a)->version & 1].found[0].port = 9;
    assert_int_equal(table_name_read(&other, b, &seen), ERR_AGAIN);
}

static void names_that_nobody_asks_for_make_room(void **state)
{
    char text[32];
    uint32_t number, again;
    (void)state;

    for (unsigned i = 0; i < TABLE_NAMES; i++) {
        snprintf(text, sizeof text, "n%u:80", i);
        assert_int_equal(table_name_join(&one, slice_of(text), 1000, &number), 0);
    }
    assert_int_equal(table_name_join(&one, slice_of("new:80"), 1000, &number), ERR_LIMIT);
    table_name(&one, 5)->failures = 3;
    for (uint32_t i = 0; i < TABLE_NAMES; i++) {
        snprintf(text, sizeof text, "n%u:80", i);
        if (i != 5)
            assert_true(table_name_keep(&one, i, slice_of(text), TABLE_NAME_STALE_NS));
    }
    assert_int_equal(table_name_join(&one, slice_of("new:80"), TABLE_NAME_STALE_NS + 2000, &again), 0);
    assert_int_equal(again, 5);
    assert_int_equal(table_name(&one, 5)->failures, 0);
    assert_false(table_name_keep(&one, 5, slice_of("n5:80"), TABLE_NAME_STALE_NS + 2000));
}

static void a_time_is_claimed_by_one(void **state)
{
    _Atomic uint64_t *word = &table_entry(&one, 0)->next_check_ns;
    uint32_t number;
    (void)state;

    assert_int_equal(join(&one, "app", 80, &number), 0);
    assert_int_equal(number, 0);
    assert_true(table_claim_time(word, 100, 200));
    assert_false(table_claim_time(word, 199, 300));
    assert_true(table_claim_time(word, 200, 300));
}

static void a_hash_is_the_same_in_every_version(void **state)
{
    (void)state;
    assert_int_equal(table_hash(4, slice_of("10.0.0.1")), table_hash(4, slice_of("10.0.0.1")));
    assert_int_not_equal(table_hash(4, slice_of("10.0.0.1")), table_hash(4, slice_of("10.0.0.2")));
    assert_int_not_equal(table_hash(4, slice_of("")), 0);
    assert_int_equal(table_hash(4, slice_of("x")) & TABLE_MARK, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_same_server_is_the_same_entry_for_all),
        TEST(a_member_that_nobody_has_any_more_makes_room_and_its_number_is_not_given_again),
        TEST(a_mark_whose_owner_died_is_taken_over),
        TEST(an_entry_that_its_claimer_did_not_fill_is_filled_by_the_next_one),
        TEST(another_layout_is_not_touched),
        TEST(a_limit_holds_over_all_workers),
        TEST(the_old_row_holds_until_the_new_one_is_counted),
        TEST(rows_of_slots_that_are_gone_do_not_count),
        TEST(no_death_makes_a_row_say_too_little_or_a_limit_give_way),
        TEST(no_death_of_somebody_who_joins_loses_an_entry),
        TEST(addresses_of_a_name_are_read_whole_or_not_at_all),
        TEST(names_that_nobody_asks_for_make_room),
        TEST(a_time_is_claimed_by_one),
        TEST(a_hash_is_the_same_in_every_version),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
