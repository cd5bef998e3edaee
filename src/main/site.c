/* The `site` directive: a new site, its listeners, and who answers for which name on them. */
#include "main/directives.h"

#include "core/worker.h"

#include <stdlib.h>
#include <string.h>

#define DEFAULT_PORT 80

/* A name is served on every address of the machine; everything else is what is listened on. */
static struct conf_address address_to_bind(const struct conf_address *address)
{
    struct conf_address bind = *address;
    if (bind.kind == CONF_ADDRESS_NAME) {
        bind.kind = CONF_ADDRESS_ANY;
        bind.host[0] = '\0';
    }
    if (bind.kind != CONF_ADDRESS_UNIX && !bind.port)
        bind.port = DEFAULT_PORT;
    return bind;
}

static int has_address(const struct http_site *site, uint32_t listener, const char *host)
{
    for (size_t i = 0; i < site->address_count; i++) {
        if (site->addresses[i].listener == listener && strcmp(site->addresses[i].host, host) == 0)
            return 1;
    }
    return 0;
}

/* True if some site has this name on this listener already; reported. */
static int is_taken(const struct build *build, const struct conf_statement *statement,
                    const struct conf_value *value, uint32_t listener, const char *host)
{
    for (size_t i = 0; i < build->http->site_count; i++) {
        if (!has_address(&build->http->sites[i], listener, host))
            continue;
        char hint[600];
        struct text text;
        text_init(&text, hint, sizeof hint);
        if (i + 1 == build->http->site_count)
            text_add_c(&text, "this site has it twice");
        else
            text_add_f(&text, "the site in line %u of %s has it", conf_line(build->site_nodes[i]),
                       conf_file(build->site_nodes[i]));
        conf_refuse_value(statement, value, hint, "\"%s\" is taken", value->text);
        return 1;
    }
    return 0;
}

static int add_address(struct build *build, struct http_site *site, const struct conf_statement *statement,
                       const struct conf_value *value)
{
    const char *host = value->address.kind == CONF_ADDRESS_NAME ? value->address.host : "";
    struct conf_address bind = address_to_bind(&value->address);
    int listener = listener_of(build, statement, value, &bind, CONN_CLASS_HTTP);
    if (listener < 0 || is_taken(build, statement, value, (uint32_t)listener, host))
        return 0;
    if (build->address_count == HTTP_ADDRESSES_MAX) {
        conf_refuse_value(statement, value, NULL, "this would be more than %d addresses of sites",
                          HTTP_ADDRESSES_MAX);
        return 0;
    }
    char *copy = strdup(host);
    if (!copy)
        return ERR_NO_MEMORY;
    site->addresses[site->address_count++] = (struct http_site_address){(uint32_t)listener, copy};
    build->address_count++;
    return 0;
}

/* A new, empty site at the end of the list; NULL: no memory. */
static struct http_site *add_site(struct build *build, const struct conf_statement *statement)
{
    struct http_config *http = build->http;
    size_t count = http->site_count + 1;
    struct http_site *sites = realloc(http->sites, count * sizeof *sites);
    if (!sites)
        return NULL;
    http->sites = sites;
    struct conf_node *nodes = realloc(build->site_nodes, count * sizeof *nodes);
    if (!nodes)
        return NULL;
    build->site_nodes = nodes;
    struct http_site_address *addresses = calloc(statement->counts[0], sizeof *addresses);
    if (!addresses)
        return NULL;
    sites[count - 1] = (struct http_site){.addresses = addresses};
    nodes[count - 1] = statement->node;
    http->site_count = count;
    return &sites[count - 1];
}

static void add_words(struct text *out, const struct conf_statement *statement)
{
    for (size_t i = 0; i < statement->counts[0]; i++)
        text_add_f(out, "%s%s", i ? " " : "", statement->values[0][i].text);
}

static int apply_site(void *into, const struct conf_statement *statement, void **child)
{
    struct build *build = into;
    char words[256];
    struct text text;
    if (build->http->site_count == HTTP_SITES_MAX) {
        conf_refuse(statement, NULL, "this would be more than %d sites", HTTP_SITES_MAX);
        return 0;
    }
    struct http_site *site = add_site(build, statement);
    text_init(&text, words, sizeof words);
    add_words(&text, statement);
    struct block_build *block = site ? block_new(&build->top, statement, words) : NULL;
    if (!block)
        return ERR_NO_MEMORY;
    site->route = block->route;
    for (size_t i = 0; i < statement->counts[0]; i++) {
        int error = add_address(build, site, statement, &statement->values[0][i]);
        if (error)
            return error;
    }
    *child = block;
    return 0;
}

static int finish_site(void *child, const struct conf_statement *statement)
{
    const struct block_build *block = child;
    struct http_config *http = block->build->http;
    struct http_site *site = &http->sites[http->site_count - 1];
    if (!site->index)
        site->index = strdup("index.html");
    return site->index ? block_finish(child, statement) : ERR_NO_MEMORY;
}

static const struct directive directives[] = {
    {
        .name = "site",
        .elsewhere = "server_name frontend",
        .contexts = AT_TOP,
        .arguments = {{.name = "ADDRESS", .kind = CONF_SITE_ADDRESS, .repeat = 1}},
        .opens = CONTEXT_SITE,
        .repeat = 1,
        .required = 1,
        .unless = "tcp",
        .doc = "A site and where it is reached: `[HOST][:PORT]` or `unix:/PATH`. Without HOST it answers "
               "every name that no other site has, on all addresses of the machine; HOST can be a name, or "
               "an IP "
               "address to listen on. Without PORT it is 80. What is said in it answers for all paths that "
               "no route "
               "in it takes; if nothing answers, it is 404.",
        .example = "site example.com :8080 {\n    files /srv/www\n}",
        .apply = apply_site,
        .finish = finish_site,
    },
};

const struct directive_table site_directives = {directives, COUNT_OF(directives)};
