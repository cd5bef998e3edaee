/* The exchange: one request and its response on an HTTP/1 connection, as a row of named steps.
 *
 *                         +------------------- next request on the same connection <----------------+
 *                         v                                                                         |
 *     READ_HEAD --head--> READ_BODY --end--> HANDLE --response is made--> SEND --all bytes sent--> (end)
 *         |                  |  ^                                          ^                         |
 *         |                  |  +- handler asked for the body              |                         v
 *         +--- no body ------+------------- respond at once ---------------+             LINGER --FIN or time--> closed
 *
 * From READ_HEAD a handler can also go to RELAY: then both directions go on at once, between the client and an upstream
 * server, and the handler drives them (handler/proxy), until the response is made and SEND follows.
 *
 * SEND is left at once when the response lies whole in the ring (its bytes go out while the next request is looked
 * at); with a file it lasts until the file is through.
 *
 * The state lies in the record's head (struct exchange_state) and changes by record_begin/record_commit: a worker
 * that dies in the middle of a step has not begun it. A response is committed before its first byte is sent, so no
 * part of it is ever made twice. What a handler needs beyond one call goes into `handler_state`. */
#ifndef HOLDFAST_HTTP_EXCHANGE_H
#define HOLDFAST_HTTP_EXCHANGE_H

#include "base/bytes.h"
#include "base/clock.h"
#include "http/config.h"
#include "http/log_line.h"
#include "http/routes.h"
#include "http/sites.h"
#include "net/conn.h"
#include "proto/h1.h"

#include <stdint.h>

#define EXCHANGE_STEP_TABLE(X)                                                                               \
    X(READ_HEAD, "reading a request head, or idle between two")                                              \
    X(READ_BODY, "the handler takes the request body")                                                       \
    X(HANDLE, "the handler works elsewhere (a pool thread)")                                                 \
    X(STREAM, "the handler makes the response bit by bit, as time goes on")                                  \
    X(SEND, "the response is being sent")                                                                    \
    X(LINGER, "our FIN is sent; what still comes is read and forgotten")                                     \
    X(RELAY, "request and response pass between client and upstream server")

enum exchange_step {
#define EXCHANGE_STEP_ENUM(name, text) EXCHANGE_##name,
    EXCHANGE_STEP_TABLE(EXCHANGE_STEP_ENUM)
#undef EXCHANGE_STEP_ENUM
};

enum exchange_flag {
    EXCHANGE_CLOSE = 1,        /* the connection ends after this response */
    EXCHANGE_HEAD_ONLY = 2,    /* HEAD: no body is sent */
    EXCHANGE_CHUNKED_BODY = 4, /* of the request */
    EXCHANGE_BODY_UNREAD = 8,  /* the client may still be sending: close only after lingering */
    EXCHANGE_HTTP_1_0 = 16,
    EXCHANGE_CUT = 32,    /* the response ends early: it cannot be completed */
    EXCHANGE_BY_END = 64, /* the end of the connection is the end of the response */
    EXCHANGE_TOLD = 128,  /* in a tunnel: both sides know that the server goes away */
};

struct exchange_state {
    uint8_t step;           /* enum exchange_step */
    uint8_t flags;          /* enum exchange_flag */
    uint8_t handler;        /* index in http->handlers, while READ_BODY or HANDLE */
    uint8_t is_turned_away; /* its client has too many connections: 503, whatever it says */
    uint16_t scanned;       /* how far the head was looked at, from `taken`; at most ARENA_BLOCK_SIZE */
    uint16_t route;         /* what answers: its number + 1; 0: none, or not known yet */
    uint64_t request;       /* serial of the request under way: unique in the slot */
    uint64_t body_left;     /* of a request body with Content-Length */
    uint64_t body_taken;
    struct h1_chunks chunks;
    uint64_t handler_state[4];
    /* for its account (http/account.h) */
    uint64_t began_ns;      /* when its head was complete; 0: no request is under way, or its line is made */
    uint64_t response_from; /* stream offset of the response's first byte */
    uint32_t note;          /* where lies what its line needs (http/account.c), or 0 */
    uint16_t status;        /* of the response; 0: none yet */
    uint16_t response_head; /* bytes of its head */
};
_Static_assert(sizeof(struct exchange_state) <= RECORD_PROTOCOL_BYTES, "the state fits the record's head");

