/* The one executable: command line, and the roles that the anchor and the master start. */
#include "base/fd.h"
#include "base/log.h"
#include "conf/suggest.h"
#include "conf/value.h"
#include "core/keeper.h"
#include "core/lister.h"
#include "core/master.h"
#include "ctl/command.h"
#include "main/explain.h"
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
#define RUN_USAGE "holdfast run [-c FILE] [-d] [--pid-file FILE]"
#define FILES_USAGE "holdfast files DIR [--listen ADDR] [--workers N] [--control PATH]"
#define PROXY_USAGE "holdfast proxy ADDR HOST:PORT... [--workers N] [--control PATH]"
#define TCP_USAGE "holdfast tcp ADDR HOST:PORT... [--workers N] [--control PATH]"
#define CHECK_USAGE "holdfast check [-c FILE] [--json] | --directives"

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

static int role_lister(int count, char **arguments)
{
    (void)count;
    log_init(STDERR_FILENO, "lister");
    return lister_run(&holdfast_service, arguments);
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
            return command_usage_error(arguments[i], RUN_USAGE);
    }
    return run_server(&options);
}

static int command_check(int count, char **arguments)
{
    const char *path = DEFAULT_CONFIG;
    int json = 0;

    if (count == 3 && !strcmp(arguments[2], "--directives")) {
        conf_describe(settings_grammar(), stdout);
        return 0;
    }
    for (int i = 2; i < count; i++) {
        if (!strcmp(arguments[i], "--json"))
            json = 1;
        else if (!strcmp(arguments[i], "-c") && i + 1 < count)
            path = arguments[++i];
        else
            return command_usage_error(arguments[i], CHECK_USAGE);
    }
    return loader_check(path, json);
}

static void add_statement(struct text *text, const char *name, const char *value, const char *end)
{
    text_add_c(text, name);
    conf_quote(text, slice_of(value));
    text_add_c(text, end);
}

