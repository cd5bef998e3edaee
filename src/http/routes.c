#include "http/routes.h"

#include "base/assert.h"
#include "http/client.h"

#include <string.h>

struct http_route *route_new(struct storage *storage, struct http_route *parent)
{
    struct http_route *route = storage_take(storage, sizeof *route);
    if (!route)
        return NULL;
    *route = (struct http_route){.text = "", .file = "", .parent = parent};
    if (parent && parent->last_child)
        parent->last_child->next = route;
    else if (parent)
        parent->first_child = route;
    if (parent)
        parent->last_child = route;
    return route;
}

/* --- what comes from outside --- */

/* Several fields of one directive go together. */
#define INHERIT(bit, field)                                                                                  \
    do {                                                                                                     \
        if (!(given & (bit)))                                                                                \
            own->field = outer->field;                                                                       \
    } while (0)

static void inherit_settings(struct route_settings *own, const struct route_settings *outer, uint32_t given)
{
    INHERIT(ROUTE_GIVES_INDEX, index);
    INHERIT(ROUTE_GIVES_INDEX, index_count);
    INHERIT(ROUTE_GIVES_LISTING, listing);
    INHERIT(ROUTE_GIVES_PRECOMPRESSED, precompressed);
    INHERIT(ROUTE_GIVES_HIDDEN, hidden);
    INHERIT(ROUTE_GIVES_FALLBACK, fallback);
    INHERIT(ROUTE_GIVES_COMPRESS, compress);
    INHERIT(ROUTE_GIVES_COMPRESS, compress_types);
    INHERIT(ROUTE_GIVES_COMPRESS, compress_type_count);
    INHERIT(ROUTE_GIVES_COMPRESS_MIN, compress_min);
    INHERIT(ROUTE_GIVES_CACHE, cache_control);
    INHERIT(ROUTE_GIVES_MAX_BODY, max_body);
    INHERIT(ROUTE_GIVES_MIN_BODY_RATE, min_body_rate);
    INHERIT(ROUTE_GIVES_MIN_WRITE_RATE, min_write_rate);
    INHERIT(ROUTE_GIVES_TRUST, trust);
    INHERIT(ROUTE_GIVES_TRUST, trust_count);
    INHERIT(ROUTE_GIVES_ACCESS_LOG, access_log);
    INHERIT(ROUTE_GIVES_ACCESS_LOG, access_log_format);
}

/* Copies the outer list in front of the own one: lists are shared by siblings, so their ends cannot be tied together
 * in place. */
static int inherit_headers(struct storage *storage, const struct route_header **list,
                           const struct route_header *outer)
{
    const struct route_header *own = *list, **end = list;
    for (; outer; outer = outer->next) {
        struct route_header *copy = storage_take(storage, sizeof *copy);
        if (!copy)
            return ERR_NO_MEMORY;
        *copy = *outer;
        *end = copy;
        end = &copy->next;
    }
    *end = own;
    return 0;
}

static int inherit_edits(struct storage *storage, struct http_route *route)
{
    const struct route_edit *own = route->edits, **end = &route->edits;
    for (const struct route_edit *outer = route->parent->edits; outer; outer = outer->next) {
        struct route_edit *copy = storage_take(storage, sizeof *copy);
        if (!copy)
            return ERR_NO_MEMORY;
        *copy = *outer;
        *end = copy;
        end = &copy->next;
    }
    *end = own;
    return 0;
}

/* The own pages stand first, so that they count; the outer ones can be shared as they are. */
static int inherit_error_pages(struct storage *storage, struct http_route *route)
{
    const struct route_error_page *own = route->error_pages, **end = &route->error_pages;
    for (; own; own = own->next) {
        struct route_error_page *copy = storage_take(storage, sizeof *copy);
        if (!copy)
            return ERR_NO_MEMORY;
        *copy = *own;
        *end = copy;
        end = &copy->next;
    }
    *end = route->parent->error_pages;
    return 0;
}

