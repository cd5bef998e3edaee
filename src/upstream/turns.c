#include "upstream/turns.h"

#include <stdlib.h>
#include <sys/mman.h>

static size_t links_size(const struct worker *worker)
{
    return worker->arena.core->record_count * sizeof(struct turns_link);
}

int turns_start(struct turns **out, struct worker *worker, struct pools *pools)
{
    struct turns *turns = calloc(1, sizeof *turns);
    void *memory;

    *out = turns;
    if (!turns)
        return ERR_NO_MEMORY;
    *turns = (struct turns){.worker = worker, .pools = pools};
    /* Touched as numbers come into use. */
    memory = mmap(NULL, links_size(worker), PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return ERR_NO_MEMORY;
    turns->links = memory;
    pools_recount_begin(pools);
    return 0;
}

void turns_stop(struct turns **turns)
{
    struct turns *old = *turns;

    *turns = NULL;
    if (!old)
        return;
    if (old->links)
        munmap(old->links, links_size(old->worker));
    free(old);
}

static struct turns_link *link_of(struct turns *turns, const struct record *record)
{
    return &turns->links[arena_number(&turns->worker->arena, record)];
}

void turns_revived(struct turns *turns, const struct record *leg, uint32_t member)
{
    if (turns->is_recounted)
        pools_take_over(turns->pools, member);
    else
        pools_recount(turns->pools, member);
    link_of(turns, leg)->holds = 1;
}

void turns_recounted(struct turns *turns)
{
    if (turns->is_recounted)
        return;
    turns->is_recounted = 1;
    pools_recount_end(turns->pools);
}

/* --- places --- */

/* Whoever waited longest has the next place, also one that another worker's connections have left, of which nobody is told: he
 * looks first. But who has tried some servers waits for the others, and holds nobody up. */
static int another_is_first(struct turns *turns, const struct record *client, uint32_t pool)
{
    const uint32_t first = turns->queues[pool].first;

    if (!first || first == arena_number(&turns->worker->arena, client) + 1)
        return 0;
    if (turns->links[first - 1].has_tried && !turns->worker->side[first - 1].is_again)
        return 0;
    turns_wake(turns, pool);
    return 1;
}

int turns_pick(struct turns *turns, const struct record *client, uint32_t pool, const struct pools_wish *wish,
               uint32_t *member, struct slice *reason)
{
    *reason = SLICE_LITERAL("pool_full");
    if (another_is_first(turns, client, pool))
        return ERR_BUSY;
    return pools_pick(turns->pools, pool, wish, turns->worker->now_ns, member, reason);
}

void turns_hold(struct turns *turns, const struct record *leg)
{
    link_of(turns, leg)->holds = 1;
}

void turns_unhold(struct turns *turns, const struct record *leg)
{
    link_of(turns, leg)->holds = 0;
}

void turns_let_go(struct turns *turns, uint32_t leg, uint32_t member)
{
    const uint32_t pool = pools_pool_of(turns->pools, member);

    if (!turns->links[leg].holds)
        return;
    turns->links[leg].holds = 0;
    pools_release(turns->pools, member);
    if (pool != UINT32_MAX)
        turns_wake(turns, pool);
}

/* --- the queue --- */

void turns_wait(struct turns *turns, const struct record *client, uint32_t pool, uint64_t due_ns,
                int has_tried)
{
    struct turns_link *link = link_of(turns, client);
    const uint32_t number = arena_number(&turns->worker->arena, client);
    uint32_t before = turns->queues[pool].last;

    if (link->pool)
        return;
    while (before && turns->links[before - 1].due_ns > due_ns)
        before = turns->links[before - 1].link.before;
    list_put(&turns->queues[pool], LIST_ITEMS(turns->links), number,
             before ? turns->links[before - 1].link.after : turns->queues[pool].first);
    link->due_ns = due_ns;
    link->has_tried = has_tried != 0;
    link->pool = (uint16_t)(pool + 1);
    turns->count[pool]++;
}

void turns_leave(struct turns *turns, const struct record *client)
{
    struct turns_link *link = link_of(turns, client);
    const uint32_t pool = link->pool - 1u;

    if (!link->pool)
        return;
    list_remove(&turns->queues[pool], LIST_ITEMS(turns->links), arena_number(&turns->worker->arena, client));
    link->pool = 0;
    turns->count[pool]--;
    turns_wake(turns, pool);
}

void turns_wake(struct turns *turns, uint32_t pool)
{
    const uint32_t first = turns->queues[pool].first;

    if (first)
        worker_again(turns->worker, arena_record(&turns->worker->arena, first - 1));
}
