/* The control socket: who is heard, what a line is, and that nobody can hold the master up. */
#include "core/control.h"

#include "base/fd.h"
#include "core/control_wire.h"
#include "master_rig.h"
#include "unit.h"

#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_MS 10000

static struct master_rig rig;
static struct master *const master = &rig.master;

static int setup(void **state)
{
    (void)state;
    master_rig_open(&rig, PHASE_RUN);
    snprintf(rig.settings.control_path, sizeof rig.settings.control_path, "/tmp/holdfast-unit-%d", getpid());
    master->settings = rig.settings;
    strcpy(master->board->phase, "run"); /* the loop writes it */
    return control_start(master);
}

static int teardown(void **state)
{
    (void)state;
    master_rig_close(&rig);
    return access(rig.settings.control_path, F_OK) == 0;
}

/* --- the master's turns and a client's words --- */

/* Everything that is ready now, once. */
static void turn(int timeout_ms)
{
    struct pollfd polled[CONTROL_FDS_MAX];
    nfds_t count = control_collect(master, polled);

    assert_int_equal(count, CONTROL_FDS_MAX);
    if (poll(polled, count, timeout_ms) > 0)
        control_ready(master, polled, count);
}

static int client_open(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    strcpy(address.sun_path, rig.settings.control_path);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    turn(PATIENCE_MS);
    return fd;
}

static void say_bytes(int fd, const char *bytes, size_t length)
{
    assert_int_equal(send(fd, bytes, length, MSG_NOSIGNAL), length);
    turn(PATIENCE_MS);
}

static void say(int fd, const char *text)
{
    say_bytes(fd, text, strlen(text));
}

/* The next line, which must lie there. */
static json_t *hear(int fd)
{
    static char line[CONTROL_ANSWER_MAX];
    size_t length = 0;
    json_t *object;

    do {
        assert_true(length < sizeof line);
        assert_int_equal(recv(fd, line + length, 1, MSG_DONTWAIT), 1);
    } while (line[length++] != '\n');
    object = json_loadb(line, length, 0, NULL);
    assert_non_null(object);
    return object;
}

/* The answer says whether it was done; its error begins so. */
static void hear_refusal(int fd, const char *error)
{
    json_t *object = hear(fd);
    const char *text = json_string_value(json_object_get(object, "error"));

    assert_true(json_is_false(json_object_get(object, "ok")));
    assert_non_null(text);
    assert_memory_equal(text, error, strlen(error));
    assert_true(json_is_string(json_object_get(object, "next")));
    json_decref(object);
}

static void hear_status(int fd)
{
    json_t *object = hear(fd);

    assert_true(json_is_true(json_object_get(object, "ok")));
    assert_string_equal(json_string_value(json_object_get(json_object_get(object, "result"), "phase")),
                        "run");
    json_decref(object);
}

static void assert_silent(int fd)
{
    char byte;

    assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), -1);
    assert_int_equal(errno, EAGAIN);
}

static void assert_dropped(int fd)
{
    char bytes[4096];
    ssize_t count;

    while ((count = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT)) > 0)
        ;
    assert_true(count == 0 || errno == ECONNRESET);
}

/* --- the socket --- */

static void the_socket_is_deposited_and_nobody_elses(void **state)
{
    struct stat stat_of_path;
    (void)state;

    assert_true(fake_anchor_held(&rig.anchor, "control") >= 0);
    assert_int_equal(stat(rig.settings.control_path, &stat_of_path), 0);
    assert_true(S_ISSOCK(stat_of_path.st_mode));
    assert_int_equal(stat_of_path.st_mode & 0777, 0600);
    assert_int_equal(control_start(master), 0); /* once is enough */
    control_stop(master);
    assert_int_equal(fake_anchor_held(&rig.anchor, "control"), -1);
    assert_int_equal(access(rig.settings.control_path, F_OK), -1);
    assert_null(master->control);
    control_stop(master);
    assert_int_equal(control_collect(master, NULL), 0);
    control_ready(master, NULL, 0);
}

static void the_next_master_finds_the_socket_and_hears_who_came_in_between(void **state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), status = -1;
    pid_t pid;
    (void)state;

    control_stop(master);
    pid = fork();
    if (pid == 0) /* a master that has just bound it, and is gone */
        _exit(control_start(master) != 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    strcpy(address.sun_path, rig.settings.control_path);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    (void)fake_anchor_said(&rig.anchor);
    assert_int_equal(control_start(master), 0);
    assert_string_equal(fake_anchor_said(&rig.anchor), "GET control\n");
    turn(PATIENCE_MS);
    say(fd, "{\"command\":\"status\"}\n");
    hear_status(fd);
    fd_close(&fd);
}

