/* The class of clients, which drives the connection as a whole, and the worker's own index. */
#include "l4/internal.h"

#include "base/log.h"
#include "net/tunnel.h"

#include <string.h>

#define STEPS_A_DRIVE 64 /* 1 MiB at most, then others have their turn */

static struct l4 l4;

/* --- the index --- */

/* A crash loop empties the arena: what was open then never ended by itself. */
static void count_lost(struct worker *worker, uint64_t open)
{
    _Atomic uint64_t *counters = worker->arena.page->counters;
    uint64_t ended = 0;

    for (unsigned end = 0; end < TCP_ENDS; end++)
        ended += counters[TCP_ENDED_FIRST + end];
    if (counters[TCP_STARTED] > ended + open)
        arena_count_add(&counters[TCP_ENDED_FIRST + TCP_END_LOST], counters[TCP_STARTED] - ended - open);
    else /* a worker died between taking one over, or giving it away, and counting that */
        arena_count_set(&counters[TCP_STARTED], ended + open);
}

/* Those that were counted as started, and not as ended. */
static uint64_t count_open(struct worker *worker)
{
    const uint32_t limit = arena_records_limit(&worker->arena);
    uint64_t open = 0;

    for (uint32_t number = 0; number < limit; number++) {
        const struct record *record = arena_record(&worker->arena, number);

        open += record_is_held(record) && record->class_tag == CONN_CLASS_TCP &&
                tcp_seen(record)->step != TCP_NEW && tcp_seen(record)->step != TCP_ENDED;
    }
    return open;
}

void l4_recounted(struct worker *worker)
{
    if (l4.is_recounted || !l4.config)
        return;
    l4.is_recounted = 1;
    count_lost(worker, count_open(worker));
}

struct l4 *l4_in_revival(void)
{
    return &l4;
}

struct l4 *l4_of(struct worker *worker)
{
    turns_recounted(l4.turns);
    l4_recounted(worker);
    return &l4;
}

const struct l4_block *l4_block_of(const struct l4 *of, const struct record *client)
{
    return &of->config->blocks[l4_block_number(of, client)];
}

int l4_start(struct worker *worker, const struct l4_config *config, const struct upstream_config *upstreams,
             struct turns *turns)
{
    l4 = (struct l4){.worker = worker, .config = config, .upstreams = upstreams, .turns = turns};
    return 0;
}

void l4_stop(void)
{
    l4 = (struct l4){0};
}

/* --- transactions --- */

struct tcp_change tcp_begin(struct worker *worker, struct record *client, struct record *leg)
{
    struct tcp_change change = {.client = client, .head = record_begin(client)};

    redo_begin(&worker->arena);
    change.state = tcp_state_in(change.head);
    if (!leg)
        return change;
    change.leg_head = record_begin(leg);
    change.leg_state = tcp_leg_state_in(change.leg_head);
    redo_partner(&worker->arena, leg);
    return change;
}

/* --- driving --- */

static enum tcp_outcome begin(struct worker *worker, struct record *client)
{
    const struct l4 *of = l4_of(worker);
    const struct l4_block *block = l4_block_of(of, client);
    const int is_over = tcp_seen(client)->is_over;
    struct tcp_change change = tcp_begin(worker, client, NULL);

    change.state->step = TCP_WAIT;
    tcp_count(worker, TCP_STARTED, 1);
    tcp_commit(worker, &change);
    if (is_over)
        return tcp_finish(worker, client, TCP_END_TOO_MANY_OF_CLIENT);
    if (block->max_connections && of->open[l4_block_number(of, client)] > block->max_connections)
        return tcp_finish(worker, client, TCP_END_TOO_MANY);
    return TCP_GO_ON;
}

static enum tcp_outcome take_step(struct worker *worker, struct record *client)
{
    const enum tcp_step step = (enum tcp_step)tcp_seen(client)->step;
    struct record *leg = tcp_leg_of(worker, client);

    if (!leg && (step == TCP_CONNECT || step == TCP_PASS || step == TCP_CUT))
        return tcp_finish(worker, client, TCP_END_LOST);
    switch (step) {
    case TCP_NEW:
        return begin(worker, client);
    case TCP_WAIT:
        return tcp_choose(worker, client);
    case TCP_CONNECT:
        return tcp_connect(worker, client, leg);
    case TCP_PASS:
        return tcp_pass(worker, client, leg);
    case TCP_CUT:
        return tcp_pass_rest(worker, client, leg);
    case TCP_ENDED:
        break;
    }
    tcp_close(worker, client);
    return TCP_CLOSED;
}

/* The entry in the heap of timers stays where it is, and finds the later deadline when it comes due. */
static void put_off_idle(struct worker *worker, struct record *client)
{
    const uint64_t idle_ms = l4_block_of(l4_of(worker), client)->idle_ms;

    if (idle_ms)
        client->deadline_ns = worker->now_ns + idle_ms * NS_PER_MS;
}

