/* What the fuzz targets share. */
#ifndef HOLDFAST_TESTS_FUZZ_OWN_H
#define HOLDFAST_TESTS_FUZZ_OWN_H

#include "base/assert.h"

#include <stdlib.h>
#include <string.h>

/* A copy that ends where its memory ends, so that reading past its end is seen. The caller frees it. */
static inline void *own_copy(const void *bytes, size_t length)
{
    void *copy = malloc(length + !length);

    MUST(copy != NULL);
    memcpy(copy, bytes, length);
    return copy;
}

#endif
