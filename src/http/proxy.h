/* What a route says of passing requests on. Built by src/main, in the configuration's storage; read-only afterwards. */
#ifndef HOLDFAST_HTTP_PROXY_H
#define HOLDFAST_HTTP_PROXY_H

#include "base/bytes.h"

#include <stddef.h>
#include <stdint.h>

struct http_proxy {
    uint32_t number; /* from 0, less than http_config.proxy_count */
    uint32_t pool;   /* index in upstream_config.pools */

    enum http_proxy_host {
        HTTP_PROXY_HOST_CLIENT,   /* what the client asked for */
        HTTP_PROXY_HOST_UPSTREAM, /* the server as the configuration writes it */
        HTTP_PROXY_HOST_TEXT,     /* `host_text` */
    } host;
    struct slice host_text; /* TEXT; no values in it */
    int hides_errors;       /* no Holdfast-Error in answers of ours */

    /* Instead of the pool's, in milliseconds; 0: the pool's. */
    uint64_t connect_ms, first_byte_ms, between_ms, whole_ms, tunnel_ms;

    /* Held back until it is whole or so large. Bytes in memory, and in a file after that; 0: passed on as it comes. */
    uint64_t buffer_request, buffer_request_file;
    uint64_t buffer_response, buffer_response_file;
};

#endif
