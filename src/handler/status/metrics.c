/* All metrics, each with its name, kind and meaning: a new one is a line here and a row in docs/metrics.md. */
#include "handler/status/status.h"

#include "base/clock.h"
#include "core/board.h"
#include "http/counters.h"
#include "net/tcp_counters.h"
#include "upstream/status.h"

/* What there is now, over all slots. */
struct present {
    uint64_t now_ns;
    uint64_t connections, blocks, ready;
};

static struct present look(const struct board *board, uint64_t now_ns)
{
    struct present present = {.now_ns = now_ns};

    for (unsigned place = 0; place < BOARD_SLOTS; place++) {
        const struct arena_page *page = board_used_page(board, place);

        if (!page)
            continue;
        present.connections += page->connections;
        present.blocks += page->blocks_used;
        present.ready += page->state == ARENA_STATE_READY;
    }
    return present;
}

/* Name; kind; meaning; value, of `board`, `totals` and `present`. */
#define METRIC_TABLE(X)                                                                                      \
    X(generation, gauge, "Generation of workers that accepts", board->generation)                            \
    X(masters_started_total, counter, "Masters that were started", board->masters_started)                   \
    X(workers_ready, gauge, "Workers that accept", present.ready)                                            \
    X(connections, gauge, "Client connections that are open", present.connections)                           \
    X(connections_accepted_total, counter, "Client connections that were accepted", totals.accepted)         \
    X(requests_total, counter, "Requests to which a response was decided", totals.requests)                  \
    X(requests_unanswered_total, counter, "Requests that ended without a response",                          \
      totals.counters[HTTP_REQUESTS_UNANSWERED])                                                             \
    X(responses_cut_total, counter, "Responses that were not sent to their end",                             \
      totals.counters[HTTP_RESPONSES_CUT])                                                                   \
    X(request_body_bytes_total, counter, "Bytes of the bodies of ended requests",                            \
      totals.counters[HTTP_REQUEST_BODY_BYTES])                                                              \
    X(response_body_bytes_total, counter,                                                                    \
      "Bytes of the bodies of ended responses, as far as they were sent",                                    \
      totals.counters[HTTP_RESPONSE_BODY_BYTES])                                                             \
    X(access_log_lines_total, counter, "Lines made for access logs", totals.counters[HTTP_LOG_LINES])        \
    X(access_log_lines_lost_total, counter, "Lines of these that found no room and were lost",               \
      totals.counters[HTTP_LOG_LINES_LOST])                                                                  \
    X(worker_deaths_total, counter, "Deaths of workers, whatever the cause", totals.deaths)                  \
    X(worker_revivals_total, counter, "Revivals that were completed", totals.revivals)                       \
    X(keeper_takeovers_total, counter, "Workers that became keeper because theirs died", totals.takeovers)   \
    X(crash_loops_total, counter, "Slots that started again empty", totals.crash_loops)                      \
    X(requests_poisoned_total, counter, "Requests that crashed a worker and were not run again",             \
      totals.poisoned)                                                                                       \
    X(reconciled_total, counter, "Positions that the kernel corrected at revivals", totals.reconciled)       \
    X(records_odd_total, counter, "Connections closed because arena and kernel disagreed", totals.odd)       \
    X(ring_blocks, gauge, "Blocks of the arenas in use, 16 KiB each", present.blocks)

static void add_head(struct text *out, const char *name, const char *kind, const char *help)
{
    text_add_f(out, "# HELP holdfast_%s %s.\n# TYPE holdfast_%s %s\n", name, help, name, kind);
}

static void add_plain(struct text *out, const char *name, const char *kind, const char *help, uint64_t value)
{
    add_head(out, name, kind, help);
    text_add_f(out, "holdfast_%s %llu\n", name, (unsigned long long)value);
}

static void add_about(struct text *out, const struct board *board, uint64_t now_ns)
{
    const uint64_t up_ms = (now_ns - board->started_ns) / NS_PER_MS;

    add_head(out, "build_info", "gauge", "The version, always 1");
    text_add_f(out, "holdfast_build_info{version=\"%s\"} 1\n", HOLDFAST_VERSION);
    add_head(out, "uptime_seconds", "gauge", "Since the server was started");
    text_add_f(out, "holdfast_uptime_seconds %llu.%03llu\n", (unsigned long long)(up_ms / 1000),
               (unsigned long long)(up_ms % 1000));
}

/* --- TCP connections that are passed on --- */

static void add_tcp(struct text *out, const struct board_totals *totals)
{
    const uint64_t *ends = totals->counters + TCP_ENDED_FIRST;
    uint64_t ended = 0;

    for (unsigned end = 0; end < TCP_ENDS; end++)
        ended += ends[end];
    add_plain(out, "tcp_connections", "gauge", "TCP connections that are being passed on",
              totals->counters[TCP_STARTED] - ended);
    add_plain(out, "tcp_connections_total", "counter", "TCP connections that were to be passed on",
              totals->counters[TCP_STARTED]);
    add_plain(out, "tcp_tries_failed_total", "counter", "Connections to servers of these that were not made",
              totals->counters[TCP_TRIES_FAILED]);
    add_head(out, "tcp_bytes_total", "counter", "Bytes that were passed on");
    text_add_f(out,
               "holdfast_tcp_bytes_total{direction=\"to_server\"} %llu\n"
               "holdfast_tcp_bytes_total{direction=\"to_client\"} %llu\n",
               (unsigned long long)totals->counters[TCP_BYTES_UP],
               (unsigned long long)totals->counters[TCP_BYTES_DOWN]);
    add_head(out, "tcp_ends_total", "counter", "TCP connections that have ended, by the reason");
    for (unsigned end = 0; end < TCP_ENDS; end++)
        text_add_f(out, "holdfast_tcp_ends_total{reason=\"%s\"} %llu\n", tcp_end_name(end),
                   (unsigned long long)ends[end]);
}

