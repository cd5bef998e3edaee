/* The block `tcp`: connections that are passed on byte by byte. */
#include "main/directives.h"

#include "core/worker.h"

#include <stdio.h>
#include <string.h>

enum tcp_timeout { TCP_TIMEOUT_CONNECT, TCP_TIMEOUT_IDLE };

static int apply_tcp(void *into, const struct conf_statement *statement, void **child)
{
    struct build *build = into;
    struct l4_config *l4 = build->l4;
    if (l4->block_count == L4_BLOCKS_MAX) {
        conf_refuse(statement, NULL, "this would be more than %d of them", L4_BLOCKS_MAX);
        return 0;
    }
    struct tcp_build *tcp = storage_take(&build->http->storage, sizeof *tcp);
    if (!tcp)
        return ERR_NO_MEMORY;
    *tcp = (struct tcp_build){.build = build, .block = &l4->blocks[l4->block_count++]};
    *tcp->block = (struct l4_block){.idle_ms = L4_IDLE_MS};
    *build->tcp_end = tcp;
    build->tcp_end = &tcp->next;
    for (size_t i = 0; i < statement->counts[0]; i++) {
        const struct conf_value *value = &statement->values[0][i];
        int listener = listener_of(build, statement, value, &value->address, CONN_CLASS_TCP);
        if (listener >= 0)
            l4->block_of[listener] = (uint8_t)l4->block_count;
    }
    *child = tcp;
    return 0;
}

static int apply_proxy(void *into, const struct conf_statement *statement, void **child)
{
    struct tcp_build *tcp = into;
    struct slice text = storage_copy(&tcp->build->http->storage, slice_of(conf_value(statement, 0)->text));
    (void)child;
    tcp->target = (struct pool_target){tcp->build, statement->node, text.at};
    return text.at ? 0 : ERR_NO_MEMORY;
}

static int apply_timeout(void *into, const struct conf_statement *statement, void **child)
{
    struct l4_block *block = ((struct tcp_build *)into)->block;
    const struct conf_value *time = conf_value(statement, 1);
    (void)child;
    if (conf_value(statement, 0)->word == TCP_TIMEOUT_IDLE)
        block->idle_ms = time->number; /* 0 for "off" */
    else if (time->word == 0)
        conf_refuse_value(statement, time, "such as 5s", "a connection that is not made must end some time");
    else
        block->connect_ms = time->number;
    return 0;
}

static int apply_max_connections(void *into, const struct conf_statement *statement, void **child)
{
    (void)child;
    ((struct tcp_build *)into)->block->max_connections = (uint32_t)NUMBER_OF(statement, 0);
    return 0;
}

static int apply_access_log(void *into, const struct conf_statement *statement, void **child)
{
    struct tcp_build *tcp = into;
    const struct conf_value *format = conf_value(statement, 1);
    (void)child;
    tcp->block->access_log_format = format ? (enum l4_log_format)format->word : L4_LOG_TEXT;
    tcp->block->access_log = log_of(tcp->build, statement, conf_value(statement, 0));
    return 0;
}

/* --- when all is read --- */

/* What a request has and a connection has not. */
static const char *missing_key(const struct upstream_pool *pool)
{
    static const char *const keys[] = {
        [UPSTREAM_HASH_HEADER] = "header", [UPSTREAM_HASH_COOKIE] = "cookie", [UPSTREAM_HASH_URI] = "uri"};
    if (pool->balance != UPSTREAM_HASH || pool->hash == UPSTREAM_HASH_CLIENT)
        return NULL;
    return keys[pool->hash];
}

static void judge_pool(const struct tcp_build *tcp, const struct upstream_pool *pool,
                       struct diagnostics *diagnostics)
{
    const char *key = missing_key(pool);
    if (!key)
        return;
    struct diagnostic_place place = conf_arg_place(tcp->target.node, 0);
    diagnostics_add(diagnostics, &place, "balance hash client, or a pool of its own",
                    "the pool \"%.63s\" goes by a %s, which a TCP connection does not have", pool->name.at,
                    key);
}

