/* What the files of the proxy share. A pass over both directions is relay.c; it calls, in this order, connecting.c,
 * request_body.c, response.c. leg.c knows the upstream's records, waiting.c chooses servers and tries again. */
#ifndef HOLDFAST_HANDLER_PROXY_INTERNAL_H
#define HOLDFAST_HANDLER_PROXY_INTERNAL_H

#include "handler/proxy/proxy.h"

#include "base/list.h"

#include "http/log_line.h"
#include "http/proxy.h"
#include "proto/h1_response.h"
#include "proto/ws_frames.h"
#include "upstream/table.h"
#include "upstream/turns.h"

/* --- what lies in the arena --- */

/* In exchange_state.handler_state of the client's record, while its step is RELAY. */
struct relay_state {
    uint32_t leg; /* number + 1 of the upstream's record; 0: waiting for a server, the plan has the request */
    uint16_t pool;       /* index in the configuration */
    uint8_t tries;       /* servers asked so far */
    uint8_t flags;       /* enum relay_flag */
    uint64_t leg_serial; /* without a leg: bytes of the request's body that the spool holds (buffer.c) */
    uint64_t hash;       /* for the choice of a server */
    uint64_t due_ns;     /* while waiting: until when; the exchange's EXCHANGE_STREAM_DUE */
};
_Static_assert(sizeof(struct relay_state) == sizeof(((struct exchange_state *)0)->handler_state) &&
                   offsetof(struct relay_state, due_ns) == EXCHANGE_STREAM_DUE * sizeof(uint64_t),
               "the state is the handler's");

enum relay_flag {
    RELAY_IDEMPOTENT = 1,  /* RFC 9110 section 9.2.2 */
    RELAY_CHUNKED = 2,     /* the response goes to the client in chunks */
    RELAY_EXPECTS = 4,     /* the client waits for 100 */
    RELAY_UPGRADE = 8,     /* the client asks for another protocol on this connection */
    RELAY_TUNNEL = 32,     /* the server has agreed to it */
    RELAY_LAST_CHUNK = 16, /* "0" of the request is passed on: trailers follow */
    RELAY_FRESH = 64,      /* a connection that was kept has just ended: the next try makes one */
    RELAY_GATHERS = 128,   /* the request's body is held back: no server is asked for yet */
};

/* In the client's plan_block: what has to be kept of the request. Exists only where it is needed. */
#define RELAY_PLAN_MAGIC 0x4e4c5052u /* "RPLN" */
struct relay_plan {
    uint32_t magic;
    uint32_t values_length;  /* of the route's header changes (exchange_save_edits) */
    uint32_t request_length; /* what is to be sent to the next server; 0 once a leg has it */
    uint16_t tried_count;
    uint16_t failure; /* of the last try: enum proxy_failure + 1; 0: there was none */
    uint32_t tried[UPSTREAM_TRIES_MAX];
    char bytes[ARENA_BLOCK_SIZE - 16 - 4 * UPSTREAM_TRIES_MAX]; /* values, request */
};
_Static_assert(sizeof(struct relay_plan) == ARENA_BLOCK_SIZE, "a plan is a block");

enum leg_step {
    LEG_NEW,        /* nobody's yet */
    LEG_CONNECTING, /* connect(2) has not succeeded yet */
    LEG_BUSY,       /* a request is under way */
    LEG_IDLE,       /* another request may follow */
};

enum leg_flag {
    LEG_REUSED = 1,      /* has served a request before this one */
    LEG_ANSWERED = 2,    /* the head of the final response was passed on */
    LEG_KEEP = 4,        /* the server lets it carry another request */
    LEG_SEND_OVER = 8,   /* the server takes no more of the request; it may answer all the same */
    LEG_NO_REPLAY = 16,  /* not all of the request lies in the ring any more */
    LEG_LAST_CHUNK = 32, /* "0" of the response is passed on: trailers follow */
    LEG_HEAD_REQUEST = 64,
    LEG_ANNOUNCED =
        128, /* began with a header that names its client (net/proxy_header.h): it is that one's alone */
};

