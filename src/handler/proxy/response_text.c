#include "handler/proxy/response_text.h"

static void add_line(struct text *out, struct slice name, struct slice value)
{
    text_add(out, name);
    text_add(out, SLICE_LITERAL(": "));
    text_add(out, value);
    text_add(out, SLICE_LITERAL("\r\n"));
}

/* 1 if there is a Date among them. */
static int add_fields(const struct h1_response *response, struct text *out)
{
    int has_date = 0;

    for (uint32_t i = 0; i < response->field_count; i++) {
        const struct h1_field *field = &response->fields[i];

        if (slice_equals_nocase(field->name, SLICE_LITERAL("Content-Length")) ||
            h1_hop_by_hop(response->fields, response->field_count, field->name))
            continue;
        has_date |= slice_equals_nocase(field->name, SLICE_LITERAL("Date"));
        add_line(out, field->name, field->value);
    }
    return has_date;
}

int response_text_interim(const struct h1_response *response, struct text *out)
{
    text_add_f(out, "HTTP/1.1 %d ", response->status);
    text_add(out, response->phrase);
    text_add(out, SLICE_LITERAL("\r\n"));
    (void)add_fields(response, out);
    text_add(out, SLICE_LITERAL("\r\n"));
    return out->overflow ? ERR_NO_SPACE : 0;
}

static enum exchange_framing framing_of(const struct h1_response *response, int is_1_0)
{
    switch (response->body) {
    case H1_BODY_NONE:
        return EXCHANGE_NO_BODY;
    case H1_BODY_LENGTH:
        return EXCHANGE_FRAMED_BY_LENGTH;
    case H1_BODY_CHUNKED:
    case H1_BODY_TO_END:
        break;
    }
    return is_1_0 ? EXCHANGE_FRAMED_BY_END : EXCHANGE_FRAMED_BY_CHUNKS;
}

int response_text_final(const struct h1_response *response, int is_1_0, struct text *lines,
                        struct exchange_head_of *head)
{
    *head = (struct exchange_head_of){.status = response->status,
                                      .phrase = response->phrase,
                                      .framing = framing_of(response, is_1_0),
                                      .length = UINT64_MAX};
    if (response->content_length >= 0 && response->status != 204) /* RFC 9110 section 8.6 */
        head->length = (uint64_t)response->content_length;
    head->has_date = add_fields(response, lines);
    text_add(lines, response->version_minor ? SLICE_LITERAL("Via: 1.1 holdfast\r\n")
                                            : SLICE_LITERAL("Via: 1.0 holdfast\r\n"));
    head->lines = (struct slice){lines->at, lines->length};
    return lines->overflow ? ERR_NO_SPACE : 0;
}

int response_text_upgrade(const struct h1_response *response, struct text *lines,
                          struct exchange_head_of *head)
{
    const struct h1_field *upgrade =
        h1_fields_find(response->fields, response->field_count, SLICE_LITERAL("Upgrade"));

    if (!response->is_upgrade || !upgrade)
        return ERR_INVALID;
    *head = (struct exchange_head_of){
        .status = 101, .phrase = response->phrase, .framing = EXCHANGE_UPGRADED, .length = UINT64_MAX};
    head->has_date = add_fields(response, lines);
    add_line(lines, SLICE_LITERAL("Upgrade"), upgrade->value);
    head->lines = (struct slice){lines->at, lines->length};
    return lines->overflow ? ERR_NO_SPACE : 0;
}
