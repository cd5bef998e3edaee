/* The connection record: all that is known of one connection, in the arena, at the index of its descriptor.
 *
 * Death may come between any two instructions, so the record has three kinds of words:
 *
 *   life      says what the descriptor is. FREE -> ACCEPTING -> OPEN -> CLOSING -> (close) -> FREE:
 *
 *                 accept4 returns           record filled          worker_close
 *       FREE ------------------> ACCEPTING -------------> OPEN ----------------> CLOSING --close--> FREE
 *
 *             The descriptor exists from before ACCEPTING until after CLOSING. Revival adopts a connected socket
 *             whose record is FREE or ACCEPTING, and closes again what it finds CLOSING.
 *
 *             A connection that changes hands (handover.h) has two records for a while. The sender's goes OPEN -> FROZEN,
 *             and then -> CLOSING (it was taken) or -> OPEN (it was not); the receiver's FREE -> THAWING, and then -> OPEN (it
 *             was taken) or -> FREE (it was not). Only what is OPEN is driven.
 *   lone      rx, tx, deadline_ns …: one word each, stored whole. rx and tx mirror the kernel's counters; only
 *             the record of the intent can be behind, and the kernel says by how much (ledger.h).
 *   head      everything that must change together. Two copies; `current` says which one counts.
 *             record_begin copies it to the spare, the event works there, record_commit flips the word. A
 *             death before the flip undoes the event, after it the event has happened. Compiler barriers are
 *             enough: whoever reads the words next runs after this process's death, which orders memory.
 *
 * Streams are addressed by offset from the connection's first byte. A ring holds the offsets [from, to) at
 * (offset - base) % ARENA_BLOCK_SIZE of its block. */
#ifndef HOLDFAST_CORE_RECORD_H
#define HOLDFAST_CORE_RECORD_H

#include "base/assert.h"

#include <stdint.h>

#define RECORD_MAGIC 0x52434f4eu /* "RCON" */
#define RECORD_PROTOCOL_BYTES 112
#define RECORD_NO_LISTENER UINT16_MAX /* we connected it */

enum record_life {
    RECORD_FREE = 0,
    RECORD_ACCEPTING = 1,
    RECORD_OPEN = 2,
    RECORD_CLOSING = 3,
    RECORD_FROZEN = 4,
    RECORD_THAWING = 5
};

enum record_kind {
    RECORD_TCP_ACCEPTED = 1,
    RECORD_TCP_CONNECTED = 2, /* our SYN counts as one acknowledged byte */
    RECORD_UNIX = 3,
};

/* How a connection that could have changed hands has fared so far. */
enum record_handover {
    RECORD_MOVES = 0,
    RECORD_MOVES_ALONE = 0x10000, /* a batch was refused that it was in: next time it is one of its own */
    RECORD_STAYS = 0x10001,       /* … and was refused then */
};

/* Our FIN was decided. */
enum record_shut {
    RECORD_NOT_SHUT = 0,
    RECORD_SHUT = 1,        /* what still comes is read and forgotten: nothing is counted any more */
    RECORD_HALF_CLOSED = 2, /* all was sent before; what comes is counted as ever */
};

/* The part that changes together. Bytes, offsets in bytes, times CLOCK_MONOTONIC in nanoseconds. */
struct record_head {
    /* input: bytes [taken, record.rx) lie in the ring */
    uint32_t in_block; /* block number + 1, or 0 */
    uint32_t out_block;
    uint64_t in_base;
    uint64_t taken;
    /* output: the stream is decided up to `made`. Bytes [record.tx, made) come from the ring, except those in
     * [file_from, made), which are the file's bytes from file_offset on. Nothing is made behind a file. */
    uint64_t out_base;
    uint64_t made;
    int32_t file_fd;      /* -1: none; owned by the worker's table of open files */
    uint8_t end_of_input; /* the peer's FIN was read */
    uint8_t shut;         /* enum record_shut; set before shutdown(2) */
    uint8_t crashes;      /* of workers while they handled this connection */
    uint8_t reserved;
    uint64_t file_from;
    uint64_t file_offset;
    uint32_t plan_block; /* what a response of several parts consists of: block number + 1, or 0 */
    uint32_t spool; /* a file of the protocol's own, used once (worker_file_use): its descriptor + 1, or 0 */
    /* the protocol's own state; whose, says class_tag */
    _Alignas(8) unsigned char protocol[RECORD_PROTOCOL_BYTES];
};

