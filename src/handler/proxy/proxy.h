/* The handler that passes requests on to upstream servers: docs/internals/proxy.md. */
#ifndef HOLDFAST_HANDLER_PROXY_PROXY_H
#define HOLDFAST_HANDLER_PROXY_PROXY_H

#include "http/exchange.h"
#include "upstream/pools.h"

extern const struct handler proxy_handler;
extern const struct conn_class proxy_leg_class;

/* Before a worker's first connection; `index` is the handler's in http->handlers. `pools` is borrowed until proxy_stop.
 * 0 or ERR_NO_MEMORY. */
WARN_UNUSED int proxy_start(struct http *http, unsigned index, struct pools *pools);
/* All records have said what they hold (core/revival.h): what a former worker held and no record does is free for others.
 * Called again it does nothing. */
void proxy_recounted(struct worker *worker);
void proxy_stop(struct http *http, unsigned index);

#endif
