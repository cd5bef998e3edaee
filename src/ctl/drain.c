/* drain and resume: each returns when what was asked for has happened. */
#include "base/clock.h"
#include "ctl/ask.h"
#include "ctl/command.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#define LOOK_MS 100
#define PROGRESS_NS NS_PER_S

static int all_ready(json_t *status)
{
    json_t *worker;
    size_t i;

    json_array_foreach(json_object_get(status, "workers"), i,
                       worker) if (strcmp(ask_text(worker, "state"), "ready")) return 0;
    return !strcmp(ask_text(status, "drain"), "none");
}

static int is_drained(json_t *status)
{
    return !strcmp(ask_text(status, "drain"), "drained");
}

static void tell_progress(json_t *status, uint64_t *told_ns)
{
    if (clock_monotonic_ns() < *told_ns + PROGRESS_NS)
        return;
    *told_ns = clock_monotonic_ns();
    fprintf(stderr, "holdfast: %s, connections open: %llu\n", ask_text(status, "drain"),
            (unsigned long long)ask_connections(status));
}

static int too_late(const struct ask_options *options, uint64_t began_ns)
{
    return options->timeout_ms && clock_monotonic_ns() - began_ns >= options->timeout_ms * NS_PER_MS;
}

static int finish(const struct ask_options *options, json_t *status, const char *words)
{
    if (!options->json) {
        puts(words);
        return CONTROL_EXIT_DONE;
    }
    printf("{\"drain\":\"%s\",\"connections\":%llu}\n", ask_text(status, "drain"),
           (unsigned long long)ask_connections(status));
    return CONTROL_EXIT_DONE;
}

/* Looks at the status until is_done says so. `undone`: the state that means that somebody else wanted otherwise. */
static int wait_until(const struct ask_options *options, int (*is_done)(json_t *status), const char *undone,
                      const char *words)
{
    const uint64_t began_ns = clock_monotonic_ns();
    uint64_t told_ns = began_ns;
    int exit_code;

    for (;;) {
        json_t *answer = ask(options, "status", &exit_code), *status = answer ? ask_result(answer) : NULL;
        int done = status && is_done(status),
            is_undone = status && !strcmp(ask_text(status, "drain"), undone);

        if (done)
            exit_code = finish(options, status, words);
        else if (status && !options->json)
            tell_progress(status, &told_ns);
        json_decref(answer);
        if (!status || done)
            return status ? exit_code : answer ? CONTROL_EXIT_REFUSED : exit_code;
        if (is_undone) {
            fprintf(stderr, "holdfast: somebody else has undone it\n  see: holdfast status\n");
            return CONTROL_EXIT_REFUSED;
        }
        if (too_late(options, began_ns)) {
            fprintf(stderr, "holdfast: not done in time; it goes on\n  see: holdfast status\n");
            return CONTROL_EXIT_REFUSED;
        }
        (void)poll(NULL, 0, LOOK_MS);
    }
}

static int begin(const struct ask_options *options, const char *command)
{
    int exit_code = CONTROL_EXIT_DONE;
    json_t *answer = ask(options, command, &exit_code);

    if (answer && !ask_result(answer))
        exit_code = CONTROL_EXIT_REFUSED;
    json_decref(answer);
    return exit_code;
}

int ctl_drain(int count, char **arguments)
{
    struct ask_options options;
    int exit_code = ask_read_options(count, arguments, &options, CTL_DRAIN_USAGE);

    if (!exit_code)
        exit_code = begin(&options, "drain");
    return exit_code
               ? exit_code
               : wait_until(&options, is_drained, "none", "drained: nothing is open, nothing is accepted");
}

int ctl_resume(int count, char **arguments)
{
    struct ask_options options;
    int exit_code = ask_read_options(count, arguments, &options, CTL_RESUME_USAGE);

    if (!exit_code)
        exit_code = begin(&options, "resume");
    return exit_code ? exit_code : wait_until(&options, all_ready, "waiting", "accepting");
}