struct record {
    /* identity: written once, but for what worker_become changes */
    uint32_t magic;
    volatile uint32_t life;
    union {
        struct {
            uint8_t kind;         /* enum record_kind */
            uint8_t class_tag;    /* who drives it: conn_class */
            uint16_t listener;    /* index of the listener it came from, or RECORD_NO_LISTENER */
            uint16_t client_port; /* of client_address */
            uint16_t reserved;
        };
        _Atomic uint64_t identity; /* for core/redo.h */
    };
    uint64_t
        serial; /* unique within the slot; its lower half is in the epoll data, so that an event for a former owner of
                      * the number is seen */
    uint64_t opened_ns;
    /* who is there: the peer, or whom it speaks for. IPv4 as ::ffff:a.b.c.d; all zero: it has no address (a Unix socket) */
    union {
        uint8_t client_address[16];
        _Atomic uint64_t client_words[2];
    };
    /* lone words */
    volatile uint64_t rx, tx;
    volatile uint64_t deadline_ns; /* 0: none; its lowest bits say what it is for (record_deadline) */
    /* state */
    volatile uint32_t current;
    uint32_t handover; /* FROZEN, THAWING: number + 1 of the link; OPEN: enum record_handover */
    struct record_head heads[2];
};
_Static_assert(sizeof(struct record) == 448, "docs/internals/record.md says what an idle connection costs");
_Static_assert(sizeof(struct record) <= 512, "an idle connection costs half a kilobyte");

/* A deadline and what it is for, in numbers of the class's own, are one word: a worker that dies between a step and the
 * deadline that follows from it leaves the former one, and the next worker sees that it is for something else. */
#define RECORD_PURPOSE_MASK 7u

/* The word: less than 16 ns later than deadline_ns. Without a deadline (0) there is no purpose. */
static inline uint64_t record_deadline(uint64_t deadline_ns, unsigned purpose)
{
    const uint64_t mask = RECORD_PURPOSE_MASK;

    return deadline_ns ? ((deadline_ns + mask) & ~mask) | purpose : 0;
}

static inline unsigned record_purpose(const struct record *record)
{
    return record->deadline_ns & RECORD_PURPOSE_MASK;
}

#define COMPILER_BARRIER() __asm__ volatile("" ::: "memory")

/* Whom a peer speaks for: as client_address and client_port. */
struct record_client {
    uint8_t address[16];
    uint16_t port;
};

/* 1 if client_address is one. */
static inline int record_has_address(const struct record *record)
{
    for (unsigned i = 0; i < sizeof record->client_address; i++)
        if (record->client_address[i])
            return 1;
    return 0;
}

/* The head that counts. Read only. */
static inline const struct record_head *record_head(const struct record *record)
{
    return &record->heads[record->current & 1];
}

/* Copies the head to the spare and returns the spare, to be changed and committed. */
static inline struct record_head *record_begin(struct record *record)
{
#ifdef HOLDFAST_PLAIN_FORK
    return &record->heads[0];
#else
    struct record_head *spare = &record->heads[(record->current + 1) & 1];

    *spare = record->heads[record->current & 1];
    COMPILER_BARRIER();
    return spare;
#endif
}

/* Makes what was changed since record_begin count. */
static inline void record_commit(struct record *record)
{
#ifdef HOLDFAST_PLAIN_FORK
    (void)record;
#else
    COMPILER_BARRIER();
    record->current++;
    COMPILER_BARRIER();
#endif
}

/* 1 if it is this slot's: driven, or about to be given to another one. */
static inline int record_is_held(const struct record *record)
{
    return record->life == RECORD_OPEN || record->life == RECORD_FROZEN;
}

static inline void record_set_life(struct record *record, enum record_life life)
{
    COMPILER_BARRIER();
    record->life = life;
    COMPILER_BARRIER();
}

#endif
