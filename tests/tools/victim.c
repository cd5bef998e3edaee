#include "tools/victim.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Reads a small /proc file; always NUL-terminated. Its length, 0 if it cannot be read. */
static size_t proc_read(const char *path, char *out, size_t capacity)
{
    out[0] = '\0';
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t length = read(fd, out, capacity - 1);
    close(fd);
    if (length <= 0)
        return 0;
    out[length] = '\0';
    return (size_t)length;
}

char victim_state(pid_t pid)
{
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    if (proc_read(path, text, sizeof text) == 0)
        return 0;
    const char *after_name = strrchr(text, ')');
    return after_name && after_name[1] == ' ' ? after_name[2] : 0;
}

size_t victim_children(pid_t pid, pid_t *out, size_t capacity)
{
    char path[64], text[4096];
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)pid, (int)pid);
    proc_read(path, text, sizeof text);
    size_t count = 0;
    char *at = text, *end;
    while (count < capacity) {
        long child = strtol(at, &end, 10);
        if (end == at)
            break;
        out[count++] = (pid_t)child;
        at = end;
    }
    return count;
}

pid_t victim_worker(pid_t keeper)
{
    pid_t children[16];
    size_t count = victim_children(keeper, children, 16);
    for (size_t i = 0; i < count; i++) {
        char state = victim_state(children[i]);
        if (state != 0 && state != 'Z' && state != 'X')
            return children[i];
    }
    return 0;
}

void victim_argument(pid_t pid, int index, char *out, size_t capacity)
{
    char path[64], text[4096];
    snprintf(path, sizeof path, "/proc/%d/cmdline", (int)pid);
    size_t length = proc_read(path, text, sizeof text), at = 0;
    while (index-- > 0 && at < length)
        at += strlen(text + at) + 1;
    snprintf(out, capacity, "%s", at < length ? text + at : "");
}

int victim_waits_for_events(pid_t pid)
{
    char path[64], text[256];
    snprintf(path, sizeof path, "/proc/%d/syscall", (int)pid);
    if (proc_read(path, text, sizeof text) == 0)
        return 0;
    char *end;
    long number = strtol(text, &end, 10);
    if (end == text)
        return 0;
#ifdef SYS_epoll_wait
    if (number == SYS_epoll_wait)
        return 1;
#endif
#ifdef SYS_epoll_pwait2
    if (number == SYS_epoll_pwait2)
        return 1;
#endif
    return number == SYS_epoll_pwait;
}
