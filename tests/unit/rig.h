/* A worker without its loop: an arena, a listener and the private indices, so that tests can drive what works on
 * connections step by step, kill the worker in between (rig_forget) and let the next one take over (rig_revive).
 *
 * A revival closes every descriptor that it does not know. So whatever belongs to the test and not to the worker, the
 * clients' ends above all, lies at RIG_ASIDE and above, beyond all records. */
#ifndef HOLDFAST_TESTS_UNIT_RIG_H
#define HOLDFAST_TESTS_UNIT_RIG_H

#include "core/worker.h"

#include <stddef.h>

#define RIG_RECORDS 384u
#define RIG_ASIDE 400

struct rig {
    struct worker worker;
    struct core_settings settings;
    struct service service;
    int wakeup_fd;            /* owned; of the pool */
    char path[CORE_PATH_MAX]; /* of a Unix listener, or empty */
};

/* `family`: AF_INET, AF_INET6 or AF_UNIX; the listener stands at FD_LISTENERS. `class` drives its connections and is
 * borrowed. Fails the test if anything cannot be had. */
void rig_open(struct rig *rig, const struct conn_class *class, int family);
void rig_close(struct rig *rig);

/* A client's connected end, non-blocking and out of the way. */
int rig_connect(struct rig *rig);
/* The same, and the worker has accepted it; *record is what it got. */
int rig_open_connection(struct rig *rig, struct record **record);
/* One turn of the loop: waits up to timeout_ms for events, drives their records and those to be driven again. Returns
 * the number of events. */
int rig_turn(struct rig *rig, int timeout_ms);

/* The worker dies: its private memory is gone; arena and descriptors stay. */
void rig_forget(struct rig *rig);
/* The next one begins as worker_run does, up to the revival. */
void rig_begin_again(struct rig *rig);
void rig_revive(struct rig *rig);

/* Moves a descriptor out of the way. */
int rig_aside(int fd);
/* 1 once poll(2) reports one of the events; 0 after ten seconds. */
int rig_await(int fd, short events);
/* Descriptors open below RIG_ASIDE. */
unsigned rig_count_descriptors(void);

#endif
