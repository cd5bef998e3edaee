/* What masters say to the service manager goes through the anchor, word for word; READY=1 is noticed on the way. */
#include "anchor/anchor.h"

#include "base/fd.h"
#include "unit.h"

#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static struct anchor anchor;
static int manager; /* the service manager's socket */
static char path[64];

/* `name` with '@': in the abstract namespace. */
static void listen_as(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    memcpy(address.sun_path, name, strlen(name));
    if (name[0] == '@')
        address.sun_path[0] = '\0';
    manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(manager, (struct sockaddr *)&address,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))),
                     0);
    anchor.notify_path = path;
}

static int setup(void **state)
{
    (void)state;
    (void)signal(SIGPIPE, SIG_IGN);
    anchor = (struct anchor){.ready_fd = -1, .pid_fd = -1};
    manager = -1;
    snprintf(path, sizeof path, "@holdfast-notify-%d", (int)getpid());
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fd_close(&manager);
    fd_close(&anchor.ready_fd);
    return 0;
}

static int notify(const char *text)
{
    return anchor_notify(&anchor, text, strlen(text));
}

static void assert_heard(const char *text)
{
    char heard[5000];
    ssize_t length = recv(manager, heard, sizeof heard, 0);

    assert_int_equal(length, strlen(text));
    assert_memory_equal(heard, text, strlen(text));
}

static void a_text_is_one_datagram_word_for_word(void **state)
{
    char large[4097];
    (void)state;

    listen_as(path);
    assert_int_equal(notify("STATUS=all is well\nWATCHDOG=1"), 0);
    assert_heard("STATUS=all is well\nWATCHDOG=1");
    memset(large, 'x', sizeof large - 1);
    large[sizeof large - 1] = '\0';
    assert_int_equal(notify(large), 0);
    assert_heard(large);
}

static void a_socket_may_be_a_file(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "/tmp/holdfast-notify-%d", (int)getpid());
    (void)unlink(path);
    listen_as(path);
    assert_int_equal(notify("STOPPING=1"), 0);
    assert_heard("STOPPING=1");
    (void)unlink(path);
}

static void without_a_service_manager_nothing_is_said(void **state)
{
    (void)state;
    assert_int_equal(notify("READY=1"), 0);
    anchor.notify_path = "";
    assert_int_equal(notify("READY=1"), 0);
    assert_true(anchor.restart.ready_ever);
}

static void a_service_manager_that_is_not_there_is_an_error_and_no_end(void **state)
{
    static char too_long[200];
    (void)state;

    anchor.notify_path = path;
    assert_true(notify("READY=1") < 0);
    assert_true(anchor.restart.ready_ever);
    memset(too_long, 'x', sizeof too_long - 1);
    anchor.notify_path = too_long;
    assert_int_equal(notify("STATUS=x"), ERR_INVALID);
}

static void ready_is_a_whole_line(void **state)
{
    static const char *const others[] = {"READY=0",      "READY=12", "XREADY=1", "STATUS=READY=1",
                                         "READY=1 \nX=", "\nREADY=", "READY",    ""};
    static const char *const readies[] = {"READY=1", "READY=1\n", "A=b\nREADY=1\nC=d", "\nREADY=1"};
    (void)state;

    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        assert_int_equal(notify(others[i]), 0);
        assert_false(anchor.restart.ready_ever);
    }
    for (size_t i = 0; i < sizeof readies / sizeof *readies; i++) {
        anchor.restart = (struct restart){.deaths_in_row = 3};
        assert_int_equal(notify(readies[i]), 0);
        assert_true(anchor.restart.ready_ever);
        assert_int_equal(anchor.restart.deaths_in_row, 0);
    }
}

static void whoever_waits_for_ready_is_told_once(void **state)
{
    char byte = 0;
    int ends[2];
    (void)state;

    assert_int_equal(pipe(ends), 0);
    anchor.ready_fd = ends[1];
    assert_int_equal(notify("STATUS=starting"), 0);
    assert_true(anchor.ready_fd >= 0);
    assert_int_equal(notify("READY=1"), 0);
    assert_int_equal(anchor.ready_fd, -1);
    assert_int_equal(notify("READY=1"), 0);
    assert_int_equal(read(ends[0], &byte, 1), 1);
    assert_int_equal(byte, '1');
    assert_int_equal(read(ends[0], &byte, 1), 0); /* and that is its end */
    close(ends[0]);
}

static void whoever_waited_for_ready_may_have_gone(void **state)
{
    int ends[2];
    (void)state;

    assert_int_equal(pipe(ends), 0);
    close(ends[0]);
    anchor.ready_fd = ends[1];
    assert_int_equal(notify("READY=1"), 0);
    assert_int_equal(anchor.ready_fd, -1);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_text_is_one_datagram_word_for_word),
        CASE(a_socket_may_be_a_file),
        CASE(without_a_service_manager_nothing_is_said),
        CASE(a_service_manager_that_is_not_there_is_an_error_and_no_end),
        CASE(ready_is_a_whole_line),
        CASE(whoever_waits_for_ready_is_told_once),
        CASE(whoever_waited_for_ready_may_have_gone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
