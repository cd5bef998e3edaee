#include "http/log_line.h"

#include "http/escape.h"

#include <stdio.h>
#include <time.h>

const char *log_end_name(enum log_end end)
{
    static const char *const names[] = {
#define LOG_END_NAME(name, text, meaning) [LOG_END_##name] = #text,
        LOG_END_TABLE(LOG_END_NAME)
#undef LOG_END_NAME
    };

    return end < LOG_ENDS ? names[end] : "unknown";
}

/* --- times: a second is written out once --- */

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

static void add_ms(struct text *line, uint64_t duration_ns)
{
    const uint64_t us = (duration_ns + 500) / 1000;

    text_add_u64(line, us / 1000);
    text_add(line, SLICE_LITERAL("."));
    add_thousandths(line, us % 1000);
}

/* --- texts of others --- */

static struct slice cut(struct slice text)
{
    return (struct slice){text.at, text.length < LOG_FIELD_MAX ? text.length : LOG_FIELD_MAX};
}

static void add_quoted(struct text *line, struct slice text)
{
    text_add(line, SLICE_LITERAL("\""));
    escape_add_log(line, cut(text));
    text_add(line, SLICE_LITERAL("\""));
}

static void add_word(struct text *line, struct slice word)
{
    text_add(line, SLICE_LITERAL(" "));
    text_add(line, word.length ? word : SLICE_LITERAL("-"));
}

static void add_number(struct text *line, uint64_t number)
{
    text_add(line, SLICE_LITERAL(" "));
    text_add_u64(line, number);
}

/* --- combined --- */

static void begin_combined(const struct log_request *request, struct text *before, struct text *behind)
{
    text_add(before, request->client.length ? request->client : SLICE_LITERAL("unix:"));
    text_add(before, SLICE_LITERAL(" - - "));
    text_add_c(before, second_of(request->wall_ms)->combined);
    if (request->version_minor < 0) {
        text_add(before, SLICE_LITERAL(" \"-\""));
    } else {
        text_add(before, SLICE_LITERAL(" \""));
        escape_add_log(before, cut(request->method));
        text_add(before, SLICE_LITERAL(" "));
        escape_add_log(before, cut(request->target));
        text_add(before,
                 request->version_minor ? SLICE_LITERAL(" HTTP/1.1\"") : SLICE_LITERAL(" HTTP/1.0\""));
    }
    text_add(behind, SLICE_LITERAL(" "));
    add_quoted(behind, request->referer);
    text_add(behind, SLICE_LITERAL(" "));
    add_quoted(behind, request->user_agent);
}

static void end_combined(struct slice before, struct slice behind, struct slice id,
                         const struct log_result *result, struct text *line)
{
    text_add(line, before);
    add_number(line, (uint64_t)result->status);
    add_number(line, result->bytes);
    text_add(line, behind);
    add_word(line, id);
    text_add(line, SLICE_LITERAL(" "));
    add_ms(line, result->duration_ns);
    add_number(line, result->received);
    add_word(line, slice_of(log_end_name(result->end)));
    add_word(line, result->reason);
}

/* --- json --- */

static void add_member(struct text *line, const char *name, struct slice value)
{
    text_add_c(line, name);
    if (!value.length) {
        text_add(line, SLICE_LITERAL("null"));
        return;
    }
    text_add(line, SLICE_LITERAL("\""));
    text_add_json(line, cut(value));
    text_add(line, SLICE_LITERAL("\""));
}

static void begin_json(const struct log_request *request, struct text *before)
{
    static const char *const versions[] = {"1.0", "1.1"};

    text_add(before, SLICE_LITERAL("{\"time\":\""));
    text_add_c(before, second_of(request->wall_ms)->iso);
    add_thousandths(before, request->wall_ms % 1000);
    text_add(before, SLICE_LITERAL("Z\""));
    add_member(before, ",\"id\":", request->id);
    add_member(before, ",\"client\":", request->client);
    add_member(before, ",\"host\":", request->host);
    add_member(before, ",\"method\":", request->method);
    add_member(before, ",\"target\":", request->target);
    add_member(before, ",\"version\":",
               request->version_minor < 0 ? (struct slice){"", 0}
                                          : slice_of(versions[request->version_minor != 0]));
    add_member(before, ",\"referer\":", request->referer);
    add_member(before, ",\"user_agent\":", request->user_agent);
    add_member(before, ",\"trace\":", request->trace);
}

static void end_json(struct slice before, const struct log_result *result, struct text *line)
{
    text_add(line, before);
    text_add(line, SLICE_LITERAL(",\"status\":"));
    text_add_u64(line, (uint64_t)result->status);
    text_add(line, SLICE_LITERAL(",\"bytes\":"));
    text_add_u64(line, result->bytes);
    text_add(line, SLICE_LITERAL(",\"received\":"));
    text_add_u64(line, result->received);
    text_add(line, SLICE_LITERAL(",\"ms\":"));
    add_ms(line, result->duration_ns);
    add_member(line, ",\"end\":", slice_of(log_end_name(result->end)));
    add_member(line, ",\"reason\":", result->reason);
    text_add(line, SLICE_LITERAL("}"));
}

/* --- both --- */

void log_line_begin(enum route_log_format format, const struct log_request *request, struct text *before,
                    struct text *behind)
{
    if (format == ROUTE_LOG_JSON)
        begin_json(request, before);
    else
        begin_combined(request, before, behind);
}

void log_line_end(enum route_log_format format, struct slice before, struct slice behind, struct slice id,
                  const struct log_result *result, struct text *line)
{
    if (format == ROUTE_LOG_JSON)
        end_json(before, result, line);
    else
        end_combined(before, behind, id, result, line);
    text_add(line, SLICE_LITERAL("\n"));
}
