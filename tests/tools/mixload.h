/* The mixed load: one process, one epoll loop, many clients of five roles, every byte of every answer
 * verified.
 *
 *   mixload.c         options, the phases of a run, the killing
 *   mixload_client.c  a client's socket: sending in pieces, reading, matching answers with what was asked
 *   mixload_roles.c   what the clients of each role ask, and when
 *   mixload_report.c  faults by kind, latencies, the JSON result
 *
 * Phases: idle clients connect and ask once; all other roles run for --seconds while workers are killed; all
 * finish what they began, with nothing left unread; the idle clients ask again on the same sockets. */
#ifndef HOLDFAST_TESTS_TOOLS_MIXLOAD_H
#define HOLDFAST_TESTS_TOOLS_MIXLOAD_H

#include "tools/documents.h"
#include "tools/response.h"
#include "tools/target.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define MS 1000000ULL
#define PIPELINE_MAX 16
#define QUEUE_SIZE 32 /* power of two, room for a burst and its farewell */
#define OUT_SIZE 16384
#define TARGET_MAX 16
#define KEEPER_MAX 64

/* Everything that can go wrong for a client: name and meaning. One line makes a new kind. */
#define FAULT_TABLE(X)                                                                                       \
    X(CONNECT, connect, "a connection could not be made")                                                    \
    X(RESET, reset, "a connection was reset")                                                                \
    X(EARLY_END, early_end, "the server closed before its time")                                             \
    X(LATE_END, late_end, "the server did not close after an answer that said so")                           \
    X(SERVER_ERROR, server_error, "a 5xx status")                                                            \
    X(STATUS, status, "an unexpected status below 500")                                                      \
    X(HEAD, head, "a malformed response head")                                                               \
    X(LENGTH, length, "a Content-Length that is not the document's")                                         \
    X(BODY, body, "a wrong byte in a body")                                                                  \
    X(EXTRA, extra, "bytes after the last answer")                                                           \
    X(STALL, stall, "no progress for --stall-ms")                                                            \
    X(SOCKET, socket, "another error of a socket call")

enum fault {
#define FAULT_ENUM(name, text, meaning) FAULT_##name,
    FAULT_TABLE(FAULT_ENUM)
#undef FAULT_ENUM
        FAULT_COUNT
};

enum role { ROLE_KEEPALIVE, ROLE_DOWNLOAD, ROLE_POST, ROLE_FRESH, ROLE_IDLE, ROLE_COUNT };

enum expectation_kind { EXPECT_DOCUMENT, EXPECT_HEAD_ONLY, EXPECT_HASH, EXPECT_NOT_FOUND };

/* What the next answer on a connection must be. */
struct expectation {
    enum expectation_kind kind;
    unsigned document;
    uint64_t length, hash;
    uint64_t asked_ns; /* 0: not timed */
};

enum client_state { CLIENT_UNUSED, CLIENT_CONNECTING, CLIENT_OPEN };

struct client {
    enum role role;
    enum client_state state;
    int fd;
    unsigned number;
    const struct target *target; /* borrowed from the options */

    /* Sending: out[out_sent..out_allowed) may go now, the rest when act_ns has come. */
    char *out; /* owned, OUT_SIZE bytes, made at the first use */
    size_t out_length, out_sent, out_allowed;
    int wants_out;
    int was_lost; /* the next connection is one made again */

    /* Receiving. */
    struct expectation queue[QUEUE_SIZE];
    unsigned queue_first, queue_count;
    struct response response;
    int in_body;
    uint64_t body_at;
    char text[64];   /* the body of a hash answer */
    int ends;        /* the last request asked for the close */
    int server_ends; /* an answer said "Connection: close": only the end may follow */

    /* Time, CLOCK_MONOTONIC. */
    uint64_t act_ns, progress_ns, read_allowed_ns;

    /* Roles. */
    unsigned requests_left; /* FRESH: on this connection; POST: bodies on this connection */
    int post_chunked, post_active;
    uint64_t post_left, post_length, post_hash, post_at;
};

struct options {
    struct target targets[TARGET_MAX];
    size_t target_count;
    uint64_t clients[ROLE_COUNT]; /* FRESH: connections per second */
    uint64_t seconds;
    uint64_t download_rate, post_rate; /* bytes per second and connection */
    uint64_t stall_ns, think_ns;
    uint64_t seed;
    pid_t keepers[KEEPER_MAX];
    size_t keeper_count;
    uint64_t kill_every_ns;
    int kill_all_at_end, wait_for_line, json;
    const char *make_files;
};

struct load {
    struct options options;
    struct random random;
    int epoll;
    int is_ending; /* no new requests: finish, say farewell */
    uint64_t now_ns;
    struct client *clients;
    size_t client_count, open_count;
};

/* mixload_client.c. None of these fails towards its caller: a fault is counted and the client is closed. */
uint64_t load_clock_ns(void);
void client_open(struct load *load, struct client *client);
void client_close(struct load *load, struct client *client);
/* Closes a connection on which all is answered; bytes that still came are a fault. */
void client_finish(struct load *load, struct client *client);
void client_fail(struct load *load, struct client *client, enum fault fault, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Appends bytes to what is to be sent; the caller has asked client_room. */
void client_append(struct client *client, const void *bytes, size_t length);
size_t client_room(const struct client *client);
void client_expect(struct load *load, struct client *client, const struct expectation *expectation);
void client_flush(struct load *load, struct client *client);
/* Reads up to `limit` bytes and verifies them. */
void client_read(struct load *load, struct client *client, size_t limit);
void client_on_event(struct load *load, struct client *client, uint32_t events);
/* True if nothing is owed by either side. */
int client_is_quiet(const struct client *client);

/* mixload_roles.c */
/* The connection is made: ask first things. */
void role_on_open(struct load *load, struct client *client);
/* An answer is complete and verified. */
void role_on_answer(struct load *load, struct client *client);
/* The time act_ns has come. */
void role_on_time(struct load *load, struct client *client);
/* An idle client asks for one document. */
void role_ask_idle(struct load *load, struct client *client);
const char *role_name(enum role role);

/* mixload_report.c */
void report_fault(enum fault fault, const char *text);
/* `latency_ns` is 0 where it was not the server's to decide. */
void report_answer(enum role role, uint64_t latency_ns);
void report_bytes(uint64_t received, uint64_t sent);
void report_connection(int again);
void report_kill(int done);
uint64_t report_faults(void);
struct report_times {
    uint64_t load_ns, idle_kill_ns, idle_kill_count, idle_all_answered_ns;
};
void report_print(const struct load *load, const struct report_times *times);

#endif
