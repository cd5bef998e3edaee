#include "main/explain.h"

#include "conf/value.h"
#include "core/worker.h"
#include "ctl/command.h"
#include "http/routes.h"
#include "main/loader.h"
#include "main/settings.h"
#include "proto/h1.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADERS_MAX 64
#define TEXT_MAX 65536

struct explain {
    const char *config_path, *url, *method, *listener;
    int json;
    struct {
        struct slice name, value;
    } headers[HEADERS_MAX];
    size_t header_count;
    struct sockaddr_storage client;

    char host[256], port[8];
    char path[ROUTE_PATH_MAX];
    struct slice raw_path, query;
    int has_query;
    struct core_settings core;
    struct http_config http;
};

/* --- the command line --- */

static int header_of(const void *headers, struct slice name, size_t nth, struct slice *value)
{
    const struct explain *explain = headers;

    for (size_t i = 0; i < explain->header_count; i++) {
        if (!slice_equals_nocase(explain->headers[i].name, name) || nth--)
            continue;
        *value = explain->headers[i].value;
        return 1;
    }
    return 0;
}

static int take_header(struct explain *explain, const char *text)
{
    const char *colon = strchr(text, ':');

    if (!colon || colon == text || explain->header_count == HEADERS_MAX)
        return ERR_INVALID;
    explain->headers[explain->header_count].name = (struct slice){text, (size_t)(colon - text)};
    explain->headers[explain->header_count++].value = slice_of(colon + 1 + strspn(colon + 1, " \t"));
    return 0;
}

static int take_client(struct explain *explain, const char *text)
{
    struct sockaddr_in *ipv4 = (struct sockaddr_in *)&explain->client;
    struct sockaddr_in6 *ipv6 = (struct sockaddr_in6 *)&explain->client;

    explain->client = (struct sockaddr_storage){.ss_family = AF_INET};
    if (inet_pton(AF_INET, text, &ipv4->sin_addr) == 1)
        return 0;
    explain->client.ss_family = AF_INET6;
    return inet_pton(AF_INET6, text, &ipv6->sin6_addr) == 1 ? 0 : ERR_INVALID;
}

/* http://HOST[:PORT][/PATH][?QUERY], or /PATH alone: then any host. */
static int take_url(struct explain *explain, const char *url)
{
    const char *path = url, *query;
    uint32_t length = 0;

    snprintf(explain->port, sizeof explain->port, "%s", "80");
    if (!strncmp(url, "http://", 7)) {
        const char *host = url + 7, *end = host + strcspn(host, "/?#"), *colon;
        size_t host_length = (size_t)(end - host);

        for (colon = end; colon > host && colon[-1] != ':' && colon[-1] != ']'; colon--)
            ;
        if (colon > host && colon[-1] == ':') {
            host_length = (size_t)(colon - 1 - host);
            snprintf(explain->port, sizeof explain->port, "%.*s", (int)(end - colon), colon);
        }
        if (!host_length || host_length >= sizeof explain->host)
            return ERR_INVALID;
        memcpy(explain->host, host, host_length);
        path = *end == '/' ? end : "/";
        if (*end == '?')
            return ERR_INVALID; /* "http://host?query" has no path: say so rather than guess */
    } else if (url[0] != '/') {
        return ERR_INVALID;
    }
    query = strchr(path, '?');
    explain->raw_path = (struct slice){path, query ? (size_t)(query - path) : strcspn(path, "#")};
    explain->has_query = query != NULL;
    explain->query = query ? (struct slice){query + 1, strcspn(query + 1, "#")} : (struct slice){"", 0};
    if (h1_path_decode(explain->raw_path, explain->path, sizeof explain->path, &length))
        return ERR_INVALID;
    explain->path[length] = '\0';
    return 0;
}

