/* The documents the loads ask for: files of known bytes, made once, verified in bulk.
 *
 * Every document is a window into one endless pattern: a table of pseudo-random bytes repeated with a prime
 * period (2^20 + 7) that no buffer, segment or page size divides. A document starts at its own place in the
 * table, so a byte lost, repeated, moved or taken from another document shows. */
#ifndef HOLDFAST_TESTS_TOOLS_DOCUMENTS_H
#define HOLDFAST_TESTS_TOOLS_DOCUMENTS_H

#include <stddef.h>
#include <stdint.h>

#define DOCUMENT_SMALL_COUNT 200
enum {
    DOCUMENT_BIG_2M = DOCUMENT_SMALL_COUNT,
    DOCUMENT_BIG_50M,
    DOCUMENT_COUNT,
};
#define DOCUMENT_PATH_SIZE 24

/* Fills the table; call once before anything else here. */
void documents_init(void);
/* Length in bytes of document `number` (< DOCUMENT_COUNT): small ones 0 to 20000, edges of buffers among
 * them. */
uint64_t document_size(unsigned number);
/* The request path, "/small-017" or "/big-50m". */
void document_path(unsigned number, char out[DOCUMENT_PATH_SIZE]);
/* Writes all documents into an existing directory; those that have their size already are kept. 0 or -1 with
 * errno. */
int documents_make(const char *directory);

/* The pattern's bytes from `offset` of document `number` on: a borrowed pointer and how many bytes follow
 * there (at least 1, at most `wanted`); ask again for the rest. The offset may pass the document's size. */
const unsigned char *document_bytes(unsigned number, uint64_t offset, size_t wanted, size_t *run);
/* -1 if the bytes are what stands at `offset` of the document, else the index of the first wrong one. */
int64_t document_mismatch(unsigned number, uint64_t offset, const void *bytes, size_t length);

/* Two more, for what is compressed on the way: lines that repeat themselves, the short one the beginning of the long one. */
#define DOCUMENT_TEXT_PATH "/text.txt"
#define DOCUMENT_TEXT_SIZE 200000u
#define DOCUMENT_SHORT_TEXT_PATH "/short.txt"
#define DOCUMENT_SHORT_TEXT_SIZE 5000u
char document_text_byte(size_t offset);

#define FNV1A64_START 14695981039346656037ULL
/* FNV-1a, 64 bits; start with FNV1A64_START. */
uint64_t fnv1a64(uint64_t hash, const void *bytes, size_t length);

/* A small seeded generator (splitmix64): the same seed gives the same load. */
struct random {
    uint64_t state;
};
uint64_t random_next(struct random *random);
/* Uniform enough for loads: 0 to limit - 1; limit >= 1. */
uint64_t random_below(struct random *random, uint64_t limit);

#endif
