/* The `listen` directive: options of a listener that sites use. */
#include "main/directives.h"

#include <string.h>

static int same_address(const struct conf_address *a, const struct conf_address *b)
{
    return a->kind == b->kind && a->port == b->port && strcmp(a->host, b->host) == 0 &&
           strcmp(a->path, b->path) == 0;
}

static const struct listen_build *find_block(const struct build *build, const struct conf_address *address)
{
    const struct listen_build *listen = build->first_listen;
    while (listen && !same_address(&listen->address, address))
        listen = listen->next;
    return listen;
}

static int apply_listen(void *into, const struct conf_statement *statement, void **child)
{
    struct build *build = into;
    const struct conf_value *value = conf_value(statement, 0);
    const struct listen_build *other = find_block(build, &value->address);
    if (other) {
        char hint[600];
        struct text text;
        text_init(&text, hint, sizeof hint);
        text_add_f(&text, "its block is in line %u of %s", conf_line(other->node), conf_file(other->node));
        conf_refuse_value(statement, value, hint, "\"%s\" has its options already", value->text);
        return 0;
    }
    struct listen_build *listen = storage_take(&build->http->storage, sizeof *listen);
    if (!listen)
        return ERR_NO_MEMORY;
    *listen = (struct listen_build){.build = build, .node = statement->node, .address = value->address};
    *build->listen_end = listen;
    build->listen_end = &listen->next;
    *child = listen;
    return 0;
}

static int apply_backlog(void *into, const struct conf_statement *statement, void **child)
{
    (void)child;
    ((struct listen_build *)into)->options.backlog = (uint32_t)NUMBER_OF(statement, 0);
    return 0;
}

static int apply_accept(void *into, const struct conf_statement *statement, void **child)
{
    struct listen_build *listen = into;
    const struct conf_value *value = conf_value(statement, 0);
    (void)child;
    listen->options.accept = (enum core_accept)value->word;
    if (listen->options.accept == CORE_ACCEPT_REUSEPORT && listen->address.kind == CONF_ADDRESS_UNIX)
        conf_refuse_value(statement, value, "leave it out", "a Unix socket has one queue only");
    return 0;
}

static void refuse_unless_unix(struct listen_build *listen, const struct conf_statement *statement)
{
    if (listen->address.kind != CONF_ADDRESS_UNIX)
        conf_refuse(statement, "leave it out", "only a Unix socket has \"%s\"", conf_name(statement->node));
}

static int apply_mode(void *into, const struct conf_statement *statement, void **child)
{
    struct listen_build *listen = into;
    const struct conf_value *value = conf_value(statement, 0);
    mode_t mode = 0;
    (void)child;
    size_t digits = strspn(value->text, "01234567");
    for (size_t i = 0; i < digits && i < 4; i++)
        mode = mode * 8 + (mode_t)(value->text[i] - '0');
    if (value->text[digits] || digits < 3 || digits > 4 || mode > 0777 || !mode)
        conf_refuse_value(statement, value, "three digits from 0 to 7, such as 0660", "\"%.200s\" is no mode",
                          value->text);
    refuse_unless_unix(listen, statement);
    listen->options.mode = mode;
    return 0;
}

static int apply_owner(void *into, const struct conf_statement *statement, void **child)
{
    struct listen_build *listen = into;
    const struct conf_value *value = conf_value(statement, 0);
    (void)child;
    refuse_unless_unix(listen, statement);
    const char *colon = strchr(value->text, ':');
    if (colon && (colon == value->text || !colon[1] || strchr(colon + 1, ':')))
        conf_refuse_value(statement, value, "such as www-data, or www-data:adm", "\"%.200s\" is no owner",
                          value->text);
    else if (listen->build->lookup)
        lookup_owner(listen->build->lookup, statement, value, &listen->options.owner,
                     &listen->options.owner_group);
    listen->options.has_owner = 1;
    return 0;
}

/* The listener of an address, or -1: no site uses it. */
static int find_listener(const struct core_settings *core, const struct conf_address *address)
{
    char name[CORE_LISTENER_TEXT_MAX];
    struct text text;
    text_init(&text, name, sizeof name);
    conf_format_address(&text, address);
    for (size_t i = 0; i < core->listener_count; i++) {
        if (strcmp(core->listeners[i].text, name) == 0)
            return (int)i;
    }
    return -1;
}

static void refuse_unused(const struct build *build, struct conf_node node, struct diagnostics *diagnostics)
{
    char hint[320];
    struct text text;
    struct diagnostic_place place = conf_arg_place(node, 0);
    text_init(&text, hint, sizeof hint);
    text_add_c(&text, "sites listen on ");
    for (size_t i = 0; i < build->core->listener_count && i < 4; i++)
        text_add_f(&text, "%s%s", i ? ", " : "", build->core->listeners[i].text);
    text_add_c(&text, build->core->listener_count > 4 ? " and others" : "");
    diagnostics_add(diagnostics, &place, build->core->listener_count ? hint : NULL,
                    "no site listens on \"%.200s\"", conf_arg(node, 0));
}

