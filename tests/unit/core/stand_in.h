/* A stand-in for the keeper, and one for the loader: what a master launches is this very test program again, in a role
 * (core/launch.h). A main that has a master launch something begins with stand_in_main.
 *
 * How it behaves says the environment variable HOLDFAST_STAND_IN:
 *   (unset)   a keeper whose worker is ready at once, and who leaves when it is ordered to; a good loader
 *   fails     a keeper whose worker cannot start; a loader that refuses
 *   silent    a keeper or loader that says nothing and does nothing
 *   dies      ends by SIGKILL before it has said anything
 *   rubbish   a loader whose message is none */
#ifndef HOLDFAST_TESTS_UNIT_CORE_STAND_IN_H
#define HOLDFAST_TESTS_UNIT_CORE_STAND_IN_H

#include <sys/types.h>

#define STAND_IN "HOLDFAST_STAND_IN"
#define STAND_IN_SNAPSHOT "the snapshot"

/* Plays the role and does not come back if this process was launched in one. Otherwise returns in a child process:
 * launched roles are siblings of their master, so somebody has to be there who reaps them. */
void stand_in_main(int count, char **arguments);
/* Ends a process and waits until it has ended. */
void stand_in_end(pid_t pid);
/* 1 once the process has ended, waiting for it; 0 after ten seconds. */
int stand_in_has_ended(pid_t pid);

#endif
