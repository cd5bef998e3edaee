#include "main/directives.h"

#define MINUTE_MS 60000u

static uint64_t number_of(const struct conf_statement *statement, size_t argument)
{
    return conf_value(statement, argument)->number;
}

/* The process model. */

static int apply_workers(void *into, const struct conf_statement *statement, void **child)
{
    struct build *build = into;
    (void)child;
    const struct conf_value *value = conf_value(statement, 0);
    build->core->workers = value->word == 0 ? build->automatic_workers : (unsigned)value->number;
    return 0;
}

static int apply_user(void *into, const struct conf_statement *statement, void **child)
{
    struct build *build = into;
    (void)child;
    if (build->lookup)
        build->lookup->user = statement->node;
    return 0;
}

static int apply_group(void *into, const struct conf_statement *statement, void **child)
{
    struct build *build = into;
    (void)child;
    if (build->lookup)
        build->lookup->group = statement->node;
    return 0;
}

static int apply_control(void *into, const struct conf_statement *statement, void **child)
{
    struct build *build = into;
    (void)child;
    const struct conf_value *value = conf_value(statement, 0);
    if (conf_value_path(statement, value, build->core->control_path, sizeof build->core->control_path))
        conf_refuse_value(statement, value, NULL,
                          "the path is longer than the %d bytes that a Unix socket's can have",
                          CORE_PATH_MAX - 1);
    return 0;
}

static int apply_drain(void *into, const struct conf_statement *statement, void **child)
{
    (void)child;
    ((struct build *)into)->core->drain_ms = number_of(statement, 0);
    return 0;
}

static int apply_drain_delay(void *into, const struct conf_statement *statement, void **child)
{
    (void)child;
    ((struct build *)into)->core->drain_delay_ms = number_of(statement, 0);
    return 0;
}

static int apply_watchdog(void *into, const struct conf_statement *statement, void **child)
{
    (void)child;
    ((struct build *)into)->core->watchdog_ms = number_of(statement, 0); /* 0 for "off" */
    return 0;
}

static int apply_crash_limit(void *into, const struct conf_statement *statement, void **child)
{
    struct build *build = into;
    (void)child;
    build->core->crash_limit = (unsigned)number_of(statement, 0);
    build->core->crash_window_ms = number_of(statement, 1);
    return 0;
}

static int apply_max_connections(void *into, const struct conf_statement *statement, void **child)
{
    (void)child;
    ((struct build *)into)->core->max_connections = number_of(statement, 0);
    return 0;
}

static int apply_threads(void *into, const struct conf_statement *statement, void **child)
{
    (void)child;
    ((struct build *)into)->core->threads = (unsigned)number_of(statement, 0);
    return 0;
}

static int apply_core_dumps(void *into, const struct conf_statement *statement, void **child)
{
    (void)child;
    ((struct build *)into)->core->core_dumps = (int)number_of(statement, 0);
    return 0;
}

static const char *const log_levels[] = {
    [LOG_DEBUG] = "debug", [LOG_INFO] = "info", [LOG_WARN] = "warn", [LOG_ERROR] = "error", NULL};

static int apply_log_level(void *into, const struct conf_statement *statement, void **child)
{
    (void)child;
    ((struct build *)into)->core->log_level = (enum log_level)conf_value(statement, 0)->word;
    return 0;
}

/* HTTP. */

static int apply_keepalive(void *into, const struct conf_statement *statement, void **child)
{
    (void)child;
    ((struct build *)into)->http->keepalive_ms = number_of(statement, 0);
    return 0;
}

static int apply_header_timeout(void *into, const struct conf_statement *statement, void **child)
{
    (void)child;
    ((struct build *)into)->http->header_timeout_ms = number_of(statement, 0);
    return 0;
}

static int apply_body_timeout(void *into, const struct conf_statement *statement, void **child)
{
    (void)child;
    ((struct build *)into)->http->body_timeout_ms = number_of(statement, 0);
    return 0;
}

static int apply_write_timeout(void *into, const struct conf_statement *statement, void **child)
{
    (void)child;
    ((struct build *)into)->http->write_timeout_ms = number_of(statement, 0);
    return 0;
}

#ifdef HOLDFAST_TEST_HOOKS
static int apply_test_hooks(void *into, const struct conf_statement *statement, void **child)
{
    (void)child;
    ((struct build *)into)->http->test_hooks = (int)number_of(statement, 0);
    return 0;
}
#endif

