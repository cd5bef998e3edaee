/* The parts of a sweep that are about what is made of files; see scenario.h. */
#ifndef HOLDFAST_TESTS_CRASH_SCENARIO_FILES_H
#define HOLDFAST_TESTS_CRASH_SCENARIO_FILES_H

#include "tools/target.h"

void files_ranges(const struct target *target);
void files_several_ranges(const struct target *target);
void files_brotli(const struct target *target);
void files_zstd(const struct target *target);
void files_gzip(const struct target *target);
void files_listing(const struct target *target);

#endif
