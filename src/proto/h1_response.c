/* HTTP/1: the head of a response. Its field lines are read by h1_line.c, and what they say about framing is
 * decided in h1_notes.c, as for a request. */
#include "proto/h1_response.h"

#include "proto/h1_internal.h"

#define START "HTTP/"

static int may_become_response(const char *bytes, uint32_t length)
{
    uint32_t start = sizeof(START) - 1;
    return length == 0 || memcmp(bytes, START, length < start ? length : start) == 0;
}

int h1_response_find_end(const char *bytes, uint32_t length, uint32_t limit, uint32_t *scanned,
                         uint32_t *head_length)
{
    if (!may_become_response(bytes, length))
        return ERR_SYNTAX;
    return h1_head_find_end(bytes, length, limit, scanned, head_length);
}

enum h1_refusal h1_response_explain(const char *bytes, uint32_t length, uint32_t limit)
{
    if (!may_become_response(bytes, length))
        return H1_REFUSE_BAD_STATUS_LINE;
    enum h1_refusal refusal = h1_head_explain(bytes, length, limit);
    return refusal == H1_REFUSE_URI_TOO_LONG ? H1_REFUSE_FIELDS_TOO_LARGE : refusal;
}

/* Three digits, a space, the phrase; the version is read. */
static enum h1_refusal read_status(struct h1_reader *reader, struct h1_response *response)
{
    const char *at = reader->at;
    if (at == reader->end || *at != ' ')
        return h1_refuse_here(reader, H1_REFUSE_BAD_STATUS_LINE);
    at = ++reader->at;
    for (; reader->at < reader->end && *reader->at >= '0' && *reader->at <= '9'; reader->at++)
        if (reader->at - at < 3)
            response->status = response->status * 10 + (*reader->at - '0');
    if (reader->at - at != 3 || response->status < 100)
        return h1_refuse_here(reader, H1_REFUSE_BAD_STATUS);
    if (h1_at_line_end(reader))
        return h1_read_line_end(reader, H1_REFUSE_BAD_STATUS_LINE);
    if (reader->at == reader->end || *reader->at != ' ')
        return h1_refuse_here(reader, H1_REFUSE_BAD_STATUS);
    response->phrase = h1_read_text(reader);
    return h1_read_line_end(reader, H1_REFUSE_BAD_STATUS_LINE);
}

static enum h1_refusal read_status_line(struct h1_reader *reader, struct h1_response *response)
{
    int known = h1_read_version(reader, &response->version_minor);
    if (known < 0)
        return h1_refuse_here(reader, H1_REFUSE_BAD_STATUS_LINE);
    return known ? read_status(reader, response) : H1_REFUSE_VERSION_UNKNOWN;
}

static enum h1_refusal read_fields(struct h1_reader *reader, struct h1_response *response,
                                   struct h1_notes *notes)
{
    while (reader->at < reader->end && *reader->at != '\r') {
        struct h1_field *field = &response->fields[response->field_count];
        if (response->field_count == H1_FIELDS_MAX)
            return H1_REFUSE_FIELDS_TOO_MANY;
        enum h1_refusal refusal = h1_read_field(reader, field);
        if (refusal != H1_REFUSE_NOTHING)
            return refusal;
        response->field_count++;
        h1_notes_take(notes, field);
    }
    return h1_read_line_end(reader, H1_REFUSE_HEAD_CUT);
}

/* RFC 9112 section 6.3, in its order. */
static enum h1_refusal decide_body(struct h1_response *response, const struct h1_notes *notes,
                                   int is_head_request)
{
    int status = response->status;
    int announces = response->chunked || response->content_length > 0;
    response->keep_alive = h1_notes_keep_alive(notes, response->version_minor);
    response->is_upgrade = notes->upgrade != 0;
    response->body = H1_BODY_NONE;
    if (status < 200)
        return announces ? H1_REFUSE_BODY_IN_INTERIM : H1_REFUSE_NOTHING;
    if (status == 204)
        response->keep_alive = response->keep_alive && !announces;
    if (status == 204 || status == 304 || is_head_request)
        return H1_REFUSE_NOTHING;
    if (response->chunked) {
        response->body = H1_BODY_CHUNKED;
    } else if (response->content_length < 0) {
        response->body = H1_BODY_TO_END;
        response->keep_alive = 0;
    } else if (response->content_length > 0) {
        response->body = H1_BODY_LENGTH;
    }
    return H1_REFUSE_NOTHING;
}

int h1_response_parse(const char *bytes, uint32_t length, int is_head_request, struct h1_response *response,
                      enum h1_refusal *refusal)
{
    struct h1_reader reader = {bytes, bytes + length};
    struct h1_notes notes = {0};
    memset(response, 0, offsetof(struct h1_response, fields)); /* as for a request: 3 KB that need none */
    *refusal = read_status_line(&reader, response);
    if (*refusal == H1_REFUSE_NOTHING)
        *refusal = read_fields(&reader, response, &notes);
    if (*refusal == H1_REFUSE_NOTHING && reader.at != reader.end)
        *refusal = H1_REFUSE_HEAD_CUT; /* not the length that was found */
    if (*refusal == H1_REFUSE_NOTHING)
        *refusal =
            h1_notes_framing(&notes, response->version_minor, &response->content_length, &response->chunked);
    if (*refusal == H1_REFUSE_NOTHING)
        *refusal = decide_body(response, &notes, is_head_request);
    return h1_refusal_error(*refusal);
}