static void a_path_that_cannot_be_had_is_an_error(void **state)
{
    (void)state;
    control_stop(master);
    strcpy(master->settings.control_path, "/nonexistent/holdfast.sock");
    assert_true(control_start(master) < 0);
    assert_null(master->control);
    strcpy(master->settings.control_path, rig.settings.control_path);
    fake_anchor_refuses(&rig.anchor, WIRE_GET, "control", ERR_NO_DESCRIPTORS);
    assert_int_equal(control_start(master), ERR_NO_DESCRIPTORS); /* it may be there: another is not bound */
    assert_null(master->control);
    fake_anchor_refuses(&rig.anchor, WIRE_GET, "", 0);
}

/* --- who is heard --- */

/* Who is neither root nor us gets nothing but the end. The exit code of that other one: 0 as it should be. */
static int try_as(uid_t uid)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct pollfd end = {.events = POLLIN};
    char byte;

    strcpy(address.sun_path, rig.settings.control_path);
    if (setresuid(uid, uid, uid))
        return 2;
    end.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(end.fd, (struct sockaddr *)&address, sizeof address))
        return 3;
    (void)!send(end.fd, "{\"command\":\"stop-now\"}\n", 23, MSG_NOSIGNAL);
    (void)poll(&end, 1, PATIENCE_MS);
    return recv(end.fd, &byte, 1, 0) > 0 ? 1 : 0;
}

static void somebody_else_is_not_heard_even_if_the_path_lets_him_in(void **state)
{
    int status = -1;
    pid_t pid;
    (void)state;

    if (geteuid() != 0)
        skip(); /* needs somebody else */
    assert_int_equal(chmod(rig.settings.control_path, 0666), 0);
    pid = fork();
    if (pid == 0)
        _exit(try_as(65534));
    turn(PATIENCE_MS); /* accepts, and looks at who it is */
    turn(0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(master->state->phase, PHASE_RUN);
}

/* --- lines --- */

static void one_client_may_ask_many_times(void **state)
{
    int fd = client_open();
    (void)state;

    for (int i = 0; i < 3; i++) {
        say(fd, "{\"command\": \"status\"}\n");
        hear_status(fd);
    }
    assert_silent(fd);
    fd_close(&fd);
}

static void a_line_may_come_byte_by_byte(void **state)
{
    static const char line[] = "{\"command\":\"status\"}\n";
    int fd = client_open();
    (void)state;

    for (size_t i = 0; i + 1 < sizeof line; i++) {
        assert_silent(fd);
        say_bytes(fd, &line[i], 1);
    }
    hear_status(fd);
    fd_close(&fd);
}

static void several_lines_may_come_at_once_and_the_last_one_in_part(void **state)
{
    int fd = client_open();
    (void)state;

    say(fd, "{\"command\":\"status\"}\n{\"command\":\"what\"}\n{\"command\":\"st");
    hear_status(fd);
    hear_refusal(fd, "unknown command");
    assert_silent(fd);
    say(fd, "atus\"}\n");
    hear_status(fd);
    fd_close(&fd);
}

static void what_is_no_request_is_refused_and_the_client_may_go_on(void **state)
{
    static const char *const lines[] = {"\n",
                                        "rubbish\n",
                                        "[]\n",
                                        "\"status\"\n",
                                        "{\"command\": 7}\n",
                                        "{\"order\": \"status\"}\n",
                                        "{\"command\": \"status\"\n"};
    int fd = client_open();
    (void)state;

    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        say(fd, lines[i]);
        hear_refusal(fd, "the request is no JSON object");
    }
    say_bytes(fd, "{\"command\": \"sta\0tus\"}\n", 23);
    hear_refusal(fd, "the request is no JSON object");
    say(fd, "{\"command\": \"STATUS\"}\n");
    hear_refusal(fd, "unknown command");
    say(fd, "{\"command\": \"\"}\n");
    hear_refusal(fd, "unknown command");
    say(fd, "{\"command\": \"status\", \"more\": [1]}\n");
    hear_status(fd);
    fd_close(&fd);
}

/* A request of exactly `length` bytes with its line feed. */
static void long_line(char *line, size_t length)
{
    static const char begin[] = "{\"command\":\"status\",\"filler\":\"";

    memset(line, 'x', length);
    memcpy(line, begin, sizeof begin - 1);
    memcpy(line + length - 3, "\"}\n", 3);
}

static void a_line_of_the_limit_is_heard_and_a_longer_one_ends_the_connection(void **state)
{
    static char line[CONTROL_REQUEST_MAX + 1];
    int fd = client_open();
    (void)state;

    long_line(line, CONTROL_REQUEST_MAX);
    say_bytes(fd, line, CONTROL_REQUEST_MAX);
    hear_status(fd);
    long_line(line, CONTROL_REQUEST_MAX + 1);
    say_bytes(fd, line, CONTROL_REQUEST_MAX + 1);
    assert_dropped(fd);
    fd_close(&fd);
}

