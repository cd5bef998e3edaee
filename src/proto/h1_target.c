/* HTTP/1: targets that are not a plain path, and hosts (RFC 9112 section 3.2, RFC 9110 section 7.2). */
#include "proto/h1_internal.h"

#include <arpa/inet.h>

#define HOST_LENGTH_MAX 255

static int port_parse(struct slice text, uint16_t *port)
{
    uint32_t value = 0;
    if (text.length > 5)
        return ERR_SYNTAX;
    for (size_t i = 0; i < text.length; i++) {
        if (text.at[i] < '0' || text.at[i] > '9')
            return ERR_SYNTAX;
        value = value * 10 + (uint32_t)(text.at[i] - '0');
    }
    if (value > UINT16_MAX || (text.length > 0 && value == 0))
        return ERR_SYNTAX;
    *port =
        (uint16_t)value; /* "host:" has an empty port, which is the default one (RFC 3986 section 3.2.3) */
    return 0;
}

/* The end of "[IPv6]" at the start of the text, or NULL. */
static const char *skip_bracketed(struct slice text)
{
    char address[INET6_ADDRSTRLEN];
    struct in6_addr ignored;
    const char *close = memchr(text.at, ']', text.length);
    size_t length = close ? (size_t)(close - text.at) - 1 : 0;
    if (length == 0 || length >= sizeof(address))
        return NULL;
    memcpy(address, text.at + 1, length);
    address[length] = '\0';
    return inet_pton(AF_INET6, address, &ignored) == 1 ? close + 1 : NULL;
}

/* The end of a name or IPv4 address at the start of the text, or NULL. */
static const char *skip_name(struct slice text)
{
    const char *end = text.at + text.length, *at = text.at;
    char previous = '.'; /* a dot is refused where a label would be empty */
    for (; at < end && h1_byte_is(*at, H1_IN_HOST); at++) {
        if (*at == '.' && previous == '.')
            return NULL;
        previous = *at;
    }
    return at == text.at || at - text.at > HOST_LENGTH_MAX ? NULL : at;
}

int h1_authority_parse(struct slice authority, struct slice *host, uint16_t *port)
{
    const char *end = authority.at + authority.length, *at;
    if (authority.length == 0)
        return ERR_SYNTAX;
    at = *authority.at == '[' ? skip_bracketed(authority) : skip_name(authority);
    if (at == NULL)
        return ERR_SYNTAX;
    *host = h1_slice(authority.at, at);
    *port = 0;
    if (at == end)
        return 0;
    return *at == ':' ? port_parse(h1_slice(at + 1, end), port) : ERR_SYNTAX;
}

/* The path and the query behind the authority. */
static enum h1_refusal take_path(struct h1_head *head, const char *at, const char *end)
{
    const char *from = at;
    at = h1_skip_class(from, end, H1_IN_PATH);
    head->path = h1_slice(from, at);
    if (at < end && *at == '?') {
        head->query = h1_slice(at + 1, end);
        head->has_query = 1;
        at = end;
    }
    if (at < end)
        return H1_REFUSE_BAD_TARGET;
    if (head->path.length > 0)
        return H1_REFUSE_NOTHING;
    if (head->method == H1_OPTIONS && !head->has_query) {
        head->form = H1_ASTERISK_FORM;
        head->path = SLICE_LITERAL("*");
    } else {
        head->path = SLICE_LITERAL("/");
    }
    return H1_REFUSE_NOTHING;
}

static enum h1_refusal parse_absolute_form(struct h1_head *head, size_t scheme_length)
{
    const char *from = head->target.at + scheme_length, *end = head->target.at + head->target.length, *at;
    for (at = from; at < end && *at != '/' && *at != '?'; at++)
        continue;
    /* Userinfo is an error in itself (RFC 9110 section 4.2.4); '@' is in no host. */
    if (h1_authority_parse(h1_slice(from, at), &head->host, &head->host_port) != 0)
        return H1_REFUSE_BAD_TARGET;
    head->form = H1_ABSOLUTE_FORM;
    return take_path(head, at, end);
}

static int has_scheme(struct slice target, struct slice scheme)
{
    return target.length >= scheme.length &&
           slice_equals_nocase((struct slice){target.at, scheme.length}, scheme);
}

enum h1_refusal h1_target_parse(struct h1_head *head)
{
    if (head->method == H1_CONNECT) { /* the port is a must (RFC 9110 section 9.3.6) */
        head->form = H1_AUTHORITY_FORM;
        return h1_authority_parse(head->target, &head->host, &head->host_port) == 0 && head->host_port != 0
                   ? H1_REFUSE_NOTHING
                   : H1_REFUSE_BAD_TARGET;
    }
    if (head->method == H1_OPTIONS && slice_equals(head->target, SLICE_LITERAL("*"))) {
        head->form = H1_ASTERISK_FORM;
        head->path = head->target;
        return H1_REFUSE_NOTHING;
    }
    if (has_scheme(head->target, SLICE_LITERAL("http://")))
        return parse_absolute_form(head, sizeof("http://") - 1);
    if (has_scheme(head->target, SLICE_LITERAL("https://")))
        return parse_absolute_form(head, sizeof("https://") - 1);
    return H1_REFUSE_BAD_TARGET;
}