struct exchange;
struct passport;
struct passport_writer;

enum exchange_outcome {
    EXCHANGE_GO_ON,  /* there may be more to do at once */
    EXCHANGE_REST,   /* until the next event */
    EXCHANGE_CLOSED, /* the connection is gone */
};

/* What serves requests. Called on the loop thread with an open transaction on the exchange's record. */
struct handler {
    const char *name;
    /* The head is complete. Must do one of: exchange_respond*, exchange_want_body, exchange_wait. */
    void (*begin)(struct exchange *exchange);
    /* A run of the request body; never empty. Keep what is needed in handler_state. */
    void (*body)(struct exchange *exchange, struct slice data);
    /* The body is complete. Must respond, or exchange_wait. */
    void (*end)(struct exchange *exchange);
    /* After a revival in HANDLE: the job is gone with its thread; start it again. */
    void (*resume)(struct exchange *exchange);
    /* Everything made of a response with a plan is sent: conn_put_part, or the head's plan_block becomes 0 with the last
     * part. What it needs is in the plan and in handler_state; another process may have begun. */
    void (*more)(struct exchange *exchange);
    /* In STREAM, when its time has come: exchange_stream_put or exchange_stream_end. May be NULL. */
    void (*tick)(struct exchange *exchange);
    /* In RELAY, whenever something may have changed: moves on whatever can be moved, in transactions of its own. */
    enum exchange_outcome (*relay)(struct worker *worker, struct record *record);
    /* In RELAY: the exchange is taken away from the handler in this transaction, which then answers or closes. The handler
     * lets go of what the exchange was bound to. */
    void (*detach)(struct exchange *exchange);
    /* In RELAY, when the connection is to change hands: as those of struct conn_mover (core/freeze.h), for what the handler keeps.
     * `thaw` may change handler_state, which is filled in, and the head of `with`. NULL: it stays. */
    int (*may_move)(struct worker *worker, struct record *record, struct record **with);
    void (*freeze)(struct worker *worker, const struct record *record, struct passport_writer *out);
    int (*thaw)(struct worker *worker, struct record *record, struct record_head *head,
                const struct passport *passport, struct record *with);
    /* In RELAY: as conn_class.part. May be NULL. */
    int (*part)(struct worker *worker, struct record *record);
};

#define HTTP_HANDLERS_MAX 8

/* The HTTP layer of one worker. */
struct http {
    struct worker *worker;                             /* borrowed */
    const struct http_config *config;                  /* borrowed */
    struct sites sites;                                /* index of the config's */
    const struct handler *handlers[HTTP_HANDLERS_MAX]; /* borrowed; 0 is what serves a site's files */
    void *handler_private[HTTP_HANDLERS_MAX];
    /* A client's connection is about to be closed: what is kept for it alone has no use any more. NULL: nothing is. */
    void (*client_leaves)(struct worker *worker, const struct record *client);
    uint64_t next_request;
    uint64_t date_until_ns;
    int64_t date_s; /* the same as `date` */
    char date[CLOCK_HTTP_DATE_SIZE];
    int snapshot_fd;                  /* where error pages lie; borrowed */
    uint8_t by_answer[ROUTE_ANSWERS]; /* index of the handler of an answer; 0: that of files, or none */
    uint8_t test_handler;             /* index of the handler of /_test/, or 0 */
};

