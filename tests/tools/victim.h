/* Finding the processes that a test kills. Everything is read from /proc, so that it works with any build and
 * costs no round trip to the server. */
#ifndef HOLDFAST_TESTS_TOOLS_VICTIM_H
#define HOLDFAST_TESTS_TOOLS_VICTIM_H

#include <stddef.h>
#include <sys/types.h>

/* The state letter of a process as in proc(5) /proc/PID/stat, 0 if it is gone. */
char victim_state(pid_t pid);
/* The children of a process, zombies included, as its main thread made or adopted them. How many were stored. */
size_t victim_children(pid_t pid, pid_t *out, size_t capacity);
/* The worker of a keeper: its only living child. 0 if there is none at this moment. */
pid_t victim_worker(pid_t keeper);
/* argv[index] of a process into `out` (empty if it has none). */
void victim_argument(pid_t pid, int index, char *out, size_t capacity);
/* True if the process sleeps in epoll_wait or epoll_pwait: a worker that has nothing left to do. */
int victim_waits_for_events(pid_t pid);

#endif
