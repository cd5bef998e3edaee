/* HTTP/1: the few fields that decide how the body is framed and what becomes of the connection. Each line is
 * noted as it is read; the decision is made once, when all have been seen, so that it cannot depend on their
 * order. */
#include "proto/h1_internal.h"

/* Transfer-Encoding = #( token *( OWS ";" OWS parameter ) ), several lines making one list (RFC 9112
 * section 6.1). */
static void note_codings(struct h1_notes *notes, struct slice value)
{
    struct slice coding;
    notes->coding_lines++;
    while (h1_list_next(&value, &coding)) {
        const char *end = coding.at + coding.length;
        const char *name_end = h1_skip_class(coding.at, end, H1_IN_TOKEN);
        int chunked = slice_equals_nocase(h1_slice(coding.at, name_end), SLICE_LITERAL("chunked"));
        notes->codings++;
        notes->last_chunked = (unsigned)chunked;
        notes->chunked += (unsigned)chunked;
        notes->other_coding |= !chunked;
        /* chunked has no parameters, RFC 9112 section 7.1 */
        if (name_end == coding.at ||
            (name_end < end && (chunked || (*name_end != ';' && !h1_byte_is_blank(*name_end)))))
            notes->coding_invalid = 1;
    }
}

static void note_connection(struct h1_notes *notes, struct slice value)
{
    struct slice option;
    while (h1_list_next(&value, &option)) {
        if (slice_equals_nocase(option, SLICE_LITERAL("close")))
            notes->close = 1;
        else if (slice_equals_nocase(option, SLICE_LITERAL("keep-alive")))
            notes->keep_alive = 1;
        else if (slice_equals_nocase(option, SLICE_LITERAL("upgrade")))
            notes->upgrade = 1;
    }
}

static void note_expectations(struct h1_notes *notes, struct slice value)
{
    struct slice expectation;
    while (h1_list_next(&value, &expectation)) {
        if (slice_equals_nocase(expectation, SLICE_LITERAL("100-continue")))
            notes->expect_continue = 1;
        else
            notes->expect_other = 1;
    }
}

static int is_named(const struct h1_field *field, const char *name)
{
    return slice_equals_nocase(field->name, (struct slice){name, field->name.length});
}

void h1_notes_take(struct h1_notes *notes, const struct h1_field *field)
{
    switch (field->name.length) {
    case sizeof("Host") - 1:
        if (is_named(field, "Host")) {
            notes->hosts++;
            notes->host = field->value;
        }
        break;
    case sizeof("Expect") - 1:
        if (is_named(field, "Expect"))
            note_expectations(notes, field->value);
        break;
    case sizeof("Connection") - 1:
        if (is_named(field, "Connection"))
            note_connection(notes, field->value);
        break;
    case sizeof("Content-Length") - 1:
        if (is_named(field, "Content-Length")) {
            notes->lengths++;
            notes->length = field->value;
        }
        break;
    case sizeof("Transfer-Encoding") - 1:
        if (is_named(field, "Transfer-Encoding"))
            note_codings(notes, field->value);
        break;
    default:
        break;
    }
}

/* RFC 9112 section 3.2. A Host beside an absolute target is checked all the same, and then ignored. */
static enum h1_refusal decide_host(const struct h1_notes *notes, struct h1_head *head)
{
    struct slice host;
    uint16_t port;
    if (notes->hosts == 0)
        return head->version_minor == 0 ? H1_REFUSE_NOTHING : H1_REFUSE_HOST_MISSING;
    if (notes->hosts > 1)
        return H1_REFUSE_HOST_REPEATED;
    if (h1_authority_parse(notes->host, &host, &port) != 0)
        return H1_REFUSE_HOST_INVALID;
    if (head->host.length == 0) {
        head->host = host;
        head->host_port = port;
    }
    return H1_REFUSE_NOTHING;
}

static enum h1_refusal decide_length(const struct h1_notes *notes, int64_t *content_length)
{
    uint64_t value;
    *content_length = -1;
    if (notes->lengths == 0)
        return H1_REFUSE_NOTHING;
    if (notes->lengths >
        1) /* also where they agree: RFC 9112 section 6.3 allows it, nobody honest needs it */
        return H1_REFUSE_LENGTH_REPEATED;
    int error = slice_to_u64(notes->length, &value);
    if (error != 0)
        return error == ERR_LIMIT ? H1_REFUSE_CONTENT_TOO_LARGE : H1_REFUSE_LENGTH_INVALID;
    *content_length = (int64_t)value;
    return H1_REFUSE_NOTHING;
}

/* RFC 9112 sections 6.1 and 6.3. Codings other than chunked are not done; where chunked is not the last, the
 * end of the body would be unknown, and that (a MUST) comes before 501 (a SHOULD). */
static enum h1_refusal decide_coding(const struct h1_notes *notes, int version_minor, int *chunked)
{
    *chunked = 0;
    if (notes->coding_lines == 0)
        return H1_REFUSE_NOTHING;
    if (notes->lengths > 0)
        return H1_REFUSE_LENGTH_AND_CODING;
    if (version_minor == 0)
        return H1_REFUSE_CODING_IN_1_0;
    if (notes->codings == 0)
        return H1_REFUSE_CODING_EMPTY;
    if (notes->coding_invalid)
        return H1_REFUSE_CODING_INVALID;
    if (notes->chunked > 1)
        return H1_REFUSE_CHUNKED_REPEATED;
    if (!notes->last_chunked)
        return H1_REFUSE_CHUNKED_NOT_LAST;
    if (notes->other_coding)
        return H1_REFUSE_CODING_UNKNOWN;
    *chunked = 1;
    return H1_REFUSE_NOTHING;
}

enum h1_refusal h1_notes_framing(const struct h1_notes *notes, int version_minor, int64_t *content_length,
                                 int *chunked)
{
    enum h1_refusal refusal = decide_length(notes, content_length);
    return refusal != H1_REFUSE_NOTHING ? refusal : decide_coding(notes, version_minor, chunked);
}

int h1_notes_keep_alive(const struct h1_notes *notes, int version_minor)
{
    return !notes->close && (version_minor > 0 || notes->keep_alive);
}

enum h1_refusal h1_notes_decide(const struct h1_notes *notes, struct h1_head *head)
{
    enum h1_refusal refusal = decide_host(notes, head);
    if (refusal == H1_REFUSE_NOTHING)
        refusal = h1_notes_framing(notes, head->version_minor, &head->content_length, &head->chunked);
    if (refusal != H1_REFUSE_NOTHING)
        return refusal;
    head->has_body = head->chunked || head->content_length > 0;
    head->keep_alive = h1_notes_keep_alive(notes, head->version_minor);
    head->wants_upgrade = notes->upgrade != 0;
    if (head->version_minor == 0) /* knows no expectations, RFC 9110 section 10.1.1 */
        return H1_REFUSE_NOTHING;
    head->expect_continue = notes->expect_continue && head->has_body;
    return notes->expect_other ? H1_REFUSE_EXPECTATION_UNKNOWN : H1_REFUSE_NOTHING;
}
