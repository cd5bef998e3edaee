#include "handler/proxy/proxy.h"

#include "handler/proxy/internal.h"
#include "handler/proxy/request_text.h"

#include <stdlib.h>
#include <sys/mman.h>

static unsigned proxy_index; /* of the handler: the same in all workers of an image */

struct proxy *proxy_of(const struct worker *worker)
{
    const struct http *http = worker->application;
    struct proxy *proxy = http->handler_private[proxy_index];

    turns_recounted(proxy->turns); /* all records have said what they hold: revival.h */
    return proxy;
}

struct proxy *proxy_in_revival(const struct worker *worker)
{
    const struct http *http = worker->application;

    return http->handler_private[proxy_index];
}

const struct http_proxy *proxy_settings(const struct exchange *exchange)
{
    const struct http_route *route =
        exchange->route ? exchange->route : exchange_route(exchange->http, exchange->state);

    return route ? route->proxy : NULL;
}

const struct upstream_pool *proxy_pool(const struct proxy *proxy, uint32_t pool)
{
    return &proxy->http->config->upstreams.pools[pool];
}

/* --- the handler --- */

/* RFC 9110 section 9.2.2. */
static int is_idempotent(enum h1_method method)
{
    return method == H1_GET || method == H1_HEAD || method == H1_OPTIONS || method == H1_TRACE ||
           method == H1_PUT || method == H1_DELETE;
}

/* RFC 9110 section 7.6.2: the last one on the way answers. */
static int ends_here(const struct h1_head *request)
{
    uint64_t left;

    return (request->method == H1_OPTIONS || request->method == H1_TRACE) &&
           !slice_to_u64(h1_field_value(request, SLICE_LITERAL("Max-Forwards")), &left) && !left;
}

static void proxy_begin(struct exchange *exchange)
{
    static char memory[ARENA_BLOCK_SIZE];
    const struct h1_head *request = exchange->request;
    const struct http_proxy *settings = proxy_settings(exchange);
    const struct upstream_pool *pool = proxy_pool(proxy_of(exchange->worker), settings->pool);
    struct relay_state *relay = relay_state_in(exchange->state);
    struct text head;

    if (ends_here(request)) {
        exchange_respond(exchange, 204, (struct slice){"", 0}, (struct slice){"", 0}, (struct slice){"", 0});
        return;
    }
    /* What the connection may have to begin with goes into the same ring. */
    text_init(&head, memory, sizeof memory - (pool->send_header ? PROXY_PROTOCOL_MADE_MAX : 0));
    if (request_head_make(exchange, &head)) {
        exchange_respond_error(exchange, 431, SLICE_LITERAL("fields_too_large_to_forward"));
        return;
    }
    *relay = (struct relay_state){.pool = (uint16_t)settings->pool,
                                  .hash = request_hash(exchange, pool),
                                  .flags = (uint8_t)((is_idempotent(request->method) ? RELAY_IDEMPOTENT : 0) |
                                                     (request->expect_continue ? RELAY_EXPECTS : 0) |
                                                     (request_text_upgrades(request) ? RELAY_UPGRADE : 0))};
    exchange->state->chunks.keep_trailers = 1;
    if (!settings->buffer_request || !(exchange->state->flags & EXCHANGE_BODY_UNREAD) ||
        !waiting_hold(exchange, (struct slice){head.at, head.length}))
        waiting_begin(exchange, (struct slice){head.at, head.length});
}

static enum exchange_outcome proxy_relay(struct worker *worker, struct record *record)
{
    return relay_pass(worker, record);
}

/* The leg is nobody's once this is committed; it finds out when it is driven. */
static void proxy_detach(struct exchange *exchange)
{
    struct relay_state *relay = relay_state_in(exchange->state);
    struct record *leg = leg_of(exchange->worker, exchange->record);

    turns_leave(proxy_of(exchange->worker)->turns, exchange->record);
    if (leg)
        worker_again(exchange->worker, leg);
    waiting_give_up_plan(exchange);
    exchange->head->spool = 0;
    *relay = (struct relay_state){.pool = relay->pool};
}

const struct handler proxy_handler = {.name = "proxy",
                                      .begin = proxy_begin,
                                      .relay = proxy_relay,
                                      .detach = proxy_detach,
                                      .part = proxy_part,
                                      .may_move = proxy_may_move,
                                      .freeze = proxy_freeze,
                                      .thaw = proxy_thaw};

/* --- life --- */

int proxy_start(struct http *http, unsigned index, struct turns *turns)
{
    struct proxy *proxy = calloc(1, sizeof *proxy);
    const size_t numbers = http->worker->arena.core->record_count;

    if (!proxy)
        return ERR_NO_MEMORY;
    proxy_index = index;
    proxy->http = http;
    proxy->pools = turns->pools;
    proxy->turns = turns;
    proxy->index = index;
    proxy->numbers = numbers;
    proxy->links = mmap(NULL, numbers * sizeof *proxy->links, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    http->handler_private[index] = proxy;
    proxy->own = mmap(NULL, numbers * sizeof *proxy->own, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    http->client_leaves = leg_client_leaves;
    return proxy->links == MAP_FAILED || proxy->own == MAP_FAILED ? ERR_NO_MEMORY : 0;
}

void proxy_stop(struct http *http, unsigned index)
{
    struct proxy *proxy = http->handler_private[index];

    if (!proxy)
        return;
    if (proxy->links && proxy->links != MAP_FAILED)
        munmap(proxy->links, proxy->numbers * sizeof *proxy->links);
    if (proxy->own && proxy->own != MAP_FAILED)
        munmap(proxy->own, proxy->numbers * sizeof *proxy->own);
    free(proxy);
    http->handler_private[index] = NULL;
}
