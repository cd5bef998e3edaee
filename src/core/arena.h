/* The arena: everything of a worker that must survive the worker.
 *
 * One sealed memfd per slot, mapped MAP_SHARED by the keeper, by each worker in turn, and (its first page only)
 * by the master. It reads, from offset 0:
 *
 *   page      one page, `struct arena_page`: a frozen wire format, since the master that reads it may be of
 *             another version than the worker that writes it
 *   core      `struct arena_core`: what keeper and worker share: intents, watchdog words, crash report, the
 *             descriptors that are no connections. Its layout belongs to one build: keeper and worker run
 *             the same image by nature
 *   records   one `struct record` per descriptor number: record n describes descriptor n
 *   blocks    ARENA_BLOCK_SIZE bytes each: ring buffers, handed out to records
 *   logs      ARENA_LOG_SIZE bytes each: rings of finished lines that wait to be written (log_ring.h)
 *
 * Records and blocks are allocated (fallocate) by extents as they come into use, a log's ring when the log is opened, so
 * that memory is short at a place that can refuse, and never as a SIGBUS later.
 *
 * Who writes: the master only `order*`, `is_withdrawn` and `log_epoch` of the page; the keeper `keeper_*`, takeovers, deaths, crash_loops, died_ns, and
 * `state` when it clones or waits, of the core `fault*`, `watchdog_kill`, and all when it starts again empty; the kernel
 * `worker_pid`; the worker the rest. Whatever a worker writes may be torn by its death at any instruction: see record.h
 * and ledger.h for how it is settled. */
#ifndef HOLDFAST_CORE_ARENA_H
#define HOLDFAST_CORE_ARENA_H

#include "base/err.h"
#include "core/handover_state.h"
#include "core/intent.h"
#include "core/record.h"
#include "core/redo.h"

#include <stdatomic.h>
#include <stdint.h>
#include <sys/types.h>

#define ARENA_MAGIC 0x315453464c4f4848ULL /* the bytes HHOLFST1 in memory order */
#define ARENA_WIRE_VERSION 3u
#define ARENA_PAGE_SIZE 4096u
#define ARENA_RECORD_EXTENT 128u /* records: 56 KiB */
#define ARENA_BLOCK_EXTENT 16u   /* blocks: 256 KiB */
#define ARENA_BLOCK_SIZE 16384u
#define ARENA_LOGS_MAX 16u
#define ARENA_LOG_SIZE                                                                                       \
    (1u << 20) /* lines of some 50 ms at 100,000 requests a second; of the time a disk is full */
#define ARENA_COUNTERS 128u

#ifndef HOLDFAST_PLAIN_FORK
#define ARENA_SHARED 1
#else
#define ARENA_SHARED 0 /* the price comparison and valgrind: private memory, nothing survives */
#endif

enum arena_order {
    ARENA_ORDER_RUN = 0,
    ARENA_ORDER_DRAIN = 1, /* finish what runs until order_deadline_ns, then leave */
    ARENA_ORDER_STOP = 2,  /* leave at once */
    ARENA_ORDER_QUIET = 3, /* stop accepting, go on with what is open */
    ARENA_ORDER_EMPTY = 4, /* stop accepting, finish what is open, stay */
};

enum arena_state {
    ARENA_STATE_NEW = 0,
    ARENA_STATE_STARTING = 1, /* a worker was cloned and has not yet accepted */
    ARENA_STATE_READY = 2,
    ARENA_STATE_DRAINING = 3,
    ARENA_STATE_LEFT = 4,    /* the worker is done; its keeper leaves too */
    ARENA_STATE_BACKOFF = 5, /* crash loop: the keeper waits before the next worker */
    ARENA_STATE_FAILED = 6,  /* a worker could not start, for a reason that trying again does not mend */
};

/* The frozen page. Fields are only ever added at the end (and `wire_version` counts). All integers are of the
 * machine's order; sizes in bytes, times CLOCK_MONOTONIC in nanoseconds, pids as the writer sees them. */
