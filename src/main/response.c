/* How files and responses are made: index, fallback, headers, caching; and the headers of what is sent on. */
#include "main/directives.h"

#include "conf/suggest.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#define HEADERS_MAX 64 /* of one block */
#define YEAR_MS (365ull * DAY_MS)

/* --- values for several directives --- */

static void refuse_template(const struct conf_statement *statement, const struct conf_value *value,
                            const struct template_mistake *mistake)
{
    char wanted[64], hint[160], known[64];
    struct suggestion suggestion;
    const char *shown = mistake->hint;
    struct text text;
    text_init(&text, wanted, sizeof wanted);
    text_add(&text, mistake->wanted);
    suggestion_init(&suggestion, wanted);
    for (unsigned i = 0; wanted[0] && i < TEMPLATE_VALUES; i++)
        suggestion_offer(&suggestion, template_value_name((enum template_value)i));
    if (suggestion.best) {
        size_t length = strlen(suggestion.best);
        snprintf(known, sizeof known, "%s%s", suggestion.best,
                 suggestion.best[length - 1] == '.' ? "NAME" : "");
        snprintf(hint, sizeof hint, "did you mean {%s}?", known);
        shown = hint;
    }
    conf_refuse_value(statement, value, shown, "%s", mistake->message);
}

int block_compile_template(struct block_build *block, const struct conf_statement *statement,
                           const struct conf_value *value, const struct template **compiled)
{
    struct template_mistake mistake;
    int error = template_compile(&block->build->http->storage, slice_of(value->text), compiled, &mistake);
    if (error == ERR_SYNTAX)
        refuse_template(statement, value, &mistake);
    if (error)
        return error == ERR_SYNTAX ? 0 : error;
    int highest = template_highest_capture(*compiled);
    if (highest > block->highest_group) {
        block->highest_group = highest;
        block->group_node = statement->node;
        block->group_argument = value->index;
    }
    return 0;
}

/* --- files --- */

