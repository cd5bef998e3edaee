/* Which stretches of instructions between two system calls were tried whole.
 *
 * A region is what follows a system call up to the next one, named by the call, where it stands (instruction and stack
 * pointer), and how often that has come before in the same run. Runs of a scenario differ a little, by how the peers'
 * bytes fall together; so no plan is made beforehand: each run kills at the first state that was not tried yet, and when
 * a run comes to its end without finding one, all that was ever seen has been tried. */
#ifndef HOLDFAST_TESTS_CRASH_REGIONS_H
#define HOLDFAST_TESTS_CRASH_REGIONS_H

#include <stdint.h>

#define REGIONS_MAX 8192 /* a power of two */

struct region {
    uint64_t key;    /* 0: this place is free */
    uint64_t states; /* tried so far */
    int is_whole;    /* … and there are no more */
};

struct regions {
    struct region table[REGIONS_MAX];
    uint64_t count;
    struct {
        uint64_t key, times;
    } run[REGIONS_MAX]; /* how often each call was made in the present run */
};

/* A new run begins. */
void regions_begin_run(struct regions *regions);
/* The region behind a call that was just made; NULL when there is no room for another one. */
struct region *regions_enter(struct regions *regions, long call, uint64_t instruction, uint64_t stack);

#endif
