/* The TCP proxy: connections passed on as they come, byte by byte. docs/internals/tcp.md. */
#ifndef HOLDFAST_L4_L4_H
#define HOLDFAST_L4_L4_H

#include "core/worker.h"
#include "l4/config.h"
#include "upstream/turns.h"

extern const struct conn_class l4_client_class; /* CONN_CLASS_TCP */
extern const struct conn_class l4_leg_class;    /* CONN_CLASS_TCP_LEG */

/* Before a worker's first connection. All are borrowed until l4_stop. 0 or ERR_NO_MEMORY. */
WARN_UNUSED int l4_start(struct worker *worker, const struct l4_config *config,
                         const struct upstream_config *upstreams, struct turns *turns);
/* All records have been counted (core/revival.h): what the counters have beyond them was lost. Called again it does nothing. */
void l4_recounted(struct worker *worker);
void l4_stop(void);

#endif
