/* Passports: what is known of connections, written so that another worker, perhaps of another version, can go on with them.
 *
 * A batch is one run of bytes. All integers are little-endian; nothing is aligned:
 *
 *   offset  size
 *        0     4   magic: "HFPB"
 *        4     2   version of this layout: 1
 *        6     2   passports
 *        8     4   bytes of the whole batch, this head included
 *       12     4   descriptors that go with it
 *       16     8   number of the batch
 *       24         the passports, one behind the other
 *
 *   a passport     4   bytes of its fields
 *                      its fields, one behind the other
 *
 *   a field        2   tag; each at most once in a passport
 *                  2   flags: 1 required: who does not know the tag must refuse the batch. Other bits: ignored
 *                  4   bytes of the value
 *                      the value: bytes, or a number (8 bytes)
 *
 * Tags below PASSPORT_CLASS_TAGS are core's (core/freeze.h), the others up to PASSPORT_TAGS belong to the class that the
 * passport names. What a tag means never changes; a new meaning is a new tag. docs/internals/passport.md lists all of them.
 *
 * This is the codec alone: bytes in, fields out; no I/O, no memory. What comes from another process is never trusted to be
 * well-formed, and an error, no assertion. */
#ifndef HOLDFAST_CORE_PASSPORT_H
#define HOLDFAST_CORE_PASSPORT_H

#include "base/bytes.h"

#include <stddef.h>
#include <stdint.h>

#define PASSPORT_MAGIC 0x42504648u
#define PASSPORT_VERSION 1u
#define PASSPORT_BATCH_HEAD 24u
#define PASSPORT_FIELD_HEAD 8u
#define PASSPORT_CLASS_TAGS 64u
#define PASSPORT_TAGS 128u
#define PASSPORTS_MAX 253u /* of a batch: each has a descriptor, and SCM_RIGHTS takes so many (unix(7)) */

enum passport_flag { PASSPORT_OPTIONAL = 0, PASSPORT_REQUIRED = 1 };

/* --- writing --- */

/* Grows inside memory of the caller. Once something did not fit, `overflow` stays set and nothing more is added. */
struct passport_writer {
    unsigned char *at; /* borrowed */
    size_t length, capacity;
    size_t passport; /* where the one begins that is being written */
    uint32_t count;  /* passports that are whole */
    int overflow;
};

/* A batch begins in `memory`. */
void passport_batch_begin(struct passport_writer *writer, void *memory, size_t capacity);
/* A passport begins; passport_end makes it count, passport_undo takes it and any overflow back. */
void passport_begin(struct passport_writer *writer);
void passport_end(struct passport_writer *writer);
void passport_undo(struct passport_writer *writer);
void passport_put(struct passport_writer *writer, unsigned tag, enum passport_flag flag, struct slice value);
void passport_put_number(struct passport_writer *writer, unsigned tag, enum passport_flag flag,
                         uint64_t value);
/* A value that is written piece by piece behind its head: `length` bytes, to be filled by the caller; NULL: no room. */
void *passport_put_space(struct passport_writer *writer, unsigned tag, enum passport_flag flag,
                         size_t length);
/* The batch is whole. Its bytes; 0 after an overflow. */
size_t passport_batch_end(struct passport_writer *writer, uint64_t batch, uint32_t descriptors);

/* --- reading --- */

struct passport_batch {
    const unsigned char *at; /* borrowed, as everything read from it */
    size_t length;
    size_t next; /* where the next passport begins */
    uint64_t number;
    uint32_t count, descriptors;
};

struct passport {
    const unsigned char *at;
    size_t length; /* of its fields */
};

/* Looks at all of it. 0; ERR_VERSION: of another layout; ERR_PROTOCOL: malformed, also where a tag comes twice. `length`: bytes that
 * may be read; the batch may be shorter. */
WARN_UNUSED int passport_batch_open(struct passport_batch *batch, const void *bytes, size_t length);
/* The passports in their order. 1; 0: there are no more. */
WARN_UNUSED int passport_batch_next(struct passport_batch *batch, struct passport *passport);
/* 1 if there is such a field; else 0, and *value is empty. */
int passport_get(const struct passport *passport, unsigned tag, struct slice *value);
/* The number of a field, or `missing` without one. 0; ERR_PROTOCOL: it is no number. */
WARN_UNUSED int passport_get_number(const struct passport *passport, unsigned tag, uint64_t missing,
                                    uint64_t *value);
/* A set of tags, for passport_understand. */
struct passport_known {
    uint64_t core, class; /* bit n: the tag n, and PASSPORT_CLASS_TAGS + n */
};
/* 0; ERR_UNSUPPORTED: a required field is not among those. */
WARN_UNUSED int passport_understand(const struct passport *passport, struct passport_known known);

#endif
