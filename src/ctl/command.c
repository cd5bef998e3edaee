#include "ctl/command.h"

#include "base/clock.h"
#include "base/fd.h"
#include "ctl/ask.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PROGRESS_MS 1000

/* --- status --- */

static void print_pools(json_t *status)
{
    json_t *pool, *item;
    size_t i, k;

    if (json_array_size(json_object_get(status, "pools")))
        printf("\n%-16s %-28s %-28s %-8s %8s %12s %10s %10s\n", "pool", "server", "address", "state",
               "active", "requests", "failures", "ejections");
    json_array_foreach(json_object_get(status, "pools"), i, pool)
        json_array_foreach(json_object_get(pool, "servers"), k, item)
            printf("%-16s %-28s %-28s %-8s %8lld %12lld %10lld %10lld\n", ask_text(pool, "name"),
                   ask_text(item, "server"), ask_text(item, "address"), ask_text(item, "state"),
                   (long long)ask_number(item, "active"), (long long)ask_number(item, "requests"),
                   (long long)ask_number(item, "failures"), (long long)ask_number(item, "ejections"));
    if (json_array_size(json_object_get(status, "names")))
        printf("\n%-40s %10s %10s %12s\n", "name", "addresses", "failures", "next in ms");
    json_array_foreach(json_object_get(status, "names"), i, item) printf(
        "%-40s %10lld %10lld %12lld\n", ask_text(item, "name"), (long long)ask_number(item, "addresses"),
        (long long)ask_number(item, "failures"), (long long)ask_number(item, "next_ms"));
}

static void print_status(json_t *status)
{
    json_t *item;
    size_t i;

    printf("holdfast %s  %s  generation %lld  up %.0f s\n", ask_text(status, "version"),
           ask_text(status, "phase"), (long long)ask_number(status, "generation"),
           json_number_value(json_object_get(status, "uptime_s")));
    if (*ask_text(status, "drain") && strcmp(ask_text(status, "drain"), "none"))
        printf("%s: new connections %s\n", ask_text(status, "drain"),
               strcmp(ask_text(status, "drain"), "waiting") ? "are refused" : "are still accepted");
    printf("anchor %lld   master %lld\n\n", (long long)ask_number(json_object_get(status, "anchor"), "pid"),
           (long long)ask_number(json_object_get(status, "master"), "pid"));
    printf("%4s %4s %-9s %8s %8s %12s %12s %7s %9s %9s\n", "slot", "gen", "state", "keeper", "worker",
           "connections", "requests", "deaths", "revivals", "poisoned");
    json_array_foreach(json_object_get(status, "workers"), i, item)
        printf("%4lld %4lld %-9s %8lld %8lld %12lld %12lld %7lld %9lld %9lld\n",
               (long long)ask_number(item, "slot"), (long long)ask_number(item, "generation"),
               ask_text(item, "state"), (long long)ask_number(item, "keeper_pid"),
               (long long)ask_number(item, "pid"), (long long)ask_number(item, "connections"),
               (long long)ask_number(item, "requests"), (long long)ask_number(item, "deaths"),
               (long long)ask_number(item, "revivals"), (long long)ask_number(item, "poisoned"));
    printf("\n%-40s %-10s %12s\n", "listener", "accept", "accepted");
    json_array_foreach(json_object_get(status, "listeners"), i, item)
        printf("%-40s %-10s %12lld\n", ask_text(item, "address"), ask_text(item, "accept"),
               (long long)ask_number(item, "accepted"));
    print_pools(status);
}

int ctl_status(int count, char **arguments)
{
    struct ask_options options;
    json_t *answer, *result;
    int exit_code = ask_read_options(count, arguments, &options, CTL_STATUS_USAGE);

    if (exit_code)
        return exit_code;
    answer = ask(&options, "status", &exit_code);
    if (!answer)
        return exit_code;
    result = ask_result(answer);
    if (!result)
        exit_code = CONTROL_EXIT_REFUSED;
    else if (options.json)
        exit_code = ask_print(result);
    else
        print_status(result);
    json_decref(answer);
    return exit_code;
}

/* --- stop --- */

static void tell_progress(const struct ask_options *options)
{
    int exit_code;
    json_t *status = ask(options, "status", &exit_code);

    if (status && !options->json)
        fprintf(stderr, "holdfast: %s, connections open: %llu\n",
                ask_text(json_object_get(status, "result"), "phase"),
                (unsigned long long)ask_connections(json_object_get(status, "result")));
    json_decref(status);
}

/* 0 when it has ended; -1 when the time is over. */
static int wait_for_end(pid_t anchor, const struct ask_options *options)
{
    const uint64_t until_ns = clock_monotonic_ns() + options->timeout_ms * NS_PER_MS;
    int fd = (int)syscall(SYS_pidfd_open, anchor, 0), ready = 0;
    struct pollfd ended = {.fd = fd, .events = POLLIN};

    if (fd < 0)
        return errno == ESRCH ? 0 : -1;
    while (!ready) {
        uint64_t now_ns = clock_monotonic_ns(), left_ms = PROGRESS_MS;

        if (options->timeout_ms) {
            if (now_ns >= until_ns)
                break;
            left_ms = (until_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS;
        }
        ready = poll(&ended, 1, left_ms < PROGRESS_MS ? (int)left_ms : PROGRESS_MS);
        if (!ready && left_ms >= PROGRESS_MS)
            tell_progress(options);
    }
    fd_close(&fd);
    return ready == 1 ? 0 : -1;
}

int ctl_stop(int count, char **arguments)
{
    struct ask_options options;
    json_t *answer, *result;
    pid_t anchor;
    int exit_code = ask_read_options(count, arguments, &options, CTL_STOP_USAGE);

    if (exit_code)
        return exit_code;
    answer = ask(&options, options.now ? "stop-now" : "stop", &exit_code);
    if (!answer)
        return exit_code;
    result = ask_result(answer);
    anchor = (pid_t)ask_number(result, "anchor");
    json_decref(answer);
    if (!result || anchor <= 0)
        return CONTROL_EXIT_REFUSED;
    if (!options.json)
        printf("stopping (pid %d)\n", anchor);
    fflush(stdout);
    if (wait_for_end(anchor, &options)) {
        fprintf(stderr,
                "holdfast: pid %d has not left in time; it goes on draining\n  stop it at once: holdfast "
                "stop --now\n",
                anchor);
        return CONTROL_EXIT_REFUSED;
    }
    if (options.json)
        printf("{\"anchor\":%d,\"ended\":true}\n", anchor);
    return CONTROL_EXIT_DONE;
}