/* One call's view of an exchange. */
struct exchange {
    struct http *http;
    struct worker *worker;
    struct record *record;
    struct record_head *head; /* the spare: an open transaction */
    struct exchange_state *state;
    /* In begin only: */
    const struct h1_head *request;
    const struct http_route *route;            /* what answers */
    const struct route_request *route_request; /* the request as routes see it */
    struct slice path, query;                  /* after the route's edits; the path decoded */
    int failed;    /* no memory: nothing of this transaction counts, try again later */
    int postponed; /* failed on purpose: exchange_postpone */
    /* for the account */
    int has_begun;                      /* the request, in this transaction */
    const struct http_route *log_route; /* whose log the line goes to; NULL: as exchange_settings says */
    struct slice reason;                /* of an error of ours: static; or empty */
    /* For an answer outside of begin: whose header changes count, and the values that exchange_save_edits kept of them. */
    const struct http_route *edit_route;
    struct slice edit_values;
    int responded;         /* in this transaction */
    uint32_t note_before;  /* the note's block, when the transaction began */
    uint32_t plan_before;  /* the plan's */
    uint32_t spool_before; /* record_head.spool */
    /* another record whose spare head changes with this one (core/redo.h), or NULL */
    struct record *partner;
    struct record_head *partner_head;
    void (*failed_with)(struct exchange *exchange); /* if it fails: gives back what the handler took */
};

/* The id that logs, errors and other servers name the request by. Borrowed until the next call. */
struct slice exchange_id(const struct exchange *exchange);

/* --- for handlers --- */

/* Answers with a body that fits into the ring beside the head (EXCHANGE_BODY_MAX bytes). `fields`: further header
 * lines, each ending in CRLF, or empty. */
#define EXCHANGE_BODY_MAX 11264u
#define EXCHANGE_HEAD_MAX 4608u /* of a response */
#define EXCHANGE_FIELDS_MAX 1024u
void exchange_respond(struct exchange *exchange, int status, struct slice type, struct slice fields,
                      struct slice body);
/* The same with a body of any length: a longer one is sent from memory that is a file. */
void exchange_respond_large(struct exchange *exchange, int status, struct slice type, struct slice fields,
                            struct slice body);
/* Answers with the error page of that status, or with a short text that says the status and the reason. */
void exchange_respond_error(struct exchange *exchange, int status, struct slice reason);
/* The same with further header lines, as above. */
void exchange_respond_error_with(struct exchange *exchange, int status, struct slice reason,
                                 struct slice fields);
/* Answers with the error page of that status: 1; or 0: there is none, and nothing was done. */
WARN_UNUSED int exchange_respond_page(struct exchange *exchange, int status, struct slice fields);
/* Answers with file bytes; takes one use of fd. */
void exchange_respond_file(struct exchange *exchange, int status, struct slice type, struct slice fields,
                           int fd, uint64_t offset, uint64_t length);
/* Answers with parts of one file, of which only the first is made now: `text` and the file's bytes behind it; takes one use
 * of the descriptor. `plan` (up to ARENA_BLOCK_SIZE bytes) is kept in the arena; the handler's `more` goes on by it.
 * `length`: of all parts together. */
struct exchange_part {
    int fd;
    uint64_t offset, length;
};
void exchange_respond_parts(struct exchange *exchange, int status, struct slice type, struct slice fields,
                            uint64_t length, struct slice text, const struct exchange_part *part,
                            struct slice plan);
/* For begin, instead of an answer: the request is put off until somebody (http/errand.h) clears is_working and calls
 * worker_again. Nothing was begun: the head stays in the ring and is looked at anew then, or by the next worker. 1; 0: it
 * was put off often enough and is to be answered now. */
WARN_UNUSED int exchange_postpone(struct exchange *exchange);
/* Begins a response whose length nobody knows yet; the handler's tick() is called at due_ns (CLOCK_MONOTONIC), by whichever
 * worker lives then. What it needs is to lie in handler_state, of which the last word is the exchange's. */
#define EXCHANGE_STREAM_DUE 3
void exchange_respond_stream(struct exchange *exchange, struct slice type, struct slice fields,
                             uint64_t due_ns);
/* A part of the body, not empty, and when the next one is due. */
void exchange_stream_put(struct exchange *exchange, struct slice data, uint64_t due_ns);
void exchange_stream_end(struct exchange *exchange);
/* Goes on to READ_BODY: the handler's body() and end() follow. */
void exchange_want_body(struct exchange *exchange);
/* Goes to HANDLE: the handler will call exchange_reopen and exchange_finish from a job's `done`. */
void exchange_wait(struct exchange *exchange);

