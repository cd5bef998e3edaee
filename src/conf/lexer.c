#include "conf/lexer.h"

#include "conf/suggest.h"

#include <stdlib.h>
#include <string.h>

void lexer_init(struct lexer *lexer, struct slice source, const char *path, uint32_t file,
                const char *const *environment, struct diagnostics *diagnostics)
{
    memset(lexer, 0, sizeof *lexer);
    lexer->source = source;
    lexer->path = path;
    lexer->file = file;
    lexer->environment = environment;
    lexer->diagnostics = diagnostics;
    lexer->line = 1;
    lexer->column = 1;
}

void lexer_fini(struct lexer *lexer)
{
    free(lexer->values);
    lexer->values = NULL;
}

/* Places and reports. */

static struct slice line_from(const struct lexer *lexer, size_t start)
{
    const char *at = lexer->source.at + start;
    /* Of a diagnostic that is only counted nobody sees the line. */
    size_t left = diagnostics_full(lexer->diagnostics) ? 0 : lexer->source.length - start;
    const char *feed = left ? memchr(at, '\n', left) : NULL;
    size_t length = feed ? (size_t)(feed - at) : left;
    if (length && at[length - 1] == '\r')
        length--;
    return (struct slice){at, length};
}

static struct diagnostic_place place_on_line(const struct lexer *lexer, uint32_t column, uint32_t width)
{
    return (struct diagnostic_place){.file = lexer->path,
                                     .file_order = lexer->file,
                                     .line = lexer->line,
                                     .column = column,
                                     .width = width,
                                     .source = line_from(lexer, lexer->line_start)};
}

struct diagnostic_place lexer_place(const struct lexer *lexer, size_t index)
{
    const struct lexer_word *word = &lexer->words[index];
    return (struct diagnostic_place){.file = lexer->path,
                                     .file_order = lexer->file,
                                     .line = word->line,
                                     .column = word->column,
                                     .width = word->width,
                                     .source = line_from(lexer, word->line_start)};
}

struct conf_word lexer_word(const struct lexer *lexer, size_t index)
{
    const struct lexer_word *word = &lexer->words[index];
    return (struct conf_word){.text = {lexer->values + word->value, word->length},
                              .line = word->line,
                              .column = word->column,
                              .width = word->width,
                              .quoted = word->quoted};
}

/* From `column` up to where the lexer stands. */
static void report_since(struct lexer *lexer, uint32_t column, const char *hint, const char *message)
{
    struct diagnostic_place place = place_on_line(lexer, column, lexer->column - column);
    diagnostics_add(lexer->diagnostics, &place, hint, "%s", message);
    lexer->broken = 1;
}

static void report_word(struct lexer *lexer, size_t index, const char *hint, const char *message)
{
    struct diagnostic_place place = lexer_place(lexer, index);
    diagnostics_add(lexer->diagnostics, &place, hint, "%s", message);
    lexer->broken = 1;
}

/* Bytes. */

static int at_end(const struct lexer *lexer)
{
    return lexer->at >= lexer->source.length;
}

/* The byte that is `ahead` of the next one; NUL past the end (a NUL inside is reported when it is passed). */
static char peek(const struct lexer *lexer, size_t ahead)
{
    size_t at = lexer->at + ahead;
    return at < lexer->source.length ? lexer->source.at[at] : '\0';
}

static int at_line_end(const struct lexer *lexer)
{
    return at_end(lexer) || peek(lexer, 0) == '\n' || (peek(lexer, 0) == '\r' && peek(lexer, 1) == '\n');
}

/* A backslash that is the last of its line. */
static int at_continuation(const struct lexer *lexer)
{
    if (peek(lexer, 0) != '\\')
        return 0;
    return lexer->at + 1 == lexer->source.length || peek(lexer, 1) == '\n' ||
           (peek(lexer, 1) == '\r' && peek(lexer, 2) == '\n');
}

static int at_word_end(const struct lexer *lexer)
{
    return at_line_end(lexer) || peek(lexer, 0) == ' ' || peek(lexer, 0) == '\t' || at_continuation(lexer);
}

static void check_control(struct lexer *lexer, unsigned char c)
{
    if ((c >= 0x20 && c != 0x7f) || c == '\t' || c == '\n' || at_line_end(lexer))
        return;
    lexer->broken = 1;
    if (lexer->control_line == lexer->line)
        return;
    lexer->control_line = lexer->line;
    struct diagnostic_place place = place_on_line(lexer, lexer->column, 1);
    diagnostics_add(lexer->diagnostics, &place, "a configuration is plain text",
                    "byte 0x%02x is a control character", c);
}

