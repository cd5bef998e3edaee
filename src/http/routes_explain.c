/* Why a request is answered by the route that answers it, in words. */
#include "http/routes.h"

#include "http/escape.h"

static const char *const answer_names[] = {
#define ROUTE_ANSWER_NAME(name, text) text,
    ROUTE_ANSWER_TABLE(ROUTE_ANSWER_NAME)
#undef ROUTE_ANSWER_NAME
};

static void add_route(struct text *out, const struct http_route *route, unsigned depth)
{
    text_add_f(out, "%*s%s %s", (int)depth * 2, "", depth ? "route" : "site", route->text);
    text_add_f(out, " (%s:%u): ", route->file, route->line);
}

static void add_step(void *context, const struct http_route *route, unsigned depth,
                     enum route_verdict verdict, const struct route_test *failed)
{
    struct text *out = context;
    add_route(out, route, depth);
    switch (verdict) {
    case ROUTE_TAKEN:
        text_add_c(out, "matches");
        break;
    case ROUTE_OTHER_PATH:
        text_add_c(out, "another path");
        break;
    case ROUTE_TEST_FAILED:
        text_add_c(out, "the path matches, but not: ");
        route_test_format(failed, out);
        break;
    case ROUTE_TEST_UNKNOWN:
        text_add_c(out, "the path matches, but too much work: ");
        route_test_format(failed, out);
        break;
    }
    text_add_c(out, "\n");
}

static void add_rendered(struct text *out, const struct template *template,
                         const struct route_context *context)
{
    char memory[1024];
    struct text text;
    text_init(&text, memory, sizeof memory);
    text_add_c(out, " ");
    if (template_render(template, route_value, context, &text))
        text_add_c(out, "(a long text)");
    else
        text_add(out, (struct slice){text.at, text.length});
}

static void add_target(struct text *out, const struct route_context *context)
{
    char path_memory[ROUTE_PATH_MAX], query_memory[ROUTE_PATH_MAX];
    struct text path, query;
    text_init(&path, path_memory, sizeof path_memory);
    text_init(&query, query_memory, sizeof query_memory);
    if (route_edit_target(context->route, context->request, &path, &query)) {
        text_add_c(out, ", but the rewritten target is no path: 500");
        return;
    }
    text_add_c(out, ", path ");
    escape_add_path(out, (struct slice){path.at, path.length});
    if (query.length)
        text_add_f(out, "?%s", query.at);
}

static void add_answer(struct text *out, const struct http_config *config,
                       const struct route_context *context)
{
    const struct http_route *route = context->route;
    text_add_f(out, "answer: %s", answer_names[route->answer]);
    if (route->answer == ROUTE_FILES)
        text_add_f(out, " %s", config->folders[route->folder]);
    else if (route->answer == ROUTE_RESPOND || route->answer == ROUTE_REDIRECT)
        text_add_f(out, " %d", route->status);
    else if (route->answer == ROUTE_PROXY)
        text_add_f(out, " %s", config->upstreams.pools[route->proxy->pool].name.at);
    if (route->target)
        add_rendered(out, route->target, context);
    if (route->answer == ROUTE_FILES || route->answer == ROUTE_PROXY)
        add_target(out, context);
    text_add_c(out, "\n");
}

int routes_explain(const struct http_config *config, const struct http_site *site,
                   const struct route_request *request, struct text *out)
{
    const struct http_route *route = NULL;
    add_route(out, site->route, 0);
    text_add_c(out, "the site of this host and listener\n");
    int result = routes_trace(site, request, &route, add_step, out);
    if (result == ERR_NOT_FOUND)
        text_add_c(out, "answer: 404, because nothing here answers\n");
    else if (result)
        text_add_c(out, "answer: 500, because a pattern has reached its limits\n");
    if (result)
        return result;
    struct sockaddr_storage client;
    const struct route_request seen = route_sees(route, request, &client);
    add_answer(out, config, &(struct route_context){route, &seen});
    return 0;
}
