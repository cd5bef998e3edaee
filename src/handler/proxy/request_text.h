/* The head of the request that is sent on, as text: serialised from what was parsed, never copied through. Pure: no worker, no
 * record, no clock.
 *
 *     method SP path [ "?" query ] SP HTTP/1.1
 *     Host: …
 *     the client's fields, without those of its connection, of its framing, and those that follow
 *     X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host, Forwarded        who the client is (RFC 7239)
 *     Via, traceparent, tracestate, X-Request-Id
 *     … all these as the route's `request_header` changes them …
 *     Max-Forwards, Expect
 *     Transfer-Encoding or Content-Length, Upgrade, TE, Connection           written anew, for this connection
 *
 * Whatever the client sends, the result is a request that our own parser accepts, with the same method, target and framing;
 * tests/fuzz/fuzz_proxy_request.c holds that. */
#ifndef HOLDFAST_HANDLER_PROXY_REQUEST_TEXT_H
#define HOLDFAST_HANDLER_PROXY_REQUEST_TEXT_H

#include "base/bytes.h"
#include "base/err.h"
#include "http/routes.h"
#include "proto/h1.h"

/* All that the head is made of. Borrowed for the call. */
struct request_text {
    const struct h1_head *request; /* of origin or absolute form */
    struct slice path, query;      /* after the route's edits; the path decoded */
    int is_edited;                 /* the route has some: `path` is sent, not what the client wrote */
    struct slice host;             /* instead of what the client asked for, or empty */
    struct slice server;           /* what is asked for if nobody says a host; not empty */
    struct slice peer, scheme;     /* who has connected, empty: unknown; "http" or "https" */
    int believes;                  /* what it says of others before it */
    struct slice trace;            /* of traceparent */
    int goes_on;                   /* … is the client's own, whose tracestate goes with it */
    struct slice id;               /* of X-Request-Id */
    int is_kept;                   /* the connection may carry another request */
    /* Of the configuration, none of which names framing or the connection; and what their values are of, NULL without any. */
    const struct route_header *changes;
    const struct route_context *values;
};

/* 0; ERR_LIMIT: it is too large for `out`. */
WARN_UNUSED int request_text_make(const struct request_text *text, struct text *out);
/* 1 if the request asks for another protocol, and may have it (RFC 9110 section 7.8). */
int request_text_upgrades(const struct h1_head *request);

#endif
