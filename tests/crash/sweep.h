/* sweep: kills a process at every system call it makes, one point at a time, and holds the server to its
 * promise after each.
 *
 *   sweep.c          options, and which command they make
 *   sweep_worker.c   points in the life of a worker, against a server that runs on (tracer.h)
 *   sweep_launch.c   points in the life of keeper, master and loader, one server a point
 *   sweep_report.c   what was tried, reached and wrong */
#ifndef HOLDFAST_TESTS_CRASH_SWEEP_H
#define HOLDFAST_TESTS_CRASH_SWEEP_H

#include "crash/scenario.h"
#include "crash/tracer.h"
#include "tools/documents.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define SWEEP_TARGET_MAX 8
#define SWEEP_POINT_NAME 96

struct sweep_options {
    struct target targets[SWEEP_TARGET_MAX];
    size_t target_count;
    uint64_t first, stride, last; /* stops to try; last 0: until no longer reached */
    uint64_t sample, seed;        /* sample 0: all */
    uint64_t steps_max;           /* longest single-stepped run */
    uint64_t steps_stride;
    uint64_t seconds; /* stop early after so long, and say so; 0: never */
    int verbose, json, list_parts;
    const char *point; /* repeat this one */

    /* Worker sweeps. */
    uint64_t keeper;   /* its pid */
    const char *parts; /* comma separated or "all" */
    int no_hooks;
    int echoes; /* what is behind the targets */
    enum point_mode mode;

    /* Launch sweeps. */
    const char *role; /* "keeper", "master", "loader" */
    int run_phase;    /* kill after readiness */
    int kill_worker;  /* the scenario kills a worker, too */
    const char *status_command, *log_file;
    char **launch; /* argv of the server, NULL-terminated, borrowed */
};

/* Each returns 0 if the sweep could be done (right or wrong), -1 if not. */
int sweep_worker(const struct sweep_options *options);
int sweep_launch(const struct sweep_options *options);

/* sweep_report.c */
struct sweep_outcome {
    const char *point; /* its name */
    int reached;
    int excepted;    /* the promise does not hold here and says so; only recovery was demanded */
    const char *why; /* NULL or "": right */
    long call;
    int at_exit;
};
void sweep_report_point(const struct sweep_options *options, const struct sweep_outcome *outcome);
/* `stops` were counted in an undisturbed run of `name`. */
void sweep_report_measure(const struct sweep_options *options, const char *name, uint64_t stops);
/* So many regions were too long to be tried whole. */
void sweep_report_unwatched(uint64_t regions);
void sweep_report_cut_short(void);
/* Prints the totals. 0 if all points were right and at least one was reached, else 1. */
int sweep_report_end(const struct sweep_options *options);
/* True once --seconds are over. */
int sweep_is_late(const struct sweep_options *options);

#endif
