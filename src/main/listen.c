/* The listeners that sites and others use, and the `listen` directive: their options. */
#include "main/directives.h"

#include "core/worker.h"
#include "net/proxy_header.h"

#include <string.h>

/* --- what is listened on --- */

static enum core_listener_kind listener_kind(enum conf_address_kind kind)
{
    switch (kind) {
    case CONF_ADDRESS_IPV4:
        return CORE_LISTENER_IPV4;
    case CONF_ADDRESS_IPV6:
        return CORE_LISTENER_IPV6;
    case CONF_ADDRESS_UNIX:
        return CORE_LISTENER_UNIX;
    case CONF_ADDRESS_ANY:
    case CONF_ADDRESS_NAME:
        break;
    }
    return CORE_LISTENER_ANY;
}

static int is_wildcard(const struct core_listener *listener)
{
    return listener->kind == CORE_LISTENER_ANY || strncmp(listener->text, "0.0.0.0:", 8) == 0 ||
           strncmp(listener->text, "[::]:", 5) == 0;
}

/* The kernel refuses to bind both of two addresses of which one contains the other (and the port is the
 * same). */
static int overlap(const struct core_listener *a, const struct core_listener *b)
{
    if (a->kind == CORE_LISTENER_UNIX || b->kind == CORE_LISTENER_UNIX)
        return 0;
    if (strcmp(strrchr(a->text, ':'), strrchr(b->text, ':')) != 0)
        return 0;
    if (a->kind == CORE_LISTENER_ANY || b->kind == CORE_LISTENER_ANY)
        return 1;
    return a->kind == b->kind && (is_wildcard(a) || is_wildcard(b));
}

/* Sites share a listener; what passes bytes on has one for itself. */
static int share(const struct build *build, const struct conf_statement *statement,
                 const struct conf_value *value, int number, uint8_t class_tag)
{
    if (build->core->listeners[number].class_tag == CONN_CLASS_HTTP && class_tag == CONN_CLASS_HTTP)
        return number;
    char hint[600];
    struct text text;
    struct conf_node node = build->listener_nodes[number];
    text_init(&text, hint, sizeof hint);
    if (node.index == statement->node.index)
        text_add_f(&text, "this %s has it twice", conf_name(node));
    else
        text_add_f(&text, "the %s in line %u of %s listens there", conf_name(node), conf_line(node),
                   conf_file(node));
    conf_refuse_value(statement, value, hint, "\"%s\" is taken", value->text);
    return -1;
}

int listener_of(struct build *build, const struct conf_statement *statement, const struct conf_value *value,
                const struct conf_address *bind, uint8_t class_tag)
{
    struct core_settings *core = build->core;
    struct core_listener listener = {.kind = listener_kind(bind->kind), .class_tag = class_tag};
    struct text text;
    text_init(&text, listener.text, sizeof listener.text);
    conf_format_address(&text, bind);
    if (text.overflow || conf_address_to_sockaddr(bind, &listener.address, &listener.length))
        return -1;
    for (size_t i = 0; i < core->listener_count; i++) {
        if (strcmp(core->listeners[i].text, listener.text) == 0)
            return share(build, statement, value, (int)i, class_tag);
    }
    for (size_t i = 0; i < core->listener_count; i++) {
        if (!overlap(&core->listeners[i], &listener))
            continue;
        conf_refuse_value(statement, value,
                          class_tag == CONN_CLASS_HTTP && core->listeners[i].class_tag == CONN_CLASS_HTTP
                              ? "only one of them can be bound: use the wider one for all sites"
                              : "only one of them can be bound: take another port",
                          "%s and %s overlap", listener.text, core->listeners[i].text);
        return -1;
    }
    if (core->listener_count == CORE_LISTENERS_MAX) {
        conf_refuse_value(statement, value, NULL, "this would be more than %d listeners", CORE_LISTENERS_MAX);
        return -1;
    }
    build->listener_nodes[core->listener_count] = statement->node;
    core->listeners[core->listener_count] = listener;
    return (int)core->listener_count++;
}

/* --- options --- */

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

