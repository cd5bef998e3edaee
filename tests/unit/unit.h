/* cmocka, with the headers that it wants included before it (cmocka.h, "These headers or their equivalents"). */
#ifndef HOLDFAST_TESTS_UNIT_UNIT_H
#define HOLDFAST_TESTS_UNIT_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#endif
