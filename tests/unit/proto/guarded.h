/* Bytes that end exactly where a page begins that nobody may touch: reading one byte too far is a SIGSEGV. */
#ifndef HOLDFAST_TESTS_UNIT_PROTO_GUARDED_H
#define HOLDFAST_TESTS_UNIT_PROTO_GUARDED_H

#include <stddef.h>

#define GUARDED_CAPACITY 262144

/* A copy of the bytes before the guard page; valid until the next call. At most GUARDED_CAPACITY. */
char *guarded_copy(const char *bytes, size_t length);

#endif
