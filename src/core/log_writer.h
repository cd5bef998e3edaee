/* Who writes the logs of a slot: a job of the thread pool, so that the loop never waits for a disk.
 *
 * Lines are gathered for a second, or up to LOG_BATCH bytes. What cannot be written is tried again, as long as the ring has
 * room, and told once in a while. The files are opened by the worker; the master makes those that are not there and gives
 * them to the workers' user (log_files_prepare). The same job opens the error log anew (error_log.h). */
#ifndef HOLDFAST_CORE_LOG_WRITER_H
#define HOLDFAST_CORE_LOG_WRITER_H

#include "core/arena.h"
#include "core/settings.h"
#include "loop/pool.h"

#include <stdint.h>

#define LOG_BATCH 65536u

struct worker;

/* Of one worker, private. */
struct log_writer {
    struct pool_job job; /* first */
    struct worker *worker;
    int is_writing;                     /* the job is under way */
    int error_log_failed;               /* what came of reopening the error log; the job's until it is done */
    int error_log_cause;                /* errno of that */
    uint64_t error_log_try_at_ns;       /* not before */
    int is_tried[ARENA_LOGS_MAX];       /* by the job that is under way */
    int failed[ARENA_LOGS_MAX];         /* what came of each; the job's until it is done */
    int cause[ARENA_LOGS_MAX];          /* errno of that */
    uint64_t since_ns[ARENA_LOGS_MAX];  /* when the oldest waiting line was seen; 0: none waits */
    uint64_t try_at_ns[ARENA_LOGS_MAX]; /* not before */
    uint64_t told_ns;                   /* the error log has heard of trouble */
    uint64_t lost_told[ARENA_LOGS_MAX]; /* lines whose loss was told */
};

/* Opens what is not open yet, and settles what a dead worker was writing. 0 or an error, and *which is the log. When the
 * server has served before, a file that cannot be opened is told and tried again later. */
WARN_UNUSED int log_writer_start(struct worker *worker, unsigned *which);
/* Once in a turn of the loop: starts the job if it is time. */
void log_writer_turn(struct worker *worker);
/* When log_writer_turn should be called next, CLOCK_MONOTONIC in nanoseconds; UINT64_MAX: no matter. */
uint64_t log_writer_due_ns(const struct worker *worker);
/* The worker leaves: writes what it can, in this thread. The pool must have been stopped. */
void log_writer_finish(struct worker *worker);

/* The master's part, with the rights that it has: makes the files that are missing, the error log's too, and gives
 * them to the workers' user. */
void log_files_prepare(const struct core_settings *settings);

#endif
