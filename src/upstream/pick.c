/* Requests: who takes one, and what it tells of the member (pools.h). */
#include "upstream/pools_internal.h"

#include "base/log.h"
#include "upstream/balance.h"

#define BUDGET_UNIT 100u
#define BUDGET_MAX (100u * BUDGET_UNIT) /* no more other tries than this are saved up */

/* --- what can be chosen --- */

static int is_tried(const struct pools_wish *wish, uint32_t number)
{
    for (uint32_t i = 0; i < wish->tried_count; i++)
        if (wish->tried[i] == number)
            return 1;
    return 0;
}

static int is_down(const struct members *pool, const struct table_entry *entry)
{
    return pool->config->check.kind && health_is_down(entry->check);
}

static int is_ejected(const struct members *pool, const struct table_entry *entry, uint64_t now_ms)
{
    return pool->config->passive.failures && health_is_ejected(entry->passive, now_ms);
}

static uint32_t weight_of(const struct members *pool, const struct member *member,
                          const struct table_entry *entry, uint64_t now_ms)
{
    const uint64_t until_ms = health_ejected_until_ms(entry->passive);

    if (!pool->config->slow_start_ms)
        return member->weight * HEALTH_WHOLE;
    return member->weight *
           health_ramp(until_ms ? until_ms : entry->up_since_ms, pool->config->slow_start_ms, now_ms);
}

/* Whom a pass looks at. If all are ejected, none is: a pool is never put aside as a whole. */
struct pass {
    int backup, ejected;
};
static const struct pass passes[] = {{0, 0}, {1, 0}, {0, 1}, {1, 1}};

struct picking {
    struct pools *pools;
    struct members *pool;
    const struct pools_wish *wish;
    uint64_t now_ms;
    int some_are_full;
    struct balance_choice choices[UPSTREAM_MEMBERS_MAX];
};

static uint32_t offer(struct picking *picking, const struct pass *pass)
{
    struct members *pool = picking->pool;
    const int asks_load =
        pool->config->balance == UPSTREAM_LEAST || pool->config->balance == UPSTREAM_RANDOM_TWO;
    uint32_t offered = 0;

    for (uint32_t i = 0; i < pool->count; i++) {
        struct member *member = &pool->members[i];
        const struct table_entry *entry = table_entry(&picking->pools->table, member->entry);
        struct balance_choice *choice = &picking->choices[i];

        *choice = (struct balance_choice){.current = table_account(&picking->pools->table, member->entry),
                                          .hash = member->hash};
        if (member->is_backup != pass->backup || is_tried(picking->wish, member->number) ||
            is_down(pool, entry) || is_ejected(pool, entry, picking->now_ms) != pass->ejected)
            continue;
        choice->weight = weight_of(pool, member, entry, picking->now_ms);
        if (asks_load)
            choice->active = table_active(&picking->pools->table, member->entry);
        offered++;
    }
    return offered;
}

static int choose(struct picking *picking)
{
    struct members *pool = picking->pool;

    switch (pool->config->balance) {
    case UPSTREAM_LEAST:
        return balance_least(picking->choices, pool->count);
    case UPSTREAM_RANDOM_TWO:
        return balance_random_two(picking->choices, pool->count, &picking->pools->random);
    case UPSTREAM_HASH:
        return balance_hash(picking->choices, pool->count, picking->wish->hash);
    case UPSTREAM_ROUND_ROBIN:
        break;
    }
    return balance_round_robin(picking->choices, pool->count);
}

/* 1 and *number if a place was taken. */
static int pick_one(struct picking *picking, uint32_t *number)
{
    int chosen;

    while ((chosen = choose(picking)) >= 0) {
        struct member *member = &picking->pool->members[chosen];

        if (!table_take(&picking->pools->table, member->entry, member->server->max)) {
            *number = member->number;
            atomic_fetch_add_explicit(&table_entry(&picking->pools->table, member->entry)->requests, 1,
                                      memory_order_relaxed);
            return 1;
        }
        picking->choices[chosen].weight = 0;
        picking->some_are_full = 1;
    }
    return 0;
}

static struct slice why_none(const struct pools *pools, const struct members *pool)
{
    if (pool->count)
        return SLICE_LITERAL("no_server_up");
    for (uint32_t i = 0; i < pools->name_count; i++)
        if (pools->names[i].pool == pool->index &&
            table_name(&pools->table, pools->names[i].number)->failures)
            return SLICE_LITERAL("dns_failed");
    return SLICE_LITERAL("pool_empty");
}

/* The first answer of a name is awaited, or has just come and is taken up with the next tick. */
static int is_awaited(const struct members *pool, struct slice reason)
{
    return pool->has_names && slice_equals(reason, SLICE_LITERAL("pool_empty"));
}

static uint32_t saved(const struct members *pool)
{
    return (uint32_t)*pool->budget;
}

static void save_budget(struct members *pool)
{
    if (saved(pool) < BUDGET_MAX)
        *pool->budget += pool->config->retries.budget_percent;
}

