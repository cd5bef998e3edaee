/* Limits: how much a client may ask for. */
#include "main/directives.h"

#include "proto/h1.h"

#define HEADER_SIZE_MAX 8192u /* a head and what follows it fit into the connection's ring together */

static int apply_max_header_size(void *into, const struct conf_statement *statement, void **child)
{
    (void)child;
    ((struct build *)into)->http->limits.max_header_size = (uint32_t)NUMBER_OF(statement, 0);
    return 0;
}

static int apply_max_headers(void *into, const struct conf_statement *statement, void **child)
{
    (void)child;
    ((struct build *)into)->http->limits.max_headers = (uint32_t)NUMBER_OF(statement, 0);
    return 0;
}

static int apply_max_request_line(void *into, const struct conf_statement *statement, void **child)
{
    (void)child;
    ((struct build *)into)->http->limits.max_request_line = (uint32_t)NUMBER_OF(statement, 0);
    return 0;
}

static int apply_max_body(void *into, const struct conf_statement *statement, void **child)
{
    struct http_route *route = ((struct block_build *)into)->route;
    (void)child;
    route->settings.max_body = NUMBER_OF(statement, 0); /* 0 for "off" */
    route->given |= ROUTE_GIVES_MAX_BODY;
    return 0;
}

static const struct directive directives[] = {
    {
        .name = "max_header_size",
        .contexts = AT_TOP,
        .arguments = {{.name = "SIZE", .kind = CONF_SIZE, .min = 256, .max = HEADER_SIZE_MAX}},
        .doc = "How long the head of a request may be, request line and all. A longer one gets 431.",
        .example = "max_header_size 4k",
        .default_text = "`8k`",
        .apply = apply_max_header_size,
    },
    {
        .name = "max_headers",
        .contexts = AT_TOP,
        .arguments = {{.name = "N", .kind = CONF_COUNT, .min = 1, .max = H1_FIELDS_MAX}},
        .doc = "How many headers a request may have. With more it gets 431.",
        .example = "max_headers 50",
        .default_text = "`100`",
        .apply = apply_max_headers,
    },
    {
        .name = "max_request_line",
        .contexts = AT_TOP,
        .arguments = {{.name = "SIZE", .kind = CONF_SIZE, .min = 64, .max = HEADER_SIZE_MAX}},
        .doc = "How long the first line of a request may be. A longer one gets 414.",
        .example = "max_request_line 2k",
        .default_text = "`8k`",
        .apply = apply_max_request_line,
    },
    {
        .name = "max_body",
        .contexts = AT_TOP | IN_SITE | IN_ROUTE,
        .arguments = {{.name = "SIZE", .kind = CONF_SIZE, .min = 1, .words = WORDS("off")}},
        .doc = "How long the body of a request may be. A longer one gets 413.",
        .example = "max_body 10m",
        .default_text = "`64m`",
        .apply = apply_max_body,
    },
};

const struct directive_table limit_directives = {directives, COUNT_OF(directives)};