/* Of what both sides have upgraded to (websocket.c). */
enum leg_websocket {
    LEG_WS_FOLLOWED = 1, /* the borders of its frames are known */
    LEG_WS_PARTS = 2,    /* the time of a drain is over */
    LEG_WS_TOLD_CLIENT = 4,
    LEG_WS_TOLD_SERVER = 8, /* that it is: nothing more is passed on to it */
};
enum { LEG_UP, LEG_DOWN }; /* what the client sends, what the server sends */

/* In the protocol state of the upstream's record. */
struct leg_state {
    uint8_t step;      /* enum leg_step */
    uint8_t flags;     /* enum leg_flag */
    uint8_t body;      /* enum h1_body of the response */
    uint8_t websocket; /* enum leg_websocket; 0: it is none */
    uint32_t member;   /* of pools.h; one of its active places is held while CONNECTING and BUSY */
    uint32_t client;   /* number + 1, or 0; of an idle leg: the one that it was announced for */
    uint32_t reserved_client;
    uint64_t client_serial;
    uint64_t request;      /* serial of the request */
    uint64_t request_from; /* stream offset at which it begins */
    uint64_t answer_from;  /* stream offset of the first byte of the answer */
    uint64_t left;         /* bytes of the response's body to come, where its length is known */
    uint64_t until_ns;     /* the whole exchange with this server is to be over; 0: no limit */
    union {
        struct h1_chunks chunks;
        struct ws_frames frames[2]; /* of a WebSocket: LEG_UP, LEG_DOWN */
    };
};
_Static_assert(sizeof(struct leg_state) <= RECORD_PROTOCOL_BYTES, "the state fits the record's head");

static inline struct relay_state *relay_state_in(struct exchange_state *state)
{
    return (struct relay_state *)(void *)state->handler_state;
}

static inline const struct relay_state *relay_seen(const struct record *client)
{
    return (const struct relay_state *)(const void *)exchange_seen(client)->handler_state;
}

static inline struct leg_state *leg_state_in(struct record_head *head)
{
    return (struct leg_state *)(void *)head->protocol;
}

static inline const struct leg_state *leg_seen(const struct record *leg)
{
    return (const struct leg_state *)(const void *)record_head(leg)->protocol;
}

/* --- what a worker keeps for itself: indices, made anew by a revival --- */

struct proxy {
    struct http *http;       /* borrowed */
    struct pools *pools;     /* borrowed */
    struct turns *turns;     /* borrowed: who waits, and which legs hold an active place of their member */
    unsigned index;          /* of the handler */
    size_t numbers;          /* of records */
    struct list_link *links; /* owned, by number: idle legs of a member */
    struct list_link *own;   /* owned, by number: a client, and the idle legs that were announced for it */
    struct list idle[TABLE_ENTRIES]; /* by the member's entry; the one used last is first */
    uint32_t idle_count[TABLE_ENTRIES];
};

struct proxy *proxy_of(const struct worker *worker);
/* The same while records still say what they hold. */
struct proxy *proxy_in_revival(const struct worker *worker);
/* What the route says. */
const struct http_proxy *proxy_settings(const struct exchange *exchange);
const struct upstream_pool *proxy_pool(const struct proxy *proxy, uint32_t pool);

/* --- why a try failed --- */

