#include "ctl/command.h"

#include "base/clock.h"
#include "base/fd.h"
#include "conf/value.h"

#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#define TRIES 20 /* a master that dies under a question is followed by one that answers */
#define TRY_AGAIN_MS 100
#define ANSWER_MS 10000 /* how long to wait for a word where no --timeout says it */

void (*ctl_default_control)(char *out);

struct options {
    char control[sizeof(((struct sockaddr_un *)0)->sun_path)];
    int json, now;
    uint64_t timeout_ms; /* 0: as long as it takes */
};

int command_usage_error(const char *what, const char *usage)
{
    fprintf(stderr, "holdfast: not understood: %s\nusage: %s\n", what, usage);
    return CONTROL_EXIT_USAGE;
}

static int read_options(int count, char **arguments, struct options *options, const char *usage)
{
    memset(options, 0, sizeof *options);
    ctl_default_control(options->control);
    for (int i = 2; i < count; i++) {
        if (!strcmp(arguments[i], "--json"))
            options->json = 1;
        else if (!strcmp(arguments[i], "--now"))
            options->now = 1;
        else if (!strcmp(arguments[i], "--control") && i + 1 < count &&
                 strlen(arguments[i + 1]) < sizeof options->control)
            strcpy(options->control, arguments[++i]);
        else if (!strcmp(arguments[i], "--timeout") && i + 1 < count &&
                 !conf_parse_duration(arguments[i + 1], &options->timeout_ms))
            i++;
        else
            return command_usage_error(arguments[i], usage);
    }
    return 0;
}

/* --- asking --- */

static int connect_control(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    strcpy(address.sun_path, path);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address)) {
        int number = errno;

        fd_close(&fd);
        errno = number;
    }
    return fd;
}

/* One line each way. NULL when the connection ended first. */
static json_t *ask_once(int fd, const char *command)
{
    static char line[CONTROL_ANSWER_MAX];
    size_t length = 0;
    char request[64];

    snprintf(request, sizeof request, "{\"command\":\"%s\"}\n", command);
    /* A server that does not want to hear us may have closed already; that is no reason to die of SIGPIPE. */
    if (send(fd, request, strlen(request), MSG_NOSIGNAL) != (ssize_t)strlen(request))
        return NULL;
    while (length < sizeof line) {
        ssize_t got = read(fd, line + length, sizeof line - length);

        if (got <= 0)
            return NULL;
        length += (size_t)got;
        if (line[length - 1] == '\n')
            return json_loadb(line, length, 0, NULL);
    }
    return NULL;
}

static void set_patience(int fd, const struct options *options)
{
    const uint64_t ms = options->timeout_ms ? options->timeout_ms : ANSWER_MS;
    const struct timeval patience = {(time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000)};

    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    errno = 0;
}

/* The answer's object, or NULL with *exit_code set and the reason printed. */
static json_t *ask(const struct options *options, const char *command, int *exit_code)
{
    for (int i = 0; i < TRIES; i++) {
        int fd = connect_control(options->control);
        json_t *answer;

        if (fd < 0) {
            fprintf(stderr, "holdfast: no server at %s: %s\n  name its control socket with --control PATH\n",
                    options->control, strerror(errno));
            *exit_code = CONTROL_EXIT_NO_SERVER;
            return NULL;
        }
        set_patience(fd, options);
        answer = ask_once(fd, command);
        fd_close(&fd);
        if (answer)
            return answer;
        if (errno == EAGAIN)
            break; /* it had its time */
        (void)poll(NULL, 0, TRY_AGAIN_MS);
    }
    fprintf(stderr,
            "holdfast: %s takes connections but does not answer\n  are you root or the server's user?\n",
            options->control);
    *exit_code = CONTROL_EXIT_REFUSED;
    return NULL;
}

/* The result, borrowed from *answer; NULL if the server refused, which is printed. */
static json_t *result_of(json_t *answer)
{
    if (json_is_true(json_object_get(answer, "ok")))
        return json_object_get(answer, "result");
    fprintf(stderr, "holdfast: refused: %s\n  %s\n", json_string_value(json_object_get(answer, "error")),
            json_string_value(json_object_get(answer, "next")));
    return NULL;
}