static void take_options(const struct build *build, struct core_listener *listener, size_t number,
                         const struct core_listener *options)
{
    listener->accept = options->accept;
    listener->backlog = options->backlog;
    listener->mode = options->mode;
    if (!options->has_owner)
        return;
    if (build->lookup) {
        build->lookup->resolved->owners[number] = options->owner;
        build->lookup->resolved->owner_groups[number] = options->owner_group;
    }
    listener->has_owner = build->resolved != NULL;
    listener->owner = build->resolved ? build->resolved->owners[number] : CORE_NOBODY;
    listener->owner_group = build->resolved ? build->resolved->owner_groups[number] : CORE_NOBODY;
}

static size_t queue_count(const struct core_settings *core)
{
    size_t count = 0;
    for (size_t i = 0; i < core->listener_count; i++)
        count += core->listeners[i].accept == CORE_ACCEPT_REUSEPORT ? core->workers : 1;
    return count;
}

void listen_finish(struct build *build, struct diagnostics *diagnostics)
{
    for (const struct listen_build *listen = build->first_listen; listen; listen = listen->next) {
        int number = find_listener(build->core, &listen->address);
        if (number < 0)
            refuse_unused(build, listen->node, diagnostics);
        else
            take_options(build, &build->core->listeners[number], (size_t)number, &listen->options);
    }
    if (queue_count(build->core) > CORE_QUEUES_MAX) {
        struct diagnostic_place place = conf_place(build->first_listen->node);
        diagnostics_add(diagnostics, &place, "fewer listeners with \"accept reuseport\", or fewer workers",
                        "%u workers would have %zu queues, more than %d", build->core->workers,
                        queue_count(build->core), CORE_QUEUES_MAX);
    }
}

#define IN_A_LISTEN(line) "listen :8080 {\n    " line "\n}\nsite :8080 {\n    files /srv/www\n}"
#define IN_A_UNIX_LISTEN(line)                                                                               \
    "listen unix:/run/web.sock {\n    " line "\n}\nsite unix:/run/web.sock {\n    files /srv/www\n}"

static const struct directive directives[] = {
    {
        .name = "listen",
        .contexts = AT_TOP,
        .arguments = {{.name = "ADDRESS", .kind = CONF_LISTEN_ADDRESS}},
        .opens = CONTEXT_LISTEN,
        .repeat = 1,
        .doc = "Options of a listener: `[IP]:PORT` or `unix:/PATH`. What is listened on is said by the "
               "sites; this "
               "address must be one of theirs.",
        .example = IN_A_LISTEN("backlog 1024"),
        .apply = apply_listen,
    },
    {
        .name = "accept",
        .contexts = IN_LISTEN,
        .arguments = {{.name = "HOW", .kind = CONF_CHOICE, .words = WORDS("shared", "reuseport")}},
        .doc =
            "`shared`: one queue, from which all workers take; whoever is free takes the next client. "
            "`reuseport`: a queue for each worker, among which the kernel chooses by lot: it spreads many "
            "short "
            "connections evenly, but a client may wait behind a busy worker while others are idle. A queue "
            "passes to the next worker when its own dies, and new clients are led around a worker that "
            "cannot "
            "take any.",
        .example = IN_A_LISTEN("accept reuseport"),
        .default_text = "`shared`",
        .apply = apply_accept,
    },
    {
        .name = "backlog",
        .contexts = IN_LISTEN,
        .arguments = {{.name = "N", .kind = CONF_COUNT, .min = 1, .max = CORE_BACKLOG_MAX}},
        .doc = "How many connections may wait to be accepted. The kernel cuts it to `net.core.somaxconn`.",
        .example = IN_A_LISTEN("backlog 1024"),
        .default_text = "`4096`",
        .apply = apply_backlog,
    },
    {
        .name = "mode",
        .contexts = IN_LISTEN,
        .arguments = {{.name = "MODE", .kind = CONF_WORD}},
        .doc = "Who may connect to a Unix socket: the mode of its path, in octal.",
        .example = IN_A_UNIX_LISTEN("mode 0660"),
        .default_text = "`0666`",
        .apply = apply_mode,
    },
    {
        .name = "owner",
        .contexts = IN_LISTEN,
        .arguments = {{.name = "USER[:GROUP]", .kind = CONF_WORD}},
        .doc = "Whom the path of a Unix socket belongs to, by names or numbers. Without GROUP it is the "
               "user's own.",
        .example = IN_A_UNIX_LISTEN("owner www-data:www-data"),
        .default_text = "who starts the server",
        .apply = apply_owner,
    },
};

const struct directive_table listen_directives = {directives, COUNT_OF(directives)};
