/* The server behind a proxy, and the client before it (http/talk.h), with the worker's turns in between: all in one process,
 * on Unix sockets, so every step is exact, and a death comes where the test wants it. */
#ifndef HOLDFAST_TESTS_UNIT_HANDLER_PROXY_BEHIND_H
#define HOLDFAST_TESTS_UNIT_HANDLER_PROXY_BEHIND_H

#include "handler/proxy/internal.h"
#include "http/talk.h"

#define BEHIND_CONNECT_MS 1000u
#define BEHIND_FIRST_MS 2000u
#define BEHIND_BETWEEN_MS 3000u
#define BEHIND_TUNNEL_MS 4000u
#define BEHIND_KEEPALIVE_MS 5000u
#define BEHIND_QUEUE_MS 6000u
#define BEHIND_QUEUE 2u

struct behind {
    struct talk talk;
    struct upstream_server server;
    struct upstream_pool pool;
    struct http_proxy proxy; /* what the route says; changed before the first request */
    struct http_route route;
    struct pools *pools; /* owned */
    struct turns *turns;
    void *shared; /* owned: outlives workers */
    int listener; /* owned */
    int fd;       /* owned: the connection that behind_accept gave; -1: none */
    char path[64], got[65536];
};

extern struct behind behind;

/* cmocka's set-up and its end. */
int behind_setup(void **state);
int behind_teardown(void **state);

/* The worker's next connection, which becomes `fd`; the one before is closed. */
void behind_accept(void);
/* 1 if one waits to be accepted, after all that could be done was done. */
int behind_is_asked(void);
/* Waits until what came contains `text`, forgets what came, and says it to be sure. */
void behind_hear(const char *text);
void behind_say(const char *text);
/* The leg of the client's exchange; NULL: it has none. */
struct record *behind_leg(void);
/* The client asks and the server hears: GET /. */
void behind_ask(void);
/* The same, answered: the leg is idle afterwards. */
struct record *behind_ask_and_answer(void);
/* Requests under way at the server, as all workers see it. */
uint32_t behind_active(void);

/* The worker dies as it is, and the next one takes over. `fault`: it was its own fault, with this record. */
void behind_revive(const struct record *fault);
/* It is later, and whatever deadline of the record was reached is seen to. 1 if it was. */
int behind_pass(struct record *record, uint64_t ms);

#endif
