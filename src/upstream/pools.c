#include "upstream/pools_internal.h"

#include "base/assert.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#define WEIGHT_MAX 0x3ffffu /* BALANCE_WEIGHT_MAX in parts of HEALTH_WHOLE */
#define BUDGET_UNIT 100u
#define BUDGET_FIRST (10u * BUDGET_UNIT) /* so that a pool with few requests has other tries, too */

/* --- members --- */

struct member *pools_member(const struct pools *pools, uint32_t number)
{
    const struct entry_place *place = &pools->places[TABLE_MEMBER_ENTRY(number)];
    struct member *member;

    if (!number || !place->pool)
        return NULL;
    member = &pools->pools[place->pool - 1].members[place->member];
    return member->number == number ? member : NULL;
}

/* What is gathered of a pool so far, in pools->scratch. */
struct gathering {
    struct pools *pools;
    struct members *pool;
    uint32_t count;
    int result; /* the first error */
};

static void gather_address(struct gathering *gathering, uint32_t server_index,
                           const struct sockaddr_storage *address, socklen_t length, uint32_t weight,
                           int is_backup)
{
    struct pools *pools = gathering->pools;
    const struct upstream_server *server = &gathering->pool->config->servers[server_index];
    const uint64_t product = (uint64_t)server->weight * (weight ? weight : 1);
    struct table_key key = {.pool = gathering->pool->config->name,
                            .server = server->text,
                            .address = address,
                            .address_length = length,
                            .order = gathering->pool->index << 16 | gathering->count,
                            .weight = product < WEIGHT_MAX ? (uint32_t)product : WEIGHT_MAX,
                            .max = server->max,
                            .is_backup = (uint32_t)(server->is_backup || is_backup)};
    uint32_t entry;
    int result;

    if (gathering->count == gathering->pool->capacity)
        return;
    result = table_join(&pools->table, &key, &entry);
    if (result) {
        gathering->result = gathering->result ? gathering->result : result;
        return;
    }
    for (uint32_t i = 0; i < gathering->count; i++)
        if (pools->scratch[i].entry == entry)
            return; /* an address that was found twice */
    if (!gathering->pool->config->check.kind)
        table_entry(&pools->table, entry)->check = 0; /* of a former configuration */
    pools->scratch[gathering->count++] = (struct member){.number = table_member(&pools->table, entry),
                                                         .entry = entry,
                                                         .server = server,
                                                         .weight = key.weight,
                                                         .is_backup = (int)key.is_backup,
                                                         .hash = table_head(&pools->table)->keys[entry]};
}

static socklen_t found_address(const struct table_found *found, struct sockaddr_storage *address)
{
    struct sockaddr_in *v4 = (void *)address;
    struct sockaddr_in6 *v6 = (void *)address;

    memset(address, 0, sizeof *address);
    if (found->family == AF_INET) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(found->port);
        memcpy(&v4->sin_addr, found->ip, sizeof v4->sin_addr);
        return sizeof *v4;
    }
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(found->port);
    memcpy(&v6->sin6_addr, found->ip, sizeof v6->sin6_addr);
    return sizeof *v6;
}

static struct name *name_of(const struct pools *pools, const struct upstream_server *server)
{
    for (uint32_t i = 0; i < pools->name_count; i++)
        if (pools->names[i].server == server)
            return &pools->names[i];
    return NULL;
}

static void gather_name(struct gathering *gathering, uint32_t server_index)
{
    struct name *name = name_of(gathering->pools, &gathering->pool->config->servers[server_index]);
    static struct table_copy copy; /* of the loop thread */
    const uint32_t version = table_name(&gathering->pools->table, name->number)->version;
    int result = table_name_read(&gathering->pools->table, name->number, &copy);

    if (result == ERR_AGAIN) { /* half written: it will be whole, or be written again */
        gathering->result = gathering->result ? gathering->result : result;
        return;
    }
    name->version = version;
    for (uint32_t i = 0; !result && i < copy.count; i++) {
        struct sockaddr_storage address;
        const socklen_t length = found_address(&copy.found[i], &address);

        gather_address(gathering, server_index, &address, length, copy.found[i].weight,
                       (int)copy.found[i].is_backup);
    }
}

