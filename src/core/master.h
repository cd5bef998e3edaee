/* The master: decides everything, carries no traffic, may die at any time.
 *
 *     LOAD -> LISTEN -> START -> RUN -> DRAIN -> STOP -> LEAVE
 *                                  \____________^
 *
 * Every pass of its loop looks at phase, slots and the first pages of their arenas, and takes the steps that are due;
 * each step can be taken again. So there is no difference between going on and taking over. */
#ifndef HOLDFAST_CORE_MASTER_H
#define HOLDFAST_CORE_MASTER_H

#include "core/anchor_link.h"
#include "core/arena.h"
#include "core/board.h"
#include "core/lister.h"
#include "core/master_state.h"
#include "core/settings.h"
#include "core/worker.h"

#include <stdint.h>

/* One slot as this process sees it; all of it can be had again from the anchor. */
struct slot {
    struct slot_state *state; /* in the state memfd */
    int arena_fd, link_fd;    /* owned; -1 while there is none */
    struct arena_page *page;  /* on the board, or NULL */
    int link_ended;           /* nobody holds the descriptor table any more */
};

struct control; /* core/control.h */

struct master {
    const struct service *service;
    struct anchor_link anchor;
    struct anchor_hello hello;
    struct master_state *state; /* owned mapping */
    int snapshot_fd;            /* owned; -1: not loaded */
    int board_fd;               /* owned */
    struct board *board;        /* owned mapping */
    int shared_fd;              /* owned; -1: the service wants none */
    void *shared;               /* owned mapping, or NULL */
    struct core_settings settings;
    /* By listener and queue (core/listeners.h); owned; -1. One queue only under `accept shared`. */
    int listener_fds[CORE_LISTENERS_MAX][CORE_WORKERS_MAX];
    uint64_t queues_wanted; /* what was last chosen (listener_choose_queues) */
    int queues_known;       /* else a former master's choice, or none, is in force */
    struct slot slots[MASTER_SLOTS_MAX];
    int loader_fd;                            /* owned; where the loader's answer comes, or -1 */
    struct control *control;                  /* owned, or NULL */
    _Atomic int32_t lister_pids[LISTERS_MAX]; /* of this master's; 0: none */
    char **loader_arguments;
    int is_daemon;
    uint64_t now_ns, tick_ns, alive_ns;
    int listeners_closed; /* for good */
    int listeners_shut;   /* until they are shown again */
    int hiding_failed;    /* for one at least, which was told; until they are shown again */
};

/* The role. `arguments` is argv: {"holdfast", "master", [--daemon,] what the loader gets}. */
int master_run(const struct service *service, char **arguments);

/* --- for control --- */

/* A graceful stop until `drain_ms` from now, or an immediate one. */
void master_stop(struct master *master, int graceful);
/* The ready endpoint fails from now on; after drain_delay nobody new is accepted; what runs is finished. 0 or ERR_BUSY:
 * the server is starting or stopping. */
WARN_UNUSED int master_drain(struct master *master);
/* Undoes that, and SIGWINCH. 0; ERR_BUSY; or ERR_EXISTS and others: an address cannot be listened on again, and all is
 * as it was. */
WARN_UNUSED int master_resume(struct master *master);
/* How far a drain is: "none", "waiting", "draining", "drained"; "quiet" after SIGWINCH. */
const char *master_drain_name(const struct master *master);
/* Starts the workers of a further generation beside the present one, on the same listeners. 0 or ERR_BUSY. */
WARN_UNUSED int master_begin_generation(struct master *master);
/* Lets all generations but the present one finish what they have (up to drain) and leave. How many slots. */
int master_retire_former(struct master *master);
const char *master_phase_name(const struct master *master);

/* --- handover_master.c --- */

/* Both slots get their end of a new link (core/handover.h), by which `from` gives all the connections that it has now to `to`. 0, or an
 * error, and nothing moves. */
WARN_UNUSED int master_hand_over(struct master *master, struct slot *from, struct slot *to);

/* --- for slots.c --- */

/* How many sockets a listener has. */
unsigned master_queue_count(const struct master *master, size_t listener);
/* What all slots of a running server are told. */
enum arena_order master_standing_order(const struct master *master);
/* Brings a slot one step further. */
void slot_advance(struct master *master, struct slot *slot);
/* Finds arena and link of a slot again that a former master made. */
void slot_recover(struct master *master, struct slot *slot);
/* 1 and the kind if pid is or was this slot's keeper or worker. */
int slot_status(const struct slot *slot, pid_t pid, const char **kind);
/* Forgets a keeper's pid before its status is acknowledged: it may be somebody else's then. */
void slot_keeper_ended(struct slot *slot, pid_t pid);
void slot_read_link(struct master *master, struct slot *slot);
/* Wakes the slot's worker and keeper: look at your orders. */
void slot_poke(struct slot *slot);
void slot_order(struct slot *slot, enum arena_order order, uint64_t deadline_ns);
/* Kills a keeper whose heartbeat is stale. `late_ns`: how late we are ourselves. */
void slot_watch(struct master *master, struct slot *slot, uint64_t late_ns);
/* Wakes all other slots, after a death that is not revived at once. */
void slots_poke_siblings(struct master *master, const struct slot *but);
void master_fail(struct master *master, int exit_code);

#endif
