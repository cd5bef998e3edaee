/* What the access logs of all protocols have in common: how a line gets into a log, and the pieces that lines are made of. */
#ifndef HOLDFAST_CORE_ACCESS_LOG_H
#define HOLDFAST_CORE_ACCESS_LOG_H

#include "base/bytes.h"
#include "core/arena.h"

/* Words of the arena's first page (arena_page.counters), among those of the classes: part of the frozen page. */
enum access_log_counter {
    ACCESS_LOG_LINES = 9, /* made */
    ACCESS_LOG_LINES_LOST = 10,
};

/* Adds a line (with its line break) to log `number` and counts it, in the open transaction (core/redo.h): it is there exactly
 * if that is committed. */
void access_log_put(struct arena *arena, uint32_t number, struct slice line);

/* The wall clock at a moment of CLOCK_MONOTONIC, in milliseconds since 1970. Costs no system call on most calls. `now_ns`: the
 * present moment of that clock. */
uint64_t access_log_wall_ms(uint64_t at_ns, uint64_t now_ns);

/* "[24/Nov/2026:13:45:12 +0000]", the time of the format that every log reader knows. */
void access_log_add_time(struct text *line, uint64_t wall_ms);
/* 2026-11-24T13:45:12.123Z. */
void access_log_add_iso_time(struct text *line, uint64_t wall_ms);
/* Milliseconds with three places: "0.123". */
void access_log_add_ms(struct text *line, uint64_t duration_ns);
/* A blank and a word, "-" for none. */
void access_log_add_word(struct text *line, struct slice word);
/* A blank and a number. */
void access_log_add_number(struct text *line, uint64_t number);
/* `name` (with comma, quotes and colon, as it stands in the line) and a string, null for none. */
void access_log_add_member(struct text *line, const char *name, struct slice value);

/* Who is there: the address of a record's client without its port, in `memory` of `size` bytes; empty on a Unix socket. */
struct slice access_log_client(const struct record *record, char *memory, size_t size);
#define ACCESS_LOG_CLIENT_SIZE 64

#endif
