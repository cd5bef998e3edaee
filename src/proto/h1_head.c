/* HTTP/1: where a head ends, and the head of a request. What the target and the fields mean is decided in h1_target.c and
 * h1_notes.c. */
#include "proto/h1_internal.h"

int h1_head_find_end(const char *bytes, uint32_t length, uint32_t limit, uint32_t *scanned,
                     uint32_t *head_length)
{
    uint32_t end = length < limit ? length : limit;
    uint32_t at = *scanned;
    while (at < end) {
        at = (uint32_t)(h1_skip_text(bytes + at, bytes + end) - bytes);
        if (at == end)
            break;
        if (bytes[at] == '\t') {
            at++;
            continue;
        }
        if (bytes[at] != '\r')
            return ERR_SYNTAX;
        if (at + 1 == end)
            break;
        if (bytes[at + 1] != '\n')
            return ERR_SYNTAX;
        if (at >= 2 && bytes[at - 1] == '\n') {
            *scanned = *head_length = at + 2;
            return 0;
        }
        at += 2;
    }
    *scanned = at;
    return length >= limit ? ERR_LIMIT : ERR_PARTIAL;
}

enum h1_refusal h1_head_explain(const char *bytes, uint32_t length, uint32_t limit)
{
    uint32_t end = length < limit ? length : limit, lines = 0;
    for (uint32_t i = 0; i < end; i++) {
        if (!h1_byte_is_control(bytes[i]) || bytes[i] == '\t')
            continue;
        if (bytes[i] == '\n')
            return H1_REFUSE_BARE_LF;
        if (bytes[i] != '\r')
            return H1_REFUSE_CONTROL_BYTE;
        if (i + 1 == end)
            break;
        if (bytes[i + 1] != '\n')
            return H1_REFUSE_BARE_CR;
        lines += i > 0; /* an empty line before the request line is not one */
        i++;
    }
    return lines > 0 ? H1_REFUSE_FIELDS_TOO_LARGE : H1_REFUSE_URI_TOO_LONG;
}

static enum h1_method method_of(struct slice text)
{
    static const struct {
        enum h1_method method;
        struct slice text;
    } known[] = {
        {H1_GET, {"GET", 3}},     {H1_HEAD, {"HEAD", 4}},       {H1_POST, {"POST", 4}},
        {H1_PUT, {"PUT", 3}},     {H1_DELETE, {"DELETE", 6}},   {H1_OPTIONS, {"OPTIONS", 7}},
        {H1_PATCH, {"PATCH", 5}}, {H1_CONNECT, {"CONNECT", 7}}, {H1_TRACE, {"TRACE", 5}},
    };
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (text.length == known[i].text.length && memcmp(text.at, known[i].text.at, text.length) == 0)
            return known[i].method;
    return H1_OTHER;
}

static enum h1_refusal read_method(struct h1_reader *reader, struct h1_head *head)
{
    const char *from = reader->at;
    reader->at = h1_skip_class(from, reader->end, H1_IN_TOKEN);
    if (reader->at == from || reader->at == reader->end || *reader->at != ' ')
        return h1_refuse_here(reader, H1_REFUSE_BAD_REQUEST_LINE);
    head->method_text = h1_slice(from, reader->at++);
    head->method = method_of(head->method_text);
    return H1_REFUSE_NOTHING;
}

/* The path and the query, up to a byte that belongs to neither. */
static void read_origin_form(struct h1_reader *reader, struct h1_head *head)
{
    const char *from = reader->at;
    head->form = H1_ORIGIN_FORM;
    reader->at = h1_skip_class(from, reader->end, H1_IN_PATH);
    head->path = h1_slice(from, reader->at);
    if (reader->at == reader->end || *reader->at != '?')
        return;
    from = ++reader->at;
    reader->at = h1_skip_class(from, reader->end, H1_IN_QUERY);
    head->query = h1_slice(from, reader->at);
    head->has_query = 1;
}

static enum h1_refusal read_target(struct h1_reader *reader, struct h1_head *head)
{
    const char *from = reader->at;
    int origin = from < reader->end && *from == '/';
    if (origin)
        read_origin_form(reader, head);
    else
        reader->at = h1_skip_class(from, reader->end, H1_IN_QUERY);
    if (reader->at == from || h1_at_line_end(reader)) /* two spaces; or the line of HTTP/0.9 */
        return h1_refuse_here(reader, H1_REFUSE_BAD_REQUEST_LINE);
    if (reader->at == reader->end || *reader->at != ' ')
        return h1_refuse_here(reader, H1_REFUSE_BAD_TARGET);
    head->target = h1_slice(from, reader->at++);
    if (origin)
        return head->method == H1_CONNECT ? H1_REFUSE_BAD_TARGET : H1_REFUSE_NOTHING;
    return h1_target_parse(head);
}

static enum h1_refusal read_version(struct h1_reader *reader, struct h1_head *head)
{
    int known = h1_read_version(reader, &head->version_minor);
    if (known < 0)
        return h1_refuse_here(reader, H1_REFUSE_BAD_VERSION);
    enum h1_refusal refusal = h1_read_line_end(reader, H1_REFUSE_BAD_VERSION);
    if (refusal != H1_REFUSE_NOTHING)
        return refusal;
    return known ? H1_REFUSE_NOTHING : H1_REFUSE_VERSION_UNKNOWN;
}

static enum h1_refusal read_request_line(struct h1_reader *reader, struct h1_head *head)
{
    if (h1_at_line_end(reader))
        reader->at += 2;
    enum h1_refusal refusal = read_method(reader, head);
    if (refusal == H1_REFUSE_NOTHING)
        refusal = read_target(reader, head);
    if (refusal == H1_REFUSE_NOTHING)
        refusal = read_version(reader, head);
    return refusal;
}

/* Field lines up to and with the empty line. */
static enum h1_refusal read_fields(struct h1_reader *reader, struct h1_head *head, struct h1_notes *notes)
{
    while (reader->at < reader->end && *reader->at != '\r') {
        struct h1_field *field = &head->fields[head->field_count];
        if (head->field_count == H1_FIELDS_MAX)
            return H1_REFUSE_FIELDS_TOO_MANY;
        enum h1_refusal refusal = h1_read_field(reader, field);
        if (refusal != H1_REFUSE_NOTHING)
            return refusal;
        head->field_count++;
        h1_notes_take(notes, field);
    }
    return h1_read_line_end(reader, H1_REFUSE_HEAD_CUT);
}

int h1_head_parse(const char *bytes, uint32_t length, struct h1_head *head, enum h1_refusal *refusal)
{
    struct h1_reader reader = {bytes, bytes + length};
    struct h1_notes notes = {0};
    memset(head, 0, offsetof(struct h1_head, fields)); /* the fields themselves are 3 KB and need none */
    *refusal = read_request_line(&reader, head);
    if (*refusal == H1_REFUSE_NOTHING)
        *refusal = read_fields(&reader, head, &notes);
    if (*refusal == H1_REFUSE_NOTHING && reader.at != reader.end)
        *refusal = H1_REFUSE_HEAD_CUT; /* not the length that was found */
    if (*refusal == H1_REFUSE_NOTHING)
        *refusal = h1_notes_decide(&notes, head);
    return h1_refusal_error(*refusal);
}
