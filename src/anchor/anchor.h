/* The anchor's whole state, in one static struct: after the start nothing is allocated any more.
 *
 *   main.c      options and start                    requests.c  what masters ask for
 *   loop.c      the loop: waits, tells events        restart.c   when to start the next master
 *   masters.c   starts, pings and buries masters     deaths.c    statuses of children, until acknowledged
 *   names.c     the descriptors held                 signals.c   signals, until acknowledged
 *   leave.c     the end: nothing is left behind      wire.h      the messages
 *
 * A master's life:
 *
 *   (empty) --start--> started --HELLO--> greeted --death--> (empty; a zombie until acknowledged)
 *
 * One of at most two holds command; its place is never given to another, so a dead one can always be replaced. */
#ifndef HOLDFAST_ANCHOR_ANCHOR_H
#define HOLDFAST_ANCHOR_ANCHOR_H

#include "anchor/deaths.h"
#include "anchor/names.h"
#include "anchor/restart.h"
#include "anchor/signals.h"
#include "anchor/wire.h"

#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#define ANCHOR_MASTERS 2
#define ANCHOR_PINGS_MISSED_MAX 5
#define ANCHOR_FIRST_IMAGE "image:0"
#define ANCHOR_EXIT_USAGE 2
#define ANCHOR_EXIT_GAVE_UP 70
#define ANCHOR_EXIT_START_FAILED 71

struct master {
    pid_t pid; /* 0: nobody has this place */
    int link;  /* owned; -1: closed, nothing is said to it any more */
    uint32_t serial;
    char image[WIRE_NAME_MAX + 1];
    uint64_t started_ns;
    int greeted;      /* has said HELLO */
    int full;         /* its socket has no room: wait for that before reading or telling more */
    int tell_command; /* COMMANDED has yet to be sent */
    int doomed;       /* has been sent SIGKILL */
    int ping_open;    /* the last PING is not answered */
    uint64_t ping;    /* its number */
    unsigned missed;  /* ticks without a sign of life */
};

struct anchor {
    /* settings */
    char **master_argv; /* borrowed for ever */
    const char *pid_path, *notify_path;
    int pid_fd, ready_fd;
    unsigned ping_ms;
    struct rlimit descriptor_limit; /* as inherited: masters get it back */

    /* state */
    struct master masters[ANCHOR_MASTERS];
    unsigned command; /* index of the one in command, or of the place where the next one will be started */
    uint64_t epoch;   /* counts every change of who is in command */
    uint32_t started; /* masters so far; the last one's serial */
    char good[WIRE_NAME_MAX + 1], trying[WIRE_NAME_MAX + 1];
    uint64_t next_seq; /* of STATUS and SIGNAL together */
    struct names names;
    struct deaths deaths;
    struct signals signals;
    struct restart restart;
    uint64_t start_ns; /* when the place in command is to be filled; 0: it is */
    uint64_t tick_ns;  /* when the next ping is due */
    int leaving, exit_code;
};

/* Runs until the end. Returns the exit code. */
int anchor_run(struct anchor *anchor);

/* Kills and reaps all children (a master that asked for the end may first leave by itself), removes the pid
 * file. */
void anchor_leave(struct anchor *anchor);

/* Passes the text to the service manager and notices READY=1. 0 or an error. sd_notify(3). */
WARN_UNUSED int anchor_notify(struct anchor *anchor, const char *text, size_t length);

#endif
