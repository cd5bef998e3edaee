#include "http/etag.h"

#include "base/assert.h"

#include <inttypes.h>

struct slice etag_write(const struct etag_source *source, char out[ETAG_SIZE])
{
    struct text text;

    text_init(&text, out, ETAG_SIZE);
    text_add_f(&text, "\"%" PRIx64 "-%" PRIx64 "-%" PRIx32 "-%" PRIx64, source->size,
               (uint64_t)source->modified_s, source->modified_ns, source->inode);
    if (source->coding != CODING_IDENTITY) {
        text_add(&text, SLICE_LITERAL("-"));
        text_add(&text, coding_token(source->coding));
        if (source->maker)
            text_add_f(&text, "%" PRIx32, source->maker);
    }
    text_add(&text, SLICE_LITERAL("\""));
    MUST(!text.overflow);
    return (struct slice){text.at, text.length};
}

static int is_tag_byte(char c)
{
    unsigned char byte = (unsigned char)c;

    return byte > ' ' && byte != '"' && byte != 0x7f;
}

/* Takes one tag off the front. */
static int take_tag(struct slice *rest, struct etag *tag)
{
    struct slice text = *rest;
    size_t length = 1;

    tag->is_weak = slice_starts_with(text, SLICE_LITERAL("W/")); /* in capitals only */
    if (tag->is_weak)
        text = (struct slice){text.at + 2, text.length - 2};
    if (text.length == 0 || *text.at != '"')
        return ERR_SYNTAX;
    while (length < text.length && is_tag_byte(text.at[length]))
        length++;
    if (length == text.length || text.at[length] != '"')
        return ERR_SYNTAX;
    tag->text = (struct slice){text.at, length + 1};
    *rest = (struct slice){text.at + length + 1, text.length - length - 1};
    return 0;
}

static void skip(struct slice *rest, int commas_too)
{
    while (rest->length > 0 && (*rest->at == ' ' || *rest->at == '\t' || (commas_too && *rest->at == ','))) {
        rest->at++;
        rest->length--;
    }
}

int etag_list_next(struct slice *rest, struct etag *tag)
{
    skip(rest, 1);
    if (rest->length == 0)
        return 0;
    if (take_tag(rest, tag))
        return ERR_SYNTAX;
    skip(rest, 0);
    return rest->length == 0 || *rest->at == ',' ? 1 : ERR_SYNTAX;
}

int etag_parse(struct slice text, struct etag *tag)
{
    int error = take_tag(&text, tag);

    return error ? error : text.length > 0 ? ERR_SYNTAX : 0;
}

int etag_equals_strong(const struct etag *a, const struct etag *b)
{
    return !a->is_weak && !b->is_weak && slice_equals(a->text, b->text);
}

int etag_equals_weak(const struct etag *a, const struct etag *b)
{
    return slice_equals(a->text, b->text);
}
