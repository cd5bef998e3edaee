/* The files handler over a real connection and a real folder. */
#include "handler/files/files.h"

#include "core/revival.h"
#include "http/talk.h"
#include "unit.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define LARGE 200000u /* too large to be kept in memory */

static struct talk talk;
static char folder[] = "/tmp/holdfast-files-XXXXXX", outside[] = "/tmp/holdfast-outside-XXXXXX";
static char made_folder[sizeof folder], made_outside[sizeof outside];
static const char *folders[] = {made_folder};

static const char *path_of(const char *root, const char *name)
{
    static char path[512];

    snprintf(path, sizeof path, "%s/%s", root, name);
    return path;
}

static void write_file(const char *root, const char *name, const char *content, size_t length)
{
    int fd = open(path_of(root, name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    assert_int_equal(write(fd, content, length), length);
    close(fd);
}

static char large_byte(size_t at)
{
    return (char)(at * 31 + at / 1009);
}

static void make_folder(void)
{
    static char large[LARGE];

    strcpy(made_folder, folder);
    strcpy(made_outside, outside);
    assert_non_null(mkdtemp(made_folder));
    assert_non_null(mkdtemp(made_outside));
    for (size_t i = 0; i < LARGE; i++)
        large[i] = large_byte(i);
    write_file(made_folder, "small.txt", "small\n", 6);
    write_file(made_folder, "large.bin", large, LARGE);
    write_file(made_folder, "empty.css", "", 0);
    write_file(made_folder, "space name.html", "space", 5);
    write_file(made_folder, ".hidden", "secret", 6);
    write_file(made_outside, "secret.txt", "secret", 6);
    assert_int_equal(mkdir(path_of(made_folder, "sub"), 0755), 0);
    write_file(made_folder, "sub/index.html", "index", 5);
    assert_int_equal(symlink(made_outside, path_of(made_folder, "out")), 0);
    assert_int_equal(symlink("small.txt", path_of(made_folder, "link.txt")), 0);
    assert_int_equal(mkfifo(path_of(made_folder, "fifo"), 0644), 0);
}

static int setup(void **state)
{
    (void)state;
    make_folder();
    talk_open(&talk, &files_handler, AF_UNIX);
    talk.config.folders = folders;
    talk.config.folder_count = 1;
    log_set_level(LOG_ERROR + 1);
    return files_start(&talk.http);
}

static int teardown(void **state)
{
    char command[128];
    (void)state;

    files_stop(&talk.http);
    talk_close(&talk);
    snprintf(command, sizeof command, "rm -r %s %s", made_folder, made_outside);
    return system(command);
}

static void ask(struct response *response, const char *method, const char *target)
{
    char request[1024];

    snprintf(request, sizeof request, "%s %s HTTP/1.1\r\nHost: x\r\n\r\n", method, target);
    talk_say(&talk, request);
    talk_hear(&talk, response, !strcmp(method, "HEAD"));
}

static void assert_status(const char *target, int status)
{
    struct response response;

    ask(&response, "GET", target);
    assert_int_equal(response.status, status);
    assert_null(strstr(response.body, "secret"));
}

static void assert_content(const char *target, const char *type, const char *content)
{
    struct response response;
    char line[128];

    ask(&response, "GET", target);
    assert_int_equal(response.status, 200);
    assert_string_equal(response.body, content);
    snprintf(line, sizeof line, "\r\nContent-Type: %s\r\n", type);
    assert_non_null(strstr(response.head, line));
    assert_non_null(strstr(response.head, "\r\nLast-Modified: "));
    assert_non_null(strstr(response.head, "\r\nETag: \""));
}

/* Only the folder's descriptor, and what the cache keeps. */
static void assert_files_open(uint32_t count)
{
    talk_settle(&talk);
    assert_int_equal(talk.rig.worker.files, 1 + count);
}

static void small_files_are_served_from_memory(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        assert_content("/small.txt", "text/plain; charset=utf-8", "small\n");
        assert_content("/empty.css", "text/css; charset=utf-8", "");
        assert_content("/space%20name.html", "text/html; charset=utf-8", "space");
        assert_content("/sub/", "text/html; charset=utf-8", "index");
        assert_content("/sub/../small.txt", "text/plain; charset=utf-8", "small\n");
        assert_content("/link.txt", "text/plain; charset=utf-8", "small\n"); /* it stays within */
    }
    assert_files_open(0);
}

static void assert_large(void)
{
    struct response response;

    ask(&response, "GET", "/large.bin");
    assert_int_equal(response.status, 200);
    assert_int_equal(response.length, LARGE);
    for (size_t i = 0; i < LARGE; i++)
        if (response.body[i] != large_byte(i))
            fail_msg("byte %zu differs", i);
}

static void large_files_are_sent_from_one_descriptor_which_is_let_go(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++)
        assert_large();
    assert_files_open(1);
    talk.rig.worker.now_ns += 60 * NS_PER_S;
    assert_int_equal(files_housekeeping(&talk.http), 0);
    assert_files_open(0);
    assert_large();
}

