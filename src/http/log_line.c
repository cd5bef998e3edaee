#include "http/log_line.h"

#include "core/access_log.h"
#include "http/escape.h"

const char *log_end_name(enum log_end end)
{
    static const char *const names[] = {
#define LOG_END_NAME(name, text, meaning) [LOG_END_##name] = #text,
        LOG_END_TABLE(LOG_END_NAME)
#undef LOG_END_NAME
    };

    return end < LOG_ENDS ? names[end] : "unknown";
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

/* --- combined --- */

static void begin_combined(const struct log_request *request, struct text *before, struct text *behind)
{
    text_add(before, request->client.length ? request->client : SLICE_LITERAL("unix:"));
    text_add(before, SLICE_LITERAL(" - - "));
    access_log_add_time(before, request->wall_ms);
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
    access_log_add_number(line, (uint64_t)result->status);
    access_log_add_number(line, result->bytes);
    text_add(line, behind);
    access_log_add_word(line, id);
    text_add(line, SLICE_LITERAL(" "));
    access_log_add_ms(line, result->duration_ns);
    access_log_add_number(line, result->received);
    access_log_add_word(line, slice_of(log_end_name(result->end)));
    access_log_add_word(line, result->reason);
}

/* --- json --- */

static void add_member(struct text *line, const char *name, struct slice value)
{
    access_log_add_member(line, name, cut(value));
}

static void begin_json(const struct log_request *request, struct text *before)
{
    static const char *const versions[] = {"1.0", "1.1"};

    text_add(before, SLICE_LITERAL("{\"time\":\""));
    access_log_add_iso_time(before, request->wall_ms);
    text_add(before, SLICE_LITERAL("\""));
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
    access_log_add_ms(line, result->duration_ns);
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
