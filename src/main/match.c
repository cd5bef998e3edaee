/* The block `match`: what a route asks of a request besides its path. */
#include "main/directives.h"

#include <string.h>

/* --- lists of values --- */

int build_take_words(struct build *build, const struct conf_statement *statement, size_t argument,
                     const struct slice **words, size_t *count)
{
    size_t given = statement->counts[argument];
    struct slice *taken = storage_take(&build->http->storage, given * sizeof *taken);
    if (!taken)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < given; i++) {
        taken[i] = storage_copy(&build->http->storage, slice_of(statement->values[argument][i].text));
        if (!taken[i].at)
            return ERR_NO_MEMORY;
    }
    *words = taken;
    *count = given;
    return 0;
}

int build_take_patterns(struct build *build, const struct conf_statement *statement, size_t argument,
                        const struct path_pattern **patterns, size_t *count)
{
    size_t given = statement->counts[argument];
    struct path_pattern *taken = storage_take(&build->http->storage, given * sizeof *taken);
    if (!taken)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < given; i++) {
        const struct conf_value *value = &statement->values[argument][i];
        const char *problem, *hint;
        int error =
            path_pattern_compile(&build->http->storage, slice_of(value->text), &taken[i], &problem, &hint);
        if (error == ERR_NO_MEMORY)
            return error;
        if (error)
            conf_refuse_value(statement, value, hint, "\"%.200s\" %s", value->text, problem);
    }
    *patterns = taken;
    *count = given;
    return 0;
}

/* --- the tests --- */

static struct route_test *add_test(struct match_build *match, enum route_test_kind kind)
{
    struct route_test *test = storage_take(&match->build->http->storage, sizeof *test);
    if (!test)
        return NULL;
    test->kind = kind;
    *match->end = test;
    match->end = &test->next;
    return test;
}

static int open_block(struct build *build, struct route_test **list, void **child)
{
    struct match_build *match = storage_take(&build->http->storage, sizeof *match);
    if (!match)
        return ERR_NO_MEMORY;
    *match = (struct match_build){build, list};
    *child = match;
    return 0;
}

static int apply_match(void *into, const struct conf_statement *statement, void **child)
{
    const struct block_build *block = into;
    (void)statement;
    return open_block(block->build, &block->route->tests, child);
}

static int apply_not(void *into, const struct conf_statement *statement, void **child)
{
    struct match_build *match = into;
    struct route_test *test = add_test(match, ROUTE_TEST_NOT);
    (void)statement;
    return test ? open_block(match->build, &test->inner, child) : ERR_NO_MEMORY;
}

static int finish_match(void *child, const struct conf_statement *statement)
{
    const struct match_build *match = child;
    (void)match;
    if (!conf_node_exists(conf_first_child(statement->node)))
        conf_refuse(statement, "such as: method GET HEAD", "this \"%s\" asks for nothing",
                    conf_name(statement->node));
    return 0;
}

