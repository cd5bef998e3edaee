/* Networks that a client's address lies in: "10.0.0.0/8", "2001:db8::/32", or one address. */
#ifndef HOLDFAST_CORE_CLIENT_NET_H
#define HOLDFAST_CORE_CLIENT_NET_H

#include "base/bytes.h"

#include <stdint.h>
#include <sys/socket.h>

struct client_net {
    uint8_t is_ipv6;
    uint8_t bits;      /* that count, from the front: 0 to 32 or 128 */
    uint8_t bytes[16]; /* network order; IPv4 in the first four; those behind `bits` are 0 */
};

#define CLIENT_NET_TEXT_MAX 64

/* 0; ERR_SYNTAX: not an address with perhaps a length; ERR_INVALID: bits behind the length are set, and *net is the
 * network that was probably meant. */
WARN_UNUSED int client_net_parse(const char *text, struct client_net *net);
void client_net_format(const struct client_net *net, struct text *out);
/* 1: the address lies in it. An IPv4 address in its IPv6 form (::ffff:10.0.0.1, as a dual-stack listener shows it)
 * counts as the IPv4 address that it is. NULL and Unix sockets lie in none. */
int client_net_has(const struct client_net *net, const struct sockaddr_storage *address);
/* 1: `inner` is a part of `outer`, or the same. */
int client_net_contains(const struct client_net *outer, const struct client_net *inner);
/* An address in 16 bytes (IPv4 as ::ffff:a.b.c.d, as records have it) in the form that the others take. */
struct sockaddr_storage client_sockaddr(const uint8_t address[16], uint16_t port);
/* Adds the address as text, without the port; IPv4 in its own form. Nothing for NULL and Unix sockets. */
void client_address_format(const struct sockaddr_storage *address, struct text *out);
/* 0 for NULL and Unix sockets. */
unsigned client_port(const struct sockaddr_storage *address);

#endif