static void add_classes(struct text *out, const struct board_totals *totals)
{
    add_head(out, "responses_total", "counter", "Ended responses, by the class of their status");
    for (unsigned class = 1; class <= 5; class ++)
        text_add_f(out, "holdfast_responses_total{class=\"%uxx\"} %llu\n", class,
                   (unsigned long long)totals->counters[HTTP_RESPONSES_1XX + class - 1]);
}

/* Microseconds as seconds, without needless zeros: 100 is 0.0001. */
static void add_bound(struct text *out, uint64_t us)
{
    char digits[8];
    struct text fraction;

    text_add_u64(out, us / 1000000);
    text_init(&fraction, digits, sizeof digits);
    text_add_f(&fraction, "%06u", (unsigned)(us % 1000000));
    while (fraction.length && fraction.at[fraction.length - 1] == '0')
        fraction.length--;
    if (fraction.length) {
        text_add_c(out, ".");
        text_add(out, (struct slice){fraction.at, fraction.length});
    }
}

static void add_latency(struct text *out, const struct board_totals *totals)
{
    static const uint64_t bounds[] = HTTP_LATENCY_BOUNDS;
    const uint64_t sum_us = totals->counters[HTTP_LATENCY_SUM_US];
    uint64_t count = 0;

    add_head(out, "request_duration_seconds", "histogram",
             "From the end of a request's header to the end of its response");
    for (unsigned i = 0; i < HTTP_LATENCY_BUCKETS; i++) {
        count += totals->counters[HTTP_LATENCY_FIRST + i];
        text_add_c(out, "holdfast_request_duration_seconds_bucket{le=\"");
        if (i < HTTP_LATENCY_BUCKETS - 1)
            add_bound(out, bounds[i]);
        else
            text_add_c(out, "+Inf");
        text_add_f(out, "\"} %llu\n", (unsigned long long)count);
    }
    text_add_f(out, "holdfast_request_duration_seconds_sum %llu.%06llu\n",
               (unsigned long long)(sum_us / 1000000), (unsigned long long)(sum_us % 1000000));
    text_add_f(out, "holdfast_request_duration_seconds_count %llu\n", (unsigned long long)count);
}

/* --- upstream servers --- */

/* Name; kind; meaning; value, of `shown`. Each has the labels pool, server and address. */
#define UPSTREAM_METRIC_TABLE(X)                                                                             \
    X(upstream_up, gauge, "1: the upstream server is asked; 0: it is down or ejected", *shown->state == 'u') \
    X(upstream_active, gauge, "Requests under way at an upstream server", shown->active)                     \
    X(upstream_requests_total, counter, "Requests given to an upstream server, each try for itself",         \
      shown->requests)                                                                                       \
    X(upstream_failures_total, counter, "Tries at an upstream server that failed", shown->failures)          \
    X(upstream_ejections_total, counter, "How often an upstream server was put aside for its failures",      \
      shown->ejections)                                                                                      \
    X(upstream_checks_failed_total, counter, "Checks of an upstream server that failed", shown->checks_failed)

/* What stands in quotes (Prometheus, text format): backslash, quote and line feed are written with a backslash. */
static void add_label(struct text *out, const char *name, const char *value)
{
    text_add_f(out, "%s=\"", name);
    for (; *value; value++) {
        if (*value == '\\' || *value == '"')
            text_add_c(out, "\\");
        text_add(out, (struct slice){*value == '\n' ? " " : value, 1});
    }
    text_add_c(out, "\"");
}

static void add_labels(struct text *out, const char *name, const struct upstream_shown *shown)
{
    text_add_f(out, "holdfast_%s{", name);
    add_label(out, "pool", shown->pool);
    add_label(out, ",server", shown->server);
    add_label(out, ",address", shown->address);
    text_add_c(out, "} ");
}

#define UPSTREAM_METRIC_SHOW(name, kind, help, value)                                                        \
    static void show_##name(void *context, const struct upstream_shown *shown)                               \
    {                                                                                                        \
        add_labels(context, #name, shown);                                                                   \
        text_add_u64(context, (value));                                                                      \
        text_add_c(context, "\n");                                                                           \
    }
UPSTREAM_METRIC_TABLE(UPSTREAM_METRIC_SHOW)
#undef UPSTREAM_METRIC_SHOW

void metrics_write(const struct board *board, const void *shared, uint64_t now_ns, struct text *out)
{
    const struct present present = look(board, now_ns);
    struct board_totals totals;

    board_sum(board, &totals);
    add_about(out, board, now_ns);
#define METRIC_ADD(name, kind, help, value) add_plain(out, #name, #kind, help, value);
    METRIC_TABLE(METRIC_ADD)
#undef METRIC_ADD
    add_classes(out, &totals);
    add_latency(out, &totals);
    add_tcp(out, &totals);
#define UPSTREAM_METRIC_ADD(name, kind, help, value)                                                         \
    add_head(out, #name, #kind, help);                                                                       \
    upstream_show_all(shared, board, now_ns, show_##name, out);
    UPSTREAM_METRIC_TABLE(UPSTREAM_METRIC_ADD)
#undef UPSTREAM_METRIC_ADD
}