static void a_large_file_being_sent_survives_being_forgotten_and_a_death(void **state)
{
    struct response response;
    (void)state;

    talk_say(&talk, "GET /large.bin HTTP/1.1\r\nHost: x\r\n\r\n");
    (void)talk_await(&talk, 1000);
    talk.rig.worker.now_ns += 60 * NS_PER_S;
    assert_int_equal(files_housekeeping(&talk.http), 0);
    files_stop(&talk.http);
    assert_int_equal(unlink(path_of(made_folder, "large.bin")), 0);
    rig_forget(&talk.rig);
    rig_begin_again(&talk.rig);
    assert_int_equal(files_start(&talk.http), 0);
    revival_run(&talk.rig.worker);
    talk_hear(&talk, &response, 0);
    assert_int_equal(response.length, LARGE);
    assert_int_equal(response.body[LARGE - 1], large_byte(LARGE - 1));
    assert_files_open(0);
}

static void head_is_answered_without_opening_a_response(void **state)
{
    struct response response;
    (void)state;

    ask(&response, "HEAD", "/large.bin");
    assert_int_equal(response.status, 200);
    assert_non_null(strstr(response.head, "\r\nContent-Length: 200000\r\n"));
    ask(&response, "HEAD", "/small.txt");
    assert_non_null(strstr(response.head, "\r\nContent-Length: 6\r\n"));
    ask(&response, "HEAD", "/nothing");
    assert_int_equal(response.status, 404);
}

static void nothing_outside_the_folder_is_reached(void **state)
{
    static const char *const targets[] = {"/out/secret.txt", "/out/",        "/.hidden",
                                          "/sub/../.hidden", "/%2ehidden",   "/nothing",
                                          "/small.txt/",     "/small.txt/x", "/fifo"};
    (void)state;

    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++)
        assert_status(targets[i], 404);
    assert_status("/../../../etc/passwd", 400);
    assert_status("/%2e%2e/%2e%2e/etc/passwd", 400);
    assert_status("/a%2fb", 400);
    assert_status("/%00", 400);
    assert_files_open(0);
}

static void a_folder_without_its_slash_is_sent_to_it(void **state)
{
    struct response response;
    (void)state;

    ask(&response, "GET", "/sub");
    assert_int_equal(response.status, 301);
    assert_non_null(strstr(response.head, "\r\nLocation: /sub/\r\n"));
    ask(&response, "GET", "/sub?a=b&c");
    assert_non_null(strstr(response.head, "\r\nLocation: /sub/?a=b&c\r\n"));
    ask(&response, "GET", "//sub"); /* to a browser that would be a host: not to be repeated */
    assert_int_equal(response.status, 301);
    assert_non_null(strstr(response.head, "\r\nLocation: /sub/\r\n"));
    assert_files_open(0);
}

static void other_methods_are_told_which_there_are(void **state)
{
    struct response response;
    (void)state;

    ask(&response, "DELETE", "/small.txt");
    assert_int_equal(response.status, 405);
    assert_non_null(strstr(response.head, "\r\nAllow: GET, HEAD, OPTIONS\r\n"));
}

static void a_changed_file_is_seen_after_a_second(void **state)
{
    (void)state;
    assert_content("/small.txt", "text/plain; charset=utf-8", "small\n");
    assert_large();
    write_file(made_folder, "small.txt", "other!\n", 7);
    talk.rig.worker.now_ns += 2 * NS_PER_S;
    assert_content("/small.txt", "text/plain; charset=utf-8", "other!\n");
    assert_int_equal(unlink(path_of(made_folder, "large.bin")), 0);
    talk.rig.worker.now_ns += 2 * NS_PER_S;
    assert_status("/large.bin", 404);
    assert_files_open(0);
}

