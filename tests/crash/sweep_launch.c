/* Points in the life of keeper, master and loader. Each point has a server of its own, started for it and
 * stopped after it, so that a point never inherits the restarts and delays of the one before. */
#include "crash/trial.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MISSES_AT_END 3
#define RECOVERY_TRIES 200 /* with 100 ms between them: the time a server may take to be well again */

static void sleep_ms(long ms)
{
    struct timespec length = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&length, NULL);
}

static int is_ready(const struct trial *trial)
{
    return trial->ready || trial->server_ended;
}

static int wait_until_ready(struct trial *trial)
{
    if (trial_wait(trial, is_ready) != 0)
        trial_wrong(trial, "the server is not ready after %d s", TRIAL_PATIENCE_S);
    else if (!trial->ready)
        trial_wrong(trial, "the server ended before it was ready: wait status 0x%x",
                    (unsigned)trial->server_status);
    return trial->why[0] == '\0' ? 0 : -1;
}

/* The status command must succeed soon: a master that has just been started may still be taking up its state. */
static void expect_status(struct trial *trial)
{
    if (!trial->options->status_command)
        return;
    for (int i = 0; i < RECOVERY_TRIES; i++) {
        int status = system(trial->options->status_command);
        if (status == 0)
            return;
        sleep_ms(100);
    }
    trial_wrong(trial, "the status command fails");
}

static void run_start_phase(struct trial *trial)
{
    if (trial_start(trial, 1) != 0) {
        trial_wrong(trial, "the server could not be started under trace");
        return;
    }
    if (wait_until_ready(trial) != 0)
        return;
    if (trial->target == 0)
        trial_wrong(trial, "no process with argv[1] \"%s\" was seen", trial->options->role);
    trial_release(trial);
    const char *why = trial_tour(trial, NULL, NULL);
    if (why)
        trial_wrong(trial, "%s", why);
    expect_status(trial);
}

/* Where the promise makes an exception, the server must still be well again soon. */
static void expect_recovery(struct trial *trial)
{
    const char *why = "";
    for (int i = 0; i < RECOVERY_TRIES && why; i++) {
        why = trial_tour(trial, NULL, NULL);
        if (why)
            sleep_ms(100);
    }
    if (why)
        trial_wrong(trial, "no recovery: %s", why);
}

/* The tour kills a worker, too. If that was the one whose keeper we killed, before it had taken over, both were killed
 * together: the promise's exception. A worker that took over says so in the log. */
static int worker_fell_with_its_keeper(const struct trial *trial)
{
    static char line[4096];
    char taken_over[64];
    FILE *log = trial->worker && trial->options->kill_worker ? fopen(trial->options->log_file, "re") : NULL;
    int fell = 1;

    if (!log)
        return 0;
    snprintf(taken_over, sizeof taken_over, "pid=%d event=keeper_taken_over", (int)trial->worker);
    while (fell && fgets(line, sizeof line, log))
        fell = strstr(line, taken_over) == NULL && strstr(line, "reason=crash") == NULL;
    fclose(log);
    return fell;
}

static void run_traced_tour(struct trial *trial, struct bystander *bystanders)
{
    struct tour_extras extras = {.status_command = trial->options->status_command};
    if (trial->options->kill_worker)
        extras.keeper = trial_keeper(trial);
    if (trial_seize_role(trial) != 0) {
        trial_wrong(trial, "no process of role %s can be traced", trial->options->role);
        return;
    }
    const char *why = trial_tour(trial, bystanders, &extras);
    trial_release(trial);
    trial->excepted |= worker_fell_with_its_keeper(trial);
    if (trial->excepted) {
        expect_recovery(trial);
    } else {
        if (why)
            trial_wrong(trial, "%s", why);
        why = trial_tour(trial, bystanders, NULL);
        if (why)
            trial_wrong(trial, "afterwards: %s", why);
    }
    expect_status(trial);
}

static void run_run_phase(struct trial *trial)
{
    struct bystander bystanders[SWEEP_TARGET_MAX];
    const struct sweep_options *options = trial->options;
    if (trial_start(trial, 0) != 0)
        trial_wrong(trial, "the server could not be started");
    if (trial->why[0] != '\0' || wait_until_ready(trial) != 0)
        return;
    for (size_t i = 0; i < options->target_count; i++) {
        bystanders[i] = (struct bystander){.target = &options->targets[i], .fd = -1};
        if (bystander_open(&bystanders[i]) != 0)
            trial_wrong(trial, "a bystander got no answer from %s", options->targets[i].text);
    }
    if (trial->why[0] == '\0')
        run_traced_tour(trial, bystanders);
    for (size_t i = 0; i < options->target_count; i++) {
        if (bystanders[i].fd >= 0)
            close(bystanders[i].fd);
    }
}

/* Runs one point. True if it was reached; *stops gets how many there were. */
static int try_point(const struct sweep_options *options, uint64_t want, uint64_t *stops, int *wrong)
{
    struct trial *trial = calloc(1, sizeof *trial);
    if (!trial)
        abort();
    trial->options = options;
    trial->want = want;
    trial->call = -1;
    if (options->run_phase)
        run_run_phase(trial);
    else
        run_start_phase(trial);
    if (trial->why[0] == '\0')
        trial_stop(trial);
    if (trial->why[0] != '\0')
        trial_clean(trial);
    char name[SWEEP_POINT_NAME];
    snprintf(name, sizeof name, "%s:%s:%llu", options->role, options->run_phase ? "run" : "start",
             (unsigned long long)want);
    struct sweep_outcome outcome = {.point = want == POINT_NEVER ? "undisturbed" : name,
                                    .reached = trial->killed,
                                    .excepted = trial->excepted,
                                    .why = trial->why,
                                    .call = trial->call,
                                    .at_exit = trial->at_exit};
    *wrong = trial->why[0] != '\0';
    *stops = trial->stops;
    if (want != POINT_NEVER || *wrong)
        sweep_report_point(options, &outcome);
    int reached = trial->killed;
    free(trial);
    return reached;
}

static void sweep_all(const struct sweep_options *options, uint64_t length)
{
    int misses = 0, wrong;
    uint64_t stops;
    for (uint64_t stop = options->first; options->last == 0 || stop <= options->last;
         stop += options->stride) {
        if (sweep_is_late(options)) {
            sweep_report_cut_short();
            return;
        }
        misses = try_point(options, stop, &stops, &wrong) ? 0 : misses + 1;
        if (stop > length && misses >= MISSES_AT_END)
            return;
    }
}

static void sweep_sample(const struct sweep_options *options, uint64_t length)
{
    struct random random = {.state = options->seed};
    uint64_t stops;
    int wrong;
    for (uint64_t n = 0; length > 0 && n < options->sample; n++) {
        if (sweep_is_late(options)) {
            sweep_report_cut_short();
            return;
        }
        try_point(options, 1 + random_below(&random, length), &stops, &wrong);
    }
}

int sweep_launch(const struct sweep_options *options)
{
    uint64_t length = 0, stops;
    int wrong;
    if (trial_prepare() != 0)
        return -1;
    if (options->point) {
        const char *number = strrchr(options->point, ':');
        if (!number)
            return -1;
        try_point(options, strtoull(number + 1, NULL, 10), &stops, &wrong);
        return 0;
    }
    try_point(options, POINT_NEVER, &length, &wrong);
    if (wrong)
        return 0; /* an undisturbed server must be right before anything can be said */
    sweep_report_measure(options, options->role, length);
    if (options->sample > 0)
        sweep_sample(options, length);
    else
        sweep_all(options, length);
    return 0;
}