static int command_files(int count, char **arguments)
{
    static const char usage[] = FILES_USAGE;
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

static void add_servers(struct text *text, int count, char **servers)
{
    text_add_c(text, "pool upstream {\n");
    for (int i = 0; i < count; i++)
        add_statement(text, "server ", servers[i], "\n");
    text_add_c(text, "}\n");
}

/* `block`: what passes on, "site " or "tcp ". */
static int pass_on(int count, char **arguments, const char *usage, const char *block)
{
    const char *workers = "auto", *control = NULL;
    static char memory[6 * PATH_MAX];
    char *words[UPSTREAM_SERVERS_MAX + 1]; /* ADDR, and the servers */
    struct text text;
    int word_count = 0;

    for (int i = 2; i < count; i++) {
        if (!strcmp(arguments[i], "--workers") && i + 1 < count)
            workers = arguments[++i];
        else if (!strcmp(arguments[i], "--control") && i + 1 < count)
            control = arguments[++i];
        else if (arguments[i][0] != '-' && word_count < (int)UPSTREAM_SERVERS_MAX + 1)
            words[word_count++] = arguments[i];
        else
            return command_usage_error(arguments[i], usage);
    }
    if (word_count < 2)
        return command_usage_error(word_count ? "HOST:PORT is missing" : "ADDR is missing", usage);
    text_init(&text, memory, sizeof memory);
    add_statement(&text, "workers ", workers, "\n");
    if (control)
        add_statement(&text, "control ", control, "\n");
    add_servers(&text, word_count - 1, words + 1);
    add_statement(&text, block, words[0], " {\nproxy upstream\n}\n");
    if (text.overflow)
        return command_usage_error("the arguments are too long", usage);
    return run_server(&(struct run_options){.config_text = text.at, .config_name = "(command line)"});
}

static int command_proxy(int count, char **arguments)
{
    return pass_on(count, arguments, PROXY_USAGE, "site ");
}

static int command_tcp(int count, char **arguments)
{
    return pass_on(count, arguments, TCP_USAGE, "tcp ");
}

static int command_version(int count, char **arguments)
{
    if (count > 3 || (count == 3 && strcmp(arguments[2], "--json")))
        return command_usage_error(arguments[count - 1], "holdfast version [--json]");
    puts(count == 3 ? "{\"version\":\"" HOLDFAST_VERSION "\"}" : "holdfast " HOLDFAST_VERSION);
    return 0;
}

static int explain(int count, char **arguments)
{
    return command_explain(count, arguments, DEFAULT_CONFIG);
}

static int command_help(int count, char **arguments);

static const struct {
    const char *name;
    int (*run)(int count, char **arguments);
    const char *usage, *what; /* NULL: a role or another spelling, not shown */
    const char *more;         /* what `help COMMAND` says besides */
} commands[] = {
    {"run", command_run, RUN_USAGE, "start the server",
     "Stays in the foreground; with -d it goes to the background and returns when every worker accepts.\n"
     "-c names the configuration (" DEFAULT_CONFIG "), --pid-file a file that holds the PID while the\n"
     "server runs. Exits with 0 after a stop that was asked for, 1 if it could not start."},
    {"files", command_files, FILES_USAGE, "serve a folder without a configuration",
     "ADDR is as in the `site` directive, :8080 unless said; N is a number or auto."},
    {"proxy", command_proxy, PROXY_USAGE, "pass requests on without a configuration",
     "Listens on ADDR, as in the `site` directive, and passes requests on to the servers in turn: "
     "HOST:PORT,\n"
     "unix:/PATH or srv:NAME. N is a number or auto."},
    {"tcp", command_tcp, TCP_USAGE, "pass connections on without a configuration",
     "Listens on ADDR, as in the `tcp` directive, and passes the bytes of each connection on to one of the\n"
     "servers: HOST:PORT, unix:/PATH or srv:NAME. N is a number or auto."},
    {"check", command_check, CHECK_USAGE, "judge a configuration; starts nothing",
     "Says all mistakes at once, and exits with 1 if there are any. May be used while a server runs.\n"
     "--directives prints the reference of all directives."},
    {"explain", explain, EXPLAIN_USAGE, "why a request gets the answer it gets",
     "URL is http://HOST[:PORT]/PATH, or /PATH alone. Works from the configuration, without a server.\n"
     "Exits with 1 when nothing answers (404) or the configuration is wrong."},
    {"status", ctl_status, CTL_STATUS_USAGE, "processes, connections, revivals of a running server", ""},
    {"connections", ctl_connections, CTL_CONNECTIONS_USAGE, "what is open right now, one line each", ""},
    {"drain", ctl_drain, CTL_DRAIN_USAGE, "accept nobody new, finish what runs, stay",
     "`ready` denies at once, new connections are refused after `drain_delay`. Returns when nothing is "
     "open."},
    {"resume", ctl_resume, CTL_RESUME_USAGE, "undo a drain", "Returns when every worker accepts again."},
    {"stop", ctl_stop, CTL_STOP_USAGE, "stop it: gracefully, or at once",
     "Returns when the server has ended. With --timeout it exits with 1 when it has not; the stop goes on."},
    {"version", command_version, "holdfast version [--json]", "print the version", ""},
    {"help", command_help, "holdfast help [COMMAND]", "print this, or more of one command", ""},
    {"--version", command_version, NULL, NULL, NULL},
    {"--help", command_help, NULL, NULL, NULL},
    {"-h", command_help, NULL, NULL, NULL},
    {"master", role_master, NULL, NULL, NULL},
    {"loader", role_loader, NULL, NULL, NULL},
    {"keeper", role_keeper, NULL, NULL, NULL},
    {"lister", role_lister, NULL, NULL, NULL},
};

#define COMMAND_COUNT (sizeof commands / sizeof *commands)

static int help_one(const char *name)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (!commands[i].usage || strcmp(commands[i].name, name))
            continue;
        printf("%s: %s\n\nusage: %s\n", commands[i].name, commands[i].what, commands[i].usage);
        if (commands[i].more[0])
            printf("\n%s\n", commands[i].more);
        if (strstr(commands[i].usage, "--control"))
            puts("\nExit codes: 0 done; 1 refused, failed or not in time; 2 wrong usage; 3 no server there.");
        return 0;
    }
    return command_usage_error(name, "holdfast help [COMMAND]");
}

static int command_help(int count, char **arguments)
{
    if (count > 2 && !strcmp(arguments[1], "help"))
        return help_one(arguments[2]);
    puts("holdfast: a web server and proxy whose connections outlive its processes\n");
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (commands[i].usage)
            printf("  holdfast %-12s %s\n", commands[i].name, commands[i].what);
    puts("\n`holdfast help COMMAND` says more. Commands to a running server find it by --control PATH\n"
         "(the `control` line of its configuration).");
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

static int unknown_command(const char *word)
{
    struct suggestion nearest;
    char text[64];

    suggestion_init(&nearest, word);
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (commands[i].usage)
            suggestion_offer(&nearest, commands[i].name);
    fprintf(stderr, "holdfast: unknown command \"%s\"\n  %s\n", word,
            nearest.best ? suggestion_text(&nearest, text, sizeof text) : "`holdfast help` lists them");
    return COMMAND_EXIT_USAGE;
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
    return unknown_command(arguments[1]);
}
