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

static int add_line(struct text *lines, const struct route_header *header,
                    const struct route_context *context)
{
    int result;

    text_add(lines, header->name);
    text_add_c(lines, ": ");
    result = template_render(header->value, route_value, context, lines);
    text_add_c(lines, "\r\n");
    return result ? result : lines->overflow ? ERR_LIMIT : 0;
}

int respond_change_fields(struct text *lines, const struct route_header *first,
                          const struct route_context *context)
{
    for (const struct route_header *header = first; header; header = header->next) {
        int result = 0;

        if (header->change != ROUTE_HEADER_ADD)
            remove_lines(lines, header->name);
        if (header->change != ROUTE_HEADER_REMOVE)
            result = add_line(lines, header, context);
        if (result)
            return result;
    }
    return 0;
}
