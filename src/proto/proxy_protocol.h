/* The header of the PROXY protocol (haproxy's proxy-protocol.txt, versions 1 and 2), by which a proxy says, before anything
 * else, whose connection it passes on. Bytes in, header out, and the other way round. No I/O, no allocation, no clock.
 *
 *     version 1:  PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n        or TCP6, or UNKNOWN and anything; 107 bytes at most
 *     version 2:  12 bytes     0d 0a 0d 0a 00 0d 0a 51 55 49 54 0a
 *                 1 byte       version 2 in the upper half; the command in the lower: 0 LOCAL, 1 PROXY
 *                 1 byte       the family in the upper half: 0 unknown, 1 IPv4, 2 IPv6, 3 Unix; in the lower: 0 unknown,
 *                              1 stream, 2 datagram
 *                 2 bytes      length of what follows
 *                 addresses    12 bytes (IPv4), 36 (IPv6) or 216 (Unix): source, destination, and their ports
 *                 TLVs         type (1 byte), length (2 bytes), value; any number
 *
 * Numbers are big-endian. Strict: what the specification does not allow is refused, as early as it shows. */
#ifndef HOLDFAST_PROTO_PROXY_PROTOCOL_H
#define HOLDFAST_PROTO_PROXY_PROTOCOL_H

#include "base/bytes.h"

#include <stddef.h>
#include <stdint.h>

#define PROXY_PROTOCOL_V1_MAX 107u /* bytes, with the line's end */
#define PROXY_PROTOCOL_MAX 4096u /* of either version: it fits into a ring. The specification allows 65,551 */
#define PROXY_PROTOCOL_MADE_MAX 107u  /* of what proxy_protocol_make makes */
#define PROXY_PROTOCOL_UNIQUE_MAX 128 /* bytes of a unique id */

enum proxy_protocol_version { PROXY_PROTOCOL_NONE = 0, PROXY_PROTOCOL_V1 = 1, PROXY_PROTOCOL_V2 = 2 };

enum proxy_protocol_family {
    PROXY_PROTOCOL_UNKNOWN, /* the connection's own addresses count, as they do when the proxy speaks for itself */
    PROXY_PROTOCOL_IPV4,
    PROXY_PROTOCOL_IPV6,
    PROXY_PROTOCOL_UNIX, /* the client came over a Unix socket: it has no address; paths are not told */
};

struct proxy_protocol_header {
    enum proxy_protocol_version version;
    enum proxy_protocol_family family;
    int is_local; /* the proxy speaks for itself (a check of health); the family is UNKNOWN then */
    /* IPV4 (as ::ffff:a.b.c.d), IPV6: who asks, and whom he asked */
    uint8_t source[16], destination[16];
    uint16_t source_port, destination_port;
    /* Version 2, empty if they were not sent; borrowed from the bytes that were parsed. */
    struct slice alpn;      /* the protocol inside, as ALPN names it (RFC 7301) */
    struct slice authority; /* the host name that the client asked for, such as by SNI */
    struct slice unique_id; /* of the connection */
};

#define PROXY_PROTOCOL_REFUSAL_TABLE(X)                                                                      \
    X(NOTHING, "")                                                                                           \
    X(NO_HEADER, "no_header")                                                                                \
    X(TOO_LONG, "too_long")                                                                                  \
    X(LINE, "bad_line")                                                                                      \
    X(PROTOCOL, "bad_protocol")                                                                              \
    X(ADDRESS, "bad_address")                                                                                \
    X(PORT, "bad_port")                                                                                      \
    X(VERSION, "bad_version")                                                                                \
    X(COMMAND, "bad_command")                                                                                \
    X(TRANSPORT, "no_stream")                                                                                \
    X(TOO_SHORT, "too_short")                                                                                \
    X(TLV, "bad_tlv")                                                                                        \
    X(CHECKSUM, "bad_checksum")

enum proxy_protocol_refusal {
#define PROXY_PROTOCOL_REFUSAL_ENUM(name, text) PROXY_PROTOCOL_REFUSE_##name,
    PROXY_PROTOCOL_REFUSAL_TABLE(PROXY_PROTOCOL_REFUSAL_ENUM)
#undef PROXY_PROTOCOL_REFUSAL_ENUM
};
/* The word for it in logs; static. */
const char *proxy_protocol_refusal_text(enum proxy_protocol_refusal refusal);

/* Parses the header at the beginning of `bytes`, of which as many are given as have come: always from the first one on. 0,
 * *header and *length, behind which the connection's own bytes begin; ERR_PARTIAL: it may become one, and is shorter than
 * PROXY_PROTOCOL_MAX so far; ERR_SYNTAX: it is none, *refusal says why. Safe for any bytes. */
WARN_UNUSED int proxy_protocol_parse(const char *bytes, size_t available,
                                     struct proxy_protocol_header *header, size_t *length,
                                     enum proxy_protocol_refusal *refusal);

/* Writes the header in its version: the addresses if the family is IPV4 or IPV6, else that they are not known. Returns its
 * length. */
size_t proxy_protocol_make(const struct proxy_protocol_header *header, char out[PROXY_PROTOCOL_MADE_MAX]);

#endif
