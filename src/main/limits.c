/* Limits: how much a client may ask for. */
#include "main/directives.h"

#include "proto/h1.h"

#define RATE_MAX (1ull << 30)
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

static int apply_min_body_rate(void *into, const struct conf_statement *statement, void **child)
{
    struct http_route *route = ((struct block_build *)into)->route;
    (void)child;
    route->settings.min_body_rate = NUMBER_OF(statement, 0); /* 0 for "off" */
    route->given |= ROUTE_GIVES_MIN_BODY_RATE;
    return 0;
}

static int apply_min_write_rate(void *into, const struct conf_statement *statement, void **child)
{
    struct http_route *route = ((struct block_build *)into)->route;
    (void)child;
    route->settings.min_write_rate = NUMBER_OF(statement, 0); /* 0 for "off" */
    route->given |= ROUTE_GIVES_MIN_WRITE_RATE;
    return 0;
}

static int apply_max_connections_per_client(void *into, const struct conf_statement *statement, void **child)
{
    (void)child;
    ((struct build *)into)->core->max_connections_per_client = NUMBER_OF(statement, 0); /* 0 for "off" */
    return 0;
}

static const struct directive directives[] = {
    {
        .name = "max_header_size",
        .elsewhere = "large_client_header_buffers client_header_buffer_size",
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
        .elsewhere = "client_max_body_size",
        .contexts = AT_TOP | IN_SITE | IN_ROUTE,
        .arguments = {{.name = "SIZE", .kind = CONF_SIZE, .min = 1, .words = WORDS("off")}},
        .doc = "How long the body of a request may be. A longer one gets 413.",
        .example = "max_body 10m",
        .default_text = "`64m`",
        .apply = apply_max_body,
    },
    {
        .name = "min_body_rate",
        .contexts = AT_TOP | IN_SITE | IN_ROUTE,
        .arguments = {{.name = "SIZE", .kind = CONF_SIZE, .min = 1, .max = RATE_MAX, .words = WORDS("off")}},
        .doc =
            "How many bytes a second of a request's body must come, on the average since it began. A slower "
            "one gets 408. The first 10 seconds are not judged, nor is anything before a worker's death.",
        .example = "min_body_rate 1k",
        .default_text = "`240`",
        .apply = apply_min_body_rate,
    },
    {
        .name = "min_write_rate",
        .contexts = AT_TOP | IN_SITE | IN_ROUTE,
        .arguments = {{.name = "SIZE", .kind = CONF_SIZE, .min = 1, .max = RATE_MAX, .words = WORDS("off")}},
        .doc = "How many bytes a second of a response the client must take, on the average since it began. "
               "A slower client is cut off. The first 10 seconds are not judged, nor is anything before a "
               "worker's death.",
        .example = "min_write_rate 1k",
        .default_text = "`240`",
        .apply = apply_min_write_rate,
    },
    {
        .name = "max_connections_per_client",
        .contexts = AT_TOP,
        .arguments = {{.name = "N", .kind = CONF_COUNT, .min = 1, .max = 10000000, .words = WORDS("off")}},
        .doc =
            "How many connections all workers together hold at most from one IPv4 address, or from one IPv6 "
            "network of 64 bits. One more gets 503 at once and is closed. Not for servers behind a proxy, "
            "where all connections come from one address. Takes 1 MiB for each worker, enough for some "
            "30000 clients at once; who comes beyond that is counted by each worker alone.",
        .example = "max_connections_per_client 100",
        .default_text = "`off`",
        .apply = apply_max_connections_per_client,
    },
};

const struct directive_table limit_directives = {directives, COUNT_OF(directives)};
