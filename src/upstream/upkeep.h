/* What a worker does for its pools beside requests: it takes up what others found, looks up names, and checks servers, when
 * pools.h says that it is due. Whatever is claimed and not done, because its worker died, somebody else does when its time
 * comes again. Nothing here holds up a start, or the loop. */
#ifndef HOLDFAST_UPSTREAM_UPKEEP_H
#define HOLDFAST_UPSTREAM_UPKEEP_H

#include "core/worker.h"
#include "upstream/pools.h"

struct upkeep;

/* Asks for housekeeping, once. `pools` and `config` are borrowed until upkeep_stop.
 * 0 or ERR_NO_MEMORY. */
WARN_UNUSED int upkeep_start(struct upkeep **upkeep, struct worker *worker, struct pools *pools,
                             const struct upstream_config *config);
/* After pool_stop: no thread touches a look-up any more. */
void upkeep_stop(struct upkeep **upkeep);
/* For service.housekeeping: does what is due. 1: it wants to be called again, not later than it told worker_keep_house. */
int upkeep_turn(struct upkeep *upkeep);

#endif
