/* Commands against a server that is a script: what they print, what they ask, how they exit. */
#include "ctl/command.h"

#include "base/fd.h"
#include "unit.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define STATUS                                                                                               \
    "{\"ok\":true,\"result\":{\"version\":\"9.9\",\"generation\":3,\"uptime_s\":61.5,\"phase\":\"run\","     \
    "\"anchor\":{\"pid\":11},\"master\":{\"pid\":12,\"started\":1},\"counters_trusted\":true,\"workers\":["  \
    "{\"slot\":0,\"pid\":14,\"keeper_pid\":13,\"generation\":3,\"state\":\"ready\",\"connections\":5,"       \
    "\"requests\":6,\"deaths\":7,\"revivals\":8,\"poisoned\":9}],"                                           \
    "\"listeners\":[{\"address\":\":8080\",\"accept\":\"shared\",\"accepted\":123}]}}\n"

static char path[64];
static int listener = -1;
static char out[16384]; /* what the command printed, to either */

static void default_control(char *to)
{
    strcpy(to, path);
}

static int setup(void **state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)state;

    snprintf(path, sizeof path, "/tmp/holdfast-unit-%d", getpid());
    strcpy(address.sun_path, path);
    ctl_default_control = default_control;
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 16);
}

static int teardown(void **state)
{
    (void)state;
    fd_close(&listener);
    return unlink(path);
}

/* --- the server --- */

struct turn {
    const char *asked;  /* the whole request */
    const char *answer; /* NULL: closes; "": says nothing until the client goes */
    pid_t ends;         /* who is ended then, or 0 */
};

/* Serves a connection for each turn. The exit code says at which turn something else was asked. */
_Noreturn static void serve(const struct turn *turns, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        char request[256];
        size_t length = 0;

        while (length == 0 || request[length - 1] != '\n') {
            ssize_t got = recv(fd, request + length, sizeof request - 1 - length, 0);

            if (got <= 0)
                _exit((int)i + 1);
            length += (size_t)got;
        }
        request[length] = '\0';
        if (strcmp(request, turns[i].asked))
            _exit((int)i + 1);
        if (turns[i].answer && !turns[i].answer[0])
            (void)recv(fd, request, 1, 0);
        for (const char *at = turns[i].answer; at && *at; at++) /* byte by byte */
            (void)!send(fd, at, 1, MSG_NOSIGNAL);
        fd_close(&fd);
        if (turns[i].ends)
            (void)kill(turns[i].ends, SIGKILL);
    }
    _exit(0);
}

/* --- the command --- */

typedef int (*command_fn)(int count, char **arguments);

