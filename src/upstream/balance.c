#include "upstream/balance.h"

#include <stddef.h>

int balance_round_robin(struct balance_choice *choices, uint32_t count)
{
    int64_t total = 0;
    int best = -1;

    for (uint32_t i = 0; i < count; i++) {
        if (!choices[i].weight)
            continue;
        *choices[i].current += choices[i].weight;
        total += choices[i].weight;
        if (best < 0 || *choices[i].current > *choices[best].current)
            best = (int)i;
    }
    if (best >= 0)
        *choices[best].current -= total;
    return best;
}

/* Negative: a has less to do for its weight than b. The request itself counts, so that the heaviest of idle ones is first. */
static int compare_load(const struct balance_choice *a, const struct balance_choice *b)
{
    const uint64_t of_a = ((uint64_t)a->active + 1) * b->weight, of_b = ((uint64_t)b->active + 1) * a->weight;

    return of_a < of_b ? -1 : of_a > of_b;
}

int balance_least(struct balance_choice *choices, uint32_t count)
{
    const struct balance_choice *least = NULL;
    int64_t total = 0;
    int best = -1;

    for (uint32_t i = 0; i < count; i++)
        if (choices[i].weight && (!least || compare_load(&choices[i], least) < 0))
            least = &choices[i];
    for (uint32_t i = 0; least && i < count; i++) {
        if (!choices[i].weight || compare_load(&choices[i], least))
            continue;
        *choices[i].current += choices[i].weight;
        total += choices[i].weight;
        if (best < 0 || *choices[i].current > *choices[best].current)
            best = (int)i;
    }
    if (best >= 0)
        *choices[best].current -= total;
    return best;
}

/* xorshift64star (Vigna, "An experimental exploration of Marsaglia's xorshift generators", 2016). */
static uint64_t next_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545f4914f6cdd1dULL;
}

/* One by its weight, but not `other`. `total` is the sum of the weights without that. */
static int draw(const struct balance_choice *choices, uint32_t count, int other, uint64_t total,
                uint64_t *random)
{
    uint64_t at = total ? (next_random(random) >> 24) % total : 0;

    for (uint32_t i = 0; i < count; i++) {
        if (!choices[i].weight || (int)i == other)
            continue;
        if (at < choices[i].weight)
            return (int)i;
        at -= choices[i].weight;
    }
    return -1;
}

int balance_random_two(const struct balance_choice *choices, uint32_t count, uint64_t *random)
{
    uint64_t total = 0;
    int one, two;

    for (uint32_t i = 0; i < count; i++)
        total += choices[i].weight;
    one = draw(choices, count, -1, total, random);
    if (one < 0)
        return one;
    two = draw(choices, count, one, total - choices[one].weight, random);
    return two >= 0 && compare_load(&choices[two], &choices[one]) < 0 ? two : one;
}

static uint64_t mix(uint64_t value)
{
    value ^= value >> 33;
    value *= 0xff51afd7ed558ccdULL;
    value ^= value >> 33;
    value *= 0xc4ceb9fe1a85ec53ULL;
    return value ^ value >> 33;
}

/* -log2 of (value + 1) / 2^64, in units of 2^-24, never 0. A bit of the fraction comes from each squaring. */
static uint64_t negative_log2(uint64_t value)
{
    const unsigned lead = value ? (unsigned)__builtin_clzll(value) : 63;
    uint64_t mantissa =
        (value ? value << lead : 1ULL << 63) >> 32; /* 1 to 2, with 31 bits behind the point */
    uint64_t fraction = 0;

    for (unsigned bit = 0; bit < 24; bit++) {
        mantissa = mantissa * mantissa >> 31;
        fraction <<= 1;
        if (mantissa >> 32) {
            mantissa >>= 1;
            fraction |= 1;
        }
    }
    return ((uint64_t)(lead + 1) << 24) - fraction;
}

int balance_hash(const struct balance_choice *choices, uint32_t count, uint64_t hash)
{
    uint64_t best_score = 0;
    int best = -1;

    for (uint32_t i = 0; i < count; i++) {
        uint64_t score;

        if (!choices[i].weight)
            continue;
        /* an exponential race: the time until it comes, divided by its weight; the first one wins */
        score = ((uint64_t)choices[i].weight << 37) / negative_log2(mix(choices[i].hash ^ hash));
        if (best < 0 || score > best_score || (score == best_score && choices[i].hash > choices[best].hash)) {
            best = (int)i;
            best_score = score;
        }
    }
    return best;
}