/* RFC 9110 section 9.1: a token, and case counts. */
static int is_token(const char *text)
{
    return text[0] && strspn(text, "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
                                   "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == strlen(text);
}

static int apply_method(void *into, const struct conf_statement *statement, void **child)
{
    struct match_build *match = into;
    struct route_test *test = add_test(match, ROUTE_TEST_METHOD);
    (void)child;
    for (size_t i = 0; i < statement->counts[0]; i++) {
        const struct conf_value *value = &statement->values[0][i];
        if (!is_token(value->text))
            conf_refuse_value(statement, value, NULL, "\"%.200s\" is no method", value->text);
        else if (value->text[strcspn(value->text, "abcdefghijklmnopqrstuvwxyz")])
            conf_refuse_value(statement, value, "GET is not get: methods are written in capitals",
                              "\"%.200s\" has small letters", value->text);
    }
    return test ? build_take_words(match->build, statement, 0, &test->words, &test->count) : ERR_NO_MEMORY;
}

/* A host name, or "*." and one. */
static int is_host(const char *text)
{
    if (text[0] == '*' && text[1] == '.')
        text += 2;
    if (strchr(text, ':') && text[0] != '[')
        return 0;
    return text[0] && !strpbrk(text, "*/@?#") && text[strlen(text) - 1] != '.';
}

static int apply_host(void *into, const struct conf_statement *statement, void **child)
{
    struct match_build *match = into;
    struct route_test *test = add_test(match, ROUTE_TEST_HOST);
    (void)child;
    for (size_t i = 0; i < statement->counts[0]; i++) {
        const struct conf_value *value = &statement->values[0][i];
        if (!is_host(value->text))
            conf_refuse_value(statement, value, "a name without a port, such as example.com or *.example.com",
                              "\"%.200s\" is no host", value->text);
    }
    return test ? build_take_words(match->build, statement, 0, &test->words, &test->count) : ERR_NO_MEMORY;
}

static int apply_path(void *into, const struct conf_statement *statement, void **child)
{
    struct match_build *match = into;
    struct route_test *test = add_test(match, ROUTE_TEST_PATH);
    (void)child;
    return test ? build_take_patterns(match->build, statement, 0, &test->patterns, &test->count)
                : ERR_NO_MEMORY;
}

static int apply_pattern(void *into, const struct conf_statement *statement, void **child)
{
    struct match_build *match = into;
    const struct conf_value *value = conf_value(statement, 0);
    struct regex *regex = NULL;
    char problem[160];
    size_t at = 0;
    (void)child;
    int error = regex_compile(&match->build->http->storage, slice_of(value->text), &regex, problem,
                              sizeof problem, &at);
    if (error == ERR_SYNTAX) {
        conf_refuse_value(statement, value, NULL, "not a regular expression: %s, at byte %zu", problem,
                          at + 1);
        return 0;
    }
    struct route_test *test = error ? NULL : add_test(match, ROUTE_TEST_PATTERN);
    if (!test)
        return ERR_NO_MEMORY;
    test->regex = regex;
    return 0;
}

/* `header` and `query`: a name, and a value or the bare word "present". */
static int apply_name_and_value(struct match_build *match, enum route_test_kind kind,
                                const struct conf_statement *statement)
{
    struct storage *storage = &match->build->http->storage;
    const struct conf_value *name = conf_value(statement, 0), *value = conf_value(statement, 1);
    struct route_test *test = add_test(match, kind);
    if (!test)
        return ERR_NO_MEMORY;
    test->name = storage_copy(storage, slice_of(name->text));
    test->value = storage_copy(storage, slice_of(value->text));
    test->any_value = value->word == 0 && !conf_arg_quoted(statement->node, value->index);
    return test->name.at && test->value.at ? 0 : ERR_NO_MEMORY;
}

static int apply_header(void *into, const struct conf_statement *statement, void **child)
{
    const struct conf_value *name = conf_value(statement, 0);
    (void)child;
    if (!is_token(name->text))
        conf_refuse_value(statement, name, NULL, "\"%.200s\" cannot be a header's name", name->text);
    return apply_name_and_value(into, ROUTE_TEST_HEADER, statement);
}

static int apply_query(void *into, const struct conf_statement *statement, void **child)
{
    (void)child;
    return apply_name_and_value(into, ROUTE_TEST_QUERY, statement);
}

int build_take_net(const struct conf_statement *statement, const struct conf_value *value,
                   struct client_net *net)
{
    char hint[CLIENT_NET_TEXT_MAX + 32];
    struct text text;
    int error = client_net_parse(value->text, net);
    text_init(&text, hint, sizeof hint);
    text_add_c(&text, "did you mean ");
    client_net_format(net, &text);
    text_add_c(&text, "?");
    if (error == ERR_INVALID)
        conf_refuse_value(statement, value, hint, "\"%.200s\" has bits behind its length", value->text);
    else if (error)
        conf_refuse_value(statement, value, "such as 10.0.0.0/8, 2001:db8::/32 or 127.0.0.1",
                          "\"%.200s\" is no network", value->text);
    return error ? ERR_SYNTAX : 0;
}

int build_take_nets(struct build *build, const struct conf_statement *statement, size_t argument,
                    const struct client_net **nets, size_t *count)
{
    size_t given = statement->counts[argument];
    struct client_net *taken = storage_take(&build->http->storage, given * sizeof *taken);
    if (!taken)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < given; i++)
        (void)!build_take_net(statement, &statement->values[argument][i], &taken[i]);
    *nets = taken;
    *count = given;
    return 0;
}

static int apply_client(void *into, const struct conf_statement *statement, void **child)
{
    struct match_build *match = into;
    struct route_test *test = add_test(match, ROUTE_TEST_CLIENT);
    (void)child;
    return test ? build_take_nets(match->build, statement, 0, &test->nets, &test->count) : ERR_NO_MEMORY;
}

