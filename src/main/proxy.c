/* The answer `proxy`: a pool that requests are passed on to, and how; and which proxies before us are believed. */
#include "main/directives.h"

#include "conf/suggest.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define BUFFER_MAX (1ULL << 20) /* in memory, for one request */
#define FILE_MAX (1ULL << 40)

static const char *const host_words[] = {"client", "upstream", NULL};

static int apply_proxy(void *into, const struct conf_statement *statement, void **child)
{
    struct block_build *block = into;
    struct build *build = block->build;
    struct storage *storage = &build->http->storage;
    struct proxy_build *proxy = storage_take(storage, sizeof *proxy);
    struct http_proxy *settings = storage_take(storage, sizeof *settings);
    const char *target = storage_copy(storage, slice_of(conf_value(statement, 0)->text)).at;
    if (!proxy || !settings || !target)
        return ERR_NO_MEMORY;
    *proxy = (struct proxy_build){
        .build = build,
        .target = {build, statement->node, target},
        .proxy = settings,
    };
    *child = proxy;
    if (block_take_answer(block, statement, ROUTE_PROXY))
        return 0;
    block->route->proxy = settings;
    settings->number = build->http->proxy_count++;
    *build->proxy_end = proxy;
    build->proxy_end = &proxy->next;
    return 0;
}

/* What may stand in a Host field (RFC 9110 section 7.2): nothing that ends it, and no path. */
static int is_host(const char *text)
{
    for (const char *c = text; *c; c++) {
        if ((unsigned char)*c <= ' ' || (unsigned char)*c >= 0x7f || strchr("/?#@,\\{}", *c))
            return 0;
    }
    return text[0] != '\0';
}

static int apply_host(void *into, const struct conf_statement *statement, void **child)
{
    struct proxy_build *proxy = into;
    const struct conf_value *value = conf_value(statement, 0);
    (void)child;
    if (value->word >= 0) {
        proxy->proxy->host = (enum http_proxy_host)value->word;
        return 0;
    }
    if (!is_host(value->text))
        conf_refuse_value(statement, value, "\"client\", \"upstream\", or such as app.example.com",
                          "\"%.200s\" is no host", value->text);
    proxy->proxy->host = HTTP_PROXY_HOST_TEXT;
    proxy->proxy->host_text = storage_copy(&proxy->build->http->storage, slice_of(value->text));
    return proxy->proxy->host_text.at ? 0 : ERR_NO_MEMORY;
}

static int apply_timeout(void *into, const struct conf_statement *statement, void **child)
{
    struct http_proxy *proxy = ((struct proxy_build *)into)->proxy;
    uint64_t *const fields[] = {[POOL_TIMEOUT_CONNECT] = &proxy->connect_ms,
                                [POOL_TIMEOUT_FIRST_BYTE] = &proxy->first_byte_ms,
                                [POOL_TIMEOUT_BETWEEN] = &proxy->between_ms,
                                [POOL_TIMEOUT_WHOLE] = &proxy->whole_ms,
                                [POOL_TIMEOUT_TUNNEL] = &proxy->tunnel_ms};
    (void)child;
    *fields[conf_value(statement, 0)->word] = NUMBER_OF(statement, 1);
    return 0;
}

static int apply_buffer(void *into, const struct conf_statement *statement, void **child)
{
    struct http_proxy *proxy = ((struct proxy_build *)into)->proxy;
    const struct conf_value *file = conf_value(statement, 2);
    const int is_request = conf_value(statement, 0)->word == 0;
    uint64_t *memory = is_request ? &proxy->buffer_request : &proxy->buffer_response;
    (void)child;
    if (*memory)
        conf_refuse(statement, NULL, "\"buffer %s\" is said already", conf_value(statement, 0)->text);
    *memory = NUMBER_OF(statement, 1);
    *(is_request ? &proxy->buffer_request_file : &proxy->buffer_response_file) = file ? file->number : 0;
    return 0;
}

static int apply_error_header(void *into, const struct conf_statement *statement, void **child)
{
    (void)child;
    ((struct proxy_build *)into)->proxy->hides_errors = !NUMBER_OF(statement, 0);
    return 0;
}

static int apply_trust(void *into, const struct conf_statement *statement, void **child)
{
    struct block_build *block = into;
    struct route_settings *settings = &block->route->settings;
    (void)child;
    block->route->given |= ROUTE_GIVES_TRUST;
    return build_take_nets(block->build, statement, 0, &settings->trust, &settings->trust_count);
}

/* --- when all is read --- */

