/* The block `pool`: servers that requests are passed on to; and `resolver`. Its `check` is in check.c. */
#include "main/directives.h"

#include <string.h>

#define MAX_TIMEOUT_MS DAY_MS
#define NAMES_MAX 256u /* different ones of a configuration: those that the shared table has room for */

/* --- pools and servers --- */

struct pool_build *pool_new(struct build *build, const char *name)
{
    struct pool_build *pool = storage_take(&build->http->storage, sizeof *pool);
    struct slice copy = storage_copy(&build->http->storage, slice_of(name));
    if (!pool || !copy.at)
        return NULL;
    *pool = (struct pool_build){
        .build = build,
        .pool = {.name = copy,
                 .keepalive = UPSTREAM_KEEPALIVE,
                 .keepalive_ms = UPSTREAM_KEEPALIVE_MS,
                 .connect_ms = UPSTREAM_CONNECT_MS,
                 .first_byte_ms = UPSTREAM_FIRST_BYTE_MS,
                 .between_ms = UPSTREAM_BETWEEN_MS,
                 .tunnel_ms = UPSTREAM_TUNNEL_MS,
                 .retries = {UPSTREAM_TRIES, UPSTREAM_WITHIN_MS, UPSTREAM_BUDGET_PERCENT},
                 .queue = UPSTREAM_QUEUE,
                 .queue_ms = UPSTREAM_QUEUE_MS,
                 .passive = {UPSTREAM_FAILURES, UPSTREAM_WINDOW_MS, UPSTREAM_EJECT_MS, UPSTREAM_EJECT_MAX_MS},
                 .check = {.interval_ms = UPSTREAM_CHECK_INTERVAL_MS,
                           .timeout_ms = UPSTREAM_CHECK_TIMEOUT_MS,
                           .rise = UPSTREAM_RISE,
                           .fall = UPSTREAM_FALL}},
    };
    pool->server_end = &pool->first_server;
    *build->pool_end = pool;
    build->pool_end = &pool->next;
    build->http->upstreams.pool_count++;
    return pool;
}

/* "srv:" is no part of what other addresses can be; the rest of it is a name without a port. */
static int parse_server(const char *text, struct conf_address *address, int *is_srv, const char **problem,
                        const char **hint)
{
    *is_srv = strncmp(text, "srv:", 4) == 0;
    if (!*is_srv)
        return conf_parse_address(text, CONF_ADDRESS_UPSTREAM, address, problem, hint);
    if (conf_parse_address(text + 4, CONF_ADDRESS_SITE, address, problem, hint))
        return ERR_SYNTAX;
    *hint = "such as srv:_http._tcp.example.com";
    *problem = address->port                        ? "has a port: those come with the records"
               : address->kind != CONF_ADDRESS_NAME ? "is not a name with SRV records"
                                                    : NULL;
    return *problem ? ERR_SYNTAX : 0;
}

/* 1, and *problem, if all pools together have as many as there are places for. */
static int is_one_too_many(struct build *build, const struct conf_address *address, const char **problem,
                           const char **hint)
{
    *hint = NULL;
    if (address->kind == CONF_ADDRESS_NAME) {
        *problem = "is one name too many: all pools together may have 256";
        return build->upstream_names++ >= UPSTREAM_NAMES_MAX;
    }
    *problem = "is one address too many: all pools together may have 1024";
    return build->upstream_addresses++ >= UPSTREAM_ADDRESSES_MAX;
}
_Static_assert(UPSTREAM_NAMES_MAX == 256 && UPSTREAM_ADDRESSES_MAX == 1024, "as the messages say");