#define PROXY_FAILURE_TABLE(X)                                                                               \
    X(REFUSED, 502, "upstream_connect_refused", POOLS_CONNECT_FAILED)                                        \
    X(UNREACHABLE, 502, "upstream_connect_failed", POOLS_CONNECT_FAILED)                                     \
    X(CONNECT_TIMEOUT, 504, "upstream_connect_timeout", POOLS_CONNECT_FAILED)                                \
    X(CLOSED, 502, "upstream_closed", POOLS_RESET)                                                           \
    X(RESET, 502, "upstream_reset", POOLS_RESET)                                                             \
    X(TIMEOUT, 504, "upstream_timeout", POOLS_TIMED_OUT)                                                     \
    X(STALLED, 504, "upstream_stalled", POOLS_TIMED_OUT)                                                     \
    X(TOO_SLOW, 504, "upstream_too_slow", POOLS_TIMED_OUT)                                                   \
    X(BROKE_OFF, 502, "upstream_broke_off", POOLS_BAD_ANSWER)                                                \
    X(BAD_ANSWER, 502, "upstream_bad_answer", POOLS_BAD_ANSWER)                                              \
    X(HEADER_TOO_LARGE, 502, "upstream_header_too_large", POOLS_BAD_ANSWER)                                  \
    X(BUFFER_FAILED, 502, "buffer_write_failed", POOLS_OK)                                                   \
    X(LOST, 502, "upstream_lost", POOLS_OK)

enum proxy_failure {
#define PROXY_FAILURE_ENUM(name, status, reason, outcome) PROXY_##name,
    PROXY_FAILURE_TABLE(PROXY_FAILURE_ENUM)
#undef PROXY_FAILURE_ENUM
};

/* --- leg.c: the upstream's records --- */

/* The leg of a client, or NULL while it waits for a server. */
struct record *leg_of(struct worker *worker, const struct record *client);
/* The client of a leg, or NULL: it is nobody's. */
struct record *leg_client(struct worker *worker, const struct record *leg);
/* An idle leg of that member that may serve the client, no longer idle in the list; or a new one, if there is none or `is_fresh`
 * wants it. 0 or an error of worker_open_connected. The member's active place belongs to the caller until the leg is bound. */
WARN_UNUSED int leg_take(struct worker *worker, const struct record *client, uint32_t member, int is_fresh,
                         struct record **leg);
/* A leg that leg_take gave was not bound after all: gives back leg and place. */
void leg_return(struct worker *worker, struct record **leg, uint32_t member);
/* The exchange no longer names the leg, and that is committed. Reports how the try ended, gives the active place back, and
 * keeps the connection for another request if it is in LEG_IDLE, or closes it. */
void leg_finished(struct worker *worker, struct record **leg, enum pools_outcome outcome);
/* The same, and it is nobody's merit or fault. */
void leg_dropped(struct worker *worker, struct record **leg);
/* In the transaction that binds it: the deadline of what comes first. `exchange` and `state` are the spares'. */
void leg_plan_first(struct worker *worker, struct record *leg, const struct exchange_state *exchange,
                    const struct leg_state *state);
/* Sets the deadline of what is awaited from the server now. */
void leg_plan(struct worker *worker, struct record *leg, const struct record *client, int has_sent,
              int has_received);
/* What a deadline that has passed was for. */
enum proxy_failure leg_timeout(const struct worker *worker, const struct record *leg);
/* The client's connection ends: closes the idle legs that were announced for it. */
void leg_client_leaves(struct worker *worker, const struct record *client);
/* Gives back the ring of the request when nothing of it is needed any more. */
void leg_settle(struct worker *worker, struct record *leg);

/* From where on the bytes that were sent may be needed once more: conn_mover.keep_from. */
uint64_t leg_keep_from(const struct record *leg);

/* --- passport.c --- */

/* As those of struct handler. */
int proxy_may_move(struct worker *worker, struct record *client, struct record **with);
void proxy_freeze(struct worker *worker, const struct record *client, struct passport_writer *out);
int proxy_thaw(struct worker *worker, struct record *client, struct record_head *head,
               const struct passport *passport, struct record *leg);
extern const struct conn_mover proxy_leg_mover;

/* --- request_head.c --- */

/* Serialises what was parsed, for that server. 0; ERR_LIMIT: it is too large. */
WARN_UNUSED int request_head_make(struct exchange *exchange, struct text *out);
/* For the choice of a server. */
uint64_t request_hash(const struct exchange *exchange, const struct upstream_pool *pool);

/* --- request_body.c --- */

/* Moves what there is of the request's body to the leg. 1: something moved; 0: nothing; or an error, with nothing changed:
 * ERR_CLOSED: the client broke off; ERR_SYNTAX, ERR_LIMIT: *refusal. */
