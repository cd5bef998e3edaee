/* The one executable: command line, and the roles that the anchor and the master start. */
#include "base/fd.h"
#include "base/log.h"
#include "conf/value.h"
#include "core/keeper.h"
#include "core/master.h"
#include "ctl/command.h"
#include "main/loader.h"
#include "main/run.h"
#include "main/service.h"
#include "main/settings.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_CONFIG "/etc/holdfast/holdfast.conf"

/* --- roles: not for people --- */

static int role_master(int count, char **arguments)
{
    (void)count;
    log_init(STDERR_FILENO, "master");
    return master_run(&holdfast_service, arguments);
}

static int role_keeper(int count, char **arguments)
{
    (void)count;
    log_init(STDERR_FILENO, "keeper");
    return keeper_run(&holdfast_service, arguments);
}

/* The arguments of `run_server`: [--daemon] -c FILE, or [--daemon] --text NAME TEXT. */
static int role_loader(int count, char **arguments)
{
    int at = 2;

    log_init(STDERR_FILENO, "loader");
    if (at < count && !strcmp(arguments[at], "--daemon"))
        at++;
    if (at + 1 < count && !strcmp(arguments[at], "-c"))
        return loader_run(arguments[at + 1], WIRE_MASTER_FD);
    if (at + 2 < count && !strcmp(arguments[at], "--text"))
        return loader_run_text(arguments[at + 1], slice_of(arguments[at + 2]), WIRE_MASTER_FD);
    return COMMAND_EXIT_USAGE;
}

/* --- commands --- */

static int command_run(int count, char **arguments)
{
    struct run_options options = {.config_path = DEFAULT_CONFIG};

    for (int i = 2; i < count; i++) {
        if (!strcmp(arguments[i], "-d") || !strcmp(arguments[i], "--daemon"))
            options.daemon = 1;
        else if (!strcmp(arguments[i], "-c") && i + 1 < count)
            options.config_path = arguments[++i];
        else if (!strcmp(arguments[i], "--pid-file") && i + 1 < count)
            options.pid_file = arguments[++i];
        else
            return command_usage_error(arguments[i], "holdfast run [-c FILE] [-d] [--pid-file FILE]");
    }
    return run_server(&options);
}

static int command_check(int count, char **arguments)
{
    if (count == 2)
        return loader_check(DEFAULT_CONFIG);
    if (count == 3 && !strcmp(arguments[2], "--directives")) {
        conf_describe(settings_grammar(), stdout);
        return 0;
    }
    if (count == 4 && !strcmp(arguments[2], "-c"))
        return loader_check(arguments[3]);
    return command_usage_error(arguments[2], "holdfast check [-c FILE | --directives]");
}

static void add_statement(struct text *text, const char *name, const char *value, const char *end)
{
    text_add_c(text, name);
    conf_quote(text, slice_of(value));
    text_add_c(text, end);
}

static int command_files(int count, char **arguments)
{
    static const char usage[] = "holdfast files DIR [--listen ADDR] [--workers N] [--control PATH]";
    const char *folder = NULL, *listen = ":8080", *workers = "auto", *control = NULL;
    static char memory[3 * PATH_MAX];
    char absolute[PATH_MAX];
    struct text text;

    for (int i = 2; i < count; i++) {
        if (!strcmp(arguments[i], "--listen") && i + 1 < count)
            listen = arguments[++i];
        else if (!strcmp(arguments[i], "--workers") && i + 1 < count)
            workers = arguments[++i];
        else if (!strcmp(arguments[i], "--control") && i + 1 < count)
            control = arguments[++i];
        else if (arguments[i][0] != '-' && !folder)
            folder = arguments[i];
        else
            return command_usage_error(arguments[i], usage);
    }
    if (!folder)
        return command_usage_error("DIR is missing", usage);
    if (!realpath(folder, absolute)) {
        fprintf(stderr, "holdfast: %s: no such folder\n", folder);
        return COMMAND_EXIT_FAILED;
    }
    text_init(&text, memory, sizeof memory);
    add_statement(&text, "workers ", workers, "\n");
    if (control)
        add_statement(&text, "control ", control, "\n");
    add_statement(&text, "site ", listen, " {\n");
    add_statement(&text, "files ", absolute, "\n}\n");
    if (text.overflow)
        return command_usage_error("the arguments are too long", usage);
    return run_server(&(struct run_options){.config_text = text.at, .config_name = "(command line)"});
}

static int command_version(int count, char **arguments)
{
    (void)count;
    (void)arguments;
    puts("holdfast " HOLDFAST_VERSION);
    return 0;
}

static int command_help(int count, char **arguments);

static const struct {
    const char *name;
    int (*run)(int count, char **arguments);
    const char *usage, *what; /* NULL: a role or another spelling, not shown */
} commands[] = {
    {"run", command_run, "run [-c FILE] [-d] [--pid-file FILE]", "start the server (-d: in the background)"},
    {"files", command_files, "files DIR [--listen ADDR]", "serve a folder without a configuration"},
    {"check", command_check, "check [-c FILE | --directives]", "judge a configuration; starts nothing"},
    {"status", ctl_status, "status [--json]", "processes, connections, revivals of a running server"},
    {"stop", ctl_stop, "stop [--now] [--timeout DURATION]", "stop it: gracefully, or at once"},
    {"drain", ctl_drain, "drain [--timeout DURATION]", "accept nobody new, finish what runs, stay"},
    {"resume", ctl_resume, "resume", "undo a drain"},
    {"version", command_version, "version", "print the version"},
    {"help", command_help, "help", "print this"},
    {"--version", command_version, NULL, NULL},
    {"--help", command_help, NULL, NULL},
    {"-h", command_help, NULL, NULL},
    {"master", role_master, NULL, NULL},
    {"loader", role_loader, NULL, NULL},
    {"keeper", role_keeper, NULL, NULL},
};

#define COMMAND_COUNT (sizeof commands / sizeof *commands)

static int command_help(int count, char **arguments)
{
    (void)count;
    (void)arguments;
    puts("holdfast: a web server whose connections outlive its processes\n");
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (commands[i].usage)
            printf("  holdfast %-38s %s\n", commands[i].usage, commands[i].what);
    puts("\nCommands to a running server take --control PATH (the `control` line of its configuration).");
    return 0;
}

/* Whoever closes the standard descriptors would get our files as them. */
static void hold_standard_descriptors(void)
{
    int fd;

    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    fd_close(&fd);
}

int main(int count, char **arguments)
{
    hold_standard_descriptors();
    (void)signal(SIGXFSZ, SIG_IGN); /* a log at its size limit is no reason to die */
    ctl_default_control = settings_default_control;
    if (count < 2) {
        (void)command_help(count, arguments);
        return COMMAND_EXIT_USAGE;
    }
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (!strcmp(arguments[1], commands[i].name))
            return commands[i].run(count, arguments);
    return command_usage_error(arguments[1], "holdfast help");
}
