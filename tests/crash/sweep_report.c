#include "crash/sweep.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define EXAMPLE_MAX 20

static struct {
    uint64_t tried, reached, excepted, wrong, stops, unwatched;
    int cut_short;
    time_t started;
    char examples[EXAMPLE_MAX][SWEEP_POINT_NAME + SCENARIO_REASON_SIZE + 4];
    size_t example_count;
} totals;

static time_t seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

int sweep_is_late(const struct sweep_options *options)
{
    if (totals.started == 0)
        totals.started = seconds_now();
    return options->seconds > 0 && (uint64_t)(seconds_now() - totals.started) >= options->seconds;
}

void sweep_report_cut_short(void)
{
    totals.cut_short = 1;
}

void sweep_report_measure(const struct sweep_options *options, const char *name, uint64_t stops)
{
    totals.stops += stops;
    if (options->verbose)
        fprintf(stderr, "sweep: %s has %llu points\n", name, (unsigned long long)stops);
}

void sweep_report_unwatched(uint64_t regions)
{
    totals.unwatched += regions;
}

void sweep_report_point(const struct sweep_options *options, const struct sweep_outcome *outcome)
{
    int is_wrong = outcome->why && outcome->why[0] != '\0';
    totals.tried++;
    totals.reached += outcome->reached != 0;
    totals.excepted += outcome->excepted != 0;
    totals.wrong += is_wrong != 0;
    if (options->verbose || is_wrong)
        fprintf(stderr, "sweep: point %s: %s (call %ld %s)%s%s%s\n", outcome->point,
                outcome->reached ? "reached" : "not reached", outcome->call,
                outcome->at_exit ? "exit" : "entry", outcome->excepted ? ", excepted" : "",
                is_wrong ? " WRONG: " : "", is_wrong ? outcome->why : "");
    if (!is_wrong || totals.example_count == EXAMPLE_MAX)
        return;
    char *example = totals.examples[totals.example_count++];
    snprintf(example, sizeof totals.examples[0], "%s: %s", outcome->point, outcome->why);
    for (char *c = example; *c; c++) {
        if (*c < ' ' || *c > '~' || *c == '"' || *c == '\\')
            *c = '?';
    }
}

int sweep_report_end(const struct sweep_options *options)
{
    if (!options->json) {
        printf("%llu points tried, %llu reached, %llu wrong, %llu excepted, seed %llu%s\n",
               (unsigned long long)totals.tried, (unsigned long long)totals.reached,
               (unsigned long long)totals.wrong, (unsigned long long)totals.excepted,
               (unsigned long long)options->seed, totals.cut_short ? ", cut short by --seconds" : "");
    } else {
        printf("{\"points\":%llu,\"reached\":%llu,\"wrong\":%llu,\"excepted\":%llu,\"listed\":%llu,",
               (unsigned long long)totals.tried, (unsigned long long)totals.reached,
               (unsigned long long)totals.wrong, (unsigned long long)totals.excepted,
               (unsigned long long)totals.stops);
        printf("\"unwatched\":%llu,", (unsigned long long)totals.unwatched);
        printf("\"seed\":%llu,\"cut_short\":%s,\"examples\":[", (unsigned long long)options->seed,
               totals.cut_short ? "true" : "false");
        for (size_t i = 0; i < totals.example_count; i++)
            printf("%s\"%s\"", i ? "," : "", totals.examples[i]);
        printf("]}\n");
    }
    return totals.wrong == 0 && totals.reached > 0 ? 0 : 1;
}