WARN_UNUSED int request_body_pass(struct worker *worker, struct record *client, struct record *leg,
                                  enum h1_refusal *refusal);

/* 1 if the client sends no more, and its body is not whole. */
int request_broke_off(const struct record *client);

/* The same into the client's spool, before there is a leg. Beside the above, ERR_NO_SPACE: no more is to be held back. */
WARN_UNUSED int request_body_hold(struct worker *worker, struct record *client, enum h1_refusal *refusal);

/* --- buffer.c: files that hold bytes on their way --- */

struct buffer_limits {
    uint64_t memory, file; /* bytes; 0: none */
};
/* Space for some more bytes behind the first `used` ones of a nameless file: their number, 0 if no more are to be held, or
 * there is no space for them (which is logged). *fd: -1 if there is none yet; when it changes, the new file has the `used`
 * bytes, and the caller takes a use of it (worker_file_use); the former one is the caller's to drop, after the commit. */
uint32_t buffer_reserve(struct worker *worker, int *fd, uint64_t used, struct buffer_limits limits);
/* Puts bytes there: the same bytes at the same place again after a death. 0 or ERR_IO. */
WARN_UNUSED int buffer_write(int fd, uint64_t offset, struct slice bytes);
/* Lets go of the file of a response, all of which is sent. */
void buffer_settle(struct worker *worker, struct record *client);

/* --- response.c --- */

enum response_result {
    RESPONSE_NOTHING, /* there is nothing to pass, or no room at the client's */
    RESPONSE_MOVED,
    RESPONSE_COMPLETE, /* the exchange is in SEND, the leg is gone or idle */
    RESPONSE_BAD,      /* *failure, *reason; nothing has changed */
};
enum response_result response_pass(struct worker *worker, struct record *client, struct record **leg,
                                   enum proxy_failure *failure, struct slice *reason);

/* --- tunnel.c: behind an upgrade --- */

enum exchange_outcome tunnel_pass(struct worker *worker, struct record *client, struct record **leg,
                                  int *moved);

/* --- websocket.c: frames behind an upgrade --- */

/* 1 if that is what the server has agreed to. */
int websocket_is_one(const struct h1_response *response);
/* The first `length` bytes of the input of `from`, as it was in the head `before`, are moved in this transaction. */
void websocket_follow(struct worker *worker, const struct record *from, struct record_head before,
                      uint64_t length, struct ws_frames *frames);
/* A pass of one that parts (LEG_WS_PARTS), as tunnel_pass. */
enum exchange_outcome websocket_part_pass(struct worker *worker, struct record *client, struct record *leg,
                                          int *moved);
/* For handler.part. */
int proxy_part(struct worker *worker, struct record *client);

/* --- waiting.c: servers are chosen, and chosen again --- */

/* In begin: binds the exchange to a server, or lets it wait for one, or answers. */
void waiting_begin(struct exchange *exchange, struct slice request);
/* In begin: no server is asked for before waiting_gathered. 1; 0: that cannot be, and nothing has changed. */
WARN_UNUSED int waiting_hold(struct exchange *exchange, struct slice request);
/* The body is whole, or as much of it as is held back: waiting_try may follow. */
void waiting_gathered(struct worker *worker, struct record *client);
/* A client without a leg: tries to get one. */
enum exchange_outcome waiting_try(struct worker *worker, struct record *client);
/* The try has failed: another server, or the error. */
enum exchange_outcome waiting_failed(struct worker *worker, struct record *client, struct record **leg,
                                     enum proxy_failure failure, struct slice reason);
/* In the transaction that takes the exchange away: what it kept of the route's header changes goes into the answer of ours that
 * may follow, and the plan is given up. */
void waiting_give_up_plan(struct exchange *exchange);
/* The plan of a client, or NULL. */
struct relay_plan *relay_plan_of(struct worker *worker, const struct record_head *head);

/* --- relay.c --- */

enum exchange_outcome relay_pass(struct worker *worker, struct record *client);

#endif
