/* Headers of the PROXY protocol on connections: read before anything else from those that speak for others, and put before
 * anything else on those that we make.
 *
 *   accepted   A peer that the listener's settings name begins with a header. Until it is whole its connection is of this
 *              class; then it becomes the listener's own (worker_become): the bytes are taken, the client is whom the header
 *              names, and the class is another one, all at once. What came with it lies in the ring already. A connection
 *              without one, with a malformed one, or on which it takes too long is closed, and a line tells why. One that ends
 *              before its first byte has asked for nothing: it ends without a word.
 *   made       Whoever makes a connection puts what proxy_header_make has made into its ring, in the transaction that gives the
 *              connection its client. */
#ifndef HOLDFAST_NET_PROXY_HEADER_H
#define HOLDFAST_NET_PROXY_HEADER_H

#include "net/conn.h"
#include "proto/proxy_protocol.h"

/* How long a header is waited for unless the listener says otherwise. Proxies send it at once; a segment that is lost is
 * sent again after a second, and the specification asks for three at least. */
#define PROXY_HEADER_MS 5000u

extern const struct conn_class proxy_header_class;

/* Writes the header of that version for a connection that is made for `client`, or for ourselves (NULL: a check of health).
 * Returns its length. Asks the kernel for the address that the client has connected to; where there is none (a Unix socket),
 * it is told as 0. */
size_t proxy_header_make(const struct arena *arena, const struct record *client,
                         enum proxy_protocol_version version, char out[PROXY_PROTOCOL_MADE_MAX]);

#endif