/* --- status --- */

static json_int_t number(json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

static void print_status(json_t *status)
{
    json_t *item;
    size_t i;

    printf("holdfast %s  %s  generation %lld  up %.0f s\n",
           json_string_value(json_object_get(status, "version")),
           json_string_value(json_object_get(status, "phase")), (long long)number(status, "generation"),
           json_number_value(json_object_get(status, "uptime_s")));
    printf("anchor %lld   master %lld\n\n", (long long)number(json_object_get(status, "anchor"), "pid"),
           (long long)number(json_object_get(status, "master"), "pid"));
    printf("%4s %4s %-9s %8s %8s %12s %12s %7s %9s %9s\n", "slot", "gen", "state", "keeper", "worker",
           "connections", "requests", "deaths", "revivals", "poisoned");
    json_array_foreach(json_object_get(status, "workers"), i, item)
        printf("%4lld %4lld %-9s %8lld %8lld %12lld %12lld %7lld %9lld %9lld\n",
               (long long)number(item, "slot"), (long long)number(item, "generation"),
               json_string_value(json_object_get(item, "state")), (long long)number(item, "keeper_pid"),
               (long long)number(item, "pid"), (long long)number(item, "connections"),
               (long long)number(item, "requests"), (long long)number(item, "deaths"),
               (long long)number(item, "revivals"), (long long)number(item, "poisoned"));
    printf("\n%-40s %-10s %12s\n", "listener", "accept", "accepted");
    json_array_foreach(json_object_get(status, "listeners"), i, item)
        printf("%-40s %-10s %12lld\n", json_string_value(json_object_get(item, "address")),
               json_string_value(json_object_get(item, "accept")), (long long)number(item, "accepted"));
}

int ctl_status(int count, char **arguments)
{
    struct options options;
    json_t *answer, *result;
    int exit_code = read_options(count, arguments, &options, "holdfast status [--json] [--control PATH]");

    if (exit_code)
        return exit_code;
    answer = ask(&options, "status", &exit_code);
    if (!answer)
        return exit_code;
    result = result_of(answer);
    if (!result)
        exit_code = CONTROL_EXIT_REFUSED;
    else if (options.json && (json_dumpf(result, stdout, JSON_COMPACT) || putchar('\n') == EOF))
        exit_code = CONTROL_EXIT_REFUSED;
    else if (!options.json)
        print_status(result);
    json_decref(answer);
    return exit_code;
}

/* --- stop --- */

static int wait_for_end(pid_t anchor, uint64_t timeout_ms)
{
    int fd = (int)syscall(SYS_pidfd_open, anchor, 0), ready;
    struct pollfd ended = {.fd = fd, .events = POLLIN};

    if (fd < 0)
        return errno == ESRCH ? 0 : -1;
    ready = poll(&ended, 1, timeout_ms && timeout_ms < INT_MAX ? (int)timeout_ms : -1);
    fd_close(&fd);
    return ready == 1 ? 0 : -1;
}

int ctl_stop(int count, char **arguments)
{
    struct options options;
    json_t *answer, *result;
    pid_t anchor;
    int exit_code = read_options(count, arguments, &options,
                                 "holdfast stop [--now] [--timeout DURATION] [--control PATH]");

    if (exit_code)
        return exit_code;
    answer = ask(&options, options.now ? "stop-now" : "stop", &exit_code);
    if (!answer)
        return exit_code;
    result = result_of(answer);
    anchor = (pid_t)number(result, "anchor");
    json_decref(answer);
    if (!result || anchor <= 0)
        return CONTROL_EXIT_REFUSED;
    if (!options.json)
        printf("stopping (pid %d)\n", anchor);
    fflush(stdout);
    if (wait_for_end(anchor, options.timeout_ms)) {
        fprintf(stderr,
                "holdfast: pid %d has not left in time; it goes on draining\n  stop it at once: holdfast "
                "stop --now\n",
                anchor);
        return CONTROL_EXIT_REFUSED;
    }
    return CONTROL_EXIT_DONE;
}
