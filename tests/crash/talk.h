/* A client's side of one scripted conversation: blocking socket with timeouts, every answer verified to the
 * byte.
 *
 * A scenario runs in a process of its own (see scenario.h). Whatever goes wrong ends that process: the reason
 * is written where the parent reads it, so the scripts themselves read as what they do and nothing else. */
#ifndef HOLDFAST_TESTS_CRASH_TALK_H
#define HOLDFAST_TESTS_CRASH_TALK_H

#include "tools/response.h"
#include "tools/target.h"

#include <stddef.h>
#include <stdint.h>

/* Shorter than the timers by which a server may mend itself: those must not hide that something was lost. */
#define TALK_TIMEOUT_S 5
/* What is waited: the above, or longer where the worker is single-stepped, which takes it seconds for a request. */
extern int talk_timeout_s;

struct talk {
    const struct target *target; /* borrowed */
    int fd;
    size_t have, taken;
    struct response response;
    char buffer[65536];
};

/* Where a failing talk writes its reason before it ends the process with exit code 1. */
void talk_set_reason(char *reason, size_t capacity);
_Noreturn void talk_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Connects. `receive_buffer` as in target_connect. */
void talk_open(struct talk *talk, const struct target *target, int receive_buffer);
/* Goes on over a socket that is open already and has nothing unread. */
void talk_adopt(struct talk *talk, const struct target *target, int fd);
void talk_close(struct talk *talk);
/* Closes with a RST (SO_LINGER 0). */
void talk_abort(struct talk *talk);

void talk_send(struct talk *talk, const void *bytes, size_t length);
void talk_send_text(struct talk *talk, const char *text);
/* One byte of urgent data (MSG_OOB) on TCP, a plain byte on Unix sockets. */
void talk_send_urgent(struct talk *talk, char byte);
/* Writes a request for a document, without sending it; its length. `extra`: header lines or "". */
size_t talk_request(char *out, size_t capacity, const char *method, unsigned document, const char *extra);
void talk_get(struct talk *talk, unsigned document);

/* The next answer is this, whole; nothing else is read. */
void talk_expect_document(struct talk *talk, unsigned document);
void talk_expect_head(struct talk *talk, unsigned document);
void talk_expect_hash(struct talk *talk, uint64_t length, uint64_t hash);
void talk_expect_status(struct talk *talk, int status);
/* The interim response that asks for the body, once. */
void talk_expect_continue(struct talk *talk);
/* The next answer's head; talk->response has it. */
void talk_expect_response(struct talk *talk, int status);
/* The next `length` bytes, read into memory. */
void talk_read(struct talk *talk, void *out, size_t length);
/* The next bytes are the document's from `at` up to `end`. */
void talk_expect_bytes(struct talk *talk, unsigned document, uint64_t at, uint64_t end);
/* Nothing but the end of the stream follows. */
void talk_expect_end(struct talk *talk);
/* Nothing more has come. */
void talk_expect_quiet(struct talk *talk);
/* Reads and verifies the head and the first `length` bytes of the document's body, no more. */
void talk_expect_start(struct talk *talk, unsigned document, size_t length);
/* Reads and verifies the rest after talk_expect_start. */
void talk_expect_rest(struct talk *talk, unsigned document, size_t from);

#endif
