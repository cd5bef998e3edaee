/* From a configuration's text to the route that answers a request. */
#include "http/routes.h"

#include "built.h"
#include "main/settings.h"
#include "unit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- requests --- */

static struct slice said_forwarded_for;

static int header_of(const void *headers, struct slice name, size_t nth, struct slice *value)
{
    (void)headers;
    if (!nth && said_forwarded_for.length && slice_equals_nocase(name, SLICE_LITERAL("X-Forwarded-For"))) {
        *value = said_forwarded_for;
        return 1;
    }
    if (nth || !slice_equals_nocase(name, SLICE_LITERAL("X-Test")))
        return 0;
    *value = SLICE_LITERAL("a value");
    return 1;
}

static struct sockaddr_storage client;

/* GET of a plain path, perhaps with a query. */
static struct route_request request_of(const char *target)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(4000)};
    size_t length = strcspn(target, "?");
    assert_int_equal(inet_pton(AF_INET, "10.1.2.3", &address.sin_addr), 1);
    memcpy(&client, &address, sizeof address);
    return (struct route_request){
        .method = SLICE_LITERAL("GET"),
        .scheme = SLICE_LITERAL("http"),
        .host = SLICE_LITERAL("example.com"),
        .path = {target, length},
        .raw_path = {target, length},
        .query = target[length] ? slice_of(target + length + 1) : (struct slice){"", 0},
        .has_query = target[length] == '?',
        .id = SLICE_LITERAL("id-1"),
        .peer = &client,
        .client = &client,
        .header = header_of,
    };
}

static const struct http_route *route_of(const char *target)
{
    struct route_request request = request_of(target);
    const struct http_route *route = NULL;
    assert_int_equal(routes_match(&built_http.sites[0], &request, &route), 0);
    return route;
}

static void assert_taken(const char *target, const char *text)
{
    assert_string_equal(route_of(target)->text, text);
}

/* --- tests --- */

static void the_first_route_that_fits_is_taken(void **state)
{
    (void)state;
    built_valid("site :80 {\n files /f\n route /a/b {\n respond 201\n }\n route /a/* {\n respond 202\n }\n"
                " route *.php /x {\n respond 203\n }\n}\n");
    assert_int_equal(route_of("/a/b")->status, 201);
    assert_int_equal(route_of("/a/b/")->status, 202);
    assert_int_equal(route_of("/a/b.php")->status, 202);
    assert_int_equal(route_of("/a")->status, 202);
    assert_int_equal(route_of("/b.php")->status, 203);
    assert_int_equal(route_of("/x")->status, 203);
    assert_int_equal(route_of("/")->answer, ROUTE_FILES);
    assert_taken("/", ":80");
}

static void inner_routes_come_after_their_outer_one_and_there_is_no_way_back(void **state)
{
    struct route_request request = request_of("/a/c");
    const struct http_route *route;
    (void)state;
    built_valid(
        "site :80 {\n route /a/* {\n route /a/b {\n respond 201\n }\n }\n route /b {\n respond 202\n }\n"
        " route *c {\n respond 203\n }\n}\n");
    assert_int_equal(route_of("/a/b")->status, 201);
    assert_int_equal(route_of("/b")->status, 202);
    assert_int_equal(routes_match(&built_http.sites[0], &request, &route), ERR_NOT_FOUND);
    assert_string_equal(route->text, "/a/*");
    request = request_of("/z");
    assert_int_equal(routes_match(&built_http.sites[0], &request, &route), ERR_NOT_FOUND);
    assert_string_equal(route->text, ":80");
}

