/* The changes that a route's `header` statements make to a response's header. */
#include "http/respond_fields.h"

#include <string.h>

/* The end of the line that begins at `from`, past its CRLF. */
static size_t line_end(const struct text *lines, size_t from)
{
    const char *end = memchr(lines->at + from, '\n', lines->length - from);

    return end ? (size_t)(end - lines->at) + 1 : lines->length;
}

static void remove_lines(struct text *lines, struct slice name)
{
    size_t at = 0;

    while (at < lines->length) {
        size_t end = line_end(lines, at);
        struct slice begins = {lines->at + at, name.length};

        if (end - at > name.length && lines->at[at + name.length] == ':' &&
            slice_equals_nocase(begins, name)) {
            memmove(lines->at + at, lines->at + end, lines->length - end + 1);
            lines->length -= end - at;
        } else {
            at = end;
        }
    }
}

/* Adds the value of one `set` or `add`. */
struct value_source {
    const struct route_context *context; /* of the request; or else: */
    struct slice saved;                  /* what respond_save_values wrote and is not used yet */
};

/* Saved as two bytes of length, and the value. */
static int add_saved(struct value_source *source, struct text *out)
{
    const unsigned char *bytes = (const unsigned char *)source->saved.at;
    size_t length;

    if (source->saved.length < 2)
        return ERR_INVALID;
    length = (size_t)bytes[0] << 8 | bytes[1];
    if (source->saved.length < 2 + length)
        return ERR_INVALID;
    text_add(out, (struct slice){source->saved.at + 2, length});
    source->saved.at += 2 + length;
    source->saved.length -= 2 + length;
    return 0;
}

static int add_value(struct value_source *source, const struct template *value, struct text *out)
{
    if (!source->context && !template_is_constant(value))
        return add_saved(source, out);
    return template_render(value, route_value, source->context, out);
}

static int add_line(struct text *lines, const struct route_header *header, struct value_source *source)
{
    int result;

    text_add(lines, header->name);
    text_add_c(lines, ": ");
    result = add_value(source, header->value, lines);
    text_add_c(lines, "\r\n");
    return result ? result : lines->overflow ? ERR_LIMIT : 0;
}

static int change_fields(struct text *lines, const struct route_header *first, struct value_source *source)
{
    for (const struct route_header *header = first; header; header = header->next) {
        int result = 0;

        if (header->change != ROUTE_HEADER_ADD)
            remove_lines(lines, header->name);
        if (header->change != ROUTE_HEADER_REMOVE)
            result = add_line(lines, header, source);
        if (result)
            return result;
    }
    return 0;
}

int respond_change_fields(struct text *lines, const struct route_header *first,
                          const struct route_context *context)
{
    struct value_source source = {.context = context};

    return change_fields(lines, first, &source);
}

int respond_change_fields_saved(struct text *lines, const struct route_header *first, struct slice values)
{
    struct value_source source = {.saved = values};

    return change_fields(lines, first, &source);
}

int respond_save_values(const struct route_header *first, const struct route_context *context,
                        struct text *values)
{
    for (const struct route_header *header = first; header; header = header->next) {
        const size_t at = values->length;
        size_t length;
        int result;

        if (header->change == ROUTE_HEADER_REMOVE || template_is_constant(header->value))
            continue;
        text_add(values, (struct slice){"??", 2});
        result = template_render(header->value, route_value, context, values);
        length = values->length - at - 2;
        if (result || values->overflow || length > UINT16_MAX)
            return ERR_NO_SPACE;
        values->at[at] = (char)(length >> 8);
        values->at[at + 1] = (char)length;
    }
    return 0;
}
