#include "proto/proxy_protocol.h"

#include "base/assert.h"
#include "proto/address.h"

#include <arpa/inet.h>
#include <string.h>

#define V1_FIELDS 6 /* PROXY TCP4 source destination port port */
#define V2_HEAD 16u
#define V2_IPV4 12u
#define V2_IPV6 36u
#define V2_UNIX 216u
#define TLV_HEAD 3u
#define CHECKSUM_SIZE 4u

enum { COMMAND_LOCAL = 0, COMMAND_PROXY = 1 };
enum { FAMILY_UNKNOWN = 0, FAMILY_IPV4 = 1, FAMILY_IPV6 = 2, FAMILY_UNIX = 3 };
enum { TRANSPORT_UNKNOWN = 0, TRANSPORT_STREAM = 1 };
enum { TLV_ALPN = 0x01, TLV_AUTHORITY = 0x02, TLV_CHECKSUM = 0x03, TLV_UNIQUE_ID = 0x05 };

static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff}; /* RFC 4291 section 2.5.5.2 */
static const char v1_begins[6] = {'P', 'R', 'O', 'X', 'Y', ' '};
static const char v2_begins[12] = "\r\n\r\n\0\r\nQUIT\n";

const char *proxy_protocol_refusal_text(enum proxy_protocol_refusal refusal)
{
    static const char *const texts[] = {
#define PROXY_PROTOCOL_REFUSAL_TEXT(name, text) text,
        PROXY_PROTOCOL_REFUSAL_TABLE(PROXY_PROTOCOL_REFUSAL_TEXT)
#undef PROXY_PROTOCOL_REFUSAL_TEXT
    };

    return texts[refusal];
}

static int refuse(enum proxy_protocol_refusal *refusal, enum proxy_protocol_refusal why)
{
    *refusal = why;
    return ERR_SYNTAX;
}

/* --- version 1 --- */

/* Exactly one blank between two fields. Returns how many there are; no more than V1_FIELDS + 1 are looked for. */
static unsigned split(struct slice line, struct slice fields[V1_FIELDS])
{
    unsigned count = 0;

    for (;;) {
        const char *blank = memchr(line.at, ' ', line.length);
        const size_t length = blank ? (size_t)(blank - line.at) : line.length;

        if (count < V1_FIELDS)
            fields[count] = (struct slice){line.at, length};
        if (++count > V1_FIELDS || !blank)
            return count;
        line = (struct slice){blank + 1, line.length - length - 1};
    }
}

static int parse_port(struct slice text, uint16_t *port)
{
    uint64_t value;

    if (slice_to_u64(text, &value) || value > UINT16_MAX || (text.length > 1 && text.at[0] == '0'))
        return ERR_SYNTAX;
    *port = (uint16_t)value;
    return 0;
}

/* The line without its end. */
static int parse_line(struct slice line, struct proxy_protocol_header *header,
                      enum proxy_protocol_refusal *refusal)
{
    struct slice fields[V1_FIELDS];
    const unsigned count = split(line, fields);

    /* What follows it means nothing, whatever it is. */
    if (slice_equals(fields[1], SLICE_LITERAL("UNKNOWN")))
        return 0;
    if (slice_equals(fields[1], SLICE_LITERAL("TCP4")))
        header->family = PROXY_PROTOCOL_IPV4;
    else if (slice_equals(fields[1], SLICE_LITERAL("TCP6")))
        header->family = PROXY_PROTOCOL_IPV6;
    else
        return refuse(refusal, PROXY_PROTOCOL_REFUSE_PROTOCOL);
    if (count != V1_FIELDS)
        return refuse(refusal, PROXY_PROTOCOL_REFUSE_LINE);
    if (address_parse(fields[2], header->family == PROXY_PROTOCOL_IPV6, header->source) ||
        address_parse(fields[3], header->family == PROXY_PROTOCOL_IPV6, header->destination))
        return refuse(refusal, PROXY_PROTOCOL_REFUSE_ADDRESS);
    if (parse_port(fields[4], &header->source_port) || parse_port(fields[5], &header->destination_port))
        return refuse(refusal, PROXY_PROTOCOL_REFUSE_PORT);
    return 0;
}

static int parse_v1(const char *bytes, size_t available, struct proxy_protocol_header *header, size_t *length,
                    enum proxy_protocol_refusal *refusal)
{
    const size_t seen = available < PROXY_PROTOCOL_V1_MAX ? available : PROXY_PROTOCOL_V1_MAX;
    const char *end = memchr(bytes, '\n', seen);

    if (!end)
        return seen < PROXY_PROTOCOL_V1_MAX ? ERR_PARTIAL : refuse(refusal, PROXY_PROTOCOL_REFUSE_TOO_LONG);
    if (end[-1] != '\r')
        return refuse(refusal, PROXY_PROTOCOL_REFUSE_LINE);
    header->version = PROXY_PROTOCOL_V1;
    *length = (size_t)(end + 1 - bytes);
    return parse_line((struct slice){bytes, *length - 2}, header, refusal);
}

/* --- version 2 --- */

