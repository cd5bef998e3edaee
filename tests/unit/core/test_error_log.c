/* Where the error log goes, and when it is opened anew. */
#include "core/error_log.h"

#include "base/fd.h"
#include "core/worker.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct core_settings settings;
static char folder[64];

static int setup(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/holdfast-errors-XXXXXX");
    if (!mkdtemp(folder) || chmod(folder, 0755))
        return -1;
    settings = (struct core_settings){.uid = geteuid(), .gid = getegid()};
    snprintf(settings.error_log, sizeof settings.error_log, "%s/log", folder);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    (void)unlink(settings.error_log);
    return rmdir(folder);
}

static off_t size_of(const char *path)
{
    struct stat status;

    return stat(path, &status) ? -1 : status.st_size;
}

static void a_file_that_is_not_there_can_be_opened_where_one_may_be_made_and_trying_makes_none(void **state)
{
    (void)state;
    assert_int_equal(error_log_try(settings.error_log, settings.uid, settings.gid), 0);
    assert_int_equal(size_of(settings.error_log), -1);
    assert_int_equal(error_log_try("/nowhere/at/all", settings.uid, settings.gid), ENOENT);
    assert_int_equal(error_log_try(folder, settings.uid, settings.gid), EISDIR);
}

static void the_file_is_opened_with_the_rights_of_the_workers(void **state)
{
    int fd;
    (void)state;

    fd = error_log_open(&settings);
    assert_true(fd >= 0);
    fd_close(&fd);
    assert_int_equal(chmod(settings.error_log, 0600), 0);
    if (geteuid() != 0)
        return;
    settings.uid = settings.gid = 65534;
    assert_int_equal(error_log_open(&settings), ERR_PERMISSION);
    assert_int_equal(error_log_try(settings.error_log, 65534, 65534), EACCES);
    assert_int_equal(access(settings.error_log, W_OK), 0);
    fd = open(settings.error_log, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0); /* our own rights are as before */
    fd_close(&fd);
}

static void a_worker_opens_it_anew_once_for_each_wish_and_goes_on_with_the_old_one_if_it_cannot(void **state)
{
    static struct worker worker;
    int before = dup(STDERR_FILENO);
    (void)state;

    worker = (struct worker){.settings = &settings};
    assert_int_equal(arena_create(&worker.arena, 0, 1, 256), 0);
    assert_false(error_log_must_reopen(&worker));
    worker.arena.page->log_epoch = 7;
    assert_true(error_log_must_reopen(&worker));
    assert_int_equal(error_log_reopen(&worker), 0);
    assert_false(error_log_must_reopen(&worker));
    assert_int_equal(write(STDERR_FILENO, "line\n", 5), 5);
    assert_int_equal(size_of(settings.error_log), 5);

    assert_int_equal(unlink(settings.error_log), 0);
    assert_int_equal(mkdir(settings.error_log, 0700), 0);
    worker.arena.page->log_epoch = 8;
    assert_true(error_log_reopen(&worker) < 0);
    assert_int_equal(errno, EISDIR);
    assert_false(error_log_must_reopen(&worker));
    assert_int_equal(write(STDERR_FILENO, "line\n", 5), 5);
    assert_int_equal(rmdir(settings.error_log), 0);

    settings.error_log[0] = '\0';
    worker.arena.page->log_epoch = 9;
    assert_false(error_log_must_reopen(&worker)); /* it is standard error, for ever */
    arena_close(&worker.arena);
    assert_int_equal(dup2(before, STDERR_FILENO), STDERR_FILENO);
    fd_close(&before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            a_file_that_is_not_there_can_be_opened_where_one_may_be_made_and_trying_makes_none, setup,
            teardown),
        cmocka_unit_test_setup_teardown(the_file_is_opened_with_the_rights_of_the_workers, setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_worker_opens_it_anew_once_for_each_wish_and_goes_on_with_the_old_one_if_it_cannot, setup,
            teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
