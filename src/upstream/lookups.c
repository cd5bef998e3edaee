#include "upstream/lookups.h"

#include "base/clock.h"
#include "upstream/resolve.h"

#include <stdlib.h>

#define AT_ONCE_MAX 4u

struct lookup {
    struct resolve_job job; /* first */
    struct lookups *lookups;
    uint32_t ticket;
    int is_running;
};

struct lookups {
    struct pools *pools;                  /* borrowed */
    const struct upstream_config *config; /* borrowed */
    struct pool *threads;                 /* borrowed */
    unsigned at_once;
    struct lookup lookups[AT_ONCE_MAX];
};

int lookups_start(struct lookups **out, struct pools *pools, const struct upstream_config *config,
                  struct pool *threads, unsigned thread_count)
{
    struct lookups *lookups = calloc(1, sizeof *lookups);

    *out = lookups;
    if (!lookups)
        return ERR_NO_MEMORY;
    lookups->pools = pools;
    lookups->config = config;
    lookups->threads = threads;
    lookups->at_once = thread_count / 2;
    if (lookups->at_once < 1)
        lookups->at_once = 1;
    if (lookups->at_once > AT_ONCE_MAX)
        lookups->at_once = AT_ONCE_MAX;
    for (unsigned i = 0; i < AT_ONCE_MAX; i++)
        lookups->lookups[i].lookups = lookups;
    return 0;
}

static void report(struct lookup *lookup)
{
    const struct resolve_answer *answer = &lookup->job.answer;

    pools_report_name(lookup->lookups->pools, lookup->ticket, answer->found, answer->count, answer->ttl_ms,
                      answer->failure != RESOLVE_NOTHING, clock_monotonic_ns());
}

static void done(struct resolve_job *job)
{
    struct lookup *lookup = (struct lookup *)(void *)job;

    lookup->is_running = 0;
    report(lookup);
    lookups_turn(lookup->lookups, clock_monotonic_ns()); /* others may be waiting for a thread */
}

/* 1 if something was due. */
static int begin(struct lookup *lookup, uint64_t now_ns)
{
    const struct upstream_config *config = lookup->lookups->config;
    const struct upstream_server *server;

    if (!pools_take_name(lookup->lookups->pools, now_ns, &lookup->ticket, &server))
        return 0;
    lookup->job = (struct resolve_job){.done = done};
    lookup->job.question = (struct resolve_question){.host = server->host,
                                                     .port = server->port,
                                                     .is_srv = server->kind == UPSTREAM_SRV,
                                                     .resolvers = config->resolvers,
                                                     .resolver_count = config->resolver_count};
    lookup->is_running = !resolve_start(&lookup->job, lookup->lookups->threads);
    if (!lookup->is_running) {
        lookup->job.answer.failure = RESOLVE_NO_MEMORY;
        report(lookup);
    }
    return 1;
}

void lookups_turn(struct lookups *lookups, uint64_t now_ns)
{
    for (unsigned i = 0; i < lookups->at_once; i++)
        while (!lookups->lookups[i].is_running && begin(&lookups->lookups[i], now_ns))
            ;
}

void lookups_stop(struct lookups **lookups)
{
    struct lookups *old = *lookups;
    int is_running = 0;

    *lookups = NULL;
    for (unsigned i = 0; old && i < old->at_once; i++)
        is_running |= old->lookups[i].is_running;
    if (!is_running)
        free(old);
}
