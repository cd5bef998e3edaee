/* What can be said about another process: how it ended, and what state it is in. */
#ifndef HOLDFAST_BASE_PROCESS_H
#define HOLDFAST_BASE_PROCESS_H

#include <stddef.h>
#include <sys/types.h>

#define PROCESS_CAUSE_SIZE 64 /* holds every cause whole */

/* Writes how a process ended, from si_code (CLD_*) and si_status of waitid(2), always NUL-terminated:
 * "exit 3", "signal 9 (SIGKILL)", "signal 11 (SIGSEGV, core dumped)". n >= 1. */
void process_cause_text(int code, int status, char *out, size_t n);

/* The state letter of /proc/PID/stat (proc(5): R S D Z T t X I), or 0 if the process is gone or /proc is not
 * there. 'T' is stopped by a signal, 't' stopped by a tracer. */
char process_state(pid_t pid);

/* 1 if the process is there and may run: neither a zombie nor stopped nor traced. Who is stopped is somebody's will, and
 * not to be judged by what it does not do. */
int process_may_run(pid_t pid);
/* 1 while the kernel writes the process's core dump (/proc/PID/status, CoreDumping): it runs no more, but cannot be
 * reaped yet. */
int process_is_dumping(pid_t pid);
/* The parent's pid from /proc/PID/stat, or 0 as process_state. */
pid_t process_parent(pid_t pid);

#endif
