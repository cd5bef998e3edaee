/* The handler that passes requests on to upstream servers: docs/internals/proxy.md. */
#ifndef HOLDFAST_HANDLER_PROXY_PROXY_H
#define HOLDFAST_HANDLER_PROXY_PROXY_H

#include "http/exchange.h"
#include "upstream/turns.h"

extern const struct handler proxy_handler;
extern const struct conn_class proxy_leg_class;

/* Before a worker's first connection; `index` is the handler's in http->handlers. `turns` is borrowed until proxy_stop.
 * 0 or ERR_NO_MEMORY. */
WARN_UNUSED int proxy_start(struct http *http, unsigned index, struct turns *turns);
void proxy_stop(struct http *http, unsigned index);

#endif
