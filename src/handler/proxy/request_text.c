#include "handler/proxy/request_text.h"

#include "http/escape.h"
#include "http/respond_fields.h"

#include <string.h>
#include <strings.h>

#define NAME(text)                                                                                           \
    {                                                                                                        \
        (text), sizeof(text) - 1                                                                             \
    }

static void add_line(struct text *out, struct slice name, struct slice value)
{
    text_add(out, name);
    text_add(out, SLICE_LITERAL(": "));
    text_add(out, value);
    text_add(out, SLICE_LITERAL("\r\n"));
}

/* --- the target --- */

static int is_dots(const char *segment, size_t length)
{
    size_t dots = 0, at = 0;

    while (at < length) {
        if (segment[at] == '.')
            at++;
        else if (length - at >= 3 && !strncasecmp(segment + at, "%2e", 3))
            at += 3;
        else
            return 0;
        dots++;
    }
    return dots == 1 || dots == 2;
}

/* 1 if decoding does more to the path than undo percent signs: then another server might read it otherwise than we did, and
 * what was compared with our routes is sent on. */
static int is_resolved_by_us(struct slice path)
{
    size_t from = 1;

    for (size_t at = 1; at <= path.length; at++) {
        if (at < path.length && path.at[at] != '/')
            continue;
        if ((at == from && at < path.length) || is_dots(path.at + from, at - from))
            return 1;
        from = at + 1;
    }
    return 0;
}

static void add_target(const struct request_text *text, struct text *out)
{
    const struct h1_head *request = text->request;

    if (text->is_edited || is_resolved_by_us(request->path))
        escape_add_path(out, text->path);
    else
        text_add(out, request->path);
    if (text->query.length || request->has_query) {
        text_add(out, SLICE_LITERAL("?"));
        text_add(out, text->query);
    }
}

/* --- the host --- */

static void add_client_host(const struct h1_head *request, struct text *out)
{
    text_add(out, request->host);
    if (request->host_port) {
        text_add(out, SLICE_LITERAL(":"));
        text_add_u64(out, request->host_port);
    }
}

/* A client of HTTP/1.0 may name none, and a request of HTTP/1.1 must (RFC 9112 section 3.2). */
static void add_host(const struct request_text *text, struct text *out)
{
    text_add(out, SLICE_LITERAL("Host: "));
    if (text->host.length)
        text_add(out, text->host);
    else if (text->request->host.length)
        add_client_host(text->request, out);
    else
        text_add(out, text->server);
    text_add(out, SLICE_LITERAL("\r\n"));
}

/* --- whose fields are whose --- */

/* Many applications see "X_Forwarded_For" and "X-Forwarded-For" as one (RFC 3875 section 4.1.18), so we do. */
static int is_name(struct slice name, struct slice ours)
{
    if (name.length != ours.length)
        return 0;
    for (size_t i = 0; i < name.length; i++) {
        const char byte = name.at[i] == '_' ? '-' : name.at[i];
        const char other = ours.at[i] == '_' ? '-' : ours.at[i];

        if (strncasecmp(&byte, &other, 1) != 0)
            return 0;
    }
    return 1;
}

/* What is written anew, or tells of clients, which is believed only of whom the configuration trusts, or belongs to one
 * connection alone. */
static int is_ours(const struct h1_head *request, struct slice name)
{
    static const struct slice ours[] = {NAME("Host"),
                                        NAME("Content-Length"),
                                        NAME("Transfer-Encoding"),
                                        NAME("Expect"),
                                        NAME("Via"),
                                        NAME("traceparent"),
                                        NAME("tracestate"),
                                        NAME("X-Request-Id"),
                                        NAME("Max-Forwards"),
                                        NAME("X-Forwarded-For"),
                                        NAME("X-Forwarded-Proto"),
                                        NAME("X-Forwarded-Host"),
                                        NAME("X-Forwarded-Port"),
                                        NAME("X-Real-IP"),
                                        NAME("Forwarded")};

    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        if (is_name(name, ours[i]))
            return 1;
    return h1_hop_by_hop(request->fields, request->field_count, name);
}