/* Passes one byte. */
static void advance(struct lexer *lexer)
{
    unsigned char c = (unsigned char)peek(lexer, 0);
    check_control(lexer, c);
    lexer->at++;
    if (c == '\n') {
        lexer->line++;
        lexer->column = 1;
        lexer->line_start = lexer->at;
    } else if ((c & 0xc0) != 0x80) { /* UTF-8: continuation bytes are no columns of their own */
        lexer->column++;
    }
}

static void skip_line_end(struct lexer *lexer)
{
    while (!at_end(lexer) && peek(lexer, 0) != '\n')
        advance(lexer);
    if (!at_end(lexer))
        advance(lexer);
}

static int reserve_values(struct lexer *lexer, size_t needed)
{
    if (needed <= lexer->values_capacity)
        return 0;
    size_t capacity = lexer->values_capacity ? lexer->values_capacity : 256;
    while (capacity < needed)
        capacity *= 2;
    char *grown = realloc(lexer->values, capacity);
    if (!grown)
        return lexer->error = ERR_NO_MEMORY;
    lexer->values = grown;
    lexer->values_capacity = capacity;
    return 0;
}

static void add_value(struct lexer *lexer, const char *bytes, size_t length)
{
    if (length == 0)
        return;
    if (length > LEXER_VALUES_MAX || lexer->values_length > LEXER_VALUES_MAX - length) {
        lexer->values_length = LEXER_VALUES_MAX + 1; /* which is reported once, by the statement */
        return;
    }
    if (lexer->error || reserve_values(lexer, lexer->values_length + length))
        return;
    memcpy(lexer->values + lexer->values_length, bytes, length);
    lexer->values_length += length;
}

static void take_byte(struct lexer *lexer)
{
    char c = peek(lexer, 0);
    add_value(lexer, &c, 1);
    advance(lexer);
}

/* The environment. */

static int is_name_byte(char c, int first)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' || (!first && c >= '0' && c <= '9');
}

static const char *environment_value(const struct lexer *lexer, struct slice name)
{
    for (const char *const *entry = lexer->environment; entry && *entry; entry++) {
        if (strncmp(*entry, name.at, name.length) == 0 && (*entry)[name.length] == '=')
            return *entry + name.length + 1;
    }
    return NULL;
}

static void report_unset(struct lexer *lexer, uint32_t column, struct slice name)
{
    char wanted[64], near[64] = "", known[64];
    lexer->broken = 1;
    if (name.length >= sizeof wanted) {
        report_since(lexer, column, NULL, "the environment variable is not set");
        return;
    }
    memcpy(wanted, name.at, name.length);
    wanted[name.length] = '\0';
    struct suggestion suggestion;
    suggestion_init(&suggestion, wanted);
    for (const char *const *entry = lexer->environment; entry && *entry; entry++) {
        size_t length = strcspn(*entry, "=");
        if (length >= sizeof known)
            continue;
        memcpy(known, *entry, length);
        known[length] = '\0';
        suggestion_offer(&suggestion, known);
        if (suggestion.best == known) { /* `known` is used again for the next one */
            memcpy(near, known, sizeof near);
            suggestion.best = near;
        }
    }
    char hint[160];
    struct text text;
    text_init(&text, hint, sizeof hint);
    if (near[0])
        text_add_f(&text, "did you mean ${%s}?", near);
    else
        text_add_f(&text, "set it, or give a default: ${%s:-value}", wanted);
    struct diagnostic_place place = place_on_line(lexer, column, lexer->column - column);
    diagnostics_add(lexer->diagnostics, &place, hint, "the environment variable %s is not set", wanted);
}

/* Passes the text up to the closing brace. 0: there is none in this word. */
static int pass_braced(struct lexer *lexer, int quoted, struct slice *inside)
{
    size_t begin = lexer->at;
    while (peek(lexer, 0) != '}') {
        if (quoted ? at_line_end(lexer) || peek(lexer, 0) == '"' : at_word_end(lexer))
            return 0;
        advance(lexer);
    }
    *inside = (struct slice){lexer->source.at + begin, lexer->at - begin};
    advance(lexer);
    return 1;
}

/* After ${A:-b c} without quotes: goes on behind the brace, so that one mistake is not taken for two. */
static void pass_rest(struct lexer *lexer)
{
    size_t ahead = 0;
    while (lexer->at + ahead < lexer->source.length && !strchr("}\"\n", peek(lexer, ahead)))
        ahead++;
    if (peek(lexer, ahead) != '}')
        return;
    for (size_t i = 0; i <= ahead; i++)
        advance(lexer);
}

