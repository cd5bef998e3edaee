/* What is to be done by one worker alone: checks, and lookups of names (pools.h). */
#include "upstream/pools_internal.h"

#include "base/log.h"

#include <arpa/inet.h>
#include <string.h>

#define LOOK_NS NS_PER_S               /* how often the table is looked at for what others found */
#define LOOK_FIRST_NS (50 * NS_PER_MS) /* the same while nothing was found yet: requests wait for it */
#define RETRY_FIRST_NS NS_PER_S        /* after a lookup that failed; doubles up to: */
#define RETRY_MAX_NS (30 * NS_PER_S)

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* --- the tick --- */

/* The addresses have changed, or somebody else has the name's place. */
static void look_at_name(struct pools *pools, struct name *name, uint64_t now_ns)
{
    int result = 0;

    if (!table_name_keep(&pools->table, name->number, name->server->text, now_ns)) {
        name->version = 0;
        result = table_name_join(&pools->table, name->server->text, now_ns, &name->number);
    }
    if (!result && table_name(&pools->table, name->number)->version != name->version)
        result = pools_gather(pools, &pools->pools[name->pool]);
    if (result && result != ERR_AGAIN)
        log_event(LOG_WARN, LOG_EV_UPSTREAM_NAME,
                  "name=\"%s\" error=\"%s\" next=\"its addresses are not all used\"", name->server->text.at,
                  err_text(result));
}

static uint64_t next_check(const struct pools *pools)
{
    uint64_t next = UINT64_MAX;

    for (uint32_t p = 0; p < pools->config->pool_count; p++)
        for (uint32_t m = 0; pools->pools[p].config->check.kind && m < pools->pools[p].count; m++)
            next = earlier(next, table_entry(&pools->table, pools->pools[p].members[m].entry)->next_check_ns);
    return next;
}

uint64_t pools_tick(struct pools *pools, uint64_t now_ns)
{
    uint64_t next = UINT64_MAX;

    for (uint32_t i = 0; i < pools->name_count; i++) {
        const struct table_name *name;

        look_at_name(pools, &pools->names[i], now_ns);
        name = table_name(&pools->table, pools->names[i].number);
        next = earlier(next, name->next_look_ns);
        next = earlier(next, now_ns + (name->answers ? LOOK_NS : LOOK_FIRST_NS));
    }
    return pools->has_checks ? earlier(next, next_check(pools)) : next;
}

/* --- checks --- */

int pools_take_check(struct pools *pools, uint64_t now_ns, uint32_t *member,
                     const struct upstream_pool **asking)
{
    for (uint32_t p = 0; pools->has_checks && p < pools->config->pool_count; p++) {
        const struct members *pool = &pools->pools[p];
        const struct upstream_check *rules = &pool->config->check;

        for (uint32_t m = 0; rules->kind && m < pool->count; m++)
            if (table_claim_time(&table_entry(&pools->table, pool->members[m].entry)->next_check_ns, now_ns,
                                 now_ns + rules->interval_ms * NS_PER_MS)) {
                *member = pool->members[m].number;
                *asking = pool->config;
                return 1;
            }
    }
    return 0;
}

static void tell_checked(const struct table_entry *entry, int is_down, int result)
{
    if (!is_down)
        log_event(LOG_INFO, LOG_EV_UPSTREAM_UP,
                  "pool=\"%s\" server=\"%s\" address=\"%s\" reason=check status=%d", entry->pool,
                  entry->server, entry->address_text, result); /* 0: it was to connect */
    else if (result > 0)
        log_event(LOG_WARN, LOG_EV_UPSTREAM_DOWN,
                  "pool=\"%s\" server=\"%s\" address=\"%s\" reason=check status=%d next=\"it is not asked\"",
                  entry->pool, entry->server, entry->address_text, result);
    else
        log_event(
            LOG_WARN, LOG_EV_UPSTREAM_DOWN,
            "pool=\"%s\" server=\"%s\" address=\"%s\" reason=check error=\"%s\" next=\"it is not asked\"",
            entry->pool, entry->server, entry->address_text, err_text(result));
}

/* What requests told before is over once a check says that the server is there. */
static void lift(struct table_entry *entry, uint64_t now_ms)
{
    uint64_t seen = entry->passive, next = health_lift(seen, now_ms);

    if (next == seen)
        return;
    entry->up_since_ms = now_ms;
    (void)atomic_compare_exchange_strong(&entry->passive, &seen, next);
}

