/* Errands: work in a pool thread that fills a cache, while the requests that want it are put off.
 *
 *     begin -- not in the cache --> errand_start, the request is postponed     other requests: errand_join
 *                                       |  run: in a pool thread
 *                                       v
 *                                   done: on the loop thread, keeps the result
 *                                       |  every waiting request is looked at anew, and finds it
 *                                       v
 *                                     begin
 *
 * So nothing of it needs to survive: the next worker looks at the heads in the rings and starts what it needs again. A
 * crash in `run` blames the request that started the errand. */
#ifndef HOLDFAST_HTTP_ERRAND_H
#define HOLDFAST_HTTP_ERRAND_H

#include "http/exchange.h"

struct errand_waiter;

/* Lies first in what the errand works on. */
struct errand {
    struct pool_job job; /* first */
    struct http *http;
    void (*run)(
        struct errand *errand); /* in a pool thread: touches nothing of the worker's but its pool's gate */
    void (*done)(struct errand *errand); /* on the loop thread: keeps the result and frees the errand */
    struct errand_waiter *waiters;       /* owned */
    uint32_t record;                     /* of the request that started it */
    uint64_t request;
};

/* Starts an errand whose run and done are set, for this request, and postpones that. 0; or an error, and nothing has
 * happened: ERR_BUSY: the request was put off often enough; ERR_LIMIT: the pool is full; ERR_NO_MEMORY. */
WARN_UNUSED int errand_start(struct errand *errand, struct exchange *exchange);
/* Waits for an errand that another request has started. The same errors. */
WARN_UNUSED int errand_join(struct errand *errand, struct exchange *exchange);
/* Lets all who wait go without the errand: the worker ends. */
void errand_forget_waiters(struct errand *errand);

#endif
