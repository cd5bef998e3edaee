/* The head of the request that is sent on: what request_text.h makes it of. */
#include "handler/proxy/internal.h"

#include "handler/proxy/request_text.h"
#include "http/client.h"
#include "http/request_id.h"
#include "http/traceparent.h"

#include <string.h>

/* Of several the first: the head is made before one is chosen, and goes to another one if that fails. */
static struct slice server_of(const struct upstream_pool *pool)
{
    const struct upstream_server *server = pool->servers;

    if (server->kind == UPSTREAM_UNIX)
        return SLICE_LITERAL("localhost");
    return server->kind == UPSTREAM_SRV ? slice_of(server->host) : server->text;
}

static struct slice host_of(const struct http_proxy *settings, const struct upstream_pool *pool)
{
    switch (settings->host) {
    case HTTP_PROXY_HOST_TEXT:
        return settings->host_text;
    case HTTP_PROXY_HOST_UPSTREAM:
        return server_of(pool);
    case HTTP_PROXY_HOST_CLIENT:
        break;
    }
    return (struct slice){"", 0};
}

int request_head_make(struct exchange *exchange, struct text *out)
{
    const struct http_proxy *settings = proxy_settings(exchange);
    const struct upstream_pool *pool = proxy_pool(proxy_of(exchange->worker), settings->pool);
    const struct route_context values = {exchange->route, exchange->route_request};
    struct request_text text = {.request = exchange->request,
                                .path = exchange->path,
                                .query = exchange->query,
                                .is_edited = exchange->route->edits != NULL,
                                .host = host_of(settings, pool),
                                .server = server_of(pool),
                                .scheme = exchange->route_request->scheme,
                                .believes = client_is_trusted(exchange->route_request->peer,
                                                              exchange->route->settings.trust,
                                                              exchange->route->settings.trust_count),
                                .id = exchange_id(exchange),
                                .is_kept = pool->keepalive > 0,
                                .changes = exchange->route->request_headers,
                                .values = &values};
    char line[TRACEPARENT_SIZE], memory[64];
    struct traceparent trace;
    struct text address;

    text_init(&address, memory, sizeof memory);
    client_address_format(exchange->route_request->peer, &address);
    text.peer = (struct slice){address.at, address.length};
    text.goes_on = traceparent_choose(exchange->request, exchange->worker->arena.core->id_seed,
                                      exchange->state->request, exchange->state->request | 1, &trace);
    traceparent_write(&trace, line);
    text.trace = slice_of(line);
    return request_text_make(&text, out);
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