/* NULL, or the word that is wrong, or what is wrong with it. */
static const char *read_arguments(struct explain *explain, int count, char **arguments)
{
    for (int i = 2; i < count; i++) {
        const char *word = arguments[i], *value = i + 1 < count ? arguments[i + 1] : NULL;

        if (!strcmp(word, "--json")) {
            explain->json = 1;
            continue;
        }
        if (word[0] != '-' && !explain->url) {
            explain->url = word;
            continue;
        }
        if (!value)
            return word;
        i++;
        if (!strcmp(word, "-c"))
            explain->config_path = value;
        else if (!strcmp(word, "--method"))
            explain->method = value;
        else if (!strcmp(word, "--listener"))
            explain->listener = value;
        else if (strcmp(word, "--header") && strcmp(word, "--client"))
            return word;
        else if (word[2] == 'h' ? take_header(explain, value) : take_client(explain, value))
            return value;
    }
    if (!explain->url)
        return "URL is missing";
    return take_url(explain, explain->url) ? "URL is http://HOST[:PORT]/PATH, or /PATH alone" : NULL;
}

/* --- the listener and the site --- */

static int ends_with_port(const struct core_listener *listener, const char *port)
{
    const char *colon = strrchr(listener->text, ':');

    return listener->kind != CORE_LISTENER_UNIX && colon && !strcmp(colon + 1, port);
}

/* The address that a client of this URL would reach, as far as it can be known from the URL: the port decides, and a
 * listener of the host's own address goes before the wider ones. -1: nobody listens there. */
static int find_listener(const struct explain *explain)
{
    char address[300];
    int found = -1;

    snprintf(address, sizeof address, "%s:%s", explain->host, explain->port);
    for (size_t i = 0; i < explain->core.listener_count; i++) {
        const struct core_listener *listener = &explain->core.listeners[i];

        if (listener->class_tag != CONN_CLASS_HTTP)
            continue;
        if (!strcmp(listener->text, explain->listener ? explain->listener : address))
            return (int)i;
        if (!explain->listener && found < 0 &&
            (explain->host[0] ? ends_with_port(listener, explain->port) : 1))
            found = (int)i;
    }
    return found;
}

static const struct http_site *find_site(const struct explain *explain, uint32_t listener)
{
    const struct http_site *any = NULL;

    for (size_t s = 0; s < explain->http.site_count; s++) {
        const struct http_site *site = &explain->http.sites[s];

        for (size_t a = 0; a < site->address_count; a++) {
            if (site->addresses[a].listener != listener)
                continue;
            if (!site->addresses[a].host[0])
                any = site;
            else if (slice_equals_nocase(slice_of(site->addresses[a].host), slice_of(explain->host)))
                return site;
        }
    }
    return any;
}

/* --- the answer as JSON --- */

static void add_string(struct text *out, const char *name, struct slice value)
{
    text_add_f(out, "\"%s\":\"", name);
    text_add_json(out, value);
    text_add_c(out, "\"");
}

static void add_json_step(void *context, const struct http_route *route, unsigned depth,
                          enum route_verdict verdict, const struct route_test *failed)
{
    static const char *const verdicts[] = {[ROUTE_TAKEN] = "taken",
                                           [ROUTE_OTHER_PATH] = "other_path",
                                           [ROUTE_TEST_FAILED] = "test_failed",
                                           [ROUTE_TEST_UNKNOWN] = "test_unknown"};
    struct text *out = context;
    char memory[1024];
    struct text test;

    text_add_f(out, "%s{\"depth\":%u,", out->at[out->length - 1] == '[' ? "" : ",", depth);
    add_string(out, "route", slice_of(route->text));
    text_add_c(out, ",");
    add_string(out, "file", slice_of(route->file));
    text_add_f(out, ",\"line\":%u,\"verdict\":\"%s\"", route->line, verdicts[verdict]);
    if (failed) {
        text_init(&test, memory, sizeof memory);
        route_test_format(failed, &test);
        text_add_c(out, ",");
        add_string(out, "test", (struct slice){test.at, test.length});
    }
    text_add_c(out, "}");
}

static const char *const answer_names[] = {
#define EXPLAIN_ANSWER_NAME(name, text) text,
    ROUTE_ANSWER_TABLE(EXPLAIN_ANSWER_NAME)
#undef EXPLAIN_ANSWER_NAME
};