static void a_block_match_asks_for_all_of_its_lines(void **state)
{
    struct route_request request = request_of("/a?x=1");
    const struct http_route *route;
    (void)state;
    built_valid(
        "site :80 {\n respond 200\n route /a {\n match {\n method POST\n host example.com\n query x 1\n"
        " header X-Test \"a value\"\n client 10.0.0.0/8\n not {\n client 10.2.0.0/16\n }\n }\n respond "
        "201\n }\n}\n");
    assert_int_equal(routes_match(&built_http.sites[0], &request, &route), 0);
    assert_int_equal(route->status, 200);
    request.method = SLICE_LITERAL("POST");
    assert_int_equal(routes_match(&built_http.sites[0], &request, &route), 0);
    assert_int_equal(route->status, 201);
    request.peer = request.client = NULL;
    assert_int_equal(routes_match(&built_http.sites[0], &request, &route), 0);
    assert_int_equal(route->status, 200);
}

/* The peer is 10.1.2.3. */
static int status_for(const char *forwarded_for)
{
    struct route_request request = request_of("/");
    const struct http_route *route;
    said_forwarded_for = slice_of(forwarded_for);
    assert_int_equal(routes_match(&built_http.sites[0], &request, &route), 0);
    said_forwarded_for = (struct slice){"", 0};
    return route->status;
}

static void a_client_is_matched_by_the_trust_of_the_route_or_of_what_is_around_it(void **state)
{
    (void)state;
    built_valid(
        "site :80 {\n trust 10.1.0.0/16\n respond 200\n"
        " route /* {\n match {\n client 192.0.2.1\n }\n respond 201\n }\n"
        " route /* {\n trust 10.9.0.0/16\n match {\n client 10.1.2.3\n header X-Forwarded-For 192.0.2.2\n }\n"
        " respond 202\n }\n}\n");
    assert_int_equal(status_for("192.0.2.1"), 201);
    assert_int_equal(status_for("192.0.2.2"), 202);
    assert_int_equal(status_for("192.0.2.1, 192.0.2.3"), 200);
}

static void a_pattern_that_works_too_long_is_said_and_not_passed_over(void **state)
{
    char path[4000];
    const struct http_route *route;
    (void)state;
    built_valid(
        "site :80 {\n respond 200\n route * {\n match {\n not {\n pattern ^/(a+)+[bc]\n }\n }\n respond "
        "201\n }\n}\n");
    memset(path, 'a', sizeof path);
    path[0] = '/';
    path[sizeof path - 1] = '\0';
    struct route_request request = request_of(path);
    assert_int_equal(routes_match(&built_http.sites[0], &request, &route), ERR_LIMIT);
    assert_string_equal(route->text, "*");
}

static size_t count_headers(const struct http_route *route, char *names, size_t size)
{
    struct text out;
    size_t count = 0;
    text_init(&out, names, size);
    for (const struct route_header *header = route->headers; header; header = header->next, count++) {
        text_add(&out, header->name);
        text_add_c(&out, " ");
    }
    return count;
}

static void headers_of_inner_blocks_come_on_top_of_the_outer_ones(void **state)
{
    char names[100];
    (void)state;
    built_valid(
        "site :80 {\n respond 200\n header set A 1\n route /a/* {\n header add B 2\n header remove C\n"
        " route /a/b {\n header set D 4\n }\n }\n route /b {\n header set E 5\n }\n}\n");
    assert_int_equal(count_headers(route_of("/a/b"), names, sizeof names), 4);
    assert_non_null(strstr(names, "A "));
    assert_true(strstr(names, "A ") < strstr(names, "B ") && strstr(names, "B ") < strstr(names, "C "));
    assert_true(strstr(names, "C ") < strstr(names, "D "));
    assert_int_equal(count_headers(route_of("/a/c"), names, sizeof names), 3);
    assert_int_equal(count_headers(route_of("/b"), names, sizeof names), 2);
    assert_int_equal(count_headers(route_of("/"), names, sizeof names), 1);
}