static uint32_t number_of(const struct build *build, const struct pool_build *wanted)
{
    uint32_t number = 0;
    for (const struct pool_build *pool = build->first_pool; pool != wanted; pool = pool->next)
        number++;
    return number;
}

static struct pool_build *find_pool(const struct build *build, const char *name, int is_of_a_route)
{
    struct pool_build *pool = build->first_pool;
    while (pool &&
           (pool->pool.is_of_a_route != is_of_a_route || !slice_equals(pool->pool.name, slice_of(name))))
        pool = pool->next;
    return pool;
}

__attribute__((format(printf, 4, 5))) static void refuse(const struct pool_target *target,
                                                         struct diagnostics *diagnostics, const char *hint,
                                                         const char *format, ...)
{
    char message[400];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    struct diagnostic_place place = conf_arg_place(target->node, 0);
    diagnostics_add(diagnostics, &place, hint, "%s", message);
}

static void refuse_unknown(const struct pool_target *target, struct diagnostics *diagnostics)
{
    char memory[200];
    struct suggestion suggestion;
    suggestion_init(&suggestion, target->text);
    for (const struct pool_build *pool = target->build->first_pool; pool; pool = pool->next) {
        if (!pool->pool.is_of_a_route)
            suggestion_offer(&suggestion, pool->pool.name.at);
    }
    const char *hint = suggestion_text(&suggestion, memory, sizeof memory);
    if (!hint && strchr(target->text, '.')) {
        snprintf(memory, sizeof memory, "an address has a port: %.150s:3000", target->text);
        hint = memory;
    }
    refuse(target, diagnostics, hint ? hint : "a \"pool\" of that name, or HOST:PORT, unix:/PATH or srv:NAME",
           "there is no pool \"%.200s\"", target->text);
}

/* Routes that name the same address share its pool. 0 and *found, NULL if it was refused; ERR_NO_MEMORY. */
static int pool_of_address(const struct pool_target *target, struct diagnostics *diagnostics,
                           struct pool_build **found)
{
    struct build *build = target->build;
    struct upstream_server *server;
    const char *problem, *hint;
    *found = find_pool(build, target->text, 1);
    if (*found)
        return 0;
    if (build->http->upstreams.pool_count == UPSTREAM_POOLS_MAX) {
        refuse(target, diagnostics, NULL, "this would be more than %u pools", UPSTREAM_POOLS_MAX);
        return 0;
    }
    struct pool_build *pool = pool_new(build, target->text);
    if (!pool)
        return ERR_NO_MEMORY;
    pool->node = target->node;
    pool->pool.is_of_a_route = 1;
    int error = pool_add_server(pool, target->text, &server, &problem, &hint);
    if (error == ERR_SYNTAX)
        refuse(target, diagnostics, hint, "\"%.200s\" %s", target->text, problem);
    else
        *found = pool;
    return error == ERR_NO_MEMORY ? error : 0;
}

static int is_address(const char *target)
{
    return strpbrk(target, ":/") != NULL;
}

int pool_of_target(const struct pool_target *target, struct diagnostics *diagnostics,
                   struct pool_build **found, uint32_t *number)
{
    struct pool_build *pool = find_pool(target->build, target->text, 0);
    *found = NULL;
    if (!pool && is_address(target->text)) {
        int error = pool_of_address(target, diagnostics, &pool);
        if (error || !pool)
            return error;
    }
    if (!pool) {
        refuse_unknown(target, diagnostics);
        return 0;
    }
    *found = pool;
    *number = number_of(target->build, pool);
    return 0;
}

int proxies_finish(struct build *build, struct diagnostics *diagnostics)
{
    struct http_config *http = build->http;
    http->proxies = storage_take(&http->storage, (http->proxy_count + 1) * sizeof *http->proxies);
    if (!http->proxies)
        return ERR_NO_MEMORY;
    for (struct proxy_build *proxy = build->first_proxy; proxy; proxy = proxy->next) {
        struct pool_build *unused;
        int error = pool_of_target(&proxy->target, diagnostics, &unused, &proxy->proxy->pool);
        if (error)
            return error;
        http->proxies[proxy->proxy->number] = proxy->proxy;
    }
    return 0;
}

#define IN_A_PROXY(line) "site :8080 {\n    proxy 127.0.0.1:3000 {\n        " line "\n    }\n}"