static void add_json_answer(const struct explain *explain, const struct route_request *request,
                            const struct http_route *route, struct text *out)
{
    char path_memory[ROUTE_PATH_MAX], query_memory[ROUTE_PATH_MAX];
    struct sockaddr_storage client;
    const struct route_request seen = route_sees(route, request, &client);
    struct text path, query;

    text_init(&path, path_memory, sizeof path_memory);
    text_init(&query, query_memory, sizeof query_memory);
    text_add_f(out, "{\"kind\":\"%s\"", answer_names[route->answer]);
    if (route->answer == ROUTE_RESPOND || route->answer == ROUTE_REDIRECT)
        text_add_f(out, ",\"status\":%d", route->status);
    if (route->answer == ROUTE_FILES) {
        text_add_c(out, ",");
        add_string(out, "folder", slice_of(explain->http.folders[route->folder]));
        if (!route_edit_target(route, &seen, &path, &query)) {
            text_add_c(out, ",");
            add_string(out, "path", (struct slice){path.at, path.length});
        }
    }
    text_add_c(out, "}");
}

static int explain_json(const struct explain *explain, const struct http_site *site, int listener,
                        const struct route_request *request, struct text *out)
{
    const struct http_route *route = NULL;
    int result;

    text_add_c(out, "{");
    add_string(out, "listener", slice_of(explain->core.listeners[listener].text));
    text_add_c(out, ",");
    add_string(out, "site", site ? slice_of(site->route->text) : (struct slice){"", 0});
    text_add_c(out, ",\"routes\":[");
    result = site ? routes_trace(site, request, &route, add_json_step, out) : ERR_NOT_FOUND;
    text_add_c(out, "],\"answer\":");
    if (result)
        text_add_f(out, "{\"kind\":\"error\",\"status\":%d}", result == ERR_LIMIT ? 500 : 404);
    else
        add_json_answer(explain, request, route, out);
    text_add_c(out, "}\n");
    return result;
}

/* --- the whole --- */

static int explain_route(const struct explain *explain, int listener)
{
    static char memory[TEXT_MAX];
    const struct http_site *site = find_site(explain, (uint32_t)listener);
    const struct sockaddr_storage *peer = explain->client.ss_family ? &explain->client : NULL;
    const struct route_request request = {.method = slice_of(explain->method),
                                          .scheme = SLICE_LITERAL("http"),
                                          .host = slice_of(explain->host),
                                          .path = slice_of(explain->path),
                                          .raw_path = explain->raw_path,
                                          .query = explain->query,
                                          .has_query = explain->has_query,
                                          .id = SLICE_LITERAL("explain"),
                                          .peer = peer,
                                          .client = peer,
                                          .header = header_of,
                                          .headers = explain};
    struct text out;
    int result;

    text_init(&out, memory, sizeof memory);
    if (explain->json) {
        result = explain_json(explain, site, listener, &request, &out);
    } else {
        text_add_f(&out, "listener %s\n", explain->core.listeners[listener].text);
        result = site ? routes_explain(&explain->http, site, &request, &out) : ERR_NOT_FOUND;
        if (!site)
            text_add_f(&out, "answer: 404, because no site here has the name \"%s\"\n", explain->host);
    }
    fputs(out.at, stdout);
    return result ? COMMAND_EXIT_FAILED : 0;
}

static int explain_all(struct explain *explain)
{
    int listener = find_listener(explain);

    if (listener >= 0)
        return explain_route(explain, listener);
    fprintf(stderr, "holdfast: no site listens on %s\n  sites listen on",
            explain->listener ? explain->listener : explain->port);
    for (size_t i = 0, listed = 0; i < explain->core.listener_count; i++)
        if (explain->core.listeners[i].class_tag == CONN_CLASS_HTTP)
            fprintf(stderr, "%s %s", listed++ ? "," : "", explain->core.listeners[i].text);
    fputc('\n', stderr);
    return COMMAND_EXIT_FAILED;
}

int command_explain(int count, char **arguments, const char *default_config)
{
    static struct explain explain;
    const char *wrong;
    int exit_code;

    explain = (struct explain){.config_path = default_config, .method = "GET"};
    wrong = read_arguments(&explain, count, arguments);
    if (wrong)
        return command_usage_error(wrong, EXPLAIN_USAGE);
    if (loader_read(explain.config_path, &explain.core, &explain.http))
        return COMMAND_EXIT_FAILED;
    exit_code = explain_all(&explain);
    settings_fini_http(&explain.http);
    return exit_code;
}
