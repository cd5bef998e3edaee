/* Entity tags (RFC 9110 section 8.8.3): [ W/ ] DQUOTE *etagc DQUOTE, where etagc is every byte but controls,
 * blank, DQUOTE and DEL; a comma is one. */
#ifndef HOLDFAST_HTTP_ETAG_H
#define HOLDFAST_HTTP_ETAG_H

#include "base/bytes.h"
#include "http/negotiate.h"

#include <stdint.h>

/* What a strong tag is made of. Two contents of one name have different tags as long as the file system gives
 * them different times, sizes or inode numbers: a file written over in place twice within one tick of the
 * kernel's clock (1 to 10 ms), with the same size, is not told apart. Codings of one file have tags of their
 * own (RFC 9110 section 8.8.3.3). The tag holds an inode number, so two machines with copies of a folder give
 * different tags. */
struct etag_source {
    uint64_t size; /* bytes; of the file, whatever the coding */
    int64_t modified_s;
    uint32_t modified_ns; /* the part below a second */
    uint64_t inode;
    enum coding coding;
    uint32_t maker; /* who made the coding; 0: nobody, it is a file as it lies there */
};

#define ETAG_SIZE 88 /* the longest tag of ours and a NUL */

/* Writes the tag, quotes included, and returns it (in `out`, NUL-terminated). */
struct slice etag_write(const struct etag_source *source, char out[ETAG_SIZE]);

/* A tag somebody sent; borrowed from the field's value. */
struct etag {
    struct slice text; /* with its quotes, without W/ */
    int is_weak;
};

/* Takes the next tag off a list (RFC 9110 section 5.6.1; empty elements are skipped). 1; 0 at the end;
 * ERR_SYNTAX: what comes next is no tag, nothing more can be taken. `*` is no tag. */
WARN_UNUSED int etag_list_next(struct slice *rest, struct etag *tag);
/* Reads the whole of `text` as one tag. 0 or ERR_SYNTAX. */
WARN_UNUSED int etag_parse(struct slice text, struct etag *tag);

/* RFC 9110 section 8.8.3.2: the strong comparison never holds for a weak tag, the weak one does not care. */
int etag_equals_strong(const struct etag *a, const struct etag *b);
int etag_equals_weak(const struct etag *a, const struct etag *b);

#endif