static unsigned u16_at(const char *bytes)
{
    return (unsigned)(uint8_t)bytes[0] << 8 | (uint8_t)bytes[1];
}

static uint32_t u32_at(const char *bytes)
{
    return (uint32_t)u16_at(bytes) << 16 | u16_at(bytes + 2);
}

/* CRC-32C (RFC 3720 appendix B.4), reflected. `skipped`: four bytes that count as zeros. */
static uint32_t checksum(const char *bytes, size_t length, size_t skipped)
{
    uint32_t crc = UINT32_MAX;

    for (size_t i = 0; i < length; i++) {
        crc ^= i >= skipped && i - skipped < CHECKSUM_SIZE ? 0 : (uint8_t)bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
    }
    return ~crc;
}

/* One TLV of the header `bytes` of `length`, at `at`. */
static int take_tlv(const char *bytes, size_t length, size_t at, struct proxy_protocol_header *header,
                    enum proxy_protocol_refusal *refusal)
{
    const struct slice value = {bytes + at + TLV_HEAD, u16_at(bytes + at + 1)};

    switch ((uint8_t)bytes[at]) {
    case TLV_ALPN:
        header->alpn = value;
        break;
    case TLV_AUTHORITY:
        header->authority = value;
        break;
    case TLV_UNIQUE_ID:
        if (value.length > PROXY_PROTOCOL_UNIQUE_MAX)
            return refuse(refusal, PROXY_PROTOCOL_REFUSE_TLV);
        header->unique_id = value;
        break;
    case TLV_CHECKSUM:
        if (value.length != CHECKSUM_SIZE || checksum(bytes, length, at + TLV_HEAD) != u32_at(value.at))
            return refuse(refusal, PROXY_PROTOCOL_REFUSE_CHECKSUM);
        break;
    default: /* of no use here */
        break;
    }
    return 0;
}

static int take_tlvs(const char *bytes, size_t length, size_t at, struct proxy_protocol_header *header,
                     enum proxy_protocol_refusal *refusal)
{
    while (at < length) {
        if (length - at < TLV_HEAD || length - at - TLV_HEAD < u16_at(bytes + at + 1))
            return refuse(refusal, PROXY_PROTOCOL_REFUSE_TLV);
        if (take_tlv(bytes, length, at, header, refusal))
            return ERR_SYNTAX;
        at += TLV_HEAD + u16_at(bytes + at + 1);
    }
    return 0;
}

static void take_ipv4(const char *at, struct proxy_protocol_header *header)
{
    memcpy(header->source, mapped, sizeof mapped);
    memcpy(header->source + sizeof mapped, at, 4);
    memcpy(header->destination, mapped, sizeof mapped);
    memcpy(header->destination + sizeof mapped, at + 4, 4);
    header->source_port = (uint16_t)u16_at(at + 8);
    header->destination_port = (uint16_t)u16_at(at + 10);
}

static void take_ipv6(const char *at, struct proxy_protocol_header *header)
{
    memcpy(header->source, at, 16);
    memcpy(header->destination, at + 16, 16);
    header->source_port = (uint16_t)u16_at(at + 32);
    header->destination_port = (uint16_t)u16_at(at + 34);
}

/* What the first bytes behind the beginning say, as far as they are there. */
static int judge_head(const char *bytes, size_t available, enum proxy_protocol_refusal *refusal)
{
    const unsigned command = available > 12 ? (uint8_t)bytes[12] : 0x20 | COMMAND_PROXY;
    const unsigned what = available > 13 ? (uint8_t)bytes[13] : 0;

    if (command >> 4 != 2)
        return refuse(refusal, PROXY_PROTOCOL_REFUSE_VERSION);
    if ((command & 15) > COMMAND_PROXY)
        return refuse(refusal, PROXY_PROTOCOL_REFUSE_COMMAND);
    /* Of LOCAL the rest is ignored. Whoever passes a connection on knows that it is a stream, or does not know it at all. */
    if ((command & 15) == COMMAND_PROXY &&
        (what >> 4 > FAMILY_UNIX || (what & 15) != (what >> 4 ? TRANSPORT_STREAM : TRANSPORT_UNKNOWN)))
        return refuse(refusal, PROXY_PROTOCOL_REFUSE_TRANSPORT);
    if (available >= V2_HEAD && u16_at(bytes + 14) > PROXY_PROTOCOL_MAX - V2_HEAD)
        return refuse(refusal, PROXY_PROTOCOL_REFUSE_TOO_LONG);
    return 0;
}

static int parse_v2(const char *bytes, size_t available, struct proxy_protocol_header *header, size_t *length,
                    enum proxy_protocol_refusal *refusal)
{
    static const size_t sizes[] = {
        [FAMILY_UNKNOWN] = 0, [FAMILY_IPV4] = V2_IPV4, [FAMILY_IPV6] = V2_IPV6, [FAMILY_UNIX] = V2_UNIX};
    unsigned family;