static int is_gathered(const struct gathering *gathering, uint32_t entry)
{
    for (uint32_t i = 0; i < gathering->count; i++)
        if (gathering->pools->scratch[i].entry == entry)
            return 1;
    return 0;
}

int pools_gather(struct pools *pools, struct members *pool)
{
    struct gathering gathering = {.pools = pools, .pool = pool};
    const struct upstream_pool *config = pool->config;

    for (uint32_t i = 0; i < config->server_count; i++) {
        const struct upstream_server *server = &config->servers[i];

        if (server->kind == UPSTREAM_HOST || server->kind == UPSTREAM_SRV)
            gather_name(&gathering, i);
        else
            gather_address(&gathering, i, &server->address, server->length, 1, 0);
    }
    if (gathering.result == ERR_AGAIN)
        return ERR_AGAIN; /* the former members stay; joining is not undone, the next time has them */
    for (uint32_t i = 0; i < pool->count; i++) {
        pools->places[pool->members[i].entry].pool = 0;
        if (!is_gathered(&gathering, pool->members[i].entry))
            table_part(&pools->table, pool->members[i].entry);
    }
    memcpy(pool->members, pools->scratch, gathering.count * sizeof *pool->members);
    pool->count = gathering.count;
    for (uint32_t i = 0; i < pool->count; i++)
        pools->places[pool->members[i].entry] =
            (struct entry_place){(uint16_t)(pool->index + 1), (uint16_t)i};
    return gathering.result;
}

/* --- life --- */

static int is_name(const struct upstream_server *server)
{
    return server->kind == UPSTREAM_HOST || server->kind == UPSTREAM_SRV;
}

/* What a former worker saved is there still. */
static uint64_t *find_budget(const struct pools *pools, uint32_t index)
{
    const uint64_t owner_mask = ~(uint64_t)UINT32_MAX;
    const uint64_t owner = table_hash(5, pools->config->pools[index].name) & owner_mask;
    uint64_t *budget = table_budget(&pools->table, index);

    if ((*budget & owner_mask) != owner)
        *budget = owner | BUDGET_FIRST;
    return budget;
}

static int make_pool(struct pools *pools, uint32_t index)
{
    const struct upstream_pool *config = &pools->config->pools[index];
    struct members *pool = &pools->pools[index];

    *pool = (struct members){.config = config, .index = index, .budget = find_budget(pools, index)};
    for (uint32_t i = 0; i < config->server_count; i++) {
        const int has_many = is_name(&config->servers[i]);

        pool->has_names |= (uint32_t)has_many;
        pool->capacity += has_many ? TABLE_FOUND : 1;
    }
    if (pool->capacity > UPSTREAM_MEMBERS_MAX)
        pool->capacity = UPSTREAM_MEMBERS_MAX;
    pool->members = calloc(pool->capacity ? pool->capacity : 1, sizeof *pool->members);
    pools->has_checks |= config->check.kind != UPSTREAM_CHECK_NONE;
    return pool->members ? 0 : ERR_NO_MEMORY;
}

static int join_names(struct pools *pools, uint64_t now_ns)
{
    const struct upstream_config *config = pools->config;
    uint32_t count = 0;

    for (uint32_t p = 0; p < config->pool_count; p++)
        for (uint32_t s = 0; s < config->pools[p].server_count; s++)
            count += (uint32_t)is_name(&config->pools[p].servers[s]);
    pools->names = calloc(count ? count : 1, sizeof *pools->names);
    if (!pools->names)
        return ERR_NO_MEMORY;
    for (uint32_t p = 0; p < config->pool_count; p++)
        for (uint32_t s = 0; s < config->pools[p].server_count; s++) {
            const struct upstream_server *server = &config->pools[p].servers[s];
            struct name *name = &pools->names[pools->name_count];
            int result;

            if (!is_name(server))
                continue;
            *name = (struct name){.server = server, .pool = p};
            result = table_name_join(&pools->table, server->text, now_ns, &name->number);
            if (result)
                return result;
            pools->name_count++;
        }
    return 0;
}