/* The tables. */

static const struct directive process_directives[] = {
    {
        .name = "workers",
        .elsewhere = "worker_processes nbproc nbthread",
        .contexts = AT_TOP,
        .arguments =
            {{.name = "N", .kind = CONF_COUNT, .min = 1, .max = CORE_WORKERS_MAX, .words = WORDS("auto")}},
        .doc =
            "How many worker processes serve connections. `auto`: one for each CPU that the server may use.",
        .example = "workers 4",
        .default_text = "`auto`",
        .apply = apply_workers,
    },
    {
        .name = "threads",
        .contexts = AT_TOP,
        .arguments = {{.name = "N", .kind = CONF_COUNT, .min = 1, .max = 64}},
        .doc = "How many threads a worker may use, at most, for work that would hold up its loop.",
        .example = "threads 8",
        .default_text = "`4`",
        .apply = apply_threads,
    },
    {
        .name = "user",
        .contexts = AT_TOP,
        .arguments = {{.name = "NAME", .kind = CONF_WORD}},
        .doc = "The user that workers run as, by name or number, when the server is started as root. "
               "Its groups come with it.",
        .example = "user www-data",
        .default_text =
            "`www-data`, or `nobody` where that does not exist; not started as root: who started it",
        .apply = apply_user,
    },
    {
        .name = "group",
        .contexts = AT_TOP,
        .arguments = {{.name = "NAME", .kind = CONF_WORD}},
        .doc = "The group that workers run as, by name or number, when the server is started as root.",
        .example = "group www-data",
        .default_text = "the user's own",
        .apply = apply_group,
    },
    {
        .name = "control",
        .contexts = AT_TOP,
        .arguments = {{.name = "PATH", .kind = CONF_PATH}},
        .doc = "Where the Unix socket lies over which `holdfast status`, `stop` and the others talk to the "
               "server.",
        .example = "control /run/holdfast.sock",
        .default_text = "`/run/holdfast.sock` for root; otherwise `holdfast.sock` in `$XDG_RUNTIME_DIR`, or "
                        "`/tmp/holdfast-UID.sock`",
        .apply = apply_control,
    },
    {
        .name = "drain",
        .contexts = AT_TOP,
        .arguments = {{.name = "TIME", .kind = CONF_DURATION, .max = DAY_MS}},
        .doc = "How long a graceful stop waits for requests to be finished.",
        .example = "drain 2m",
        .default_text = "`30s`",
        .apply = apply_drain,
    },
    {
        .name = "drain_delay",
        .contexts = AT_TOP,
        .arguments = {{.name = "TIME", .kind = CONF_DURATION, .max = DAY_MS}},
        .doc = "How long a drain or a graceful stop goes on accepting while `ready` already answers that it "
               "is over: "
               "time for a load balancer to notice.",
        .example = "drain_delay 10s",
        .default_text = "`0s`",
        .apply = apply_drain_delay,
    },
    {
        .name = "watchdog",
        .contexts = AT_TOP,
        .arguments = {{.name = "TIME",
                       .kind = CONF_DURATION,
                       .min = 500,
                       .max = 60 * MINUTE_MS,
                       .words = WORDS("off")}},
        .doc = "A worker that makes no progress for so long is ended and revived.",
        .example = "watchdog 5s",
        .default_text = "`10s`",
        .apply = apply_watchdog,
    },
    {
        .name = "crash_limit",
        .contexts = AT_TOP,
        .arguments = {{.name = "N", .kind = CONF_COUNT, .min = 1, .max = 1000},
                      {.name = "TIME", .kind = CONF_DURATION, .keyword = "per", .min = 1000, .max = DAY_MS}},
        .doc = "A worker that dies by its own fault more often than this starts again without its "
               "connections, and "
               "waits longer each time.",
        .example = "crash_limit 5 per 10s",
        .default_text = "`5 per 10s`",
        .apply = apply_crash_limit,
    },
    {
        .name = "max_connections",
        .elsewhere = "worker_connections maxconn",
        .contexts = AT_TOP,
        .arguments = {{.name = "N", .kind = CONF_COUNT, .min = 1, .max = 10000000}},
        .doc = "How many connections one worker holds at most. For one more it closes the one that has been "
               "idle longest, or else the one that has waited longest in the middle of a head; where there "
               "is none, new ones wait.",
        .example = "max_connections 20000",
        .default_text = "as many as the limit of file descriptors allows",
        .apply = apply_max_connections,
    },
    {
        .name = "log_level",
        .contexts = AT_TOP,
        .arguments = {{.name = "LEVEL", .kind = CONF_CHOICE, .words = log_levels}},
        .doc = "The least important events that the log shows.",
        .example = "log_level warn",
        .default_text = "`info`",
        .apply = apply_log_level,
    },
    {
        .name = "core_dumps",
        .contexts = AT_TOP,
        .arguments = {{.name = "SWITCH", .kind = CONF_ON_OFF}},
        .doc =
            "Whether a worker that crashes leaves a core dump. Writing one delays its end, not its revival.",
        .example = "core_dumps on",
        .default_text = "`off`",
        .apply = apply_core_dumps,
    },
};

