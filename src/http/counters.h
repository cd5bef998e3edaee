/* What a worker counts of HTTP: words of the arena's first page (arena_page.counters), which change with the transaction
 * that they count, so that a death counts nothing twice and forgets nothing. The numbers are part of the frozen page: new
 * ones come at the end. */
#ifndef HOLDFAST_HTTP_COUNTERS_H
#define HOLDFAST_HTTP_COUNTERS_H

#include "core/access_log.h"

/* Upper bounds of the latency buckets in microseconds; a last bucket has no bound. */
#define HTTP_LATENCY_BOUNDS                                                                                  \
    {                                                                                                        \
        100, 250, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 500000, 1000000, 2500000,      \
            5000000, 10000000                                                                                \
    }
#define HTTP_LATENCY_BUCKETS 17

enum http_counter {
    HTTP_REQUESTS_UNANSWERED = 0, /* requests that ended without a status */
    HTTP_RESPONSES_1XX = 1,       /* by class: 1xx to 5xx */
    HTTP_RESPONSES_5XX = 5,
    HTTP_RESPONSES_CUT = 6, /* of all these: not sent to their end */
    HTTP_REQUEST_BODY_BYTES = 7,
    HTTP_RESPONSE_BODY_BYTES = 8,
    HTTP_LOG_LINES = ACCESS_LOG_LINES,
    HTTP_LOG_LINES_LOST = ACCESS_LOG_LINES_LOST,
    HTTP_LATENCY_SUM_US = 11,
    HTTP_LATENCY_FIRST = 12, /* HTTP_LATENCY_BUCKETS of them */
    HTTP_COUNTERS = HTTP_LATENCY_FIRST + HTTP_LATENCY_BUCKETS,
};
_Static_assert((int)HTTP_COUNTERS <= (int)ARENA_COUNTERS, "the page has room for them");

#endif
