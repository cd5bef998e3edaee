/* What a word of the configuration can mean: numbers, sizes, durations, switches, addresses. */
#ifndef HOLDFAST_CONF_VALUE_H
#define HOLDFAST_CONF_VALUE_H

#include "base/bytes.h"
#include "base/err.h"

#include <stdint.h>
#include <sys/socket.h>

/* Decimal digits only. 0; ERR_SYNTAX; ERR_LIMIT past 2^63-1. */
WARN_UNUSED int conf_parse_count(const char *text, uint64_t *value);
/* Digits and perhaps k, m or g (1024, 1024^2, 1024^3 bytes). Errors as above. */
WARN_UNUSED int conf_parse_size(const char *text, uint64_t *bytes);
/* Digits and one of ms, s, m, h, d. ERR_INVALID: the unit is missing; ERR_LIMIT: above ten years. */
WARN_UNUSED int conf_parse_duration(const char *text, uint64_t *milliseconds);
/* "on" or "off"; ERR_SYNTAX. */
WARN_UNUSED int conf_parse_switch(const char *text, int *on);

/* The shortest exact form: 90000 -> "90s", 65536 -> "64k". */
void conf_format_duration(struct text *out, uint64_t milliseconds);
void conf_format_size(struct text *out, uint64_t bytes);
/* Adds the text in quotes so that the parser reads back exactly these bytes (which must not contain NUL or
 * other control bytes than tab and line feed). For configurations that are made by the command line. */
void conf_quote(struct text *out, struct slice bytes);

enum conf_address_form {
    CONF_ADDRESS_LISTEN,   /* [IP]:PORT or unix:PATH: something to bind */
    CONF_ADDRESS_SITE,     /* [HOST][:PORT] or unix:PATH; HOST may be a name */
    CONF_ADDRESS_UPSTREAM, /* HOST:PORT or unix:PATH: something to connect to */
};

enum conf_address_kind {
    CONF_ADDRESS_ANY, /* no host: every address of the machine, IPv4 and IPv6 */
    CONF_ADDRESS_IPV4,
    CONF_ADDRESS_IPV6,
    CONF_ADDRESS_NAME,
    CONF_ADDRESS_UNIX,
};

struct conf_address {
    enum conf_address_kind kind;
    char host[256]; /* canonical: "127.0.0.1", "::1" (without brackets), "example.com" in lower case; or "" */
    uint16_t port;  /* 0: not given (only for sites) and for Unix sockets */
    char path[108]; /* Unix sockets: absolute */
};

/* 0 or ERR_SYNTAX, and then *problem is a constant text that goes after the address ("needs a port"), and
 * *hint one that says what to write, or NULL. */
WARN_UNUSED int conf_parse_address(const char *text, enum conf_address_form form,
                                   struct conf_address *address, const char **problem, const char **hint);
/* "127.0.0.1:80", "[::1]:80", ":80", "example.com", "unix:/run/x". */
void conf_format_address(struct text *out, const struct conf_address *address);
/* For bind or connect; ANY becomes [::] (the caller clears IPV6_V6ONLY, or falls back to 0.0.0.0 where there
 * is no IPv6). ERR_INVALID for a name. */
WARN_UNUSED int conf_address_to_sockaddr(const struct conf_address *address, struct sockaddr_storage *out,
                                         socklen_t *length);

#endif
