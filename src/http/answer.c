/* From a request head to who answers it: site, route, path; and the answers that need nobody else. */
#include "http/exchange.h"

#include "http/request.h"
#include "http/request_id.h"

#include <string.h>
#include <sys/socket.h>

/* --- the request as routes see it --- */

struct routed {
    struct route_request request;
    struct sockaddr_storage peer, client;
    char id[REQUEST_ID_SIZE];
    char decoded[ROUTE_PATH_MAX];
    char path[ROUTE_PATH_MAX], query[ROUTE_PATH_MAX];
};

/* 0, or the refusal of its path. */
static int fill(struct exchange *exchange, const struct h1_head *request, struct routed *routed)
{
    uint32_t length = 0;
    const struct slice id = exchange_id(exchange);
    const struct sockaddr_storage *peer = request_peer(exchange->record, &routed->peer);

    if (h1_path_decode(request->path, routed->decoded, sizeof routed->decoded, &length))
        return ERR_INVALID;
    memcpy(routed->id, id.at, id.length);
    routed->request = (struct route_request){.method = request->method_text,
                                             .scheme = SLICE_LITERAL("http"),
                                             .host = request->host,
                                             .path = {routed->decoded, length},
                                             .raw_path = request->path,
                                             .query = request->query,
                                             .has_query = request->has_query,
                                             .id = {routed->id, id.length},
                                             .trace_high = exchange->worker->arena.core->id_seed,
                                             .trace_low = exchange->state->request,
                                             .peer = peer,
                                             .client = peer,
                                             .header = request_field,
                                             .headers = request};
    return 0;
}

const struct http_route *exchange_route(const struct http *http, const struct exchange_state *state)
{
    const struct http_config *config = http->config;

    if (state->route && state->route <= config->route_count)
        return config->routes[state->route - 1];
    return config->route;
}

const struct route_settings *exchange_settings(const struct http *http, const struct exchange_state *state)
{
    const struct http_route *route = exchange_route(http, state);

    return route ? &route->settings : NULL;
}

/* --- answers --- */

static void answer_text(struct exchange *exchange)
{
    static char memory[EXCHANGE_BODY_MAX];
    const struct route_context context = {exchange->route, exchange->route_request};
    struct text text;

    if (exchange->route->status >= 400)
        exchange->reason = SLICE_LITERAL("configured");
    if (!exchange->route->target &&
        exchange_respond_page(exchange, exchange->route->status, (struct slice){"", 0}))
        return;
    text_init(&text, memory, sizeof memory);
    if (exchange->route->target && template_render(exchange->route->target, route_value, &context, &text)) {
        exchange_respond_error(exchange, 500, SLICE_LITERAL("answer_too_large"));
        return;
    }
    exchange_respond(exchange, exchange->route->status, SLICE_LITERAL("text/plain; charset=utf-8"),
                     (struct slice){"", 0}, (struct slice){text.at, text.length});
}

/* A location that begins with two slashes names a host (RFC 3986 section 4.2; browsers take a backslash for a slash). Only
 * the configuration may do that, never what a client put into a path. */
static void keep_on_this_host(struct text *text, size_t from, const struct template *target)
{
    size_t extra = 0;

    if (target->part_count && !target->parts[0].is_value &&
        slice_starts_with(target->parts[0].text, SLICE_LITERAL("//")))
        return;
    if (text->length <= from || text->at[from] != '/')
        return;
    while (from + 1 + extra < text->length &&
           (text->at[from + 1 + extra] == '/' || text->at[from + 1 + extra] == '\\'))
        extra++;
    memmove(text->at + from + 1, text->at + from + 1 + extra, text->length - from - 1 - extra);
    text->length -= extra;
    text->at[text->length] = '\0';
}

static void answer_redirect(struct exchange *exchange)
{
    const struct route_context context = {exchange->route, exchange->route_request};
    static const struct slice name = {"Location: ", 10};
    char memory[EXCHANGE_FIELDS_MAX];
    struct text text;
    int result;

    text_init(&text, memory, sizeof memory);
    text_add(&text, name);
    result = template_render(exchange->route->target, route_value, &context, &text);
    keep_on_this_host(&text, name.length, exchange->route->target);
    text_add_c(&text, "\r\n");
    if (result || text.overflow)
        exchange_respond_error(exchange, 500, SLICE_LITERAL("location_too_long"));
    else
        exchange_respond(exchange, exchange->route->status, (struct slice){"", 0},
                         (struct slice){text.at, text.length}, (struct slice){"", 0});
}