int pools_pick(struct pools *pools, uint32_t index, const struct pools_wish *wish, uint64_t now_ns,
               uint32_t *member, struct slice *reason)
{
    struct picking picking; /* its choices are written as they are offered */
    struct members *pool = &pools->pools[index];

    picking.pools = pools;
    picking.pool = pool;
    picking.wish = wish;
    picking.now_ms = now_ns / NS_PER_MS;
    picking.some_are_full = 0;
    *reason = SLICE_LITERAL("");
    for (unsigned i = 0; i < sizeof passes / sizeof *passes; i++) {
        if (!offer(&picking, &passes[i]))
            continue;
        if (pick_one(&picking, member)) {
            if (!wish->tried_count)
                save_budget(pool);
            return 0;
        }
        *reason = SLICE_LITERAL("pool_full");
        if (picking.some_are_full)
            return ERR_BUSY; /* full is not down: who comes later does not go past those who wait */
    }
    *reason = why_none(pools, pool);
    return is_awaited(pool, *reason) ? ERR_BUSY : ERR_UNREACHABLE;
}

int pools_take(struct pools *pools, uint32_t number)
{
    const struct member *member = pools_member(pools, number);

    return member ? table_take(&pools->table, member->entry, member->server->max) : ERR_NOT_FOUND;
}

void pools_release(struct pools *pools, uint32_t member)
{
    table_release(&pools->table, TABLE_MEMBER_ENTRY(member));
}

uint64_t pools_hash(struct slice bytes)
{
    return table_hash(4, bytes);
}

int pools_is_up(const struct pools *pools, uint32_t number, uint64_t now_ns)
{
    const struct member *member = pools_member(pools, number);
    const struct members *pool;
    const struct table_entry *entry;

    if (!member)
        return 0;
    pool = &pools->pools[pools->places[member->entry].pool - 1];
    entry = table_entry(&pools->table, member->entry);
    return !is_down(pool, entry) && !is_ejected(pool, entry, now_ns / NS_PER_MS);
}

/* --- what requests tell --- */

static const char *const outcome_names[] = {"ok", "connect_failed", "timed_out", "bad_answer", "reset"};

static void tell_ejected(const struct table_entry *entry, enum pools_outcome outcome, uint64_t word,
                         uint64_t now_ms)
{
    log_event(
        LOG_WARN, LOG_EV_UPSTREAM_EJECTED,
        "pool=\"%s\" server=\"%s\" address=\"%s\" reason=%s for_ms=%llu next=\"it is asked again then\"",
        entry->pool, entry->server, entry->address_text, outcome_names[outcome],
        (unsigned long long)(HEALTH_MARK_MS(word) - now_ms));
}

static void report_failure(struct table_entry *entry, const struct upstream_passive *rules,
                           enum pools_outcome outcome, uint64_t now_ms)
{
    uint64_t seen = entry->passive, next;

    atomic_fetch_add_explicit(&entry->failures, 1, memory_order_relaxed);
    do {
        next = health_fail(seen, rules, now_ms);
        if (next == seen)
            return;
    } while (!atomic_compare_exchange_weak(&entry->passive, &seen, next));
    if (!health_is_ejected(next, now_ms))
        return;
    atomic_fetch_add_explicit(&entry->ejections, 1, memory_order_relaxed);
    tell_ejected(entry, outcome, next, now_ms);
}

/* The slow start's beginning is stored before the word that makes it count. */
static void report_success(struct table_entry *entry, uint64_t now_ms)
{
    uint64_t seen = atomic_load_explicit(&entry->passive, memory_order_relaxed), next;

    next = health_succeed(seen, now_ms);
    if (next == seen)
        return;
    entry->up_since_ms = HEALTH_MARK_MS(seen);
    if (atomic_compare_exchange_strong(&entry->passive, &seen, next))
        log_event(LOG_INFO, LOG_EV_UPSTREAM_UP, "pool=\"%s\" server=\"%s\" address=\"%s\" reason=answered",
                  entry->pool, entry->server, entry->address_text);
}

void pools_report(struct pools *pools, uint32_t number, enum pools_outcome outcome, uint64_t now_ns)
{
    const struct member *member = pools_member(pools, number);
    struct table_entry *entry;

    if (!member)
        return;
    entry = table_entry(&pools->table, member->entry);
    if (outcome == POOLS_OK)
        report_success(entry, now_ns / NS_PER_MS);
    else
        report_failure(entry, &pools->config->pools[pools->places[member->entry].pool - 1].passive, outcome,
                       now_ns / NS_PER_MS);
}

int pools_may_retry(struct pools *pools, uint32_t index)
{
    struct members *pool = &pools->pools[index];

    if (pool->config->retries.budget_percent >= 100)
        return 1;
    if (saved(pool) < BUDGET_UNIT)
        return 0;
    *pool->budget -= BUDGET_UNIT;
    return 1;
}
