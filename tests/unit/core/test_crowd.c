/* How many connections a client has in all workers together, and what a death leaves of that. */
#include "core/crowd.h"

#include "base/fd.h"
#include "core/shared.h"
#include "unit.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define OFFSET 8192u /* what the classes have before */
#define ALICE 17u
#define BOB 18u

/* The memory, the board, and workers as their own processes would see them. */
struct rig {
    int fd;
    void *memory;
    struct board *board;
    struct crowd crowd[4];
    struct clients clients[4];
};

static char *own_part(const struct rig *rig)
{
    return (char *)rig->memory + OFFSET;
}

static void begin(struct rig *rig, uint32_t number)
{
    rig->board->slots[number].is_used = 1;
    assert_int_equal(crowd_open(&rig->crowd[number], own_part(rig), rig->fd, OFFSET, number, rig->board), 0);
    crowd_recount(&rig->crowd[number], &rig->clients[number]);
}

static int set_up(void **state)
{
    struct rig *rig = calloc(1, sizeof *rig);

    if (!rig || (rig->fd = shared_create(OFFSET + CROWD_SIZE)) < 0 ||
        shared_map(rig->fd, OFFSET + CROWD_SIZE, &rig->memory))
        return -1;
    rig->board = mmap(NULL, BOARD_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (rig->board == MAP_FAILED)
        return -1;
    for (uint32_t i = 0; i < 3; i++)
        begin(rig, i);
    *state = rig;
    return 0;
}

static int tear_down(void **state)
{
    struct rig *rig = *state;

    for (size_t i = 0; i < 4; i++)
        clients_fini(&rig->clients[i]);
    munmap(rig->board, BOARD_SIZE);
    shared_unmap(&rig->memory, OFFSET + CROWD_SIZE);
    fd_close(&rig->fd);
    free(rig);
    return 0;
}

/* As core/accept.c does both. */
static int enter(struct rig *rig, uint32_t number, uint64_t key, uint64_t limit)
{
    const uint32_t count = clients_add(&rig->clients[number], key);
    const int result = crowd_enter(&rig->crowd[number], key, count, limit);

    assert_true(count > 0);
    if (result)
        clients_remove(&rig->clients[number], key);
    return result;
}

static void leave(struct rig *rig, uint32_t number, uint64_t key)
{
    clients_remove(&rig->clients[number], key);
    crowd_leave(&rig->crowd[number], key, clients_count(&rig->clients[number], key));
}

static void a_limit_holds_over_all_workers(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(enter(rig, 0, ALICE, 3), 0);
    assert_int_equal(enter(rig, 1, ALICE, 3), 0);
    assert_int_equal(enter(rig, 2, ALICE, 3), 0);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(enter(rig, i, ALICE, 3), ERR_LIMIT);
    assert_int_equal(enter(rig, 1, BOB, 3), 0); /* another one has nothing to do with it */
    assert_int_equal(crowd_sum(&rig->crowd[0], ALICE), 3);
    leave(rig, 0, ALICE);
    assert_int_equal(enter(rig, 2, ALICE, 3), 0);
    assert_int_equal(enter(rig, 0, ALICE, 3), ERR_LIMIT);
}

static void what_a_slot_held_that_is_gone_does_not_count(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(enter(rig, 1, ALICE, 2), 0);
    assert_int_equal(enter(rig, 1, ALICE, 2), 0);
    assert_int_equal(enter(rig, 0, ALICE, 2), ERR_LIMIT);
    rig->board->slots[1].is_used = 0;
    assert_int_equal(enter(rig, 0, ALICE, 2), 0);
    clients_fini(&rig->clients[1]); /* the place's next worker has nobody */
    begin(rig, 1);
    assert_int_equal(crowd_sum(&rig->crowd[1], ALICE), 1);
}

/* The next worker has rebuilt its index; the row may say too much, and never too little meanwhile. */
static void the_row_of_a_dead_worker_holds_until_it_is_counted_anew(void **state)
{
    struct rig *rig = *state;
    struct clients rebuilt = {0};

    assert_int_equal(enter(rig, 0, ALICE, 9), 0);
    assert_int_equal(enter(rig, 0, ALICE, 9), 0);
    assert_int_equal(enter(rig, 0, BOB, 9), 0);
    crowd_leave(&rig->crowd[0], BOB, 7); /* killed between raising and lowering */
    assert_int_equal(crowd_open(&rig->crowd[0], own_part(rig), rig->fd, OFFSET, 0, rig->board), 0);
    assert_int_equal(clients_add(&rebuilt, ALICE), 1);
    crowd_leave(&rig->crowd[0], ALICE, 0); /* one that had been turned away is found before the others */
    assert_int_equal(crowd_sum(&rig->crowd[1], ALICE), 2);
    assert_int_equal(crowd_sum(&rig->crowd[1], BOB), 7);
    assert_int_equal(clients_add(&rebuilt, ALICE), 2);
    assert_int_equal(clients_add(&rebuilt, 99), 1); /* its death came before the row was raised */
    crowd_recount(&rig->crowd[0], &rebuilt);
    assert_int_equal(crowd_sum(&rig->crowd[1], ALICE), 2);
    assert_int_equal(crowd_sum(&rig->crowd[1], BOB), 0);
    assert_int_equal(crowd_sum(&rig->crowd[1], 99), 1);
    clients_fini(&rebuilt);
}

static void any_number_of_clients_come_and_go_and_nothing_of_them_stays(void **state)
{
    struct rig *rig = *state;
    const struct crowd_place *row = (const void *)(own_part(rig) + CROWD_HEAD_SIZE);

    for (uint64_t key = 1; key < 4 * CROWD_PLACES; key++) {
        assert_int_equal(enter(rig, 0, key, 1), 0);
        assert_int_equal(enter(rig, 1, key, 1), ERR_LIMIT);
        leave(rig, 0, key);
    }
    for (uint32_t i = 0; i < CROWD_PLACES; i++)
        assert_int_equal(row[i].connections, 0);
}

static void who_finds_no_place_is_counted_by_each_worker_alone(void **state)
{
    struct rig *rig = *state;
    uint64_t key = 1;

    for (; key < 2 * CROWD_PLACES; key++) { /* more clients at once than there are places */
        assert_int_equal(enter(rig, 0, key, 1), 0);
        if (!crowd_sum(&rig->crowd[0], key))
            break;
    }
    assert_in_range(key, CROWD_PLACES / 2, CROWD_PLACES);
    assert_int_equal(enter(rig, 0, key, 1), ERR_LIMIT);
    assert_int_equal(enter(rig, 1, key, 1), 0);
    leave(rig, 0, key);
    assert_int_equal(enter(rig, 0, key, 2), 0);
}

static void without_a_shared_memory_each_worker_counts_alone(void **state)
{
    struct crowd crowd = {0};
    struct clients clients = {0};
    (void)state;

    assert_int_equal(crowd_enter(&crowd, ALICE, 2, 2), 0);
    assert_int_equal(crowd_enter(&crowd, ALICE, 3, 2), ERR_LIMIT);
    crowd_leave(&crowd, ALICE, 1);
    crowd_recount(&crowd, &clients);
    assert_int_equal(crowd_sum(&crowd, ALICE), 0);
}

static void only_the_rows_of_workers_take_memory(void **state)
{
    struct rig *rig = *state;
    struct stat status;

    assert_int_equal(fstat(rig->fd, &status), 0);
    assert_int_equal(status.st_blocks * 512, CROWD_HEAD_SIZE + 3 * CROWD_ROW_SIZE);
}

static void another_layout_is_refused(void **state)
{
    struct rig *rig = *state;
    struct crowd crowd;

    ((struct crowd_head *)(void *)own_part(rig))->version = CROWD_VERSION + 1;
    assert_int_equal(crowd_open(&crowd, own_part(rig), rig->fd, OFFSET, 3, rig->board), ERR_VERSION);
    assert_int_equal(crowd_enter(&crowd, ALICE, 1, 1), 0); /* usable all the same */
}

/* --- processes that are killed --- */

#define LIMIT 3u
#define ROUNDS 60

struct truth {
    _Atomic uint32_t
        held; /* connections that are open, a byte for each worker: raised after they were let in */
    _Atomic uint32_t entered, at_limit, too_many;
};

static uint32_t held_by(const struct truth *truth, uint32_t number)
{
    return truth->held >> (8 * number) & 0xff;
}

static void hold_one_more(struct truth *truth, uint32_t number)
{
    const uint32_t held = atomic_fetch_add(&truth->held, 1u << (8 * number)) + (1u << (8 * number));
    const uint32_t sum = (held & 0xff) + (held >> 8 & 0xff) + (held >> 16);

    truth->entered++;
    truth->at_limit += sum == LIMIT;
    truth->too_many += sum > LIMIT;
}

/* A worker: what it "holds" survives it, as records do. */
static void work(struct rig *rig, uint32_t number, struct truth *truth, unsigned seed)
{
    assert_int_equal(crowd_open(&rig->crowd[number], own_part(rig), rig->fd, OFFSET, number, rig->board), 0);
    rig->clients[number] = (struct clients){0};
    for (uint32_t i = 0; i < held_by(truth, number); i++)
        assert_true(clients_add(&rig->clients[number], ALICE) > 0);
    crowd_recount(&rig->crowd[number], &rig->clients[number]);
    for (;;) {
        if (!enter(rig, number, ALICE, LIMIT))
            hold_one_more(truth, number);
        if (held_by(truth, number) && rand_r(&seed) % 2) {
            truth->held -= 1u << (8 * number);
            leave(rig, number, ALICE);
        }
        if (rand_r(&seed) % 64 == 0)
            sched_yield();
    }
}

static pid_t start(struct rig *rig, uint32_t number, struct truth *truth, unsigned seed)
{
    const pid_t pid = fork();

    assert_true(pid >= 0);
    if (!pid) {
        (void)signal(SIGABRT, SIG_DFL);
        work(rig, number, truth, seed);
        _exit(1);
    }
    return pid;
}

static void workers_that_are_killed_anywhere_never_let_in_more_than_the_limit(void **state)
{
    struct rig *rig = *state;
    struct truth *truth = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t workers[3];
    unsigned seed = 1;
    int status;

    assert_ptr_not_equal(truth, MAP_FAILED);
    for (uint32_t i = 0; i < 3; i++)
        workers[i] = start(rig, i, truth, ++seed);
    for (int round = 0; round < ROUNDS; round++) {
        const uint32_t victim = (uint32_t)rand_r(&seed) % 3, entered = truth->entered;

        while (truth->entered < entered + 200 && !waitpid(workers[victim], &status, WNOHANG)) /* they work */
            sched_yield();
        kill(workers[victim], SIGKILL);
        assert_int_equal(waitpid(workers[victim], &status, 0), workers[victim]);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        workers[victim] = start(rig, victim, truth, ++seed);
    }
    for (uint32_t i = 0; i < 3; i++) {
        kill(workers[i], SIGKILL);
        assert_int_equal(waitpid(workers[i], NULL, 0), workers[i]);
    }
    assert_int_equal(truth->too_many, 0);
    assert_true(truth->at_limit > ROUNDS);
    for (uint32_t i = 0; i < 3; i++) { /* and nothing has leaked */
        rig->clients[i] = (struct clients){0};
        begin(rig, i);
    }
    assert_int_equal(crowd_sum(&rig->crowd[0], ALICE), 0);
    for (uint32_t i = 0; i < LIMIT; i++)
        assert_int_equal(enter(rig, i, ALICE, LIMIT), 0);
    assert_int_equal(enter(rig, 0, ALICE, LIMIT), ERR_LIMIT);
    munmap(truth, 4096);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_limit_holds_over_all_workers),
        TEST(what_a_slot_held_that_is_gone_does_not_count),
        TEST(the_row_of_a_dead_worker_holds_until_it_is_counted_anew),
        TEST(any_number_of_clients_come_and_go_and_nothing_of_them_stays),
        TEST(who_finds_no_place_is_counted_by_each_worker_alone),
        TEST(without_a_shared_memory_each_worker_counts_alone),
        TEST(only_the_rows_of_workers_take_memory),
        TEST(another_layout_is_refused),
        TEST(workers_that_are_killed_anywhere_never_let_in_more_than_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