int route_inherit(struct storage *storage, struct http_route *route)
{
    const struct http_route *parent = route->parent;
    if (!parent)
        return 0;
    inherit_settings(&route->settings, &parent->settings, route->given);
    int error = inherit_headers(storage, &route->headers, parent->headers);
    if (!error)
        error = inherit_headers(storage, &route->request_headers, parent->request_headers);
    if (!error)
        error = inherit_error_pages(storage, route);
    if (!error && route->answer == ROUTE_NONE) {
        route->answer = parent->answer;
        route->folder = parent->folder;
        route->status = parent->status;
        route->target = parent->target;
        route->proxy = parent->proxy;
        error = inherit_edits(storage, route);
    }
    return error;
}

/* --- routes that never are taken --- */

static int sibling_hides(const struct http_route *earlier, const struct http_route *route,
                         const struct path_pattern *pattern)
{
    if (!route_tests_cover(earlier->tests, route->tests))
        return 0;
    for (size_t i = 0; i < earlier->pattern_count; i++) {
        if (path_pattern_covers(&earlier->patterns[i], pattern))
            return 1;
    }
    return 0;
}

static const struct http_route *hider_of(const struct http_route *route, const struct path_pattern *pattern)
{
    const struct http_route *earlier = route->parent->first_child;
    for (; earlier != route; earlier = earlier->next) {
        if (sibling_hides(earlier, route, pattern))
            return earlier;
    }
    return NULL;
}

const struct http_route *route_hidden_by(const struct http_route *route)
{
    const struct http_route *first = NULL;
    for (size_t i = 0; i < route->pattern_count; i++) {
        const struct http_route *hider = hider_of(route, &route->patterns[i]);
        if (!hider)
            return NULL;
        if (!first)
            first = hider;
    }
    return first;
}

int route_lies_outside(const struct http_route *route)
{
    const struct http_route *parent = route->parent;
    for (size_t i = 0; i < route->pattern_count; i++) {
        for (size_t k = 0; k < parent->pattern_count; k++) {
            if (path_pattern_meets(&route->patterns[i], &parent->patterns[k]))
                return 0;
        }
    }
    return route->pattern_count > 0 && parent->pattern_count > 0;
}

/* --- matching --- */

static int patterns_match(const struct http_route *route, struct slice path)
{
    for (size_t i = 0; i < route->pattern_count; i++) {
        if (path_pattern_matches(&route->patterns[i], path))
            return 1;
    }
    return route->pattern_count == 0;
}

struct route_request route_sees(const struct http_route *route, const struct route_request *request,
                                struct sockaddr_storage *memory)
{
    struct route_request seen = *request;
    seen.client = client_find(request->peer, route->settings.trust, route->settings.trust_count,
                              request->header, request->headers, memory);
    return seen;
}

static enum route_verdict judge(const struct http_route *route, const struct route_request *request,
                                const struct route_test **failed)
{
    struct sockaddr_storage memory;
    *failed = NULL;
    if (!patterns_match(route, request->path))
        return ROUTE_OTHER_PATH;
    if (!route->tests)
        return ROUTE_TAKEN;
    const struct route_request seen = route_sees(route, request, &memory);
    int result = route_tests_hold(route->tests, &seen, failed);
    return result < 0 ? ROUTE_TEST_UNKNOWN : result ? ROUTE_TAKEN : ROUTE_TEST_FAILED;
}

int routes_trace(const struct http_site *site, const struct route_request *request,
                 const struct http_route **route, route_trace_fn trace, void *context)
{
    const struct http_route *at = site->route, *child = at->first_child;
    unsigned depth = 1;
    while (child) {
        const struct route_test *failed;
        enum route_verdict verdict = judge(child, request, &failed);
        if (trace)
            trace(context, child, depth, verdict, failed);
        *route = child;
        if (verdict == ROUTE_TEST_UNKNOWN)
            return ERR_LIMIT;
        if (verdict != ROUTE_TAKEN) {
            child = child->next;
            continue;
        }
        at = child;
        child = at->first_child;
        depth++;
    }
    *route = at;
    return at->answer == ROUTE_NONE ? ERR_NOT_FOUND : 0;
}

int routes_match(const struct http_site *site, const struct route_request *request,
                 const struct http_route **route)
{
    return routes_trace(site, request, route, NULL, NULL);
}
