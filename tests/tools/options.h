/* Long options of the test programs, from a table that says where each value goes. */
#ifndef HOLDFAST_TESTS_TOOLS_OPTIONS_H
#define HOLDFAST_TESTS_TOOLS_OPTIONS_H

#include <stddef.h>
#include <stdint.h>

enum option_kind {
    OPTION_NUMBER, /* a uint64_t at `offset`, times `unit` */
    OPTION_FLAG,   /* an int that becomes 1; takes no value */
    OPTION_TEXT,   /* a const char *, borrowed from argv */
    OPTION_CALL,   /* options_call_fn decides */
    OPTION_LAST,   /* takes no value and ends the options */
};

struct option_entry {
    const char *name; /* without the dashes; NULL ends the table */
    enum option_kind kind;
    size_t offset;
    uint64_t unit; /* 0 counts as 1 */
};

/* 0, or -1 if the value is wrong. */
typedef int (*options_call_fn)(void *into, const char *name, char *value);

/* Reads argv[1] and what follows into the struct. The index of the first word that is no option (argc if
 * there is none), or -1: an unknown option, a missing or a wrong value. */
int options_read(int argc, char **argv, const struct option_entry *table, void *into, options_call_fn call);

#endif
