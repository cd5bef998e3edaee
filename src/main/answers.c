/* What answers: files, fixed responses, redirects; and what is done to the path before. */
#include "main/directives.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define EDITS_MAX 16

/* --- answers --- */

int block_take_answer(struct block_build *block, const struct conf_statement *statement,
                      enum route_answer answer)
{
    if (conf_node_exists(block->answer_node)) {
        char hint[600];
        struct text text;
        text_init(&text, hint, sizeof hint);
        text_add_f(&text, "\"%s\" in line %u", conf_name(block->answer_node), conf_line(block->answer_node));
        if (strcmp(conf_file(block->answer_node), conf_file(statement->node)) != 0)
            text_add_f(&text, " of %s", conf_file(block->answer_node));
        text_add_c(&text, " does already");
        conf_refuse(statement, hint, "only one statement of a block can answer");
        return ERR_EXISTS;
    }
    block->answer_node = statement->node;
    block->route->answer = answer;
    return 0;
}

/* The number of a folder in the configuration's list. 0 or ERR_NO_MEMORY. */
static int find_folder(struct http_config *http, const char *path, uint32_t *number)
{
    for (size_t i = 0; i < http->folder_count; i++) {
        *number = (uint32_t)i;
        if (strcmp(http->folders[i], path) == 0)
            return 0;
    }
    const char *copy = storage_copy(&http->storage, slice_of(path)).at;
    const char **folders = realloc(http->folders, (http->folder_count + 1) * sizeof *folders);
    if (folders)
        http->folders = folders;
    if (!folders || !copy)
        return ERR_NO_MEMORY;
    *number = (uint32_t)http->folder_count;
    folders[http->folder_count++] = copy;
    return 0;
}

/* A site's own folder also stands in the site itself. */
static int note_root(struct block_build *block, const char *path)
{
    struct http_config *http = block->build->http;
    struct http_site *site = http->site_count ? &http->sites[http->site_count - 1] : NULL;
    if (!site || site->route != block->route)
        return 0;
    site->root = strdup(path);
    return site->root ? 0 : ERR_NO_MEMORY;
}

static int apply_files(void *into, const struct conf_statement *statement, void **child)
{
    struct block_build *block = into;
    const struct conf_value *value = conf_value(statement, 0);
    char path[PATH_MAX];
    (void)child;
    if (block_take_answer(block, statement, ROUTE_FILES))
        return 0;
    if (conf_value_path(statement, value, path, sizeof path)) {
        conf_refuse_value(statement, value, NULL, "the path is too long");
        return 0;
    }
    if (block->build->lookup)
        lookup_check_folder(statement, value, path);
    int error = find_folder(block->build->http, path, &block->route->folder);
    return error ? error : note_root(block, path);
}

/* RFC 9110 section 15: these have no content. */
static int has_no_body(uint64_t status)
{
    return status == 204 || status == 205 || status == 304;
}

static int apply_respond(void *into, const struct conf_statement *statement, void **child)
{
    struct block_build *block = into;
    const struct conf_value *text = conf_value(statement, 1);
    (void)child;
    if (block_take_answer(block, statement, ROUTE_RESPOND))
        return 0;
    block->route->status = (int)NUMBER_OF(statement, 0);
    if (!text)
        return 0;
    if (has_no_body(NUMBER_OF(statement, 0)))
        conf_refuse_value(statement, text, "leave it out", "a response with %s has no text",
                          conf_arg(statement->node, 0));
    return block_compile_template(block, statement, text, &block->route->target);
}

static const int redirect_statuses[] = {301, 302, 303, 307, 308};

static int is_redirect_status(uint64_t status)
{
    for (size_t i = 0; i < COUNT_OF(redirect_statuses); i++) {
        if ((uint64_t)redirect_statuses[i] == status)
            return 1;
    }
    return 0;
}

static int apply_redirect(void *into, const struct conf_statement *statement, void **child)
{
    struct block_build *block = into;
    const struct conf_value *status = conf_value(statement, 0);
    (void)child;
    if (block_take_answer(block, statement, ROUTE_REDIRECT))
        return 0;
    if (status && !is_redirect_status(status->number))
        conf_refuse_value(statement, status, "301 and 308 for good, 302 and 307 for now, 303 after a POST",
                          "%s is no status of a redirect", status->text);
    block->route->status = status ? (int)status->number : 302;
    return block_compile_template(block, statement, conf_value(statement, 1), &block->route->target);
}

static int apply_status(void *into, const struct conf_statement *statement, void **child)
{
    (void)child;
    (void)!block_take_answer(into, statement, ROUTE_STATUS);
    return 0;
}

static int apply_metrics(void *into, const struct conf_statement *statement, void **child)
{
    (void)child;
    (void)!block_take_answer(into, statement, ROUTE_METRICS);
    return 0;
}

static int apply_ready(void *into, const struct conf_statement *statement, void **child)
{
    (void)child;
    (void)!block_take_answer(into, statement, ROUTE_READY);
    return 0;
}

static int apply_demo(void *into, const struct conf_statement *statement, void **child)
{
    (void)child;
    (void)!block_take_answer(into, statement, ROUTE_DEMO);
    return 0;
}

/* --- the path before --- */

static struct route_edit *add_edit(struct block_build *block, const struct conf_statement *statement)
{
    struct route_edit *edit = storage_take(&block->build->http->storage, sizeof *edit);
    if (!edit)
        return NULL;
    if (++block->edit_count > EDITS_MAX)
        conf_refuse(statement, NULL, "this would be more than %d changes of the path in one block",
                    EDITS_MAX);
    *block->edit_end = edit;
    block->edit_end = &edit->next;
    return edit;
}

