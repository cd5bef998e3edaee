/* Undoes content codings, by the libraries' own decoders. */
#ifndef HOLDFAST_TESTS_CRASH_DECODE_H
#define HOLDFAST_TESTS_CRASH_DECODE_H

#include <stddef.h>

/* `coding`: "br", "zstd" or "gzip". The length of what the bytes stand for, written to `out`; -1: they are broken, or it
 * does not fit. */
long decode(const char *coding, const void *bytes, size_t length, void *out, size_t capacity);

#endif