static const struct directive http_directives[] = {
    {
        .name = "keepalive",
        .elsewhere = "keepalive_timeout",
        .contexts = AT_TOP,
        .arguments = {{.name = "TIME", .kind = CONF_DURATION, .min = 1, .max = DAY_MS}},
        .doc = "How long a connection may wait for its next request.",
        .example = "keepalive 60s",
        .default_text = "`60s`",
        .apply = apply_keepalive,
    },
    {
        .name = "header_timeout",
        .elsewhere = "client_header_timeout",
        .contexts = AT_TOP,
        .arguments = {{.name = "TIME", .kind = CONF_DURATION, .min = 1, .max = DAY_MS}},
        .doc = "How long a client may take from the first byte of a request to the end of its header.",
        .example = "header_timeout 10s",
        .default_text = "`10s`",
        .apply = apply_header_timeout,
    },
    {
        .name = "body_timeout",
        .elsewhere = "client_body_timeout",
        .contexts = AT_TOP,
        .arguments = {{.name = "TIME", .kind = CONF_DURATION, .min = 1, .max = DAY_MS}},
        .doc = "How long a client may send nothing of the body of its request.",
        .example = "body_timeout 30s",
        .default_text = "`30s`",
        .apply = apply_body_timeout,
    },
    {
        .name = "write_timeout",
        .elsewhere = "send_timeout",
        .contexts = AT_TOP,
        .arguments = {{.name = "TIME", .kind = CONF_DURATION, .min = 1, .max = DAY_MS}},
        .doc = "How long a client may take nothing of its response; at most twice that until it is noticed. "
               "Clients that limit their own rate read in bursts and rest in between, curl for more than a "
               "minute.",
        .example = "write_timeout 2m",
        .default_text = "`2m`",
        .apply = apply_write_timeout,
    },
#ifdef HOLDFAST_TEST_HOOKS
    {
        .name = "test_hooks",
        .contexts = AT_TOP,
        .arguments = {{.name = "SWITCH", .kind = CONF_ON_OFF}},
        .doc = "Whether the paths that plant faults answer. Exists only in builds for tests.",
        .example = "test_hooks on",
        .default_text = "`off`",
        .apply = apply_test_hooks,
    },
#endif
};

static const struct directive_table process_table = {process_directives, COUNT_OF(process_directives)};
static const struct directive_table http_table = {http_directives, COUNT_OF(http_directives)};

/* The reference follows this order. */
static const struct directive_table *const tables[] = {
    &process_table,   &http_table,       &limit_directives,  &log_directives,   &listen_directives,
    &site_directives, &route_directives, &answer_directives, &proxy_directives, &response_directives,
    &page_directives, &match_directives, &pool_directives,   &check_directives, &tcp_directives,
};

static const char *const context_names[] = {
    [CONTEXT_TOP] = "the top level", [CONTEXT_SITE] = "a site",     [CONTEXT_ROUTE] = "a route",
    [CONTEXT_MATCH] = "a match",     [CONTEXT_LISTEN] = "a listen", [CONTEXT_POOL] = "a pool",
    [CONTEXT_CHECK] = "a check",     [CONTEXT_PROXY] = "a proxy",   [CONTEXT_TCP] = "a tcp"};

const struct conf_grammar directives_grammar = {
    .tables = tables,
    .table_count = COUNT_OF(tables),
    .context_names = context_names,
    .context_count = COUNT_OF(context_names),
};
