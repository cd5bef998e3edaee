/* Which of several members takes a request: pure choices over what is known of each at the moment.
 *
 * Every function returns the index of the one, or -1 if none can be chosen. A weight of 0 leaves a member out: it is down, it
 * was tried, it is full. Weights are up to BALANCE_WEIGHT_MAX (slow start needs parts of one); `active` are requests under
 * way. None keeps anything but `current`, which is the caller's. */
#ifndef HOLDFAST_UPSTREAM_BALANCE_H
#define HOLDFAST_UPSTREAM_BALANCE_H

#include <stdint.h>

#define BALANCE_WEIGHT_MAX 0x3ffffffu /* 26 bits: products with `active` and sums stay in 64 */

struct balance_choice {
    uint32_t weight;
    uint32_t active;
    int64_t *current; /* round robin's account of this member; also breaks ties of balance_least */
    uint64_t hash;    /* of the member: the same in every worker */
};

/* Smooth weighted round robin: each gets its weight on account, the richest is taken and pays all weights. So that 5:1:1
 * becomes A A B A C A A, not A A A A A B C. */
int balance_round_robin(struct balance_choice *choices, uint32_t count);
/* The fewest under way for its weight; among equals by round robin. */
int balance_least(struct balance_choice *choices, uint32_t count);
/* Two of them by lot, then the one with fewer under way for its weight. *random is the caller's generator: any value but 0
 * to begin with. */
int balance_random_two(const struct balance_choice *choices, uint32_t count, uint64_t *random);
/* Highest random weight (Thaler and Ravishankar, "Using name-based mappings to increase hit rates", 1998), with weights: each
 * member's score follows from its hash and the wish's alone, so that when one leaves, only its own requests move, and come
 * back with it. */
int balance_hash(const struct balance_choice *choices, uint32_t count, uint64_t hash);

#endif
