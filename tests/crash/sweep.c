#include "crash/sweep.h"

#include "tools/options.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: sweep --keeper PID --target ADDR... [options]\n"
    "       sweep --role keeper|master|loader --target ADDR... [options] --launch COMMAND...\n"
    "  --target ADDR      127.0.0.1:PORT, [::1]:PORT or unix:PATH; the documents of mixload are served "
    "there\n"
    "  --first K --stride K --last K   which stops (default: 1, 1, until no longer reached)\n"
    "  --sample N --seed S             N points of the whole list, always the same for one seed\n"
    "  --seconds S        end early after S seconds and say so\n"
    "  --point NAME       repeat one point by the name it was reported with\n"
    "  --verbose          a line for each point       --json   totals as one JSON object\n"
    "worker sweeps:\n"
    "  --mode stop|step|state|revive   at system-call stops (default); at N single steps after an exit stop; "
    "at\n"
    "                     every instruction that changes the arena between two calls; kill the worker and "
    "then\n"
    "                     the next one at the stops of its revival\n"
    "  --steps-max N --steps-stride N  single steps from 0 to N (default 300, 1)\n"
    "  --parts NAME,...   default all, but for those by name alone; --list-parts names them\n"
    "  --no-hooks         leave out what needs /_test/\n"
    "  --echo             behind the targets is no server of documents, but one that echoes: for the parts "
    "tunnel-...\n"
    "launch sweeps (one server a point; readiness by NOTIFY_SOCKET):\n"
    "  --phase start|run  kill while starting (default), or after readiness while a scenario runs\n"
    "  --kill-worker      in phase run the scenario also kills a worker\n"
    "  --status COMMAND   a shell command that must succeed when the server is well\n"
    "  --log FILE         the server's output (default /dev/null)\n"
    "exit 0: all right; 1: something was wrong or no point was reached; 2: wrong usage or the sweep could "
    "not run\n";

static int mode_parse(const char *text, enum point_mode *mode)
{
    if (strcmp(text, "stop") == 0)
        *mode = POINT_STOP;
    else if (strcmp(text, "step") == 0)
        *mode = POINT_STEP;
    else if (strcmp(text, "state") == 0)
        *mode = POINT_STATE;
    else if (strcmp(text, "revive") == 0)
        *mode = POINT_REVIVE;
    else
        return -1;
    return 0;
}

static int option_call(void *into, const char *name, char *value)
{
    struct sweep_options *options = into;
    if (strcmp(name, "mode") == 0)
        return mode_parse(value, &options->mode);
    if (strcmp(name, "phase") == 0) {
        options->run_phase = strcmp(value, "run") == 0;
        return options->run_phase || strcmp(value, "start") == 0 ? 0 : -1;
    }
    if (options->target_count == SWEEP_TARGET_MAX)
        return -1;
    return target_parse(value, &options->targets[options->target_count++]);
}

#define AT(field) offsetof(struct sweep_options, field)

static const struct option_entry option_table[] = {
    {"target", OPTION_CALL, 0, 0},
    {"mode", OPTION_CALL, 0, 0},
    {"phase", OPTION_CALL, 0, 0},
    {"keeper", OPTION_NUMBER, AT(keeper), 1},
    {"first", OPTION_NUMBER, AT(first), 1},
    {"stride", OPTION_NUMBER, AT(stride), 1},
    {"last", OPTION_NUMBER, AT(last), 1},
    {"sample", OPTION_NUMBER, AT(sample), 1},
    {"seed", OPTION_NUMBER, AT(seed), 1},
    {"seconds", OPTION_NUMBER, AT(seconds), 1},
    {"steps-max", OPTION_NUMBER, AT(steps_max), 1},
    {"steps-stride", OPTION_NUMBER, AT(steps_stride), 1},
    {"point", OPTION_TEXT, AT(point), 0},
    {"parts", OPTION_TEXT, AT(parts), 0},
    {"role", OPTION_TEXT, AT(role), 0},
    {"status", OPTION_TEXT, AT(status_command), 0},
    {"log", OPTION_TEXT, AT(log_file), 0},
    {"verbose", OPTION_FLAG, AT(verbose), 0},
    {"json", OPTION_FLAG, AT(json), 0},
    {"list-parts", OPTION_FLAG, AT(list_parts), 0},
    {"no-hooks", OPTION_FLAG, AT(no_hooks), 0},
    {"echo", OPTION_FLAG, AT(echoes), 0},
    {"kill-worker", OPTION_FLAG, AT(kill_worker), 0},
    {"launch", OPTION_LAST, 0, 0},
    {NULL, OPTION_LAST, 0, 0},
};

static int options_parse(struct sweep_options *options, int argc, char **argv)
{
    *options = (struct sweep_options){
        .first = 1, .stride = 1, .seed = 1, .steps_max = 300, .steps_stride = 1, .parts = "all"};
    int end = options_read(argc, argv, option_table, options, option_call);
    if (end < 0 || options->first == 0 || options->stride == 0 || options->steps_stride == 0)
        return -1;
    if (options->list_parts)
        return 0;
    options->launch = argv + end;
    int does_launch = options->role && options->launch[0];
    return options->target_count > 0 && (options->keeper > 0 || does_launch) ? 0 : -1;
}

static void list_parts(void)
{
    for (size_t i = 0; i < scenario_part_count; i++)
        printf("%s%s%s\n", scenario_parts[i].name, scenario_parts[i].needs_hooks ? " (needs hooks)" : "",
               scenario_parts[i].by_name ? " (by name alone)" : "");
}

int main(int argc, char **argv)
{
    struct sweep_options options;
    if (options_parse(&options, argc, argv) != 0) {
        fputs(usage, stderr);
        return 2;
    }
    if (options.list_parts) {
        list_parts();
        return 0;
    }
    signal(SIGPIPE, SIG_IGN);
    documents_init();
    scenario_init(options.echoes);
    (void)sweep_is_late(&options); /* the time starts now */
    if ((options.role ? sweep_launch(&options) : sweep_worker(&options)) != 0) {
        fprintf(stderr, "sweep: the sweep could not be done\n");
        return 2;
    }
    return sweep_report_end(&options);
}
