#include "main/settings.h"

#include "built.h"
#include "unit.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void a_site_alone_gets_the_defaults(void **state)
{
    (void)state;
    built_valid("site :8080 {\n files www\n}\n");
    assert_int_equal(built_core.threads, 4);
    assert_int_equal(built_core.drain_ms, 30000);
    assert_int_equal(built_core.watchdog_ms, 10000);
    assert_int_equal(built_core.crash_limit, 5);
    assert_int_equal(built_core.crash_window_ms, 10000);
    assert_int_equal(built_core.max_connections, 0);
    assert_int_equal(built_core.core_dumps, 0);
    assert_int_equal(built_core.log_level, LOG_INFO);
    assert_int_equal(built_http.keepalive_ms, 60000);
    assert_int_equal(built_http.header_timeout_ms, 10000);
    assert_int_equal(built_http.body_timeout_ms, 30000);
    assert_int_equal(built_http.write_timeout_ms, 120000);
    assert_int_equal(built_http.test_hooks, 0);
    assert_int_equal(built_http.site_count, 1);
    assert_string_equal(built_http.sites[0].root, "/etc/holdfast/www");
    assert_string_equal(built_http.sites[0].index, "index.html");
    assert_int_equal(built_http.sites[0].address_count, 1);
    assert_string_equal(built_http.sites[0].addresses[0].host, "");
    assert_int_equal(built_core.listener_count, 1);
    assert_string_equal(built_core.listeners[0].text, ":8080");
    assert_int_equal(built_core.listeners[0].kind, CORE_LISTENER_ANY);
}

static void every_directive_sets_what_it_names(void **state)
{
    (void)state;
    built_valid("workers 3\nthreads 9\ncontrol run/c.sock\ndrain 0s\nwatchdog off\ncrash_limit 7 per 1m\n"
                "max_connections 100\nlog_level error\ncore_dumps on\nkeepalive 1s\nheader_timeout 2s\n"
                "body_timeout 3s\nwrite_timeout 4s\nsite unix:/run/s {\n files /srv\n index a.html\n}\n");
    assert_int_equal(built_core.workers, 3);
    assert_int_equal(built_core.threads, 9);
    assert_string_equal(built_core.control_path, "/etc/holdfast/run/c.sock");
    assert_int_equal(built_core.drain_ms, 0);
    assert_int_equal(built_core.watchdog_ms, 0);
    assert_int_equal(built_core.crash_limit, 7);
    assert_int_equal(built_core.crash_window_ms, 60000);
    assert_int_equal(built_core.max_connections, 100);
    assert_int_equal(built_core.log_level, LOG_ERROR);
    assert_int_equal(built_core.core_dumps, 1);
    assert_int_equal(built_http.keepalive_ms, 1000);
    assert_int_equal(built_http.header_timeout_ms, 2000);
    assert_int_equal(built_http.body_timeout_ms, 3000);
    assert_int_equal(built_http.write_timeout_ms, 4000);
    assert_string_equal(built_http.sites[0].root, "/srv");
    assert_string_equal(built_http.sites[0].index, "a.html");
    assert_int_equal(built_core.listeners[0].kind, CORE_LISTENER_UNIX);
    assert_string_equal(built_core.listeners[0].text, "unix:/run/s");
}

static void sites_share_a_listener_and_are_told_apart_by_name(void **state)
{
    (void)state;
    built_valid("site a.example b.example:81 {\n files /a\n}\nsite :80 {\n files /b\n}\n"
                "site [::1]:82 127.0.0.1:82 {\n files /c\n}\n");
    assert_int_equal(built_core.listener_count, 4);
    assert_string_equal(built_core.listeners[0].text, ":80");
    assert_string_equal(built_core.listeners[1].text, ":81");
    assert_string_equal(built_core.listeners[2].text, "[::1]:82");
    assert_string_equal(built_core.listeners[3].text, "127.0.0.1:82");
    assert_int_equal(built_core.listeners[2].kind, CORE_LISTENER_IPV6);
    assert_int_equal(built_core.listeners[3].kind, CORE_LISTENER_IPV4);
    assert_int_equal(built_http.sites[0].address_count, 2);
    assert_string_equal(built_http.sites[0].addresses[0].host, "a.example");
    assert_int_equal(built_http.sites[0].addresses[0].listener, 0);
    assert_string_equal(built_http.sites[0].addresses[1].host, "b.example");
    assert_int_equal(built_http.sites[0].addresses[1].listener, 1);
    assert_string_equal(built_http.sites[1].addresses[0].host, "");
    assert_int_equal(built_http.sites[1].addresses[0].listener, 0);
    assert_int_equal(built_http.sites[2].addresses[1].listener, 3);
    struct sockaddr_in in;
    assert_int_equal(built_core.listeners[3].length, sizeof in);
    memcpy(&in, &built_core.listeners[3].address, sizeof in);
    assert_int_equal(ntohs(in.sin_port), 82);
}

static void assert_refused(const char *text, const char *message)
{
    assert_int_equal(built_settings(text, NULL), 0);
    assert_int_equal(built_diagnostics.count, 1);
    assert_string_equal(built_diagnostics.list[0].message, message);
    settings_fini_http(&built_http);
}

static void the_same_name_on_the_same_listener_is_taken(void **state)
{
    (void)state;
    assert_refused("site a {\nfiles /a\n}\nsite A:80 {\nfiles /b\n}\n", "\"A:80\" is taken");
    assert_string_equal(built_diagnostics.list[0].hint, "the site in line 1 of t.conf has it");
    assert_refused("site a a {\nfiles /a\n}\n", "\"a\" is taken");
    assert_string_equal(built_diagnostics.list[0].hint, "this site has it twice");
    assert_refused("site :80 {\nfiles /a\n}\nsite :80 {\nfiles /b\n}\n", "\":80\" is taken");
}

