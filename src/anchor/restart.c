/* When to start the next master. */
#include "anchor/restart.h"

#include "base/clock.h"

uint64_t restart_after_death(struct restart *restart, uint64_t started_ns, uint64_t now_ns)
{
    uint64_t window_ns = RESTART_WINDOW_MS * NS_PER_MS;
    uint64_t oldest_ns = restart->death_ns[restart->next];
    restart->death_ns[restart->next] = now_ns;
    restart->next = (restart->next + 1) % RESTART_FAST_DEATHS;

    if (now_ns - started_ns >= window_ns) {
        restart->backoff_ms = 0;
        if (restart->ready_ever)
            restart->deaths_in_row = 0;
    }
    restart->deaths_in_row++;
    if (restart->backoff_ms) {
        restart->backoff_ms *= 2;
        if (restart->backoff_ms > RESTART_BACKOFF_MAX_MS)
            restart->backoff_ms = RESTART_BACKOFF_MAX_MS;
    } else if (oldest_ns && now_ns - oldest_ns < window_ns) {
        restart->backoff_ms = RESTART_BACKOFF_FIRST_MS;
    }
    return restart->backoff_ms;
}

void restart_ready(struct restart *restart)
{
    restart->ready_ever = 1;
    restart->deaths_in_row = 0;
}

int restart_hopeless(const struct restart *restart, int stop_asked)
{
    return restart->deaths_in_row >= RESTART_HOPELESS_DEATHS && (stop_asked || !restart->ready_ever);
}