/* Who speaks for others on this listener: networks on TCP, everybody or nobody on a Unix socket. */
static void take_speaker(struct listen_build *listen, const struct conf_statement *statement,
                         const struct conf_value *value, const struct client_net *net)
{
    struct core_listener *options = &listen->options;
    const int is_unix = strcmp(value->text, "unix") == 0;
    if (is_unix && listen->address.kind != CONF_ADDRESS_UNIX)
        conf_refuse_value(statement, value, "a network, such as 10.0.0.0/8, or one address",
                          "nobody comes to \"%.200s\" over a Unix socket", conf_arg(listen->node, 0));
    else if (!is_unix && listen->address.kind == CONF_ADDRESS_UNIX)
        conf_refuse_value(statement, value, "such as: proxy_protocol from unix",
                          "whoever comes to \"%.200s\" has no address", conf_arg(listen->node, 0));
    else if (is_unix)
        options->header_from_unix = 1;
    else if (options->header_net_count == CORE_HEADER_NETS_MAX)
        conf_refuse_value(statement, value, NULL, "this would be more than %d networks",
                          CORE_HEADER_NETS_MAX);
    else
        options->header_nets[options->header_net_count++] = *net;
}

static int apply_proxy_protocol(void *into, const struct conf_statement *statement, void **child)
{
    struct listen_build *listen = into;
    (void)child;
    for (size_t i = 0; i < statement->counts[1]; i++) {
        const struct conf_value *value = &statement->values[1][i];
        struct client_net net = {0};
        if (value->word >= 0 || !build_take_net(statement, value, &net))
            take_speaker(listen, statement, value, &net);
    }
    listen->options.header_ms = conf_value(statement, 2) ? NUMBER_OF(statement, 2) : PROXY_HEADER_MS;
    return 0;
}

/* The listener of an address, or -1: nobody uses it. */
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
    text_add_c(&text, "listened on are ");
    for (size_t i = 0; i < build->core->listener_count && i < 4; i++)
        text_add_f(&text, "%s%s", i ? ", " : "", build->core->listeners[i].text);
    text_add_c(&text, build->core->listener_count > 4 ? " and others" : "");
    diagnostics_add(diagnostics, &place, build->core->listener_count ? hint : NULL,
                    "nothing listens on \"%.200s\"", conf_arg(node, 0));
}

static void take_options(const struct build *build, struct core_listener *listener, size_t number,
                         const struct core_listener *options)
{
    listener->accept = options->accept;
    listener->backlog = options->backlog;
    listener->mode = options->mode;
    listener->header_from_unix = options->header_from_unix;
    listener->header_net_count = options->header_net_count;
    memcpy(listener->header_nets, options->header_nets, sizeof listener->header_nets);
    listener->header_ms = options->header_ms;
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
        .elsewhere = "bind",
        .contexts = AT_TOP,
        .arguments = {{.name = "ADDRESS", .kind = CONF_LISTEN_ADDRESS}},
        .opens = CONTEXT_LISTEN,
        .repeat = 1,
        .doc = "Options of a listener: `[IP]:PORT` or `unix:/PATH`. What is listened on is said by the "
               "sites and by `tcp`; this address must be one of theirs.",
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
        .name = "proxy_protocol",
        .contexts = IN_LISTEN,
        .arguments = {{.name = "from", .kind = CONF_CHOICE, .words = WORDS("from")},
                      {.name = "NET", .kind = CONF_WORD, .words = WORDS("unix"), .repeat = 1},
                      {.name = "TIME",
                       .kind = CONF_DURATION,
                       .keyword = "timeout",
                       .optional = 1,
                       .min = 1,
                       .max = DAY_MS}},
        .doc = "Whoever connects from these networks (`unix`: all, on a Unix socket) is a proxy that begins "
               "each connection with a header of the PROXY protocol, version 1 or 2, which says who its "
               "client is: that one's address counts from then on, everywhere. A connection of theirs "
               "without a proper header, or on which it is not whole within `timeout`, is closed, and the "
               "log says why. Connections from elsewhere are ordinary ones: no header of theirs is "
               "believed ([proxy-protocol.md](proxy-protocol.md)).",
        .example = IN_A_LISTEN("proxy_protocol from 10.0.0.0/8 192.0.2.7"),
        .default_text = "nobody's; `timeout 5s`",
        .apply = apply_proxy_protocol,
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
