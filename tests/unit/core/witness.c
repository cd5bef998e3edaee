#include "witness.h"

#include "unit.h"

#include <sys/mman.h>
#include <unistd.h>

struct witness *witness;

void witness_reset(void)
{
    if (!witness) {
        witness = mmap(NULL, sizeof *witness, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        assert_true(witness != MAP_FAILED);
    }
    *witness = (struct witness){0};
}

unsigned witness_of(enum witness_call call, const struct record *record, struct worker *worker)
{
    return witness->of_record[call][arena_number(&worker->arena, record)];
}

static void tell(enum witness_call call, struct worker *worker, struct record *record)
{
    witness->total++;
    if (witness->die_at && witness->total == witness->die_at)
        _exit(42);
    witness->last = call;
    witness->count[call]++;
    witness->of_record[call][arena_number(&worker->arena, record)]++;
}

static void opened(struct worker *worker, struct record *record, struct record_head *head)
{
    (void)head;
    tell(WITNESS_OPENED, worker, record);
    worker_set_deadline(worker, record, worker->now_ns + 60 * 1000000000ULL);
}

static void ready(struct worker *worker, struct record *record, unsigned events)
{
    tell(WITNESS_READY, worker, record);
    witness->events[arena_number(&worker->arena, record)] = events;
    assert_int_equal(worker->intent->record, arena_number(&worker->arena, record) + 1);
}

static void expired(struct worker *worker, struct record *record)
{
    tell(WITNESS_EXPIRED, worker, record);
}

static void revived(struct worker *worker, struct record *record)
{
    tell(WITNESS_REVIVED, worker, record);
}

static void blamed(struct worker *worker, struct record *record)
{
    tell(WITNESS_BLAMED, worker, record);
    record_begin(record)->crashes++;
    record_commit(record);
    if (witness->die_after_blame) {
        witness->die_after_blame = 0;
        _exit(42);
    }
}

static int is_idle(const struct record *record, uint64_t now_ns)
{
    (void)now_ns;
    (void)record;
    return 1;
}

static void abandon(struct worker *worker, struct record *record)
{
    tell(WITNESS_ABANDONED, worker, record);
    worker_close(worker, record);
}

const struct conn_class witness_class = {
    .name = "witness",
    .opened = opened,
    .ready = ready,
    .expired = expired,
    .revived = revived,
    .blamed = blamed,
    .is_idle = is_idle,
    .abandon = abandon,
};
