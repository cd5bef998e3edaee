/* The binding of this program: settings from a sealed snapshot, and what a worker starts and stops with. */
#include "main/service.h"

#include "base/fd.h"
#include "built.h"
#include "http/exchange.h"
#include "rig.h"
#include "unit.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct rig rig;

/* A snapshot as the loader seals it. */
static int snapshot(const char *text)
{
    struct conf_tree tree;
    void *image;
    size_t size;
    int fd = fd_memfd("snapshot", 0, 0), sealed;

    built_tree(text, NULL, &tree, &image, &size);
    assert_int_equal(fd_write_all(fd, image, size), 0);
    sealed = fd_sealed_copy(fd, "snapshot", 0);
    assert_true(sealed >= 0);
    conf_tree_fini(&tree);
    free(image);
    fd_close(&fd);
    return sealed;
}

static void settings_come_from_the_snapshot_and_every_listener_speaks_http(void **state)
{
    struct core_settings settings;
    int fd = snapshot("workers 3\ndrain 7s\nsite 127.0.0.1:81 127.0.0.1:82 {\nfiles /\n}\n");
    (void)state;

    for (int again = 0; again < 2; again++) { /* every process reads the same one */
        memset(&settings, 0xff, sizeof settings);
        assert_int_equal(holdfast_service.settings(fd, &settings), 0);
        assert_int_equal(settings.workers, 3);
        assert_int_equal(settings.drain_ms, 7000);
        assert_int_equal(settings.listener_count, 2);
        for (int i = 0; i < 2; i++)
            assert_int_equal(settings.listeners[i].class_tag, CONN_CLASS_HTTP);
    }
    fd_close(&fd);
}

static void what_is_no_snapshot_is_an_error(void **state)
{
    struct core_settings settings;
    int fd = fd_memfd("snapshot", 4096, 0);
    (void)state;

    assert_int_not_equal(holdfast_service.settings(fd, &settings), 0);
    fd_close(&fd);
    assert_int_not_equal(holdfast_service.settings(-1, &settings), 0);
    fd = snapshot("site :80 {\nfiles /\n}\nsite :80 {\nfiles /\n}\n"); /* no loader lets that through */
    assert_int_equal(holdfast_service.settings(fd, &settings), ERR_INVALID);
    fd_close(&fd);
}

static void a_worker_starts_and_stops_with_all_that_it_opened(void **state)
{
    int fd = snapshot("keepalive 9s\nsite :80 {\nfiles /\n}\nsite example.com:80 {\nfiles /tmp\n}\n");
    const struct http *http;
    unsigned before;
    (void)state;

    fd = rig_aside(fd); /* out of the way of what the rig closes */
    rig_open(&rig, holdfast_service.classes[CONN_CLASS_HTTP], AF_UNIX);
    assert_int_equal(dup3(fd, FD_SNAPSHOT, O_CLOEXEC), FD_SNAPSHOT);
    fd_close(&fd);
    before = rig_count_descriptors();
    for (int again = 0; again < 2; again++) {
        assert_int_equal(holdfast_service.start(&rig.worker, FD_SNAPSHOT), 0);
        http = rig.worker.application;
        assert_ptr_equal(http->worker, &rig.worker);
        assert_int_equal(http->config->site_count, 2);
        assert_int_equal(http->config->keepalive_ms, 9000);
        assert_true(http->next_request != 0);
        assert_non_null(http->handlers[0]);
        assert_int_equal(http->test_handler, 0); /* not without `test_hooks on` */
        (void)holdfast_service.housekeeping(&rig.worker);
        holdfast_service.stop(&rig.worker);
        assert_null(rig.worker.application);
        assert_int_equal(rig_count_descriptors(), before);
    }
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(settings_come_from_the_snapshot_and_every_listener_speaks_http),
        cmocka_unit_test(what_is_no_snapshot_is_an_error),
        cmocka_unit_test(a_worker_starts_and_stops_with_all_that_it_opened),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
