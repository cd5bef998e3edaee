/* HTTP/1: tables of bytes and words, and the small readers of fields. */
#include "proto/h1_internal.h"
#include "proto/h1_response.h"

#define VISIBLE (H1_IN_PATH | H1_IN_QUERY)
#define TOKEN (H1_IN_TOKEN | VISIBLE)

/* What is not listed is in no class: controls, space, DEL, " < > and all bytes from 0x80 on. */
const uint8_t h1_byte_classes[256] = {
    ['a' ... 'f'] = TOKEN | H1_IN_HOST | H1_IN_HEX,
    ['g' ... 'z'] = TOKEN | H1_IN_HOST,
    ['A' ... 'F'] = TOKEN | H1_IN_HOST | H1_IN_HEX,
    ['G' ... 'Z'] = TOKEN | H1_IN_HOST,
    ['0' ... '9'] = TOKEN | H1_IN_HOST | H1_IN_HEX,
    ['-'] = TOKEN | H1_IN_HOST,
    ['.'] = TOKEN | H1_IN_HOST,
    ['_'] = TOKEN | H1_IN_HOST,
    ['~'] = TOKEN | H1_IN_HOST,
    ['!'] = TOKEN,
    ['$'] = TOKEN,
    ['%'] = TOKEN,
    ['&'] = TOKEN,
    ['\''] = TOKEN,
    ['*'] = TOKEN,
    ['+'] = TOKEN,
    ['^'] = TOKEN,
    ['`'] = TOKEN,
    ['|'] = TOKEN,
    ['#'] = H1_IN_TOKEN, /* a fragment is never sent */
    ['/'] = VISIBLE,
    ['('] = VISIBLE,
    [')'] = VISIBLE,
    [','] = VISIBLE,
    [':'] = VISIBLE,
    [';'] = VISIBLE,
    ['='] = VISIBLE,
    ['@'] = VISIBLE,
    ['['] = VISIBLE,
    [']'] = VISIBLE,
    ['{'] = VISIBLE,
    ['}'] = VISIBLE,
    ['?'] = H1_IN_QUERY,
    ['\\'] = H1_IN_QUERY, /* some take it for a slash, so never in a path */
};

#define UPSTREAM "upstream_"

static const struct {
    int status;
    struct slice reason; /* behind UPSTREAM */
} refusals[] = {
#define REFUSAL_ROW(name, status, reason) {status, {UPSTREAM reason, sizeof(UPSTREAM reason) - 1}},
    H1_REFUSAL_TABLE(REFUSAL_ROW)
#undef REFUSAL_ROW
};

#define REFUSAL_COUNT (sizeof(refusals) / sizeof(refusals[0]))

int h1_refusal_status(enum h1_refusal refusal)
{
    return (size_t)refusal < REFUSAL_COUNT ? refusals[refusal].status : 400;
}

struct slice h1_refusal_reason(enum h1_refusal refusal)
{
    struct slice reason = h1_response_refusal_reason(refusal);
    size_t prefix = reason.length > 0 ? sizeof(UPSTREAM) - 1 : 0;
    return (struct slice){reason.at + prefix, reason.length - prefix};
}

struct slice h1_response_refusal_reason(enum h1_refusal refusal)
{
    return (size_t)refusal < REFUSAL_COUNT && refusal != H1_REFUSE_NOTHING ? refusals[refusal].reason
                                                                           : SLICE_LITERAL("");
}

