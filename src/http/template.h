/* Texts with values of the moment in them, as the configuration writes them: "https://{host}{target}".
 *
 *   {name}   a value of the table below; a name that ends in a dot there takes what follows: {request.header.Host}
 *   {{ }}    a literal brace each
 *
 * Compiled once when a configuration is read, so that a wrong name is a mistake of the configuration and never of a
 * request. A value is a run of bytes, perhaps an empty one: what a request does not have is empty. Control bytes in
 * values become '?' when they are put in, so that no value can end a header line. */
#ifndef HOLDFAST_HTTP_TEMPLATE_H
#define HOLDFAST_HTTP_TEMPLATE_H

#include "base/bytes.h"
#include "http/storage.h"

#include <stddef.h>
#include <stdint.h>

#define TEMPLATE_VALUE_TABLE(X)                                                                              \
    X(CLIENT_ADDRESS, "client.address", "the client's IP address; empty on a Unix socket")                   \
    X(CLIENT_PORT, "client.port", "the client's port; empty on a Unix socket")                               \
    X(METHOD, "method", "the request's method")                                                              \
    X(SCHEME, "scheme", "`http` or `https`")                                                                 \
    X(HOST, "host", "the host that was asked for, without its port")                                         \
    X(PATH, "path", "the path as sent, still encoded, without the query")                                    \
    X(QUERY, "query", "what follows the `?`")                                                                \
    X(TARGET, "target", "the path and, if there is one, `?` and the query, as sent")                         \
    X(REST, "rest", "what the `*` of the route's pattern stands for, encoded")                               \
    X(REQUEST_ID, "request.id", "the id that the logs name the request by")                                  \
    X(TRACEPARENT, "traceparent", "the trace the request belongs to, or a new one, with a step of our own")  \
    X(REQUEST_HEADER, "request.header.", "the request's first header of that name")                          \
    X(QUERY_VALUE, "query.", "the first value of that name in the query, as sent")                           \
    X(CAPTURE, "match.", "what group 0 to 9 of the route's `pattern` has caught, encoded; 0 is all of it")

enum template_value {
#define TEMPLATE_VALUE_ENUM(name, text, doc) TEMPLATE_##name,
    TEMPLATE_VALUE_TABLE(TEMPLATE_VALUE_ENUM)
#undef TEMPLATE_VALUE_ENUM
        TEMPLATE_VALUES
};

#define TEMPLATE_LENGTH_MAX 8192u /* bytes as written */

struct template_part {
    int is_value;
    enum template_value value;
    struct slice text; /* of a value: what follows its dot; else the literal bytes */
};

struct template
{
    size_t part_count;
    const struct template_part *parts; /* in the storage */
};

/* Why a text is not a template. */
struct template_mistake {
    char message[160];
    const char *hint;    /* static, or NULL */
    struct slice wanted; /* the name that is in no table, or empty; borrowed from the text */
};

/* Compiles a text; what it becomes lies in the storage. 0; ERR_SYNTAX, and *mistake says why; ERR_NO_MEMORY. */
WARN_UNUSED int template_compile(struct storage *storage, struct slice text, const struct template **compiled,
                                 struct template_mistake *mistake);

/* Adds the value to `out`, or nothing. `argument` is empty for values that take none. */
typedef void (*template_value_fn)(const void *context, enum template_value value, struct slice argument,
                                  struct text *out);
/* Adds the text with its values to `out`. 0, or ERR_NO_SPACE: it did not fit, and what was added is of no use. */
WARN_UNUSED int template_render(const struct template *template, template_value_fn value_of,
                                const void *context, struct text *out);
/* 1: no values, the same every time. */
int template_is_constant(const struct template *template);
/* The bytes of the literal parts together: no rendering is shorter. */
size_t template_literal_length(const struct template *template);
/* The number behind the dot of the highest {match.N} in it, or -1: there is none. */
int template_highest_capture(const struct template *template);

/* As in the table; those that take an argument end in a dot. Static. */
const char *template_value_name(enum template_value value);
const char *template_value_doc(enum template_value value);

#endif
