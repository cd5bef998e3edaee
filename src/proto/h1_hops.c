/* HTTP/1: which fields a proxy may pass on. */
#include "proto/h1_internal.h"

/* Names ending in '-' stand for all that begin so. */
static int is_listed(struct slice name, const struct slice *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct slice entry = list[i], start = name;
        if (entry.at[entry.length - 1] == '-' && start.length > entry.length)
            start.length = entry.length;
        if (slice_equals_nocase(start, entry))
            return 1;
    }
    return 0;
}

#define NAME(text)                                                                                           \
    {                                                                                                        \
        text, sizeof(text) - 1                                                                               \
    }
#define IS_LISTED(name, list) is_listed(name, list, sizeof(list) / sizeof((list)[0]))

/* RFC 9110 section 7.6.1; Proxy-Connection is no standard, but sent, and has the same meaning. */
static const struct slice hops[] = {
    NAME("Connection"), NAME("Keep-Alive"),        NAME("Proxy-Connection"),
    NAME("TE"),         NAME("Transfer-Encoding"), NAME("Upgrade"),
};

/* What Connection cannot name. */
static const struct slice for_everybody[] = {
    NAME("Host"),          NAME("Content-"),      NAME("Expect"),       NAME("Range"),      NAME("Trailer"),
    NAME("Cache-Control"), NAME("Authorization"), NAME("Cookie"),       NAME("Set-Cookie"), NAME("Date"),
    NAME("Via"),           NAME("Forwarded"),     NAME("X-Forwarded-"), NAME("X-Real-IP"),
};

/* RFC 9110 section 6.5.1: framing, routing, request modifiers, authentication, response controls, content. */
static const struct slice no_trailers[] = {
    NAME("Host"),
    NAME("Content-"),
    NAME("Trailer"),
    NAME("Expect"),
    NAME("Range"),
    NAME("If-"),
    NAME("Max-Forwards"),
    NAME("Cache-Control"),
    NAME("Pragma"),
    NAME("Authorization"),
    NAME("Proxy-"),
    NAME("WWW-Authenticate"),
    NAME("Cookie"),
    NAME("Set-Cookie"),
    NAME("Age"),
    NAME("Date"),
    NAME("Expires"),
    NAME("Location"),
    NAME("Retry-After"),
    NAME("Vary"),
    NAME("Forwarded"),
    NAME("X-Forwarded-"),
    NAME("X-Real-IP"),
    NAME("Via"),
    NAME("Strict-Transport-Security"),
};

int h1_hop_by_hop(const struct h1_field *fields, uint32_t count, struct slice name)
{
    int named = 0;
    if (IS_LISTED(name, hops))
        return 1;
    for (uint32_t i = 0; i < count && !named; i++)
        named = slice_equals_nocase(fields[i].name, hops[0]) && h1_token_list_has(fields[i].value, name);
    return named && !IS_LISTED(name, for_everybody);
}

int h1_trailer_may_pass(struct slice name)
{
    return !IS_LISTED(name, hops) && !IS_LISTED(name, no_trailers);
}

struct h1_field h1_trailer_parse(struct slice line)
{
    const char *end = line.at + line.length;
    const char *colon = memchr(line.at, ':', line.length);
    struct h1_reader reader = {colon ? colon + 1 : end, end};
    return (struct h1_field){h1_slice(line.at, colon ? colon : end), h1_read_text(&reader)};
}