static void a_client_that_goes_in_the_middle_of_a_line_leaves_nothing_to_the_next(void **state)
{
    int fd = client_open();
    (void)state;

    say(fd, "{\"command\":\"stop");
    fd_close(&fd);
    turn(PATIENCE_MS);
    fd = client_open();
    say(fd, "-now\"}\n");
    hear_refusal(fd, "the request is no JSON object");
    assert_int_equal(master->state->phase, PHASE_RUN);
    fd_close(&fd);
}

/* --- many --- */

static void each_of_many_clients_gets_its_own_answers(void **state)
{
    int fds[CONTROL_CLIENTS_MAX];
    (void)state;

    for (int i = 0; i < CONTROL_CLIENTS_MAX; i++) {
        fds[i] = client_open();
        say(fds[i], "{\"command\":");
    }
    for (int i = CONTROL_CLIENTS_MAX - 1; i >= 0; i--) {
        say(fds[i], i % 2 ? "\"status\"}\n" : "\"other\"}\n");
        if (i % 2)
            hear_status(fds[i]);
        else
            hear_refusal(fds[i], "unknown command");
    }
    for (int i = 0; i < CONTROL_CLIENTS_MAX; i++) {
        assert_silent(fds[i]);
        fd_close(&fds[i]);
    }
}

static void one_too_many_takes_the_place_of_who_was_quiet_for_the_longest_time(void **state)
{
    int fds[CONTROL_CLIENTS_MAX], extra;
    (void)state;

    for (int i = 0; i < CONTROL_CLIENTS_MAX; i++)
        fds[i] = client_open();
    say(fds[0], "{\"command\":\"status\"}\n"); /* not the quietest any more */
    hear_status(fds[0]);
    extra = client_open();
    say(extra, "{\"command\":\"status\"}\n");
    hear_status(extra);
    assert_dropped(fds[1]);
    for (int i = 0; i < CONTROL_CLIENTS_MAX; i++) {
        if (i != 1) {
            say(fds[i], "{\"command\":\"status\"}\n");
            hear_status(fds[i]);
        }
        fd_close(&fds[i]);
    }
    fd_close(&extra);
}

static void a_client_that_does_not_take_its_answers_is_dropped_and_holds_nobody_up(void **state)
{
    int greedy = client_open(), other;
    int turns = 0;
    (void)state;

    while (send(greedy, "{\"command\":\"status\"}\n", 21, MSG_NOSIGNAL | MSG_DONTWAIT) == 21) {
        turn(PATIENCE_MS);
        assert_true(++turns < 100000);
    }
    assert_true(errno == EPIPE || errno == ECONNRESET);
    other = client_open();
    say(other, "{\"command\":\"status\"}\n");
    hear_status(other);
    assert_dropped(greedy);
    fd_close(&greedy);
    fd_close(&other);
}

/* --- what the words do --- */

static void stop_begins_a_drain_and_stop_now_ends_it(void **state)
{
    static const char *const verbs[] = {"stop", "stop", "stop-now", "stop"};
    static const char *const phases[] = {"drain", "drain", "stop", "stop"};
    int fd = client_open();
    (void)state;

    for (int i = 0; i < 4; i++) {
        char line[64];
        json_t *object, *result;

        snprintf(line, sizeof line, "{\"command\":\"%s\"}\n", verbs[i]);
        say(fd, line);
        object = hear(fd);
        result = json_object_get(object, "result");
        assert_true(json_is_true(json_object_get(object, "ok")));
        assert_int_equal(json_integer_value(json_object_get(result, "anchor")), getppid());
        assert_string_equal(json_string_value(json_object_get(result, "phase")), phases[i]);
        json_decref(object);
    }
    fd_close(&fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_socket_is_deposited_and_nobody_elses),
        TEST(the_next_master_finds_the_socket_and_hears_who_came_in_between),
        TEST(a_path_that_cannot_be_had_is_an_error),
        TEST(somebody_else_is_not_heard_even_if_the_path_lets_him_in),
        TEST(one_client_may_ask_many_times),
        TEST(a_line_may_come_byte_by_byte),
        TEST(several_lines_may_come_at_once_and_the_last_one_in_part),
        TEST(what_is_no_request_is_refused_and_the_client_may_go_on),
        TEST(a_line_of_the_limit_is_heard_and_a_longer_one_ends_the_connection),
        TEST(a_client_that_goes_in_the_middle_of_a_line_leaves_nothing_to_the_next),
        TEST(each_of_many_clients_gets_its_own_answers),
        TEST(one_too_many_takes_the_place_of_who_was_quiet_for_the_longest_time),
        TEST(a_client_that_does_not_take_its_answers_is_dropped_and_holds_nobody_up),
        TEST(stop_begins_a_drain_and_stop_now_ends_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