static void a_folder_that_is_exchanged_by_its_link_is_followed(void **state)
{
    const char *linked[] = {path_of(made_outside, "current")};
    char *path = strdup(linked[0]);
    (void)state;

    files_stop(&talk.http);
    linked[0] = path;
    talk.config.folders = linked;
    assert_int_equal(symlink(path_of(made_folder, "sub"), path), 0);
    assert_int_equal(files_start(&talk.http), 0);
    assert_content("/", "text/html; charset=utf-8", "index");
    assert_int_equal(unlink(path), 0);
    talk.rig.worker.now_ns += 2 * NS_PER_S;
    assert_content("/", "text/html; charset=utf-8", "index"); /* for as long as there is no other */
    assert_int_equal(symlink(made_folder, path), 0);
    talk.rig.worker.now_ns += 2 * NS_PER_S;
    assert_content("/small.txt", "text/plain; charset=utf-8", "small\n");
    assert_status("/", 404);
    assert_files_open(0);
    files_stop(&talk.http);
    talk.config.folders = folders;
    free(path);
    assert_int_equal(files_start(&talk.http), 0);
}

static void a_file_from_the_future_is_said_to_be_of_now(void **state)
{
    const struct timespec times[2] = {{.tv_sec = 4102444800}, {.tv_sec = 4102444800}}; /* 2100 */
    const char *date, *modified;
    struct response response;
    (void)state;

    assert_int_equal(utimensat(AT_FDCWD, path_of(made_folder, "small.txt"), times, 0), 0);
    ask(&response, "GET", "/small.txt");
    assert_int_equal(response.status, 200);
    date = strstr(response.head, "\r\nDate: ");
    modified = strstr(response.head, "\r\nLast-Modified: ");
    assert_non_null(date);
    assert_non_null(modified);
    assert_memory_equal(date + strlen("\r\nDate: "), modified + strlen("\r\nLast-Modified: "), 29);
    assert_non_null(strstr(modified, " GMT\r\nETag: \""));
}

/* What an open for reading that must not wait gets then is EAGAIN, as often as it is tried. */
static void a_file_that_stays_busy_is_answered_503_with_the_reason(void **state)
{
    struct response response;
    int fd = open(path_of(made_folder, "small.txt"), O_WRONLY | O_CLOEXEC);
    (void)state;

    signal(SIGIO, SIG_IGN);
    if (fcntl(fd, F_SETLEASE, F_WRLCK)) {
        close(fd);
        skip(); /* no file system for leases */
    }
    ask(&response, "GET", "/small.txt");
    assert_int_equal(response.status, 503);
    assert_non_null(strstr(response.body, "file_busy"));
    close(fd);
    assert_content("/small.txt", "text/plain; charset=utf-8", "small\n");
}

static void a_file_that_shrinks_while_it_is_sent_ends_the_connection(void **state)
{
    const off_t more_than_a_socket_holds = 5000000;
    (void)state;

    assert_int_equal(truncate(path_of(made_folder, "large.bin"), more_than_a_socket_holds), 0);
    talk_say(&talk, "GET /large.bin HTTP/1.1\r\nHost: x\r\n\r\n");
    (void)talk_await(&talk, 1000);
    assert_int_equal(truncate(path_of(made_folder, "large.bin"), 10), 0);
    (void)talk_await(&talk, (size_t)more_than_a_socket_holds);
    assert_true(talk.has_ended); /* a promise that cannot be kept is broken aloud */
    assert_true(talk.length < (size_t)more_than_a_socket_holds);
    assert_int_equal(talk.record->life, RECORD_FREE);
}

static void without_its_folder_nothing_starts(void **state)
{
    const char *nowhere[] = {"/nowhere/at/all"};
    int status;
    pid_t pid;
    (void)state;

    talk.config.folders = nowhere;
    pid = fork(); /* a worker that cannot start ends; it gives nothing back */
    if (pid == 0)
        _exit(files_start(&talk.http) == ERR_NOT_FOUND ? 0 : 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    talk.config.folders = folders;
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(small_files_are_served_from_memory),
        CASE(large_files_are_sent_from_one_descriptor_which_is_let_go),
        CASE(a_large_file_being_sent_survives_being_forgotten_and_a_death),
        CASE(head_is_answered_without_opening_a_response),
        CASE(nothing_outside_the_folder_is_reached),
        CASE(a_folder_without_its_slash_is_sent_to_it),
        CASE(other_methods_are_told_which_there_are),
        CASE(a_changed_file_is_seen_after_a_second),
        CASE(a_folder_that_is_exchanged_by_its_link_is_followed),
        CASE(a_file_from_the_future_is_said_to_be_of_now),
        CASE(a_file_that_stays_busy_is_answered_503_with_the_reason),
        CASE(a_file_that_shrinks_while_it_is_sent_ends_the_connection),
        CASE(without_its_folder_nothing_starts),
    };

    if (unit_is_under_valgrind())
        return unit_skip_all("valgrind does not know openat2(2)");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
