/* A master without its loop, in this process: a test takes its steps one by one, with a time that is the test's, lets it
 * die in between (master_rig_again) and looks at what the anchor holds. Keepers and loaders are stand-ins. */
#ifndef HOLDFAST_TESTS_UNIT_CORE_MASTER_RIG_H
#define HOLDFAST_TESTS_UNIT_CORE_MASTER_RIG_H

#include "core/phases.h"
#include "fake_anchor.h"

struct master_rig {
    struct master master;
    struct fake_anchor anchor;
    struct service service;
    struct core_settings settings; /* what a snapshot says */
    int snapshot_result;           /* of reading one */
};

/* In the phase, with one worker and no listener configured; nothing has been made. */
void master_rig_open(struct master_rig *rig, enum master_phase phase);
/* Ends the keepers that are left, too. */
void master_rig_close(struct master_rig *rig);
/* The master dies, and the next one finds what it left: the state and the anchor's names. */
void master_rig_again(struct master_rig *rig);

/* Waits until the slot's stand-in has said something, and has the master read it. */
void master_rig_hear(struct master_rig *rig, struct slot *slot);
/* Advances slot 0 until it is in the step, through every link and death that comes; fails the test otherwise. */
void master_rig_reach(struct master_rig *rig, struct slot *slot, enum slot_step step);
/* Slot 0 is made by hand, without a keeper: arena and link are there, and *keeper_end is the other end. */
struct slot *master_rig_slot(struct master_rig *rig, unsigned index, int *keeper_end);
/* Listens on a free port of the loopback; it becomes the next listener of the settings, not yet bound. */
void master_rig_add_listener(struct master_rig *rig);
/* The same on a Unix socket; the path is the caller's to remove. */
void master_rig_add_path(struct master_rig *rig, const char *path);

#endif
