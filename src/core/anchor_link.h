/* The master's end of its link with the anchor (messages: anchor/wire.h).
 *
 * Requests are synchronous: the anchor answers at once, or it is gone. Events that arrive while an answer is
 * awaited are kept here, so the descriptor does not become readable for them: after any request, and whenever
 * `fd` is readable, call anchor_link_next until it says ERR_AGAIN. PINGs are answered inside, by whatever
 * call reads them; a master that reads its link at least every few seconds is alive to the anchor.
 *
 * Every request returns 0 or: what the anchor answered (its text: link->error_text), ERR_CLOSED (the anchor
 * is gone), ERR_TIMEOUT (no answer for 10 s), ERR_PROTOCOL (not the anchor we know). ERR_CLOSED and
 * ERR_PROTOCOL are final. Killed anywhere inside a request, a master leaves the anchor with the request done
 * as a whole or not at all. */
#ifndef HOLDFAST_CORE_ANCHOR_LINK_H
#define HOLDFAST_CORE_ANCHOR_LINK_H

#include "anchor/wire.h"
#include "base/err.h"

#include <stdint.h>
#include <sys/types.h>

#define ANCHOR_LINK_EVENTS 32
#define ANCHOR_LINK_TIMEOUT_MS 10000

enum anchor_event_type {
    ANCHOR_EVENT_STATUS,  /* a child of the anchor has ended; acknowledge `seq` when its end is dealt with */
    ANCHOR_EVENT_SIGNAL,  /* the anchor received a signal; acknowledge `seq` when it is dealt with */
    ANCHOR_EVENT_COMMAND, /* this master is in command now; `epoch` */
};

struct anchor_event {
    enum anchor_event_type type;
    uint64_t seq;   /* STATUS, SIGNAL: the same as last time if an earlier master did not acknowledge it */
    pid_t pid;      /* STATUS: a zombie until acknowledged, so the pid means nobody else */
    int code;       /* STATUS: CLD_EXITED, CLD_KILLED, CLD_DUMPED; for process_cause_text */
    int status;     /* STATUS: exit code or signal number */
    int was_master; /* STATUS */
    int signal;     /* SIGNAL */
    uint64_t epoch; /* COMMAND */
};

struct anchor_hello {
    int in_command;   /* this master decides; else it waits for ANCHOR_EVENT_COMMAND */
    int ready_before; /* some master has notified READY=1 already */
    pid_t anchor, self;
    pid_t other;      /* the other master; 0: there is none */
    uint64_t epoch;   /* counts every change of who is in command */
    uint64_t started; /* masters started so far, this one included */
    char image[WIRE_NAME_MAX + 1], good[WIRE_NAME_MAX + 1];
    char trying[WIRE_NAME_MAX + 1]; /* "": none is on trial */
};

struct anchor_link {
    uint32_t magic;
    int fd; /* owned; for poll and epoll */
    uint64_t serial;
    unsigned timeout_ms;  /* how long a request waits; ANCHOR_LINK_TIMEOUT_MS unless changed */
    int error;            /* the first final one; 0: the link is good */
    char error_text[256]; /* what the anchor said with its last ERROR */
    unsigned first_event, event_count;
    struct anchor_event events[ANCHOR_LINK_EVENTS];
};

/* Takes `fd` (WIRE_MASTER_FD in a master) and makes it CLOEXEC. 0 or an error. */
WARN_UNUSED int anchor_link_init(struct anchor_link *link, int fd);
/* Closes the descriptor. */
void anchor_link_fini(struct anchor_link *link);

/* The first request: agrees on the version. Events come only after it. */
WARN_UNUSED int anchor_link_hello(struct anchor_link *link, struct anchor_hello *hello);
/* Deposits a copy of `fd` (the caller keeps its own); what had the name is let go. Names: 1 to 63 bytes '!'
 * to '~'. ERR_INVALID; ERR_LIMIT, ERR_NO_DESCRIPTORS (the anchor can hold no more); ERR_PERMISSION (not in
 * command, and the name is another master's). */
WARN_UNUSED int anchor_link_put(struct anchor_link *link, const char *name, int fd);
/* *fd gets a descriptor of the caller's own, CLOEXEC. ERR_NOT_FOUND; ERR_NO_DESCRIPTORS (here). */
WARN_UNUSED int anchor_link_get(struct anchor_link *link, const char *name, int *fd);
/* ERR_NOT_FOUND; ERR_BUSY (an image in use); ERR_PERMISSION as for put. */
WARN_UNUSED int anchor_link_del(struct anchor_link *link, const char *name);
/* Calls back for every name that begins with `prefix` ("": all), in no order. The callback may not use the
 * link; it returns 0 to go on, else the listing ends and returns that value. */
typedef int (*anchor_link_name_fn)(void *arg, const char *name);
WARN_UNUSED int anchor_link_list(struct anchor_link *link, const char *prefix, anchor_link_name_fn callback,
                                 void *arg);
/* Starts a second master from the image of this name (NULL: the one on trial, else the good one).
 * ERR_NOT_FOUND; ERR_BUSY (there are two already); ERR_PERMISSION (not in command). */
WARN_UNUSED int anchor_link_start(struct anchor_link *link, const char *image, pid_t *pid);
/* Passes command to the other master. ERR_NOT_FOUND (no such master); ERR_REFUSED (it has not said hello). */
WARN_UNUSED int anchor_link_command(struct anchor_link *link, pid_t pid);
/* Sets the image on trial, or the good one: masters are restarted from that. ERR_NOT_FOUND. */
WARN_UNUSED int anchor_link_image(struct anchor_link *link, enum wire_image_op op, const char *name);
/* Passes a text to the service manager, if there is one: sd_notify(3). 1 to 4096 bytes. ERR_AGAIN: its socket
 * is full. */
WARN_UNUSED int anchor_link_notify(struct anchor_link *link, const char *text);
/* From now on the anchor writes its log there, and so does every master after this one. The caller keeps its own `fd`.
 * ERR_UNSUPPORTED: an older anchor. */
WARN_UNUSED int anchor_link_log(struct anchor_link *link, int fd);
/* Ends everything: after the answer leave within a second; the anchor then kills who is left and exits with
 * `code`. */
WARN_UNUSED int anchor_link_exit(struct anchor_link *link, int code);
/* A STATUS or SIGNAL is dealt with; a STATUS's process is reaped. ERR_NOT_FOUND: it was acknowledged before. */
WARN_UNUSED int anchor_link_ack(struct anchor_link *link, uint64_t seq);

/* The next event, never waiting. 0; ERR_AGAIN (none); ERR_CLOSED; ERR_PROTOCOL. */
WARN_UNUSED int anchor_link_next(struct anchor_link *link, struct anchor_event *event);

#endif