static void expand(struct lexer *lexer, int quoted)
{
    static const char forms[] = "write ${NAME} or ${NAME:-default}";
    uint32_t column = lexer->column;
    struct slice inside;
    advance(lexer);
    advance(lexer);
    if (!pass_braced(lexer, quoted, &inside)) {
        if (!quoted)
            pass_rest(lexer);
        report_since(lexer, column, quoted ? forms : "write ${NAME}; in quotes if its default has blanks",
                     "${ has no } behind it");
        return;
    }
    size_t length = 0;
    while (length < inside.length && is_name_byte(inside.at[length], length == 0))
        length++;
    struct slice name = {inside.at, length}, rest = {inside.at + length, inside.length - length};
    int has_default = slice_starts_with(rest, SLICE_LITERAL(":-"));
    if (length == 0 || (rest.length && !has_default)) {
        report_since(lexer, column, forms, "this is not the name of an environment variable");
        return;
    }
    const char *value = environment_value(lexer, name);
    if (value && (*value || !has_default))
        add_value(lexer, value, strlen(value));
    else if (has_default)
        add_value(lexer, rest.at + 2, rest.length - 2);
    else
        report_unset(lexer, column, name);
}

/* Words. */

static void take_escape(struct lexer *lexer)
{
    uint32_t column = lexer->column;
    advance(lexer);
    if (at_line_end(lexer))
        return; /* the string is not closed, which its reader reports */
    char c = peek(lexer, 0);
    const char *known = "\"\\$nt", *values = "\"\\$\n\t", *found = c ? strchr(known, c) : NULL;
    advance(lexer);
    if (found)
        add_value(lexer, &values[found - known], 1);
    else
        report_since(lexer, column,
                     "only \\\" \\\\ \\n \\t and \\$ exist; a backslash itself is written \\\\",
                     "unknown escape in a quoted string");
}

static void read_quoted(struct lexer *lexer)
{
    uint32_t column = lexer->column;
    advance(lexer);
    while (peek(lexer, 0) != '"') {
        if (at_line_end(lexer)) {
            report_since(lexer, column, "end it with \" on the same line; a line break inside is written \\n",
                         "the quoted string is not closed");
            return;
        }
        if (peek(lexer, 0) == '\\')
            take_escape(lexer);
        else if (peek(lexer, 0) == '$' && peek(lexer, 1) == '{')
            expand(lexer, 1);
        else
            take_byte(lexer);
    }
    advance(lexer);
    if (!at_word_end(lexer) && peek(lexer, 0) != '"') {
        struct diagnostic_place place = place_on_line(lexer, lexer->column, 1);
        diagnostics_add(lexer->diagnostics, &place, NULL, "a blank is missing after the closing quote");
        lexer->broken = 1;
    }
}

/* A brace that is a word of its own opens or closes a block; in other words they come in pairs. */
static void check_braces(struct lexer *lexer, size_t begin, uint32_t column, int pairs)
{
    const char *value = lexer->source.at + begin;
    size_t length = lexer->at - begin;
    if (length == 1 && (*value == '{' || *value == '}')) {
        lexer->balance += *value == '{' ? 1 : -1;
        return;
    }
    if (pairs == 0)
        return;
    if (pairs == 1 && value[length - 1] == '{') {
        struct diagnostic_place place = place_on_line(lexer, lexer->column - 1, 1);
        diagnostics_add(lexer->diagnostics, &place, NULL, "a blank is missing before the {");
        lexer->broken = 1;
        lexer->balance++;
    } else if (*value == '}') {
        report_since(lexer, column, NULL, "} stands alone on its line");
        lexer->balance--;
    } else {
        report_since(lexer, column,
                     "a placeholder is written {name}; a word with other braces is put in quotes",
                     "the braces in this word do not come in pairs");
    }
}

/* Reports a quote inside a bare word, and takes what it was meant to hold together. */
static void take_stray_quote(struct lexer *lexer)
{
    struct diagnostic_place place = place_on_line(lexer, lexer->column, 1);
    diagnostics_add(lexer->diagnostics, &place,
                    "put the whole word in quotes; a quote inside is written \\\"",
                    "a quote in the middle of a word");
    lexer->broken = 1;
    size_t ahead = 1;
    while (lexer->at + ahead < lexer->source.length && !strchr("\"\n", peek(lexer, ahead)))
        ahead++;
    if (peek(lexer, ahead) != '"')
        ahead = 0;
    for (size_t i = 0; i <= ahead; i++)
        take_byte(lexer);
}

