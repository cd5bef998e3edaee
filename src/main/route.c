/* The `route` directive, and what is judged when all routes are known: which ones are never taken, which answer
 * nothing, and what each has from the blocks around it. */
#include "main/directives.h"

#include <string.h>

struct block_build *block_new(struct block_build *outer, const struct conf_statement *statement,
                              const char *text)
{
    struct build *build = outer->build;
    struct storage *storage = &build->http->storage;
    struct block_build *block = storage_take(storage, sizeof *block);
    struct http_route *route = route_new(storage, outer->route);
    if (!block || !route)
        return NULL;
    route->text = storage_copy(storage, slice_of(text)).at;
    route->file = storage_copy(storage, slice_of(conf_file(statement->node))).at;
    if (!route->text || !route->file)
        return NULL;
    route->line = conf_line(statement->node);
    route->number = (uint32_t)build->http->route_count++;
    *block = (struct block_build){
        .build = build,
        .route = route,
        .outer = outer,
        .node = statement->node,
        .highest_group = -1,
        .mistakes_before = statement->diagnostics->count,
        .has_mistakes = 1, /* until it is read without one */
        .header_end = &route->headers,
        .request_header_end = &route->request_headers,
        .edit_end = &route->edits,
    };
    *build->block_end = block;
    build->block_end = &block->next;
    return block;
}

/* A statement that the parser has refused: what it was to say is not known. */
static int has_broken_child(struct conf_node node)
{
    struct conf_node child = conf_first_child(node);
    while (conf_node_exists(child) && !conf_is_broken(child))
        child = conf_next(child);
    return conf_node_exists(child);
}

int block_finish(void *child, const struct conf_statement *statement)
{
    struct block_build *block = child;
    size_t mistakes = statement->diagnostics->count - block->mistakes_before;
    block->has_mistakes = mistakes != block->mistakes_inside || has_broken_child(statement->node);
    block->outer->mistakes_inside += mistakes;
    return 0;
}

static void add_words(struct text *out, const struct conf_statement *statement)
{
    for (size_t i = 0; i < statement->counts[0]; i++)
        text_add_f(out, "%s%s", i ? " " : "", statement->values[0][i].text);
}

static int apply_route(void *into, const struct conf_statement *statement, void **child)
{
    struct block_build *outer = into;
    struct build *build = outer->build;
    char words[256];
    struct text text;
    if (build->http->route_count == HTTP_ROUTES_MAX) {
        conf_refuse(statement, NULL, "this would be more than %d routes and sites", HTTP_ROUTES_MAX);
        return 0;
    }
    text_init(&text, words, sizeof words);
    add_words(&text, statement);
    struct block_build *block = block_new(outer, statement, words);
    if (!block)
        return ERR_NO_MEMORY;
    *child = block;
    return build_take_patterns(build, statement, 0, &block->route->patterns, &block->route->pattern_count);
}

/* --- when all are known --- */

/* A place that is borrowed from nobody but the tree. */
static void refuse_at(struct diagnostics *diagnostics, struct conf_node node, int argument, const char *hint,
                      const char *message)
{
    struct diagnostic_place place = argument < 0 ? conf_place(node) : conf_arg_place(node, (size_t)argument);
    diagnostics_add(diagnostics, &place, hint, "%s", message);
}

static int is_site(const struct block_build *block)
{
    return !block->outer->outer;
}

/* What it has from outside, up to a block, may be other than it seems. */
static int is_doubtful(const struct block_build *block, const struct block_build *end)
{
    while (block != end && !block->has_mistakes)
        block = block->outer;
    return block != end;
}

static const struct block_build *site_of(const struct block_build *block)
{
    while (!is_site(block))
        block = block->outer;
    return block;
}

static const struct block_build *block_of(const struct build *build, const struct http_route *route)
{
    const struct block_build *block = build->first_block;
    while (block && block->route != route)
        block = block->next;
    return block;
}

static void judge_reach(const struct build *build, const struct block_build *block,
                        struct diagnostics *diagnostics)
{
    char hint[640];
    struct text text;
    const struct http_route *parent = block->route->parent, *hider = route_hidden_by(block->route);
    text_init(&text, hint, sizeof hint);
    if (route_lies_outside(block->route)) {
        text_add_f(&text, "it stands in route %s, and its patterns are whole paths", parent->text);
        refuse_at(diagnostics, block->node, 0, hint,
                  "this route is never taken: no path of it gets into the block");
        return;
    }
    if (!hider || block_of(build, hider)->has_mistakes)
        return;
    text_add_f(&text, "route %s in line %u", hider->text, hider->line);
    if (strcmp(hider->file, block->route->file) != 0)
        text_add_f(&text, " of %s", hider->file);
    text_add_c(&text, " stands before it and takes all of it: the first match wins");
    refuse_at(diagnostics, block->node, 0, hint, "this route is never taken");
}

