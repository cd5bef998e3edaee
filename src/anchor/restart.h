/* When to start the next master. Only arithmetic: time is an argument.
 *
 * A dead master is followed by the next at once. More than five deaths in ten seconds bring a wait of 100 ms
 * that doubles up to 5 s, until a master has lived for ten seconds. It is hopeless when ten in a row have
 * died and none was ever ready, or when a stop was asked for meanwhile and there is nobody to do it. */
#ifndef HOLDFAST_ANCHOR_RESTART_H
#define HOLDFAST_ANCHOR_RESTART_H

#include <stdint.h>

#define RESTART_FAST_DEATHS 5
#define RESTART_WINDOW_MS 10000
#define RESTART_BACKOFF_FIRST_MS 100
#define RESTART_BACKOFF_MAX_MS 5000
#define RESTART_HOPELESS_DEATHS 10

struct restart {
    uint64_t death_ns[RESTART_FAST_DEATHS]; /* a ring of the last deaths; 0: none yet */
    unsigned next;
    unsigned deaths_in_row; /* since a master was ready, or lived long after one had been */
    uint64_t backoff_ms;
    int ready_ever;
};

/* A master is dead that was started at `started_ns`. Returns the wait before the next, in ms. */
uint64_t restart_after_death(struct restart *restart, uint64_t started_ns, uint64_t now_ns);
/* A master has said that it is ready. */
void restart_ready(struct restart *restart);
/* Whether to give up. `stop_asked`: a signal to stop waits for a master to take it. */
int restart_hopeless(const struct restart *restart, int stop_asked);

#endif
