/* What the loader asks the system: users, groups, folders, CPUs. */
#include "main/lookup.h"

#include "built.h"
#include "unit.h"

#include <grp.h>
#include <pwd.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Looks up what these lines need, with a site so that they are whole. How many complaints there were. */
static size_t resolve(const char *lines, const char *folder, struct settings_resolved *resolved)
{
    char text[512];
    struct conf_tree tree;
    void *image;
    size_t size;

    snprintf(text, sizeof text, "%s\nsite :8080 {\n    files %s\n}\n", lines, folder);
    built_tree(text, NULL, &tree, &image, &size);
    memset(resolved, 0xff, sizeof *resolved);
    assert_int_equal(settings_resolve(&tree, SETTINGS_CHECK, resolved, &built_diagnostics), 0);
    conf_tree_fini(&tree);
    free(image);
    return built_diagnostics.count;
}

static void assert_complaint(const char *lines, const char *folder, const char *message)
{
    struct settings_resolved resolved;

    assert_int_equal(resolve(lines, folder, &resolved), 1);
    if (!strstr(built_diagnostics.list[0].message, message))
        fail_msg("%s", built_diagnostics.list[0].message);
}

static void the_number_of_cpus_is_that_of_this_process(void **state)
{
    struct settings_resolved resolved;
    cpu_set_t all, one;
    (void)state;

    assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
    assert_int_equal(resolve("", "/", &resolved), 0);
    assert_int_equal(resolved.workers,
                     CPU_COUNT(&all) < CORE_WORKERS_MAX ? CPU_COUNT(&all) : CORE_WORKERS_MAX);
    CPU_ZERO(&one);
    for (int cpu = 0; cpu < CPU_SETSIZE && !CPU_COUNT(&one); cpu++)
        if (CPU_ISSET(cpu, &all))
            CPU_SET(cpu, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    assert_int_equal(resolve("", "/", &resolved), 0);
    assert_int_equal(sched_setaffinity(0, sizeof all, &all), 0);
    assert_int_equal(resolved.workers, 1);
    assert_int_equal(resolved.version, SETTINGS_RESOLVED_VERSION);
}

static void without_a_user_workers_run_as_who_starts_them_but_not_as_root(void **state)
{
    struct settings_resolved resolved;
    (void)state;

    assert_int_equal(resolve("", "/", &resolved), 0);
    if (geteuid() == 0)
        assert_int_not_equal(resolved.uid, 0);
    else
        assert_int_equal(resolved.uid, geteuid());
}

static void a_user_is_known_by_name_or_number_and_brings_his_groups(void **state)
{
    const struct passwd *nobody = getpwnam("nobody");
    struct settings_resolved by_name, by_number;
    char lines[64];
    (void)state;

    if (!nobody)
        skip();
    assert_int_equal(resolve("user nobody", "/", &by_name), 0);
    assert_int_equal(by_name.uid, nobody->pw_uid);
    assert_int_equal(by_name.gid, nobody->pw_gid);
    assert_in_range(by_name.group_count, 1, CORE_GROUPS_MAX);
    snprintf(lines, sizeof lines, "user %u", nobody->pw_uid);
    assert_int_equal(resolve(lines, "/", &by_number), 0);
    assert_int_equal(by_number.uid, by_name.uid);
    assert_int_equal(by_number.gid, by_name.gid);
    assert_int_equal(by_number.group_count, by_name.group_count);
}

static void a_group_replaces_the_users_own(void **state)
{
    struct settings_resolved resolved;
    const struct group *daemon = getgrnam("daemon");
    (void)state;

    if (!daemon)
        skip();
    assert_int_equal(resolve("user nobody\ngroup daemon", "/", &resolved), 0);
    assert_int_equal(resolved.gid, daemon->gr_gid);
    assert_int_equal(resolve("user nobody\ngroup 54321", "/", &resolved), 0);
    assert_int_equal(resolved.gid, 54321);
    assert_int_equal(resolve("user 54321\ngroup 12345", "/", &resolved), 0); /* in no database */
    assert_int_equal(resolved.uid, 54321);
    assert_int_equal(resolved.gid, 12345);
}

static void who_is_unknown_is_named(void **state)
{
    (void)state;
    assert_complaint("user nobody-of-this-name", "/", "there is no user \"nobody-of-this-name\"");
    assert_complaint("user nobody\ngroup nobody-of-this-name", "/",
                     "there is no group \"nobody-of-this-name\"");
    assert_complaint("group nobody-of-this-name", "/", "there is no group \"nobody-of-this-name\"");
    assert_complaint("user 54321", "/", "user 54321 is in no database, so its group is unknown");
    assert_complaint("user 4294967295", "/",
                     "there is no user \"4294967295\""); /* means "leave it" to the kernel */
}

static void a_folder_has_to_be_one(void **state)
{
    (void)state;
    assert_complaint("", "/nonexistent", "there is no folder \"/nonexistent\"");
    assert_complaint("", "/dev/null", "\"/dev/null\" is not a folder");
    assert_complaint("", "/dev/null/below", "\"/dev/null/below\": Not a directory");
    assert_complaint("", "nonexistent", "there is no folder \"nonexistent\"");
    assert_non_null(strstr(built_diagnostics.list[0].hint, "from the folder of the configuration file"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_number_of_cpus_is_that_of_this_process),
        cmocka_unit_test(without_a_user_workers_run_as_who_starts_them_but_not_as_root),
        cmocka_unit_test(a_user_is_known_by_name_or_number_and_brings_his_groups),
        cmocka_unit_test(a_group_replaces_the_users_own),
        cmocka_unit_test(who_is_unknown_is_named),
        cmocka_unit_test(a_folder_has_to_be_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
