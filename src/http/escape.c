#include "http/escape.h"

/* What replaces a byte: written to `out`, its length returned; 0 leaves the byte as it is. */
typedef size_t (*escape_byte_fn)(unsigned char byte, char out[ESCAPE_HTML_MAX]);

/* Runs that need nothing are added in one piece. */
static void add_escaped(struct text *text, struct slice bytes, escape_byte_fn escape)
{
    size_t run = 0;

    for (size_t i = 0; i < bytes.length && !text->overflow; i++) {
        char out[ESCAPE_HTML_MAX];
        size_t length = escape((unsigned char)bytes.at[i], out);
        if (length == 0)
            continue;
        text_add(text, (struct slice){bytes.at + run, i - run});
        text_add(text, (struct slice){out, length});
        run = i + 1;
    }
    text_add(text, (struct slice){bytes.at + run, bytes.length - run});
}

static size_t put(char out[ESCAPE_HTML_MAX], struct slice replacement)
{
    for (size_t i = 0; i < replacement.length; i++)
        out[i] = replacement.at[i];
    return replacement.length;
}

static char hex_digit(unsigned value)
{
    return "0123456789ABCDEF"[value & 15];
}

static size_t html_byte(unsigned char byte, char out[ESCAPE_HTML_MAX])
{
    if (byte == '&')
        return put(out, SLICE_LITERAL("&amp;"));
    if (byte == '<')
        return put(out, SLICE_LITERAL("&lt;"));
    if (byte == '>')
        return put(out, SLICE_LITERAL("&gt;"));
    if (byte == '"')
        return put(out, SLICE_LITERAL("&quot;"));
    if (byte == '\'')
        return put(out, SLICE_LITERAL("&#39;"));
    if ((byte < 0x20 && byte != '\t' && byte != '\n') || byte == 0x7f)
        return put(out, SLICE_LITERAL("\xef\xbf\xbd"));
    return 0;
}

static size_t segment_byte(unsigned char byte, char out[ESCAPE_HTML_MAX])
{
    if ((byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9') ||
        byte == '-' || byte == '.' || byte == '_' || byte == '~')
        return 0;
    out[0] = '%';
    out[1] = hex_digit(byte >> 4);
    out[2] = hex_digit(byte);
    return 3;
}

static size_t path_byte(unsigned char byte, char out[ESCAPE_HTML_MAX])
{
    return byte == '/' ? 0 : segment_byte(byte, out);
}

static size_t log_byte(unsigned char byte, char out[ESCAPE_HTML_MAX])
{
    if (byte >= 0x20 && byte < 0x7f && byte != '"' && byte != '\\')
        return 0;
    out[0] = '\\';
    out[1] = 'x';
    out[2] = hex_digit(byte >> 4);
    out[3] = hex_digit(byte);
    return 4;
}

void escape_add_html(struct text *text, struct slice bytes)
{
    add_escaped(text, bytes, html_byte);
}

void escape_add_segment(struct text *text, struct slice bytes)
{
    add_escaped(text, bytes, segment_byte);
}

void escape_add_path(struct text *text, struct slice bytes)
{
    while (bytes.length > 1 && bytes.at[0] == '/' && bytes.at[1] == '/') {
        bytes.at++;
        bytes.length--;
    }
    add_escaped(text, bytes, path_byte);
}

void escape_add_log(struct text *text, struct slice bytes)
{
    if (bytes.length == 0)
        text_add(text, SLICE_LITERAL("-"));
    add_escaped(text, bytes, log_byte);
}
