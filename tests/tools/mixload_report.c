#include "tools/mixload.h"

#include <stdio.h>
#include <string.h>

#define EXAMPLE_MAX 20
#define EXAMPLE_SIZE 240
/* Latencies in microseconds: 32 steps for each power of two, so that a quantile is right within 3 %. */
#define STEP_BITS 5
#define BUCKET_COUNT (64 << STEP_BITS)

static struct {
    uint64_t faults[FAULT_COUNT], fault_count;
    char examples[EXAMPLE_MAX][EXAMPLE_SIZE];
    size_t example_count;
    uint64_t answers[ROLE_COUNT], bytes_received, bytes_sent;
    uint64_t connections, reconnects, kills, kills_skipped;
    uint32_t buckets[BUCKET_COUNT];
    uint64_t latency_count, latency_max_us;
} report;

static const char *const fault_names[] = {
#define FAULT_NAME(name, text, meaning) #text,
    FAULT_TABLE(FAULT_NAME)
#undef FAULT_NAME
};

void report_fault(enum fault fault, const char *text)
{
    report.faults[fault]++;
    report.fault_count++;
    if (report.example_count == EXAMPLE_MAX)
        return;
    char *example = report.examples[report.example_count++];
    snprintf(example, EXAMPLE_SIZE, "%s: %s", fault_names[fault], text);
    for (char *c = example; *c; c++) {
        if (*c < ' ' || *c > '~' || *c == '"' || *c == '\\')
            *c = '?';
    }
    fprintf(stderr, "mixload: %s\n", example);
}

static unsigned bucket_of(uint64_t us)
{
    if (us < (1u << STEP_BITS))
        return (unsigned)us;
    unsigned power = 63u - (unsigned)__builtin_clzll(us);
    return (((power - STEP_BITS) + 1) << STEP_BITS) + (unsigned)((us >> (power - STEP_BITS)) & 31);
}

static uint64_t bucket_value(unsigned bucket)
{
    if (bucket < (1u << STEP_BITS))
        return bucket;
    unsigned power = (bucket >> STEP_BITS) - 1;
    return (32ULL + (bucket & 31)) << power;
}

void report_answer(enum role role, uint64_t latency_ns)
{
    uint64_t us = latency_ns / 1000;
    report.answers[role]++;
    /* Throttled transfers take as long as their throttle says: no latency of the server's. */
    if (role == ROLE_DOWNLOAD || role == ROLE_POST || latency_ns == 0)
        return;
    report.buckets[bucket_of(us)]++;
    report.latency_count++;
    if (us > report.latency_max_us)
        report.latency_max_us = us;
}

void report_bytes(uint64_t received, uint64_t sent)
{
    report.bytes_received += received;
    report.bytes_sent += sent;
}

void report_connection(int again)
{
    report.connections++;
    report.reconnects += again != 0;
}

void report_kill(int done)
{
    if (done)
        report.kills++;
    else
        report.kills_skipped++;
}

uint64_t report_faults(void)
{
    return report.fault_count;
}

static double quantile_ms(double part)
{
    uint64_t wanted = (uint64_t)((double)report.latency_count * part), seen = 0;
    for (unsigned i = 0; i < BUCKET_COUNT; i++) {
        seen += report.buckets[i];
        if (seen > wanted)
            return (double)bucket_value(i) / 1000.0;
    }
    return (double)report.latency_max_us / 1000.0;
}

static uint64_t answer_sum(void)
{
    uint64_t sum = 0;
    for (int role = 0; role < ROLE_COUNT; role++)
        sum += report.answers[role];
    return sum;
}

static void print_json(const struct load *load, const struct report_times *times)
{
    printf("{\"seed\":%llu,\"successes\":%llu,\"answers\":{", (unsigned long long)load->options.seed,
           (unsigned long long)answer_sum());
    for (int role = 0; role < ROLE_COUNT; role++)
        printf("%s\"%s\":%llu", role ? "," : "", role_name((enum role)role),
               (unsigned long long)report.answers[role]);
    printf("},\"errors_total\":%llu,\"errors\":{", (unsigned long long)report.fault_count);
    for (int fault = 0; fault < FAULT_COUNT; fault++)
        printf("%s\"%s\":%llu", fault ? "," : "", fault_names[fault],
               (unsigned long long)report.faults[fault]);
    printf("},\"examples\":[");
    for (size_t i = 0; i < report.example_count; i++)
        printf("%s\"%s\"", i ? "," : "", report.examples[i]);
    printf("],\"connections\":%llu,\"reconnects\":%llu,\"bytes_received\":%llu,\"bytes_sent\":%llu",
           (unsigned long long)report.connections, (unsigned long long)report.reconnects,
           (unsigned long long)report.bytes_received, (unsigned long long)report.bytes_sent);
    printf(",\"latency_ms\":{\"p50\":%.3f,\"p99\":%.3f,\"max\":%.3f}", quantile_ms(0.5), quantile_ms(0.99),
           (double)report.latency_max_us / 1000.0);
    printf(",\"kills\":%llu,\"kills_skipped\":%llu,\"load_seconds\":%.3f", (unsigned long long)report.kills,
           (unsigned long long)report.kills_skipped, (double)times->load_ns / 1e9);
    printf(",\"idle\":{\"connections\":%llu,\"killed\":%llu,\"kill_ns\":%llu,\"all_answered_ms\":%.3f}}\n",
           (unsigned long long)load->options.clients[ROLE_IDLE], (unsigned long long)times->idle_kill_count,
           (unsigned long long)times->idle_kill_ns, (double)times->idle_all_answered_ns / 1e6);
}

void report_print(const struct load *load, const struct report_times *times)
{
    if (load->options.json) {
        print_json(load, times);
        return;
    }
    printf("%llu answers on %llu connections, %llu kills, %llu errors, %llu reconnects; ",
           (unsigned long long)answer_sum(), (unsigned long long)report.connections,
           (unsigned long long)report.kills, (unsigned long long)report.fault_count,
           (unsigned long long)report.reconnects);
    printf("latency p50 %.2f ms, p99 %.2f ms, max %.2f ms\n", quantile_ms(0.5), quantile_ms(0.99),
           (double)report.latency_max_us / 1000.0);
}