struct arena_page {
    uint64_t magic;
    uint32_t wire_version;
    uint32_t slot;
    uint32_t generation;
    uint32_t reserved;
    uint64_t size;
    /* orders: written by the master only */
    _Atomic uint32_t order;
    uint32_t reserved_order;
    _Atomic uint64_t order_deadline_ns;
    /* processes */
    _Atomic int32_t keeper_pid; /* written by whoever is keeper */
    _Atomic int32_t worker_pid; /* written by the kernel (CLONE_PARENT_SETTID) */
    _Atomic uint64_t keeper_beat_ns;
    _Atomic uint32_t state;
    _Atomic uint32_t takeovers; /* how often a worker became keeper */
    /* lives and deaths */
    _Atomic uint32_t deaths;      /* of workers, whatever the cause */
    _Atomic uint32_t revivals;    /* completed */
    _Atomic uint32_t crash_loops; /* how often the slot started again empty */
    _Atomic uint32_t poisoned;    /* requests that were not run again */
    _Atomic uint64_t died_ns;     /* when the keeper learnt of the last death */
    _Atomic uint64_t revived_ns;  /* when the last revival had driven its last record */
    _Atomic uint32_t reconciled;  /* counters that the kernel corrected at revivals */
    _Atomic uint32_t odd;         /* records that did not agree with the kernel */
    /* counters of the worker */
    _Atomic uint64_t connections; /* open now */
    _Atomic uint64_t accepted;
    _Atomic uint64_t requests;
    _Atomic uint64_t started_ns; /* when the present worker began */
    _Atomic uint64_t blocks_used, reserved_counter;
    _Atomic uint64_t accepted_by_listener[64];
    _Atomic uint32_t listening;    /* the worker still accepts */
    _Atomic uint32_t is_withdrawn; /* written by the master: a drain has begun, readiness is to be denied */
    _Atomic uint32_t log_epoch; /* written by the master: counts the wishes to reopen log files (SIGUSR1) */
    _Atomic uint32_t is_full;   /* the worker can take nothing more in; its queues wait */
    _Atomic uint64_t
        counters[ARENA_COUNTERS]; /* of the classes; what each means, they know. Change by redo.h */
    _Atomic uint64_t connected;   /* open now, of those that we made: not among `connections` */
    /* connections that changed hands, those that we made with them */
    _Atomic uint64_t given, received; /* to and from other slots */
    _Atomic uint64_t batches_refused; /* by others */
    _Atomic uint64_t
        frozen_longest_ns; /* of a batch that was given: from the first freeze to the news of its being taken */
    _Atomic uint32_t handover_links; /* open now, in either role */
    _Atomic uint32_t links_seen;     /* that were open once; after a death perhaps one too many */
};
_Static_assert(sizeof(struct arena_page) <= ARENA_PAGE_SIZE, "the frozen page is one page");

#define ARENA_THREADS 65 /* thread 0 is the loop, the others are the pool */
#define ARENA_CRASH_TEXT 3072

/* What the crash handler could still write; read by the next worker and the keeper. */
enum { ARENA_CRASH_NONE = 0, ARENA_CRASH_WRITING = 1, ARENA_CRASH_NAMED = 2, ARENA_CRASH_COMPLETE = 3 };
struct arena_crash {
    _Atomic uint32_t valid; /* NAMED: all but the text can be read */
    int32_t signal;
    int32_t thread;
    int32_t from_outside; /* sent by another process: nobody's fault here */
    uint64_t address;
    uint32_t text_length;
    char text[ARENA_CRASH_TEXT];
};

/* A log: a ring of finished lines, addressed by offset from its first byte ever. [written, made) waits; see log_ring.h. */
struct arena_log {
    _Atomic uint64_t made;    /* moves by redo.h, with the head that the line belongs to */
    _Atomic uint64_t written; /* to the file */
    _Atomic uint64_t lost;    /* lines that found no room */
    /* what is being written: `length` bytes (0: nothing) from `written_before` on, to a file that had `file_size` bytes */
    _Atomic uint64_t length, written_before, file_size;
    _Atomic int32_t fd;         /* -1: none */
    _Atomic uint32_t reopened;  /* the page's `log_epoch` when it was opened */
    _Atomic uint32_t is_usable; /* its ring is allocated */
    _Atomic int32_t writer;     /* the process one of whose threads is in the write; 0: none */
};

