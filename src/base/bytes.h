/* Byte slices and a bounded text buffer. Nothing here allocates. */
#ifndef HOLDFAST_BASE_BYTES_H
#define HOLDFAST_BASE_BYTES_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

/* A borrowed run of bytes, not NUL-terminated; valid as long as what it points into. */
struct slice {
    const char *at;
    size_t length;
};

#define SLICE_LITERAL(text) ((struct slice){(text), sizeof(text) - 1})
struct slice slice_of(const char *text);
int slice_equals(struct slice a, struct slice b);
/* ASCII case-insensitive (RFC 9110 section 5.1: field names). */
int slice_equals_nocase(struct slice a, struct slice b);
int slice_starts_with(struct slice text, struct slice prefix);

/* Without the spaces and tabs before it; and without those around it (RFC 9110 section 5.6.3: OWS). */
struct slice slice_skip_blanks(struct slice text);
struct slice slice_trim(struct slice text);

/* Parses decimal digits only, the whole slice, at least one digit. 0; ERR_SYNTAX; ERR_LIMIT past 2^63-1. */
WARN_UNUSED int slice_to_u64(struct slice text, uint64_t *value);

/* A text that grows inside memory of the caller. Once something did not fit, `overflow` stays set and nothing
 * more is added; `at` is always NUL-terminated (capacity must be >= 1). */
struct text {
    char *at;
    size_t length, capacity;
    int overflow;
};

void text_init(struct text *text, char *memory, size_t capacity);
void text_add(struct text *text, struct slice bytes);
void text_add_c(struct text *text, const char *c_string);
void text_add_u64(struct text *text, uint64_t value);
/* In lower-case hex digits, at least `digits` of them (1 to 16), with leading zeros. */
void text_add_hex(struct text *text, uint64_t value, unsigned digits);
void text_add_f(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Adds the bytes as the inside of a JSON string (RFC 8259 section 7), without the quotes; bytes that are not
 * UTF-8 become U+FFFD. */
void text_add_json(struct text *text, struct slice bytes);

#endif