static uint64_t passed(const struct record *client, const struct record *leg)
{
    return client->rx + client->tx + (leg ? leg->rx + leg->tx : 0);
}

/* A worker that died while it drove one of them may have passed something on that the deadline knows nothing of. */
static int was_cut(struct worker *worker, const struct record *client, const struct record *leg)
{
    const int client_was = worker_was_cut(worker_side(worker, client)),
              leg_was = worker_was_cut(worker_side(worker, leg));

    return client_was || leg_was;
}

void tcp_drive(struct worker *worker, struct record *client)
{
    const uint64_t before = passed(client, tcp_leg_of(worker, client));
    enum tcp_outcome outcome = TCP_GO_ON;
    struct record *leg;

    for (int i = 0; i < STEPS_A_DRIVE && outcome == TCP_GO_ON; i++)
        outcome = take_step(worker, client);
    if (outcome == TCP_CLOSED)
        return;
    if (outcome == TCP_GO_ON)
        worker_again(worker, client);
    conn_settle(worker, client);
    leg = tcp_leg_of(worker, client);
    if (!leg)
        return;
    conn_settle(worker, leg);
    if (tcp_seen(client)->step >= TCP_PASS && (was_cut(worker, client, leg) || passed(client, leg) != before))
        put_off_idle(worker, client);
}

/* --- the class --- */

static void client_opened(struct worker *worker, struct record *client, struct record_head *head)
{
    struct l4 *of = l4_in_revival();

    *tcp_state_in(head) =
        (struct tcp_state){.step = TCP_NEW, .is_over = worker_side(worker, client)->is_over};
    of->open[l4_block_number(of, client)]++;
}

static void client_ready(struct worker *worker, struct record *client, unsigned events)
{
    const enum tcp_step step = (enum tcp_step)tcp_seen(client)->step;

    conn_note_events(worker_side(worker, client), events);
    /* Nothing was read yet, and our FIN is not sent: so it is no end of both directions. A Unix socket that its owner has
     * closed says the same, and may have sent something before. */
    if (events & READY_GONE && client->kind != RECORD_UNIX && (step == TCP_WAIT || step == TCP_CONNECT))
        (void)tcp_finish(worker, client, TCP_END_CLIENT_RESET);
    else
        tcp_drive(worker, client);
}

static void client_expired(struct worker *worker, struct record *client)
{
    if (tcp_seen(client)->step == TCP_PASS || tcp_seen(client)->step == TCP_CUT)
        (void)tcp_finish(worker, client, TCP_END_IDLE_TIMEOUT);
    else
        tcp_drive(worker, client);
}

static void client_revived(struct worker *worker, struct record *client)
{
    struct l4 *of = l4_in_revival();

    of->open[l4_block_number(of, client)]++;
    if (of->is_recounted) /* another slot has counted its start, and does so no longer */
        arena_count_add(&worker->arena.page->counters[TCP_STARTED], 1);
    if (tcp_seen(client)->is_over)
        worker_uncount_client(worker, client);
    tunnel_revived(worker, client);
}

static void client_blamed(struct worker *worker, struct record *client)
{
    log_event(LOG_WARN, LOG_EV_REQUEST_POISONED, "fd=%u protocol=tcp outcome=closed",
              arena_number(&worker->arena, client));
    worker->arena.page->poisoned++;
    (void)tcp_finish(worker, client, TCP_END_CRASHED);
}

static void client_abandon(struct worker *worker, struct record *client)
{
    const int is_stopping = worker->is_draining || worker->arena.page->order == ARENA_ORDER_STOP;

    (void)tcp_finish(worker, client, is_stopping ? TCP_END_DRAINED : TCP_END_LOST);
}

static int client_is_idle(const struct record *client, uint64_t now_ns)
{
    (void)client;
    (void)now_ns;
    return 0; /* nobody can tell whether its protocol is between two sentences */
}

static void client_describe(const struct arena *arena, const struct record *client,
                            struct conn_description *description)
{
    static const char *const names[] = {
#define TCP_STEP_NAME(name, text, meaning) [TCP_##name] = text,
        TCP_STEP_TABLE(TCP_STEP_NAME)
#undef TCP_STEP_NAME
    };

    (void)arena;
    description->state =
        tcp_seen(client)->step < sizeof names / sizeof *names ? names[tcp_seen(client)->step] : "unknown";
    description->partner = tcp_seen(client)->leg;
}

const struct conn_class l4_client_class = {
    .name = "tcp",
    .opened = client_opened,
    .ready = client_ready,
    .expired = client_expired,
    .revived = client_revived,
    .blamed = client_blamed,
    .is_idle = client_is_idle,
    .abandon = client_abandon,
    .describe = client_describe,
    .mover = &l4_client_mover,
};
