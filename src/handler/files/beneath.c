#include "handler/files/beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define A_FOLDER (O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

/* openat2 refuses what means nothing, openat does not care. */
static int safely(int flags)
{
    return flags | O_CLOEXEC | (flags & O_PATH ? 0 : O_NOCTTY);
}

/* --- the walk --- */

/* Texts are kept with their NUL. */
struct walk {
    int root, at;                 /* borrowed; the folder reached, may be root */
    unsigned links;               /* followed so far */
    char done[BENEATH_PATH_MAX];  /* the segments up to `at`, without links, each ended by a slash */
    char to_do[BENEATH_PATH_MAX]; /* what follows */
};

static void leave(struct walk *walk)
{
    if (walk->at >= 0 && walk->at != walk->root)
        close(walk->at);
    walk->at = walk->root;
}

/* Goes down into a segment that is a folder and no link. 0, or -1 with errno. */
static int enter(struct walk *walk, const char *segment)
{
    const int fd = openat(walk->at, segment, A_FOLDER), number = errno;

    leave(walk);
    walk->at = fd;
    errno = number;
    return fd < 0 ? -1 : 0;
}

/* From the folder anew, down `done`. What has become a link meanwhile is not followed. */
static int enter_done(struct walk *walk)
{
    char again[BENEATH_PATH_MAX], *rest = again, *slash;

    memcpy(again, walk->done, sizeof again);
    leave(walk);
    for (; (slash = strchr(rest, '/')); rest = slash + 1) {
        *slash = '\0';
        if (enter(walk, rest))
            return -1;
    }
    return 0;
}

static int go_up(struct walk *walk)
{
    size_t length = strlen(walk->done);

    if (!length) {
        errno = EXDEV;
        return -1;
    }
    do
        walk->done[--length] = '\0';
    while (length && walk->done[length - 1] != '/');
    return enter_done(walk);
}

/* Puts the target of the link `segment` before what is to do. 0, or -1 with errno: EINVAL: it is no link. */
static int follow(struct walk *walk, const char *segment, int must_be_folder)
{
    char target[BENEATH_PATH_MAX];
    const ssize_t length = readlinkat(walk->at, segment, target, sizeof target - 1);
    const size_t rest = strlen(walk->to_do);

    if (length < 0)
        return -1;
    target[length] = '\0';
    if (target[0] == '/' || ++walk->links > BENEATH_LINKS_MAX) {
        errno = target[0] == '/' ? EXDEV : ELOOP;
        return -1;
    }
    if ((size_t)length + 1 + rest + 2 > sizeof walk->to_do) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memmove(walk->to_do + length + 1, walk->to_do, rest + 1);
    memcpy(walk->to_do, target, (size_t)length);
    walk->to_do[length] = rest || must_be_folder ? '/' : '\0';
    walk->to_do[length + 1 + (ssize_t)rest] = '\0';
    return 0;
}

/* Takes the next segment off; empty at the end. */
static void take_segment(struct walk *walk, char segment[BENEATH_PATH_MAX], int *must_be_folder)
{
    const size_t before = strspn(walk->to_do, "/"), length = strcspn(walk->to_do + before, "/");
    size_t end = before + length;

    memcpy(segment, walk->to_do + before, length);
    segment[length] = '\0';
    *must_be_folder = walk->to_do[end] == '/';
    end += strspn(walk->to_do + end, "/");
    memmove(walk->to_do, walk->to_do + end, strlen(walk->to_do + end) + 1);
}

/* A segment on the way: a folder, or a link. */
static int pass(struct walk *walk, const char *segment, int must_be_folder)
{
    const size_t done = strlen(walk->done), length = strlen(segment);
    int fd;

    if (done + length + 2 > sizeof walk->done) {
        errno = ENAMETOOLONG;
        return -1;
    }
    fd = openat(walk->at, segment, A_FOLDER);
    if (fd < 0 && (errno == ENOTDIR || errno == ELOOP)) {
        if (!follow(walk, segment, must_be_folder))
            return 0;
        errno = errno == EINVAL ? ENOTDIR : errno;
    }
    if (fd < 0)
        return -1;
    leave(walk);
    walk->at = fd;
    memcpy(walk->done + done, segment, length);
    memcpy(walk->done + done + length, "/", 2);
    return 0;
}

/* The last segment. The descriptor; -1 with errno, or with 0 there: it was a link, go on. */
static int open_last(struct walk *walk, const char *segment, int flags)
{
    const int fd = openat(walk->at, segment, safely(flags) | O_NOFOLLOW);
    char nothing[1];

    /* With O_PATH a link itself would be opened. */
    if (fd >= 0 && flags & O_PATH && readlinkat(walk->at, segment, nothing, sizeof nothing) >= 0) {
        close(fd);
        errno = ELOOP;
    } else if (fd >= 0) {
        return fd;
    }
    if (errno == ELOOP || errno == ENOTDIR) {
        if (!follow(walk, segment, 0))
            errno = 0;
        else if (errno == EINVAL)
            errno = ENOTDIR;
    }
    return -1;
}

static int walk_on(struct walk *walk, int flags)
{
    for (;;) {
        char segment[BENEATH_PATH_MAX];
        int must_be_folder, fd;

        take_segment(walk, segment, &must_be_folder);
        if (!segment[0] || (!strcmp(segment, ".") && !walk->to_do[0]))
            return openat(walk->at, ".", safely(flags));
        if (!strcmp(segment, "."))
            continue;
        if (!strcmp(segment, "..")) {
            if (go_up(walk))
                return -1;
        } else if (walk->to_do[0] || must_be_folder) {
            if (pass(walk, segment, must_be_folder))
                return -1;
        } else {
            fd = open_last(walk, segment, flags);
            if (fd >= 0 || errno)
                return fd;
        }
    }
}

int beneath_walk(int root, const char *path, int flags)
{
    static _Thread_local struct walk walk;
    int fd, number;

    if (path[0] == '/' || strlen(path) >= sizeof walk.to_do) {
        errno = path[0] == '/' ? EXDEV : ENAMETOOLONG;
        return -1;
    }
    walk.root = walk.at = root;
    walk.links = 0;
    walk.done[0] = '\0';
    memcpy(walk.to_do, path, strlen(path) + 1);
    fd = walk_on(&walk, flags);
    number = errno;
    leave(&walk);
    errno = number;
    return fd;
}

/* --- the system call --- */

static int open_with(int root, const char *path, int flags, uint64_t resolve)
{
    struct open_how how = {.flags = (uint64_t)safely(flags),
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | resolve};

    return (int)syscall(SYS_openat2, root, path[0] ? path : ".", &how, sizeof how);
}

int beneath_open(int root, const char *path, int flags)
{
    int fd;

    /* EAGAIN: something was renamed above or beside meanwhile, openat2(2); who renames for ever is not waited for. */
    for (int i = 0; i < 16; i++) {
        fd = open_with(root, path, flags, 0);
        if (fd >= 0 || errno != EAGAIN)
            break;
    }
    return fd < 0 && (errno == ENOSYS || errno == EAGAIN) ? beneath_walk(root, path, flags) : fd;
}

int beneath_open_cached(int root, const char *path, int flags)
{
    const int fd = open_with(root, path, flags, RESOLVE_CACHED);

    /* EINVAL: Linux before 5.12 does not know the flag. */
    return fd < 0 && (errno == ENOSYS || errno == EINVAL) ? beneath_open(root, path, flags) : fd;
}
