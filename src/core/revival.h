/* Revival: a new worker takes up arena and descriptors where the last worker was killed.
 *
 *   0  finish     closes that were begun are ended, before anything is opened: a number that was closed already may
 *                 not be taken for a fresh descriptor's (revival_finish_closes)
 *   1  settle     the one record that the loop's intent names is brought to what the kernel says (ledger.h); who is
 *                 to blame for a crash is noted in the arena
 *   2  rebuild    every index is made from the records: blocks, timers, open files; every descriptor is armed again
 *                 (an edge that the dead worker took is not given again)
 *   3  reconcile  descriptors and records are compared both ways: an accepted socket without a record is adopted,
 *                 a half-closed one is closed, strays are closed
 *   4  drive      every connection once, the blamed one first
 *
 * Each step may be cut short by another death and is then done again from the start: nothing here counts twice. */
#ifndef HOLDFAST_CORE_REVIVAL_H
#define HOLDFAST_CORE_REVIVAL_H

#include "core/worker.h"

/* Must come before the new worker opens its first descriptor. */
void revival_finish_closes(struct arena *arena);
/* Closes what the dead worker had open for itself, from descriptor `first` on, so that there are some to be had for what
 * the new one needs, however many its clients use. */
void revival_close_strays(struct arena *arena, int first);
void revival_run(struct worker *worker);

#endif
