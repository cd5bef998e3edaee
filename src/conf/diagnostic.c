#include "conf/diagnostic.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define EXCERPT_CHARACTERS 100u /* of a long line */
#define EXCERPT_BEFORE 60u      /* of them before the caret */

void diagnostics_init(struct diagnostics *diagnostics)
{
    diagnostics->count = 0;
}

int diagnostics_full(const struct diagnostics *diagnostics)
{
    return diagnostics->count >= DIAGNOSTICS_MAX;
}

/* The length of the printable UTF-8 character (RFC 3629) at `at`, 0 if there is none. C1 controls count as
 * none: some terminals obey them. */
static size_t printable_length(const unsigned char *at, size_t left)
{
    static const struct {
        unsigned char first_low, first_high, second_low, second_high, length;
    } forms[] = {
        {0x20, 0x7e, 0, 0, 1},       {0xc2, 0xc2, 0xa0, 0xbf, 2}, {0xc3, 0xdf, 0x80, 0xbf, 2},
        {0xe0, 0xe0, 0xa0, 0xbf, 3}, {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3},
        {0xee, 0xef, 0x80, 0xbf, 3}, {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4},
        {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        if (at[0] < forms[i].first_low || at[0] > forms[i].first_high)
            continue;
        size_t length = forms[i].length;
        if (length > left || (length > 1 && (at[1] < forms[i].second_low || at[1] > forms[i].second_high)))
            return 0;
        for (size_t k = 2; k < length; k++) {
            if (at[k] < 0x80 || at[k] > 0xbf)
                return 0;
        }
        return length;
    }
    return 0;
}

/* Adds bytes to a text, everything that is not printable as '?'. Stops before a character that does not fit.
 */
static void add_printable(struct text *out, struct slice bytes)
{
    for (size_t i = 0; i < bytes.length;) {
        size_t length = printable_length((const unsigned char *)bytes.at + i, bytes.length - i);
        if (length)
            text_add(out, (struct slice){bytes.at + i, length});
        else
            text_add_c(out, "?");
        i += length ? length : 1;
    }
}

/* The same for a message that is too long for its place: it then ends in "...". */
static void copy_printable(char *out, size_t capacity, const char *from)
{
    struct text text;
    text_init(&text, out, capacity - 3);
    add_printable(&text, slice_of(from));
    if (text.overflow)
        memcpy(out + text.length, "...", sizeof "...");
}

static int is_continuation(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

/* The part of a line that is shown: columns first to end - 1. Columns are counted as the lexer counts them: every
 * byte but UTF-8's continuation bytes begins one. */
struct excerpt {
    uint32_t first, end;
    uint32_t caret, caret_end;
    struct text line, marks;
};

static size_t character_length(struct slice source, size_t at)
{
    size_t length = 1;
    while (at + length < source.length && is_continuation(source.at[at + length]))
        length++;
    return length;
}

static void excerpt_character(struct excerpt *excerpt, uint32_t column, struct slice character)
{
    int tab = *character.at == '\t';
    int readable =
        printable_length((const unsigned char *)character.at, character.length) == character.length;
    text_add(&excerpt->line, readable || tab ? character : SLICE_LITERAL("?"));
    if (column < excerpt->caret)
        text_add_c(&excerpt->marks, tab ? "\t" : " ");
    else if (column < excerpt->caret_end)
        text_add_c(&excerpt->marks, column == excerpt->caret ? "^" : "~");
}

/* Cuts the line, and puts the caret and its tail under it. */
static void excerpt_line(struct diagnostic *diagnostic, const struct diagnostic_place *place)
{
    struct excerpt excerpt = {.first =
                                  place->column > EXCERPT_BEFORE + 20 ? place->column - EXCERPT_BEFORE : 1,
                              .caret = place->column,
                              .caret_end = place->column + (place->width ? place->width : 1)};
    excerpt.end = excerpt.first + EXCERPT_CHARACTERS;
    text_init(&excerpt.line, diagnostic->excerpt, sizeof diagnostic->excerpt);
    text_init(&excerpt.marks, diagnostic->caret, sizeof diagnostic->caret);
    text_add_c(&excerpt.line, excerpt.first > 1 ? "..." : "");
    text_add_c(&excerpt.marks, excerpt.first > 1 ? "   " : "");
    uint32_t column = 1;
    for (size_t at = 0; at < place->source.length; column++) {
        if (column == excerpt.end) {
            text_add_c(&excerpt.line, "...");
            return;
        }
        size_t length = character_length(place->source, at);
        if (column >= excerpt.first)
            excerpt_character(&excerpt, column, (struct slice){place->source.at + at, length});
        at += length;
    }
    if (column <= excerpt.caret) /* just behind the end of the line */
        text_add_c(&excerpt.marks, "^");
}

/* The end of a path says more than its beginning. */
static void copy_path(char *out, size_t capacity, const char *path)
{
    size_t length = strlen(path);
    if (length < capacity - 4)
        copy_printable(out, capacity, path);
    else {
        memcpy(out, "...", 3);
        copy_printable(out + 3, capacity - 3, path + length - (capacity - 8));
    }
}

void diagnostics_add(struct diagnostics *diagnostics, const struct diagnostic_place *place, const char *hint,
                     const char *format, ...)
{
    size_t index = diagnostics->count++;
    if (index >= DIAGNOSTICS_MAX)
        return;
    struct diagnostic *diagnostic = &diagnostics->list[index];
    memset(diagnostic, 0, sizeof *diagnostic);
    diagnostic->file_order = place->file_order;
    diagnostic->line = place->line;
    diagnostic->column = place->column;
    copy_path(diagnostic->file, sizeof diagnostic->file, place->file);
    if (hint)
        copy_printable(diagnostic->hint, sizeof diagnostic->hint, hint);
    char message[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    copy_printable(diagnostic->message, sizeof diagnostic->message, message);
    if (place->line)
        excerpt_line(diagnostic, place);
}

static int compare_numbers(uint32_t a, uint32_t b)
{
    return (a > b) - (a < b);
}

static int compare_places(const void *left, const void *right)
{
    const struct diagnostic *a = left, *b = right;
    int order = compare_numbers(a->file_order, b->file_order);
    if (!order)
        order = compare_numbers(a->line, b->line);
    if (!order)
        order = compare_numbers(a->column, b->column);
    return order ? order : strcmp(a->message, b->message); /* qsort is not stable */
}

static void print_one(const struct diagnostic *diagnostic, FILE *out)
{
    if (!diagnostic->line)
        fprintf(out, "%s: error: %s\n", diagnostic->file, diagnostic->message);
    else {
        fprintf(out, "%s:%u:%u: error: %s\n", diagnostic->file, diagnostic->line, diagnostic->column,
                diagnostic->message);
        fprintf(out, "%5u | %s\n      | %s\n", diagnostic->line, diagnostic->excerpt, diagnostic->caret);
    }
    if (diagnostic->hint[0])
        fprintf(out, "      = %s\n", diagnostic->hint);
}

/* Sorts those that were kept; how many. */
static size_t sort(struct diagnostics *diagnostics)
{
    size_t kept = diagnostics->count < DIAGNOSTICS_MAX ? diagnostics->count : DIAGNOSTICS_MAX;

    qsort(diagnostics->list, kept, sizeof diagnostics->list[0], compare_places);
    return kept;
}

void diagnostics_print(struct diagnostics *diagnostics, FILE *out)
{
    size_t kept = sort(diagnostics);

    for (size_t i = 0; i < kept; i++)
        print_one(&diagnostics->list[i], out);
    if (diagnostics->count > kept)
        fprintf(out, "and %zu more\n", diagnostics->count - kept);
}

static void print_json_text(FILE *out, const char *name, const char *value)
{
    char memory[6 * sizeof(((struct diagnostic *)0)->file) + 1]; /* one byte becomes six at most */
    struct text text;

    text_init(&text, memory, sizeof memory);
    text_add_json(&text, slice_of(value));
    fprintf(out, "\"%s\":\"%s\"", name, text.at);
}

void diagnostics_print_json(struct diagnostics *diagnostics, FILE *out)
{
    size_t kept = sort(diagnostics);

    fputc('[', out);
    for (size_t i = 0; i < kept; i++) {
        const struct diagnostic *diagnostic = &diagnostics->list[i];

        fputs(i ? ",{" : "{", out);
        print_json_text(out, "file", diagnostic->file);
        fprintf(out, ",\"line\":%u,\"column\":%u,", diagnostic->line, diagnostic->column);
        print_json_text(out, "message", diagnostic->message);
        fputc(',', out);
        print_json_text(out, "hint", diagnostic->hint);
        fputc('}', out);
    }
    fputc(']', out);
}
