/* The loop: waits for signals, masters and the clock; tells the master in command what it has to know. */
#include "anchor/masters.h"

#include "base/clock.h"

#include <poll.h>

#define LOOP_MESSAGES 64 /* of one master before the others have their turn */

static void loop_tell_command(struct anchor *anchor, struct master *master)
{
    uint8_t payload[8];
    wire_put_u64(payload, anchor->epoch);
    if (master->tell_command && masters_send(master, WIRE_COMMANDED, 0, payload, sizeof payload, -1) == 0)
        master->tell_command = 0;
}

static void loop_tell_death(struct anchor *anchor, struct master *master)
{
    uint8_t payload[WIRE_STATUS_SIZE];
    struct deaths *deaths = &anchor->deaths;
    if (!deaths->open_seq || deaths->told)
        return;
    wire_put_u64(payload, deaths->open_seq);
    wire_put_u32(payload + 8, (uint32_t)deaths->pid);
    wire_put_u32(payload + 12, (uint32_t)deaths->code);
    wire_put_u32(payload + 16, (uint32_t)deaths->status);
    wire_put_u32(payload + 20, (uint32_t)deaths_was_master(deaths));
    deaths->told = masters_send(master, WIRE_STATUS, 0, payload, sizeof payload, -1) == 0;
}

static void loop_tell_signal(struct anchor *anchor, struct master *master)
{
    uint8_t payload[WIRE_SIGNAL_SIZE];
    struct signals *signals = &anchor->signals;
    if (!signals_open_next(signals, &anchor->next_seq))
        return;
    wire_put_u64(payload, signals->open_seq);
    wire_put_u32(payload + 8, (uint32_t)signals->open_number);
    signals->told = masters_send(master, WIRE_SIGNAL, 0, payload, sizeof payload, -1) == 0;
}

/* Events go to the master in command alone, once it has said HELLO and as long as its socket has room. */
static void loop_tell(struct anchor *anchor, uint64_t now_ns)
{
    /* A master that died since the last look may be the one that is found here: it has to be known as one. */
    if (deaths_open_next(&anchor->deaths, &anchor->next_seq))
        masters_check(anchor, now_ns);
    struct master *master = &anchor->masters[anchor->command];
    if (!master->pid || !master->greeted || master->link < 0)
        return;
    if (!master->full)
        loop_tell_command(anchor, master);
    if (!master->full)
        loop_tell_death(anchor, master);
    if (!master->full)
        loop_tell_signal(anchor, master);
}

static int loop_wait_ms(const struct anchor *anchor, uint64_t now_ns)
{
    uint64_t due_ns = anchor->tick_ns;
    if (anchor->start_ns && anchor->start_ns < due_ns)
        due_ns = anchor->start_ns;
    return due_ns <= now_ns ? 0 : (int)((due_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS);
}

/* Sleeps until something happens, then takes in signals and messages. */
static void loop_wait(struct anchor *anchor, int timeout_ms)
{
    struct pollfd polled[1 + ANCHOR_MASTERS] = {{.fd = anchor->signals.fd, .events = POLLIN}};
    for (unsigned i = 0; i < ANCHOR_MASTERS; i++) {
        polled[1 + i].fd = anchor->masters[i].pid ? anchor->masters[i].link : -1;
        polled[1 + i].events = anchor->masters[i].full ? POLLOUT : POLLIN;
    }
    if (poll(polled, 1 + ANCHOR_MASTERS, timeout_ms) <= 0)
        return;
    if (polled[0].revents)
        signals_read(&anchor->signals);
    for (unsigned i = 0; i < ANCHOR_MASTERS; i++)
        if (polled[1 + i].revents)
            masters_read(anchor, &anchor->masters[i], LOOP_MESSAGES);
}

static void loop_tick(struct anchor *anchor, uint64_t now_ns)
{
    uint64_t period_ns = anchor->ping_ms * NS_PER_MS;
    if (now_ns < anchor->tick_ns)
        return;
    masters_tick(anchor, now_ns - anchor->tick_ns > period_ns / 2);
    anchor->tick_ns = now_ns + period_ns;
}

int anchor_run(struct anchor *anchor)
{
    uint64_t now_ns = clock_monotonic_ns();
    anchor->tick_ns = now_ns + anchor->ping_ms * NS_PER_MS;
    anchor->start_ns = now_ns;
    while (!anchor->leaving) {
        if (anchor->start_ns && anchor->start_ns <= now_ns)
            masters_start_command(anchor, now_ns);
        loop_tell(anchor, now_ns);
        if (!anchor->leaving)
            loop_wait(anchor, loop_wait_ms(anchor, now_ns));
        now_ns = clock_monotonic_ns();
        if (!anchor->leaving)
            masters_check(anchor, now_ns);
        if (!anchor->leaving)
            loop_tick(anchor, now_ns);
    }
    anchor_leave(anchor);
    return anchor->exit_code;
}