    if (judge_head(bytes, available, refusal))
        return ERR_SYNTAX;
    if (available < V2_HEAD || available < V2_HEAD + u16_at(bytes + 14))
        return ERR_PARTIAL;
    header->version = PROXY_PROTOCOL_V2;
    header->is_local = (bytes[12] & 15) == COMMAND_LOCAL;
    *length = V2_HEAD + u16_at(bytes + 14);
    if (header->is_local)
        return 0;
    family = (uint8_t)bytes[13] >> 4;
    if (*length < V2_HEAD + sizes[family])
        return refuse(refusal, PROXY_PROTOCOL_REFUSE_TOO_SHORT);
    header->family = (enum proxy_protocol_family)family;
    if (family == FAMILY_IPV4)
        take_ipv4(bytes + V2_HEAD, header);
    else if (family == FAMILY_IPV6)
        take_ipv6(bytes + V2_HEAD, header);
    return take_tlvs(bytes, *length, V2_HEAD + sizes[family], header, refusal);
}
_Static_assert((int)PROXY_PROTOCOL_IPV4 == FAMILY_IPV4 && (int)PROXY_PROTOCOL_IPV6 == FAMILY_IPV6 &&
                   (int)PROXY_PROTOCOL_UNIX == FAMILY_UNIX,
               "families are numbered as in version 2");

/* --- both --- */

static int begins_with(const char *bytes, size_t available, const char *beginning, size_t size)
{
    return !memcmp(bytes, beginning, available < size ? available : size);
}

int proxy_protocol_parse(const char *bytes, size_t available, struct proxy_protocol_header *header,
                         size_t *length, enum proxy_protocol_refusal *refusal)
{
    *header = (struct proxy_protocol_header){.version = PROXY_PROTOCOL_NONE};
    *refusal = PROXY_PROTOCOL_REFUSE_NOTHING;
    *length = 0;
    if (!available)
        return ERR_PARTIAL;
    if (begins_with(bytes, available, v1_begins, sizeof v1_begins))
        return available < sizeof v1_begins ? ERR_PARTIAL
                                            : parse_v1(bytes, available, header, length, refusal);
    if (begins_with(bytes, available, v2_begins, sizeof v2_begins))
        return available < sizeof v2_begins ? ERR_PARTIAL
                                            : parse_v2(bytes, available, header, length, refusal);
    return refuse(refusal, PROXY_PROTOCOL_REFUSE_NO_HEADER);
}

/* --- making --- */

static int has_addresses(const struct proxy_protocol_header *header)
{
    return header->family == PROXY_PROTOCOL_IPV4 || header->family == PROXY_PROTOCOL_IPV6;
}

static void add_address(struct text *out, int is_ipv6, const uint8_t address[16])
{
    char text[INET6_ADDRSTRLEN] = "";

    (void)inet_ntop(is_ipv6 ? AF_INET6 : AF_INET, is_ipv6 ? address : address + sizeof mapped, text,
                    sizeof text);
    text_add_c(out, text);
    text_add(out, SLICE_LITERAL(" "));
}

static size_t make_v1(const struct proxy_protocol_header *header, char *out)
{
    const int is_ipv6 = header->family == PROXY_PROTOCOL_IPV6;
    char memory[PROXY_PROTOCOL_MADE_MAX + 1];
    struct text line;

    text_init(&line, memory, sizeof memory);
    if (has_addresses(header)) {
        text_add_c(&line, is_ipv6 ? "PROXY TCP6 " : "PROXY TCP4 ");
        add_address(&line, is_ipv6, header->source);
        add_address(&line, is_ipv6, header->destination);
        text_add_u64(&line, header->source_port);
        text_add(&line, SLICE_LITERAL(" "));
        text_add_u64(&line, header->destination_port);
        text_add(&line, SLICE_LITERAL("\r\n"));
    } else {
        text_add(&line, SLICE_LITERAL("PROXY UNKNOWN\r\n"));
    }
    MUST(!line.overflow);
    memcpy(out, line.at, line.length);
    return line.length;
}

static char *put_u16(char *out, unsigned value)
{
    out[0] = (char)(value >> 8);
    out[1] = (char)value;
    return out + 2;
}

static size_t make_v2(const struct proxy_protocol_header *header, char *out)
{
    const size_t size = header->family == PROXY_PROTOCOL_IPV6 ? 16 : 4;
    char *at = out + V2_HEAD;

    memcpy(out, v2_begins, sizeof v2_begins);
    out[12] = (char)(0x20 | (header->is_local ? COMMAND_LOCAL : COMMAND_PROXY));
    out[13] = has_addresses(header) ? (char)(header->family << 4 | TRANSPORT_STREAM) : 0;
    if (has_addresses(header)) {
        memcpy(at, header->source + 16 - size, size);
        memcpy(at + size, header->destination + 16 - size, size);
        at = put_u16(at + 2 * size, header->source_port);
        at = put_u16(at, header->destination_port);
    }
    (void)put_u16(out + 14, (unsigned)(at - out) - V2_HEAD);
    return (size_t)(at - out);
}

size_t proxy_protocol_make(const struct proxy_protocol_header *header, char out[PROXY_PROTOCOL_MADE_MAX])
{
    return header->version == PROXY_PROTOCOL_V1 ? make_v1(header, out) : make_v2(header, out);
}
