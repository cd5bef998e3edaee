/* IP addresses as text and as 16 bytes, IPv4 as ::ffff:a.b.c.d (RFC 4291 section 2.5.5.2): the form that records keep. */
#ifndef HOLDFAST_PROTO_ADDRESS_H
#define HOLDFAST_PROTO_ADDRESS_H

#include "base/bytes.h"
#include "base/err.h"

#include <stdint.h>

/* The address that is the whole text, without brackets, port or zone. 0, and `address` is filled in; ERR_SYNTAX. Safe for any
 * bytes. */
WARN_UNUSED int address_parse(struct slice text, int is_ipv6, uint8_t address[16]);

#endif