static const struct directive directives[] = {
    {
        .name = "proxy",
        .elsewhere = "proxy_pass use_backend default_backend",
        .contexts = IN_SITE | IN_ROUTE,
        .arguments = {{.name = "TARGET", .kind = CONF_WORD}},
        .opens = CONTEXT_PROXY,
        .bare_block = 1,
        .doc = "Passes requests on to a `pool`, by its name, or to one server: `HOST:PORT`, `unix:/PATH` or "
               "`srv:NAME`, "
               "which is then a pool of its own with all defaults. Bodies are streamed in both directions "
               "unless "
               "`buffer` says otherwise.",
        .example = "pool app {\n    server 10.0.0.1:3000\n    server 10.0.0.2:3000\n}\nsite :8080 {\n    "
                   "route /api/* {\n"
                   "        proxy app\n    }\n    proxy unix:/run/web.sock\n}",
        .apply = apply_proxy,
    },
    {
        .name = "trust",
        .elsewhere = "set_real_ip_from real_ip_header",
        .contexts = AT_TOP | IN_SITE | IN_ROUTE,
        .arguments = {{.name = "NET", .kind = CONF_WORD, .repeat = 1}},
        .doc =
            "Proxies before this server, by their networks. Of their requests the client is whom they name: "
            "the "
            "last address of `X-Forwarded-For` (where that is missing, of the `for=` of `Forwarded`) that is "
            "not trusted itself. That counts in `match { client }` (the block's own, too), "
            "`{client.address}`, "
            "access logs and `balance hash client`; `max_connections_per_client` and `holdfast connections` "
            "go "
            "by the connection. And what they say in these headers, `X-Forwarded-Proto` and "
            "`X-Forwarded-Host` "
            "is passed on to upstream servers, with our own word behind it. From anybody else such headers "
            "are "
            "thrown away.",
        .example = "site :8080 {\n    trust 10.0.0.0/8 ::1\n    proxy 127.0.0.1:3000\n}",
        .default_text = "nobody",
        .apply = apply_trust,
    },
    {
        .name = "host",
        .contexts = IN_PROXY,
        .arguments = {{.name = "TEXT", .kind = CONF_TEXT, .words = host_words}},
        .doc =
            "The Host that the upstream server is asked for: the `client`'s, the one of the `upstream` "
            "server itself (of a pool that of its first, of `srv:NAME` the name), or a text. Where a client "
            "of HTTP/1.0 names none, it is the server's.",
        .example = IN_A_PROXY("host app.example.com"),
        .default_text = "`client`",
        .apply = apply_host,
    },
    {
        .name = "timeout",
        .contexts = IN_PROXY,
        .arguments = {{.name = "WHAT", .kind = CONF_CHOICE, .words = POOL_TIMEOUT_WORDS},
                      {.name = "TIME", .kind = CONF_DURATION, .min = 1, .max = DAY_MS}},
        .repeat = 1,
        .doc = "The `timeout` of the pool, otherwise for this route.",
        .example = IN_A_PROXY("timeout first_byte 10m"),
        .default_text = "the pool's",
        .apply = apply_timeout,
    },
    {
        .name = "buffer",
        .contexts = IN_PROXY,
        .arguments = {{.name = "WHAT", .kind = CONF_CHOICE, .words = WORDS("request", "response")},
                      {.name = "SIZE", .kind = CONF_SIZE, .min = 1, .max = BUFFER_MAX},
                      {.name = "SIZE",
                       .kind = CONF_SIZE,
                       .keyword = "file",
                       .optional = 1,
                       .min = 1,
                       .max = FILE_MAX}},
        .repeat = 1,
        .doc =
            "`request`: takes in the whole body before a server is asked, up to this size in memory, or in a "
            "file of at most `file` (in `/var/tmp`, without a name); a longer one is streamed from there on. "
            "`response`: takes in what the client does not take at once, within the same limits, so that a "
            "slow "
            "client does not hold the server's connection. Without space bodies are streamed, and the log "
            "says "
            "so (`buffer_failed`).",
        .example = IN_A_PROXY("buffer request 64k file 1g"),
        .default_text = "both are streamed",
        .apply = apply_buffer,
    },
    {
        .name = "error_header",
        .contexts = IN_PROXY,
        .arguments = {{.name = "SWITCH", .kind = CONF_ON_OFF}},
        .doc = "Whether an error of this server's own names its reason in a header, such as "
               "`upstream_timeout`. The log "
               "has it in any case.",
        .example = IN_A_PROXY("error_header off"),
        .default_text = "`on`",
        .apply = apply_error_header,
    },
};

const struct directive_table proxy_directives = {directives, COUNT_OF(directives)};
