/* Where requests are written down. */
#include "main/directives.h"

#include <limits.h>
#include <string.h>

/* Access logs trust the size of their file. */
static void refuse_shared(const struct core_settings *core, const struct conf_statement *statement,
                          const struct conf_value *value)
{
    for (size_t i = 0; i < core->log_count; i++)
        if (core->error_log[0] && strcmp(core->logs[i], core->error_log) == 0)
            conf_refuse_value(statement, value, "name another file",
                              "one file cannot be the error log and an access log");
}

/* The number of a log in the configuration's list, and 1. 0: there are too many, which is reported. */
static uint16_t find_log(struct core_settings *core, const struct conf_statement *statement, const char *path)
{
    for (size_t i = 0; i < core->log_count; i++) {
        if (strcmp(core->logs[i], path) == 0)
            return (uint16_t)(i + 1);
    }
    if (core->log_count == CORE_LOGS_MAX) {
        conf_refuse(statement, "several sites can share a log: each line of a `json` log says its host",
                    "this would be more than %d different access logs", CORE_LOGS_MAX);
        return 0;
    }
    strcpy(core->logs[core->log_count++], path);
    return (uint16_t)core->log_count;
}

static int apply_error_log(void *into, const struct conf_statement *statement, void **child)
{
    struct build *build = into;
    const struct conf_value *value = conf_value(statement, 0);
    (void)child;
    if (conf_value_path(statement, value, build->core->error_log, sizeof build->core->error_log)) {
        conf_refuse_value(statement, value, NULL, "the path is longer than %d bytes", CORE_LOG_PATH_MAX - 1);
        return 0;
    }
    refuse_shared(build->core, statement, value);
    if (build->lookup && lookup_check_place(statement, value, build->core->error_log)) {
        build->lookup->error_log = statement->node; /* who has to write there is not known yet */
        build->lookup->error_log_path = build->core->error_log;
    }
    return 0;
}

uint16_t log_of(struct build *build, const struct conf_statement *statement, const struct conf_value *value)
{
    char path[PATH_MAX];
    uint16_t number;
    if (conf_value_path(statement, value, path, sizeof path) || strlen(path) >= CORE_LOG_PATH_MAX) {
        conf_refuse_value(statement, value, NULL, "the path is longer than %d bytes", CORE_LOG_PATH_MAX - 1);
        return 0;
    }
    if (build->lookup)
        (void)lookup_check_place(statement, value,
                                 path); /* whether a worker may write there, it finds out itself */
    number = find_log(build->core, statement, path);
    refuse_shared(build->core, statement, value);
    return number;
}

static int apply_access_log(void *into, const struct conf_statement *statement, void **child)
{
    struct block_build *block = into;
    struct route_settings *settings = &block->route->settings;
    const struct conf_value *value = conf_value(statement, 0), *format = conf_value(statement, 1);
    (void)child;
    block->route->given |= ROUTE_GIVES_ACCESS_LOG;
    settings->access_log = 0;
    settings->access_log_format = format ? (enum route_log_format)format->word : ROUTE_LOG_COMBINED;
    if (value->word == 0 && !conf_arg_quoted(statement->node, value->index)) {
        if (format)
            conf_refuse_value(statement, format, "leave it out", "there is no format without a log");
        return 0;
    }
    settings->access_log = log_of(block->build, statement, value);
    return 0;
}

static const struct directive directives[] = {
    {
        .name = "access_log",
        .contexts = AT_TOP | IN_SITE | IN_ROUTE,
        .arguments =
            {{.name = "PATH", .kind = CONF_PATH, .words = WORDS("off")},
             {.name = "FORMAT", .kind = CONF_CHOICE, .words = WORDS("combined", "json"), .optional = 1}},
        .doc =
            "The file that each request is written to, in a line of its own, when it has ended: once, "
            "whatever "
            "process dies. Lines are written in batches, after a second at the latest, never by the loop "
            "that "
            "serves. `combined` is the usual format with more words behind it, `json` an object a line; "
            "docs/logs.md explains both. SIGUSR1 opens the files anew. Several sites and routes may name the "
            "same file.",
        .example = "access_log /var/log/holdfast/access.log json",
        .default_text = "`off`",
        .apply = apply_access_log,
    },
    {
        .name = "error_log",
        .contexts = AT_TOP,
        .arguments = {{.name = "PATH", .kind = CONF_PATH}},
        .doc = "The file that every process writes its events to, one a line; docs/logs.md explains them. "
               "What is said before the listeners are bound, and a refused configuration, goes to standard "
               "error. SIGUSR1 opens the file anew. It is made if it is not there, and belongs to the "
               "workers' `user`.",
        .example = "error_log /var/log/holdfast/error.log",
        .default_text = "standard error",
        .apply = apply_error_log,
    },
};

const struct directive_table log_directives = {directives, COUNT_OF(directives)};
