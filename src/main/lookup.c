#include "main/lookup.h"

#include "core/error_log.h"

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Files of a site belong to nobody in particular; www-data is who serves them on Debian, nobody is
 * everywhere. */
static const char *const default_users[] = {"www-data", "nobody", NULL};

void lookup_check_folder(const struct conf_statement *statement, const struct conf_value *value,
                         const char *path)
{
    const char *hint = value->text[0] == '/' ? NULL : "it starts from the folder of the configuration file";
    struct stat status;
    if (stat(path, &status) != 0) {
        int number = errno;
        if (number == ENOENT)
            conf_refuse_value(statement, value, hint, "there is no folder \"%s\"", value->text);
        else
            conf_refuse_value(statement, value, hint, "\"%s\": %s", value->text, strerror(number));
    } else if (!S_ISDIR(status.st_mode)) {
        conf_refuse_value(statement, value, hint, "\"%s\" is not a folder", value->text);
    }
}

int lookup_check_place(const struct conf_statement *statement, const struct conf_value *value,
                       const char *path)
{
    const char *hint = value->text[0] == '/' ? NULL : "it starts from the folder of the configuration file";
    char folder[PATH_MAX];
    struct stat status;
    snprintf(folder, sizeof folder, "%.*s", (int)(strrchr(path, '/') - path), path);
    if (stat(path, &status) == 0 && S_ISDIR(status.st_mode))
        conf_refuse_value(statement, value, hint, "\"%s\" is a folder", value->text);
    else if (folder[0] && (stat(folder, &status) != 0 || !S_ISDIR(status.st_mode)))
        conf_refuse_value(statement, value, hint, "there is no folder for \"%s\"", value->text);
    else
        return 1;
    return 0;
}

