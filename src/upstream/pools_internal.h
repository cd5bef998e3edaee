/* What the files of pools.h share. */
#ifndef HOLDFAST_UPSTREAM_POOLS_INTERNAL_H
#define HOLDFAST_UPSTREAM_POOLS_INTERNAL_H

#include "base/clock.h"
#include "upstream/health.h"
#include "upstream/pools.h"
#include "upstream/table.h"

#define POOLS_MAGIC 0x4c4f4f50u

struct member {
    uint32_t number; /* what others call it (TABLE_MEMBER) */
    uint32_t entry;
    const struct upstream_server *server; /* borrowed from the configuration */
    uint32_t weight;
    int is_backup;
    uint64_t hash; /* the entry's key */
};

/* One pool here: who can be chosen. */
struct members {
    const struct upstream_pool *config;
    struct member *members; /* owned; `capacity` of them */
    uint32_t count, capacity;
    uint32_t index;
    uint32_t has_names;
    /* In the shared memory: hundredths of another try in the lower half; whose they are, by a hash of the pool's name, in the
     * upper one, so that one store says both. */
    uint64_t *budget;
};

/* One server of the configuration that is a name. */
struct name {
    const struct upstream_server *server;
    uint32_t pool;
    uint32_t number;  /* in the table */
    uint32_t version; /* of the addresses that are in use; 0: none are */
};

/* Where an entry is here. */
struct entry_place {
    uint16_t pool; /* and 1; 0: nowhere */
    uint16_t member;
};

struct pools {
    uint32_t magic;
    const struct upstream_config *config; /* borrowed */
    struct table table;
    struct members *pools; /* owned; config->pool_count */
    struct name *names;    /* owned */
    uint32_t name_count;
    uint32_t has_checks;
    uint64_t random;
    struct member scratch[UPSTREAM_MEMBERS_MAX];
    struct entry_place places[TABLE_ENTRIES];
};

/* The member in this configuration, or NULL. */
struct member *pools_member(const struct pools *pools, uint32_t number);
/* Joins all members that the pool has now, and parts from those that it has no more. 0; ERR_LIMIT, ERR_NO_MEMORY: some are
 * missing. Of pools.c. */
WARN_UNUSED int pools_gather(struct pools *pools, struct members *pool);

#endif
