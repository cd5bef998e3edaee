#include "http/errand.h"

#include <stdlib.h>

struct errand_waiter {
    struct errand_waiter *next;
    uint64_t serial; /* of the connection */
    uint32_t record;
};

static void errand_run(struct pool_job *job, unsigned thread)
{
    struct errand *errand = (struct errand *)(void *)job;
    struct intent *intent = &errand->http->worker->arena.core->intents[thread];

    intent->record = errand->record + 1;
    intent->request = errand->request;
    COMPILER_BARRIER();
    errand->run(errand);
    COMPILER_BARRIER();
    intent->record = 0;
    intent->request = 0;
}

/* A connection that was closed meanwhile may have left its number to another one. */
static void wake(struct worker *worker, const struct errand_waiter *waiter)
{
    struct record *record = arena_record(&worker->arena, waiter->record);

    if (record->life != RECORD_OPEN || record->serial != waiter->serial)
        return;
    worker_side(worker, record)->is_working = 0;
    worker_again(worker, record);
}

static void errand_done(struct pool_job *job)
{
    struct errand *errand = (struct errand *)(void *)job;
    struct worker *worker = errand->http->worker;
    struct errand_waiter *waiter = errand->waiters;

    errand->waiters = NULL;
    errand->done(errand);
    while (waiter) {
        struct errand_waiter *next = waiter->next;

        wake(worker, waiter);
        free(waiter);
        waiter = next;
    }
}

int errand_join(struct errand *errand, struct exchange *exchange)
{
    struct errand_waiter *waiter = malloc(sizeof *waiter);

    if (!waiter)
        return ERR_NO_MEMORY;
    if (!exchange_postpone(exchange)) {
        free(waiter);
        return ERR_BUSY;
    }
    *waiter = (struct errand_waiter){.next = errand->waiters,
                                     .serial = exchange->record->serial,
                                     .record = arena_number(&exchange->worker->arena, exchange->record)};
    errand->waiters = waiter;
    return 0;
}

static void undo(struct errand *errand, struct exchange *exchange)
{
    errand_forget_waiters(errand);
    worker_side(exchange->worker, exchange->record)->is_working = 0;
    exchange->failed = exchange->postponed = 0;
}

int errand_start(struct errand *errand, struct exchange *exchange)
{
    int result = errand_join(errand, exchange);

    if (result)
        return result;
    errand->job = (struct pool_job){.run = errand_run, .done = errand_done};
    errand->http = exchange->http;
    errand->record = arena_number(&exchange->worker->arena, exchange->record);
    errand->request = exchange->state->request;
    result = pool_submit(&exchange->worker->pool, &errand->job);
    if (result)
        undo(errand, exchange);
    return result;
}

void errand_forget_waiters(struct errand *errand)
{
    while (errand->waiters) {
        struct errand_waiter *next = errand->waiters->next;

        free(errand->waiters);
        errand->waiters = next;
    }
}
