#include "l4/log_line.h"

#include "core/access_log.h"

static void write_text(const struct l4_line *line, struct text *out)
{
    if (line->client.length)
        text_add_f(out, "%.*s:%u ", (int)line->client.length, line->client.at, line->client_port);
    else
        text_add(out, SLICE_LITERAL("unix: "));
    access_log_add_time(out, line->wall_ms);
    access_log_add_word(out, line->listener);
    access_log_add_word(out, line->pool);
    access_log_add_word(out, line->server);
    access_log_add_number(out, line->sent);
    access_log_add_number(out, line->received);
    text_add(out, SLICE_LITERAL(" "));
    access_log_add_ms(out, line->duration_ns);
    access_log_add_number(out, line->tries);
    access_log_add_word(out, slice_of(tcp_end_name(line->end)));
}

static void add_count(struct text *out, const char *name, uint64_t value)
{
    text_add_c(out, name);
    text_add_u64(out, value);
}

static void write_json(const struct l4_line *line, struct text *out)
{
    text_add(out, SLICE_LITERAL("{\"time\":\""));
    access_log_add_iso_time(out, line->wall_ms);
    text_add(out, SLICE_LITERAL("\""));
    access_log_add_member(out, ",\"client\":", line->client);
    if (line->client.length)
        add_count(out, ",\"client_port\":", line->client_port);
    else
        text_add(out, SLICE_LITERAL(",\"client_port\":null"));
    access_log_add_member(out, ",\"listener\":", line->listener);
    access_log_add_member(out, ",\"pool\":", line->pool);
    access_log_add_member(out, ",\"server\":", line->server);
    add_count(out, ",\"sent\":", line->sent);
    add_count(out, ",\"received\":", line->received);
    text_add(out, SLICE_LITERAL(",\"ms\":"));
    access_log_add_ms(out, line->duration_ns);
    add_count(out, ",\"tries\":", line->tries);
    access_log_add_member(out, ",\"end\":", slice_of(tcp_end_name(line->end)));
    text_add(out, SLICE_LITERAL("}"));
}

void l4_line_write(enum l4_log_format format, const struct l4_line *line, struct text *out)
{
    if (format == L4_LOG_JSON)
        write_json(line, out);
    else
        write_text(line, out);
    text_add(out, SLICE_LITERAL("\n"));
}