int pool_add_server(struct pool_build *pool, const char *text, struct upstream_server **out,
                    const char **problem, const char **hint)
{
    struct storage *storage = &pool->build->http->storage;
    struct conf_address address;
    char canonical[UPSTREAM_SERVER_TEXT_MAX + 2];
    struct text written;
    int is_srv;
    if (parse_server(text, &address, &is_srv, problem, hint) ||
        is_one_too_many(pool->build, &address, problem, hint))
        return ERR_SYNTAX;
    struct server_build *build = storage_take(storage, sizeof *build);
    if (!build)
        return ERR_NO_MEMORY;
    struct upstream_server *server = &build->server;
    text_init(&written, canonical, sizeof canonical);
    text_add_c(&written, is_srv ? "srv:" : "");
    conf_format_address(&written, &address);
    server->text = storage_copy(storage, (struct slice){written.at, written.length});
    server->kind = is_srv                              ? UPSTREAM_SRV
                   : address.kind == CONF_ADDRESS_UNIX ? UPSTREAM_UNIX
                   : address.kind == CONF_ADDRESS_NAME ? UPSTREAM_HOST
                                                       : UPSTREAM_ADDRESS;
    server->port = address.port;
    server->weight = 1;
    if (address.kind == CONF_ADDRESS_NAME)
        server->host = storage_copy(storage, slice_of(address.host)).at;
    else if (conf_address_to_sockaddr(&address, &server->address, &server->length))
        return ERR_SYNTAX;
    if (!server->text.at || (address.kind == CONF_ADDRESS_NAME && !server->host))
        return ERR_NO_MEMORY;
    *pool->server_end = build;
    pool->server_end = &build->next;
    pool->pool.server_count++;
    *out = server;
    return 0;
}

static int is_pool_name(const char *name)
{
    size_t length = strlen(name);
    return length && length <= UPSTREAM_NAME_MAX &&
           !name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")];
}

static int apply_pool(void *into, const struct conf_statement *statement, void **child)
{
    struct build *build = into;
    const struct conf_value *name = conf_value(statement, 0);
    char hint[600];
    struct text text;
    if (!is_pool_name(name->text))
        conf_refuse_value(statement, name, "up to 63 letters, digits, - and _",
                          "\"%.200s\" is no name of a pool", name->text);
    for (const struct pool_build *other = build->first_pool; other; other = other->next) {
        if (!slice_equals(other->pool.name, slice_of(name->text)))
            continue;
        text_init(&text, hint, sizeof hint);
        text_add_f(&text, "the other one is in line %u", conf_line(other->node));
        if (strcmp(conf_file(other->node), conf_file(statement->node)) != 0)
            text_add_f(&text, " of %s", conf_file(other->node));
        conf_refuse_value(statement, name, hint, "there is a pool \"%.63s\" already", name->text);
        break;
    }
    if (build->http->upstreams.pool_count == UPSTREAM_POOLS_MAX) {
        conf_refuse(statement, NULL, "this would be more than %u pools", UPSTREAM_POOLS_MAX);
        return 0;
    }
    struct pool_build *pool = pool_new(build, name->text);
    if (!pool)
        return ERR_NO_MEMORY;
    pool->node = statement->node;
    pool->mistakes_before = statement->diagnostics->count;
    *child = pool;
    return 0;
}

static int apply_server(void *into, const struct conf_statement *statement, void **child)
{
    struct pool_build *pool = into;
    const struct conf_value *address = conf_value(statement, 0);
    struct upstream_server *server;
    const char *problem, *hint;
    (void)child;
    if (pool->pool.server_count == UPSTREAM_SERVERS_MAX) {
        conf_refuse(statement, NULL, "this would be more than %u servers", UPSTREAM_SERVERS_MAX);
        return 0;
    }
    int error = pool_add_server(pool, address->text, &server, &problem, &hint);
    if (error == ERR_SYNTAX) {
        conf_refuse_value(statement, address, hint, "\"%.200s\" %s", address->text, problem);
        return 0;
    }
    if (error)
        return error;
    for (const struct server_build *other = pool->first_server; &other->server != server;
         other = other->next) {
        if (slice_equals(other->server.text, server->text))
            conf_refuse_value(statement, address, "\"weight\" gives a server a larger share",
                              "\"%.200s\" is in this pool already", server->text.at);
    }
    if (conf_value(statement, 1))
        server->weight = (uint32_t)NUMBER_OF(statement, 1);
    server->is_backup = statement->counts[2] > 0;
    if (conf_value(statement, 3))
        server->max = (uint32_t)NUMBER_OF(statement, 3);
    return 0;
}

