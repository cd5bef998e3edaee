#include "http/client.h"

#include "proto/address.h"

#include <string.h>

int client_is_trusted(const struct sockaddr_storage *address, const struct client_net *trusted, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (client_net_has(&trusted[i], address))
            return 1;
    return 0;
}

/* --- one element --- */

/* What stands behind the address: nothing, or a port, which RFC 7239 section 6.3 lets be a made-up word. */
static int parse_port(struct slice text, uint16_t *port)
{
    uint64_t value = 0;

    *port = 0;
    if (!text.length)
        return 0;
    text = (struct slice){text.at + 1, text.length - 1};
    if (text.at[-1] != ':' || !text.length)
        return ERR_SYNTAX;
    if (*text.at != '_' && (slice_to_u64(text, &value) || value > UINT16_MAX))
        return ERR_SYNTAX;
    *port = (uint16_t)value;
    return 0;
}

/* 0 and *address, or ERR_SYNTAX. */
static int parse_node(struct slice text, struct sockaddr_storage *address)
{
    const char *colon = text.length ? memchr(text.at, ':', text.length) : NULL;
    struct slice host = text;
    uint8_t bytes[16];
    uint16_t port;
    int is_ipv6 = colon && memchr(colon + 1, ':', (size_t)(text.at + text.length - colon) - 1);

    if (text.length && *text.at == '[') {
        const char *close = memchr(text.at, ']', text.length);

        if (!close)
            return ERR_SYNTAX;
        host = (struct slice){text.at + 1, (size_t)(close - text.at) - 1};
        text = (struct slice){close + 1, text.length - host.length - 2};
        is_ipv6 = 1;
    } else {
        host.length = colon && !is_ipv6 ? (size_t)(colon - text.at) : text.length;
        text = (struct slice){text.at + host.length, text.length - host.length};
    }
    if (address_parse(host, is_ipv6, bytes) || parse_port(text, &port))
        return ERR_SYNTAX;
    *address = client_sockaddr(bytes, port);
    return 0;
}

/* --- Forwarded (RFC 7239 section 4) --- */

/* A colon has to be in quotes (RFC 7239 section 6), but there are proxies that do without; what structure hangs on has to be. */
static int is_plain(char byte)
{
    return byte && !strchr("\",;= \t", byte);
}

static size_t plain_length(struct slice text, size_t from)
{
    size_t at = from;

    while (at < text.length && is_plain(text.at[at]))
        at++;
    return at - from;
}

/* Takes name=value off the front: 0, *name, and *value without its quotes; ERR_SYNTAX. */
static int next_pair(struct slice *rest, struct slice *name, struct slice *value)
{
    size_t at = plain_length(*rest, 0), from;

    *name = (struct slice){rest->at, at};
    if (!at || at == rest->length || rest->at[at++] != '=')
        return ERR_SYNTAX;
    from = at;
    if (at < rest->length && rest->at[at] == '"') {
        for (from = ++at; at < rest->length && rest->at[at] != '"'; at++)
            at += rest->at[at] == '\\';
        if (at >= rest->length)
            return ERR_SYNTAX;
        *value = (struct slice){rest->at + from, at++ - from};
    } else {
        at += plain_length(*rest, at);
        *value = (struct slice){rest->at + from, at - from};
    }
    *rest = (struct slice){rest->at + at, rest->length - at};
    return 0;
}

/* The address that the element's one `for` names. 0 or ERR_SYNTAX, also where anything else of it is out of shape. */
static int parse_forwarded(struct slice element, struct sockaddr_storage *address)
{
    int has_one = 0;

    for (;;) {
        struct slice name, value;

        if (next_pair(&element, &name, &value))
            return ERR_SYNTAX;
        if (slice_equals_nocase(name, SLICE_LITERAL("for")) && (has_one++ || parse_node(value, address)))
            return ERR_SYNTAX;
        element = slice_trim(element);
        if (!element.length)
            return has_one ? 0 : ERR_SYNTAX;
        if (*element.at != ';')
            return ERR_SYNTAX;
        element = slice_trim((struct slice){element.at + 1, element.length - 1});
    }
}

/* --- lists, from their end --- */

struct list_kind {
    struct slice name;
    int has_quotes; /* a comma in them is none */
    int (*parse)(struct slice element, struct sockaddr_storage *address);
};

static int is_escaped(const char *begin, const char *at)
{
    size_t backslashes = 0;

    while (at - backslashes > begin && at[-1 - (ptrdiff_t)backslashes] == '\\')
        backslashes++;
    return backslashes % 2 == 1;
}

/* Takes the last element off; *rest is empty behind the first one. */
static struct slice last_element(struct slice *rest, int has_quotes)
{
    size_t at = rest->length;
    int is_quoted = 0;
    struct slice element;

    for (; at; at--) {
        const char *byte = rest->at + at - 1;

        if (*byte == ',' && !is_quoted)
            break;
        if (has_quotes && *byte == '"' && !is_escaped(rest->at, byte))
            is_quoted = !is_quoted;
    }
    element = (struct slice){rest->at + at, rest->length - at};
    rest->length = at ? at - 1 : 0;
    return slice_trim(element);
}

/* What a list has come to so far. */
enum found {
    FOUND_NOBODY,  /* nobody is named */
    FOUND_TRUSTED, /* only those who are trusted: the farthest of them */
    FOUND_CLIENT,
    FOUND_JUNK,
};

static enum found find_in_line(const struct list_kind *kind, struct slice line,
                               const struct client_net *trusted, size_t count,
                               struct sockaddr_storage *memory)
{
    enum found found = FOUND_NOBODY;

    while (line.length) {
        const struct slice element = last_element(&line, kind->has_quotes);

        if (!element.length)
            continue;
        if (kind->parse(element, memory))
            return FOUND_JUNK;
        if (!client_is_trusted(memory, trusted, count))
            return FOUND_CLIENT;
        found = FOUND_TRUSTED;
    }
    return found;
}

/* 1, and *found; 0: there is no such line. Later lines are behind earlier ones (RFC 9110 section 5.3), so what a later one
 * comes to counts, unless it leads on. */
static int find_in_lines(const struct list_kind *kind, route_header_fn header, const void *headers,
                         const struct client_net *trusted, size_t count, enum found *found,
                         struct sockaddr_storage *memory)
{
    struct slice line;
    size_t nth = 0;

    *found = FOUND_NOBODY;
    for (; header(headers, kind->name, nth, &line); nth++) {
        struct sockaddr_storage here = {0};
        const enum found in_line = find_in_line(kind, line, trusted, count, &here);

        if (in_line == FOUND_NOBODY || (in_line == FOUND_TRUSTED && *found != FOUND_NOBODY))
            continue;
        *found = in_line;
        *memory = here;
    }
    return nth > 0;
}

const struct sockaddr_storage *client_find(const struct sockaddr_storage *peer,
                                           const struct client_net *trusted, size_t count,
                                           route_header_fn header, const void *headers,
                                           struct sockaddr_storage *memory)
{
    static const struct list_kind forwarded_for = {{"X-Forwarded-For", 15}, 0, parse_node};
    static const struct list_kind forwarded = {{"Forwarded", 9}, 1, parse_forwarded};
    enum found found;

    if (!header || !client_is_trusted(peer, trusted, count))
        return peer;
    if (!find_in_lines(&forwarded_for, header, headers, trusted, count, &found, memory))
        (void)find_in_lines(&forwarded, header, headers, trusted, count, &found, memory);
    return found == FOUND_TRUSTED || found == FOUND_CLIENT ? memory : peer;
}