/* A ticket finds a waiting exchange again after a job, if it still is the same request. */
struct exchange_ticket {
    struct http *http;
    uint32_t record;
    uint64_t request;
};
struct exchange_ticket exchange_ticket(const struct exchange *exchange);
/* Opens the exchange of a ticket that waits in HANDLE: 1, then respond and call exchange_finish; or 0 if it is gone. */
WARN_UNUSED int exchange_reopen(const struct exchange_ticket *ticket, struct exchange *exchange);
void exchange_finish(struct exchange *exchange);

/* Puts a head from elsewhere (respond_head.h) into the ring and accounts for it; the step stays. 0; ERR_LIMIT: it does not fit
 * into the ring now; ERR_NO_SPACE: it never will; ERR_NO_MEMORY. Then nothing has changed. */
struct exchange_head_of;
WARN_UNUSED int exchange_put_head(struct exchange *exchange, const struct exchange_head_of *head);
/* In begin: the values of the route's header changes, which speak of the request, for a response that is made later. Adds
 * nothing if they do not depend on it. 0 or ERR_NO_SPACE. */
WARN_UNUSED int exchange_save_edits(const struct exchange *exchange, struct text *values);

/* Answers with the one line that the route's settings want beside `fields`, or nothing: Cache-Control. */
struct slice exchange_cache_line(const struct exchange *exchange, char *memory, size_t size);

/* --- for the files of the exchange --- */

static inline struct exchange_state *exchange_state_in(struct record_head *head)
{
    return (struct exchange_state *)(void *)head->protocol;
}

static inline const struct exchange_state *exchange_seen(const struct record *record)
{
    return (const struct exchange_state *)(const void *)record_head(record)->protocol;
}

/* 1 if a request has begun on the connection, now or before. */
static inline int exchange_has_asked(const struct record *record)
{
    return exchange_seen(record)->request != 0;
}

/* What the configuration says for the request under way; before its route is known, and between two requests, what the
 * last one's or else the top level says. NULL: there are no routes (in tests). */
const struct route_settings *exchange_settings(const struct http *http, const struct exchange_state *state);
/* Opens a transaction; exchange_end settles the account and commits it, unless it failed. */
struct exchange exchange_begin(struct worker *worker, struct record *record);
void exchange_end(struct exchange *exchange);
/* A record whose head changes with the exchange's, from now on in this transaction. Returns its spare head. */
struct record_head *exchange_with(struct exchange *exchange, struct record *partner);
/* Goes on with the exchange after something outside of it has changed. */
void exchange_drive(struct worker *worker, struct record *record);
/* The one way to close a connection: a request that is under way has ended, too. */
void exchange_close(struct worker *worker, struct record *record, enum log_end end);
/* The route itself, likewise. */
const struct http_route *exchange_route(const struct http *http, const struct exchange_state *state);

/* Finds the site of a request, whose settings count from then on; NULL: there is none. */
const struct http_site *route_site(struct exchange *exchange, const struct h1_head *request);
/* The wall clock as the Date of a response that is made now says it: seconds since 1970. Costs no system call on most
 * calls. */
int64_t http_now_s(struct http *http);
/* Finds the site and the route of a request, changes its path as they say, and calls `serve` with all of it filled in; or
 * answers itself: 404, 413, 500, `respond`, `redirect`. */
void route_exchange(struct exchange *exchange, const struct h1_head *request,
                    void (*serve)(struct exchange *exchange));

/* --- for the worker: the class --- */

void exchange_opened(struct worker *worker, struct record *record, struct record_head *head);
void exchange_ready(struct worker *worker, struct record *record, unsigned events);
void exchange_expired(struct worker *worker, struct record *record);
void exchange_revived(struct worker *worker, struct record *record);
void exchange_blamed(struct worker *worker, struct record *record);
int exchange_is_idle(const struct record *record, uint64_t now_ns);

extern const struct conn_class http_class;

#endif
