/* HTTP/1: the lines of a head, the same in requests and responses (RFC 9112 sections 2 and 5). */
#include "proto/h1_internal.h"

/* A stray control byte is the better explanation. */
enum h1_refusal h1_refuse_here(const struct h1_reader *reader, enum h1_refusal otherwise)
{
    const char *at = reader->at;
    if (at == reader->end)
        return H1_REFUSE_HEAD_CUT;
    if (*at == '\n')
        return H1_REFUSE_BARE_LF;
    if (*at == '\r' && at + 1 == reader->end)
        return H1_REFUSE_HEAD_CUT;
    if (*at == '\r' && at[1] != '\n')
        return H1_REFUSE_BARE_CR;
    if (*at == '\r' || *at == '\t' || !h1_byte_is_control(*at))
        return otherwise;
    return H1_REFUSE_CONTROL_BYTE;
}

int h1_at_line_end(const struct h1_reader *reader)
{
    return reader->end - reader->at >= 2 && reader->at[0] == '\r' && reader->at[1] == '\n';
}

enum h1_refusal h1_read_line_end(struct h1_reader *reader, enum h1_refusal otherwise)
{
    if (!h1_at_line_end(reader))
        return h1_refuse_here(reader, otherwise);
    reader->at += 2;
    return H1_REFUSE_NOTHING;
}

int h1_read_version(struct h1_reader *reader, int *minor)
{
    const char *at = reader->at;
    if (reader->end - at < 8 || memcmp(at, "HTTP/", 5) != 0 || at[5] < '0' || at[5] > '9' || at[6] != '.' ||
        at[7] < '0' || at[7] > '9')
        return -1;
    reader->at += 8;
    *minor = at[7] != '0';
    return at[5] == '1';
}

struct slice h1_read_text(struct h1_reader *reader)
{
    const char *from, *to;
    while (reader->at < reader->end && h1_byte_is_blank(*reader->at))
        reader->at++;
    from = reader->at;
    for (;;) {
        reader->at = h1_skip_text(reader->at, reader->end);
        if (reader->at == reader->end || *reader->at != '\t')
            break;
        reader->at++;
    }
    for (to = reader->at; to > from && h1_byte_is_blank(to[-1]); to--)
        continue;
    return h1_slice(from, to);
}

static enum h1_refusal read_field_name(struct h1_reader *reader, struct slice *name)
{
    const char *from = reader->at;
    if (h1_byte_is_blank(*from)) /* also right after the first line, RFC 9112 section 2.2 */
        return H1_REFUSE_OBS_FOLD;
    reader->at = h1_skip_class(from, reader->end, H1_IN_TOKEN);
    if (h1_at_line_end(reader))
        return H1_REFUSE_COLON_MISSING;
    if (reader->at < reader->end && reader->at > from && h1_byte_is_blank(*reader->at))
        return H1_REFUSE_SPACE_BEFORE_COLON;
    if (reader->at == reader->end || reader->at == from || *reader->at != ':')
        return h1_refuse_here(reader, H1_REFUSE_BAD_FIELD_NAME);
    *name = h1_slice(from, reader->at++);
    return H1_REFUSE_NOTHING;
}

enum h1_refusal h1_read_field(struct h1_reader *reader, struct h1_field *field)
{
    enum h1_refusal refusal = read_field_name(reader, &field->name);
    if (refusal != H1_REFUSE_NOTHING)
        return refusal;
    field->value = h1_read_text(reader);
    return h1_read_line_end(reader, H1_REFUSE_CONTROL_BYTE);
}

int h1_refusal_error(enum h1_refusal refusal)
{
    switch (h1_refusal_status(refusal)) {
    case 0:
        return 0;
    case 413:
    case 414:
    case 431:
        return ERR_LIMIT;
    case 417:
    case 501:
        return ERR_UNSUPPORTED;
    case 505:
        return ERR_VERSION;
    default:
        return ERR_SYNTAX;
    }
}
