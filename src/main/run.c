#include "main/run.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXIT_FAILED 1

static int fail(const char *what, const char *why, const char *next)
{
    fprintf(stderr, "holdfast: %s: %s\n  %s\n", what, why, next);
    return EXIT_FAILED;
}

/* --- the anchor's executable --- */

static int find_anchor(char *path, size_t size)
{
    ssize_t length = readlink("/proc/self/exe", path, size - 1);
    char *slash;

    if (length > 0) {
        path[length] = '\0';
        slash = strrchr(path, '/');
        if (slash && (size_t)(slash - path) + sizeof "/holdfast-anchor" <= size) {
            strcpy(slash, "/holdfast-anchor");
            if (!access(path, X_OK))
                return 0;
        }
    }
    snprintf(path, size, "%s/holdfast-anchor", HOLDFAST_LIBEXECDIR);
    return access(path, X_OK);
}

/* A file that nobody runs can be overwritten in place; the anchor holds a copy that cannot. */
static int copy_image(void)
{
    int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), image;

    if (self < 0)
        return -1;
    image = fd_sealed_copy(self, "holdfast", 1);
    fd_close(&self);
    return image;
}

/* --- the pid file --- */

enum claim { CLAIM_DONE, CLAIM_AGAIN, CLAIM_REFUSED, CLAIM_FAILED };

static void tell_running(const char *path, int fd)
{
    char pid[32] = "", what[64];
    size_t length = 0;

    if (!fd_read_all(fd, pid, sizeof pid - 1, &length))
        pid[strcspn(pid, "\n")] = '\0';
    snprintf(what, sizeof what, "another server runs (pid %s)", pid);
    (void)fail(path, what, "stop it first, or name another --pid-file");
}

/* Puts the file `aside` in the place of `path`. Only whoever has the lock of what lies there may replace it, and only
 * while it lies there: so of several who start at once, one wins. */
static enum claim claim_pid_file(const char *path, const char *aside)
{
    int there = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat opened, named;
    enum claim claim = CLAIM_FAILED;

    if (there < 0 && errno == ENOENT) {
        if (!link(aside, path))
            return unlink(aside) ? CLAIM_FAILED : CLAIM_DONE;
        return errno == EEXIST ? CLAIM_AGAIN : CLAIM_FAILED;
    }
    if (there < 0)
        return CLAIM_FAILED;
    if (flock(there, LOCK_EX | LOCK_NB)) {
        claim = CLAIM_REFUSED;
        tell_running(path, there);
    } else if (!fstat(there, &opened)) {
        if (stat(path, &named) || named.st_dev != opened.st_dev || named.st_ino != opened.st_ino)
            claim = CLAIM_AGAIN;
        else if (!rename(aside, path))
            claim = CLAIM_DONE;
    }
    fd_close(&there);
    return claim;
}

/* Written aside, locked, put in its place: whoever sees the file sees it whole and locked. Returns the descriptor. */
static int write_pid_file(const char *path)
{
    char aside[PATH_MAX], text[32];
    enum claim claim = CLAIM_FAILED;
    int fd;

    snprintf(aside, sizeof aside, "%s.%d", path, getpid());
    snprintf(text, sizeof text, "%d\n", getpid());
    fd = open(aside, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd >= 0 && !fd_write_all(fd, text, strlen(text)) && !flock(fd, LOCK_EX | LOCK_NB))
        do
            claim = claim_pid_file(path, aside);
        while (claim == CLAIM_AGAIN);
    if (claim == CLAIM_DONE)
        return fd;
    if (claim == CLAIM_FAILED)
        (void)fail(path, strerror(errno), "name a pid file that can be written with --pid-file");
    if (fd >= 0)
        unlink(aside);
    fd_close(&fd);
    return -1;
}

/* --- the daemon --- */

/* In the first process: waits for the byte that says "ready". */
static int wait_until_ready(int ready, pid_t child)
{
    char byte;
    ssize_t count;

    do
        count = read(ready, &byte, 1);
    while (count < 0 && errno == EINTR);
    (void)waitpid(child, NULL, 0); /* the middle process of the double fork */
    if (count == 1)
        return 0;
    return fail("the server did not become ready", "see the messages above",
                "and in the file of error_log; mend what they name and start again");
}

/* Returns 0 in the daemon with *ready_fd to tell readiness, else -1 and *exit_code. */
static int become_daemon(int *ready_fd, int *exit_code)
{
    int ends[2];
    pid_t child;

    *exit_code = EXIT_FAILED;
    if (pipe2(ends, O_CLOEXEC))
        return -1;
    child = fork();
    if (child < 0)
        return -1;
    if (child > 0) {
        fd_close(&ends[1]);
        *exit_code = wait_until_ready(ends[0], child);
        return -1;
    }
    fd_close(&ends[0]);
    if (setsid() < 0)
        _exit(EXIT_FAILED);
    child = fork(); /* not a session leader: can never get a terminal again */
    if (child)
        _exit(child < 0);
    (void)umask(022);
    *ready_fd = ends[1];
    return 0;
}

/* --- exec --- */

struct command {
    const char *words[24];
    unsigned count;
    char numbers[3][16];
};

static void add(struct command *command, const char *word)
{
    command->words[command->count++] = word;
}

static int add_inherited(struct command *command, int which, const char *option, int fd)
{
    snprintf(command->numbers[which], sizeof command->numbers[which], "%d", fd);
    add(command, option);
    add(command, command->numbers[which]);
    return fd_set_cloexec(fd, 0);
}

static int exec_anchor(const struct run_options *options, int image, int pid_fd, int ready_fd)
{
    struct command command = {.count = 0};
    char path[PATH_MAX];
    int result;

    if (find_anchor(path, sizeof path))
        return fail("holdfast-anchor", "is neither beside holdfast nor in " HOLDFAST_LIBEXECDIR,
                    "install it again: make install");
    add(&command, "holdfast-anchor");
    result = add_inherited(&command, 0, "--image-fd", image);
    if (pid_fd >= 0) {
        add(&command, "--pid-file");
        add(&command, options->pid_file);
        result |= add_inherited(&command, 1, "--pid-fd", pid_fd);
    }
    if (ready_fd >= 0)
        result |= add_inherited(&command, 2, "--ready-fd", ready_fd);
    add(&command, "--");
    if (options->daemon)
        add(&command, "--daemon");
    if (options->config_path) {
        add(&command, "-c");
        add(&command, options->config_path);
    } else {
        add(&command, "--text");
        add(&command, options->config_name);
        add(&command, options->config_text);
    }
    if (!result) {
        union { /* execv does not change the words, but says so by cast alone */
            const char **in;
            char **out;
        } words = {.in = command.words};

        execv(path, words.out);
    }
    return fail(path, strerror(errno), "install it again: make install");
}

int run_server(const struct run_options *options)
{
    int image, pid_fd = -1, ready_fd = -1, exit_code = 0;

    if (options->config_path && access(options->config_path, R_OK))
        return fail(options->config_path, strerror(errno), "name the configuration with -c FILE");
    if (options->daemon && become_daemon(&ready_fd, &exit_code))
        return exit_code;
    if (options->pid_file && (pid_fd = write_pid_file(options->pid_file)) < 0)
        return EXIT_FAILED;
    image = copy_image();
    if (image < 0)
        return fail("copy of the executable", strerror(errno), "is /proc mounted, is there memory?");
    exit_code = exec_anchor(options, image, pid_fd, ready_fd);
    if (pid_fd >= 0)
        unlink(options->pid_file);
    return exit_code;
}