static void headers_of_what_is_sent_on_are_a_list_of_their_own(void **state)
{
    const struct route_header *header;
    (void)state;
    built_valid("site :80 {\n proxy 127.0.0.1:3000\n header set A 1\n request_header set B 2\n"
                " route /a/* {\n request_header remove C\n }\n}\n");
    header = route_of("/a/b")->request_headers;
    assert_true(header && header->change == ROUTE_HEADER_SET &&
                slice_equals(header->name, SLICE_LITERAL("B")));
    header = header->next;
    assert_true(header && header->change == ROUTE_HEADER_REMOVE && !header->next);
    assert_null(route_of("/")->request_headers->next);
}

static void settings_are_those_of_the_innermost_block_that_has_them(void **state)
{
    (void)state;
    built_valid(
        "max_body 1k\nsite :80 {\n files /f\n index a b\n cache 1h private\n"
        " route /a {\n max_body off\n cache 1d immutable\n hidden allow\n fallback /x\n precompressed on\n "
        "}\n"
        " route /b {\n index c\n }\n}\n");
    const struct route_settings *a = &route_of("/a")->settings, *b = &route_of("/b")->settings;
    assert_int_equal(a->max_body, 0);
    assert_int_equal(b->max_body, 1024);
    assert_int_equal(a->index_count, 2);
    assert_int_equal(b->index_count, 1);
    assert_string_equal(b->index[0].at, "c");
    assert_string_equal(a->cache_control, "public, max-age=86400, immutable");
    assert_string_equal(b->cache_control, "private, max-age=3600");
    assert_int_equal(a->hidden, 1);
    assert_int_equal(b->hidden, 0);
    assert_string_equal(a->fallback, "/x");
    assert_null(b->fallback);
    assert_int_equal(a->precompressed, 1);
    assert_int_equal(b->precompressed, 0);
}

static void without_a_word_the_defaults_hold(void **state)
{
    (void)state;
    built_valid("site :80 {\n files /f\n}\n");
    const struct http_route *route = route_of("/");
    assert_int_equal(built_http.limits.max_header_size, 8192);
    assert_int_equal(built_http.limits.max_headers, 100);
    assert_int_equal(built_http.limits.max_request_line, 8192);
    assert_int_equal(route->settings.max_body, 64 << 20);
    assert_int_equal(route->settings.index_count, 1);
    assert_string_equal(route->settings.index[0].at, "index.html");
    assert_null(route->settings.cache_control);
    assert_int_equal(built_http.route_count, 2);
    assert_int_equal(built_http.folder_count, 1);
    assert_string_equal(built_http.folders[route->folder], "/f");
}

static void a_folder_that_several_routes_serve_is_one(void **state)
{
    (void)state;
    built_valid("site :80 {\n files /f\n route /a {\n files /g\n }\n route /b {\n files /f\n }\n}\n"
                "site :81 {\n route /a {\n files /g\n }\n}\n");
    assert_int_equal(built_http.folder_count, 2);
    assert_string_equal(built_http.folders[route_of("/a")->folder], "/g");
    assert_int_equal(route_of("/b")->folder, route_of("/")->folder);
    assert_string_equal(built_http.sites[0].root, "/f");
    assert_null(built_http.sites[1].root);
}

static void listeners_have_the_options_of_their_block(void **state)
{
    (void)state;
    built_valid(
        "listen unix:/run/x {\n mode 0660\n backlog 9\n}\nsite :80 unix:/run/x :81 {\n respond 200\n}\n"
        "listen :81 {\n backlog 65535\n}\n");
    assert_int_equal(built_core.listeners[0].backlog, 0);
    assert_int_equal(built_core.listeners[1].mode, 0660);
    assert_int_equal(built_core.listeners[1].backlog, 9);
    assert_int_equal(built_core.listeners[1].has_owner, 0);
    assert_int_equal(built_core.listeners[2].backlog, 65535);
    assert_int_equal(built_core.listeners[2].mode, 0);
}

/* --- values and edits --- */