/* What the configuration puts something else for, or nothing: whoever reads the client's by another spelling would take it
 * for ours. */
static int is_replaced(const struct route_header *changes, struct slice name)
{
    for (const struct route_header *change = changes; change; change = change->next)
        if (change->change != ROUTE_HEADER_ADD && is_name(name, change->name))
            return 1;
    return 0;
}

/* --- who the client is --- */

/* All fields of that name, with ours behind them: one list (RFC 9110 section 5.3). */
static void add_list(const struct h1_head *request, int believes, struct slice name, struct slice ours,
                     struct text *out)
{
    text_add(out, name);
    text_add(out, SLICE_LITERAL(": "));
    for (uint32_t i = 0; believes && i < request->field_count; i++) {
        if (!slice_equals_nocase(request->fields[i].name, name) || !request->fields[i].value.length)
            continue;
        text_add(out, request->fields[i].value);
        text_add(out, SLICE_LITERAL(", "));
    }
    text_add(out, ours);
    text_add(out, SLICE_LITERAL("\r\n"));
}

static void keep_or_set(const struct h1_head *request, int believes, struct slice name, struct slice ours,
                        struct text *out)
{
    const struct slice theirs = believes ? h1_field_value(request, name) : (struct slice){"", 0};

    add_line(out, name, theirs.length ? theirs : ours);
}

/* RFC 7239 section 4; an IPv6 address stands in quotes and brackets. */
static void add_forwarded(const struct request_text *text, struct text *out)
{
    char memory[512];
    struct text ours;
    const int is_ipv6 = text->peer.length && memchr(text->peer.at, ':', text->peer.length);

    text_init(&ours, memory, sizeof memory);
    text_add(&ours, SLICE_LITERAL("for="));
    if (is_ipv6)
        text_add(&ours, SLICE_LITERAL("\"["));
    text_add(&ours, text->peer.length ? text->peer : SLICE_LITERAL("unknown"));
    if (is_ipv6)
        text_add(&ours, SLICE_LITERAL("]\""));
    if (text->request->host.length) {
        text_add(&ours, SLICE_LITERAL(";host=\""));
        add_client_host(text->request, &ours);
        text_add(&ours, SLICE_LITERAL("\""));
    }
    text_add(&ours, SLICE_LITERAL(";proto="));
    text_add(&ours, text->scheme);
    add_list(text->request, text->believes, SLICE_LITERAL("Forwarded"),
             (struct slice){ours.at, ours.overflow ? 0 : ours.length}, out);
}

static void add_client(const struct request_text *text, struct text *out)
{
    const struct h1_head *request = text->request;
    char memory[300];
    struct text host;

    text_init(&host, memory, sizeof memory);
    add_client_host(request, &host);
    add_list(request, text->believes, SLICE_LITERAL("X-Forwarded-For"),
             text->peer.length ? text->peer : SLICE_LITERAL("unknown"), out);
    keep_or_set(request, text->believes, SLICE_LITERAL("X-Forwarded-Proto"), text->scheme, out);
    if (host.length)
        keep_or_set(request, text->believes, SLICE_LITERAL("X-Forwarded-Host"),
                    (struct slice){host.at, host.length}, out);
    add_forwarded(text, out);
}

/* --- the rest --- */

static void add_trace(const struct request_text *text, struct text *out)
{
    const struct h1_head *request = text->request;

    add_line(out, SLICE_LITERAL("traceparent"), text->trace);
    for (uint32_t i = 0; text->goes_on && i < request->field_count; i++)
        if (slice_equals_nocase(request->fields[i].name, SLICE_LITERAL("tracestate")))
            add_line(out, SLICE_LITERAL("tracestate"), request->fields[i].value);
    add_line(out, SLICE_LITERAL("X-Request-Id"), text->id);
}

