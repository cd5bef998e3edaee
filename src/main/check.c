/* The block `check` of a pool: how its servers are looked at. */
#include "main/directives.h"

#include <string.h>

static struct upstream_check *check_of(void *into)
{
    return &((struct pool_build *)into)->pool.check;
}

/* What goes into a request line or a header must not end it. */
static int is_plain(const char *text)
{
    for (; *text; text++) {
        if ((unsigned char)*text <= ' ' || (unsigned char)*text >= 0x7f || *text == '#')
            return 0;
    }
    return 1;
}

static int apply_check(void *into, const struct conf_statement *statement, void **child)
{
    struct pool_build *pool = into;
    const struct conf_value *path = conf_value(statement, 0);
    *child = pool;
    pool->pool.check.kind = path->word == 0 ? UPSTREAM_CHECK_CONNECT : UPSTREAM_CHECK_HTTP;
    if (path->word < 0 && (path->text[0] != '/' || !is_plain(path->text)))
        conf_refuse_value(statement, path, "such as /health, or \"connect\"", "\"%.200s\" is no path",
                          path->text);
    pool->pool.check.path = storage_copy(&pool->build->http->storage, slice_of(path->text)).at;
    if (conf_value(statement, 1))
        pool->pool.check.interval_ms = NUMBER_OF(statement, 1);
    return pool->pool.check.path ? 0 : ERR_NO_MEMORY;
}

static void refuse_unless_asked(void *into, const struct conf_statement *statement)
{
    if (check_of(into)->kind == UPSTREAM_CHECK_CONNECT)
        conf_refuse(statement, "leave it out, or name a path", "nothing is asked: the check only connects");
}

static int apply_rise(void *into, const struct conf_statement *statement, void **child)
{
    (void)child;
    check_of(into)->rise = (uint32_t)NUMBER_OF(statement, 0);
    return 0;
}

static int apply_fall(void *into, const struct conf_statement *statement, void **child)
{
    (void)child;
    check_of(into)->fall = (uint32_t)NUMBER_OF(statement, 0);
    return 0;
}

static int apply_timeout(void *into, const struct conf_statement *statement, void **child)
{
    (void)child;
    check_of(into)->timeout_ms = NUMBER_OF(statement, 0);
    return 0;
}

static int apply_host(void *into, const struct conf_statement *statement, void **child)
{
    const struct pool_build *pool = into;
    const struct conf_value *host = conf_value(statement, 0);
    (void)child;
    refuse_unless_asked(into, statement);
    if (!is_plain(host->text))
        conf_refuse_value(statement, host, "such as app.example.com", "\"%.200s\" is no host", host->text);
    check_of(into)->host = storage_copy(&pool->build->http->storage, slice_of(host->text)).at;
    return check_of(into)->host ? 0 : ERR_NO_MEMORY;
}

static int parse_status(const char *text, size_t length, uint16_t *status)
{
    uint64_t number;
    if (slice_to_u64((struct slice){text, length}, &number) || number < 100 || number > 599)
        return ERR_SYNTAX;
    *status = (uint16_t)number;
    return 0;
}

static int apply_expect(void *into, const struct conf_statement *statement, void **child)
{
    struct upstream_check *check = check_of(into);
    (void)child;
    refuse_unless_asked(into, statement);
    for (size_t i = 0; i < statement->counts[0]; i++) {
        const struct conf_value *value = &statement->values[0][i];
        const char *dash = strchr(value->text, '-');
        struct upstream_statuses *range = &check->expect[check->expect_count];
        if (check->expect_count == UPSTREAM_STATUSES_MAX) {
            conf_refuse_value(statement, value, "such as 200-299", "this would be more than %u",
                              UPSTREAM_STATUSES_MAX);
            return 0;
        }
        size_t first = dash ? (size_t)(dash - value->text) : strlen(value->text);
        if (parse_status(value->text, first, &range->from) ||
            parse_status(dash ? dash + 1 : value->text, strlen(dash ? dash + 1 : value->text), &range->to) ||
            range->from > range->to)
            conf_refuse_value(statement, value, "such as 200 or 200-399",
                              "\"%.200s\" is no status, nor a range", value->text);
        check->expect_count++;
    }
    return 0;
}

#define IN_A_CHECK(line)                                                                                     \
    "pool app {\n    server 127.0.0.1:3000\n    check /health every 2s {\n        " line                     \
    "\n    }\n}\nsite :8080 {\n    proxy app\n}"

static const struct directive directives[] = {
    {
        .name = "check",
        .contexts = IN_POOL,
        .arguments = {{.name = "PATH", .kind = CONF_TEXT, .words = WORDS("connect")},
                      {.name = "TIME",
                       .kind = CONF_DURATION,
                       .keyword = "every",
                       .optional = 1,
                       .min = 100,
                       .max = DAY_MS}},
        .opens = CONTEXT_CHECK,
        .bare_block = 1,
        .doc =
            "Asks every server for this path, with GET, whether it is well; or, with `connect`, only "
            "whether it takes a connection. One that is not well gets no requests. One worker asks for all "
            "of them.",
        .example =
            "pool app {\n    server 127.0.0.1:3000\n    check /health every 2s\n}\nsite :8080 {\n    proxy "
            "app\n}",
        .default_text = "no checks; with one: `every 2s`",
        .apply = apply_check,
    },
    {
        .name = "rise",
        .contexts = IN_CHECK,
        .arguments = {{.name = "N", .kind = CONF_COUNT, .min = 1, .max = 1000}},
        .doc = "How many good answers in a row bring a server back.",
        .example = IN_A_CHECK("rise 2"),
        .default_text = "`1`",
        .apply = apply_rise,
    },
    {
        .name = "fall",
        .contexts = IN_CHECK,
        .arguments = {{.name = "N", .kind = CONF_COUNT, .min = 1, .max = 1000}},
        .doc = "How many checks in a row must fail before a server gets no requests.",
        .example = IN_A_CHECK("fall 2"),
        .default_text = "`3`",
        .apply = apply_fall,
    },
    {
        .name = "expect",
        .contexts = IN_CHECK,
        .arguments = {{.name = "STATUS", .kind = CONF_WORD, .repeat = 1}},
        .doc = "Which answers are good: statuses, and ranges of them.",
        .example = IN_A_CHECK("expect 200-299 401"),
        .default_text = "`200-399`",
        .apply = apply_expect,
    },
    {
        .name = "timeout",
        .contexts = IN_CHECK,
        .arguments = {{.name = "TIME", .kind = CONF_DURATION, .min = 1, .max = DAY_MS}},
        .doc = "How long a check may take, the connection with it.",
        .example = IN_A_CHECK("timeout 500ms"),
        .default_text = "`2s`",
        .apply = apply_timeout,
    },
    {
        .name = "host",
        .contexts = IN_CHECK,
        .arguments = {{.name = "HOST", .kind = CONF_WORD}},
        .doc = "The Host that a check names.",
        .example = IN_A_CHECK("host app.example.com"),
        .default_text = "the server's own",
        .apply = apply_host,
    },
};

const struct directive_table check_directives = {directives, COUNT_OF(directives)};
