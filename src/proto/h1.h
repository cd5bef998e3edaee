/* HTTP/1: bytes in, events out. No I/O, no allocation, no clock; nothing here keeps a pointer between calls.
 *
 * A request arrives as a head and, if the head says so, a body:
 *
 *     method SP target SP HTTP/1.x CRLF  *( name ":" OWS value OWS CRLF )  CRLF  [ body ]     RFC 9112
 * section 2.1
 *
 * h1_head_find_end() says when a head is complete, h1_head_parse() says what it means, struct h1_chunks takes
 * a chunked body apart. All three are strict: where RFC 9112 lets a recipient be lenient about line ends,
 * white space, folding or framing, the request is refused instead, because two readers that are lenient in
 * different ways can be made to disagree about where a request ends (RFC 9112 section 11.2).
 *
 * Wider than the RFCs in one place: in a target the bytes [ ] ^ ` { | } (and \ in the query) are let through,
 * because browsers send them unencoded. Narrower: a host holds letters, digits and "-._~" only, or an IPv6
 * address in brackets; no percent-encoding, no sub-delims such as a comma, no empty label but the last.
 *
 * Slices point into the caller's bytes and are valid as long as those are, unless said otherwise. */
#ifndef HOLDFAST_PROTO_H1_H
#define HOLDFAST_PROTO_H1_H

#include "base/bytes.h"
#include "base/err.h"

#include <stdint.h>

/* Why a message is refused: name, status, machine-readable reason (for logs and the answer). The numbers of
 * the enum are kept in connection records: add at the end only. */
#define H1_REFUSAL_TABLE(X)                                                                                  \
    X(NOTHING, 0, "")                                                                                        \
    X(BAD_REQUEST_LINE, 400, "bad_request_line")                                                             \
    X(BAD_TARGET, 400, "bad_target")                                                                         \
    X(BAD_VERSION, 400, "bad_version")                                                                       \
    X(VERSION_UNKNOWN, 505, "version_unknown")                                                               \
    X(HEAD_CUT, 400, "head_cut")                                                                             \
    X(BARE_LF, 400, "bare_lf")                                                                               \
    X(BARE_CR, 400, "bare_cr")                                                                               \
    X(CONTROL_BYTE, 400, "control_byte")                                                                     \
    X(OBS_FOLD, 400, "obs_fold")                                                                             \
    X(SPACE_BEFORE_COLON, 400, "space_before_colon")                                                         \
    X(COLON_MISSING, 400, "colon_missing")                                                                   \
    X(BAD_FIELD_NAME, 400, "bad_field_name")                                                                 \
    X(HOST_MISSING, 400, "host_missing")                                                                     \
    X(HOST_REPEATED, 400, "host_repeated")                                                                   \
    X(HOST_INVALID, 400, "host_invalid")                                                                     \
    X(LENGTH_INVALID, 400, "content_length_invalid")                                                         \
    X(LENGTH_REPEATED, 400, "content_length_repeated")                                                       \
    X(LENGTH_AND_CODING, 400, "content_length_and_transfer_encoding")                                        \
    X(CODING_EMPTY, 400, "transfer_encoding_empty")                                                          \
    X(CODING_INVALID, 400, "transfer_encoding_invalid")                                                      \
    X(CODING_IN_1_0, 400, "transfer_encoding_in_http_1_0")                                                   \
    X(CHUNKED_NOT_LAST, 400, "chunked_not_last")                                                             \
    X(CHUNKED_REPEATED, 400, "chunked_repeated")                                                             \
    X(CODING_UNKNOWN, 501, "transfer_coding_unknown")                                                        \
    X(EXPECTATION_UNKNOWN, 417, "expectation_unknown")                                                       \
    X(CONTENT_TOO_LARGE, 413, "content_too_large")                                                           \
    X(URI_TOO_LONG, 414, "uri_too_long")                                                                     \
    X(FIELDS_TOO_LARGE, 431, "fields_too_large")                                                             \
    X(FIELDS_TOO_MANY, 431, "fields_too_many")                                                               \
    X(BAD_CHUNK_SIZE, 400, "bad_chunk_size")                                                                 \
    X(BAD_CHUNK_EXTENSION, 400, "bad_chunk_extension")                                                       \
    X(BAD_CHUNK_END, 400, "bad_chunk_end")                                                                   \
    X(CHUNK_OVERHEAD, 400, "chunk_overhead")                                                                 \
    X(BAD_TRAILER, 400, "bad_trailer")                                                                       \
    X(TRAILERS_TOO_LARGE, 431, "trailers_too_large")                                                         \
    X(BAD_PATH, 400, "bad_path")                                                                             \
    X(BAD_STATUS_LINE, 502, "bad_status_line")                                                               \
    X(BAD_STATUS, 502, "bad_status")                                                                         \
    X(BODY_IN_INTERIM, 502, "body_in_interim_response")