/* Runs it in a process of its own and returns its exit code; `arguments` are separated by blanks. */
static int run(command_fn command, const char *arguments)
{
    char words[256], *list[16] = {NULL};
    int count = 0, pipes[2], status = -1;
    size_t length = 0;
    pid_t pid;

    snprintf(words, sizeof words, "holdfast %s", arguments);
    for (char *word = strtok(words, " "); word; word = strtok(NULL, " "))
        list[count++] = word;
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        (void)dup2(pipes[1], 1);
        (void)dup2(pipes[1], 2);
        count = command(count, list);
        fflush(stdout);
        _exit(count);
    }
    fd_close(&pipes[1]);
    assert_int_equal(fd_read_all(pipes[0], out, sizeof out - 1, &length), 0);
    out[length] = '\0';
    fd_close(&pipes[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int run_against(const struct turn *turns, size_t count, command_fn command, const char *arguments)
{
    int code, status = -1;
    pid_t server = fork();

    if (server == 0)
        serve(turns, count);
    code = run(command, arguments);
    assert_int_equal(waitpid(server, &status, 0), server);
    assert_int_equal(status, 0);
    return code;
}

#define RUN(turns, command, arguments) run_against(turns, sizeof turns / sizeof *turns, command, arguments)

static void assert_said(const char *text)
{
    if (!strstr(out, text))
        fail_msg("not said: %s\nbut: %s", text, out);
}

/* --- usage, and nobody there --- */

static void what_is_not_understood_is_named_with_the_usage(void **state)
{
    static const char *const wrong[] = {"--what",    "more",        "--control",
                                        "--timeout", "--timeout 5", "--timeout x"};
    char arguments[256], text[300];
    (void)state;

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        snprintf(arguments, sizeof arguments, "status %s", wrong[i]);
        assert_int_equal(run(ctl_status, arguments), CONTROL_EXIT_USAGE);
        assert_said("holdfast: not understood: ");
        assert_said("usage: holdfast status ");
    }
    memset(text, 'x', sizeof text); /* longer than a path of a socket */
    snprintf(arguments, sizeof arguments, "stop --control %.120s", text);
    assert_int_equal(run(ctl_stop, arguments), CONTROL_EXIT_USAGE);
    assert_said("usage: holdfast stop ");
}

static void without_a_server_the_path_is_named_and_how_to_name_another(void **state)
{
    (void)state;
    assert_int_equal(run(ctl_status, "status --control /nonexistent/socket"), CONTROL_EXIT_NO_SERVER);
    assert_said("no server at /nonexistent/socket: No such file or directory");
    assert_said("--control PATH");
    assert_int_equal(run(ctl_stop, "stop --control /nonexistent/socket"), CONTROL_EXIT_NO_SERVER);
}

/* --- status --- */

static void status_is_printed_for_people(void **state)
{
    static const struct turn turns[] = {{"{\"command\":\"status\"}\n", STATUS, 0}};
    (void)state;

    assert_int_equal(RUN(turns, ctl_status, "status"), CONTROL_EXIT_DONE);
    assert_said("holdfast 9.9  run  generation 3  up 62 s\nanchor 11   master 12\n");
    assert_said(
        "   0    3 ready           13       14            5            6       7         8         9\n");
    assert_said(":8080 ");
    assert_said("shared              123\n");
}

static void status_as_json_is_the_result_alone(void **state)
{
    static const struct turn turns[] = {{"{\"command\":\"status\"}\n", STATUS, 0}};
    (void)state;

    assert_int_equal(RUN(turns, ctl_status, "status --json"), CONTROL_EXIT_DONE);
    assert_memory_equal(out, "{\"version\":\"9.9\",", 17);
    assert_string_equal(out + strlen(out) - 4, "}]}\n");
}

static void a_refusal_is_printed_with_what_to_do(void **state)
{
    static const struct turn turns[] = {{"{\"command\":\"status\"}\n",
                                         "{\"ok\":false,\"error\":\"not now\",\"next\":\"wait a little\"}\n",
                                         0}};
    (void)state;

    assert_int_equal(RUN(turns, ctl_status, "status"), CONTROL_EXIT_REFUSED);
    assert_said("holdfast: refused: not now\n  wait a little\n");
}

static void a_master_that_dies_under_a_question_is_followed_by_one_that_answers(void **state)
{
    static const struct turn turns[] = {{"{\"command\":\"status\"}\n", NULL, 0},
                                        {"{\"command\":\"status\"}\n", "{\"ok\":tr", 0},
                                        {"{\"command\":\"status\"}\n", STATUS, 0}};
    (void)state;

    assert_int_equal(RUN(turns, ctl_status, "status"), CONTROL_EXIT_DONE);
    assert_said("generation 3");
}

static void a_server_that_says_nothing_is_given_the_time_that_was_asked_for(void **state)
{
    static const struct turn turns[] = {{"{\"command\":\"status\"}\n", "", 0}};
    (void)state;

    assert_int_equal(RUN(turns, ctl_status, "status --timeout 50ms"), CONTROL_EXIT_REFUSED);
    assert_said("takes connections but does not answer");
}

/* --- stop --- */

static pid_t sleeper(void)
{
    pid_t pid = fork();

    if (pid == 0)
        for (;;)
            (void)pause();
    return pid;
}

static void end(pid_t pid)
{
    (void)kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* A stop of this server, whose anchor leaves afterwards or does not. */
static int stop(const char *asked, const char *arguments, int leaves)
{
    pid_t anchor = sleeper();
    char answer[128];
    struct turn turns[] = {{asked, answer, leaves ? anchor : 0}};
    int code;

    snprintf(answer, sizeof answer, "{\"ok\":true,\"result\":{\"anchor\":%d,\"phase\":\"drain\"}}\n", anchor);
    code = RUN(turns, ctl_stop, arguments);
    end(anchor);
    return code;
}

static void stop_comes_back_when_the_server_has_left(void **state)
{
    (void)state;
    assert_int_equal(stop("{\"command\":\"stop\"}\n", "stop", 1), CONTROL_EXIT_DONE);
    assert_said("stopping (pid ");
    assert_int_equal(stop("{\"command\":\"stop-now\"}\n", "stop --now --json", 1), CONTROL_EXIT_DONE);
    assert_said("{\"anchor\":");
    assert_said("\"ended\":true}\n");
}

static void stop_gives_up_waiting_when_its_time_is_over_and_says_what_goes_on(void **state)
{
    (void)state;
    assert_int_equal(stop("{\"command\":\"stop\"}\n", "stop --timeout 50ms", 0), CONTROL_EXIT_REFUSED);
    assert_said("has not left in time; it goes on draining");
    assert_said("stop --now");
}

static void an_answer_that_names_no_server_is_a_failure(void **state)
{
    static const struct turn turns[] = {{"{\"command\":\"stop\"}\n", "{\"ok\":true,\"result\":{}}\n", 0}};
    (void)state;

    assert_int_equal(RUN(turns, ctl_stop, "stop"), CONTROL_EXIT_REFUSED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_not_understood_is_named_with_the_usage),
        TEST(without_a_server_the_path_is_named_and_how_to_name_another),
        TEST(status_is_printed_for_people),
        TEST(status_as_json_is_the_result_alone),
        TEST(a_refusal_is_printed_with_what_to_do),
        TEST(a_master_that_dies_under_a_question_is_followed_by_one_that_answers),
        TEST(a_server_that_says_nothing_is_given_the_time_that_was_asked_for),
        TEST(stop_comes_back_when_the_server_has_left),
        TEST(stop_gives_up_waiting_when_its_time_is_over_and_says_what_goes_on),
        TEST(an_answer_that_names_no_server_is_a_failure),
    };

    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
