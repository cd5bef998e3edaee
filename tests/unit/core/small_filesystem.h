/* Running out of space without doing so to the whole machine. */
#ifndef HOLDFAST_TESTS_UNIT_CORE_SMALL_FILESYSTEM_H
#define HOLDFAST_TESTS_UNIT_CORE_SMALL_FILESYSTEM_H

#include <stddef.h>

/* Moves the calling process for good into a mount namespace where /tmp is a tmpfs of `size` bytes, and makes an empty
 * file there. Returns its descriptor, or -1 where users may not have namespaces. */
int small_filesystem_open(size_t size);

#endif
