/* A client that talks HTTP to a rig's worker (rig.h), and the worker's turns in between. */
#ifndef HOLDFAST_TESTS_UNIT_HTTP_TALK_H
#define HOLDFAST_TESTS_UNIT_HTTP_TALK_H

#include "http/exchange.h"
#include "rig.h"

#define TALK_KEEPALIVE_MS 60000u
#define TALK_HEADER_MS 10000u
#define TALK_BODY_MS 20000u
#define TALK_WRITE_MS 30000u

struct talk {
    struct rig rig;
    struct http http;
    struct http_config config;
    struct record *record; /* of the last connection */
    int client;
    char *got; /* received and not yet taken */
    size_t length, capacity;
    int has_ended; /* the worker's FIN or RST was seen */
};

struct response {
    int status;
    int says_close;
    char head[4096];
    char *body; /* NUL-terminated; valid until the next call */
    size_t length;
};

/* `family`: AF_UNIX hands bytes over at once, which makes steps exact; AF_INET is the real thing. Serves one site for
 * any host, with `handler` as number 0. */
void talk_open(struct talk *talk, const struct handler *handler, int family);
void talk_close(struct talk *talk);
/* A new connection; the one before is closed. */
void talk_connect(struct talk *talk);

/* Sends all of it, with turns of the worker whenever the socket is full. */
void talk_send(struct talk *talk, const char *bytes, size_t length);
void talk_say(struct talk *talk, const char *text);
void talk_shut(struct talk *talk);
/* Turns until there is nothing left to do (exact for AF_UNIX). */
void talk_settle(struct talk *talk);
/* Waits for `length` bytes or the end; returns how many there are. */
size_t talk_await(struct talk *talk, size_t length);
/* Waits for a whole response and takes it; `is_head`: it has no body, whatever its length says. */
void talk_hear(struct talk *talk, struct response *response, int is_head);
/* Hears a response of that status and body. */
void talk_expect(struct talk *talk, int status, const char *body);
/* Waits for the worker to end the connection, with nothing more said. */
void talk_expect_end(struct talk *talk);

/* Turns until there is nothing left to do, and sees that the idle connection holds nothing: no ring, no file. */
void talk_expect_idle(struct talk *talk);

enum exchange_step talk_step(const struct talk *talk);
/* The worker dies (by its own fault in `fault_thread`, if that is not negative) and the next one takes over. */
void talk_revive(struct talk *talk, int fault_thread);
/* The deadline without what it is for; 0: none. */
uint64_t talk_deadline(const struct talk *talk);
/* It is `ns` later, and the deadline, if it was reached, is seen to. 1 if it was. */
int talk_pass(struct talk *talk, uint64_t ns);

#endif