static void addresses_that_contain_each_other_cannot_both_be_bound(void **state)
{
    (void)state;
    assert_refused("site :80 127.0.0.1:80 {\nfiles /a\n}\n", "127.0.0.1:80 and :80 overlap");
    assert_refused("site [::1]:80 :80 {\nfiles /a\n}\n", ":80 and [::1]:80 overlap");
    assert_refused("site 0.0.0.0:80 127.0.0.1:80 {\nfiles /a\n}\n", "127.0.0.1:80 and 0.0.0.0:80 overlap");
    assert_refused("site [::]:80 [::1]:80 {\nfiles /a\n}\n", "[::1]:80 and [::]:80 overlap");
    built_valid("site 0.0.0.0:80 [::]:80 127.0.0.1:81 [::1]:82 127.0.0.2:81 {\nfiles /a\n}\n");
    assert_int_equal(built_core.listener_count, 5);
}

static void there_are_64_listeners_and_1024_sites_at_most(void **state)
{
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    (void)state;
    assert_non_null(out);
    for (int port = 1; port <= 65; port++)
        fprintf(out, "site :%d {\n files /a\n}\n", port);
    fclose(out);
    assert_refused(text, "this would be more than 64 listeners");
    free(text);
    out = open_memstream(&text, &length);
    assert_non_null(out);
    for (int i = 0; i < 1025; i++)
        fprintf(out, "site n%d.example {\n files /a\n}\n", i);
    fclose(out);
    assert_refused(text, "this would be more than 1024 sites");
    free(text);
}

static void an_index_is_the_name_of_a_file(void **state)
{
    (void)state;
    assert_refused("site :80 {\nfiles /a\nindex a/b\n}\n", "\"a/b\" is not the name of a file in a folder");
    assert_refused("site :80 {\nfiles /a\nindex ..\n}\n", "\"..\" is not the name of a file in a folder");
}

static void a_control_path_fits_in_a_socket_address(void **state)
{
    char text[300];
    (void)state;
    snprintf(text, sizeof text, "control /%0106d\nsite :80 {\nfiles /a\n}\n", 0);
    built_valid(text);
    settings_fini_http(&built_http);
    snprintf(text, sizeof text, "control /%0107d\nsite :80 {\nfiles /a\n}\n", 0);
    assert_refused(text, "the path is longer than the 107 bytes that a Unix socket's can have");
}

static void what_the_loader_looked_up_comes_with_the_snapshot(void **state)
{
    struct settings_resolved resolved = {.version = SETTINGS_RESOLVED_VERSION,
                                         .workers = 7,
                                         .uid = 12,
                                         .gid = 34,
                                         .group_count = 2,
                                         .groups = {56, 78},
                                         .control_path = "/run/x"};
    (void)state;
    assert_int_equal(built_settings("workers auto\nsite :80 {\nfiles /none\n}\n", &resolved), 0);
    assert_int_equal(built_diagnostics.count, 0);
    assert_int_equal(built_core.workers, 7);
    assert_int_equal(built_core.uid, 12);
    assert_int_equal(built_core.gid, 34);
    assert_int_equal(built_core.group_count, 2);
    assert_int_equal(built_core.groups[1], 78);
    assert_string_equal(built_core.control_path, "/run/x");
    settings_fini_http(&built_http);
    resolved.version++;
    assert_int_equal(built_settings("site :80 {\nfiles /a\n}\n", &resolved), ERR_VERSION);
    resolved.version--;
    resolved.group_count = CORE_GROUPS_MAX + 1;
    assert_int_equal(built_settings("site :80 {\nfiles /a\n}\n", &resolved), ERR_VERSION);
}

/* The example of each directive is a configuration, but for the site that every one needs. */
static void the_examples_of_the_reference_are_valid(void **state)
{
    const struct conf_grammar *grammar = settings_grammar();
    size_t tried = 0;
    (void)state;
    for (size_t i = 0; i < grammar->table_count; i++) {
        for (size_t k = 0; k < grammar->tables[i]->count; k++) {
            const struct directive *directive = &grammar->tables[i]->directives[k];
            char text[512];
            assert_non_null(directive->example);
            assert_non_null(directive->doc);
            snprintf(text, sizeof text, "%s\n%s", directive->example,
                     strstr(directive->example, "site ") ? "" : "site :8080 {\n files /srv\n}\n");
            built_valid(text);
            settings_fini_http(&built_http);
            tried++;
        }
    }
    assert_true(tried >= 18);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_site_alone_gets_the_defaults, built_teardown),
        cmocka_unit_test_teardown(every_directive_sets_what_it_names, built_teardown),
        cmocka_unit_test_teardown(sites_share_a_listener_and_are_told_apart_by_name, built_teardown),
        cmocka_unit_test_teardown(the_same_name_on_the_same_listener_is_taken, built_teardown),
        cmocka_unit_test_teardown(addresses_that_contain_each_other_cannot_both_be_bound, built_teardown),
        cmocka_unit_test_teardown(there_are_64_listeners_and_1024_sites_at_most, built_teardown),
        cmocka_unit_test_teardown(an_index_is_the_name_of_a_file, built_teardown),
        cmocka_unit_test_teardown(a_control_path_fits_in_a_socket_address, built_teardown),
        cmocka_unit_test_teardown(what_the_loader_looked_up_comes_with_the_snapshot, built_teardown),
        cmocka_unit_test_teardown(the_examples_of_the_reference_are_valid, built_teardown),
    };
    return cmocka_run_group_tests_name("settings", tests, NULL, NULL);
}
