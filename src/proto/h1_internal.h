/* What the parts of the HTTP/1 codec share among themselves and with their test, and with nobody else. */
#ifndef HOLDFAST_PROTO_H1_INTERNAL_H
#define HOLDFAST_PROTO_H1_INTERNAL_H

#include "proto/h1.h"

#include <string.h>

/* What a byte may be part of. */
enum h1_byte_class {
    H1_IN_TOKEN = 1, /* RFC 9110 section 5.6.2 */
    H1_IN_PATH = 2,
    H1_IN_QUERY = 4, /* holds all of H1_IN_PATH */
    H1_IN_HOST = 8,
    H1_IN_HEX = 16,
};

extern const uint8_t h1_byte_classes[256];

static inline int h1_byte_is(char byte, unsigned classes)
{
    return (h1_byte_classes[(uint8_t)byte] & classes) != 0;
}

static inline int h1_byte_is_control(char byte)
{
    return (uint8_t)byte < 0x20 || byte == 0x7f;
}

static inline int h1_byte_is_blank(char byte)
{
    return byte == ' ' || byte == '\t';
}

/* The first byte in [at, end) that is not in one of the classes, or end. */
static inline const char *h1_skip_class(const char *at, const char *end, unsigned classes)
{
    while (at < end && h1_byte_is(*at, classes))
        at++;
    return at;
}

/* The first control byte in [at, end) (HTAB is one), or end. Eight bytes at a time: (w - 0x20…) & ~w has the
 * high bit set in some byte if and only if a byte is below 0x20; the same with w ^ 0x7f… and 1 finds DEL. */
static inline const char *h1_skip_text(const char *at, const char *end)
{
    const uint64_t ones = 0x0101010101010101u;
    for (; end - at >= 8; at += 8) {
        uint64_t word, deletes;
        memcpy(&word, at, sizeof(word));
        deletes = word ^ (0x7f * ones);
        if ((((word - 0x20 * ones) & ~word) | ((deletes - ones) & ~deletes)) & (0x80 * ones))
            break;
    }
    while (at < end && !h1_byte_is_control(*at))
        at++;
    return at;
}

static inline struct slice h1_slice(const char *from, const char *to)
{
    return (struct slice){from, (size_t)(to - from)};
}

/* 0 to 15 for a byte of H1_IN_HEX. */
static inline unsigned h1_hex_value(char digit)
{
    return digit <= '9' ? (unsigned)(digit - '0') : (unsigned)((digit | 0x20) - 'a' + 10);
}

/* Takes a target apart that is not in origin form; head->method and head->target are set, all of whose bytes
 * are H1_IN_QUERY. Sets form, path, query and, if the target has an authority, host and port. */
enum h1_refusal h1_target_parse(struct h1_head *head);

/* Splits "host[:port]". 0 or ERR_SYNTAX. */
WARN_UNUSED int h1_authority_parse(struct slice authority, struct slice *host, uint16_t *port);

/* Reads a head from its first byte on. */
struct h1_reader {
    const char *at, *end;
};

/* Why reading ends here, where something else was expected: `otherwise`, or what the byte itself explains. */
enum h1_refusal h1_refuse_here(const struct h1_reader *reader, enum h1_refusal otherwise);
int h1_at_line_end(const struct h1_reader *reader);
enum h1_refusal h1_read_line_end(struct h1_reader *reader, enum h1_refusal otherwise);
/* "HTTP/" DIGIT "." DIGIT, in this case of letters (RFC 9112 section 2.3): 1 and *minor (0 or 1) for HTTP/1;
 * 0 for another major version; -1 for anything else, and nothing is read. */
int h1_read_version(struct h1_reader *reader, int *minor);
/* Visible bytes, bytes from 0x80 on, spaces and tabs (RFC 9110 section 5.5), up to a byte that is none of
 * them. Blanks around the text are read, but do not belong to it. */
struct slice h1_read_text(struct h1_reader *reader);
/* One field line with its end. The reader is not at the end of its bytes. */
enum h1_refusal h1_read_field(struct h1_reader *reader, struct h1_field *field);

/* 0 for H1_REFUSE_NOTHING, ERR_LIMIT, ERR_UNSUPPORTED, ERR_VERSION, else ERR_SYNTAX. */
int h1_refusal_error(enum h1_refusal refusal);

/* What the fields say about framing and the connection, gathered line by line, decided at the end of the
 * head. */
struct h1_notes {
    struct slice host, length;
    unsigned hosts, lengths;                      /* lines seen */
    unsigned codings, coding_lines;               /* Transfer-Encoding: elements, lines */
    unsigned chunked, last_chunked, other_coding; /* how many "chunked"; is it the last; any other */
    unsigned coding_invalid;
    unsigned close, keep_alive, upgrade;
    unsigned expect_continue, expect_other;
};

void h1_notes_take(struct h1_notes *notes, const struct h1_field *field);
/* How long the message says its content is; the same rules for requests and responses: RFC 9112 sections 6.1
 * to 6.3. *content_length is -1 if there is no Content-Length. */
enum h1_refusal h1_notes_framing(const struct h1_notes *notes, int version_minor, int64_t *content_length,
                                 int *chunked);
/* The connection may carry another message, as far as these fields go (RFC 9112 section 9.3). */
int h1_notes_keep_alive(const struct h1_notes *notes, int version_minor);
enum h1_refusal h1_notes_decide(const struct h1_notes *notes, struct h1_head *head);

#endif
