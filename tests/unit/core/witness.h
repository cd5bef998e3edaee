/* A class of connections that does nothing but tell what was asked of it, in memory that outlives its process. */
#ifndef HOLDFAST_TESTS_UNIT_CORE_WITNESS_H
#define HOLDFAST_TESTS_UNIT_CORE_WITNESS_H

#include "core/worker.h"

#include <stdint.h>

enum witness_call {
    WITNESS_OPENED,
    WITNESS_READY,
    WITNESS_EXPIRED,
    WITNESS_REVIVED,
    WITNESS_BLAMED,
    WITNESS_ABANDONED,
    WITNESS_CALLS
};

struct witness {
    unsigned count[WITNESS_CALLS];
    unsigned of_record[WITNESS_CALLS][256]; /* by number */
    unsigned events[256];                   /* of the last READY */
    unsigned total;
    enum witness_call last;
    unsigned die_at;     /* the process ends at this call, before it has any effect; 0: never */
    int die_after_blame; /* the process ends when the blame has been committed */
};

extern struct witness *witness;
extern const struct conn_class witness_class;

/* Begins a new account. */
void witness_reset(void);
unsigned witness_of(enum witness_call call, const struct record *record, struct worker *worker);

#endif