enum h1_refusal {
#define H1_REFUSAL_ENUM(name, status, reason) H1_REFUSE_##name,
    H1_REFUSAL_TABLE(H1_REFUSAL_ENUM)
#undef H1_REFUSAL_ENUM
};

/* Status to answer with; 0 for H1_REFUSE_NOTHING, 400 for a number that is not in the table. */
int h1_refusal_status(enum h1_refusal refusal);
/* The reason, static; empty for H1_REFUSE_NOTHING and for a number that is not in the table. */
struct slice h1_refusal_reason(enum h1_refusal refusal);

/* Methods are case-sensitive (RFC 9110 section 9.1); any other token is H1_OTHER. */
enum h1_method {
    H1_GET,
    H1_HEAD,
    H1_POST,
    H1_PUT,
    H1_DELETE,
    H1_OPTIONS,
    H1_PATCH,
    H1_CONNECT,
    H1_TRACE,
    H1_OTHER
};

/* RFC 9112 section 3.2. The authority form belongs to CONNECT alone, the asterisk form to OPTIONS alone. */
enum h1_target_form { H1_ORIGIN_FORM, H1_ABSOLUTE_FORM, H1_AUTHORITY_FORM, H1_ASTERISK_FORM };

struct h1_field {
    struct slice name, value; /* value without the white space around it */
};

#define H1_FIELDS_MAX 100

struct h1_head {
    enum h1_method method;
    enum h1_target_form form;
    struct slice method_text, target;
    /* Of the origin and absolute form, as sent, not decoded. An absolute form without a path has "/"
     * (static), or
     * "*" (static) and the asterisk form for OPTIONS (RFC 9112 section 3.2.4). Empty in the authority form.
     */
    struct slice path, query; /* query without its '?'; empty also if has_query is 0 */
    /* From the target if that has an authority, else from Host; as sent, without the port, an IPv6 address
     * with its brackets; case is not folded. Empty only in HTTP/1.0 without Host. */
    struct slice host;
    uint16_t host_port; /* 0: none given */
    int has_query;
    int version_minor;      /* 0 or 1; HTTP/1.2 to 1.9 count as 1 (RFC 9110 section 2.5) */
    int64_t content_length; /* bytes; -1: no Content-Length */
    int chunked;            /* the body is chunked; content_length is -1 then */
    int has_body;           /* chunked, or content_length > 0 */
    int keep_alive;         /* the connection may carry another request (RFC 9112 section 9.3) */
    int wants_upgrade;   /* Connection names "upgrade" (RFC 9110 section 7.8); Upgrade itself is not looked at
                          */
    int expect_continue; /* the client waits for 100 before it sends its body; never set without one */
    uint32_t field_count;
    struct h1_field fields[H1_FIELDS_MAX]; /* only the first field_count are set */
};

/* Looks for the end of a head in bytes[0, length). *scanned (in and out, 0 for a new request) remembers how
 * far has been looked, so every byte is looked at once, however the bytes arrive; only a CR in last place is
 * looked at again. One empty line before the request line is tolerated and counts as part of the head (RFC
 * 9112 section 2.2).
 *
 * 0 and *head_length (with the closing empty line); ERR_PARTIAL: no end yet; ERR_LIMIT: the head is longer
 * than `limit` bytes; ERR_SYNTAX: a line feed or carriage return on its own, or a control byte. The answer
 * does not depend on how the bytes are split. After the last two, h1_head_explain() tells the refusal. */
WARN_UNUSED int h1_head_find_end(const char *bytes, uint32_t length, uint32_t limit, uint32_t *scanned,
                                 uint32_t *head_length);

/* Why h1_head_find_end() answered ERR_SYNTAX or ERR_LIMIT to the same bytes and limit. Not for the fast path.
 */
enum h1_refusal h1_head_explain(const char *bytes, uint32_t length, uint32_t limit);

/* Parses a complete head: `length` is what h1_head_find_end() found. 0, and *head is filled in; else *refusal
 * tells the reason, *head is not to be used, and the connection is to be closed after the answer: ERR_SYNTAX
 * (4xx), ERR_LIMIT (413, 431), ERR_VERSION (505), ERR_UNSUPPORTED (417, 501). Safe for any bytes. */
WARN_UNUSED int h1_head_parse(const char *bytes, uint32_t length, struct h1_head *head,
                              enum h1_refusal *refusal);

/* The first field of that name (any case), or NULL. Borrowed from the head or the array. */
const struct h1_field *h1_field_find(const struct h1_head *head, struct slice name);
/* Its value, or empty. */
struct slice h1_field_value(const struct h1_head *head, struct slice name);
const struct h1_field *h1_fields_find(const struct h1_field *fields, uint32_t count, struct slice name);

/* Takes the next element off a comma-separated list (RFC 9110 section 5.6.1): 1, and *element without the
 * white space around it, *rest without it; 0 at the end. Empty elements are skipped. Knows no quoted strings.
 */
