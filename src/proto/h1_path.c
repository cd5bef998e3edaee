/* HTTP/1: from the path as sent to the path that is matched. Segment by segment: decode it, then look what it
 * is, so that "%2e%2e" is as good as ".." and nothing is decoded twice. */
#include "proto/h1_internal.h"

/* Decodes the byte at raw[*at] and moves past it. */
static int decode_byte(struct slice raw, size_t *at, char *byte)
{
    *byte = raw.at[(*at)++];
    if (*byte == '%') {
        if (raw.length - *at < 2 || !h1_byte_is(raw.at[*at], H1_IN_HEX) ||
            !h1_byte_is(raw.at[*at + 1], H1_IN_HEX))
            return ERR_SYNTAX;
        *byte = (char)(h1_hex_value(raw.at[*at]) << 4 | h1_hex_value(raw.at[*at + 1]));
        *at += 2;
        if (*byte == '/')
            return ERR_INVALID;
    }
    return *byte == '\0' ? ERR_INVALID : 0;
}

/* Writes the segment from raw[*at] up to a slash or the end to out[*used], which has room up to `capacity`.
 */
static int decode_segment(struct slice raw, size_t *at, char *out, uint32_t capacity, uint32_t *used)
{
    while (*at < raw.length && raw.at[*at] != '/') {
        char byte;
        int error = decode_byte(raw, at, &byte);
        if (error != 0)
            return error;
        if (*used == capacity)
            return ERR_NO_SPACE;
        out[(*used)++] = byte;
    }
    return 0;
}

/* `out` ends in a slash; drops the segment before it. */
static int drop_last_segment(const char *out, uint32_t *used)
{
    if (*used == 1)
        return ERR_INVALID;
    do
        --*used;
    while (out[*used - 1] != '/');
    return 0;
}

int h1_path_decode(struct slice raw, char *out, uint32_t capacity, uint32_t *length)
{
    uint32_t used = 1; /* before each segment, out[0, used) ends in a slash */
    size_t at = 0;
    if (raw.length == 0 || raw.at[0] != '/')
        return ERR_INVALID;
    if (capacity < 2)
        return ERR_NO_SPACE;
    capacity--; /* the NUL */
    out[0] = '/';
    while (at < raw.length) {
        uint32_t segment = used;
        at++; /* the slash */
        int error = decode_segment(raw, &at, out, capacity, &used);
        if (error != 0)
            return error;
        struct slice text = {out + segment, used - segment};
        int up = slice_equals(text, SLICE_LITERAL(".."));
        if (up || slice_equals(text, SLICE_LITERAL(".")))
            used = segment;
        if (up && (error = drop_last_segment(out, &used)) != 0)
            return error;
        if (used == segment || up || at == raw.length) /* nothing was added, or no slash follows */
            continue;
        if (used == capacity)
            return ERR_NO_SPACE;
        out[used++] = '/';
    }
    out[used] = '\0';
    *length = used;
    return 0;
}
