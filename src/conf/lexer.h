/* Cuts a source into statements: the words of one logical line, and whether a block opens or closes with it.
 *
 *   line       = words, then perhaps "{" as the last word (opens a block); or "}" alone (closes one)
 *   words      are parted by blanks and tabs; a backslash at the end of a line goes on with the next one
 *   comment    from a # that begins a word to the end of the line
 *   "..."      a word with blanks in it; knows \" \\ \n \t \$ and ends on its line
 *   ${NAME}    the environment's value, in words and strings; ${NAME:-text} where it may be unset or empty.
 *              What comes in so stays in its word: it is never cut, and never a comment, a brace or a quote.
 *   {name}     is left alone: whoever uses the value fills it in. In a bare word braces come in pairs.
 *
 * Lines end in LF or CRLF. Other control bytes than tab are errors; bytes above 127 are taken as they are.
 * Every mistake is reported and the lexer goes on with the next line; the statement is then `broken`. */
#ifndef HOLDFAST_CONF_LEXER_H
#define HOLDFAST_CONF_LEXER_H

#include "base/bytes.h"
#include "conf/builder.h"
#include "conf/diagnostic.h"
#include "conf/tree.h"

#include <stddef.h>
#include <stdint.h>

#define LEXER_VALUES_MAX (1u << 20)              /* bytes of one statement after expansion */
#define LEXER_WORDS_MAX (CONF_ARGUMENTS_MAX + 1) /* name and arguments */

enum lexer_event {
    LEXER_END,
    LEXER_STATEMENT,
    LEXER_OPEN,
    LEXER_CLOSE,
    LEXER_REOPEN, /* closes and opens on one line: a mistake, told apart so that the rest is not misread */
};

struct lexer_word {
    size_t value, length; /* in `values` */
    size_t line_start;    /* in the source */
    uint32_t line, column, width;
    int quoted;
    int semicolon; /* a bare word that ends with one */
};

struct lexer {
    struct slice source;            /* borrowed */
    const char *path;               /* borrowed; for messages */
    uint32_t file;                  /* its number in reading order */
    const char *const *environment; /* borrowed, like environ; NULL: nothing is set */
    struct diagnostics *diagnostics;

    size_t at, line_start;
    uint32_t line, column;
    uint32_t control_line; /* the last line whose control byte was reported */

    /* The statement that was read last. */
    struct lexer_word words[LEXER_WORDS_MAX];
    size_t word_count;
    int broken;
    int balance;  /* braces opened minus closed on this line */
    char *values; /* owned */
    size_t values_length, values_capacity;
    int error; /* out of memory */
};

void lexer_init(struct lexer *lexer, struct slice source, const char *path, uint32_t file,
                const char *const *environment, struct diagnostics *diagnostics);
void lexer_fini(struct lexer *lexer);
/* Reads the next statement. *event says what it is; after STATEMENT, OPEN and REOPEN `words` holds it (at least one
 * word). 0 or ERR_NO_MEMORY. */
WARN_UNUSED int lexer_next(struct lexer *lexer, enum lexer_event *event);
/* A word of that statement; its text is borrowed until the next call of lexer_next. */
struct conf_word lexer_word(const struct lexer *lexer, size_t index);
struct diagnostic_place lexer_place(const struct lexer *lexer, size_t index);

#endif
