/* Regular expressions over paths: PCRE2 without JIT and without UTF mode (a path is bytes), with limits small enough
 * that no request can hold up the loop. An expression that reaches them is an error and not a mismatch: whoever shuts
 * something out with it must not be deceived by a long path. */
#ifndef HOLDFAST_HTTP_REGEX_H
#define HOLDFAST_HTTP_REGEX_H

#include "base/bytes.h"
#include "http/storage.h"

#include <stddef.h>

#define REGEX_GROUPS_MAX 10      /* with group 0; further ones match but are not kept */
#define REGEX_LENGTH_MAX 1024u   /* bytes of an expression */
#define REGEX_MATCH_LIMIT 20000u /* calls of the matcher: some milliseconds */
#define REGEX_DEPTH_LIMIT 5000u  /* of backtracking */
#define REGEX_HEAP_LIMIT_KIB 1024u

struct regex;

/* Released with the storage. 0; ERR_SYNTAX, and `problem` says why and *at at which byte; ERR_NO_MEMORY. */
WARN_UNUSED int regex_compile(struct storage *storage, struct slice text, struct regex **regex, char *problem,
                              size_t problem_size, size_t *at);
/* 1: matches, and groups[] are what each one caught, empty if nothing (NULL: not wanted); 0: does not; ERR_LIMIT.
 * Looks anywhere in the subject. Not for several threads at once. */
WARN_UNUSED int regex_match(const struct regex *regex, struct slice subject,
                            struct slice groups[REGEX_GROUPS_MAX]);
/* Groups in parentheses, 0 or more. */
unsigned regex_group_count(const struct regex *regex);
/* The expression as written. */
struct slice regex_text(const struct regex *regex);

#endif
