#include "core/error_log.h"

#include "base/fd.h"
#include "core/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MODE 0640

/* Of this thread alone, and only for files: setfsuid(2). */
static int open_as(const char *path, int flags, uid_t uid, gid_t gid)
{
    const int changes = geteuid() == 0 && uid != 0;
    int fd, cause;

    if (changes) {
        (void)setfsgid(gid);
        (void)setfsuid(uid);
    }
    /* A pipe that nobody reads must not hold us up, neither here nor when it is full. */
    fd = open(path, flags | O_WRONLY | O_APPEND | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, FILE_MODE);
    cause = errno;
    if (changes) {
        (void)setfsuid(geteuid());
        (void)setfsgid(getegid());
    }
    errno = cause;
    return fd;
}

int error_log_try(const char *path, uid_t uid, gid_t gid)
{
    const char *slash = strrchr(path, '/');
    char folder[PATH_MAX];
    struct stat status;
    int fd;

    if (stat(path, &status) && errno == ENOENT) {
        snprintf(folder, sizeof folder, "%.*s", slash && slash > path ? (int)(slash - path) : 1, path);
        return access(folder, W_OK | X_OK) ? errno : 0;
    }
    fd = open_as(path, 0, uid, gid);
    if (fd < 0)
        return errno;
    fd_close(&fd);
    return 0;
}

int error_log_open(const struct core_settings *settings)
{
    int fd = open_as(settings->error_log, O_CREAT, settings->uid, settings->gid);

    return fd < 0 ? err_from_errno(errno) : fd;
}

int error_log_use(int *fd)
{
    int result = dup3(*fd, STDERR_FILENO, 0) < 0 ? err_from_errno(errno) : 0, cause = errno;

    fd_close(fd);
    errno = cause;
    return result;
}

int error_log_must_reopen(const struct worker *worker)
{
    return worker->settings->error_log[0] &&
           worker->arena.page->log_epoch != worker->arena.core->error_log_reopened;
}

/* A death in between leaves a stray, or has it done again. */
int error_log_reopen(struct worker *worker)
{
    const uint32_t reopen_number = worker->arena.page->log_epoch;
    int fd = error_log_open(worker->settings), result = fd < 0 ? fd : error_log_use(&fd);

    worker->arena.core->error_log_reopened = reopen_number;
    return result;
}