/* RFC 9110 section 15, and 428, 429, 431, 511 from RFC 6585. */
#define PHRASE_TABLE(X)                                                                                      \
    X(100, "Continue")                                                                                       \
    X(101, "Switching Protocols")                                                                            \
    X(103, "Early Hints")                                                                                    \
    X(200, "OK")                                                                                             \
    X(201, "Created")                                                                                        \
    X(202, "Accepted")                                                                                       \
    X(203, "Non-Authoritative Information")                                                                  \
    X(204, "No Content")                                                                                     \
    X(205, "Reset Content")                                                                                  \
    X(206, "Partial Content")                                                                                \
    X(300, "Multiple Choices")                                                                               \
    X(301, "Moved Permanently")                                                                              \
    X(302, "Found")                                                                                          \
    X(303, "See Other")                                                                                      \
    X(304, "Not Modified")                                                                                   \
    X(307, "Temporary Redirect")                                                                             \
    X(308, "Permanent Redirect")                                                                             \
    X(400, "Bad Request")                                                                                    \
    X(401, "Unauthorized")                                                                                   \
    X(402, "Payment Required")                                                                               \
    X(403, "Forbidden")                                                                                      \
    X(404, "Not Found")                                                                                      \
    X(405, "Method Not Allowed")                                                                             \
    X(406, "Not Acceptable")                                                                                 \
    X(407, "Proxy Authentication Required")                                                                  \
    X(408, "Request Timeout")                                                                                \
    X(409, "Conflict")                                                                                       \
    X(410, "Gone")                                                                                           \
    X(411, "Length Required")                                                                                \
    X(412, "Precondition Failed")                                                                            \
    X(413, "Content Too Large")                                                                              \
    X(414, "URI Too Long")                                                                                   \
    X(415, "Unsupported Media Type")                                                                         \
    X(416, "Range Not Satisfiable")                                                                          \
    X(417, "Expectation Failed")                                                                             \
    X(421, "Misdirected Request")                                                                            \
    X(422, "Unprocessable Content")                                                                          \
    X(425, "Too Early")                                                                                      \
    X(426, "Upgrade Required")                                                                               \
    X(428, "Precondition Required")                                                                          \
    X(429, "Too Many Requests")                                                                              \
    X(431, "Request Header Fields Too Large")                                                                \
    X(451, "Unavailable For Legal Reasons")                                                                  \
    X(500, "Internal Server Error")                                                                          \
    X(501, "Not Implemented")                                                                                \
    X(502, "Bad Gateway")                                                                                    \
    X(503, "Service Unavailable")                                                                            \
    X(504, "Gateway Timeout")                                                                                \
    X(505, "HTTP Version Not Supported")                                                                     \
    X(507, "Insufficient Storage")                                                                           \
    X(511, "Network Authentication Required")

struct slice h1_reason_phrase(int status)
{
    switch (status) {
#define PHRASE_CASE(number, phrase)                                                                          \
    case number:                                                                                             \
        return SLICE_LITERAL(phrase);
        PHRASE_TABLE(PHRASE_CASE)
#undef PHRASE_CASE
    default:
        return SLICE_LITERAL("");
    }
}

const struct h1_field *h1_fields_find(const struct h1_field *fields, uint32_t count, struct slice name)
{
    for (uint32_t i = 0; i < count; i++)
        if (slice_equals_nocase(fields[i].name, name))
            return &fields[i];
    return NULL;
}

const struct h1_field *h1_field_find(const struct h1_head *head, struct slice name)
{
    return h1_fields_find(head->fields, head->field_count, name);
}

struct slice h1_field_value(const struct h1_head *head, struct slice name)
{
    const struct h1_field *field = h1_field_find(head, name);

    return field ? field->value : (struct slice){"", 0};
}

int h1_list_next(struct slice *rest, struct slice *element)
{
    const char *at = rest->at, *end = rest->at + rest->length, *from, *to;
    while (at < end && (h1_byte_is_blank(*at) || *at == ','))
        at++;
    for (from = at; at < end && *at != ','; at++)
        continue;
    for (to = at; to > from && h1_byte_is_blank(to[-1]); to--)
        continue;
    *rest = h1_slice(at, end);
    *element = h1_slice(from, to);
    return to > from;
}

int h1_token_list_has(struct slice value, struct slice token)
{
    struct slice element;
    while (h1_list_next(&value, &element))
        if (slice_equals_nocase(element, token))
            return 1;
    return 0;
}