struct slice exchange_cache_line(const struct exchange *exchange, char *memory, size_t size)
{
    const char *value = exchange->route->settings.cache_control;
    struct text text;

    text_init(&text, memory, size);
    if (value)
        text_add_f(&text, "Cache-Control: %s\r\n", value);
    return (struct slice){text.at, text.overflow ? 0 : text.length};
}

static int edit_target(struct exchange *exchange, struct routed *routed)
{
    struct text path, query;
    int result;

    text_init(&path, routed->path, sizeof routed->path);
    text_init(&query, routed->query, sizeof routed->query);
    result = route_edit_target(exchange->route, &routed->request, &path, &query);
    exchange->path = (struct slice){path.at, path.length};
    exchange->query = (struct slice){query.at, query.length};
    return result;
}

static void answer(struct exchange *exchange, void (*serve)(struct exchange *exchange))
{
    switch (exchange->route->answer) {
    case ROUTE_FILES:
        serve(exchange);
        break;
    case ROUTE_RESPOND:
        answer_text(exchange);
        break;
    case ROUTE_REDIRECT:
        answer_redirect(exchange);
        break;
    case ROUTE_DEMO:
    case ROUTE_STATUS:
    case ROUTE_METRICS:
    case ROUTE_READY:
    case ROUTE_PROXY:
        exchange->state->handler = exchange->http->by_answer[exchange->route->answer];
        serve(exchange);
        break;
    case ROUTE_NONE:
    case ROUTE_ANSWERS:
        exchange_respond_error(exchange, 404, SLICE_LITERAL("route_without_answer"));
        break;
    }
}

static int body_is_too_large(const struct exchange *exchange, const struct h1_head *request)
{
    const uint64_t limit = exchange->route->settings.max_body;

    return limit && request->content_length > 0 && (uint64_t)request->content_length > limit;
}

/* OPTIONS of the server itself, and CONNECT: what follows that may be meant for a tunnel. */
static void answer_no_path(struct exchange *exchange, const struct h1_head *request)
{
    const struct slice allow = SLICE_LITERAL("Allow: GET, HEAD, OPTIONS\r\n");

    if (request->form == H1_ASTERISK_FORM) {
        exchange_respond(exchange, 204, (struct slice){"", 0}, allow, (struct slice){"", 0});
        return;
    }
    exchange->state->flags |= EXCHANGE_CLOSE;
    exchange_respond_error_with(exchange, 405, SLICE_LITERAL("no_tunnels"), allow);
}

const struct http_site *route_site(struct exchange *exchange, const struct h1_head *request)
{
    const struct http_site *site =
        sites_find(&exchange->http->sites, exchange->record->listener, request->host);

    if (site) {
        exchange->state->route = (uint16_t)(site->route->number + 1);
        exchange->log_route = site->route;
    }
    return site;
}

void route_exchange(struct exchange *exchange, const struct h1_head *request,
                    void (*serve)(struct exchange *exchange))
{
    static struct routed routed;
    const struct http_site *site = route_site(exchange, request);
    int result;

    if (request->form == H1_AUTHORITY_FORM || request->form == H1_ASTERISK_FORM) {
        answer_no_path(exchange, request);
        return;
    }
    if (!site) {
        exchange_respond_error(exchange, 404, SLICE_LITERAL("no_such_site"));
        return;
    }
    if (fill(exchange, request, &routed)) {
        exchange_respond_error(exchange, 400, SLICE_LITERAL("bad_path"));
        return;
    }
    result = routes_match(site, &routed.request, &exchange->route);
    if (result) {
        exchange->route = NULL;
        exchange_respond_error(exchange, result == ERR_LIMIT ? 500 : 404,
                               result == ERR_LIMIT ? SLICE_LITERAL("pattern_limit")
                                                   : SLICE_LITERAL("no_such_route"));
        return;
    }
    exchange->log_route = exchange->route;
    routed.request = route_sees(exchange->route, &routed.request, &routed.client);
    exchange->route_request = &routed.request;
    exchange->state->route = (uint16_t)(exchange->route->number + 1);
    if (body_is_too_large(exchange, request))
        exchange_respond_error(exchange, 413, SLICE_LITERAL("content_too_large"));
    else if (edit_target(exchange, &routed))
        exchange_respond_error(exchange, 500, SLICE_LITERAL("bad_rewrite"));
    else
        answer(exchange, serve);
}
