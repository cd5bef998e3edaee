/* Every part over every target is a list of points of its own: its length is measured in an undisturbed run
 * first, then the points are tried in order, or a seeded sample of all lists together. */
#include "crash/sweep.h"
#include "crash/talk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LIST_MAX 256
/* How far past the measured length a whole sweep goes on looking for the end: runs differ by a few calls. */
#define MISSES_AT_END 3
#define STEPPED_TIMEOUT_S 30
/* A sample looks no further than so many changes behind a call; where there are fewer, the last one is taken. */
#define STATES_SAMPLED 24

struct list {
    const struct scenario_part *part;
    unsigned target;
    uint64_t stops, exits, revival_stops;
    uint64_t length; /* points */
};

struct sweep {
    const struct sweep_options *options;
    struct bystander bystanders[SWEEP_TARGET_MAX];
    uint64_t turn;
    struct list lists[LIST_MAX];
    size_t list_count;
};

static const char *const mode_names[] = {"stop", "step", "state", "revive"};

static void point_name(const struct point *point, char out[SWEEP_POINT_NAME])
{
    int length = snprintf(out, SWEEP_POINT_NAME, "%s@%u:%s:%llu", point->part->name, point->target,
                          mode_names[point->mode], (unsigned long long)point->stop);
    if (point->mode != POINT_STOP)
        snprintf(out + length, SWEEP_POINT_NAME - (size_t)length, "+%llu", (unsigned long long)point->then);
}

static int point_parse(const char *text, struct point *point)
{
    char part[64], mode[16];
    unsigned long long stop, then = 0;
    int fields = sscanf(text, "%63[^@]@%u:%15[^:]:%llu+%llu", part, &point->target, mode, &stop, &then);
    if (fields < 4 || !(point->part = scenario_find(part)))
        return -1;
    point->stop = stop;
    point->then = then;
    for (size_t i = 0; i < sizeof mode_names / sizeof *mode_names; i++) {
        if (strcmp(mode, mode_names[i]) == 0) {
            point->mode = (enum point_mode)i;
            return 0;
        }
    }
    return -1;
}

/* The `index`-th point of a list (0 and up). A REVIVE point's first kill is spread over the scenario by a
 * hash, so that the revivals have varied things to find. */
static struct point list_point(const struct sweep *sweep, const struct list *list, uint64_t index)
{
    const struct sweep_options *options = sweep->options;
    struct point point = {.part = list->part, .target = list->target, .mode = options->mode};
    uint64_t per_stop = options->steps_max / options->steps_stride + 1;
    struct random random = {.state = options->seed + index * 977};
    switch (options->mode) {
    case POINT_STOP:
        point.stop = index + 1;
        break;
    case POINT_STEP:
        point.stop = index / per_stop + 1;
        point.then = index % per_stop * options->steps_stride;
        break;
    case POINT_STATE:
        point.stop = index / STATES_SAMPLED + 1;
        point.then = index % STATES_SAMPLED + 1;
        break;
    case POINT_REVIVE:
        point.then = index + 1;
        point.stop = 1 + random_below(&random, list->stops ? list->stops : 1);
        break;
    }
    return point;
}

/* A bystander that lost its connection has shown it by the verdict; the next points get a new one. */
static const struct bystander *next_bystander(struct sweep *sweep)
{
    struct bystander *bystander = &sweep->bystanders[sweep->turn++ % sweep->options->target_count];
    if (bystander->fd < 0)
        (void)bystander_open(bystander);
    return bystander;
}

static void close_bystanders(struct sweep *sweep)
{
    for (size_t i = 0; i < sweep->options->target_count; i++) {
        if (sweep->bystanders[i].fd >= 0)
            close(sweep->bystanders[i].fd);
        sweep->bystanders[i].fd = -1;
    }
}

/* Runs and reports one point. True if it was reached. */
static int try_point(struct sweep *sweep, const struct point *point)
{
    char name[SWEEP_POINT_NAME];
    struct point_result result;
    const struct sweep_options *options = sweep->options;
    struct point named = *point;
    tracer_run_point((pid_t)options->keeper, point, &options->targets[point->target], next_bystander(sweep),
                     &result);
    if (point->regions) {
        named.stop = result.exits;
        named.then = result.changes;
    }
    point_name(&named, name);
    sweep_report_unwatched(result.unwatched);
    struct sweep_outcome outcome = {.point = name,
                                    .reached = result.reached,
                                    .why = result.why,
                                    .call = result.call,
                                    .at_exit = result.at_exit};
    sweep_report_point(options, &outcome);
    if (result.why[0] != '\0')
        close_bystanders(sweep);
    return result.reached;
}

