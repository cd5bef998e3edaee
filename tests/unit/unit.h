/* cmocka, with the headers that it wants included before it (cmocka.h, "These headers or their equivalents"). */
#ifndef HOLDFAST_TESTS_UNIT_UNIT_H
#define HOLDFAST_TESTS_UNIT_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

/* Valgrind 3.19 knows neither every system call nor the limit of descriptors as the kernel keeps it. */
static inline int unit_is_under_valgrind(void)
{
    return getenv("HOLDFAST_VALGRIND") != NULL;
}

/* For a program of tests that has nothing to try here; what main returns then. */
static inline int unit_skip_all(const char *reason)
{
    printf("1..1\nok 1 - all of it # SKIP %s\n", reason);
    return 0;
}

#endif
