/* What a worker's HTTP layer needs to know from a configuration. Built by src/main, read-only afterwards. */
#ifndef HOLDFAST_HTTP_CONFIG_H
#define HOLDFAST_HTTP_CONFIG_H

#include "http/storage.h"
#include "upstream/config.h"

#include <stddef.h>
#include <stdint.h>

#define HTTP_SITES_MAX 1024
#define HTTP_ADDRESSES_MAX 4096 /* of all sites together */

/* Rates are averages since the body or the response began; this long nobody looks at them. */
#define HTTP_RATE_GRACE_MS 10000u

struct http_route;
struct http_proxy;

/* Where a site is reached: requests on this listener whose Host is this name. A listener's site with the host
 * "" answers every name that no other site of the listener has; without one such names get 404. No two sites
 * of a configuration have the same pair. */
struct http_site_address {
    uint32_t listener; /* index in core_settings.listeners */
    char *host;        /* owned; lower case, no port, no final dot; "" for any */
};

struct http_site {
    struct http_site_address *addresses; /* owned */
    size_t address_count;                /* 1 or more */
    char *root;               /* owned; absolute path of the folder; NULL: the site has no `files` of its
                                            own, its routes have */
    char *index;              /* owned; what a folder answers with: "index.html" */
    struct http_route *route; /* in the storage; its own statements, and the routes inside (http/routes.h) */
};

/* Of every connection: they count before it is known which site a request is for. */
struct http_limits {
    uint32_t max_header_size;  /* bytes of a request's head, request line and all */
    uint32_t max_headers;      /* fields of a request */
    uint32_t max_request_line; /* bytes, without its end */
};

struct http_config {
    uint64_t keepalive_ms;      /* idle between two requests */
    uint64_t header_timeout_ms; /* from a request's first byte to the end of its header */
    uint64_t body_timeout_ms;   /* without a byte of the request's body */
    uint64_t write_timeout_ms;  /* without a byte of the response taken */
    struct http_limits limits;
    int test_hooks; /* the paths that plant faults answer */

    struct http_site *sites; /* owned; in the order of the configuration */
    size_t site_count;

    struct storage storage;   /* owned; routes and all they consist of */
    struct http_route *route; /* in the storage: what the top level says, the parent of all sites' routes */
    size_t route_count;       /* of all, this one with them */
    const struct http_route **routes;  /* in the storage; by number */
    struct upstream_config upstreams;  /* in the storage; pools in their order, those of addresses last */
    const struct http_proxy **proxies; /* in the storage; by number: http/proxy.h */
    uint32_t proxy_count;
    const char **folders; /* owned, the texts in the storage: absolute paths of the folders of all `files` */
    size_t folder_count;
};

#endif