/* RFC 9110 section 7.6.2; what has arrived at 0 is answered in begin. */
static void add_max_forwards(const struct h1_head *request, struct text *out)
{
    uint64_t left;

    if ((request->method != H1_OPTIONS && request->method != H1_TRACE) ||
        slice_to_u64(h1_field_value(request, SLICE_LITERAL("Max-Forwards")), &left) || !left)
        return;
    text_add(out, SLICE_LITERAL("Max-Forwards: "));
    text_add_u64(out, left - 1);
    text_add(out, SLICE_LITERAL("\r\n"));
}

/* With a body it is not clear where the other protocol begins. HTTP/2 is no other protocol: through a tunnel to a server that
 * speaks it in clear a client could ask for what our routes refuse, and nobody else asks for it (RFC 9113 section 3.1). */
int request_text_upgrades(const struct h1_head *request)
{
    const struct slice upgrade = h1_field_value(request, SLICE_LITERAL("Upgrade"));

    return request->wants_upgrade && request->version_minor > 0 && !request->has_body && upgrade.length &&
           !h1_token_list_has(upgrade, SLICE_LITERAL("h2c"));
}

static void add_framing(const struct h1_head *request, struct text *out)
{
    if (request->expect_continue) /* of HTTP/1.0 it means nothing, and would here (RFC 9110 section 10.1.1) */
        text_add(out, SLICE_LITERAL("Expect: 100-continue\r\n"));
    if (request->chunked) {
        text_add(out, SLICE_LITERAL("Transfer-Encoding: chunked\r\n"));
    } else if (request->content_length >= 0) {
        text_add(out, SLICE_LITERAL("Content-Length: "));
        text_add_u64(out, (uint64_t)request->content_length);
        text_add(out, SLICE_LITERAL("\r\n"));
    }
}

static void add_connection(const struct request_text *text, struct text *out)
{
    const struct h1_head *request = text->request;
    const int wants_trailers =
        h1_token_list_has(h1_field_value(request, SLICE_LITERAL("TE")), SLICE_LITERAL("trailers"));

    if (request_text_upgrades(request)) {
        add_line(out, SLICE_LITERAL("Upgrade"), h1_field_value(request, SLICE_LITERAL("Upgrade")));
        text_add(out, SLICE_LITERAL("Connection: upgrade\r\n"));
        return;
    }
    if (wants_trailers)
        text_add(out, SLICE_LITERAL("TE: trailers\r\n"));
    if (!text->is_kept)
        text_add_c(out, wants_trailers ? "Connection: close, TE\r\n" : "Connection: close\r\n");
    else if (wants_trailers)
        text_add(out, SLICE_LITERAL("Connection: TE\r\n"));
}

/* Of the lines from there on. */
static int change_lines(const struct request_text *text, size_t from, struct text *out)
{
    struct text lines = {
        .at = out->at + from, .length = out->length - from, .capacity = out->capacity - from};
    int result;

    if (!text->changes || out->overflow)
        return 0;
    result = respond_change_fields(&lines, text->changes, text->values);
    out->length = from + lines.length;
    return result;
}

int request_text_make(const struct request_text *text, struct text *out)
{
    const struct h1_head *request = text->request;
    size_t from;

    text_add(out, request->method_text);
    text_add(out, SLICE_LITERAL(" "));
    add_target(text, out);
    text_add(out, SLICE_LITERAL(" HTTP/1.1\r\n"));
    add_host(text, out);
    from = out->length;
    for (uint32_t i = 0; i < request->field_count; i++)
        if (!is_ours(request, request->fields[i].name) &&
            !is_replaced(text->changes, request->fields[i].name))
            add_line(out, request->fields[i].name, request->fields[i].value);
    add_client(text, out);
    add_list(request, 1, SLICE_LITERAL("Via"),
             request->version_minor ? SLICE_LITERAL("1.1 holdfast") : SLICE_LITERAL("1.0 holdfast"), out);
    add_trace(text, out);
    if (change_lines(text, from, out))
        return ERR_LIMIT;
    add_max_forwards(request, out);
    add_framing(request, out);
    add_connection(text, out);
    text_add(out, SLICE_LITERAL("\r\n"));
    return out->overflow ? ERR_LIMIT : 0;
}