int pools_start(struct pools **out, const struct pools_start *start, uint64_t now_ns)
{
    struct pools *pools = calloc(1, sizeof *pools);
    int result;

    *out = pools;
    if (!pools)
        return ERR_NO_MEMORY;
    pools->magic = POOLS_MAGIC;
    pools->config = start->config;
    pools->random = (now_ns ^ (uint64_t)start->place << 48) | 1;
    result = table_open(&pools->table, start->shared, start->shared_fd, start->place, start->board);
    if (result)
        return result;
    pools->pools = calloc(start->config->pool_count + 1, sizeof *pools->pools);
    if (!pools->pools)
        return ERR_NO_MEMORY;
    for (uint32_t i = 0; !result && i < start->config->pool_count; i++)
        result = make_pool(pools, i);
    if (!result)
        result = join_names(pools, now_ns);
    for (uint32_t i = 0; !result && i < start->config->pool_count; i++) {
        result = pools_gather(pools, &pools->pools[i]);
        if (result == ERR_AGAIN)
            result = 0;
    }
    return result;
}

void pools_stop(struct pools **pools)
{
    struct pools *old = *pools;

    *pools = NULL;
    if (!old)
        return;
    MUST(old->magic == POOLS_MAGIC);
    for (uint32_t i = 0; old->pools && i < old->config->pool_count; i++)
        free(old->pools[i].members);
    free(old->pools);
    free(old->names);
    table_close(&old->table);
    old->magic = 0;
    free(old);
}

void pools_leave(struct pools *pools)
{
    table_leave(&pools->table);
}

void pools_take_over(struct pools *pools, uint32_t member)
{
    if (table_find(&pools->table, member))
        (void)!table_take(&pools->table, TABLE_MEMBER_ENTRY(member), 0);
}

void pools_recount_begin(struct pools *pools)
{
    table_recount_begin(&pools->table);
}

void pools_recount(struct pools *pools, uint32_t member)
{
    if (table_find(&pools->table, member))
        table_recount(&pools->table, TABLE_MEMBER_ENTRY(member));
}

/* The row keeps what the dead worker had and this one has not: it is stored anew, with the present members alone. */
void pools_recount_end(struct pools *pools)
{
    for (uint32_t i = 0; i < table_head(&pools->table)->entry_limit; i++)
        if (!pools->places[i].pool)
            table_part(&pools->table, i);
    table_recount_end(&pools->table);
}

/* --- members for others --- */

int pools_address(const struct pools *pools, uint32_t member, struct sockaddr_storage *address,
                  socklen_t *length)
{
    const struct table_entry *entry = table_find(&pools->table, member);

    if (!entry || !entry->filled || entry->address_length > sizeof *address)
        return ERR_NOT_FOUND;
    memset(address, 0, sizeof *address);
    memcpy(address, entry->address_bytes, entry->address_length);
    *length = entry->address_length;
    return 0;
}

int pools_has_member(const struct pools *pools, uint32_t member)
{
    return pools_member(pools, member) != NULL;
}

uint32_t pools_pool_of(const struct pools *pools, uint32_t member)
{
    return pools_member(pools, member) ? pools->places[TABLE_MEMBER_ENTRY(member)].pool - 1u : UINT32_MAX;
}

static struct slice text_of(const struct table_entry *entry, const char *text)
{
    return entry ? slice_of(text) : SLICE_LITERAL("-");
}

struct slice pools_member_pool(const struct pools *pools, uint32_t member)
{
    const struct table_entry *entry = table_find(&pools->table, member);

    return text_of(entry, entry ? entry->pool : NULL);
}

struct slice pools_member_server(const struct pools *pools, uint32_t member)
{
    const struct table_entry *entry = table_find(&pools->table, member);

    return text_of(entry, entry ? entry->server : NULL);
}

struct slice pools_member_address(const struct pools *pools, uint32_t member)
{
    const struct table_entry *entry = table_find(&pools->table, member);

    return text_of(entry, entry ? entry->address_text : NULL);
}
