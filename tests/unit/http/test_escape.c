#include "http/escape.h"

#include "proto/guarded.h"
#include "proto/h1.h"
#include "unit.h"

#include <stdlib.h>
#include <string.h>

typedef void (*escape_fn)(struct text *text, struct slice bytes);

static void expect(escape_fn escape, struct slice bytes, const char *expected)
{
    char memory[2048];
    struct text text;

    text_init(&text, memory, sizeof(memory));
    escape(&text, (struct slice){guarded_copy(bytes.at, bytes.length), bytes.length});
    assert_string_equal(text.at, expected);
    assert_int_equal(text.length, strlen(expected));
}

static void html_has_no_markup_left(void **state)
{
    (void)state;
    expect(escape_add_html, SLICE_LITERAL("plain text, \xc3\xa4"), "plain text, \xc3\xa4");
    expect(escape_add_html, SLICE_LITERAL("<a href=\"x\">'&amp;'</a>"),
           "&lt;a href=&quot;x&quot;&gt;&#39;&amp;amp;&#39;&lt;/a&gt;");
    expect(escape_add_html, SLICE_LITERAL(""), "");
    expect(escape_add_html, SLICE_LITERAL("\t\n"), "\t\n");
}

static void html_has_no_control_bytes(void **state)
{
    (void)state;
    expect(escape_add_html, SLICE_LITERAL("a\0b\x1b\x7f\r"),
           "a\xef\xbf\xbd"
           "b\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
}

/* RFC 3986 sections 2.1, 2.3 and 3.3. */
static void a_segment_keeps_unreserved_characters_alone(void **state)
{
    (void)state;
    expect(escape_add_segment, SLICE_LITERAL("Az09-._~"), "Az09-._~");
    expect(escape_add_segment, SLICE_LITERAL("a b/c?d#e%f"), "a%20b%2Fc%3Fd%23e%25f");
    expect(escape_add_segment, SLICE_LITERAL("javascript:x"), "javascript%3Ax");
    expect(escape_add_segment, SLICE_LITERAL("\xc3\xa4\r\n\"'<>&;,\\"),
           "%C3%A4%0D%0A%22%27%3C%3E%26%3B%2C%5C");
}

static void a_path_keeps_its_slashes_and_never_begins_a_host(void **state)
{
    (void)state;
    expect(escape_add_path, SLICE_LITERAL("/a b/c/"), "/a%20b/c/");
    expect(escape_add_path, SLICE_LITERAL("//evil.example/a"), "/evil.example/a");
    expect(escape_add_path, SLICE_LITERAL("///"), "/");
    expect(escape_add_path, SLICE_LITERAL("/a//b"), "/a//b");
    expect(escape_add_path, SLICE_LITERAL("/\\evil.example"), "/%5Cevil.example");
}

static void a_log_field_is_one_line_of_ascii(void **state)
{
    (void)state;
    expect(escape_add_log, SLICE_LITERAL("GET /a?b=c HTTP/1.1"), "GET /a?b=c HTTP/1.1");
    expect(escape_add_log, SLICE_LITERAL("\" 200 1 \"\\x22\r\n\0\x1b[31m\x7f\xc3\xa4"),
           "\\x22 200 1 \\x22\\x5Cx22\\x0D\\x0A\\x00\\x1B[31m\\x7F\\xC3\\xA4");
}

static void an_empty_log_field_is_a_dash(void **state)
{
    (void)state;
    expect(escape_add_log, SLICE_LITERAL(""), "-");
}

static void every_byte_of_a_path_comes_back(void **state)
{
    char path[256] = "/", memory[1024], out[256];
    struct text text;
    uint32_t length = 0;

    (void)state;
    for (unsigned i = 1, at = 1; i < 256; i++)
        if (i != '/')
            path[at++] = (char)i;
    text_init(&text, memory, sizeof(memory));
    escape_add_path(&text, (struct slice){path, 255});
    assert_int_equal(h1_path_decode((struct slice){text.at, text.length}, out, sizeof(out), &length), 0);
    assert_int_equal(length, 255);
    assert_memory_equal(out, path, 255);
}

static void no_byte_grows_more_than_is_said(void **state)
{
    static const struct {
        escape_fn escape;
        size_t most;
    } kinds[] = {{escape_add_html, ESCAPE_HTML_MAX},
                 {escape_add_segment, ESCAPE_URI_MAX},
                 {escape_add_path, ESCAPE_URI_MAX},
                 {escape_add_log, ESCAPE_LOG_MAX}};

    (void)state;
    for (size_t kind = 0; kind < sizeof(kinds) / sizeof(kinds[0]); kind++) {
        for (int i = 0; i < 256; i++) {
            char byte = (char)i, memory[16];
            struct text text;
            text_init(&text, memory, sizeof(memory));
            kinds[kind].escape(&text, (struct slice){&byte, 1});
            assert_in_range(text.length, 1, kinds[kind].most);
        }
    }
}

static void too_little_room_is_seen_and_nothing_is_written_behind_it(void **state)
{
    (void)state;
    for (size_t capacity = 1; capacity <= 16; capacity++) {
        char *memory = malloc(capacity); /* exactly: valgrind and ASan watch */
        struct text text;
        assert_non_null(memory);
        text_init(&text, memory, capacity);
        escape_add_log(&text, SLICE_LITERAL("ab\"cd\nef"));
        assert_int_equal(text.overflow, capacity <= strlen("ab\\x22cd\\x0Aef"));
        free(memory);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(html_has_no_markup_left),
        cmocka_unit_test(html_has_no_control_bytes),
        cmocka_unit_test(a_segment_keeps_unreserved_characters_alone),
        cmocka_unit_test(a_path_keeps_its_slashes_and_never_begins_a_host),
        cmocka_unit_test(a_log_field_is_one_line_of_ascii),
        cmocka_unit_test(an_empty_log_field_is_a_dash),
        cmocka_unit_test(every_byte_of_a_path_comes_back),
        cmocka_unit_test(no_byte_grows_more_than_is_said),
        cmocka_unit_test(too_little_room_is_seen_and_nothing_is_written_behind_it),
    };

    return cmocka_run_group_tests_name("escapes", tests, NULL, NULL);
}
