#include "upstream/health.h"

#define STEP_MAX 0x3fu
#define COUNT_MAX 0xffffu

static uint64_t word_of(unsigned state, unsigned step, unsigned count, uint64_t mark_ms)
{
    return state | (uint64_t)step << 2 | (uint64_t)count << 8 | mark_ms << 24;
}

/* --- passive --- */

static uint64_t eject(const struct upstream_passive *rules, unsigned step, uint64_t now_ms)
{
    uint64_t length_ms = rules->eject_ms;

    for (unsigned i = 0; i < step && length_ms < rules->eject_max_ms; i++)
        length_ms *= 2;
    if (length_ms > rules->eject_max_ms)
        length_ms = rules->eject_max_ms;
    return word_of(HEALTH_EJECTED, step < STEP_MAX ? step + 1 : step, 0, now_ms + length_ms);
}

uint64_t health_fail(uint64_t word, const struct upstream_passive *rules, uint64_t now_ms)
{
    unsigned step = HEALTH_STEP(word), count = HEALTH_COUNT(word);
    uint64_t mark_ms = HEALTH_MARK_MS(word);

    if (!rules->failures)
        return word;
    if (HEALTH_STATE(word) == HEALTH_EJECTED)
        return now_ms < mark_ms ? word : eject(rules, step, now_ms);
    if (!count || now_ms >= mark_ms + rules->window_ms) { /* a new window */
        if (now_ms >= mark_ms + rules->window_ms)
            step = 0;
        count = 0;
        mark_ms = now_ms;
    }
    if (count < COUNT_MAX)
        count++;
    return count < rules->failures ? word_of(HEALTH_COUNTING, step, count, mark_ms)
                                   : eject(rules, step, now_ms);
}

uint64_t health_succeed(uint64_t word, uint64_t now_ms)
{
    if (HEALTH_STATE(word) != HEALTH_EJECTED || now_ms < HEALTH_MARK_MS(word))
        return word;
    return word_of(HEALTH_COUNTING, HEALTH_STEP(word), 0, now_ms);
}

uint64_t health_lift(uint64_t word, uint64_t now_ms)
{
    return HEALTH_STATE(word) == HEALTH_EJECTED ? word_of(HEALTH_COUNTING, HEALTH_STEP(word), 0, now_ms)
                                                : word;
}

/* --- checks --- */

uint64_t health_check(uint64_t word, const struct upstream_check *rules, int is_good, uint64_t now_ms)
{
    const unsigned state = HEALTH_STATE(word);
    const int agrees = is_good ? state == HEALTH_UP : state == HEALTH_DOWN;
    const unsigned needed = is_good ? rules->rise : rules->fall;
    unsigned count = HEALTH_COUNT(word);

    if (agrees)
        return word_of(state, 0, 0, HEALTH_MARK_MS(word));
    if (is_good && state == HEALTH_UNKNOWN)
        return word_of(HEALTH_UP, 0, 0, now_ms);
    if (++count < needed)
        return word_of(state, 0, count, HEALTH_MARK_MS(word));
    return word_of(is_good ? HEALTH_UP : HEALTH_DOWN, 0, 0, now_ms);
}

int health_expects(const struct upstream_check *rules, unsigned status)
{
    if (!rules->expect_count)
        return status >= 200 && status < 400;
    for (uint32_t i = 0; i < rules->expect_count; i++)
        if (status >= rules->expect[i].from && status <= rules->expect[i].to)
            return 1;
    return 0;
}

/* --- slow start --- */

unsigned health_ramp(uint64_t since_ms, uint64_t slow_start_ms, uint64_t now_ms)
{
    const uint64_t age_ms = now_ms > since_ms ? now_ms - since_ms : 0;
    unsigned part;

    if (!since_ms || age_ms >= slow_start_ms)
        return HEALTH_WHOLE;
    part = (unsigned)(age_ms * HEALTH_WHOLE / slow_start_ms);
    return part ? part : 1;
}