static void judge_answer(const struct block_build *block, struct diagnostics *diagnostics)
{
    const struct http_route *route = block->route;
    if (route->answer != ROUTE_NONE || route->first_child)
        return;
    if (is_site(block))
        refuse_at(diagnostics, block->node, -1, "usage: files DIR", "this \"site\" answers nothing");
    else
        refuse_at(diagnostics, block->node, -1,
                  "such as: files DIR, proxy TARGET, respond STATUS or redirect TARGET",
                  "this \"route\" answers nothing, nor does the block around it");
}

static void judge_groups(const struct block_build *block, struct diagnostics *diagnostics)
{
    char message[128], hint[128];
    int groups = route_group_count(block->route);
    if (block->highest_group < 0 || block->highest_group <= groups)
        return;
    snprintf(message, sizeof message, "there is no group for {match.%d}", block->highest_group);
    if (groups < 0)
        snprintf(hint, sizeof hint, "it needs a \"pattern\" in the block \"match\" of this route");
    else
        snprintf(hint, sizeof hint, "the \"pattern\" of this route has %d group%s", groups,
                 groups == 1 ? "" : "s");
    refuse_at(diagnostics, block->group_node, (int)block->group_argument, hint, message);
}

static int serves_files(const struct http_route *route)
{
    int serves = route->answer == ROUTE_FILES;
    for (const struct http_route *child = route->first_child; child && !serves; child = child->next)
        serves = serves_files(child);
    return serves;
}

static void judge_compression(const struct block_build *block, struct diagnostics *diagnostics)
{
    const struct http_route *route = block->route;
    if (!(route->given & ROUTE_GIVES_COMPRESS) || route->settings.compress == ROUTE_COMPRESS_OFF ||
        route->answer != ROUTE_PROXY || serves_files(route))
        return;
    refuse_at(diagnostics, block->compress_node, -1,
              "leave it out: what an upstream server answers is passed on as it comes",
              "\"compress\" is for files, and there are none in this block");
}

static int number_routes(const struct build *build)
{
    struct http_config *http = build->http;

    http->routes = storage_take(&http->storage, http->route_count * sizeof *http->routes);
    if (!http->routes)
        return ERR_NO_MEMORY;
    http->routes[http->route->number] = http->route;
    for (const struct block_build *block = build->first_block; block; block = block->next)
        http->routes[block->route->number] = block->route;
    return 0;
}

int routes_finish(struct build *build, struct diagnostics *diagnostics)
{
    if (number_routes(build))
        return ERR_NO_MEMORY;
    for (const struct block_build *block = build->first_block; block; block = block->next) {
        if (!is_site(block) && !block->has_mistakes)
            judge_reach(build, block, diagnostics);
    }
    /* Blocks stand in the order of the text, so what is around has its own first. */
    for (const struct block_build *block = build->first_block; block; block = block->next) {
        int error = route_inherit(&build->http->storage, block->route);
        if (error)
            return error;
        if (!is_doubtful(block, NULL))
            judge_answer(block, diagnostics);
        if (!is_doubtful(block, NULL))
            judge_compression(block, diagnostics);
        if (!is_doubtful(block, site_of(block))) /* a site has no `match` */
            judge_groups(block, diagnostics);
    }
    return 0;
}

static const struct directive directives[] = {
    {
        .name = "route",
        .elsewhere = "location",
        .contexts = IN_SITE | IN_ROUTE,
        .arguments = {{.name = "PATTERN", .kind = CONF_TEXT, .repeat = 1}},
        .opens = CONTEXT_ROUTE,
        .repeat = 1,
        .doc =
            "What answers for a part of the paths. `/about` is that path alone; `/images/*` is all beneath "
            "/images, "
            "and /images itself; `*.php` is every path that ends so; `/docs/*.md` is both. Patterns are "
            "compared "
            "with the decoded path. Routes are looked at from top to bottom and the first that fits is "
            "taken; one "
            "that can never be taken is a mistake. In it, inner routes are looked at in the same way (their "
            "patterns are whole paths, too); if none fits, it answers itself. What a route does not say it "
            "has from "
            "the block around it; its headers come on top of those.",
        .example = "site :8080 {\n    route /api/* /v2/* {\n        respond 503 \"come back later\"\n    }\n"
                   "    files /srv/www\n}",
        .apply = apply_route,
        .finish = block_finish,
    },
};

const struct directive_table route_directives = {directives, COUNT_OF(directives)};
