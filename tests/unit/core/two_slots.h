/* Two slots in one process, each with a rig and a descriptor table of its own (a thread that has unshared it), so that
 * connections can change hands between them; and deaths of either worker before and after each system call of a handover.
 *
 * A death throws away what is private (rig_forget); the next worker revives in the same thread. */
#ifndef HOLDFAST_TESTS_UNIT_CORE_TWO_SLOTS_H
#define HOLDFAST_TESTS_UNIT_CORE_TWO_SLOTS_H

#include "core/freeze.h"
#include "core/handover.h"
#include "rig.h"

enum { SENDER, RECEIVER };

struct slot_under_test {
    struct rig rig;
    unsigned deaths; /* so far */
    unsigned points; /* system calls seen, each twice: before and after */
    unsigned die_at; /* at this point, and at `then_at` points behind its revival's beginning; 0: never */
    unsigned then_at;
    int crashes; /* a death is its own fault */
};
extern struct slot_under_test two_slots[2];

/* `class` drives the connections of both. */
void two_slots_open(const struct conn_class *class, int family);
void two_slots_close(void);
/* Runs it in the slot's thread, with its descriptors. A death in it is followed by a revival. */
void two_slots_run(int slot, void (*what)(struct rig *rig, void *context), void *context);
/* A client of the sender, accepted; *number is its record's. */
int two_slots_connect(uint32_t *number);
/* Gives each slot its end of a new link. */
void two_slots_link(void);
/* Turns of both loops, until no link is left; fails the test if that takes for ever. */
void two_slots_turn_until_done(void);
/* One turn of a slot's loop, without waiting. */
void two_slots_turn(int slot);
/* A death at this place in the slot's thread, if one is due: for classes that want more of them. */
void two_slots_point(void);

#endif
