/* The worker: one event loop over connections that are not its own but the arena's.
 *
 * A worker may vanish between any two instructions; the next one finds arena and descriptors as they were and goes
 * on (revival.h). What a worker keeps in private memory (this struct) is therefore only an index or a cache.
 *
 * core knows no protocol: what connections mean is told by the classes that main binds (struct conn_class). */
#ifndef HOLDFAST_CORE_WORKER_H
#define HOLDFAST_CORE_WORKER_H

#include "core/arena.h"
#include "core/blocks.h"
#include "core/board.h"
#include "core/clients.h"
#include "core/crowd.h"
#include "core/handover.h"
#include "core/log_writer.h"
#include "core/settings.h"
#include "core/waiting.h"
#include "loop/pool.h"
#include "loop/timers.h"

#include <stdint.h>

struct worker;
struct conn_mover; /* core/freeze.h */

/* Events of conn_class.ready. */
#define READY_IN 1u
#define READY_OUT 2u
#define READY_TO_THE_END 4u /* read until the socket says that it is empty */
#define READY_GONE 8u       /* reset, or closed in both directions: nothing that is sent arrives */

/* What a listing says of a connection beyond its record. */
#define CONN_REQUEST_SIZE 132 /* with its NUL */
struct conn_description {
    const char *state;               /* borrowed for ever */
    char request[CONN_REQUEST_SIZE]; /* the id of what is under way; "": nothing is */
    uint32_t
        partner; /* the connection that it is passed on to, or that is passed on to it: number + 1; 0: none */
};

/* What a class does with its connections. Called on the loop thread with the record named by the intent; each may
 * close it (worker_close). */
struct conn_class {
    const char *name;
    /* A record is about to become OPEN, or this class's (worker_become): write the protocol's first state into `head`, which
     * the caller commits, and the deadline. */
    void (*opened)(struct worker *worker, struct record *record, struct record_head *head);
    void (*ready)(struct worker *worker, struct record *record, unsigned events);
    void (*expired)(struct worker *worker, struct record *record);
    /* At revival, before anything is driven: count what the record refers to (blocks are core's business). */
    void (*revived)(struct worker *worker, struct record *record);
    /* The last worker crashed while it handled this connection: answer 500 or close, but do not run it again. */
    void (*blamed)(struct worker *worker, struct record *record);
    /* 1 if closing now would cut nothing off. NULL: never would it, or whoever it belongs to says so. */
    int (*is_idle)(const struct record *record, uint64_t now_ns);
    /* 1 if it is fair to close it for others, when there is no room left. NULL: never. */
    int (*may_yield)(const struct worker *worker, const struct record *record);
    /* The drain time is over: says goodbye, where its protocol has a word for that, and may close. 1: it needs a moment yet, and
     * will be asked again, for PART_NS in all (worker.c). NULL: there is no such word. */
    int (*part)(struct worker *worker, struct record *record);
    /* Close at once: the drain time is over, or the record cannot be trusted. Gives back what the record refers to
     * and calls worker_close. */
    void (*abandon)(struct worker *worker, struct record *record);
    /* For a listing (core/lister.h), in a process that only reads: `record` is a copy, the arena may change at any time.
     * NULL: nothing to add. */
    void (*describe)(const struct arena *arena, const struct record *record,
                     struct conn_description *description);
    /* How its connections change hands (core/freeze.h); NULL: they do not. */
    const struct conn_mover *mover;
};

#define CONN_CLASSES_MAX 8
#define CONN_CLASS_HTTP 1
#define CONN_CLASS_LEG 2          /* the upstream leg of a proxied request */
#define CONN_CLASS_CHECK 3        /* of an upstream server's health */
#define CONN_CLASS_PROXY_HEADER 4 /* accepted, and still to say who its client is */
#define CONN_CLASS_TCP 5          /* a client whose bytes are passed on as they come */
#define CONN_CLASS_TCP_LEG 6      /* the server's connection of that */

