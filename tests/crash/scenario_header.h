/* Connections that begin with a header of the PROXY protocol, which comes by and by. */
#ifndef HOLDFAST_TESTS_CRASH_SCENARIO_HEADER_H
#define HOLDFAST_TESTS_CRASH_SCENARIO_HEADER_H

#include "tools/target.h"

/* The site says at /who whom it takes its client for. */
void header_by_and_by(const struct target *target);

#endif
