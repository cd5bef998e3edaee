/* An anchor for tests: a thread at the other end of a master's link that holds what it is given, by name, and writes
 * down what it was asked. Whatever a request did is seen by the asker as soon as it has its answer.
 *
 * A master may be a process of its own that dies at a chosen request (fake_anchor_kills). */
#ifndef HOLDFAST_TESTS_UNIT_CORE_FAKE_ANCHOR_H
#define HOLDFAST_TESTS_UNIT_CORE_FAKE_ANCHOR_H

#include "core/anchor_link.h"

#include <pthread.h>
#include <sys/types.h>

#define FAKE_ANCHOR_NAMES 64
#define FAKE_ANCHOR_SAID 16384

struct fake_anchor {
    int fd;    /* owned; the anchor's end */
    int heard; /* owned; an eventfd that is readable after a request, for those who poll */
    pthread_mutex_t lock;
    pthread_t thread;
    struct {
        char name[WIRE_NAME_MAX + 1]; /* "": free */
        int fd;                       /* owned */
    } held[FAKE_ANCHOR_NAMES];
    char said[FAKE_ANCHOR_SAID]; /* "PUT arena:1.0\nNOTIFY READY=1\n" … */
    size_t said_length;
    enum wire_type refused;
    const char *refused_prefix;
    int refused_with;
    pid_t victim;
    unsigned kill_at;
    int kill_done_first, has_killed;
    pid_t told_anchor, told_self; /* in the answer to HELLO */
    uint64_t acknowledged;        /* the last seq */
};

/* Begins with nothing; `link` becomes the master's end. Fails the test if that cannot be had. */
void fake_anchor_open(struct fake_anchor *anchor, struct anchor_link *link);
/* Ends the thread and closes everything, `link` too. */
void fake_anchor_close(struct fake_anchor *anchor, struct anchor_link *link);

/* The descriptor that is held under the name, or -1. */
int fake_anchor_held(const struct fake_anchor *anchor, const char *name);
/* How many names begin so. */
unsigned fake_anchor_count(const struct fake_anchor *anchor, const char *prefix);
/* From now on such requests whose text begins so get this error; 0: no longer. */
void fake_anchor_refuses(struct fake_anchor *anchor, enum wire_type type, const char *prefix, int error);
/* The nth request from now on (1 is the next) kills the process instead of being answered: undone, or done. */
void fake_anchor_kills(struct fake_anchor *anchor, pid_t victim, unsigned nth, int done_first);
/* From now on nobody is killed any more. Whether somebody was. */
int fake_anchor_spares(struct fake_anchor *anchor);
/* Whether this text is among what was asked since then; any thread, any time. */
int fake_anchor_has_heard(struct fake_anchor *anchor, const char *text);
/* What was asked since the last call, one request a line; valid until the next request. */
const char *fake_anchor_said(struct fake_anchor *anchor);

/* Events to the master. */
void fake_anchor_tells_status(struct fake_anchor *anchor, uint64_t seq, pid_t pid, int code, int status,
                              int was_master);
void fake_anchor_tells_signal(struct fake_anchor *anchor, uint64_t seq, int number);

#endif