/* --- how they are chosen --- */

static const char *const balances[] = {[UPSTREAM_ROUND_ROBIN] = "round_robin",
                                       [UPSTREAM_LEAST] = "least",
                                       [UPSTREAM_RANDOM_TWO] = "random_two",
                                       [UPSTREAM_HASH] = "hash",
                                       NULL};
static const char *const hashes[] = {[UPSTREAM_HASH_CLIENT] = "client",
                                     [UPSTREAM_HASH_HEADER] = "header",
                                     [UPSTREAM_HASH_COOKIE] = "cookie",
                                     [UPSTREAM_HASH_URI] = "uri",
                                     NULL};

static int apply_balance(void *into, const struct conf_statement *statement, void **child)
{
    struct upstream_pool *pool = &((struct pool_build *)into)->pool;
    const struct conf_value *by = conf_value(statement, 1), *name = conf_value(statement, 2);
    (void)child;
    pool->balance = (enum upstream_balance)conf_value(statement, 0)->word;
    if (pool->balance != UPSTREAM_HASH) {
        if (by)
            conf_refuse_value(statement, by, "leave it out, or write: balance hash KEY",
                              "\"%.200s\" means something to \"hash\" alone", by->text);
        return 0;
    }
    if (!by) {
        conf_refuse(statement, "such as: balance hash client, balance hash cookie NAME",
                    "\"balance hash\" needs something to go by");
        return 0;
    }
    pool->hash = (enum upstream_hash)by->word;
    if (pool->hash == UPSTREAM_HASH_CLIENT || pool->hash == UPSTREAM_HASH_URI) {
        if (name)
            conf_refuse_value(statement, name, "leave it out", "\"%s\" takes no name", by->text);
        return 0;
    }
    if (!name) {
        conf_refuse(statement, NULL, "\"balance hash %s\" needs the name of a %s", by->text, by->text);
        return 0;
    }
    pool->hash_name = storage_copy(&((struct pool_build *)into)->build->http->storage, slice_of(name->text));
    return pool->hash_name.at ? 0 : ERR_NO_MEMORY;
}

static int apply_keepalive(void *into, const struct conf_statement *statement, void **child)
{
    struct upstream_pool *pool = &((struct pool_build *)into)->pool;
    (void)child;
    pool->keepalive = (uint32_t)NUMBER_OF(statement, 0); /* 0 for "off" */
    if (conf_value(statement, 1))
        pool->keepalive_ms = NUMBER_OF(statement, 1);
    return 0;
}

static int apply_timeout(void *into, const struct conf_statement *statement, void **child)
{
    struct upstream_pool *pool = &((struct pool_build *)into)->pool;
    uint64_t *const fields[] = {[POOL_TIMEOUT_CONNECT] = &pool->connect_ms,
                                [POOL_TIMEOUT_FIRST_BYTE] = &pool->first_byte_ms,
                                [POOL_TIMEOUT_BETWEEN] = &pool->between_ms,
                                [POOL_TIMEOUT_WHOLE] = &pool->whole_ms,
                                [POOL_TIMEOUT_TUNNEL] = &pool->tunnel_ms};
    (void)child;
    *fields[conf_value(statement, 0)->word] = NUMBER_OF(statement, 1);
    return 0;
}

static int apply_retries(void *into, const struct conf_statement *statement, void **child)
{
    struct upstream_retries *retries = &((struct pool_build *)into)->pool.retries;
    const struct conf_value *count = conf_value(statement, 0);
    (void)child;
    retries->tries = count->word == 0 ? 1 : (uint32_t)count->number + 1;
    for (size_t i = 1; i < 3; i++) {
        if (conf_value(statement, i) && count->word == 0)
            conf_refuse_value(statement, conf_value(statement, i), "leave it out",
                              "with \"retries off\" this means nothing");
    }
    if (conf_value(statement, 1))
        retries->within_ms = NUMBER_OF(statement, 1);
    if (conf_value(statement, 2))
        retries->budget_percent = (uint32_t)NUMBER_OF(statement, 2);
    return 0;
}

