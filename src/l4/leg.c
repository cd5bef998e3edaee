/* The class of servers' connections. Whatever happens to one is the business of the client that names it. */
#include "l4/internal.h"

#include "net/tunnel.h"

/* --- who belongs to whom --- */

/* The client's head is the authority. */
static int names(const struct arena *arena, const struct record *client, const struct record *leg)
{
    return record_is_held(client) && client->class_tag == CONN_CLASS_TCP &&
           tcp_seen(client)->step != TCP_ENDED && tcp_seen(client)->leg == arena_number(arena, leg) + 1 &&
           tcp_seen(client)->leg_serial == leg->serial;
}

struct record *tcp_leg_of(struct worker *worker, const struct record *client)
{
    const uint32_t number = tcp_seen(client)->leg;
    struct record *leg;

    if (!number || number > arena_records_limit(&worker->arena))
        return NULL;
    leg = arena_record(&worker->arena, number - 1);
    return record_is_held(leg) && leg->serial == tcp_seen(client)->leg_serial ? leg : NULL;
}

struct record *tcp_client_of(struct worker *worker, const struct record *leg)
{
    const struct tcp_leg_state *state = tcp_leg_seen(leg);
    struct record *client;

    if (!state->client || state->client > arena_records_limit(&worker->arena))
        return NULL;
    client = arena_record(&worker->arena, state->client - 1);
    return client->serial == state->client_serial && names(&worker->arena, client, leg) ? client : NULL;
}

/* One whose client is gone without a word of how (it could not be trusted after a death) is cut off. */
void tcp_close_leg(struct worker *worker, struct record *leg)
{
    const struct tcp_leg_state *state = tcp_leg_seen(leg);
    const uint32_t number = arena_number(&worker->arena, leg), member = state->member;

    if (state->step == TCP_LEG_NEW || (state->step == TCP_LEG_ENDED && !state->is_reset))
        conn_close(worker, leg);
    else
        conn_reset(worker, leg);
    turns_let_go(l4_of(worker)->turns, number, member);
}

/* --- the class --- */

static void leg_opened(struct worker *worker, struct record *leg, struct record_head *head)
{
    (void)worker;
    (void)leg;
    *tcp_leg_state_in(head) = (struct tcp_leg_state){.step = TCP_LEG_NEW};
}

static void leg_ready(struct worker *worker, struct record *leg, unsigned events)
{
    struct record *client = tcp_client_of(worker, leg);

    conn_note_events(worker_side(worker, leg), events);
    if (!client) {
        tcp_close_leg(worker, leg);
        return;
    }
    worker_turn_to(worker, client);
    tcp_drive(worker, client);
}

/* Its deadline is that of its connection; later ones are the client's. */
static void leg_expired(struct worker *worker, struct record *leg)
{
    struct record *client = tcp_client_of(worker, leg);

    if (!client) {
        tcp_close_leg(worker, leg);
        return;
    }
    if (tcp_leg_seen(leg)->step != TCP_LEG_CONNECT) {
        leg->deadline_ns = 0;
        return;
    }
    worker_turn_to(worker, client);
    if (tcp_connect_failed(worker, client, leg, TCP_END_CONNECT_TIMEOUT) == TCP_GO_ON)
        tcp_drive(worker, client);
}

static void leg_revived(struct worker *worker, struct record *leg)
{
    tunnel_revived(worker, leg);
    if (tcp_client_of(worker, leg))
        turns_revived(l4_in_revival()->turns, leg, tcp_leg_seen(leg)->member);
}

/* The record, or its client's whole connection, by that class's function. */
static void end_with(struct worker *worker, struct record *leg,
                     void (*end)(struct worker *worker, struct record *client))
{
    struct record *client = tcp_client_of(worker, leg);

    if (!client) {
        tcp_close_leg(worker, leg);
        return;
    }
    worker_turn_to(worker, client);
    end(worker, client);
}

static void leg_blamed(struct worker *worker, struct record *leg)
{
    end_with(worker, leg, l4_client_class.blamed);
}

static void leg_abandon(struct worker *worker, struct record *leg)
{
    end_with(worker, leg, l4_client_class.abandon);
}

static void leg_describe(const struct arena *arena, const struct record *leg,
                         struct conn_description *description)
{
    static const char *const names_of_steps[] = {"new", "connect", "pass", "end"};

    (void)arena;
    description->state = tcp_leg_seen(leg)->step < 4 ? names_of_steps[tcp_leg_seen(leg)->step] : "unknown";
    description->partner = tcp_leg_seen(leg)->client;
}

const struct conn_class l4_leg_class = {
    .name = "tcp_upstream",
    .opened = leg_opened,
    .ready = leg_ready,
    .expired = leg_expired,
    .revived = leg_revived,
    .blamed = leg_blamed,
    .abandon = leg_abandon,
    .describe = leg_describe,
    .mover = &l4_leg_mover,
};
