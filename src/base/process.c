/* How a process ended and what state it is in. */
#include "base/process.h"

#include "base/fd.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

void process_cause_text(int code, int status, char *out, size_t n)
{
    if (code == CLD_EXITED) {
        snprintf(out, n, "exit %d", status);
        return;
    }
    if (code != CLD_KILLED && code != CLD_DUMPED) {
        snprintf(out, n, "unknown (code %d, status %d)", code, status);
        return;
    }
    const char *core = code == CLD_DUMPED ? ", core dumped" : "";
    const char *name = sigabbrev_np(status);
    if (name)
        snprintf(out, n, "signal %d (SIG%s%s)", status, name, core);
    else
        snprintf(out, n, "signal %d (real-time%s)", status, core);
}

/* Reads /proc/PID/stat from the state letter on; NULL if there is none. The name stands in brackets and may itself hold
 * brackets and spaces: the last one ends it. */
static const char *read_stat(pid_t pid, char *line, size_t size)
{
    char path[32];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    size_t length = 0;
    int error = fd_read_all(fd, line, size - 1, &length);
    fd_close(&fd);
    if (error)
        return NULL;
    line[length] = 0;
    const char *end = strrchr(line, ')');
    return end && end[1] == ' ' ? end + 2 : NULL;
}

char process_state(pid_t pid)
{
    char line[256];
    const char *stat = read_stat(pid, line, sizeof line);
    return stat ? *stat : 0;
}

int process_may_run(pid_t pid)
{
    char state = process_state(pid);
    return state && state != 'Z' && state != 'T' && state != 't';
}

pid_t process_parent(pid_t pid)
{
    char line[256];
    const char *stat = read_stat(pid, line, sizeof line);
    return stat && stat[0] && stat[1] == ' ' ? (pid_t)strtol(stat + 2, NULL, 10) : 0;
}

int process_is_dumping(pid_t pid)
{
    char path[32], text[2048];
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    size_t length = 0;
    int error = fd_read_all(fd, text, sizeof text - 1, &length);
    fd_close(&fd);
    text[error ? 0 : length] = 0;
    const char *line = strstr(text, "\nCoreDumping:\t");
    return line && line[strlen("\nCoreDumping:\t")] == '1';
}
