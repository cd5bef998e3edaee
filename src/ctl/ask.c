#include "ctl/ask.h"

#include "base/fd.h"
#include "conf/value.h"
#include "ctl/command.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define TRIES 20 /* a master that dies under a question is followed by one that answers */
#define TRY_AGAIN_MS 100
#define ANSWER_MS 10000 /* how long to wait for a word where no --timeout says it */

void (*ctl_default_control)(char *out);

int command_usage_error(const char *what, const char *usage)
{
    fprintf(stderr, "holdfast: not understood: %s\nusage: %s\n", what, usage);
    return CONTROL_EXIT_USAGE;
}

int ask_read_options(int count, char **arguments, struct ask_options *options, const char *usage)
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
    char request[64], *line = NULL;
    size_t length = 0, room = 0;
    json_t *answer = NULL;

    snprintf(request, sizeof request, "{\"command\":\"%s\"}\n", command);
    /* A server that does not want to hear us may have closed already; that is no reason to die of SIGPIPE. */
    if (send(fd, request, strlen(request), MSG_NOSIGNAL) != (ssize_t)strlen(request))
        return NULL;
    for (;;) {
        ssize_t got;
        char *more = length == room ? realloc(line, room = room * 2 + CONTROL_REQUEST_MAX) : line;

        if (!more)
            break;
        line = more;
        got = read(fd, line + length, room - length);
        if (got <= 0)
            break;
        length += (size_t)got;
        if (line[length - 1] != '\n')
            continue;
        answer = json_loadb(line, length, 0, NULL);
        break;
    }
    free(line);
    return answer;
}

static void set_patience(int fd, const struct ask_options *options)
{
    const uint64_t ms = options->timeout_ms ? options->timeout_ms : ANSWER_MS;
    const struct timeval patience = {(time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000)};

    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    errno = 0;
}

/* Returns the exit code. Whoever may not connect does not know whether somebody is there. */
static int tell_no_connection(const char *path, int number)
{
    if (number == EACCES) {
        fprintf(stderr, "holdfast: %s: %s\n  ask as root, or as the user who started the server\n", path,
                strerror(number));
        return CONTROL_EXIT_REFUSED;
    }
    fprintf(stderr, "holdfast: no server at %s: %s\n  name its control socket with --control PATH\n", path,
            strerror(number));
    return CONTROL_EXIT_NO_SERVER;
}

/* The answer's object, or NULL with *exit_code set and the reason printed. */
json_t *ask(const struct ask_options *options, const char *command, int *exit_code)
{
    for (int i = 0; i < TRIES; i++) {
        int fd = connect_control(options->control);
        json_t *answer;

        if (fd < 0) {
            *exit_code = tell_no_connection(options->control, errno);
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
json_t *ask_result(json_t *answer)
{
    if (json_is_true(json_object_get(answer, "ok")))
        return json_object_get(answer, "result");
    fprintf(stderr, "holdfast: refused: %s\n  %s\n", json_string_value(json_object_get(answer, "error")),
            json_string_value(json_object_get(answer, "next")));
    return NULL;
}

json_int_t ask_number(json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

const char *ask_text(json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text ? text : "";
}

int ask_print(json_t *object)
{
    return json_dumpf(object, stdout, JSON_COMPACT) || putchar('\n') == EOF || fflush(stdout)
               ? CONTROL_EXIT_REFUSED
               : CONTROL_EXIT_DONE;
}

uint64_t ask_connections(json_t *status)
{
    json_t *worker;
    uint64_t count = 0;
    size_t i;

    json_array_foreach(json_object_get(status, "workers"), i, worker) count +=
        (uint64_t)ask_number(worker, "connections");
    return count;
}
