#include "handler/testing/testing.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* handler_state: what to do, and the hash so far. */
enum { STATE_WHAT = 0, STATE_HASH = 1 };
enum what { WHAT_HASH = 1, WHAT_POOL_HASH, WHAT_POOL_CRASH, WHAT_POOL_SLOW };

#define FNV_START 14695981039346656037ULL
#define FNV_PRIME 1099511628211ULL

struct testing_job {
    struct pool_job job;
    struct exchange_ticket ticket;
    enum what what;
    uint64_t length, hash;
};

static void answer_hash(struct exchange *exchange, uint64_t length, uint64_t hash)
{
    char memory[64];
    struct text text;

    text_init(&text, memory, sizeof memory);
    text_add_f(&text, "%llu %016llx\n", (unsigned long long)length, (unsigned long long)hash);
    exchange_respond(exchange, 200, SLICE_LITERAL("text/plain"), (struct slice){"", 0},
                     (struct slice){text.at, text.length});
}

/* --- faults --- */

static void bus_error(void)
{
    int fd = memfd_create("bus", MFD_CLOEXEC);
    volatile char *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    memory[0] = 1; /* beyond the end of the file */
}

static void crash(struct slice query)
{
    volatile int zero = 0;

    if (slice_equals(query, SLICE_LITERAL("how=abort")))
        abort();
    if (slice_equals(query, SLICE_LITERAL("how=bus")))
        bus_error();
    if (slice_equals(query, SLICE_LITERAL("how=fpe")))
        zero = 1 / zero;
    if (slice_equals(query, SLICE_LITERAL("how=ill")))
        __builtin_trap();
    if (slice_equals(query, SLICE_LITERAL("how=exit")))
        _exit(3);
    (void)raise(SIGSEGV);
}

/* --- the pool --- */

static int *volatile nowhere; /* volatile, so that the compiler does not see the fault coming */

static void job_run(struct pool_job *job, unsigned thread)
{
    struct testing_job *testing = (struct testing_job *)(void *)job;
    struct worker *worker = testing->ticket.http->worker;
    struct intent *intent = &worker->arena.core->intents[thread];

    intent->record = testing->ticket.record + 1;
    intent->request = testing->ticket.request;
    COMPILER_BARRIER();
    if (testing->what == WHAT_POOL_CRASH)
        *nowhere = 1;
    if (testing->what == WHAT_POOL_SLOW) {
        pool_enter_gate(&worker->pool);
        sleep(1);
        pool_leave_gate(&worker->pool);
    }
    COMPILER_BARRIER();
    intent->record = 0;
    intent->request = 0;
}

static void job_done(struct pool_job *job)
{
    struct testing_job *testing = (struct testing_job *)(void *)job;
    struct exchange exchange;

    if (exchange_reopen(&testing->ticket, &exchange)) {
        if (testing->what == WHAT_POOL_SLOW)
            exchange_respond(&exchange, 200, SLICE_LITERAL("text/plain"), (struct slice){"", 0},
                             SLICE_LITERAL("slow\n"));
        else
            answer_hash(&exchange, testing->length, testing->hash);
        exchange_finish(&exchange);
    }
    free(testing);
}

static void submit(struct exchange *exchange)
{
    struct testing_job *testing = calloc(1, sizeof *testing);

    if (testing) {
        testing->job = (struct pool_job){.run = job_run, .done = job_done};
        testing->ticket = exchange_ticket(exchange);
        testing->what = (enum what)exchange->state->handler_state[STATE_WHAT];
        testing->length = exchange->state->body_taken;
        testing->hash = exchange->state->handler_state[STATE_HASH];
        if (!pool_submit(&exchange->worker->pool, &testing->job)) {
            exchange_wait(exchange);
            return;
        }
    }
    free(testing);
    exchange_respond_error(exchange, 503, SLICE_LITERAL("pool_full"));
}

/* --- the handler --- */

static void take_body(struct exchange *exchange, enum what what)
{
    exchange->state->handler_state[STATE_WHAT] = what;
    exchange->state->handler_state[STATE_HASH] = FNV_START;
    exchange_want_body(exchange);
}

static void start_job(struct exchange *exchange, enum what what)
{
    exchange->state->handler_state[STATE_WHAT] = what;
    submit(exchange);
}

static void testing_begin(struct exchange *exchange)
{
    struct slice path = exchange->request->path;

    if (slice_equals(path, SLICE_LITERAL("/_test/hash")))
        take_body(exchange, WHAT_HASH);
    else if (slice_equals(path, SLICE_LITERAL("/_test/pool-hash")))
        take_body(exchange, WHAT_POOL_HASH);
    else if (slice_equals(path, SLICE_LITERAL("/_test/pool-crash")))
        start_job(exchange, WHAT_POOL_CRASH);
    else if (slice_equals(path, SLICE_LITERAL("/_test/pool-slow")))
        start_job(exchange, WHAT_POOL_SLOW);
    else if (slice_equals(path, SLICE_LITERAL("/_test/crash")))
        crash(exchange->request->query);
    else if (slice_equals(path, SLICE_LITERAL("/_test/hang")))
        for (;;)
            pause();
    else if (slice_equals(path, SLICE_LITERAL("/_test/loop")))
        for (volatile unsigned spin = 0;; spin++)
            ;
    else
        exchange_respond_error(exchange, 404, SLICE_LITERAL("no_such_hook"));
}

static void testing_body(struct exchange *exchange, struct slice data)
{
    uint64_t hash = exchange->state->handler_state[STATE_HASH];

    for (size_t i = 0; i < data.length; i++)
        hash = (hash ^ (unsigned char)data.at[i]) * FNV_PRIME;
    exchange->state->handler_state[STATE_HASH] = hash;
}

static void testing_end(struct exchange *exchange)
{
    if (exchange->state->handler_state[STATE_WHAT] == WHAT_POOL_HASH)
        submit(exchange);
    else
        answer_hash(exchange, exchange->state->body_taken, exchange->state->handler_state[STATE_HASH]);
}

const struct handler testing_handler = {
    .name = "testing",
    .begin = testing_begin,
    .body = testing_body,
    .end = testing_end,
    .resume = submit,
};
