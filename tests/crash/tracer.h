/* Holding a process by ptrace(2) and killing it between two instructions that are known.
 *
 * A point is a place in a worker's life while one scenario part runs over one target:
 *   stop K        the K-th system-call stop from the attach on; entry and exit both count. At an exit stop
 * the call has happened and no instruction of the program has run since; at an entry stop it never happens.
 *   step K+N      the K-th exit stop, then N single instructions
 *   state K+N     the K-th exit stop, then single instructions up to the N-th that changes the arena, but not past
 *                 the next system call: all instructions between two changes are one state (watch.h). With `regions`
 *                 the first state that was not tried before (regions.h)
 *   revive K+J    killed at stop K; then the next worker, caught at its first instruction, at its J-th stop
 * The traced worker is killed where it stands (SIGKILL reaches a stopped tracee) and never runs on. */
#ifndef HOLDFAST_TESTS_CRASH_TRACER_H
#define HOLDFAST_TESTS_CRASH_TRACER_H

#include "crash/regions.h"
#include "crash/scenario.h"

#include <stdint.h>
#include <sys/types.h>

enum point_mode { POINT_STOP, POINT_STEP, POINT_STATE, POINT_REVIVE };

#define POINT_NEVER UINT64_MAX /* as `stop` or `then`: count, do not kill */

struct point {
    const struct scenario_part *part;
    unsigned target;
    enum point_mode mode;
    uint64_t stop; /* 1 and up */
    uint64_t then; /* STEP: instructions, 0 and up; STATE: changes; REVIVE: stop of the next worker */
    struct regions *regions; /* STATE: what was tried, borrowed; or NULL */
};

struct point_result {
    int reached;
    uint64_t stops, exits;  /* of the first worker, up to the kill or the end */
    uint64_t revival_stops; /* of the next worker */
    uint64_t changes;       /* STATE: of the arena since the last exit stop */
    uint64_t unwatched;     /* STATE: regions that are too long to be tried whole */
    long call;              /* number of the system call at the kill, -1 if unknown */
    int at_exit;
    char why[SCENARIO_REASON_SIZE]; /* empty: everything was right */
};

/* Runs one point against the worker of `keeper`: waits until that worker is idle, attaches, runs the
 * scenario, kills, waits for the scenario's verdict. Fills *result. */
void tracer_run_point(pid_t keeper, const struct point *point, const struct target *target,
                      const struct bystander *bystander, struct point_result *result);

/* PTRACE_SEIZE with system-call stops told apart, and with `options` (PTRACE_O_*). 0 or -1. */
int tracer_seize(pid_t pid, int options);
/* Stops a seized process and lets it go for good. Does nothing if it is gone. */
void tracer_release(pid_t pid);
/* Resumes a stopped tracee by `request` (PTRACE_SYSCALL, PTRACE_CONT), handing on a signal that is under way. */
void tracer_resume(int request, pid_t pid, int status);
int tracer_is_syscall_stop(int status);
/* The event of a stop (PTRACE_EVENT_*), 0 if it is none. */
int tracer_event(int status);

#endif