static int measure(struct sweep *sweep, struct list *list)
{
    char name[SWEEP_POINT_NAME];
    struct point_result result;
    const struct sweep_options *options = sweep->options;
    struct point point = {.part = list->part, .target = list->target, .stop = POINT_NEVER};
    const struct target *target = &options->targets[list->target];
    tracer_run_point((pid_t)options->keeper, &point, target, next_bystander(sweep), &result);
    list->stops = result.stops;
    list->exits = result.exits;
    if (result.why[0] == '\0' && options->mode == POINT_REVIVE) {
        point.mode = POINT_REVIVE;
        point.stop = list->stops / 2 + 1;
        point.then = POINT_NEVER;
        tracer_run_point((pid_t)options->keeper, &point, target, next_bystander(sweep), &result);
        list->revival_stops = result.revival_stops;
    }
    snprintf(name, sizeof name, "%s@%u:%s", list->part->name, list->target, mode_names[options->mode]);
    if (result.why[0] != '\0') {
        sweep_report_point(options, &(struct sweep_outcome){.point = name, .why = result.why, .call = -1});
        close_bystanders(sweep);
        return -1;
    }
    uint64_t per_stop = options->steps_max / options->steps_stride + 1;
    list->length = options->mode == POINT_STOP    ? list->stops
                   : options->mode == POINT_STEP  ? list->exits * per_stop
                   : options->mode == POINT_STATE ? list->exits * STATES_SAMPLED
                                                  : list->revival_stops;
    sweep_report_measure(options, name, list->length);
    return 0;
}

static void sweep_whole_list(struct sweep *sweep, const struct list *list)
{
    const struct sweep_options *options = sweep->options;
    int misses = 0;
    for (uint64_t index = options->first - 1; options->last == 0 || index < options->last;
         index += options->stride) {
        if (sweep_is_late(options)) {
            sweep_report_cut_short();
            return;
        }
        struct point point = list_point(sweep, list, index);
        misses = try_point(sweep, &point) ? 0 : misses + 1;
        if (index >= list->length && misses >= MISSES_AT_END)
            return;
        if (options->mode == POINT_STEP && index >= list->length)
            return;
    }
}

/* Until a run finds no state that was not tried. */
static void sweep_all_states(struct sweep *sweep, const struct list *list)
{
    struct point point = {
        .part = list->part, .target = list->target, .mode = POINT_STATE, .stop = POINT_NEVER};
    point.regions = calloc(1, sizeof *point.regions);
    if (!point.regions)
        abort();
    while (try_point(sweep, &point)) {
        if (sweep_is_late(sweep->options)) {
            sweep_report_cut_short();
            break;
        }
    }
    free(point.regions);
}

static void sweep_sample(struct sweep *sweep)
{
    const struct sweep_options *options = sweep->options;
    struct random random = {.state = options->seed};
    uint64_t total = 0;
    for (size_t i = 0; i < sweep->list_count; i++)
        total += sweep->lists[i].length;
    for (uint64_t n = 0; total > 0 && n < options->sample; n++) {
        if (sweep_is_late(options)) {
            sweep_report_cut_short();
            return;
        }
        /* Every list in turn, so that a short one is not forgotten beside the long ones. */
        const struct list *list = &sweep->lists[n % sweep->list_count];
        if (list->length == 0)
            continue;
        struct point point = list_point(sweep, list, random_below(&random, list->length));
        try_point(sweep, &point);
    }
}

static int part_is_wanted(const struct sweep_options *options, const struct scenario_part *part)
{
    if (part->needs_hooks && options->no_hooks)
        return 0;
    if (strcmp(options->parts, "all") == 0)
        return !part->by_name;
    size_t length = strlen(part->name);
    for (const char *at = options->parts; (at = strstr(at, part->name)); at += length) {
        int begins = at == options->parts || at[-1] == ',';
        if (begins && (at[length] == '\0' || at[length] == ','))
            return 1;
    }
    return 0;
}

static void make_lists(struct sweep *sweep)
{
    const struct sweep_options *options = sweep->options;
    for (size_t i = 0; i < scenario_part_count; i++) {
        for (unsigned target = 0; target < options->target_count; target++) {
            const struct scenario_part *part = &scenario_parts[i];
            if (!part_is_wanted(options, part) || (part->tcp_only && options->targets[target].is_unix) ||
                sweep->list_count == LIST_MAX)
                continue;
            sweep->lists[sweep->list_count++] = (struct list){.part = part, .target = target};
        }
    }
}

int sweep_worker(const struct sweep_options *options)
{
    struct sweep *sweep = calloc(1, sizeof *sweep);
    if (!sweep)
        return -1;
    sweep->options = options;
    if (options->mode == POINT_STEP || options->mode == POINT_STATE)
        talk_timeout_s = STEPPED_TIMEOUT_S;
    for (size_t i = 0; i < options->target_count; i++)
        sweep->bystanders[i] = (struct bystander){.target = &options->targets[i], .fd = -1};
    if (options->point) {
        struct point point;
        int known = point_parse(options->point, &point) == 0 && point.target < options->target_count;
        if (known)
            try_point(sweep, &point);
        free(sweep);
        return known ? 0 : -1;
    }
    make_lists(sweep);
    for (size_t i = 0; i < sweep->list_count; i++) {
        if (measure(sweep, &sweep->lists[i]) != 0 || options->sample > 0)
            continue;
        if (options->mode == POINT_STATE)
            sweep_all_states(sweep, &sweep->lists[i]);
        else
            sweep_whole_list(sweep, &sweep->lists[i]);
    }
    if (options->sample > 0 && sweep->list_count > 0)
        sweep_sample(sweep);
    close_bystanders(sweep);
    free(sweep);
    return 0;
}