/* Reports at the name that a `user`, `group` or `error_log` statement gives. */
__attribute__((format(printf, 4, 5))) static void refuse_name(struct lookup *lookup, struct conf_node node,
                                                              const char *hint, const char *format, ...)
{
    char message[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    struct diagnostic_place place = conf_arg_place(node, 0);
    diagnostics_add(lookup->diagnostics, &place, hint, "%s", message);
}

/* A name that is a number needs no entry in the user database. */
static int is_number(const char *name, uint32_t *number)
{
    uint64_t value;
    if (conf_parse_count(name, &value) ||
        value >= UINT32_MAX) /* (uid_t)-1 means "leave it" to setresuid(2) */
        return 0;
    *number = (uint32_t)value;
    return 1;
}

static void resolve_groups(struct settings_resolved *resolved, const char *user)
{
    gid_t groups[CORE_GROUPS_MAX];
    int count = CORE_GROUPS_MAX;
    if (getgrouplist(user, resolved->gid, groups, &count) < 0)
        count = CORE_GROUPS_MAX; /* the first ones */
    for (int i = 0; i < count; i++)
        resolved->groups[i] = groups[i];
    resolved->group_count = (uint32_t)count;
}

/* The group, once the user's own one stands in *resolved. 0 or ERR_NOT_FOUND, reported. */
static int resolve_group(struct lookup *lookup)
{
    if (!conf_node_exists(lookup->group))
        return 0;
    const char *name = conf_arg(lookup->group, 0);
    const struct group *group = getgrnam(name);
    if (group)
        lookup->resolved->gid = group->gr_gid;
    else if (!is_number(name, &lookup->resolved->gid)) {
        refuse_name(lookup, lookup->group, NULL, "there is no group \"%s\"", name);
        return ERR_NOT_FOUND;
    }
    return 0;
}

static void resolve_given_user(struct lookup *lookup)
{
    struct settings_resolved *resolved = lookup->resolved;
    const char *name = conf_arg(lookup->user, 0);
    const struct passwd *user = getpwnam(name);
    int numeric = !user && is_number(name, &resolved->uid);
    if (numeric)
        user = getpwuid(resolved->uid);
    if (!user && !numeric) {
        refuse_name(lookup, lookup->user, NULL, "there is no user \"%s\"", name);
        return;
    }
    if (!user && !conf_node_exists(lookup->group)) {
        refuse_name(lookup, lookup->user, "add: group NAME",
                    "user %s is in no database, so its group is unknown", name);
        return;
    }
    if (user) {
        resolved->uid = user->pw_uid;
        resolved->gid = user->pw_gid;
    }
    if (resolve_group(lookup))
        return;
    if (user)
        resolve_groups(resolved, user->pw_name);
    if (lookup->purpose == SETTINGS_START && geteuid() != 0 && resolved->uid != geteuid())
        refuse_name(lookup, lookup->user, "leave it out, or start as root",
                    "only root can run workers as another user");
}

static void resolve_default_user(struct lookup *lookup, struct conf_node root)
{
    struct settings_resolved *resolved = lookup->resolved;
    resolved->uid = geteuid();
    resolved->gid = getegid();
    if (resolved->uid != 0) {
        (void)resolve_group(lookup);
        return;
    }
    const struct passwd *user = NULL;
    for (size_t i = 0; default_users[i] && !user; i++)
        user = getpwnam(default_users[i]);
    if (!user) {
        struct diagnostic_place place = conf_place(root);
        diagnostics_add(lookup->diagnostics, &place, "add: user NAME",
                        "started as root, and there is no user \"www-data\" or \"nobody\" for the workers");
        return;
    }
    resolved->uid = user->pw_uid;
    resolved->gid = user->pw_gid;
    if (resolve_group(lookup) == 0)
        resolve_groups(resolved, user->pw_name);
}

/* The group of an owner, once the user's own one stands in *group. 0, or ERR_NOT_FOUND: reported. */
static int find_owner_group(const struct conf_statement *statement, const struct conf_value *value,
                            const char *name, gid_t *group)
{
    const struct group *known = name ? getgrnam(name) : NULL;
    if (known)
        *group = known->gr_gid;
    else if (name && !is_number(name, group)) {
        conf_refuse_value(statement, value, NULL, "there is no group \"%.200s\"", name);
        return ERR_NOT_FOUND;
    }
    return 0;
}

void lookup_owner(struct lookup *lookup, const struct conf_statement *statement,
                  const struct conf_value *value, uid_t *user, gid_t *group)
{
    char name[256];
    const char *colon = strchr(value->text, ':');
    size_t length = colon ? (size_t)(colon - value->text) : strlen(value->text);
    *user = CORE_NOBODY;
    *group = CORE_NOBODY;
    snprintf(name, sizeof name, "%.*s", (int)(length < sizeof name ? length : sizeof name - 1), value->text);
    const struct passwd *known = getpwnam(name);
    if (known) {
        *user = known->pw_uid;
        *group = known->pw_gid;
    } else if (!is_number(name, user)) {
        conf_refuse_value(statement, value, NULL, "there is no user \"%s\"", name);
        return;
    }
    if (find_owner_group(statement, value, colon ? colon + 1 : NULL, group))
        return;
    if (lookup->purpose == SETTINGS_START && geteuid() != 0 && *user != geteuid())
        conf_refuse_value(statement, value, "leave it out, or start as root",
                          "only root can give a socket to another user");
}

/* Once it is known whom the workers run as: the file is theirs. */
static void check_error_log(struct lookup *lookup)
{
    const int number = error_log_try(lookup->error_log_path, lookup->resolved->uid, lookup->resolved->gid);
    const char *hint = NULL;
    if (!number)
        return;
    if (number == EACCES && geteuid() == 0)
        hint = "the user of the workers has to be able to write it";
    else if (number == EACCES && lookup->purpose == SETTINGS_CHECK)
        hint = "check as the user who starts the server";
    refuse_name(lookup, lookup->error_log, hint, "the error log \"%.150s\" cannot be opened: %s",
                conf_arg(lookup->error_log, 0), strerror(number));
}

static uint32_t online_cpus(void)
{
    cpu_set_t set;
    int count =
        sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : (int)sysconf(_SC_NPROCESSORS_ONLN);
    if (count < 1)
        return 1;
    return count > CORE_WORKERS_MAX ? CORE_WORKERS_MAX : (uint32_t)count;
}

void lookup_finish(struct lookup *lookup, struct conf_node root)
{
    lookup->resolved->version = SETTINGS_RESOLVED_VERSION;
    lookup->resolved->workers = online_cpus();
    settings_default_control(lookup->resolved->control_path);
    if (conf_node_exists(lookup->user))
        resolve_given_user(lookup);
    else
        resolve_default_user(lookup, root);
    if (conf_node_exists(lookup->error_log))
        check_error_log(lookup);
}
