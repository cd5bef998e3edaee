/* A configuration text as a snapshot, for tests of what is read from one. */
#ifndef HOLDFAST_TESTS_UNIT_MAIN_BUILT_H
#define HOLDFAST_TESTS_UNIT_MAIN_BUILT_H

#include "main/settings.h"

extern struct diagnostics built_diagnostics;

/* The tree of a text whose folder is /etc/holdfast, with the answers of a loader unless `resolved` is NULL. The tree is
 * the caller's (conf_tree_fini), and *image too (free). Complaints of the grammar are in built_diagnostics. */
void built_tree(const char *text, const struct settings_resolved *resolved, struct conf_tree *tree,
                void **image, size_t *size);

#endif
