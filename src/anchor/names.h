/* The descriptors that the anchor holds, by name. A fixed table: it cannot fail for want of memory. */
#ifndef HOLDFAST_ANCHOR_NAMES_H
#define HOLDFAST_ANCHOR_NAMES_H

#include "anchor/wire.h"
#include "base/err.h"

#define NAMES_MAX 4096

struct named {
    char name[WIRE_NAME_MAX + 1];
    int fd;             /* owned; -1: the place is free */
    uint32_t depositor; /* struct master's `serial`; 0: held from the start */
};

struct names {
    unsigned capacity; /* at most this many, <= NAMES_MAX */
    int full_error;    /* what a full table answers: ERR_LIMIT, or ERR_NO_DESCRIPTORS if that is the cause */
    unsigned count;
    struct named places[NAMES_MAX];
};

/* `full_error` is the error that names_put returns when `capacity` names are there. */
void names_init(struct names *names, unsigned capacity, int full_error);
/* Closes everything. */
void names_fini(struct names *names);

/* What has this name (borrowed, until it is deleted), or NULL. */
struct named *names_find(struct names *names, const char *name);
/* Takes *fd (sets it to -1 on success); what had the name is closed. `name` must be valid.
 * 0, or names->full_error with *fd left to the caller. */
WARN_UNUSED int names_put(struct names *names, const char *name, int *fd, uint32_t depositor);
void names_delete(struct names *names, struct named *named);

/* The first taken place at or after `place` whose name starts with `prefix`; >= NAMES_MAX: there is none. */
unsigned names_next(const struct names *names, unsigned place, const char *prefix);

#endif
