/* What is wrong with a configuration: all of it at once, each with its place, its line, a caret and a
 * suggestion.
 *
 *   holdfast.conf:3:5: error: unknown directive "fles"
 *       3 |     fles /srv/www
 *         |     ^~~~
 *         = did you mean "files"?
 *
 * The format is stable: tests hold it to the letter. Columns count characters, not bytes; tabs stay tabs in
 * the line and in the caret line; bytes that could disturb a terminal are shown as '?'. */
#ifndef HOLDFAST_CONF_DIAGNOSTIC_H
#define HOLDFAST_CONF_DIAGNOSTIC_H

#include "base/bytes.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define DIAGNOSTICS_MAX 50 /* more are counted, not kept */

/* A place in a source. line 0: the file as a whole. Everything is borrowed for the call only. */
struct diagnostic_place {
    const char *file;
    uint32_t file_order; /* files are shown in this order */
    uint32_t line, column, width;
    struct slice source; /* the line, without its line break */
};

struct diagnostic {
    uint32_t file_order, line, column;
    char file[512];
    char message[384];
    char hint[384];    /* "" for none */
    char excerpt[480]; /* the line or the part of it that matters, "" for none */
    char caret[128];   /* what stands under it */
};

/* Some 90 KB: static or on the heap rather than on a stack. */
struct diagnostics {
    size_t count; /* all, also those past DIAGNOSTICS_MAX */
    struct diagnostic list[DIAGNOSTICS_MAX];
};

void diagnostics_init(struct diagnostics *diagnostics);
/* True once further ones are only counted: then nobody needs to look for their lines and suggestions. */
int diagnostics_full(const struct diagnostics *diagnostics);
/* Never fails; texts that are too long are cut. `hint` may be NULL. The message does not end in a period. */
void diagnostics_add(struct diagnostics *diagnostics, const struct diagnostic_place *place, const char *hint,
                     const char *format, ...) __attribute__((format(printf, 4, 5)));
/* Prints them in the order of the text, then "and N more" if there were too many. Sorts the list. */
void diagnostics_print(struct diagnostics *diagnostics, FILE *out);
/* The same as a JSON array of {"file","line","column","message","hint"}; line and column 0 for a file as a whole. */
void diagnostics_print_json(struct diagnostics *diagnostics, FILE *out);

#endif
