#include "http/respond_head.h"

#include "http/respond_fields.h"

static void add_length(const struct exchange_head_of *head, struct text *out)
{
    text_add(out, SLICE_LITERAL("Content-Length: "));
    text_add_u64(out, head->length);
    text_add(out, SLICE_LITERAL("\r\n"));
}

static void add_framing(const struct exchange_head_of *head, const struct respond_to *to, struct text *out)
{
    if (head->framing == EXCHANGE_FRAMED_BY_CHUNKS)
        text_add(out, SLICE_LITERAL("Transfer-Encoding: chunked\r\n"));
    else if (head->framing == EXCHANGE_FRAMED_BY_LENGTH ||
             (head->framing == EXCHANGE_NO_BODY && head->length != UINT64_MAX))
        add_length(head, out);
    if (head->framing == EXCHANGE_UPGRADED)
        text_add(out, SLICE_LITERAL("Connection: upgrade\r\n"));
    else if (to->closes)
        text_add(out, SLICE_LITERAL("Connection: close\r\n"));
    else if (to->is_1_0)
        text_add(out, SLICE_LITERAL("Connection: keep-alive\r\n"));
    text_add(out, SLICE_LITERAL("\r\n"));
}

int respond_head_make(const struct exchange_head_of *head, const struct respond_to *to, struct text *out)
{
    struct text lines;

    text_add(out, SLICE_LITERAL("HTTP/1.1 "));
    text_add_u64(out, (uint64_t)head->status);
    text_add(out, SLICE_LITERAL(" "));
    text_add(out, head->phrase);
    text_add(out, SLICE_LITERAL("\r\n"));
    if (!head->has_date) {
        text_add(out, SLICE_LITERAL("Date: "));
        text_add(out, to->date);
        text_add(out, SLICE_LITERAL("\r\n"));
    }
    lines = (struct text){.at = out->at + out->length, .capacity = out->capacity - out->length};
    text_add(&lines, head->lines);
    if (out->overflow || lines.overflow ||
        respond_change_fields_saved(&lines, to->changes, head->edit_values))
        return ERR_NO_SPACE;
    out->length += lines.length;
    add_framing(head, to, out);
    return out->overflow ? ERR_NO_SPACE : 0;
}
