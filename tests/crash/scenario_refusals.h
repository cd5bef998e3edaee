/* Scenarios in which an answer comes before the request is complete, or ends the connection. */
#ifndef HOLDFAST_TESTS_CRASH_SCENARIO_REFUSALS_H
#define HOLDFAST_TESTS_CRASH_SCENARIO_REFUSALS_H

#include "tools/target.h"

void run_continue(const struct target *target);
void run_early_413(const struct target *target);
void run_early_answer(const struct target *target);
void run_refused(const struct target *target);
void run_refused_chunk(const struct target *target);

#endif
