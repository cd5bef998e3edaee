/* Looks names of servers up: A and AAAA, or SRV (RFC 2782) and then A and AAAA of its targets.
 *
 *     look-up --SRV--> targets --+-- /etc/hosts, localhost --> addresses
 *        |                       |
 *        +-----------------------+-- A and AAAA, at once ----> addresses with their TTL
 *
 * c-ares asks the servers (transport, time-outs, other servers, TCP for long answers); what they answer is read by
 * proto/dns_message.h, which knows the TTL. It blocks, so it runs in a pool thread, waiting inside the pool's gate.
 *
 * Nothing but the heap of the process and sockets of its own is touched. When the worker is killed midway the sockets are
 * in no record and are closed as strays by the revival, the claim on the name (pools_take_name) runs out, and somebody asks
 * again.
 *
 * Names are looked up as they are: without the search domains of /etc/resolv.conf. Environment variables of the resolver
 * library (RES_OPTIONS, LOCALDOMAIN) change at most its time-outs. */
#ifndef HOLDFAST_UPSTREAM_RESOLVE_H
#define HOLDFAST_UPSTREAM_RESOLVE_H

#include "loop/pool.h"
#include "proto/dns_message.h"
#include "upstream/pools.h"

/* Why nothing was found: name, reason for logs and status. The greater number is told where several are true. */
#define RESOLVE_FAILURE_TABLE(X)                                                                             \
    X(NOTHING, "")                                                                                           \
    X(NO_SUCH_NAME, "dns_no_such_name")                                                                      \
    X(NO_ADDRESS, "dns_no_address")                                                                          \
    X(TIMEOUT, "dns_timeout")                                                                                \
    X(SERVER_FAILED, "dns_server_failed")                                                                    \
    X(BAD_ANSWER, "dns_bad_answer")                                                                          \
    X(NO_MEMORY, "dns_out_of_memory")

enum resolve_failure {
#define RESOLVE_FAILURE_ENUM(name, reason) RESOLVE_##name,
    RESOLVE_FAILURE_TABLE(RESOLVE_FAILURE_ENUM)
#undef RESOLVE_FAILURE_ENUM
};

/* Static; empty for RESOLVE_NOTHING. */
struct slice resolve_reason(enum resolve_failure failure);

#define RESOLVE_TRY_MS 2000u         /* for a server's first answer; later tries wait longer */
#define RESOLVE_TRIES 2u             /* of each server */
#define RESOLVE_WHOLE_MS 8000u       /* for everything; less than POOLS_LOOKUP_NS */
#define RESOLVE_HOSTS_TTL_MS 5000u   /* of what /etc/hosts says */
#define RESOLVE_PARTIAL_TTL_MS 5000u /* at most, when some questions had no good answer */
#define RESOLVE_TARGETS_MAX 32u      /* of one SRV; more are left out */

_Static_assert(RESOLVE_WHOLE_MS * 1000000ULL < POOLS_LOOKUP_NS, "reported before somebody else asks");

struct resolve_question {
    const char
        *host; /* borrowed; a name, or an address as text; 253 bytes at most, with or without the final dot */
    uint16_t port; /* of the addresses; not used for SRV */
    int is_srv;
    const struct sockaddr_storage *resolvers; /* borrowed; IPv4 or IPv6, with a port */
    uint32_t resolver_count;                  /* 0: those of /etc/resolv.conf */
    uint32_t try_ms, tries, whole_ms;         /* 0: as above */
};

struct resolve_answer {
    enum resolve_failure failure; /* RESOLVE_NOTHING: there is at least one address */
    uint64_t ttl_ms;              /* the least of all that led to them; 0 with a failure */
    size_t count;
    struct pools_found found[POOLS_FOUND_MAX]; /* sorted, each once; those of the lowest SRV priority first */
};

/* Answers the question; *answer is filled in. Blocks for whole_ms at most. `gate`: the pool whose thread this is, or NULL. */
void resolve(const struct resolve_question *question, struct pool *gate, struct resolve_answer *answer);

/* The same as a job of a pool. The caller's; must stay valid until `done` returns or the process dies. */
struct resolve_job {
    struct pool_job job; /* first */
    struct pool *pool;
    struct resolve_question question; /* what it borrows stays valid as long */
    struct resolve_answer answer;
    void (*done)(struct resolve_job *job); /* on the loop thread; may free the job */
};

/* Starts a job whose question and done are set. The errors of pool_submit(), and then `done` is not called. */
WARN_UNUSED int resolve_start(struct resolve_job *job, struct pool *pool);

#endif
