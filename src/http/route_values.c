/* What a route makes of a request: the values of its templates, and the path that its answer looks at. */
#include "http/routes.h"

#include "http/escape.h"
#include "http/traceparent.h"
#include "proto/h1.h"

#include <string.h>

/* --- values --- */

static const struct route_test *pattern_test(const struct http_route *route)
{
    for (; route; route = route->parent) {
        for (const struct route_test *test = route->tests; test; test = test->next) {
            if (test->kind == ROUTE_TEST_PATTERN)
                return test;
        }
    }
    return NULL;
}

int route_group_count(const struct http_route *route)
{
    const struct route_test *test = pattern_test(route);
    return test ? (int)regex_group_count(test->regex) : -1;
}

/* Matches again instead of keeping groups with the request: what a worker knows must be found again by the next. */
static void add_group(const struct route_context *context, struct slice argument, struct text *out)
{
    const struct route_test *test = pattern_test(context->route);
    struct slice groups[REGEX_GROUPS_MAX];
    if (test && regex_match(test->regex, context->request->path, groups) == 1)
        escape_add_path(out, groups[argument.at[0] - '0']);
}

static void add_rest(const struct route_context *context, struct text *out)
{
    const struct http_route *route = context->route;
    struct slice path = context->request->path;
    for (size_t i = 0; i < route->pattern_count; i++) {
        if (!path_pattern_matches(&route->patterns[i], path))
            continue;
        escape_add_path(out, path_pattern_rest(&route->patterns[i], path));
        return;
    }
    if (!route->pattern_count && path.length) /* a site's own: all behind the first slash */
        escape_add_path(out, (struct slice){path.at + 1, path.length - 1});
}

static void add_query_value(const struct route_request *request, struct slice wanted, struct text *out)
{
    struct slice rest = request->query, name, value;
    while (query_next(&rest, &name, &value)) {
        if (!query_equals(name, wanted))
            continue;
        text_add(out, value);
        return;
    }
}

static void add_target(const struct route_request *request, struct text *out)
{
    text_add(out, request->raw_path);
    if (!request->has_query)
        return;
    text_add_c(out, "?");
    text_add(out, request->query);
}

static void add_header(const struct route_request *request, struct slice name, struct text *out)
{
    struct slice value;
    if (request->header && request->header(request->headers, name, 0, &value))
        text_add(out, value);
}

/* Any number but 0 that another request hardly has, the same each time it is asked for. */
static uint64_t own_step(const struct route_request *request)
{
    uint64_t mixed = (request->trace_high ^ request->trace_low) * 0x9e3779b97f4a7c15ULL;
    mixed = (mixed ^ mixed >> 31) * 0xbf58476d1ce4e5b9ULL;
    return mixed ? mixed : 1;
}

/* One that comes twice is as none (http/traceparent.h). */
static void add_traceparent(const struct route_request *request, struct text *out)
{
    const struct slice name = SLICE_LITERAL("traceparent");
    char memory[TRACEPARENT_SIZE];
    struct slice value, second;
    struct traceparent trace;
    int has_one = request->header && request->header(request->headers, name, 0, &value) &&
                  !request->header(request->headers, name, 1, &second);
    if (!has_one || traceparent_parse(value, &trace))
        trace = (struct traceparent){request->trace_high, request->trace_low, 0, 0};
    if (!(trace.trace_high | trace.trace_low))
        trace.trace_low = 1;
    trace.parent = own_step(request);
    traceparent_write(&trace, memory);
    text_add_c(out, memory);
}

static void add_port(const struct route_request *request, struct text *out)
{
    unsigned port = client_port(request->client);
    if (port)
        text_add_u64(out, port);
}

void route_value(const void *context, enum template_value value, struct slice argument, struct text *out)
{
    const struct route_context *of = context;
    const struct route_request *request = of->request;
    switch (value) {
    case TEMPLATE_CLIENT_ADDRESS:
        client_address_format(request->client, out);
        break;
    case TEMPLATE_CLIENT_PORT:
        add_port(request, out);
        break;
    case TEMPLATE_METHOD:
        text_add(out, request->method);
        break;
    case TEMPLATE_SCHEME:
        text_add(out, request->scheme);
        break;
    case TEMPLATE_HOST:
        text_add(out, request->host);
        break;
    case TEMPLATE_PATH:
        text_add(out, request->raw_path);
        break;
    case TEMPLATE_QUERY:
        text_add(out, request->query);
        break;
    case TEMPLATE_TARGET:
        add_target(request, out);
        break;
    case TEMPLATE_REST:
        add_rest(of, out);
        break;
    case TEMPLATE_REQUEST_ID:
        text_add(out, request->id);
        break;
    case TEMPLATE_TRACEPARENT:
        add_traceparent(request, out);
        break;
    case TEMPLATE_REQUEST_HEADER:
        add_header(request, argument, out);
        break;
    case TEMPLATE_QUERY_VALUE:
        add_query_value(request, argument, out);
        break;
    case TEMPLATE_CAPTURE:
        add_group(of, argument, out);
        break;
    case TEMPLATE_VALUES:
        break;
    }
}

/* --- the path that the answer looks at --- */

static void strip(struct slice prefix, struct text *path)
{
    struct slice whole = {path->at, path->length};
    if (!slice_starts_with(whole, prefix) || (whole.length > prefix.length && whole.at[prefix.length] != '/'))
        return; /* /static2 does not begin with the segments of /static */
    path->length -= prefix.length;
    memmove(path->at, path->at + prefix.length, path->length + 1);
    if (!path->length)
        text_add_c(path, "/");
}

static int rewrite(const struct route_context *context, const struct template *to, struct text *path,
                   struct text *query)
{
    char memory[ROUTE_PATH_MAX];
    struct text target;
    uint32_t length = 0;
    text_init(&target, memory, sizeof memory);
    int error = template_render(to, route_value, context, &target);
    if (error)
        return error;
    size_t before = strcspn(target.at, "?");
    if (before < target.length) {
        text_init(query, query->at, query->capacity);
        text_add(query, (struct slice){target.at + before + 1, target.length - before - 1});
    }
    uint32_t room = path->capacity < ROUTE_PATH_MAX ? (uint32_t)path->capacity : ROUTE_PATH_MAX;
    error = h1_path_decode((struct slice){target.at, before}, path->at, room, &length);
    path->length = error ? 0 : length;
    path->at[path->length] = '\0';
    return error == ERR_NO_SPACE ? ERR_NO_SPACE : error ? ERR_INVALID : 0;
}

int route_edit_target(const struct http_route *route, const struct route_request *request, struct text *path,
                      struct text *query)
{
    const struct route_context context = {route, request};
    text_init(path, path->at, path->capacity);
    text_init(query, query->at, query->capacity);
    text_add(path, request->path);
    text_add(query, request->query);
    for (const struct route_edit *edit = route->edits; edit && !path->overflow; edit = edit->next) {
        if (edit->strip.length) {
            strip(edit->strip, path);
            continue;
        }
        int error = rewrite(&context, edit->rewrite, path, query);
        if (error)
            return error;
    }
    return path->overflow || query->overflow ? ERR_NO_SPACE : 0;
}
