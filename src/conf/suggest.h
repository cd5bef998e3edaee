/* Finds the name somebody probably meant. */
#ifndef HOLDFAST_CONF_SUGGEST_H
#define HOLDFAST_CONF_SUGGEST_H

#include <stddef.h>

/* Offer every name that would be right; `best` is the nearest one, or NULL if none is near enough. A name that goes
 * on where the other ends is near. Names are
 * borrowed. On a tie the one that was offered first stays. */
struct suggestion {
    const char *wanted;
    const char *best;
    size_t distance;
};

void suggestion_init(struct suggestion *suggestion, const char *wanted);
void suggestion_offer(struct suggestion *suggestion, const char *name);
/* Writes did you mean "best"? and returns `out`, or returns NULL if there is no best. */
const char *suggestion_text(const struct suggestion *suggestion, char *out, size_t capacity);

/* How many letters must be inserted, removed, changed or swapped with their neighbour to turn a into b; case
 * does not count. Texts above 64 bytes are taken as infinitely far. */
size_t suggestion_distance(const char *a, const char *b);

#endif
