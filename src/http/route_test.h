/* What a route may ask of a request besides its path: the conditions of a block `match`. */
#ifndef HOLDFAST_HTTP_ROUTE_TEST_H
#define HOLDFAST_HTTP_ROUTE_TEST_H

#include "base/bytes.h"
#include "core/client_net.h"
#include "http/path_pattern.h"
#include "http/regex.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* The nth header of that name (any case), from 0: 1 and *value, or 0. */
typedef int (*route_header_fn)(const void *headers, struct slice name, size_t nth, struct slice *value);

/* What routes look at. Everything is borrowed for the call. */
struct route_request {
    struct slice method;
    struct slice scheme;   /* "http" or "https" */
    struct slice host;     /* as sent, without the port */
    struct slice path;     /* decoded: h1_path_decode */
    struct slice raw_path; /* as sent */
    struct slice query;    /* as sent, without its '?' */
    int has_query;
    struct slice id;                /* for {request.id} */
    uint64_t trace_high, trace_low; /* of the trace that begins with it, if it belongs to none */
    /* Who has connected, or whom the PROXY protocol names; NULL: a Unix socket. And who counts as the client: the same, or whom
     * the peer speaks for where a route trusts it (route_sees). */
    const struct sockaddr_storage *peer, *client;
    route_header_fn header; /* NULL: no headers */
    const void *headers;    /* handed to it */
};

#define ROUTE_TEST_TABLE(X)                                                                                  \
    X(METHOD, "method")                                                                                      \
    X(HOST, "host")                                                                                          \
    X(PATH, "path")                                                                                          \
    X(PATTERN, "pattern")                                                                                    \
    X(HEADER, "header")                                                                                      \
    X(QUERY, "query")                                                                                        \
    X(CLIENT, "client")                                                                                      \
    X(NOT, "not")

enum route_test_kind {
#define ROUTE_TEST_ENUM(name, text) ROUTE_TEST_##name,
    ROUTE_TEST_TABLE(ROUTE_TEST_ENUM)
#undef ROUTE_TEST_ENUM
};

/* One line of the block. Lies in a storage. */
struct route_test {
    enum route_test_kind kind;
    struct route_test *next; /* of the block: all must hold */

    size_t count; /* of those below, of which one must hold */
    union {
        const struct slice *words; /* METHOD; HOST: in lower case, "*.example.com" for all beneath a name */
        const struct path_pattern *patterns; /* PATH */
        const struct client_net *nets;       /* CLIENT */
    };
    const struct regex *regex; /* PATTERN */
    struct slice name;         /* HEADER, QUERY */
    struct slice value;        /* of them; compared whole, case and all */
    int any_value;             /* of them: it is enough that it is there */
    struct route_test *inner;  /* NOT: holds unless all of these hold */
};

/* 1: holds; 0: does not; ERR_LIMIT: nobody knows, an expression has reached its limits. */
WARN_UNUSED int route_test_holds(const struct route_test *test, const struct route_request *request);
/* The same for a list, of which all must hold; *failed is the first that does not (or that is not known). */
WARN_UNUSED int route_tests_hold(const struct route_test *first, const struct route_request *request,
                                 const struct route_test **failed);
/* 1: whatever passes `inner` passes `outer`, as far as the words tell: each test of `outer` stands in `inner`, too. */
int route_tests_cover(const struct route_test *outer, const struct route_test *inner);
/* As the configuration writes it: `not { method GET HEAD }`. */
void route_test_format(const struct route_test *test, struct text *out);

/* The next name and value of a query, as sent ("a=1&b"): 1, or 0 at the end. *rest is moved on. */
int query_next(struct slice *rest, struct slice *name, struct slice *value);
/* Compares a part of a query with a plain text: %XX and + are decoded (WHATWG URL, urlencoded parsing). */
int query_equals(struct slice encoded, struct slice plain);

#endif
