/* The head of the request that is sent on: serialised from what was parsed, never copied through. */
#include "handler/proxy/internal.h"

#include "http/escape.h"
#include "http/request_id.h"
#include "http/traceparent.h"

#include <string.h>
#include <strings.h>

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

static void add_target(const struct exchange *exchange, struct text *out)
{
    const struct h1_head *request = exchange->request;

    if (exchange->route->edits || is_resolved_by_us(request->path))
        escape_add_path(out, exchange->path);
    else
        text_add(out, request->path);
    if (exchange->query.length || request->has_query) {
        text_add(out, SLICE_LITERAL("?"));
        text_add(out, exchange->query);
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

static void add_host(const struct exchange *exchange, const struct http_proxy *settings, struct text *out)
{
    const struct proxy *proxy = proxy_of(exchange->worker);
    const struct upstream_server *server = proxy_pool(proxy, settings->pool)->servers;

    text_add(out, SLICE_LITERAL("Host: "));
    if (settings->host == HTTP_PROXY_HOST_TEXT)
        text_add(out, settings->host_text);
    else if (settings->host == HTTP_PROXY_HOST_UPSTREAM)
        text_add(out, server->kind == UPSTREAM_UNIX ? SLICE_LITERAL("localhost") : server->text);
    else
        add_client_host(exchange->request, out);
    text_add(out, SLICE_LITERAL("\r\n"));
}

/* --- who the client is --- */

/* Fields that tell of clients, which are believed only of whom the configuration trusts. */
static int tells_of_client(struct slice name)
{
    return slice_equals_nocase(name, SLICE_LITERAL("X-Forwarded-For")) ||
           slice_equals_nocase(name, SLICE_LITERAL("X-Forwarded-Proto")) ||
           slice_equals_nocase(name, SLICE_LITERAL("X-Forwarded-Host")) ||
           slice_equals_nocase(name, SLICE_LITERAL("X-Forwarded-Port")) ||
           slice_equals_nocase(name, SLICE_LITERAL("X-Real-IP")) ||
           slice_equals_nocase(name, SLICE_LITERAL("Forwarded"));
}

static int is_trusted(const struct exchange *exchange, const struct http_proxy *settings)
{
    for (size_t i = 0; i < settings->trusted_count; i++)
        if (client_net_has(&settings->trusted[i], exchange->route_request->client))
            return 1;
    return 0;
}

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
static void add_forwarded(const struct exchange *exchange, int believes, struct slice address,
                          struct text *out)
{
    char memory[512];
    struct text ours;
    const int is_ipv6 = memchr(address.at, ':', address.length) != NULL;

    text_init(&ours, memory, sizeof memory);
    text_add(&ours, SLICE_LITERAL("for="));
    if (is_ipv6)
        text_add(&ours, SLICE_LITERAL("\"["));
    text_add(&ours, address.length ? address : SLICE_LITERAL("unknown"));
    if (is_ipv6)
        text_add(&ours, SLICE_LITERAL("]\""));
    if (exchange->request->host.length) {
        text_add(&ours, SLICE_LITERAL(";host=\""));
        add_client_host(exchange->request, &ours);
        text_add(&ours, SLICE_LITERAL("\""));
    }
    text_add(&ours, SLICE_LITERAL(";proto="));
    text_add(&ours, exchange->route_request->scheme);
    add_list(exchange->request, believes, SLICE_LITERAL("Forwarded"),
             (struct slice){ours.at, ours.overflow ? 0 : ours.length}, out);
}

static void add_client(const struct exchange *exchange, const struct http_proxy *settings, struct text *out)
{
    const struct h1_head *request = exchange->request;
    const int believes = is_trusted(exchange, settings);
    char memory[64], host_memory[300];
    struct text address, host;

    text_init(&address, memory, sizeof memory);
    client_address_format(exchange->route_request->client, &address);
    text_init(&host, host_memory, sizeof host_memory);
    add_client_host(request, &host);
    add_list(request, believes, SLICE_LITERAL("X-Forwarded-For"),
             address.length ? (struct slice){address.at, address.length} : SLICE_LITERAL("unknown"), out);
    keep_or_set(request, believes, SLICE_LITERAL("X-Forwarded-Proto"), exchange->route_request->scheme, out);
    if (host.length)
        keep_or_set(request, believes, SLICE_LITERAL("X-Forwarded-Host"),
                    (struct slice){host.at, host.length}, out);
    add_forwarded(exchange, believes, (struct slice){address.at, address.length}, out);
}

/* --- the rest --- */

static void add_trace(const struct exchange *exchange, struct text *out)
{
    char line[TRACEPARENT_SIZE];
    struct traceparent trace;
    const int goes_on = traceparent_choose(exchange->request, exchange->worker->arena.core->id_seed,
                                           exchange->state->request, exchange->state->request | 1, &trace);

    traceparent_write(&trace, line);
    add_line(out, SLICE_LITERAL("traceparent"), slice_of(line));
    for (uint32_t i = 0; goes_on && i < exchange->request->field_count; i++)
        if (slice_equals_nocase(exchange->request->fields[i].name, SLICE_LITERAL("tracestate")))
            add_line(out, SLICE_LITERAL("tracestate"), exchange->request->fields[i].value);
    add_line(out, SLICE_LITERAL("X-Request-Id"), exchange_id(exchange));
}

/* What is written anew, or belongs to one connection alone. */
static int is_ours(const struct h1_head *request, struct slice name)
{
    static const struct slice ours[] = {{"Host", 4},         {"Content-Length", 14}, {"Via", 3},
                                        {"traceparent", 11}, {"tracestate", 10},     {"X-Request-Id", 12},
                                        {"Max-Forwards", 12}};

    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        if (slice_equals_nocase(name, ours[i]))
            return 1;
    return tells_of_client(name) || h1_hop_by_hop(request->fields, request->field_count, name);
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

/* RFC 9110 section 7.8; with a body it is not clear where the other protocol begins. */
int proxy_upgrades(const struct h1_head *request)
{
    return request->wants_upgrade && request->version_minor > 0 && !request->has_body &&
           h1_field_value(request, SLICE_LITERAL("Upgrade")).length;
}

static void add_framing(const struct h1_head *request, const struct upstream_pool *pool, struct text *out)
{
    const int wants_trailers =
        h1_token_list_has(h1_field_value(request, SLICE_LITERAL("TE")), SLICE_LITERAL("trailers"));

    if (request->chunked) {
        text_add(out, SLICE_LITERAL("Transfer-Encoding: chunked\r\n"));
    } else if (request->content_length >= 0) {
        text_add(out, SLICE_LITERAL("Content-Length: "));
        text_add_u64(out, (uint64_t)request->content_length);
        text_add(out, SLICE_LITERAL("\r\n"));
    }
    if (proxy_upgrades(request)) {
        add_line(out, SLICE_LITERAL("Upgrade"), h1_field_value(request, SLICE_LITERAL("Upgrade")));
        text_add(out, SLICE_LITERAL("Connection: upgrade\r\n"));
        return;
    }
    if (wants_trailers)
        text_add(out, SLICE_LITERAL("TE: trailers\r\n"));
    if (!pool->keepalive)
        text_add_c(out, wants_trailers ? "Connection: close, TE\r\n" : "Connection: close\r\n");
    else if (wants_trailers)
        text_add(out, SLICE_LITERAL("Connection: TE\r\n"));
}

int request_head_make(struct exchange *exchange, struct text *out)
{
    const struct http_proxy *settings = proxy_settings(exchange);
    const struct h1_head *request = exchange->request;

    text_add(out, request->method_text);
    text_add(out, SLICE_LITERAL(" "));
    add_target(exchange, out);
    text_add(out, SLICE_LITERAL(" HTTP/1.1\r\n"));
    add_host(exchange, settings, out);
    for (uint32_t i = 0; i < request->field_count; i++)
        if (!is_ours(request, request->fields[i].name))
            add_line(out, request->fields[i].name, request->fields[i].value);
    add_client(exchange, settings, out);
    add_list(request, 1, SLICE_LITERAL("Via"),
             request->version_minor ? SLICE_LITERAL("1.1 holdfast") : SLICE_LITERAL("1.0 holdfast"), out);
    add_trace(exchange, out);
    add_max_forwards(request, out);
    add_framing(request, proxy_pool(proxy_of(exchange->worker), settings->pool), out);
    text_add(out, SLICE_LITERAL("\r\n"));
    return out->overflow ? ERR_LIMIT : 0;
}

/* --- for the choice of a server --- */

/* RFC 6265 section 4.2.1. */
static struct slice cookie_of(const struct h1_head *request, struct slice name)
{
    for (uint32_t i = 0; i < request->field_count; i++) {
        struct slice rest = request->fields[i].value;

        if (!slice_equals_nocase(request->fields[i].name, SLICE_LITERAL("Cookie")))
            continue;
        while (rest.length) {
            const char *end = memchr(rest.at, ';', rest.length);
            struct slice pair = {rest.at, end ? (size_t)(end - rest.at) : rest.length};
            const size_t used = pair.length + (end ? 1 : 0);

            while (pair.length && *pair.at == ' ') {
                pair.at++;
                pair.length--;
            }
            if (pair.length > name.length && pair.at[name.length] == '=' && slice_starts_with(pair, name))
                return (struct slice){pair.at + name.length + 1, pair.length - name.length - 1};
            rest.at += used;
            rest.length -= used;
        }
    }
    return (struct slice){"", 0};
}

uint64_t request_hash(const struct exchange *exchange, const struct upstream_pool *pool)
{
    char memory[64];
    struct text address;

    if (pool->balance != UPSTREAM_HASH)
        return 0;
    switch (pool->hash) {
    case UPSTREAM_HASH_HEADER:
        return pools_hash(h1_field_value(exchange->request, pool->hash_name));
    case UPSTREAM_HASH_COOKIE:
        return pools_hash(cookie_of(exchange->request, pool->hash_name));
    case UPSTREAM_HASH_URI:
        return pools_hash(exchange->request->target);
    case UPSTREAM_HASH_CLIENT:
        break;
    }
    text_init(&address, memory, sizeof memory);
    client_address_format(exchange->route_request->client, &address);
    return pools_hash((struct slice){address.at, address.length});
}
