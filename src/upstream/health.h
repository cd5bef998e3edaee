/* Health of one member, as pure arithmetic over two words; time is an argument (milliseconds of CLOCK_MONOTONIC).
 *
 * Each word holds everything that changes together, so that the shared table can change it by one compare-and-swap, and a
 * death leaves the old word or the new one. All zero is a member of which nothing is known, which counts as well.
 *
 *   passive   what requests tell                     check    what active checks tell
 *
 *      +--- failure, fewer than `failures` ---+         UNKNOWN --- good ---> UP
 *      v                                      |            |                 ^  |
 *   COUNTING --- the last of them ---> EJECTED             | `fall` bad    rise fall
 *      ^                                 |    |            v                 |  v
 *      +----- success after its time ----+    |          DOWN <-------------- DOWN
 *                       failure after its time: again, for twice as long
 *
 * While a member is ejected nothing that ends there counts: it began before. When the time is over it is asked again. A
 * window that passes without an ejection makes the next one short again. */
#ifndef HOLDFAST_UPSTREAM_HEALTH_H
#define HOLDFAST_UPSTREAM_HEALTH_H

#include "upstream/config.h"

#include <stdint.h>

/* Bits of both words: what it says, how often, and since or until when. */
#define HEALTH_STATE(word) ((unsigned)((word)&3u))
#define HEALTH_STEP(word) ((unsigned)((word) >> 2 & 0x3fu))    /* ejections in a row, for the backoff */
#define HEALTH_COUNT(word) ((unsigned)((word) >> 8 & 0xffffu)) /* failures in the window; results in a row */
#define HEALTH_MARK_MS(word) ((uint64_t)(word) >> 24)          /* 40 bits */

enum health_passive { HEALTH_COUNTING, HEALTH_EJECTED };
enum health_check { HEALTH_UNKNOWN, HEALTH_UP, HEALTH_DOWN };

/* --- passive --- */

/* The word after a failure. */
uint64_t health_fail(uint64_t word, const struct upstream_passive *rules, uint64_t now_ms);
/* The word after a success; the same word if that tells nothing new (nearly always). */
uint64_t health_succeed(uint64_t word, uint64_t now_ms);
/* The word when something better than a request says that it is back: not ejected any more. */
uint64_t health_lift(uint64_t word, uint64_t now_ms);
/* Until when it is put aside, or 0. */
static inline uint64_t health_ejected_until_ms(uint64_t word)
{
    return HEALTH_STATE(word) == HEALTH_EJECTED ? HEALTH_MARK_MS(word) : 0;
}
static inline int health_is_ejected(uint64_t word, uint64_t now_ms)
{
    return now_ms < health_ejected_until_ms(word);
}

/* --- checks --- */

/* The word after a check. */
uint64_t health_check(uint64_t word, const struct upstream_check *rules, int is_good, uint64_t now_ms);
static inline int health_is_down(uint64_t word)
{
    return HEALTH_STATE(word) == HEALTH_DOWN;
}
/* 1 if this status of an answer is an expected one; 0 is no answer. */
int health_expects(const struct upstream_check *rules, unsigned status);

/* --- slow start --- */

#define HEALTH_WHOLE 256u
/* Which part of its weight a member gets, 1 to HEALTH_WHOLE. `since_ms` 0: it was never away. */
unsigned health_ramp(uint64_t since_ms, uint64_t slow_start_ms, uint64_t now_ms);

#endif
