/* Revivals that are cut short by another death, at every point where a class is called. */
#include "core/revival.h"

#include "base/fd.h"
#include "core/clone.h"
#include "death.h"
#include "rig.h"
#include "unit.h"
#include "witness.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static struct rig rig;
static unsigned descriptors;

static int setup(void **state)
{
    (void)state;
    witness_reset();
    rig_open(&rig, &witness_class, AF_INET);
    descriptors = rig_count_descriptors();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rig_close(&rig);
    return 0;
}

static struct arena_core *core(void)
{
    return rig.worker.arena.core;
}

static int number_of(const struct record *record)
{
    return (int)arena_number(&rig.worker.arena, record);
}

/* One connection in each life, one orphan, one stray, one to blame, one to settle. */
struct everything {
    struct record *open, *guilty, *behind, *closing;
    int orphan;
    int clients[6];
};

static void make_everything(struct everything *all)
{
    all->clients[0] = rig_open_connection(&rig, &all->open);
    all->clients[1] = rig_open_connection(&rig, &all->guilty);
    all->clients[2] = rig_open_connection(&rig, &all->behind);
    all->clients[3] = rig_open_connection(&rig, &all->closing);
    record_begin(all->behind)->in_block = (uint32_t)blocks_take(&rig.worker.blocks) + 1;
    record_commit(all->behind);
    all->closing->life = RECORD_CLOSING;
    assert_true(open("/dev/null", O_RDONLY | O_CLOEXEC) > FD_LISTENERS);
    all->clients[4] = rig_connect(&rig);
    all->orphan = death_in_accept(&rig, RECORD_ACCEPTING);
    death_in_receive(&rig, all->behind, all->clients[2], 23);
    core()->intents[3].record = (uint32_t)number_of(all->guilty) + 1;
    core()->fault = 1;
    core()->fault_thread = 3;
}

static void assert_everything(const struct everything *all)
{
    const struct record *orphan = arena_record(&rig.worker.arena, (uint32_t)all->orphan);

    assert_int_equal(all->open->life, RECORD_OPEN);
    assert_int_equal(all->guilty->life, RECORD_OPEN);
    assert_int_equal(record_head(all->guilty)->crashes, 1);
    assert_int_equal(all->behind->rx, 23);
    assert_int_equal(all->closing->life, RECORD_FREE);
    assert_int_equal(orphan->life, RECORD_OPEN);
    assert_int_equal(rig.worker.arena.page->connections, 4);
    assert_int_equal(rig.worker.arena.page->odd, 0);
    assert_int_equal(rig.worker.arena.page->reconciled, 1);
    assert_int_equal(rig_count_descriptors(), descriptors + 4);
    assert_int_equal(rig.worker.blocks.in_use, 1);
    assert_int_equal(core()->blamed, 0);
}

/* A worker that shares our descriptors begins the revival. 1 if it died on the way, as it was told to. */
static int revival_is_cut_short(void)
{
    int status = 0;
    pid_t pid = clone_worker(&rig.worker.arena.page->worker_pid);

    if (pid == 0) {
        rig_forget(&rig);
        rig_revive(&rig);
        _exit(0);
    }
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status) == 42;
}

static void close_everything(struct everything *all)
{
    for (int i = 0; i < 5; i++)
        close(all->clients[i]);
    rig_close(&rig);
}

static void a_revival_may_be_cut_short_at_every_call_and_done_again(void **state)
{
    unsigned points = 0;
    int was_cut = 1;
    (void)state;

    if (!ARENA_SHARED)
        skip();
    while (was_cut) {
        struct everything all;

        (void)setup(NULL);
        make_everything(&all);
        witness_reset();
        witness->die_at = ++points;
        was_cut = revival_is_cut_short();
        death_and_revival(&rig);
        assert_everything(&all);
        close_everything(&all);
    }
    assert_in_range(points, 10, 100); /* each class call of a revival was such a point */
}

static void a_blame_counts_once_though_the_revival_dies_right_behind_it(void **state)
{
    struct everything all;
    (void)state;

    if (!ARENA_SHARED)
        skip();
    (void)setup(NULL);
    make_everything(&all);
    witness_reset();
    witness->die_after_blame = 1;
    assert_true(revival_is_cut_short());
    assert_int_equal(record_head(all.guilty)->crashes, 1);
    assert_int_not_equal(core()->blamed, 0); /* not yet taken back */
    death_and_revival(&rig);
    assert_int_equal(witness->count[WITNESS_BLAMED], 0);
    assert_everything(&all);
    close_everything(&all);
}

static void an_odd_record_is_found_again_by_the_next_revival(void **state)
{
    struct record *record;
    int client;
    (void)state;

    if (!ARENA_SHARED)
        skip();
    client = rig_open_connection(&rig, &record);
    death_in_receive(&rig, record, client, 5); /* without a block: it cannot be settled */
    log_set_level(LOG_ERROR + 1);
    witness_reset();
    witness->die_at = 1; /* in the rebuilding, before it could be abandoned */
    assert_true(revival_is_cut_short());
    assert_int_equal(record->life, RECORD_OPEN);
    death_and_revival(&rig);
    assert_int_equal(record->life, RECORD_FREE);
    close(client);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_revival_may_be_cut_short_at_every_call_and_done_again),
        cmocka_unit_test(a_blame_counts_once_though_the_revival_dies_right_behind_it),
        CASE(an_odd_record_is_found_again_by_the_next_revival),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