static int apply_queue(void *into, const struct conf_statement *statement, void **child)
{
    struct pool_build *pool = into;
    (void)child;
    pool->queue_node = statement->node;
    pool->pool.queue = (uint32_t)NUMBER_OF(statement, 0); /* 0 for "off" */
    if (conf_value(statement, 1))
        pool->pool.queue_ms = NUMBER_OF(statement, 1);
    return 0;
}

static int apply_eject(void *into, const struct conf_statement *statement, void **child)
{
    struct upstream_passive *passive = &((struct pool_build *)into)->pool.passive;
    const struct conf_value *longest = conf_value(statement, 3);
    (void)child;
    passive->failures = (uint32_t)NUMBER_OF(statement, 0); /* 0 for "off" */
    if (conf_value(statement, 1))
        passive->window_ms = NUMBER_OF(statement, 1);
    if (conf_value(statement, 2))
        passive->eject_ms = NUMBER_OF(statement, 2);
    if (longest)
        passive->eject_max_ms = longest->number;
    else if (passive->eject_max_ms < passive->eject_ms)
        passive->eject_max_ms = passive->eject_ms;
    if (passive->eject_max_ms < passive->eject_ms)
        conf_refuse_value(statement, longest, "the time doubles from \"for\" up to \"max\"",
                          "the longest time is shorter than the first one");
    return 0;
}

static const char *const header_versions[] = {
    [PROXY_PROTOCOL_NONE] = "off", [PROXY_PROTOCOL_V1] = "v1", [PROXY_PROTOCOL_V2] = "v2", NULL};

static int apply_proxy_protocol(void *into, const struct conf_statement *statement, void **child)
{
    (void)child;
    ((struct pool_build *)into)->pool.send_header =
        (enum proxy_protocol_version)conf_value(statement, 0)->word;
    return 0;
}

static int apply_slow_start(void *into, const struct conf_statement *statement, void **child)
{
    struct pool_build *pool = into;
    (void)child;
    pool->slow_start_node = statement->node;
    pool->pool.slow_start_ms = NUMBER_OF(statement, 0);
    return 0;
}

/* --- names --- */

static int apply_resolver(void *into, const struct conf_statement *statement, void **child)
{
    struct upstream_config *upstreams = &((struct build *)into)->http->upstreams;
    (void)child;
    for (size_t i = 0; i < statement->counts[0]; i++) {
        const struct conf_value *value = &statement->values[0][i];
        struct conf_address address;
        const char *problem, *hint;
        socklen_t length;
        if (upstreams->resolver_count == UPSTREAM_RESOLVERS_MAX) {
            conf_refuse_value(statement, value, NULL, "this would be more than %u resolvers",
                              UPSTREAM_RESOLVERS_MAX);
            return 0;
        }
        if (conf_parse_address(value->text, CONF_ADDRESS_SITE, &address, &problem, &hint)) {
            conf_refuse_value(statement, value, hint, "\"%.200s\" %s", value->text, problem);
            continue;
        }
        if (address.kind != CONF_ADDRESS_IPV4 && address.kind != CONF_ADDRESS_IPV6) {
            conf_refuse_value(statement, value, "such as 127.0.0.53 or [::1]:5353",
                              "\"%.200s\" is not an IP address", value->text);
            continue;
        }
        address.port = address.port ? address.port : 53;
        if (!conf_address_to_sockaddr(&address, &upstreams->resolvers[upstreams->resolver_count], &length))
            upstreams->resolver_count++;
    }
    return 0;
}

/* --- when all is read --- */

static int has_limit(const struct pool_build *pool)
{
    for (const struct server_build *server = pool->first_server; server; server = server->next) {
        if (server->server.max)
            return 1;
    }
    return 0;
}

static int has_primary(const struct pool_build *pool)
{
    for (const struct server_build *server = pool->first_server; server; server = server->next) {
        if (!server->server.is_backup)
            return 1;
    }
    return 0;
}