/* What main binds: how to read the snapshot, and the classes by tag. */
struct service {
    const struct conn_class *classes[CONN_CLASSES_MAX];
    /* Fills `settings` from the sealed snapshot behind snapshot_fd (mapped by it as needed). */
    int (*settings)(int snapshot_fd, struct core_settings *settings);
    /* Prepares what the classes need in this process; `application` becomes worker->application. When
     * worker->is_revived, connections exist already: what fails then should not be what ends them. */
    int (*start)(struct worker *worker, int snapshot_fd);
    /* Frees what start made: before a worker becomes keeper. */
    void (*stop)(struct worker *worker);
    /* Once a second while it returns 1, and whenever worker_keep_house says so: something private is kept that may be
     * let go, or something is to be done from time to time. */
    int (*housekeeping)(struct worker *worker);
    /* Bytes of the memory that the classes of all workers share (core/shared.h); 0: none. */
    size_t shared_size;
    /* What status shows of it: a JSON object, whose members become the status's; the caller frees it. NULL: no memory. */
    char *(*describe_shared)(const void *shared, const struct board *board);
};

/* The private companion of a descriptor number: what may be forgotten, because trying again finds it out. */
struct conn_side {
    uint8_t readable, writable; /* not known to be exhausted since the last edge */
    uint8_t read_to_the_end;    /* a short read does not mean an empty socket: a FIN or urgent data came */
    uint8_t is_again;           /* in worker.again */
    uint8_t wants_memory;       /* look again at the next expiry, whatever the deadline */
    uint8_t is_working;         /* a pool job of this connection will come back to this process */
    uint8_t postponed;          /* the class's: how often its request was put off */
    uint8_t is_warming;         /* a pool thread reads what its file is to send next */
    uint8_t is_watched;         /* epoll knows it */
    uint8_t was_cut;            /* a former worker died while it drove this (worker_was_cut) */
    uint8_t is_counted;         /* among those of its client */
    uint8_t is_over;            /* when it was accepted, its client had too many; it is not counted */
    uint8_t is_flowing;   /* the last receive took all that there was room for: more is likely to be there */
    uint8_t more_follows; /* what is sent now need not end a segment: more comes at once */
    uint8_t is_corked;    /* … and the kernel may keep its end back */
    uint8_t waited;       /* enum waiting_for, before it was frozen */
    uint64_t sent_seen;   /* bytes the peer had taken when it was last looked at (conn_drains) */
    uint64_t taken_ns;    /* the class's: when the peer was last seen to take something */
    uint64_t rate_since_ns;   /* the class's: since when a rate is measured … */
    uint64_t rate_from;       /* … and from how many bytes on … */
    uint64_t rated;           /* … and of what */
    uint32_t file_references; /* users of this descriptor if it is an open file: records and caches */
};

struct worker {
    const struct service *service;
    const struct core_settings *settings;
    struct arena arena;
    struct intent *intent; /* of the loop thread */
    struct timers timers;
    struct blocks blocks;
    struct pool pool;
    struct waiting waiting;
    struct clients clients;
    struct crowd crowd;
    struct log_writer logs;
    struct handover handover;
    struct board *board;    /* owned mapping, read only, of all slots; NULL: there is none (tests) */
    uint32_t place;         /* of this slot on the board */
    void *shared;           /* owned mapping of what all workers share (core/shared.h); NULL: nothing is */
    struct conn_side *side; /* owned, by descriptor number */
    uint32_t *again;        /* owned: records to be driven in the next turn */
    uint32_t again_count;
    void *application;
    uint64_t now_ns;
    uint64_t housekeeping_ns;
    int keeps_house; /* something may be given back in a while */
    uint64_t pause_told_ns;
    uint64_t yielded_told_ns, yielded; /* connections closed to make room, since it was last told */
    uint64_t accept_again_ns;          /* when accepting was paused for want of something */
    uint64_t listeners_close_ns;
    int epoll_fd, link_fd;
    int is_listening, is_revived;
    int is_draining; /* answers say that the connection ends; idle ones are closed last */
    unsigned accepted_in_a_row;
    uint32_t order_seen;
    uint32_t files; /* descriptors in use that are open files */
};

