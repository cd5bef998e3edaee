/* What a worker's HTTP layer needs to know from a configuration. Built by src/main, read-only afterwards. */
#ifndef HOLDFAST_HTTP_CONFIG_H
#define HOLDFAST_HTTP_CONFIG_H

#include <stddef.h>
#include <stdint.h>

#define HTTP_SITES_MAX 1024
#define HTTP_ADDRESSES_MAX 4096 /* of all sites together */

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
    char *root;                          /* owned; absolute path of the folder */
    char *index;                         /* owned; what a folder answers with: "index.html" */
};

struct http_config {
    uint64_t keepalive_ms;      /* idle between two requests */
    uint64_t header_timeout_ms; /* from a request's first byte to the end of its header */
    uint64_t body_timeout_ms;   /* without a byte of the request's body */
    uint64_t write_timeout_ms;  /* without a byte of the response taken */
    int test_hooks;             /* the paths that plant faults answer */

    struct http_site *sites; /* owned; in the order of the configuration */
    size_t site_count;
};

#endif
