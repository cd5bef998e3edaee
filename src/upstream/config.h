/* Pools of upstream servers, as a configuration says them. Built by src/main, read-only afterwards; everything lies in the
 * configuration's storage. Times in milliseconds. */
#ifndef HOLDFAST_UPSTREAM_CONFIG_H
#define HOLDFAST_UPSTREAM_CONFIG_H

#include "base/bytes.h"
#include "proto/proxy_protocol.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define UPSTREAM_POOLS_MAX 256u   /* those that `proxy ADDR` makes with them */
#define UPSTREAM_SERVERS_MAX 64u  /* of one pool, as written */
#define UPSTREAM_MEMBERS_MAX 128u /* of one pool, with all addresses of its names */
/* Of all pools together, as written: what all workers know of them has so many places (table.h). */
#define UPSTREAM_ADDRESSES_MAX 1024u
#define UPSTREAM_NAMES_MAX 256u /* HOST and SRV */
#define UPSTREAM_NAME_MAX 63u   /* bytes of a pool's name */
#define UPSTREAM_SERVER_TEXT_MAX                                                                             \
    270u /* bytes of a server as written: "unix:" and a path, or a name and a port */
#define UPSTREAM_WEIGHT_MAX 1000u
#define UPSTREAM_RESOLVERS_MAX 8u
#define UPSTREAM_STATUSES_MAX 8u /* ranges that a check expects */
#define UPSTREAM_TRIES_MAX 8u    /* of one request; as many as struct pools_wish can name as tried */

enum upstream_kind {
    UPSTREAM_ADDRESS, /* an IP address and a port: `address` */
    UPSTREAM_UNIX,    /* a path: `address` */
    UPSTREAM_HOST,    /* a name and a port: A and AAAA (RFC 1035, RFC 3596) */
    UPSTREAM_SRV,     /* a name alone: SRV (RFC 2782) says hosts, ports, weights and priorities */
};

struct upstream_server {
    struct slice text; /* as written: its identity, and what logs and status show; NUL-terminated */
    enum upstream_kind kind;
    struct sockaddr_storage address; /* ADDRESS, UNIX */
    socklen_t length;
    const char *host; /* HOST, SRV: in lower case, without a final dot; else NULL */
    uint16_t port;    /* HOST */
    uint32_t weight;  /* 1 to UPSTREAM_WEIGHT_MAX */
    uint32_t max;     /* requests under way, over all workers; 0: no limit */
    int is_backup;    /* only asked when no other server of the pool can be */
};

enum upstream_balance {
    UPSTREAM_ROUND_ROBIN, /* smooth and weighted */
    UPSTREAM_LEAST,       /* the fewest requests under way for its weight */
    UPSTREAM_RANDOM_TWO,  /* the better of two */
    UPSTREAM_HASH,
};

enum upstream_hash {
    UPSTREAM_HASH_CLIENT, /* the client's address */
    UPSTREAM_HASH_HEADER, /* `hash_name` */
    UPSTREAM_HASH_COOKIE, /* `hash_name` */
    UPSTREAM_HASH_URI,    /* path and query as sent */
};

/* Passive health: what requests tell. `failures` in `window_ms` put a server aside for `eject_ms`, which doubles each time,
 * up to eject_max_ms. */
struct upstream_passive {
    uint32_t failures; /* 0: off */
    uint64_t window_ms, eject_ms, eject_max_ms;
};

enum upstream_check_kind {
    UPSTREAM_CHECK_NONE,
    UPSTREAM_CHECK_HTTP,    /* GET of a path */
    UPSTREAM_CHECK_CONNECT, /* the connection alone */
};

/* Active checks, by one worker at a time. */
struct upstream_check {
    enum upstream_check_kind kind;
    const char *path; /* HTTP */
    const char *host; /* of its Host field; NULL: the server's own */
    uint64_t interval_ms, timeout_ms;
    uint32_t rise, fall; /* results in a row that change the state */
    struct upstream_statuses {
        uint16_t from, to;
    } expect[UPSTREAM_STATUSES_MAX];
    uint32_t expect_count; /* 0: 200 to 399 */
};

struct upstream_retries {
    uint32_t tries; /* of one request, the first one with them: 1 to UPSTREAM_TRIES_MAX; 1: no other try */
    uint64_t within_ms;      /* since the first one began; 0: as long as the whole request may take */
    uint32_t budget_percent; /* other tries for each hundred requests; 100 or more is no limit */
};

struct upstream_pool {
    struct slice name; /* NUL-terminated; of `proxy ADDR`: the address as written */
    int is_of_a_route; /* made by `proxy ADDR`, has no `pool` */
    struct upstream_server *servers;
    uint32_t server_count; /* 1 to UPSTREAM_SERVERS_MAX */

    enum upstream_balance balance;
    enum upstream_hash hash; /* HASH */
    struct slice hash_name;  /* of the header or the cookie */

    uint32_t keepalive;    /* idle connections kept, per worker and server; 0: none */
    uint64_t keepalive_ms; /* how long an idle one is kept */
    uint64_t connect_ms, first_byte_ms, between_ms, tunnel_ms;
    uint64_t whole_ms; /* 0: no limit */

    struct upstream_retries retries;
    uint32_t queue;                          /* requests of one worker that may wait for a server; 0: none */
    uint64_t queue_ms;                       /* how long one may */
    enum proxy_protocol_version send_header; /* what each connection to a server begins with */
    struct upstream_passive passive;
    struct upstream_check check;
    uint64_t slow_start_ms; /* a server that comes back gets its whole weight after this; 0: at once */
};

struct upstream_config {
    struct upstream_pool *pools;
    uint32_t pool_count;
    struct sockaddr_storage resolvers[UPSTREAM_RESOLVERS_MAX]; /* IPv4 or IPv6, with a port */
    uint32_t resolver_count;                                   /* 0: those of /etc/resolv.conf */
    uint64_t ttl_min_ms, ttl_max_ms;                           /* what is made of a TTL */
};

/* What holds where nothing is said. */
#define UPSTREAM_KEEPALIVE 32u
#define UPSTREAM_KEEPALIVE_MS 60000u
#define UPSTREAM_CONNECT_MS 5000u
#define UPSTREAM_FIRST_BYTE_MS 60000u
#define UPSTREAM_BETWEEN_MS 60000u
#define UPSTREAM_TUNNEL_MS 3600000u
#define UPSTREAM_TRIES 3u
#define UPSTREAM_WITHIN_MS 10000u
#define UPSTREAM_BUDGET_PERCENT 20u
#define UPSTREAM_QUEUE 256u
#define UPSTREAM_QUEUE_MS 10000u
#define UPSTREAM_FAILURES 5u
#define UPSTREAM_WINDOW_MS 10000u
#define UPSTREAM_EJECT_MS 5000u
#define UPSTREAM_EJECT_MAX_MS 60000u
#define UPSTREAM_CHECK_INTERVAL_MS 2000u
#define UPSTREAM_CHECK_TIMEOUT_MS 2000u
#define UPSTREAM_RISE 1u
#define UPSTREAM_FALL 3u
#define UPSTREAM_TTL_MIN_MS 1000u
#define UPSTREAM_TTL_MAX_MS 3600000u

#endif