/* Fixed descriptors of keeper and worker, without a gap: every number below worker_fixed_limit is always taken, so none
 * of them is ever given to a connection. Listeners follow from FD_LISTENERS on. */
enum {
    FD_NULL = 0,
    FD_ARENA = 3,
    FD_LINK = 4,
    FD_SNAPSHOT = 5,
    FD_BOARD = 6,
    FD_SHARED = 7,
    FD_LISTENERS = 8
};

static inline int worker_fixed_limit(const struct core_settings *settings)
{
    return FD_LISTENERS + (int)settings->listener_count;
}

/* Runs the worker in the process that calls: never returns, ends with _exit or as a keeper. `keeper` is the pid of
 * the keeper, watched by pidfd. */
_Noreturn void worker_run(struct arena *arena, const struct service *service,
                          const struct core_settings *settings, pid_t keeper);

/* --- for classes --- */

/* Ends a connection: CLOSING, close(2), FREE. Gives back its blocks; a file that its head names is the caller's to drop
 * (worker_file_drop). */
void worker_close(struct worker *worker, struct record *record);
/* The same of one that is OPEN or FROZEN; for worker_close and for handovers. */
void worker_end_record(struct worker *worker, struct record *record);
/* What happens next is done to this connection, not to the one that is being driven: call it before any I/O of another
 * record than the one that was given, and again on the way back. */
static inline void worker_turn_to(struct worker *worker, const struct record *record)
{
    COMPILER_BARRIER();
    worker->intent->record = arena_number(&worker->arena, record) + 1;
    COMPILER_BARRIER();
}

/* From now on the connection is another class's, and its client another one (NULL: the same). Commits `head`, the spare in which
 * the bytes are taken that said so; its protocol state becomes the new class's first one. Everything changes together
 * (core/redo.h). The caller drives the record. */
void worker_become(struct worker *worker, struct record *record, struct record_head *head, uint8_t class_tag,
                   const struct record_client *client);

/* --- connections that we make (core/connect.c) --- */

/* A socket and its record, OPEN, of class `class_tag`; not connected yet. The class's `opened` is called. Makes room if
 * there is none. 0 and *record; ERR_NO_DESCRIPTORS, ERR_NO_MEMORY, ERR_UNSUPPORTED (the family). */
WARN_UNUSED int worker_open_connected(struct worker *worker, const struct sockaddr *address,
                                      uint8_t class_tag, struct record **record);
/* connect(2), and again whenever the record is driven until it says 0, also by the next worker. 0: connected; ERR_AGAIN:
 * under way, READY_OUT will come; ERR_BUSY: the queue of the Unix socket is full, nothing will come: try again later;
 * else the connection failed: ERR_REFUSED … . The caller has turned to the record. */
WARN_UNUSED int worker_connect(struct worker *worker, struct record *record, const struct sockaddr *address,
                               socklen_t length);

/* Looks at the record again not later than deadline_ns (CLOCK_MONOTONIC); 0: never. Stored in the record. */
void worker_set_deadline(struct worker *worker, struct record *record, uint64_t deadline_ns);
/* The same, with what it is for: 0 to RECORD_PURPOSE_MASK (record_deadline). */
static inline void worker_set_deadline_for(struct worker *worker, struct record *record, uint64_t deadline_ns,
                                           unsigned purpose)
{
    worker_set_deadline(worker, record, record_deadline(deadline_ns, purpose));
}
/* 1, once, if a former worker died while it drove the record: bytes may have moved that the deadline knows nothing of. */
static inline int worker_was_cut(struct conn_side *side)
{
    const int was_cut = side->was_cut;

    side->was_cut = 0;
    return was_cut;
}
/* Drives the record again in the next turn, after the others had theirs. */
void worker_again(struct worker *worker, struct record *record);
/* Drives the record again in a while: memory was short. */
void worker_again_later(struct worker *worker, struct record *record);
/* The service's housekeeping is called not later than at_ns (CLOCK_MONOTONIC). */
static inline void worker_keep_house(struct worker *worker, uint64_t at_ns)
{
    worker->keeps_house = 1;
    if (at_ns < worker->housekeeping_ns)
        worker->housekeeping_ns = at_ns;
}
/* Remembers how high descriptors went. */
static inline void worker_note_descriptor(struct worker *worker, int fd)
{
    if ((uint32_t)fd > worker->arena.core->highest_fd)
        worker->arena.core->highest_fd = (uint32_t)fd;
}