int h1_list_next(struct slice *rest, struct slice *element);
/* 1 if one element of the list is that token (any case), else 0. */
int h1_token_list_has(struct slice value, struct slice token);

/* A body in chunks (RFC 9112 section 7.1), taken apart byte by byte; all zero is the start of a body. Plain
 * data that may be copied and kept anywhere. `step` holds an enum h1_chunk_step, which only ever grows at its
 * end, because another version of the program may take it up. */
struct h1_chunks {
    uint8_t step;
    uint8_t digits;         /* hex digits of the size so far */
    uint8_t refusal;        /* enum h1_refusal that ended it */
    uint8_t keep_trailers;  /* 1: trailers are delivered, set by whoever wants them; 0: dropped */
    uint32_t overhead;      /* bytes in extensions not yet made good by data */
    uint32_t trailer_bytes; /* bytes after the last chunk */
    uint64_t left;          /* bytes of data to come in this chunk */
};
_Static_assert(sizeof(struct h1_chunks) <= 24, "kept per connection");

/* Hex digits in one size; chunks end at 2^63 - 1 bytes whatever the digits. */
#define H1_CHUNK_DIGITS_MAX 16
/* The bytes of all extensions may outweigh those of all data by this much at any point (RFC 9112
 * section 7.1.1 asks for a limit). Sizes need none: at worst 20 bytes of framing carry one of data. */
#define H1_CHUNK_OVERHEAD_MAX 16384
/* All trailer fields with their line ends. */
#define H1_TRAILER_BYTES_MAX 8192

#define H1_CHUNKS_END 1
#define H1_CHUNKS_TRAILER 2

/* Consumes as much framing as there is and at most one run of data from bytes[0, length).
 * 0: *data is a run of body bytes, never empty, inside `bytes`; call again with what follows *consumed.
 * ERR_PARTIAL: all bytes are consumed and more are needed. H1_CHUNKS_END: the body and its trailers are
 * complete, what follows *consumed is the next request; stays so. ERR_SYNTAX or ERR_LIMIT with *refusal;
 * stays so. The same bytes give the same data and the same end however they are split.
 *
 * With keep_trailers also H1_CHUNKS_TRAILER: *data is a trailer line without its line end, checked, for
 * h1_trailer_parse(); call again. A line is consumed only when it is complete: ERR_PARTIAL then leaves its
 * beginning unconsumed, to be offered again with more behind it. Who has no room for H1_TRAILER_BYTES_MAX
 * bytes and fills up first treats that as H1_REFUSE_TRAILERS_TOO_LARGE. */
WARN_UNUSED int h1_chunks_next(struct h1_chunks *chunks, const char *bytes, uint32_t length,
                               uint32_t *consumed, struct slice *data, enum h1_refusal *refusal);

/* Name and value of a trailer line. Borrowed from the line. */
struct h1_field h1_trailer_parse(struct slice line);
/* 1 if a trailer of that name may be passed on: not if it would mean something for framing, routing,
 * the connection, authentication or the reading of the content, which is decided before it comes (RFC 9110
 * section 6.5.1). */
int h1_trailer_may_pass(struct slice name);

/* 1 if a field of that name in a head with these fields is meant for this connection alone and must not be
 * passed on (RFC 9110 section 7.6.1): Connection and what it names, Keep-Alive, Proxy-Connection, TE,
 * Transfer-Encoding, Upgrade. Who speaks of framing, TE or an upgrade on the next connection writes these
 * fields anew. Proxy-Authenticate and Proxy-Authorization are the caller's policy; Trailer may pass.
 *
 * What Connection names is believed except for fields that are meant for every recipient, as naming those
 * is no legal option and would let a client take away what the next server relies on: Host, Content-*,
 * Expect, Range, Trailer, Cache-Control, Authorization, Cookie, Set-Cookie, Date, Via, Forwarded,
 * X-Forwarded-*, X-Real-IP. So naming never changes where a message goes, where it ends, or for whom. */
int h1_hop_by_hop(const struct h1_field *fields, uint32_t count, struct slice name);

/* The path that is matched and looked up, from the path as sent. Percent-encoding is undone once, empty
 * segments are merged ("//" is "/"), "." and ".." are resolved after decoding (RFC 3986 section 5.2.4), a
 * final slash stays. The result begins with '/', is NUL-terminated (not counted in *length), and may hold any
 * byte but NUL: encode it again before it goes into a header or a log.
 *
 * 0; ERR_SYNTAX: a percent sign without two hex digits; ERR_INVALID: no leading slash, a NUL or %00, %2F (an
 * encoded slash would change what the path means), or ".." above the root; ERR_NO_SPACE: `capacity` bytes do
 * not do; raw.length + 1 always do. */
WARN_UNUSED int h1_path_decode(struct slice raw, char *out, uint32_t capacity, uint32_t *length);

/* The phrase for a status line (RFC 9110 section 15), static; empty for a status without a registered one,
 * which is a legal phrase (RFC 9112 section 4). */
struct slice h1_reason_phrase(int status);

#endif
