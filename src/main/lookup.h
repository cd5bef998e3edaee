/* What the loader asks the system: users, groups, folders, CPUs. */
#ifndef HOLDFAST_MAIN_LOOKUP_H
#define HOLDFAST_MAIN_LOOKUP_H

#include "conf/directive.h"
#include "main/settings.h"

#include <sys/types.h>

struct lookup {
    enum settings_purpose purpose;
    struct settings_resolved *resolved;
    struct diagnostics *diagnostics;
    struct conf_node user, group; /* the statements; tree is NULL if they were not given */
    struct conf_node error_log;   /* likewise */
    const char *error_log_path;   /* absolute; borrowed until lookup_finish */
};

/* Refuses the value if `path` is not a folder that can be looked at. */
void lookup_check_folder(const struct conf_statement *statement, const struct conf_value *value,
                         const char *path);
/* Refuses the value if `path`, absolute, is a file that cannot be made: there is no folder for it, or it is one.
 * 1, or 0 if it was refused. */
int lookup_check_place(const struct conf_statement *statement, const struct conf_value *value,
                       const char *path);
/* Finds who USER[:GROUP] is; refuses the value if that is nobody. */
void lookup_owner(struct lookup *lookup, const struct conf_statement *statement,
                  const struct conf_value *value, uid_t *user, gid_t *group);
/* Fills lookup->resolved; reports at `root` what has no statement of its own. */
void lookup_finish(struct lookup *lookup, struct conf_node root);

#endif