/* What a connection waits for, from now on: who waits longest is closed first when there is no room for others. */
static inline void worker_waits(struct worker *worker, const struct record *record, enum waiting_for kind)
{
    waiting_put(&worker->waiting, arena_number(&worker->arena, record), kind);
}
/* Closes one connection that waits, to make room: the one that has been idle longest, or else, if its class finds that
 * fair, the one that has waited longest for the rest of what it began. Never the one that the intent names. 1 if there
 * was one. */
int worker_make_room(struct worker *worker);

/* 0 when the last free descriptors are reached, which a revival needs: answer 503 rather than open a file. Makes room if
 * it can. */
int worker_may_open_file(struct worker *worker);
/* Open files are shared by responses and caches and closed with their last user. A descriptor in a committed head
 * (record_head.file_fd) is counted again at a revival; all others are closed then. */
void worker_file_use(struct worker *worker, int fd);
void worker_file_drop(struct worker *worker, int fd);
/* Gives a block back that a committed head no longer names. */
void worker_give_block(struct worker *worker, uint32_t block);
/* The same for all that a head names. */
void worker_give_blocks(struct worker *worker, const struct record_head *head);

static inline struct conn_side *worker_side(struct worker *worker, const struct record *record)
{
    return &worker->side[arena_number(&worker->arena, record)];
}

/* --- for revival --- */

/* Counts the connection among those that its client has here, where that is limited. */
void worker_count_client(struct worker *worker, const struct record *record);
/* The same for one that came from another worker, which other workers' counts are to see. */
void worker_admit_counted(struct worker *worker, const struct record *record);
/* From now on it is none of those. */
void worker_uncount_client(struct worker *worker, const struct record *record);

/* The same for one that is new, or has just been told who it is; one too many is marked (conn_side.is_over), and not counted.
 * `identity`: what the record says, or is about to say. */
void worker_admit_client(struct worker *worker, const struct record *record, const struct record *identity);
/* The class of what a listener accepts from a peer: its own, or first the one that reads whom the peer speaks for. */
uint8_t worker_class_of(const struct core_listener *listener, const struct sockaddr_storage *peer);

/* Marks the blocks of the record's head as used. 0; ERR_INVALID: the record is damaged. */
WARN_UNUSED int worker_claim_blocks(struct worker *worker, const struct record *record);
/* A record that is OPEN or FROZEN becomes known to this worker: counted, with its deadline and files, and to its class
 * (conn_class.revived). It is still to be registered and driven. */
void worker_adopt(struct worker *worker, struct record *record);

/* For the constructors: the identity of a new record. */
void worker_fill_record(struct worker *worker, struct record *record, uint8_t kind, uint8_t class_tag,
                        uint16_t listener);
void worker_note_peer(struct record *record, const struct sockaddr_storage *peer);

/* The one constructor of what is accepted: makes the record of a connected descriptor OPEN. It is still to be registered and driven. */
void worker_open_record(struct worker *worker, int fd, unsigned listener,
                        const struct sockaddr_storage *client);
/* How many descriptors are in use. */
static inline uint64_t worker_descriptors(const struct worker *worker)
{
    return worker->arena.page->connections + worker->arena.page->connected + worker->files +
           (uint64_t)worker_fixed_limit(worker->settings);
}

/* Accepts what waits on a listener, up to a bound. 1 if the bound was reached: more may wait. */
int worker_accept(struct worker *worker, unsigned listener);
/* Arms the record's descriptor again (edges that a dead worker took are lost), or adds it if it never was. 0 or an
 * error. */
WARN_UNUSED int worker_register_again(struct worker *worker, struct record *record);
/* The same for one that is new. */
WARN_UNUSED int worker_register(struct worker *worker, struct record *record);
void worker_drive(struct worker *worker, struct record *record, unsigned events);
void worker_listen(struct worker *worker);

#endif