int tcps_finish(struct build *build, struct diagnostics *diagnostics)
{
    for (struct tcp_build *tcp = build->first_tcp; tcp; tcp = tcp->next) {
        struct pool_build *pool;
        if (!tcp->target.text) /* it is said already */
            continue;
        int error = pool_of_target(&tcp->target, diagnostics, &pool, &tcp->block->pool);
        if (error)
            return error;
        if (pool)
            judge_pool(tcp, &pool->pool, diagnostics);
    }
    return 0;
}

#define IN_A_TCP(line) "tcp :5432 {\n    proxy 10.0.0.5:5432\n    " line "\n}"

static const struct directive directives[] = {
    {
        .name = "tcp",
        .elsewhere = "stream",
        .contexts = AT_TOP,
        .arguments = {{.name = "ADDRESS", .kind = CONF_LISTEN_ADDRESS, .repeat = 1}},
        .opens = CONTEXT_TCP,
        .repeat = 1,
        .doc =
            "Connections that are passed on as they come, byte by byte: `[IP]:PORT` or `unix:/PATH`, "
            "which no site and no other `tcp` may use. Ends of either direction are passed on, and resets. "
            "docs/tcp.md says more.",
        .example = "tcp :5432 {\n    proxy 10.0.0.5:5432\n}",
        .apply = apply_tcp,
    },
    {
        .name = "proxy",
        .contexts = IN_TCP,
        .arguments = {{.name = "TARGET", .kind = CONF_WORD}},
        .required = 1,
        .doc = "Where to: a `pool`, by its name, or one server: `HOST:PORT`, `unix:/PATH` or `srv:NAME`. A "
               "pool may be used by sites, too; its limits and its health count for both. Another server is "
               "tried only when a connection is not made.",
        .example =
            "pool db {\n    server 10.0.0.5:5432\n    server 10.0.0.6:5432 backup\n}\ntcp :5432 {\n    "
            "proxy db\n}",
        .apply = apply_proxy,
    },
    {
        .name = "timeout",
        .contexts = IN_TCP,
        .arguments =
            {{.name = "WHAT", .kind = CONF_CHOICE, .words = WORDS("connect", "idle")},
             {.name = "TIME", .kind = CONF_DURATION, .min = 1, .max = DAY_MS, .words = WORDS("off")}},
        .repeat = 1,
        .doc = "How long a server may take to `connect`; and how long a connection may be `idle`, without a "
               "byte in either direction, before it is reset.",
        .example = IN_A_TCP("timeout connect 1s\n    timeout idle 2h"),
        .default_text = "`connect`: the pool's, `idle 10m`",
        .apply = apply_timeout,
    },
    {
        .name = "max_connections",
        .contexts = IN_TCP,
        .arguments = {{.name = "N", .kind = CONF_COUNT, .min = 1, .max = 10000000}},
        .doc = "How many clients of this block one worker has at most. One more is reset at once. A "
               "server's `max` holds over all workers, and lets others wait.",
        .example = IN_A_TCP("max_connections 1000"),
        .default_text = "no limit of its own",
        .apply = apply_max_connections,
    },
    {
        .name = "access_log",
        .contexts = IN_TCP,
        .arguments = {{.name = "PATH", .kind = CONF_PATH},
                      {.name = "FORMAT", .kind = CONF_CHOICE, .words = WORDS("text", "json"), .optional = 1}},
        .doc = "The file that each connection is written to, in a line of its own, when it has ended: once, "
               "whatever process dies. docs/logs.md explains both formats.",
        .example = IN_A_TCP("access_log /var/log/holdfast/db.log json"),
        .default_text = "none",
        .apply = apply_access_log,
    },
};

const struct directive_table tcp_directives = {directives, COUNT_OF(directives)};