static int finish_pool(void *child, const struct conf_statement *statement)
{
    struct pool_build *pool = child;
    struct diagnostic_place place;
    if (statement->diagnostics->count != pool->mistakes_before)
        return 0;
    if (!has_primary(pool))
        conf_refuse(statement, "one at least without \"backup\"", "all servers of this pool are backups");
    if (conf_node_exists(pool->queue_node) && pool->pool.queue && !has_limit(pool)) {
        place = conf_place(pool->queue_node);
        diagnostics_add(statement->diagnostics, &place, "a \"max\" for a server, or leave it out",
                        "nobody ever waits: no server of this pool has a limit");
    }
    if (conf_node_exists(pool->slow_start_node) && !pool->pool.passive.failures && !pool->pool.check.kind) {
        place = conf_place(pool->slow_start_node);
        diagnostics_add(statement->diagnostics, &place, "a \"check\", or an \"eject\"",
                        "no server ever comes back: nothing says that one is away");
    }
    return 0;
}

static int copy_servers(struct pool_build *pool)
{
    uint32_t count = 0;
    pool->pool.servers =
        storage_take(&pool->build->http->storage, pool->pool.server_count * sizeof *pool->pool.servers);
    if (!pool->pool.servers)
        return ERR_NO_MEMORY;
    for (const struct server_build *server = pool->first_server; server; server = server->next)
        pool->pool.servers[count++] = server->server;
    return 0;
}

static int has_name_before(const struct build *build, const struct server_build *until)
{
    for (const struct pool_build *pool = build->first_pool; pool; pool = pool->next)
        for (const struct server_build *server = pool->first_server; server; server = server->next) {
            if (server == until)
                return 0;
            if (slice_equals(server->server.text, until->server.text))
                return 1;
        }
    return 0;
}

static void judge_name_count(const struct build *build, struct diagnostics *diagnostics)
{
    uint32_t count = 0;
    for (const struct pool_build *pool = build->first_pool; pool; pool = pool->next)
        for (const struct server_build *server = pool->first_server; server; server = server->next)
            count += server->server.host && !has_name_before(build, server);
    if (count > NAMES_MAX) {
        struct diagnostic_place place = conf_place(build->first_pool->node);
        diagnostics_add(diagnostics, &place, "addresses, or names with several of them",
                        "the servers have %u different names, more than %u", count, NAMES_MAX);
    }
}

int pools_finish(struct build *build, struct diagnostics *diagnostics)
{
    struct upstream_config *upstreams = &build->http->upstreams;
    uint32_t count = 0;
    upstreams->pools =
        storage_take(&build->http->storage, (upstreams->pool_count + 1) * sizeof *upstreams->pools);
    if (!upstreams->pools)
        return ERR_NO_MEMORY;
    for (struct pool_build *pool = build->first_pool; pool; pool = pool->next) {
        int error = copy_servers(pool);
        if (error)
            return error;
        upstreams->pools[count++] = pool->pool;
    }
    judge_name_count(build, diagnostics);
    return 0;
}

#define SITE_OF_APP "\nsite :8080 {\n    proxy app\n}"
#define IN_A_POOL(line) "pool app {\n    server 127.0.0.1:3000\n    " line "\n}" SITE_OF_APP

