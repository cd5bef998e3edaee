/* Deadlines of numbered things, in one binary heap: one entry a number at most.
 *
 * The owner keeps the true deadline (in the arena, so that it outlives us); an entry is only a promise to look at it
 * not later than that. Moving a deadline back therefore costs nothing: the entry comes due early, the owner
 * looks and sets it again. */
#ifndef HOLDFAST_LOOP_TIMERS_H
#define HOLDFAST_LOOP_TIMERS_H

#include "base/err.h"

#include <stdint.h>

struct timer_entry {
    uint64_t deadline_ns;
    uint32_t number;
};

struct timers {
    struct timer_entry *heap; /* owned */
    uint32_t *place;          /* owned; place in the heap + 1 of each number, or 0 */
    uint32_t count, capacity, numbers;
};

/* For numbers below `numbers`. 0 or ERR_NO_MEMORY; then nothing is held. */
WARN_UNUSED int timers_init(struct timers *timers, uint32_t numbers);
void timers_fini(struct timers *timers);
/* Looks at `number` not later than deadline_ns. */
void timers_set(struct timers *timers, uint32_t number, uint64_t deadline_ns);
void timers_remove(struct timers *timers, uint32_t number);
/* The earliest deadline, or UINT64_MAX. */
uint64_t timers_earliest(const struct timers *timers);
/* Takes one entry that is due at now_ns: 1 and its number, or 0. */
int timers_take_due(struct timers *timers, uint64_t now_ns, uint32_t *number);

#endif
