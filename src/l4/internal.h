/* What the files of the TCP proxy share. client.c is the class of the client's record, and drives; choose.c finds servers and
 * connects; relay.c passes bytes; end.c ends, with the line and the counters; leg.c is the class of the server's record. */
#ifndef HOLDFAST_L4_INTERNAL_H
#define HOLDFAST_L4_INTERNAL_H

#include "base/clock.h"
#include "core/redo.h"
#include "l4/l4.h"
#include "net/conn.h"
#include "net/tcp_counters.h"

/* --- what lies in the arena --- */

#define TCP_STEP_TABLE(X)                                                                                    \
    X(NEW, "new", "accepted, and not looked at yet")                                                         \
    X(WAIT, "wait", "a server is to be found")                                                               \
    X(CONNECT, "connect", "the connection to the server is being made")                                      \
    X(PASS, "pass", "bytes pass both ways")                                                                  \
    X(CUT, "cut", "one side was reset; the other still gets what came before")                               \
    X(ENDED, "end", "it is accounted for, and only to be closed")

enum tcp_step {
#define TCP_STEP_ENUM(name, text, meaning) TCP_##name,
    TCP_STEP_TABLE(TCP_STEP_ENUM)
#undef TCP_STEP_ENUM
};

/* In the protocol state of the client's record. */
struct tcp_state {
    uint8_t step; /* enum tcp_step */
    uint8_t tries;
    uint8_t failure;  /* of the last try: enum tcp_end + 1; 0: there was none */
    uint8_t end;      /* CUT, ENDED: enum tcp_end */
    uint8_t is_over;  /* its client's address has too many */
    uint8_t is_reset; /* ENDED: the connections are to be reset */
    uint16_t tried_count;
    uint32_t leg;    /* number + 1 of the server's record; 0: none */
    uint32_t member; /* of the last try */
    uint64_t leg_serial;
    uint64_t due_ns;   /* until when it waits for a server; 0: it has not begun to */
    uint64_t up, down; /* bytes passed on: from the client, and to it */
    uint32_t tried[UPSTREAM_TRIES_MAX];
};
_Static_assert(sizeof(struct tcp_state) <= RECORD_PROTOCOL_BYTES, "the state fits the record's head");

enum tcp_leg_step {
    TCP_LEG_NEW,     /* nobody's yet */
    TCP_LEG_CONNECT, /* connect(2) has not succeeded yet */
    TCP_LEG_PASS,
    TCP_LEG_ENDED, /* only to be closed */
};

/* In the protocol state of the server's record. */
struct tcp_leg_state {
    uint8_t step;     /* enum tcp_leg_step */
    uint8_t is_reset; /* ENDED: it is to be reset */
    uint16_t reserved;
    uint32_t member; /* of pools.h; one of its active places is held as long as a client names the leg */
    uint32_t client; /* number + 1, or 0 */
    uint32_t reserved_client;
    uint64_t client_serial;
};
_Static_assert(sizeof(struct tcp_leg_state) <= RECORD_PROTOCOL_BYTES, "the state fits the record's head");

static inline struct tcp_state *tcp_state_in(struct record_head *head)
{
    return (struct tcp_state *)(void *)head->protocol;
}

static inline const struct tcp_state *tcp_seen(const struct record *client)
{
    return (const struct tcp_state *)(const void *)record_head(client)->protocol;
}

static inline struct tcp_leg_state *tcp_leg_state_in(struct record_head *head)
{
    return (struct tcp_leg_state *)(void *)head->protocol;
}

static inline const struct tcp_leg_state *tcp_leg_seen(const struct record *leg)
{
    return (const struct tcp_leg_state *)(const void *)record_head(leg)->protocol;
}

/* --- what a worker keeps for itself: indices, made anew by a revival --- */

struct l4 {
    struct worker *worker;                   /* borrowed */
    const struct l4_config *config;          /* borrowed */
    const struct upstream_config *upstreams; /* borrowed */
    struct turns *turns;                     /* borrowed */
    int is_recounted;
    uint32_t open[L4_BLOCKS_MAX]; /* connections of each block */
};

struct l4 *l4_of(struct worker *worker);
/* The same while records still say what there is. */
struct l4 *l4_in_revival(void);
const struct l4_block *l4_block_of(const struct l4 *l4, const struct record *client);
static inline uint32_t l4_block_number(const struct l4 *l4, const struct record *client)
{
    return l4->config->block_of[client->listener] - 1u;
}

/* An open transaction of a client's head and, if it has one, its leg's. */
struct tcp_change {
    struct record *client;
    struct record_head *head;
    struct tcp_state *state;
    struct record_head *leg_head; /* NULL: there is no leg */
    struct tcp_leg_state *leg_state;
};
struct tcp_change tcp_begin(struct worker *worker, struct record *client, struct record *leg);
static inline void tcp_commit(struct worker *worker, const struct tcp_change *change)
{
    redo_commit(&worker->arena, change->client);
}

enum tcp_outcome {
    TCP_GO_ON,  /* there may be more to do at once */
    TCP_REST,   /* until the next event */
    TCP_CLOSED, /* the connection is gone */
};

/* --- client.c --- */

/* Goes on with the client after something outside of it has changed. */
void tcp_drive(struct worker *worker, struct record *client);

/* --- choose.c --- */

/* Finds a server, and makes a leg for it; or waits; or gives up. */
enum tcp_outcome tcp_choose(struct worker *worker, struct record *client);
enum tcp_outcome tcp_connect(struct worker *worker, struct record *client, struct record *leg);
/* The connection to the server is not made: another server, or the end. */
enum tcp_outcome tcp_connect_failed(struct worker *worker, struct record *client, struct record *leg,
                                    enum tcp_end failure);

/* --- relay.c --- */

enum tcp_outcome tcp_pass(struct worker *worker, struct record *client, struct record *leg);
/* One side was reset: the other one gets what is left. */
enum tcp_outcome tcp_pass_rest(struct worker *worker, struct record *client, struct record *leg);

/* --- leg.c --- */

/* The leg of a client, or NULL. */
struct record *tcp_leg_of(struct worker *worker, const struct record *client);
/* The client of a leg, or NULL: it is nobody's. */
struct record *tcp_client_of(struct worker *worker, const struct record *leg);
/* No client names the leg any more, and that is committed: closes it, and gives its place back. */
void tcp_close_leg(struct worker *worker, struct record *leg);

/* --- passport.c --- */

extern const struct conn_mover l4_client_mover, l4_leg_mover;

/* --- end.c --- */

/* The connection has ended like this: its line and its counters, once; then both records are closed, with a reset unless it is
 * complete: nobody is to take it for the end of what was sent. */
enum tcp_outcome tcp_finish(struct worker *worker, struct record *client, enum tcp_end end);
/* Closes what was accounted for. */
void tcp_close(struct worker *worker, struct record *client);
/* A counter of this worker's page, in the open transaction. */
static inline void tcp_count(struct worker *worker, unsigned counter, uint64_t difference)
{
    if (difference)
        redo_add(&worker->arena, &worker->arena.page->counters[counter], difference);
}

#endif
