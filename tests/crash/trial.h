/* One server, started for one point of a launch sweep, and the process in it that is held and killed. */
#ifndef HOLDFAST_TESTS_CRASH_TRIAL_H
#define HOLDFAST_TESTS_CRASH_TRIAL_H

#include "crash/sweep.h"

#define TRIAL_PATIENCE_S 30

struct trial {
    const struct sweep_options *options; /* borrowed */
    uint64_t want;                       /* the stop to kill at */

    pid_t server; /* our child: the anchor */
    int server_ended, server_status;
    int ready; /* READY=1 came */

    pid_t target;  /* the process to be killed, 0 while it is not known */
    int releasing; /* every other tracee goes free at its next stop */
    int killed, target_ended, excepted;
    pid_t worker; /* of the keeper, when that was killed; 0: it had none */
    uint64_t stops;
    long call;
    int at_exit;
    pid_t tracees[256]; /* followed until the target is found */
    size_t tracee_count;

    pid_t tour;
    int tour_ended, tour_status;
    char why[SCENARIO_REASON_SIZE];
};

/* Opens the notify socket and the signal descriptor; makes this process the reaper of orphans. 0 or -1. */
int trial_prepare(void);
/* Starts the server; `traced`: all its processes are followed from their first instruction on until one has
 * the role as argv[1]. 0 or -1. */
int trial_start(struct trial *trial, int traced);
/* Handles everything that happens until `done` says so. 0; -1 after TRIAL_PATIENCE_S. */
int trial_wait(struct trial *trial, int (*done)(const struct trial *));
/* Finds the role's process in the running server and holds it from now on. 0 or -1. */
int trial_seize_role(struct trial *trial);
/* Lets the target go if it is still held. */
void trial_release(struct trial *trial);
/* Runs one tour to its end. NULL or the reason why it was wrong. */
const char *trial_tour(struct trial *trial, const struct bystander *bystanders,
                       const struct tour_extras *extras);
/* The first keeper of the server, 0 if there is none. */
pid_t trial_keeper(const struct trial *trial);
/* SIGTERM, exit code 0, nobody left. Writes what is wrong to trial->why if it is empty. */
void trial_stop(struct trial *trial);
/* Kills whatever is left, without mercy; for after a failure. */
void trial_clean(struct trial *trial);
void trial_wrong(struct trial *trial, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
