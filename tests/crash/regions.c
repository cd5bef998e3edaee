#include "crash/regions.h"

#include <stddef.h>
#include <string.h>

/* Spreads the bits of two words: the finalizer of splitmix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number
 * Generators, 2014). Never 0. */
static uint64_t mix(uint64_t a, uint64_t b)
{
    uint64_t z = a * 0x9e3779b97f4a7c15u + b;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (z ^ (z >> 31)) | 1;
}

void regions_begin_run(struct regions *regions)
{
    memset(regions->run, 0, sizeof regions->run);
}

static uint64_t times_in_run(struct regions *regions, uint64_t key)
{
    uint64_t at = key % REGIONS_MAX;
    for (uint64_t tries = 0; tries < REGIONS_MAX; tries++, at = (at + 1) % REGIONS_MAX) {
        if (regions->run[at].key == 0)
            regions->run[at].key = key;
        if (regions->run[at].key == key)
            return regions->run[at].times++;
    }
    return 0;
}

struct region *regions_enter(struct regions *regions, long call, uint64_t instruction, uint64_t stack)
{
    uint64_t key = mix(mix((uint64_t)call, instruction), stack);
    key = mix(key, times_in_run(regions, key));
    uint64_t at = key % REGIONS_MAX;
    while (regions->table[at].key != 0 && regions->table[at].key != key)
        at = (at + 1) % REGIONS_MAX;
    if (regions->table[at].key == key)
        return &regions->table[at];
    if (regions->count == REGIONS_MAX / 2)
        return NULL;
    regions->count++;
    regions->table[at].key = key;
    return &regions->table[at];
}
