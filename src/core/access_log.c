#include "core/access_log.h"

#include "base/clock.h"
#include "core/client_net.h"
#include "core/log_ring.h"
#include "core/redo.h"

#include <time.h>

static void count(struct arena *arena, unsigned counter)
{
    redo_add(arena, &arena->page->counters[counter], 1);
}

void access_log_put(struct arena *arena, uint32_t number, struct slice line)
{
    count(arena, ACCESS_LOG_LINES);
    if (log_ring_put(arena, number, line))
        count(arena, ACCESS_LOG_LINES_LOST);
}

/* --- times: the wall clock is read once a second, and a second is written out once --- */

uint64_t access_log_wall_ms(uint64_t at_ns, uint64_t now_ns)
{
    static uint64_t until_ns, ahead_ns; /* of CLOCK_MONOTONIC */

    if (now_ns >= until_ns) {
        until_ns = now_ns + NS_PER_S;
        ahead_ns = clock_wall_ns() - clock_monotonic_ns();
    }
    return (at_ns + ahead_ns) / NS_PER_MS;
}

struct second {
    uint64_t seconds; /* since 1970 */
    char combined[40], iso[40];
};

static const struct second *second_of(uint64_t wall_ms)
{
    static struct second cached = {.seconds = UINT64_MAX};
    const uint64_t seconds = wall_ms / 1000;
    const time_t time = (time_t)seconds;
    struct tm parts;

    if (cached.seconds == seconds)
        return &cached;
    gmtime_r(&time, &parts);
    strftime(cached.combined, sizeof cached.combined, "[%d/%b/%Y:%H:%M:%S +0000]", &parts);
    strftime(cached.iso, sizeof cached.iso, "%Y-%m-%dT%H:%M:%S.", &parts);
    cached.seconds = seconds;
    return &cached;
}

static void add_thousandths(struct text *line, uint64_t value)
{
    const char digits[] = {(char)('0' + value / 100 % 10), (char)('0' + value / 10 % 10),
                           (char)('0' + value % 10)};

    text_add(line, (struct slice){digits, sizeof digits});
}

void access_log_add_time(struct text *line, uint64_t wall_ms)
{
    text_add_c(line, second_of(wall_ms)->combined);
}

void access_log_add_iso_time(struct text *line, uint64_t wall_ms)
{
    text_add_c(line, second_of(wall_ms)->iso);
    add_thousandths(line, wall_ms % 1000);
    text_add(line, SLICE_LITERAL("Z"));
}

void access_log_add_ms(struct text *line, uint64_t duration_ns)
{
    const uint64_t us = (duration_ns + 500) / 1000;

    text_add_u64(line, us / 1000);
    text_add(line, SLICE_LITERAL("."));
    add_thousandths(line, us % 1000);
}

/* --- words and members --- */

void access_log_add_word(struct text *line, struct slice word)
{
    text_add(line, SLICE_LITERAL(" "));
    text_add(line, word.length ? word : SLICE_LITERAL("-"));
}

void access_log_add_number(struct text *line, uint64_t number)
{
    text_add(line, SLICE_LITERAL(" "));
    text_add_u64(line, number);
}

void access_log_add_member(struct text *line, const char *name, struct slice value)
{
    text_add_c(line, name);
    if (!value.length) {
        text_add(line, SLICE_LITERAL("null"));
        return;
    }
    text_add(line, SLICE_LITERAL("\""));
    text_add_json(line, value);
    text_add(line, SLICE_LITERAL("\""));
}

struct slice access_log_client(const struct record *record, char *memory, size_t size)
{
    const struct sockaddr_storage address = client_sockaddr(record->client_address, record->client_port);
    struct text text;

    text_init(&text, memory, size);
    if (!record_has_address(record))
        return (struct slice){text.at, 0};
    client_address_format(&address, &text);
    return (struct slice){text.at, text.length};
}