static const struct directive directives[] = {
    {
        .name = "pool",
        .elsewhere = "upstream backend",
        .contexts = AT_TOP,
        .arguments = {{.name = "NAME", .kind = CONF_WORD}},
        .opens = CONTEXT_POOL,
        .repeat = 1,
        .doc = "Servers that `proxy NAME` passes requests on to. What is known of them is shared by all "
               "workers, and "
               "outlives them.",
        .example = "pool app {\n    server 10.0.0.1:3000\n    server 10.0.0.2:3000\n}" SITE_OF_APP,
        .apply = apply_pool,
        .finish = finish_pool,
    },
    {
        .name = "resolver",
        .contexts = AT_TOP,
        .arguments = {{.name = "ADDRESS", .kind = CONF_WORD, .repeat = 1}},
        .doc = "The DNS servers that names of upstream servers are looked up at, IP addresses, with a port "
               "if it is not "
               "53. A name is looked up again when the time that its answer gave is over; a name that is not "
               "found "
               "blocks nothing.",
        .example = "resolver 127.0.0.53 [::1]:5353",
        .default_text = "those of `/etc/resolv.conf`",
        .apply = apply_resolver,
    },
    {
        .name = "server",
        .contexts = IN_POOL,
        .arguments =
            {{.name = "ADDRESS", .kind = CONF_WORD},
             {.name = "N",
              .kind = CONF_COUNT,
              .keyword = "weight",
              .optional = 1,
              .min = 1,
              .max = UPSTREAM_WEIGHT_MAX},
             {.kind = CONF_FLAG, .keyword = "backup", .optional = 1},
             {.name = "N", .kind = CONF_COUNT, .keyword = "max", .optional = 1, .min = 1, .max = 1000000}},
        .repeat = 1,
        .required = 1,
        .doc = "A server: `HOST:PORT`, `unix:/PATH`, or `srv:NAME` for all that the SRV records of a name "
               "say. All "
               "addresses of a name are used. It gets a share of the requests by its `weight`, 1 unless "
               "said. `max`: how "
               "many requests may be under way there, over all workers; more wait (`queue`). `backup`: it is "
               "asked only "
               "while every other server is down, put aside, or was tried. All pools together may have 1024 "
               "addresses and 256 names.",
        .example = "pool app {\n    server 10.0.0.1:3000 weight 2 max 100\n    server unix:/run/app.sock\n   "
                   " server "
                   "app.example.com:3000 backup\n}" SITE_OF_APP,
        .apply = apply_server,
    },
    {
        .name = "balance",
        .contexts = IN_POOL,
        .arguments = {{.name = "HOW", .kind = CONF_CHOICE, .words = balances},
                      {.name = "KEY", .kind = CONF_CHOICE, .words = hashes, .optional = 1},
                      {.name = "NAME", .kind = CONF_WORD, .optional = 1}},
        .doc = "Who gets the next request. `round_robin`: each in turn, by weight. `least`: the one with the "
               "fewest "
               "requests under way for its weight, over all workers. `random_two`: the better of two by lot. "
               "`hash KEY`: "
               "always the same server for the same `client` (its address), `header NAME`, `cookie NAME` or "
               "`uri`, as "
               "long as it is up; when a server leaves, only its own requests move.",
        .example = IN_A_POOL("balance hash cookie session"),
        .default_text = "`round_robin`",
        .apply = apply_balance,
    },
    {
        .name = "keepalive",
        .contexts = IN_POOL,
        .arguments = {{.name = "N", .kind = CONF_COUNT, .min = 1, .max = 10000, .words = WORDS("off")},
                      {.name = "TIME",
                       .kind = CONF_DURATION,
                       .keyword = "for",
                       .optional = 1,
                       .min = 1,
                       .max = DAY_MS}},
        .doc = "How many idle connections a worker keeps to each server, and for how long.",
        .example = IN_A_POOL("keepalive 64 for 30s"),
        .default_text = "`32 for 60s`",
        .apply = apply_keepalive,
    },
    {
        .name = "timeout",
        .contexts = IN_POOL,
        .arguments = {{.name = "WHAT", .kind = CONF_CHOICE, .words = POOL_TIMEOUT_WORDS},
                      {.name = "TIME", .kind = CONF_DURATION, .min = 1, .max = MAX_TIMEOUT_MS}},
        .repeat = 1,
        .doc = "How long a server may take: to `connect`; from the request to the `first_byte` of its "
               "answer; `between` "
               "two pieces of that; and for the `whole` of it, from the request's beginning on. A `tunnel` "
               "(a WebSocket, or whatever the server has agreed to switch to) may be quiet so long.",
        .example = IN_A_POOL("timeout connect 1s\n    timeout whole 5m"),
        .default_text = "`connect 5s`, `first_byte 60s`, `between 60s`, no limit of the whole, `tunnel 1h`",
        .apply = apply_timeout,
    },
    {
        .name = "retries",
        .contexts = IN_POOL,
        .arguments =
            {{.name = "N",
              .kind = CONF_COUNT,
              .min = 1,
              .max = UPSTREAM_TRIES_MAX - 1,
              .words = WORDS("off")},
             {.name = "TIME",
              .kind = CONF_DURATION,
              .keyword = "within",
              .optional = 1,
              .min = 1,
              .max = DAY_MS},
             {.name = "PERCENT", .kind = CONF_COUNT, .keyword = "budget", .optional = 1, .max = 100}},
        .doc = "How often a request may be tried at another server, for how long after it began, and how "
               "many such tries "
               "there may be for each hundred requests (100: no limit). Only what cannot have been executed "
               "is tried "
               "again: the connection was never made; or a reused one ended before any byte of the answer, "
               "and the "
               "method may be repeated or nothing was sent.",
        .example = IN_A_POOL("retries 1 within 2s budget 10"),
        .default_text = "`2 within 10s budget 20`",
        .apply = apply_retries,
    },
    {
        .name = "queue",
        .contexts = IN_POOL,
        .arguments = {{.name = "N", .kind = CONF_COUNT, .min = 1, .max = 100000, .words = WORDS("off")},
                      {.name = "TIME",
                       .kind = CONF_DURATION,
                       .keyword = "for",
                       .optional = 1,
                       .min = 1,
                       .max = DAY_MS}},
        .doc = "How many requests of one worker may wait, and for how long: while every server is at its "
               "`max`, or until the servers' names are found for the first time. Others get 503.",
        .example = "pool app {\n    server 127.0.0.1:3000 max 10\n    queue 100 for 2s\n}" SITE_OF_APP,
        .default_text = "`256 for 10s`",
        .apply = apply_queue,
    },
    {
        .name = "eject",
        .contexts = IN_POOL,
        .arguments = {{.name = "N", .kind = CONF_COUNT, .min = 1, .max = 10000, .words = WORDS("off")},
                      {.name = "TIME",
                       .kind = CONF_DURATION,
                       .keyword = "per",
                       .optional = 1,
                       .min = 1,
                       .max = DAY_MS},
                      {.name = "TIME",
                       .kind = CONF_DURATION,
                       .keyword = "for",
                       .optional = 1,
                       .min = 1,
                       .max = DAY_MS},
                      {.name = "TIME",
                       .kind = CONF_DURATION,
                       .keyword = "max",
                       .optional = 1,
                       .min = 1,
                       .max = DAY_MS}},
        .doc = "After how many failures in a while a server is put aside, for how long, and for how long at "
               "most: the time "
               "doubles as long as it fails at once when it is asked again. A failure is a connection that "
               "is not made or "
               "is reset, an answer that does not come in time, or that is none. If all servers of a pool "
               "are put aside, "
               "none is.",
        .example = IN_A_POOL("eject 3 per 10s for 5s max 1m"),
        .default_text = "`5 per 10s for 5s max 60s`",
        .apply = apply_eject,
    },
    {
        .name = "proxy_protocol",
        .contexts = IN_POOL,
        .arguments = {{.name = "VERSION", .kind = CONF_CHOICE, .words = header_versions}},
        .doc = "Every connection to a server begins with a header of the PROXY protocol, which names the "
               "client and the address that it has connected to; that of a check says that it is our own. "
               "A connection serves the client alone that it was made for, and is closed with it "
               "([proxy-protocol.md](proxy-protocol.md)).",
        .example = IN_A_POOL("proxy_protocol v2"),
        .default_text = "`off`",
        .apply = apply_proxy_protocol,
    },
    {
        .name = "slow_start",
        .contexts = IN_POOL,
        .arguments = {{.name = "TIME", .kind = CONF_DURATION, .min = 1, .max = DAY_MS}},
        .doc = "A server that comes back gets its whole share only after this time, and before that less.",
        .example = IN_A_POOL("slow_start 30s"),
        .default_text = "at once",
        .apply = apply_slow_start,
    },
};

const struct directive_table pool_directives = {directives, COUNT_OF(directives)};