static void assert_location(const char *target, const char *expected)
{
    struct route_request request = request_of(target);
    const struct http_route *route;
    char memory[512];
    struct text out;
    assert_int_equal(routes_match(&built_http.sites[0], &request, &route), 0);
    text_init(&out, memory, sizeof memory);
    const struct route_context context = {route, &request};
    assert_int_equal(template_render(route->target, route_value, &context, &out), 0);
    assert_string_equal(memory, expected);
}

static void values_are_those_of_the_request(void **state)
{
    (void)state;
    built_valid(
        "site :80 {\n respond 200 \"{client.address} {client.port} {method} {scheme} {host} {path} {query} "
        "{target} {rest} {request.id} {request.header.x-test} {request.header.none} {query.a} "
        "{query.z}|\"\n}\n");
    assert_location(
        "/p/q?a=b%20c&a=2",
        "10.1.2.3 4000 GET http example.com /p/q a=b%20c&a=2 /p/q?a=b%20c&a=2 p/q id-1 a value  b%20c |");
    assert_location("/", "10.1.2.3 4000 GET http example.com /  /  id-1 a value   |");
    assert_location("/?", "10.1.2.3 4000 GET http example.com /  /?  id-1 a value   |");
}

static void the_rest_and_the_groups_are_encoded(void **state)
{
    (void)state;
    built_valid("site :80 {\n route /a/* /b/*.x {\n redirect /n/{rest}\n route /a/c/* {\n match {\n"
                " pattern ^/a/c/(.)(.)?(.*)$\n }\n redirect /{match.1}-{match.2}-{match.3}\n"
                " route /a/c/d {\n redirect {match.0}\n }\n }\n }\n}\n");
    assert_location("/a/b\r\nSet-Cookie: x", "/n/b%0D%0ASet-Cookie%3A%20x");
    assert_location("/a/\xc3\xbc?x", "/n/%C3%BC");
    assert_location("/b/y.x", "/n/y");
    assert_location("/a", "/n/");
    assert_location("/a/c/1", "/1--");
    assert_location("/a/c/1 3", "/1-%20-3");
    assert_location("/a/c/d", "/a/c/d");
}

static void assert_edited(const char *target, const char *path, const char *query, int result)
{
    struct route_request request = request_of(target);
    const struct http_route *route;
    char path_memory[64], query_memory[64];
    struct text path_text, query_text;
    text_init(&path_text, path_memory, sizeof path_memory);
    text_init(&query_text, query_memory, sizeof query_memory);
    assert_int_equal(routes_match(&built_http.sites[0], &request, &route), 0);
    assert_int_equal(route_edit_target(route, &request, &path_text, &query_text), result);
    if (result)
        return;
    assert_string_equal(path_memory, path);
    assert_int_equal(path_text.length, strlen(path));
    assert_string_equal(query_memory, query);
}

static void strip_takes_whole_segments_off(void **state)
{
    (void)state;
    built_valid(
        "site :80 {\n files /f\n route /s/* *t {\n strip /s\n files /g\n route /s/i {\n header set A 1\n }\n"
        " route /s/j {\n files /h\n }\n }\n}\n");
    assert_edited("/s/a/b?q", "/a/b", "q", 0);
    assert_edited("/s", "/", "", 0);
    assert_edited("/s/", "/", "", 0);
    assert_edited("/sat", "/sat", "", 0);
    assert_edited("/s/i", "/i", "", 0);   /* the answer is the outer one, with its strip */
    assert_edited("/s/j", "/s/j", "", 0); /* has an answer of its own */
    assert_edited("/x", "/x", "", 0);
}

