/* What a master knows, in a memfd that the anchor holds: each step is written here before it is taken, so that the
 * next master goes on where this one died.
 *
 * Steps that deposit something in the anchor need no note: whether they happened is asked of the anchor (a name is
 * there or not). What is noted is what only this process could know: that a process was made, what it was made
 * for, what was decided. */
#ifndef HOLDFAST_CORE_MASTER_STATE_H
#define HOLDFAST_CORE_MASTER_STATE_H

#include "core/settings.h"

#include <stdatomic.h>
#include <stdint.h>

#define MASTER_STATE_MAGIC 0x5453484cU /* "LHST" */
#define MASTER_STATE_VERSION 2u
#define MASTER_SLOTS_MAX 256 /* of all generations together */

enum master_phase {
    PHASE_LOAD,   /* the configuration is being read */
    PHASE_LISTEN, /* listeners are being bound */
    PHASE_START,  /* slots are being made; not all of them are ready */
    PHASE_RUN,
    PHASE_DRAIN, /* a graceful stop until stop_deadline_ns */
    PHASE_STOP,  /* everything leaves at once */
    PHASE_LEAVE, /* nothing is left; the anchor is told to leave */
};

enum slot_step {
    SLOT_FREE,
    SLOT_PREPARE, /* arena and link are being made and deposited */
    SLOT_FORK,    /* the keeper is being made: keeper_pid says whether it exists */
    SLOT_RUN,     /* it exists, or its worker has taken over */
    SLOT_ENDED,   /* it left or was lost; names are being removed from the anchor */
};

struct slot_state {
    _Atomic uint32_t step;
    uint32_t generation, number;
    _Atomic int32_t keeper_pid; /* written by the kernel */
    _Atomic int32_t former_pid; /* the keeper before a takeover or a loss: its status may still come */
    uint32_t losses;            /* in a row; for the backoff */
    uint64_t started_ns;
    _Atomic uint64_t start_at_ns; /* not before */
    uint64_t keeper_gone_ns;      /* since when the slot has been without a keeper; 0: it has one */
};

struct master_state {
    uint32_t magic, version;
    _Atomic uint32_t phase;
    uint32_t generation; /* the present one; counts from 1 */
    uint64_t started_wall_ns, started_ns;
    _Atomic uint32_t ready_told;
    _Atomic uint32_t counters_lie;
    _Atomic int32_t exit_code;
    _Atomic uint64_t stop_deadline_ns;
    _Atomic uint32_t is_quiet; /* SIGWINCH: nothing is accepted any more */
    /* the loader */
    _Atomic int32_t loader_pid;
    _Atomic uint32_t loader_tries;
    uint64_t loader_started_ns;
    _Atomic uint64_t
        quiet_at_ns;            /* a drain was asked for: from then on nobody new is accepted; 0: none was */
    _Atomic uint32_t log_epoch; /* how often logs were to be reopened */
    /* the status being logged: announced before, noted after, so that each is told once */
    _Atomic uint64_t status_seq_begun, status_seq_logged;
    struct slot_state slots[MASTER_SLOTS_MAX];
};

#endif