#define IN_A_MATCH(line)                                                                                     \
    "site :8080 {\n    route /a/* {\n        match {\n            " line                                     \
    "\n        }\n        respond 403\n    }\n    files /srv/www\n}"

static const struct directive directives[] = {
    {
        .name = "match",
        .elsewhere = "acl if",
        .contexts = IN_ROUTE,
        .opens = CONTEXT_MATCH,
        .doc = "What the route asks of a request besides its path: every line must hold. Of several values "
               "in one line "
               "one is enough.",
        .example = IN_A_MATCH("method POST PUT\n            client 10.0.0.0/8"),
        .apply = apply_match,
        .finish = finish_match,
    },
    {
        .name = "method",
        .contexts = IN_MATCH,
        .arguments = {{.name = "METHOD", .kind = CONF_WORD, .repeat = 1}},
        .repeat = 1,
        .doc = "The request's method is one of these.",
        .example = IN_A_MATCH("method POST PUT"),
        .apply = apply_method,
    },
    {
        .name = "host",
        .contexts = IN_MATCH,
        .arguments = {{.name = "HOST", .kind = CONF_WORD, .repeat = 1}},
        .repeat = 1,
        .doc = "The host that was asked for is one of these. `*.example.com` is every name beneath "
               "example.com, not "
               "example.com itself.",
        .example = IN_A_MATCH("host *.example.com example.com"),
        .apply = apply_host,
    },
    {
        .name = "path",
        .contexts = IN_MATCH,
        .arguments = {{.name = "PATTERN", .kind = CONF_TEXT, .repeat = 1}},
        .repeat = 1,
        .doc = "The path fits one of these, which are written as those of `route`.",
        .example = IN_A_MATCH("path *.php *.cgi"),
        .apply = apply_path,
    },
    {
        .name = "pattern",
        .contexts = IN_MATCH,
        .arguments = {{.name = "REGEX", .kind = CONF_TEXT}},
        .doc = "The decoded path matches a regular expression (PCRE2), anywhere unless `^` and `$` say "
               "otherwise. What "
               "its groups catch is `{match.1}` to `{match.9}` in the route. An expression that works too "
               "long on a "
               "request gets it 500.",
        .example =
            "site :8080 {\n    route /news/* {\n        match {\n            pattern ^/news/([0-9]+)/(.+)$\n"
            "        }\n        redirect /archive/{match.2}-{match.1}\n    }\n    files /srv/www\n}",
        .apply = apply_pattern,
    },
    {
        .name = "header",
        .contexts = IN_MATCH,
        .arguments = {{.name = "NAME", .kind = CONF_WORD},
                      {.name = "VALUE", .kind = CONF_TEXT, .words = WORDS("present")}},
        .repeat = 1,
        .doc = "The request has this header with exactly this value; with the bare word `present` any value "
               "will do.",
        .example = IN_A_MATCH("header X-Debug present"),
        .apply = apply_header,
    },
    {
        .name = "query",
        .contexts = IN_MATCH,
        .arguments = {{.name = "NAME", .kind = CONF_WORD},
                      {.name = "VALUE", .kind = CONF_TEXT, .words = WORDS("present")}},
        .repeat = 1,
        .doc = "The query has this name with exactly this value, decoded; with the bare word `present` any "
               "value will do.",
        .example = IN_A_MATCH("query format json"),
        .apply = apply_query,
    },
    {
        .name = "client",
        .elsewhere = "allow deny",
        .contexts = IN_MATCH,
        .arguments = {{.name = "NET", .kind = CONF_WORD, .repeat = 1}},
        .repeat = 1,
        .doc = "The client's address lies in one of these networks. Clients on a Unix socket lie in none.",
        .example = IN_A_MATCH("client 10.0.0.0/8 ::1"),
        .apply = apply_client,
    },
    {
        .name = "not",
        .contexts = IN_MATCH,
        .opens = CONTEXT_MATCH,
        .repeat = 1,
        .doc = "Not all lines of this block hold.",
        .example = IN_A_MATCH("not {\n                client 10.0.0.0/8\n            }"),
        .apply = apply_not,
        .finish = finish_match,
    },
};

const struct directive_table match_directives = {directives, COUNT_OF(directives)};