static void rewrite_gives_another_path_and_perhaps_another_query(void **state)
{
    (void)state;
    built_valid(
        "site :80 {\n files /f\n rewrite {path}\n route /a/* {\n rewrite /i.php?p={rest}&{query}\n }\n"
        " route /b/* {\n rewrite /x/%20/../{rest}\n }\n route /c {\n rewrite {path}\n strip /c\n"
        " rewrite /d/{query.q}\n }\n}\n");
    assert_edited("/a/b?q=1", "/i.php", "p=b&q=1", 0);
    assert_edited("/b/c d?q", "/x/c d", "q", 0);
    assert_edited("/c?q=%41", "/d/A", "q=%41", 0);
    assert_edited("/c?q=..", "/", "q=..", 0);
    assert_edited("/c?q=../..", "", "", ERR_INVALID);
    assert_edited("/c?q=%2F", "", "", ERR_INVALID);
    assert_edited("/c?q=%zz", "", "", ERR_INVALID);
    assert_edited("/x", "/x", "", 0);
    assert_edited("/a/0123456789012345678901234567890123456789012345678901234567890", "", "", ERR_NO_SPACE);
}

/* --- explaining --- */

static void an_explanation_tells_of_each_route_and_of_the_answer(void **state)
{
    struct route_request request = request_of("/s/a b");
    char memory[2048];
    struct text out;
    (void)state;
    built_valid(
        "site example.com {\n route /x {\n respond 204\n }\n route /s/* {\n match {\n method POST\n }\n"
        " respond 200\n }\n route /s/* *.c {\n strip /s\n files /f\n route /s/z {\n respond 404\n }\n "
        "}\n}\n");
    text_init(&out, memory, sizeof memory);
    assert_int_equal(routes_explain(&built_http, &built_http.sites[0], &request, &out), 0);
    assert_string_equal(memory, "site example.com (t.conf:1): the site of this host and listener\n"
                                "  route /x (t.conf:2): another path\n"
                                "  route /s/* (t.conf:5): the path matches, but not: method POST\n"
                                "  route /s/* *.c (t.conf:11): matches\n"
                                "    route /s/z (t.conf:14): another path\n"
                                "answer: files /f, path /a%20b\n");
    request = request_of("/none");
    text_init(&out, memory, sizeof memory);
    assert_int_equal(routes_explain(&built_http, &built_http.sites[0], &request, &out), ERR_NOT_FOUND);
    assert_non_null(strstr(memory, "answer: 404, because nothing here answers\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(the_first_route_that_fits_is_taken, built_teardown),
        cmocka_unit_test_teardown(inner_routes_come_after_their_outer_one_and_there_is_no_way_back,
                                  built_teardown),
        cmocka_unit_test_teardown(a_block_match_asks_for_all_of_its_lines, built_teardown),
        cmocka_unit_test_teardown(a_client_is_matched_by_the_trust_of_the_route_or_of_what_is_around_it,
                                  built_teardown),
        cmocka_unit_test_teardown(a_pattern_that_works_too_long_is_said_and_not_passed_over, built_teardown),
        cmocka_unit_test_teardown(headers_of_inner_blocks_come_on_top_of_the_outer_ones, built_teardown),
        cmocka_unit_test_teardown(headers_of_what_is_sent_on_are_a_list_of_their_own, built_teardown),
        cmocka_unit_test_teardown(settings_are_those_of_the_innermost_block_that_has_them, built_teardown),
        cmocka_unit_test_teardown(without_a_word_the_defaults_hold, built_teardown),
        cmocka_unit_test_teardown(a_folder_that_several_routes_serve_is_one, built_teardown),
        cmocka_unit_test_teardown(listeners_have_the_options_of_their_block, built_teardown),
        cmocka_unit_test_teardown(values_are_those_of_the_request, built_teardown),
        cmocka_unit_test_teardown(the_rest_and_the_groups_are_encoded, built_teardown),
        cmocka_unit_test_teardown(strip_takes_whole_segments_off, built_teardown),
        cmocka_unit_test_teardown(rewrite_gives_another_path_and_perhaps_another_query, built_teardown),
        cmocka_unit_test_teardown(an_explanation_tells_of_each_route_and_of_the_answer, built_teardown),
    };
    return cmocka_run_group_tests_name("routes", tests, NULL, NULL);
}