static int apply_strip(void *into, const struct conf_statement *statement, void **child)
{
    struct block_build *block = into;
    const struct conf_value *value = conf_value(statement, 0);
    struct route_edit *edit = add_edit(block, statement);
    (void)child;
    if (!edit)
        return ERR_NO_MEMORY;
    size_t length = strlen(value->text);
    if (value->text[0] != '/' || length < 2 || value->text[length - 1] == '/' || strchr(value->text, '*'))
        conf_refuse_value(statement, value, "a slash at the beginning and none at the end: /static",
                          "\"%.200s\" is no prefix of paths", value->text);
    edit->strip = storage_copy(&block->build->http->storage, slice_of(value->text));
    return edit->strip.at ? 0 : ERR_NO_MEMORY;
}

static int apply_rewrite(void *into, const struct conf_statement *statement, void **child)
{
    struct block_build *block = into;
    const struct conf_value *value = conf_value(statement, 0);
    struct route_edit *edit = add_edit(block, statement);
    (void)child;
    if (!edit)
        return ERR_NO_MEMORY;
    edit->strip = (struct slice){"", 0};
    if (value->text[0] != '/' && strncmp(value->text, "{path}", 6) != 0 &&
        strncmp(value->text, "{target}", 8) != 0)
        conf_refuse_value(statement, value, "such as /index.php?page={rest}", "\"%.200s\" is no path",
                          value->text);
    return block_compile_template(block, statement, value, &edit->rewrite);
}

#define IN_A_ROUTE(line) "site :8080 {\n    route /a/* {\n        " line "\n    }\n    files /srv/www\n}"

static const struct directive directives[] = {
    {
        .name = "files",
        .elsewhere = "root alias",
        .contexts = IN_SITE | IN_ROUTE,
        .arguments = {{.name = "DIR", .kind = CONF_PATH}},
        .doc = "Answers with the files of a folder. A relative path starts from the configuration file's "
               "folder.",
        .example = "site :8080 {\n    files /srv/www\n}",
        .apply = apply_files,
    },
    {
        .name = "respond",
        .elsewhere = "return",
        .contexts = IN_SITE | IN_ROUTE,
        .arguments = {{.name = "STATUS", .kind = CONF_COUNT, .min = 200, .max = 599},
                      {.name = "TEXT", .kind = CONF_TEXT, .optional = 1}},
        .doc = "Answers with this status and text, which may have values in it. It is sent as `text/plain; "
               "charset=utf-8` unless `header set Content-Type` says otherwise.",
        .example = IN_A_ROUTE("respond 200 \"You come from {client.address}.\""),
        .apply = apply_respond,
    },
    {
        .name = "redirect",
        .contexts = IN_SITE | IN_ROUTE,
        .arguments = {{.name = "STATUS", .kind = CONF_COUNT, .optional = 1},
                      {.name = "TARGET", .kind = CONF_TEXT}},
        .doc = "Answers that what is looked for is elsewhere: a URL or a path, which may have values in it. "
               "STATUS is "
               "301, 302, 303, 307 or 308.",
        .example = IN_A_ROUTE("redirect 308 https://{host}/b/{rest}"),
        .default_text = "302",
        .apply = apply_redirect,
    },
    {
        .name = "status",
        .elsewhere = "stub_status stats",
        .contexts = IN_SITE | IN_ROUTE,
        .doc = "Answers with the state of the server, as `holdfast status --json` prints it; a browser gets "
               "a page. It "
               "names processes and addresses: not for everybody.",
        .example = IN_A_ROUTE("match {\n            client 127.0.0.1\n        }\n        status"),
        .apply = apply_status,
    },
    {
        .name = "metrics",
        .contexts = IN_SITE | IN_ROUTE,
        .doc = "Answers with counters of the whole server in the text format of Prometheus; docs/metrics.md "
               "explains "
               "each. Not for everybody.",
        .example = IN_A_ROUTE("match {\n            client 127.0.0.1\n        }\n        metrics"),
        .apply = apply_metrics,
    },
    {
        .name = "ready",
        .contexts = IN_SITE | IN_ROUTE,
        .doc = "Answers 200 as long as the server wants new connections, and 503 from the first moment of a "
               "drain or a "
               "stop on: for whoever spreads the load.",
        .example = IN_A_ROUTE("ready"),
        .apply = apply_ready,
    },
    {
        .name = "demo",
        .contexts = IN_ROUTE,
        .doc = "For the demonstration alone: a stream that ticks, and a worker killed for whoever asks. It "
               "answers "
               "nobody but clients on this machine, under a name of this machine.",
        .example = IN_A_ROUTE("demo"),
        .apply = apply_demo,
    },
    {
        .name = "strip",
        .contexts = IN_SITE | IN_ROUTE,
        .arguments = {{.name = "PREFIX", .kind = CONF_TEXT}},
        .repeat = 1,
        .doc = "Takes these segments off the beginning of the path before the answer sees it. A path that "
               "does not "
               "begin with them stays.",
        .example = IN_A_ROUTE("strip /a\n        files /srv/other"),
        .apply = apply_strip,
    },
    {
        .name = "rewrite",
        .contexts = IN_SITE | IN_ROUTE,
        .arguments = {{.name = "TARGET", .kind = CONF_TEXT}},
        .repeat = 1,
        .doc = "Gives the answer another path to look at, and, with a `?`, another query. Values in it are "
               "those of the "
               "request as it came. Routes are not looked at again. `strip` and `rewrite` act in their "
               "order; a route "
               "has those from outside only if it also has its answer from there.",
        .example = IN_A_ROUTE("rewrite /index.html?page={rest}"),
        .apply = apply_rewrite,
    },
};

const struct directive_table answer_directives = {directives, COUNT_OF(directives)};
