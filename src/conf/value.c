#include "conf/value.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/un.h>

#define DURATION_MAX_MS (3650ULL * 86400000ULL)

struct unit {
    const char *name;
    uint64_t factor;
};

static const struct unit size_units[] = {{"g", 1ULL << 30}, {"m", 1ULL << 20}, {"k", 1ULL << 10}, {"", 1}};
static const struct unit duration_units[] = {
    {"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

int conf_parse_count(const char *text, uint64_t *value)
{
    return slice_to_u64(slice_of(text), value);
}

static size_t digits_of(const char *text)
{
    return strspn(text, "0123456789");
}

/* Digits with one of the units behind them. ERR_SYNTAX if it is not that, ERR_LIMIT past 2^63-1. */
static int parse_with_unit(const char *text, const struct unit *units, size_t count, uint64_t *value)
{
    size_t digits = digits_of(text);
    const struct unit *unit = NULL;
    for (size_t i = 0; i < count && !unit; i++) {
        if (strcmp(text + digits, units[i].name) == 0)
            unit = &units[i];
    }
    if (!unit)
        return ERR_SYNTAX;
    uint64_t number = 0;
    int error = slice_to_u64((struct slice){text, digits}, &number);
    if (error)
        return error;
    if (number > (uint64_t)INT64_MAX / unit->factor)
        return ERR_LIMIT;
    *value = number * unit->factor;
    return 0;
}

int conf_parse_size(const char *text, uint64_t *bytes)
{
    return parse_with_unit(text, size_units, COUNT_OF(size_units), bytes);
}

int conf_parse_duration(const char *text, uint64_t *milliseconds)
{
    size_t digits = digits_of(text);
    if (digits && !text[digits])
        return ERR_INVALID;
    int error = parse_with_unit(text, duration_units, COUNT_OF(duration_units), milliseconds);
    if (error)
        return error;
    return *milliseconds > DURATION_MAX_MS ? ERR_LIMIT : 0;
}

int conf_parse_switch(const char *text, int *on)
{
    *on = strcmp(text, "on") == 0;
    return *on || strcmp(text, "off") == 0 ? 0 : ERR_SYNTAX;
}

static void format_with_unit(struct text *out, uint64_t value, const struct unit *units, size_t count)
{
    size_t i = 0;
    while (i + 1 < count && (value == 0 || value % units[i].factor != 0))
        i++;
    text_add_u64(out, value / units[i].factor);
    text_add_c(out, units[i].name);
}

void conf_format_duration(struct text *out, uint64_t milliseconds)
{
    if (milliseconds == 0)
        text_add_c(out, "0s");
    else
        format_with_unit(out, milliseconds, duration_units, COUNT_OF(duration_units));
}

void conf_format_size(struct text *out, uint64_t bytes)
{
    format_with_unit(out, bytes, size_units, COUNT_OF(size_units));
}

void conf_quote(struct text *out, struct slice bytes)
{
    text_add_c(out, "\"");
    for (size_t i = 0; i < bytes.length; i++) {
        char c = bytes.at[i];
        if (c == '\n')
            text_add_c(out, "\\n");
        else if (c == '\t')
            text_add_c(out, "\\t");
        else {
            if (c == '"' || c == '\\' || c == '$')
                text_add_c(out, "\\");
            text_add(out, (struct slice){&c, 1});
        }
    }
    text_add_c(out, "\"");
}

/* Addresses: the parts of one parse. */
struct address_parse {
    const char *problem, *hint;
    enum conf_address_form form;
    struct conf_address *out;
};

static int refuse(struct address_parse *parse, const char *problem, const char *hint)
{
    parse->problem = problem;
    parse->hint = hint;
    return ERR_SYNTAX;
}

static int parse_unix(struct address_parse *parse, const char *path)
{
    if (path[0] != '/')
        return refuse(parse, "needs an absolute path", "such as unix:/run/site.sock");
    /* sun_path, unix(7): 108 bytes with the NUL. */
    if (strlen(path) >= sizeof parse->out->path)
        return refuse(parse, "is longer than the 107 bytes that a Unix socket's path can have", NULL);
    parse->out->kind = CONF_ADDRESS_UNIX;
    memcpy(parse->out->path, path, strlen(path) + 1);
    return 0;
}

static int is_letter_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* A name in lower case of labels as in RFC 1123 section 2.1; '_' is let through because it is in use. */
static int is_host_name(const char *name)
{
    size_t label = 0, length = strlen(name);
    if (length == 0 || length > 253)
        return 0;
    for (size_t i = 0; i <= length; i++) {
        char c = name[i];
        if (c == '.' || c == '\0') {
            if (label == 0 || label > 63 || name[i - 1] == '-' || name[i - label] == '-')
                return 0;
            label = 0;
            continue;
        }
        if (!is_letter_or_digit(c) && c != '-' && c != '_')
            return 0;
        label++;
    }
    return 1;
}

static int parse_name(struct address_parse *parse, char *host)
{
    if (host[strspn(host, "0123456789.")] == '\0')
        return refuse(parse, "is not an IPv4 address", NULL);
    if (parse->form == CONF_ADDRESS_LISTEN)
        return refuse(parse, "needs an IP address, not a name", NULL);
    for (char *c = host; *c; c++) {
        if ((unsigned char)*c >= 0x80)
            return refuse(parse, "has letters beyond ASCII", "write the name as DNS has it, with xn--");
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c + ('a' - 'A'));
    }
    size_t length = strlen(host);
    if (length && host[length - 1] == '.') /* a fully qualified name is the same name */
        host[length - 1] = '\0';
    if (!is_host_name(host))
        return refuse(
            parse, "is not a host name",
            parse->form == CONF_ADDRESS_SITE && strncmp(host, "*.", 2) == 0
                ? "every name: a site without one; in it, a route can match *.example.com as its host"
                : NULL);
    parse->out->kind = CONF_ADDRESS_NAME;
    memcpy(parse->out->host, host, strlen(host) + 1);
    return 0;
}

static int parse_ip(struct address_parse *parse, int family, const char *host)
{
    unsigned char bytes[sizeof(struct in6_addr)];
    if (inet_pton(family, host, bytes) != 1)
        return ERR_SYNTAX;
    /* Written back in the one canonical form, so that equal addresses are equal texts (RFC 5952). */
    if (!inet_ntop(family, bytes, parse->out->host, sizeof parse->out->host))
        return ERR_SYNTAX;
    parse->out->kind = family == AF_INET ? CONF_ADDRESS_IPV4 : CONF_ADDRESS_IPV6;
    return 0;
}

static int parse_host(struct address_parse *parse, struct slice host, int bracketed)
{
    char copy[256];
    if (host.length >= sizeof copy)
        return refuse(parse, "is too long for a host name", NULL);
    memcpy(copy, host.at, host.length);
    copy[host.length] = '\0';
    if (bracketed) {
        if (parse_ip(parse, AF_INET6, copy))
            return refuse(parse, "is not an IPv6 address", NULL);
        return 0;
    }
    if (host.length == 0) {
        if (parse->form == CONF_ADDRESS_UPSTREAM)
            return refuse(parse, "needs a host before its port", "such as 127.0.0.1:3000");
        parse->out->kind = CONF_ADDRESS_ANY;
        return 0;
    }
    if (strcmp(copy, "*") == 0)
        return refuse(parse, "has * for its host",
                      "every address of the machine is written without one: :8080");
    if (memchr(copy, ':', host.length))
        return refuse(parse, "has too many colons", "an IPv6 address stands in brackets: [::1]:8080");
    if (parse_ip(parse, AF_INET, copy) == 0)
        return 0;
    return parse_name(parse, copy);
}

static int parse_port(struct address_parse *parse, const char *text)
{
    uint64_t port = 0;
    if (slice_to_u64(slice_of(text), &port) || port < 1 || port > 65535)
        return refuse(parse, "has a port that is not a number from 1 to 65535", NULL);
    parse->out->port = (uint16_t)port;
    return 0;
}

static int parse_host_and_port(struct address_parse *parse, const char *text)
{
    int bracketed = text[0] == '[';
    const char *close = bracketed ? strchr(text, ']') : NULL;
    if (bracketed && !close)
        return refuse(parse, "has no ] after its [", NULL);
    const char *colon = strrchr(bracketed ? close : text, ':');
    if (bracketed && close[1] && colon != close + 1)
        return refuse(parse, "has something else than a port after its ]", "such as [::1]:8080");
    size_t host_length = bracketed ? (size_t)(close - text) - 1
                         : colon   ? (size_t)(colon - text)
                                   : strlen(text);
    int error = parse_host(parse, (struct slice){text + bracketed, host_length}, bracketed);
    if (error)
        return error;
    if (colon)
        return parse_port(parse, colon + 1);
    return parse->form == CONF_ADDRESS_SITE ? 0 : refuse(parse, "needs a port", "such as 127.0.0.1:8080");
}

static int parse_address(struct address_parse *parse, const char *text)
{
    if (text[0] == '\0')
        return refuse(parse, "is empty", NULL);
    if (strncmp(text, "unix:", 5) == 0)
        return parse_unix(parse, text + 5);
    if (strstr(text, "://"))
        return refuse(parse, "is a URL", "write HOST:PORT without http://");
    if (strchr(text, '/'))
        return refuse(parse, "has a path",
                      text[0] == '/' ? "a Unix socket is written unix:/PATH" : "write HOST:PORT alone");
    if (text[digits_of(text)] == '\0')
        return refuse(parse, "has no colon before its port", "a port alone is written :8080");
    return parse_host_and_port(parse, text);
}

int conf_parse_address(const char *text, enum conf_address_form form, struct conf_address *address,
                       const char **problem, const char **hint)
{
    struct address_parse parse = {.form = form, .out = address};
    memset(address, 0, sizeof *address);
    int error = parse_address(&parse, text);
    *problem = parse.problem;
    *hint = parse.hint;
    return error;
}

void conf_format_address(struct text *out, const struct conf_address *address)
{
    if (address->kind == CONF_ADDRESS_UNIX) {
        text_add_c(out, "unix:");
        text_add_c(out, address->path);
        return;
    }
    int bracketed = address->kind == CONF_ADDRESS_IPV6;
    text_add_c(out, bracketed ? "[" : "");
    text_add_c(out, address->host);
    text_add_c(out, bracketed ? "]" : "");
    if (address->port) {
        text_add_c(out, ":");
        text_add_u64(out, address->port);
    }
}

static int ipv4_sockaddr(const struct conf_address *address, struct sockaddr_storage *out, socklen_t *length)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(address->port)};
    if (inet_pton(AF_INET, address->host, &in.sin_addr) != 1)
        return ERR_INVALID;
    memcpy(out, &in, sizeof in);
    *length = sizeof in;
    return 0;
}

