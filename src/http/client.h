/* Who a request's client is: who has connected, or whom proxies before us name.
 *
 * A peer in one of the trusted networks speaks for others, in X-Forwarded-For or, where that is missing, in Forwarded
 * (RFC 7239). Each proxy adds whom it was connected by at the end of the list, so the list is read from its end, in all lines
 * of that name as one list, and the first address that is not trusted itself is the client: what stands before it was said by
 * nobody we know. If all of them are trusted, it is the one farthest away. A list that is missing or empty, or in which
 * something else than an address is met on the way ("unknown", "_hidden", junk), leaves the peer.
 *
 * Reading from the end is also what makes it safe: whatever a client has begun (a quote that it does not close, say), the
 * elements that trusted proxies put behind it are found and taken for themselves.
 *
 * An address of X-Forwarded-For is bare, or in brackets, and may have a port: 192.0.2.1, 192.0.2.1:4711, 2001:db8::1,
 * [2001:db8::1]:4711. In Forwarded the same stands in for=, in quotes where it has colons. */
#ifndef HOLDFAST_HTTP_CLIENT_H
#define HOLDFAST_HTTP_CLIENT_H

#include "base/bytes.h"
#include "core/client_net.h"
#include "http/route_test.h"

#include <stddef.h>
#include <sys/socket.h>

/* 1: the address lies in one of them. NULL (no address: a Unix socket) does in none. */
int client_is_trusted(const struct sockaddr_storage *address, const struct client_net *trusted, size_t count);

/* The client of a request with these headers: `peer`, which may be NULL, or *memory, filled in; its port is 0 unless it is
 * said. Pure; safe for any bytes in the headers. */
const struct sockaddr_storage *client_find(const struct sockaddr_storage *peer,
                                           const struct client_net *trusted, size_t count,
                                           route_header_fn header, const void *headers,
                                           struct sockaddr_storage *memory);

#endif
