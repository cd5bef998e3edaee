/* Who waits for a request: connections in the order in which they began to wait, so that those that have waited longest
 * can be closed when there is no room for others.
 *
 * A private index of the worker: a death forgets it, and the revival makes it anew (waiting_sort). Each number is in one
 * list or in none. */
#ifndef HOLDFAST_CORE_WAITING_H
#define HOLDFAST_CORE_WAITING_H

#include "base/err.h"
#include "base/list.h"

#include <stddef.h>
#include <stdint.h>

enum waiting_for {
    WAITING_NOT,
    WAITING_IDLE,  /* nothing of it would be cut off */
    WAITING_BEGUN, /* something was begun, or nothing has come yet */
    WAITING_KINDS
};

struct waiting_link {
    struct list_link link; /* first */
    uint32_t kind;         /* enum waiting_for: the list that it is in */
};

struct waiting {
    struct waiting_link *links; /* owned; by number */
    size_t numbers;
    struct list lists[WAITING_KINDS];
};

#define WAITING_NOBODY UINT32_MAX

/* For numbers below `numbers`. 0 or ERR_NO_MEMORY; then nothing is held. Memory is touched as numbers come into use. */
WARN_UNUSED int waiting_init(struct waiting *waiting, uint32_t numbers);
void waiting_fini(struct waiting *waiting);
/* Puts a number at the end of that list, and takes it from where it was. WAITING_NOT: only takes it away. */
void waiting_put(struct waiting *waiting, uint32_t number, enum waiting_for kind);
/* Who has waited longest, or WAITING_NOBODY. */
uint32_t waiting_first(const struct waiting *waiting, enum waiting_for kind);
/* Who comes after that number, which is in a list; or WAITING_NOBODY. */
uint32_t waiting_next(const struct waiting *waiting, uint32_t number);

/* The time that orders a number; less is earlier. */
typedef uint64_t (*waiting_time_fn)(const void *context, uint32_t number);
/* Orders all lists by it. Without memory for that they stay as they are. */
void waiting_sort(struct waiting *waiting, waiting_time_fn time_of, const void *context);

#endif
