/* A configuration text as a snapshot, for tests of what is read from one. */
#ifndef HOLDFAST_TESTS_UNIT_MAIN_BUILT_H
#define HOLDFAST_TESTS_UNIT_MAIN_BUILT_H

#include "main/settings.h"

extern struct diagnostics built_diagnostics;

/* The tree of a text whose folder is /etc/holdfast, with the answers of a loader unless `resolved` is NULL. The tree is
 * the caller's (conf_tree_fini), and *image too (free). Complaints of the grammar are in built_diagnostics. */
void built_tree(const char *text, const struct settings_resolved *resolved, struct conf_tree *tree,
                void **image, size_t *size);

/* What built_settings made. */
extern struct core_settings built_core;
extern struct http_config built_http;
extern struct l4_config built_l4;

/* Builds them from a text: 0, with its complaints in built_diagnostics, or the error of settings_build. Those of before are
 * freed. */
int built_settings(const char *text, const struct settings_resolved *resolved);
/* The same for a text that nothing is to be said of. */
void built_valid(const char *text);
/* cmocka's end of a test: frees them. */
int built_teardown(void **state);

#endif
