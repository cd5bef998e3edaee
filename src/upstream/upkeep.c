#include "upstream/upkeep.h"

#include "base/clock.h"
#include "upstream/check.h"
#include "upstream/lookups.h"

#include <stdlib.h>

#define SOONEST_NS (20 * NS_PER_MS) /* names that are due may have to wait for a thread */

struct upkeep {
    struct worker *worker;   /* borrowed */
    struct pools *pools;     /* borrowed */
    struct lookups *lookups; /* owned */
    int has_work;            /* names or checks */
};

static void take_checks(struct upkeep *upkeep)
{
    const struct upstream_pool *pool;
    uint32_t member;

    while (pools_take_check(upkeep->pools, upkeep->worker->now_ns, &member, &pool))
        check_begin(upkeep->worker, member, pool);
}

int upkeep_turn(struct upkeep *upkeep)
{
    const uint64_t now_ns = upkeep->worker->now_ns;
    uint64_t next_ns;

    if (!upkeep->has_work)
        return 0;
    (void)pools_tick(upkeep->pools, now_ns);
    lookups_turn(upkeep->lookups, now_ns);
    take_checks(upkeep);
    next_ns = pools_tick(upkeep->pools, now_ns);
    worker_keep_house(upkeep->worker, next_ns > now_ns + SOONEST_NS ? next_ns : now_ns + SOONEST_NS);
    return 1;
}

int upkeep_start(struct upkeep **out, struct worker *worker, struct pools *pools,
                 const struct upstream_config *config)
{
    struct upkeep *upkeep = calloc(1, sizeof *upkeep);
    int result;

    *out = upkeep;
    if (!upkeep)
        return ERR_NO_MEMORY;
    *upkeep = (struct upkeep){.worker = worker, .pools = pools};
    result = lookups_start(&upkeep->lookups, pools, config, &worker->pool, worker->settings->threads);
    if (result)
        return result;
    check_set_pools(pools);
    upkeep->has_work = pools_tick(pools, worker->now_ns) != UINT64_MAX;
    worker_keep_house(worker, worker->now_ns); /* connections of a former worker come first */
    return 0;
}

void upkeep_stop(struct upkeep **upkeep)
{
    struct upkeep *old = *upkeep;

    *upkeep = NULL;
    if (!old)
        return;
    check_set_pools(NULL);
    lookups_stop(&old->lookups);
    free(old);
}