static int is_file_name(const char *name)
{
    return !strchr(name, '/') && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

/* A site's own index also stands in the site itself. */
static int note_index(struct block_build *block, const char *name)
{
    struct http_config *http = block->build->http;
    struct http_site *site = http->site_count ? &http->sites[http->site_count - 1] : NULL;
    if (!site || site->route != block->route)
        return 0;
    site->index = strdup(name);
    return site->index ? 0 : ERR_NO_MEMORY;
}

static int apply_index(void *into, const struct conf_statement *statement, void **child)
{
    struct block_build *block = into;
    struct route_settings *settings = &block->route->settings;
    size_t mistakes = 0;
    (void)child;
    for (size_t i = 0; i < statement->counts[0]; i++) {
        const struct conf_value *value = &statement->values[0][i];
        if (is_file_name(value->text))
            continue;
        conf_refuse_value(statement, value, "such as index.html",
                          "\"%s\" is not the name of a file in a folder", value->text);
        mistakes++;
    }
    block->route->given |= ROUTE_GIVES_INDEX;
    int error = build_take_words(block->build, statement, 0, &settings->index, &settings->index_count);
    return error || mistakes ? error : note_index(block, statement->values[0][0].text);
}

static int apply_precompressed(void *into, const struct conf_statement *statement, void **child)
{
    struct http_route *route = ((struct block_build *)into)->route;
    (void)child;
    route->settings.precompressed = (int)NUMBER_OF(statement, 0);
    route->given |= ROUTE_GIVES_PRECOMPRESSED;
    return 0;
}

static int apply_hidden(void *into, const struct conf_statement *statement, void **child)
{
    struct http_route *route = ((struct block_build *)into)->route;
    (void)child;
    route->settings.hidden = conf_value(statement, 0)->word; /* "deny", "allow" */
    route->given |= ROUTE_GIVES_HIDDEN;
    return 0;
}

static int apply_fallback(void *into, const struct conf_statement *statement, void **child)
{
    struct block_build *block = into;
    const struct conf_value *value = conf_value(statement, 0);
    struct path_pattern pattern;
    const char *problem, *hint;
    (void)child;
    block->route->given |= ROUTE_GIVES_FALLBACK;
    if (value->word == 0 && !conf_arg_quoted(statement->node, value->index))
        return 0;
    /* A path is a pattern without a star. */
    int error =
        path_pattern_compile(&block->build->http->storage, slice_of(value->text), &pattern, &problem, &hint);
    if (error == ERR_NO_MEMORY)
        return error;
    if (error || pattern.has_star)
        conf_refuse_value(statement, value, "a path beneath the folder, such as /index.html", "\"%.200s\" %s",
                          value->text, error ? problem : "is a pattern");
    block->route->settings.fallback = pattern.text.at;
    return 0;
}

static int apply_listing(void *into, const struct conf_statement *statement, void **child)
{
    struct http_route *route = ((struct block_build *)into)->route;
    (void)child;
    route->settings.listing = (int)NUMBER_OF(statement, 0);
    route->given |= ROUTE_GIVES_LISTING;
    return 0;
}

/* "text/html", "text/" and a star; in lower case, as types are compared. */
static int is_type_pattern(const char *text)
{
    const char *slash = strchr(text, '/');
    if (!slash || slash == text || !slash[1] || strchr(slash + 1, '/'))
        return 0;
    for (const char *c = text; *c; c++) {
        if (*c == '*' ? c != slash + 1 || c[1] : !strchr("abcdefghijklmnopqrstuvwxyz0123456789/.+-_", *c))
            return 0;
    }
    return 1;
}

enum { COMPRESS_OFF, COMPRESS_ON }; /* the words; otherwise a type */
static const char *const compress_words[] = {[COMPRESS_OFF] = "off", [COMPRESS_ON] = "on", NULL};

static int apply_compress(void *into, const struct conf_statement *statement, void **child)
{
    struct block_build *block = into;
    struct route_settings *settings = &block->route->settings;
    int words = 0;
    (void)child;
    block->route->given |= ROUTE_GIVES_COMPRESS;
    block->compress_node = statement->node;
    for (size_t i = 0; i < statement->counts[0]; i++) {
        const struct conf_value *value = &statement->values[0][i];
        if (value->word >= 0)
            words++;
        else if (!is_type_pattern(value->text))
            conf_refuse_value(statement, value, "such as text/html or text/*",
                              "\"%.200s\" is no media type in lower case", value->text);
    }
    if (words && statement->counts[0] > 1)
        conf_refuse(statement, "usage: compress on, compress off, or compress TYPE...",
                    "\"on\" and \"off\" stand alone");
    if (words) {
        settings->compress =
            statement->values[0][0].word == COMPRESS_ON ? ROUTE_COMPRESS_ON : ROUTE_COMPRESS_OFF;
        return 0;
    }
    settings->compress = ROUTE_COMPRESS_LISTED;
    return build_take_words(block->build, statement, 0, &settings->compress_types,
                            &settings->compress_type_count);
}

static int apply_compress_min(void *into, const struct conf_statement *statement, void **child)
{
    struct http_route *route = ((struct block_build *)into)->route;
    (void)child;
    route->settings.compress_min = NUMBER_OF(statement, 0);
    route->given |= ROUTE_GIVES_COMPRESS_MIN;
    return 0;
}

/* --- responses --- */

/* What the server itself says of a message's length and of the connection, and nobody else can know. */
static const char *const own_headers[] = {
    "Connection", "Content-Length", "Content-Encoding",  "Content-Range", "Date", "Keep-Alive",
    "TE",         "Trailer",        "Transfer-Encoding", "Upgrade"};

/* The same of a request to an upstream server: its framing, and what is of one connection alone (RFC 9110 section 7.6.1). */
static const char *const own_request_headers[] = {
    "Connection", "Content-Length",    "Expect",  "Keep-Alive", "Max-Forwards", "Proxy-Connection", "TE",
    "Trailer",    "Transfer-Encoding", "Upgrade", "Via"};
static const char *const host_header[] = {"Host"};

static void check_own(const struct conf_statement *statement, const char *const *names, size_t count,
                      const char *hint)
{
    const struct conf_value *name = conf_value(statement, 1);
    for (size_t i = 0; i < count; i++) {
        if (slice_equals_nocase(slice_of(names[i]), slice_of(name->text)))
            conf_refuse_value(statement, name, hint, "%s is the server's own affair", name->text);
    }
}

static void check_header(const struct conf_statement *statement, enum route_header_change change)
{
    const struct conf_value *name = conf_value(statement, 1), *value = conf_value(statement, 2);
    for (const char *c = name->text; *c; c++) {
        if ((unsigned char)*c <= ' ' || (unsigned char)*c >= 0x7f || strchr("\"(),/:;<=>?@[\\]{}", *c)) {
            conf_refuse_value(statement, name, "letters, digits and dashes",
                              "\"%.200s\" cannot be a header's name", name->text);
            return;
        }
    }
    if (change == ROUTE_HEADER_REMOVE ? value != NULL : value == NULL) {
        char usage[64];
        snprintf(usage, sizeof usage, "usage: %s %s", conf_name(statement->node),
                 value ? "remove NAME" : "set|add NAME VALUE");
        conf_refuse(statement, usage,
                    value ? "a header that is removed has no value" : "the header has no value");
    }
    for (const char *c = value ? value->text : ""; *c; c++) {
        if (((unsigned char)*c < ' ' && *c != '\t') || *c == 0x7f) {
            conf_refuse_value(statement, value, NULL, "the value has a control character in it");
            return;
        }
    }
}

static const char *const header_changes[] = {
    [ROUTE_HEADER_SET] = "set", [ROUTE_HEADER_ADD] = "add", [ROUTE_HEADER_REMOVE] = "remove", NULL};

static int add_header(struct block_build *block, const struct conf_statement *statement, size_t *count,
                      const struct route_header ***end)
{
    struct storage *storage = &block->build->http->storage;
    struct route_header *header = storage_take(storage, sizeof *header);
    if (!header)
        return ERR_NO_MEMORY;
    header->change = (enum route_header_change)conf_value(statement, 0)->word;
    header->name = storage_copy(storage, slice_of(conf_value(statement, 1)->text));
    if (!header->name.at)
        return ERR_NO_MEMORY;
    check_header(statement, header->change);
    if (++*count > HEADERS_MAX)
        conf_refuse(statement, NULL, "this would be more than %d header changes in one block", HEADERS_MAX);
    **end = header;
    *end = &header->next;
    if (!conf_value(statement, 2))
        return 0;
    return block_compile_template(block, statement, conf_value(statement, 2), &header->value);
}

static int apply_header(void *into, const struct conf_statement *statement, void **child)
{
    struct block_build *block = into;
    (void)child;
    check_own(statement, own_headers, COUNT_OF(own_headers), NULL);
    return add_header(block, statement, &block->header_count, &block->header_end);
}

static int apply_request_header(void *into, const struct conf_statement *statement, void **child)
{
    struct block_build *block = into;
    (void)child;
    check_own(statement, own_request_headers, COUNT_OF(own_request_headers), NULL);
    check_own(statement, host_header, COUNT_OF(host_header), "\"host\" in the block of \"proxy\" says it");
    return add_header(block, statement, &block->request_header_count, &block->request_header_end);
}

enum { CACHE_OFF, CACHE_REVALIDATE }; /* the words; otherwise a time */
static const char *const cache_words[] = {[CACHE_OFF] = "off", [CACHE_REVALIDATE] = "revalidate", NULL};

/* RFC 9111 section 5.2.2, RFC 8246. */
static int apply_cache(void *into, const struct conf_statement *statement, void **child)
{
    struct block_build *block = into;
    const struct conf_value *value = conf_value(statement, 0);
    int private = conf_value(statement, 1) != NULL, immutable = conf_value(statement, 2) != NULL;
    char memory[96];
    struct text text;
    (void)child;
    text_init(&text, memory, sizeof memory);
    if (value->word == CACHE_OFF)
        text_add_c(&text, "no-store");
    else if (value->word == CACHE_REVALIDATE)
        text_add_f(&text, "%sno-cache", private ? "private, " : "");
    else
        text_add_f(&text, "%s, max-age=%llu%s", private ? "private" : "public",
                   (unsigned long long)value->number / 1000, immutable ? ", immutable" : "");
    if (value->word < 0 && value->number % 1000)
        conf_refuse_value(statement, value, NULL, "caches count whole seconds");
    if ((value->word >= 0 && immutable) || (value->word == CACHE_OFF && private))
        conf_refuse(statement, "leave one of them out", "\"%s\" does not go with \"%s\"", value->text,
                    immutable ? "immutable" : "private");
    block->route->given |= ROUTE_GIVES_CACHE;
    block->route->settings.cache_control =
        storage_copy(&block->build->http->storage, (struct slice){text.at, text.length}).at;
    return block->route->settings.cache_control ? 0 : ERR_NO_MEMORY;
}

/* --- the table --- */

#define IN_A_SITE(line) "site :8080 {\n    files /srv/www\n    " line "\n}"

static const struct directive directives[] = {
    {
        .name = "index",
        .contexts = IN_SITE | IN_ROUTE,
        .arguments = {{.name = "NAME", .kind = CONF_WORD, .repeat = 1}},
        .doc = "The file that answers for a folder: the first of these that is there.",
        .example = IN_A_SITE("index start.html index.html"),
        .default_text = "`index.html`",
        .apply = apply_index,
    },
    {
        .name = "fallback",
        .elsewhere = "try_files",
        .contexts = IN_SITE | IN_ROUTE,
        .arguments = {{.name = "PATH", .kind = CONF_TEXT, .words = WORDS("off")}},
        .doc = "The path that answers, with 200, where there is no file: for applications that run in the "
               "browser and "
               "have paths of their own.",
        .example = IN_A_SITE("fallback /index.html"),
        .default_text = "`off`: 404",
        .apply = apply_fallback,
    },
    {
        .name = "hidden",
        .contexts = IN_SITE | IN_ROUTE,
        .arguments = {{.name = "WHAT", .kind = CONF_CHOICE, .words = WORDS("deny", "allow")}},
        .doc = "Whether files and folders whose names begin with a dot are served.",
        .example = IN_A_SITE("hidden allow"),
        .default_text = "`deny`",
        .apply = apply_hidden,
    },
    {
        .name = "precompressed",
        .elsewhere = "gzip_static brotli_static",
        .contexts = IN_SITE | IN_ROUTE,
        .arguments = {{.name = "SWITCH", .kind = CONF_ON_OFF}},
        .doc = "Whether `a.css.br`, `a.css.zst` or `a.css.gz` is sent for `a.css` to those who accept it.",
        .example = IN_A_SITE("precompressed on"),
        .default_text = "`off`",
        .apply = apply_precompressed,
    },
    {
        .name = "listing",
        .elsewhere = "autoindex",
        .contexts = IN_SITE | IN_ROUTE,
        .arguments = {{.name = "SWITCH", .kind = CONF_ON_OFF}},
        .doc =
            "Whether a folder without an index file answers with a list of what is in it: a page that can be "
            "sorted, or JSON for those who accept that rather than HTML. Names that begin with a dot are "
            "left "
            "out unless `hidden allow`.",
        .example = IN_A_SITE("listing on"),
        .default_text = "`off`: 404",
        .apply = apply_listing,
    },
    {
        .name = "compress",
        .elsewhere = "gzip gzip_types brotli compression",
        .contexts = IN_SITE | IN_ROUTE,
        .arguments = {{.name = "TYPE", .kind = CONF_WORD, .words = compress_words, .repeat = 1}},
        .doc =
            "Whether files are compressed for those who accept it: with Brotli, Zstandard or gzip, whichever "
            "the client prefers, in this order. `on`: the usual types of text. Otherwise the media types, "
            "such as "
            "`text/html` or `text/*`. A file is compressed once and kept for a while, 64 MiB of them in each "
            "worker; files above 4 MiB are sent as they are. Answers of a `proxy` pass as they come, so in a "
            "block that only passes on it is a mistake.",
        .example = IN_A_SITE("compress on"),
        .default_text = "`off`",
        .apply = apply_compress,
    },
    {
        .name = "compress_min",
        .elsewhere = "gzip_min_length",
        .contexts = IN_SITE | IN_ROUTE,
        .arguments = {{.name = "SIZE", .kind = CONF_SIZE, .max = 1 << 30}},
        .doc = "Files smaller than this are not compressed.",
        .example = IN_A_SITE("compress on\n    compress_min 256"),
        .default_text = "`1k`",
        .apply = apply_compress_min,
    },
    {
        .name = "cache",
        .elsewhere = "expires",
        .contexts = IN_SITE | IN_ROUTE,
        .arguments = {{.name = "TIME", .kind = CONF_DURATION, .max = YEAR_MS, .words = cache_words},
                      {.kind = CONF_FLAG, .keyword = "private", .optional = 1},
                      {.kind = CONF_FLAG, .keyword = "immutable", .optional = 1}},
        .doc =
            "How long browsers and caches may keep a response: the header Cache-Control. `revalidate`: they "
            "ask each "
            "time whether it is still good. `off`: they keep nothing. `private`: the browser alone keeps it. "
            "`immutable`: the browser does not ask, not even when the page is loaded anew.",
        .example = IN_A_SITE("cache 1h"),
        .default_text = "no such header",
        .apply = apply_cache,
    },
    {
        .name = "header",
        .elsewhere = "add_header",
        .contexts = IN_SITE | IN_ROUTE,
        .arguments = {{.name = "CHANGE", .kind = CONF_CHOICE, .words = header_changes},
                      {.name = "NAME", .kind = CONF_WORD},
                      {.name = "VALUE", .kind = CONF_TEXT, .optional = 1}},
        .repeat = 1,
        .doc = "Changes the header of every response, of errors, too. `set` replaces what is there, `add` "
               "leaves it and "
               "adds one more, `remove` takes it away. The value may have values of the request in it. "
               "Changes of "
               "outer blocks come first.",
        .example = IN_A_SITE("header set X-Frame-Options DENY\n    header remove Server"),
        .apply = apply_header,
    },
    {
        .name = "request_header",
        .elsewhere = "proxy_set_header",
        .contexts = IN_SITE | IN_ROUTE,
        .arguments = {{.name = "CHANGE", .kind = CONF_CHOICE, .words = header_changes},
                      {.name = "NAME", .kind = CONF_WORD},
                      {.name = "VALUE", .kind = CONF_TEXT, .optional = 1}},
        .repeat = 1,
        .doc = "Changes the header of requests that `proxy` sends on, in the same way: also what this server "
               "adds itself, such as `X-Forwarded-Proto`. `set` and `remove` take away the client's own in "
               "spellings with `_`, too. What belongs to one connection, and the framing, cannot be changed; "
               "for Host there is `host`.",
        .example = "site :8080 {\n    request_header set X-Real-IP {client.address}\n"
                   "    request_header remove Cookie\n    proxy 127.0.0.1:3000\n}",
        .apply = apply_request_header,
    },
};

const struct directive_table response_directives = {directives, COUNT_OF(directives)};