struct arena_core {
    uint64_t magic;
    uint64_t layout; /* hash of the sizes below: keeper and worker must agree */
    uint32_t record_count, block_count;
    /* extents in use: counted when allocated and before they are touched, uncounted before they are given back */
    _Atomic uint32_t record_extents, block_extents;
    /* descriptors that are no connections; -1: none */
    _Atomic int32_t epoll_fd;
    _Atomic int32_t wakeup_fd;
    _Atomic int32_t keeper_pidfd;
    /* watchdog: the loop is odd while it handles events */
    _Atomic uint64_t turns;
    _Atomic uint32_t watchdog_kill; /* the keeper marks its own kill before it kills */
    _Atomic uint32_t
        fault; /* set by the keeper: the last worker died by its own fault; cleared by the next */
    _Atomic uint32_t fault_thread;   /* … in the thread of this number */
    _Atomic uint32_t blamed;         /* number + 1 of the record whose request is not run again, or 0 */
    _Atomic uint32_t blamed_crashes; /* record_head.crashes before the blame: it counts once */
    _Atomic uint32_t counters_lie;   /* the self-test failed: never guess, close instead */
    _Atomic uint64_t next_serial;    /* of connections; never 0 */
    _Atomic uint32_t has_served;     /* the server was ready once: what is wrong with a log stops no slot */
    _Atomic uint32_t highest_fd;     /* ever in use by a connection or an open file: how far revival looks */
    _Atomic uint32_t error_log_reopened; /* the page's `log_epoch` when the error log was opened */
    uint64_t id_seed;                    /* random; made ids of requests begin with it */
    struct arena_log logs[ARENA_LOGS_MAX];
    struct redo redo; /* of the loop thread */
    struct arena_crash crash;
    struct intent intents[ARENA_THREADS];
    struct handover_state handover;
};

/* A mapping of an arena in this process. */
struct arena {
    int fd;
    size_t size;
    struct arena_page *page;
    struct arena_core *core;
    struct record *records;
    char *blocks;
    char *logs;
    size_t records_offset, blocks_offset, logs_offset;
};

/* Makes a sealed memfd for one slot with room for `record_count` descriptors, maps it and writes its headers.
 * Returns 0, ERR_NO_MEMORY, ERR_NO_DESCRIPTORS or ERR_INVALID. The caller owns `arena` (arena_close). */
WARN_UNUSED int arena_create(struct arena *arena, uint32_t slot, uint32_t generation, uint32_t record_count);
/* Maps an existing one. ERR_VERSION when it was made by another build, ERR_INVALID when it is none. Takes no
 * ownership of `fd` on failure. */
WARN_UNUSED int arena_map(struct arena *arena, int fd);
/* Maps the first page only, which every version understands. Unmap with arena_page_unmap. */
WARN_UNUSED int arena_page_map(int fd, struct arena_page **page);
void arena_page_unmap(struct arena_page **page);
/* Unmaps and closes. */
void arena_close(struct arena *arena);
/* Plain-fork builds only: replaces records and blocks by private memory, which nothing survives. */
void arena_make_private(struct arena *arena);
/* Forgets every record and block (all become FREE): for a slot that starts again empty. */
void arena_reset(struct arena *arena);

/* Makes sure that record n may be touched. 0; ERR_LIMIT beyond record_count; ERR_NO_MEMORY. */
WARN_UNUSED int arena_record_reserve(struct arena *arena, uint32_t number);
/* Makes sure that block n may be touched. The same errors. */
WARN_UNUSED int arena_block_reserve(struct arena *arena, uint32_t number);
/* Makes sure that the ring of log n may be touched. The same errors. */
WARN_UNUSED int arena_log_reserve(struct arena *arena, uint32_t number);

/* Gives whole extents of FREE records at the end back to the system, keeping `spare` of them. How many are left. */
uint32_t arena_trim_records(struct arena *arena, uint32_t spare);
/* Gives the extents of blocks behind the first `keep` back. The caller knows that nobody has a block there. */
void arena_trim_blocks(struct arena *arena, uint32_t keep);

/* Records that may be touched, from 0. */
uint32_t arena_records_limit(const struct arena *arena);

/* A counter of the page has one writer; nobody orders anything by it. A plain assignment to an _Atomic would cost a
 * locked instruction. */
static inline void arena_count_set(_Atomic uint64_t *counter, uint64_t value)
{
    atomic_store_explicit(counter, value, memory_order_relaxed);
}

static inline void arena_count_add(_Atomic uint64_t *counter, uint64_t value)
{
    arena_count_set(counter, atomic_load_explicit(counter, memory_order_relaxed) + value);
}

static inline struct record *arena_record(struct arena *arena, uint32_t number)
{
    return &arena->records[number];
}

static inline uint32_t arena_number(const struct arena *arena, const struct record *record)
{
    return (uint32_t)(record - arena->records);
}

/* 1 if fd is one of the descriptors that are the worker's own and no connections: those that the core names. */
int arena_is_own_descriptor(const struct arena *arena, int fd);

static inline char *arena_log_ring(struct arena *arena, uint32_t number)
{
    return arena->logs + (size_t)number * ARENA_LOG_SIZE;
}

static inline char *arena_block(struct arena *arena, uint32_t number)
{
    return arena->blocks + (size_t)number * ARENA_BLOCK_SIZE;
}

#endif