void pools_report_check(struct pools *pools, uint32_t number, int result, uint64_t now_ns)
{
    const struct member *member = pools_member(pools, number);
    const uint64_t now_ms = now_ns / NS_PER_MS;
    const struct upstream_check *rules;
    struct table_entry *entry;
    uint64_t seen, next;
    int is_good;

    if (!member)
        return;
    rules = &pools->config->pools[pools->places[member->entry].pool - 1].check;
    entry = table_entry(&pools->table, member->entry);
    if (!rules->kind)
        return;
    is_good = rules->kind == UPSTREAM_CHECK_CONNECT ? result >= 0
                                                    : result > 0 && health_expects(rules, (unsigned)result);
    atomic_fetch_add_explicit(&entry->checks, 1, memory_order_relaxed);
    if (!is_good)
        atomic_fetch_add_explicit(&entry->checks_failed, 1, memory_order_relaxed);
    seen = entry->check;
    next = health_check(seen, rules, is_good, now_ms);
    if (is_good && health_is_down(seen) && !health_is_down(next))
        entry->up_since_ms = now_ms; /* before the word that makes it count */
    if (next != seen && atomic_compare_exchange_strong(&entry->check, &seen, next) &&
        health_is_down(next) != health_is_down(seen))
        tell_checked(entry, health_is_down(next), result);
    if (is_good && !health_is_down(next))
        lift(entry, now_ms);
}

/* --- names --- */

int pools_take_name(struct pools *pools, uint64_t now_ns, uint32_t *ticket,
                    const struct upstream_server **server)
{
    for (uint32_t i = 0; i < pools->name_count; i++)
        if (table_claim_time(&table_name(&pools->table, pools->names[i].number)->next_look_ns, now_ns,
                             now_ns + POOLS_LOOKUP_NS)) {
            *ticket = i;
            *server = pools->names[i].server;
            return 1;
        }
    return 0;
}

static int write_found(struct table_found *out, const struct pools_found *found)
{
    const struct sockaddr_in *v4 = (const void *)&found->address;
    const struct sockaddr_in6 *v6 = (const void *)&found->address;

    memset(out, 0, sizeof *out);
    out->family = found->address.ss_family;
    out->weight = found->weight;
    out->is_backup = found->is_backup;
    if (out->family == AF_INET) {
        out->port = ntohs(v4->sin_port);
        memcpy(out->ip, &v4->sin_addr, sizeof v4->sin_addr);
    } else if (out->family == AF_INET6) {
        out->port = ntohs(v6->sin6_port);
        memcpy(out->ip, &v6->sin6_addr, sizeof v6->sin6_addr);
    }
    return out->family == AF_INET || out->family == AF_INET6;
}

static void report_lost(struct table_name *name, uint64_t now_ns)
{
    const uint32_t failures = name->failures + 1;
    uint64_t wait_ns = RETRY_FIRST_NS;

    for (uint32_t i = 1; i < failures && wait_ns < RETRY_MAX_NS; i++)
        wait_ns *= 2;
    name->failures = failures;
    name->answers = name->answers + 1;
    name->next_look_ns = now_ns + earlier(wait_ns, RETRY_MAX_NS);
    log_event(failures == 1 ? LOG_WARN : LOG_DEBUG, LOG_EV_UPSTREAM_NAME,
              "name=\"%s\" error=\"it was not found\" next=\"%s\"", name->text,
              name->version ? "its former addresses are used" : "it is looked up again");
}

void pools_report_name(struct pools *pools, uint32_t ticket, const struct pools_found *found, size_t count,
                       uint64_t ttl_ms, int failed, uint64_t now_ns)
{
    static struct table_copy copy, former; /* of the loop thread */
    const struct upstream_config *config = pools->config;
    struct name *name = &pools->names[ticket];
    struct table_name *of_table = table_name(&pools->table, name->number);

    if (!table_name_keep(&pools->table, name->number, name->server->text, now_ns))
        return;
    memset(&copy, 0, sizeof copy);
    for (size_t i = 0; i < count && copy.count < TABLE_FOUND; i++)
        copy.count += (uint32_t)write_found(&copy.found[copy.count], &found[i]);
    if (failed || !copy.count) {
        report_lost(of_table, now_ns);
        return;
    }
    ttl_ms = ttl_ms < config->ttl_min_ms ? config->ttl_min_ms : earlier(ttl_ms, config->ttl_max_ms);
    if (table_name_read(&pools->table, name->number, &former) || former.count != copy.count ||
        memcmp(former.found, copy.found, sizeof copy.found) != 0)
        table_name_write(&pools->table, name->number, &copy);
    of_table->failures = 0;
    of_table->answers = of_table->answers + 1;
    of_table->next_look_ns = now_ns + ttl_ms * NS_PER_MS;
    look_at_name(pools, name, now_ns);
}
