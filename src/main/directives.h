/* The table of directives, and what their callbacks work on. Shared by directives.c, site.c and settings.c.
 */
#ifndef HOLDFAST_MAIN_DIRECTIVES_H
#define HOLDFAST_MAIN_DIRECTIVES_H

#include "conf/directive.h"
#include "core/settings.h"
#include "http/config.h"
#include "main/lookup.h"

enum directive_context { CONTEXT_TOP, CONTEXT_SITE };

struct build;

/* What the callbacks in a site get. */
struct site_build {
    struct build *build;
    struct http_site *site; /* borrowed; stays where it is as long as its block is read */
};

/* What the callbacks at the top level get. */
struct build {
    struct core_settings *core;
    struct http_config *http;
    struct lookup *lookup;        /* NULL: the world is not looked at */
    struct conf_node *site_nodes; /* owned; where each site stands */
    size_t address_count;         /* of all sites */
    unsigned automatic_workers;
    struct site_build open_site; /* the one whose block is being read */
};

extern const struct conf_grammar directives_grammar;

/* Of `site`: site.c. */
int site_apply(void *into, const struct conf_statement *statement, void **child);

#endif
