/* From a configuration tree to the settings of the layers.
 *
 * Looking at the world (who is "www-data", is there such a folder, how many CPUs) is the loader's part, done
 * once; its answers travel in the snapshot under SETTINGS_BLOB. Building from a snapshot touches nothing
 * outside of it. */
#ifndef HOLDFAST_MAIN_SETTINGS_H
#define HOLDFAST_MAIN_SETTINGS_H

#include "base/err.h"
#include "conf/diagnostic.h"
#include "conf/directive.h"
#include "conf/tree.h"
#include "core/settings.h"
#include "http/config.h"
#include "l4/config.h"

#include <stdint.h>

#define SETTINGS_BLOB "resolved"
#define SETTINGS_RESOLVED_VERSION 2u

/* What the loader looked up; the blob's bytes. */
struct settings_resolved {
    uint32_t version;
    uint32_t workers; /* what "auto" means here */
    uint32_t uid, gid;
    uint32_t group_count;
    uint32_t groups[CORE_GROUPS_MAX];
    char control_path[CORE_PATH_MAX]; /* the default */
    /* Of Unix sockets whose `listen` has an `owner`, by number of the listener. */
    uint32_t owners[CORE_LISTENERS_MAX], owner_groups[CORE_LISTENERS_MAX];
};

/* Fills all three from a snapshot. `http` is the caller's to release with settings_fini_http, also after an error.
 * 0: done, and diagnostics->count says whether it is valid; ERR_VERSION: the blob is another version's;
 * ERR_NO_MEMORY. Without a blob "auto" is one worker and the user is this process's own. */
WARN_UNUSED int settings_build(const struct conf_tree *tree, struct core_settings *core,
                               struct http_config *http, struct l4_config *l4,
                               struct diagnostics *diagnostics);
void settings_fini_http(struct http_config *http);

enum settings_purpose {
    SETTINGS_CHECK, /* a look at a file, perhaps by somebody else than who will run it */
    SETTINGS_START, /* this process's user is who starts the server: what it may not do is an error */
};

/* The loader's part: checks what settings_build checks and what it needs of the world, and fills *resolved.
 * Errors as above. */
WARN_UNUSED int settings_resolve(const struct conf_tree *tree, enum settings_purpose purpose,
                                 struct settings_resolved *resolved, struct diagnostics *diagnostics);

/* The directives of this program, for conf_describe. */
const struct conf_grammar *settings_grammar(void);
/* The path of the control socket where the configuration names none: for the server and for the commands that
 * look for it. /run/holdfast.sock for root, else holdfast.sock in $XDG_RUNTIME_DIR, else
 * /tmp/holdfast-UID.sock. */
void settings_default_control(char out[CORE_PATH_MAX]);

#endif