static int ipv6_sockaddr(const struct conf_address *address, struct sockaddr_storage *out, socklen_t *length)
{
    struct sockaddr_in6 in = {.sin6_family = AF_INET6, .sin6_port = htons(address->port)};
    if (address->kind == CONF_ADDRESS_IPV6 && inet_pton(AF_INET6, address->host, &in.sin6_addr) != 1)
        return ERR_INVALID;
    memcpy(out, &in, sizeof in);
    *length = sizeof in;
    return 0;
}

static int unix_sockaddr(const struct conf_address *address, struct sockaddr_storage *out, socklen_t *length)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    memcpy(un.sun_path, address->path, sizeof un.sun_path);
    memcpy(out, &un, sizeof un);
    *length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(address->path) + 1);
    return 0;
}

int conf_address_to_sockaddr(const struct conf_address *address, struct sockaddr_storage *out,
                             socklen_t *length)
{
    memset(out, 0, sizeof *out);
    switch (address->kind) {
    case CONF_ADDRESS_IPV4:
        return ipv4_sockaddr(address, out, length);
    case CONF_ADDRESS_ANY:
    case CONF_ADDRESS_IPV6:
        return ipv6_sockaddr(address, out, length);
    case CONF_ADDRESS_UNIX:
        return unix_sockaddr(address, out, length);
    case CONF_ADDRESS_NAME:
        break;
    }
    return ERR_INVALID;
}