static void read_bare(struct lexer *lexer)
{
    size_t begin = lexer->at;
    uint32_t column = lexer->column;
    int pairs = 0;
    while (!at_word_end(lexer)) {
        char c = peek(lexer, 0);
        pairs += (c == '{') - (c == '}');
        if (c == '$' && peek(lexer, 1) == '{') {
            expand(lexer, 0);
        } else if (c == '"') {
            take_stray_quote(lexer);
        } else {
            take_byte(lexer);
        }
    }
    check_braces(lexer, begin, column, pairs);
}

static void read_word(struct lexer *lexer)
{
    struct lexer_word word = {.value = lexer->values_length,
                              .line_start = lexer->line_start,
                              .line = lexer->line,
                              .column = lexer->column,
                              .quoted = peek(lexer, 0) == '"'};
    if (word.quoted)
        read_quoted(lexer);
    else
        read_bare(lexer);
    word.width = lexer->column - word.column;
    word.length = lexer->values_length - word.value;
    word.semicolon = !word.quoted && lexer->source.at[lexer->at - 1] == ';';
    if (lexer->word_count < LEXER_WORDS_MAX)
        lexer->words[lexer->word_count] = word;
    lexer->word_count++;
}

/* Statements. */

/* Reads the words of one logical line, and the line break. */
static void read_line(struct lexer *lexer)
{
    lexer->word_count = 0;
    lexer->values_length = 0;
    lexer->broken = 0;
    lexer->balance = 0;
    while (!at_line_end(lexer)) {
        if (peek(lexer, 0) == ' ' || peek(lexer, 0) == '\t')
            advance(lexer);
        else if (peek(lexer, 0) == '#')
            break;
        else if (at_continuation(lexer))
            skip_line_end(lexer);
        else
            read_word(lexer);
    }
    skip_line_end(lexer);
}

static int is_brace(const struct lexer *lexer, size_t index, char brace)
{
    const struct lexer_word *word = &lexer->words[index];
    return !word->quoted && word->length == 1 && word->width == 1 && lexer->values[word->value] == brace;
}

/* Mistakes that show only when the whole line is known. */
static void check_line(struct lexer *lexer)
{
    size_t last = lexer->word_count - 1;
    if (is_brace(lexer, 0, '}')) {
        if (last > 0)
            report_word(lexer, 1, "continue on a line of its own", "nothing else stands on the line of a }");
        return;
    }
    for (size_t i = 0; i <= last; i++) {
        int opens = is_brace(lexer, i, '{');
        if (is_brace(lexer, i, '}') || (opens && i < last)) {
            report_word(lexer, i, "{ ends its line, } has a line of its own",
                        opens ? "something follows the { on its line" : "} stands alone on its line");
            return;
        }
    }
    if (last == 0 && is_brace(lexer, 0, '{'))
        report_word(lexer, 0, "write the directive and its { on one line", "a block without a directive");
    if (!lexer->broken && lexer->words[last].semicolon)
        report_word(lexer, last, "if the ; is meant, put the word in quotes",
                    "a statement ends with its line, not with ;");
}

/* "} site :80 {" closes one block and opens the next; what stands behind the } is then the statement. */
static enum lexer_event reopen(struct lexer *lexer)
{
    lexer->word_count--;
    memmove(lexer->words, lexer->words + 1, lexer->word_count * sizeof lexer->words[0]);
    return LEXER_REOPEN;
}

static enum lexer_event classify(struct lexer *lexer)
{
    if (lexer->word_count > LEXER_WORDS_MAX || lexer->values_length > LEXER_VALUES_MAX) {
        report_word(lexer, 0, NULL, "the statement is too long (at most 256 arguments, 1 MiB)");
        lexer->word_count = 1;
        if (lexer->values_length > LEXER_VALUES_MAX)
            lexer->words[0].value = lexer->words[0].length = 0;
    } else {
        check_line(lexer);
    }
    if (lexer->balance < 0)
        return LEXER_CLOSE;
    int opens = lexer->word_count > 1 && is_brace(lexer, lexer->word_count - 1, '{');
    if (lexer->balance == 0 && !(opens && is_brace(lexer, 0, '}')))
        return LEXER_STATEMENT;
    if (opens)
        lexer->word_count--;
    return lexer->balance == 0 ? reopen(lexer) : LEXER_OPEN;
}

int lexer_next(struct lexer *lexer, enum lexer_event *event)
{
    *event = LEXER_END;
    if (reserve_values(lexer, 1)) /* so that even an empty word points somewhere */
        return lexer->error;
    do {
        if (at_end(lexer))
            return 0;
        read_line(lexer);
        if (lexer->error)
            return lexer->error;
    } while (lexer->word_count == 0);
    *event = classify(lexer);
    return 0;
}
