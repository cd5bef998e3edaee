/* Directives: what may stand in a configuration, where, with which arguments; and the walk that checks a tree
 * against them and hands each statement, with its values, to the code that wants it.
 *
 * The tables are constants that src/main binds together; this folder knows none of the names. The same tables
 * check a configuration, build settings from it, and write the reference (conf_describe).
 *
 * Arguments are matched like this: first those without a keyword, in their order (an optional one is left out if
 * the words only do for the required ones behind it); then those with one, in any order.
 *
 *   {.name = "N", .kind = CONF_COUNT}                                    crash_limit 5
 *   {.name = "WINDOW", .kind = CONF_DURATION, .keyword = "per"}                        per 10s
 *   {.kind = CONF_FLAG, .keyword = "backup", .optional = 1}              server 10.0.0.1:80 backup
 *
 * An argument of any kind can also be one of `words`: workers auto, watchdog off. */
#ifndef HOLDFAST_CONF_DIRECTIVE_H
#define HOLDFAST_CONF_DIRECTIVE_H

#include "base/err.h"
#include "conf/diagnostic.h"
#include "conf/tree.h"
#include "conf/value.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define DIRECTIVE_ARGUMENTS_MAX 6 /* specifications; a repeated one takes any number of words */
#define DIRECTIVES_MAX 512        /* in one grammar */
#define DIRECTIVE_CONTEXTS_MAX 32

enum conf_kind {
    CONF_NOTHING,          /* the end of the arguments */
    CONF_WORD,             /* one or more bytes, none of them a blank or a control byte */
    CONF_TEXT,             /* anything, also nothing */
    CONF_PATH,             /* one or more bytes, no control bytes; see conf_value_path */
    CONF_CHOICE,           /* one of `words`, nothing else */
    CONF_COUNT,            /* number: as written */
    CONF_SIZE,             /* number: bytes */
    CONF_DURATION,         /* number: milliseconds */
    CONF_ON_OFF,           /* number: 0 or 1 */
    CONF_LISTEN_ADDRESS,   /* address, conf/value.h */
    CONF_SITE_ADDRESS,     /* address */
    CONF_UPSTREAM_ADDRESS, /* address */
    CONF_FLAG,             /* its keyword alone */
};

struct directive_argument {
    const char *name; /* what the usage line calls it: "DIR"; CONF_CHOICE shows its words instead */
    enum conf_kind kind;
    const char *keyword;      /* stands before the value; NULL: a positional argument */
    const char *const *words; /* NULL-terminated: these words are values, too; NULL: none */
    uint64_t min, max;        /* COUNT, SIZE, DURATION: smallest and largest; max 0: no bound */
    int optional;
    int repeat; /* positional only: one or more (with optional: any number) */
};

struct conf_value {
    const char *text; /* as written; borrowed from the tree */
    size_t index;     /* which argument of the node */
    int word;         /* which of `words` it is, -1: none of them */
    uint64_t number;
    struct conf_address address;
};

/* A statement with its values. Valid during the callback. */
struct conf_statement {
    struct conf_node node;
    const struct directive *directive;
    /* By number of the argument's specification; values[i][0 .. counts[i]-1]. counts[i] is 0 if not given. */
    const struct conf_value *values[DIRECTIVE_ARGUMENTS_MAX];
    size_t counts[DIRECTIVE_ARGUMENTS_MAX];
    struct diagnostics *diagnostics;
};

/* Takes a valid statement. `into` is what the enclosing block's `apply` put into *child, at the top what
 * conf_apply was given. A directive that opens a block sets *child. Reports what it does not like
 * (conf_refuse) and still returns 0 then; other errors (ERR_NO_MEMORY, ERR_LIMIT) end the walk. */
typedef int (*directive_apply_fn)(void *into, const struct conf_statement *statement, void **child);
/* Called when a block is complete, with its *child: for rules that concern more than one statement. */
typedef int (*directive_finish_fn)(void *child, const struct conf_statement *statement);

struct directive {
    const char *name; /* "*": every name that no other directive of this context has */
    const char *
        elsewhere; /* what other servers call it, for a hint; words parted by blanks; NULL: nothing near it */
    uint32_t contexts; /* bits: 1u << context, where it may stand */
    struct directive_argument arguments[DIRECTIVE_ARGUMENTS_MAX];
    int opens;                /* the context of its block; 0: it has none (the top, 0, is nobody's block) */
    int bare_block;           /* with `opens`: the block may be left out */
    int repeat;               /* may stand in a block more than once */
    int required;             /* must stand in every block of its contexts … */
    const char *unless;       /* … unless this one does; NULL: in any case */
    const char *doc;          /* one or more sentences of Markdown, without a line break at the end */
    const char *example;      /* a whole, valid configuration is made of these; lines parted by \n */
    const char *default_text; /* what holds without it; NULL: nothing to say */
    directive_apply_fn apply;
    directive_finish_fn finish; /* NULL: nothing to check */
};

struct directive_table {
    const struct directive *directives;
    size_t count;
};

struct conf_grammar {
    const struct directive_table *const *tables;
    size_t table_count;
    /* Names of the contexts for messages and headings: context_names[0] is "the top level"; the others read
     * as in "a site". */
    const char *const *context_names;
    size_t context_count;
};

/* Checks the whole tree and applies it to `into`, reporting every mistake. Statements inside a statement that
 * is wrong are checked, not applied. 0: done, and the caller looks at diagnostics->count; ERR_NO_MEMORY; or
 * what an `apply` returned. */
WARN_UNUSED int conf_apply(const struct conf_tree *tree, const struct conf_grammar *grammar, void *into,
                           struct diagnostics *diagnostics);

/* For callbacks: reports a mistake at the statement's name, or at a value. `hint` may be NULL. */
void conf_refuse(const struct conf_statement *statement, const char *hint, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void conf_refuse_value(const struct conf_statement *statement, const struct conf_value *value,
                       const char *hint, const char *format, ...) __attribute__((format(printf, 4, 5)));
/* The first value of an argument, or NULL if it was not given. */
const struct conf_value *conf_value(const struct conf_statement *statement, size_t argument);
/* A CONF_PATH made absolute. 0 or ERR_LIMIT, as conf_path_resolve. */
WARN_UNUSED int conf_value_path(const struct conf_statement *statement, const struct conf_value *value,
                                char *out, size_t capacity);

/* Writes the usage of a directive: "crash_limit N per WINDOW", "site ADDR... {". */
void conf_format_usage(struct text *out, const struct directive *directive);
/* Writes the reference of all directives as Markdown, by context, in the order of the tables; what was described
 * for an earlier context is only named. */
void conf_describe(const struct conf_grammar *grammar, FILE *out);

#endif
