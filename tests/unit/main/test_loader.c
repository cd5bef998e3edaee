#include "main/loader.h"

#include "base/fd.h"
#include "base/packet.h"
#include "conf/tree.h"
#include "core/settings.h"
#include "main/settings.h"
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[64];
static int sockets[2];

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/hf-loader-XXXXXX");
    if (!mkdtemp(folder) || chdir(folder) != 0)
        return -1;
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets);
}

static int remove_folder(void **state)
{
    char command[128];
    (void)state;
    fd_close(&sockets[0]);
    fd_close(&sockets[1]);
    snprintf(command, sizeof command, "rm -r %s", folder);
    return chdir("/") || system(command);
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

/* Runs a part of the loader as the process that it is. Returns its exit code; *said gets what went to standard
 * error and output together, the caller frees it. `uid` 0: as we are. */
static int run(const char *text, const char *path, int is_check, uid_t uid, char **said)
{
    size_t length = 0, got = 0;
    int pipes[2], status = 0;
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    fflush(stdout);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(pipes[1], 1);
        dup2(pipes[1], 2);
        if (uid && setresuid(uid, uid, uid) != 0)
            _exit(99);
        int code = is_check ? loader_check(path, 0)
                   : text   ? loader_run_text("the command line", slice_of(text), sockets[1])
                            : loader_run(path, sockets[1]);
        fflush(stdout);
        _exit(code);
    }
    fd_close(&pipes[1]);
    FILE *out = open_memstream(said, &length);
    assert_non_null(out);
    char bytes[512];
    while (fd_read_all(pipes[0], bytes, sizeof bytes, &got) == 0 && got > 0)
        fwrite(bytes, 1, got, out);
    fclose(out);
    fd_close(&pipes[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void assert_nothing_was_sent(void)
{
    char byte;
    struct packet packet;
    assert_int_equal(packet_receive(sockets[0], &byte, 1, &packet), ERR_AGAIN);
}

/* Takes the snapshot as the master does. */
static void receive(struct conf_tree *tree)
{
    struct core_snapshot_message message;
    struct packet packet;
    assert_int_equal(packet_receive(sockets[0], &message, sizeof message, &packet), 0);
    assert_int_equal(packet.length, sizeof message);
    assert_int_equal(message.type, CORE_SNAPSHOT_MESSAGE);
    assert_int_equal(message.version, CORE_SNAPSHOT_VERSION);
    assert_true(packet.fd >= 0);
    assert_int_equal(lseek(packet.fd, 0, SEEK_END), message.size);
    assert_int_equal(conf_tree_map(tree, packet.fd), 0);
    fd_close(&packet.fd);
    assert_nothing_was_sent();
}

static void assert_root(struct conf_tree *tree, const char *name)
{
    static struct diagnostics diagnostics;
    struct core_settings core;
    struct http_config http;
    struct l4_config l4;
    char expected[128];
    diagnostics_init(&diagnostics);
    assert_int_equal(settings_build(tree, &core, &http, &l4, &diagnostics), 0);
    assert_int_equal(diagnostics.count, 0);
    snprintf(expected, sizeof expected, "%s/%s", folder, name);
    assert_string_equal(http.sites[0].root, expected);
    assert_true(core.workers >= 1);
    assert_true(core.control_path[0] == '/');
    settings_fini_http(&http);
}

static void a_good_file_becomes_one_sealed_snapshot(void **state)
{
    struct conf_tree tree;
    char *said;
    (void)state;
    write_file("t.conf", "site 127.0.0.1:8080 {\n files .\n}\n");
    assert_int_equal(run(NULL, "t.conf", 0, 0, &said), 0);
    assert_string_equal(said, "");
    free(said);
    receive(&tree);
    assert_root(&tree, ".");
    conf_tree_fini(&tree);
}

static void a_text_of_the_command_line_starts_from_the_current_folder(void **state)
{
    struct conf_tree tree;
    char *said;
    (void)state;
    assert_int_equal(mkdir("w w", 0755), 0);
    assert_int_equal(run("site :8080 {\n files \"w w\"\n}\n", NULL, 0, 0, &said), 0);
    assert_string_equal(said, "");
    free(said);
    receive(&tree);
    assert_root(&tree, "w w");
    conf_tree_fini(&tree);
    assert_int_equal(run("site :8080 {\n files none\n}\n", NULL, 0, 0, &said), 1);
    assert_memory_equal(said, "the command line:2:8: error: there is no folder \"none\"\n", 54);
    free(said);
    assert_nothing_was_sent();
}

static void a_bad_file_is_told_whole_and_nothing_is_sent(void **state)
{
    char *said;
    (void)state;
    write_file("t.conf", "site :8080 {\n files none\n}\nworkers x\n");
    assert_int_equal(run(NULL, "t.conf", 0, 0, &said), 1);
    assert_string_equal(said, "t.conf:2:8: error: there is no folder \"none\"\n"
                              "    2 |  files none\n"
                              "      |        ^~~~\n"
                              "      = it starts from the folder of the configuration file\n"
                              "t.conf:4:9: error: \"x\" is not a number\n"
                              "    4 | workers x\n"
                              "      |         ^\n"
                              "      = from 1 to 64, or \"auto\"\n"
                              "t.conf: 2 errors\n");
    free(said);
    assert_nothing_was_sent();
}

static void a_check_says_ok_and_sends_nothing(void **state)
{
    char *said;
    (void)state;
    write_file("t.conf", "site :8080 {\n files .\n}\n");
    assert_int_equal(run(NULL, "t.conf", 1, 0, &said), 0);
    assert_string_equal(said, "t.conf: ok\n");
    free(said);
    assert_nothing_was_sent();
}

static void a_snapshot_that_nobody_takes_is_an_error(void **state)
{
    char *said;
    (void)state;
    write_file("t.conf", "site :8080 {\n files .\n}\n");
    fd_close(&sockets[0]);
    assert_int_equal(run(NULL, "t.conf", 0, 0, &said), 1);
    assert_string_equal(said, "t.conf: the snapshot could not be handed over: the other side has closed\n");
    free(said);
}

static void only_root_starts_workers_as_somebody_else_but_anybody_checks(void **state)
{
    char *said;
    (void)state;
    if (geteuid() != 0)
        skip();
    assert_int_equal(chmod(".", 0755), 0);
    write_file("t.conf", "user root\nsite :8080 {\n files .\n}\n");
    assert_int_equal(run(NULL, "t.conf", 0, 65534, &said), 1);
    assert_non_null(strstr(said, "t.conf:1:6: error: only root can run workers as another user\n"));
    free(said);
    assert_nothing_was_sent();
    assert_int_equal(run(NULL, "t.conf", 1, 65534, &said), 0);
    free(said);
}

static void users_are_known_by_name_or_number(void **state)
{
    struct conf_tree tree;
    static struct diagnostics diagnostics;
    struct core_settings core;
    struct http_config http;
    struct l4_config l4;
    char *said;
    (void)state;
    if (geteuid() != 0)
        skip();
    write_file("t.conf", "user 54321\ngroup 12345\nsite :8080 {\n files .\n}\n");
    assert_int_equal(run(NULL, "t.conf", 0, 0, &said), 0);
    free(said);
    receive(&tree);
    diagnostics_init(&diagnostics);
    assert_int_equal(settings_build(&tree, &core, &http, &l4, &diagnostics), 0);
    assert_int_equal(core.uid, 54321);
    assert_int_equal(core.gid, 12345);
    assert_int_equal(core.group_count, 0);
    settings_fini_http(&http);
    conf_tree_fini(&tree);
    write_file("t.conf", "user 54321\nsite :8080 {\n files .\n}\n");
    assert_int_equal(run(NULL, "t.conf", 0, 0, &said), 1);
    assert_non_null(strstr(said, "user 54321 is in no database, so its group is unknown"));
    free(said);
}

#define LOADER_TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOADER_TEST(a_good_file_becomes_one_sealed_snapshot),
        LOADER_TEST(a_text_of_the_command_line_starts_from_the_current_folder),
        LOADER_TEST(a_bad_file_is_told_whole_and_nothing_is_sent),
        LOADER_TEST(a_check_says_ok_and_sends_nothing),
        LOADER_TEST(a_snapshot_that_nobody_takes_is_an_error),
        LOADER_TEST(only_root_starts_workers_as_somebody_else_but_anybody_checks),
        LOADER_TEST(users_are_known_by_name_or_number),
    };
    return cmocka_run_group_tests_name("loader", tests, NULL, NULL);
}
