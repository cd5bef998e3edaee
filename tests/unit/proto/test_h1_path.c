/* The path rules: what is matched and looked up for what was sent. */
#include "guarded.h"
#include "proto/h1.h"
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#define BYTES(text)                                                                                          \
    {                                                                                                        \
        text, sizeof(text) - 1                                                                               \
    }

static const struct row {
    const char *name;
    struct slice raw;
    int answer;
    struct slice path;
} rows[] = {
#define ACCEPTED(name, raw, path)                                                                            \
    {                                                                                                        \
        name, BYTES(raw), 0, BYTES(path)                                                                     \
    }
#define REFUSED(name, raw, error)                                                                            \
    {                                                                                                        \
        name, BYTES(raw), error,                                                                             \
        {                                                                                                    \
            NULL, 0                                                                                          \
        }                                                                                                    \
    }
    ACCEPTED("the root", "/", "/"),
    ACCEPTED("a plain path is left as it is", "/a/b.html", "/a/b.html"),
    ACCEPTED("a trailing slash is kept", "/a/b/", "/a/b/"),
    ACCEPTED("RFC 3986 2.1: percent-encoding is undone", "/%61%20%7e%7E", "/a ~~"),
    ACCEPTED("RFC 3986 2.4: it is undone once only", "/%2561%252f%252e%252e", "/%61%2f%2e%2e"),
    ACCEPTED("bytes beyond ASCII", "/%c3%a4%FF", "/\xc3\xa4\xff"),
    ACCEPTED("an encoded question mark belongs to the path", "/a%3fb%23c", "/a?b#c"),
    ACCEPTED("an encoded backslash is a plain byte", "/a%5c..%5cb", "/a\\..\\b"),
    ACCEPTED("a plus sign is no space", "/a+b", "/a+b"),
    ACCEPTED("two slashes are one", "/a//b", "/a/b"),
    ACCEPTED("many slashes are one", "////a////b////", "/a/b/"),
    ACCEPTED("slashes alone are the root", "///", "/"),
    ACCEPTED("RFC 3986 5.2.4: a dot", "/a/./b", "/a/b"),
    ACCEPTED("RFC 3986 5.2.4: a dot at the end leaves a slash", "/a/.", "/a/"),
    ACCEPTED("RFC 3986 5.2.4: a dot alone", "/.", "/"),
    ACCEPTED("RFC 3986 5.2.4: two dots", "/a/../b", "/b"),
    ACCEPTED("RFC 3986 5.2.4: two dots at the end leave a slash", "/a/b/..", "/a/"),
    ACCEPTED("RFC 3986 5.2.4: two dots and a slash at the end", "/a/b/../", "/a/"),
    ACCEPTED("RFC 3986 5.2.4: two dots back to the root", "/a/..", "/"),
    ACCEPTED("RFC 3986 5.2.4: several of them", "/a/b/c/./../../g", "/a/g"),
    ACCEPTED("two dots take a name, not an empty segment", "/a//../b", "/b"),
    ACCEPTED("encoded dots are dots", "/a/%2e%2E/b/%2e/c", "/b/c"),
    ACCEPTED("three dots are a name", "/.../a", "/.../a"),
    ACCEPTED("a name may begin or end with dots", "/..a/b../.c", "/..a/b../.c"),
    REFUSED("two dots at the root lead above it", "/..", ERR_INVALID),
    REFUSED("two dots and a slash lead above the root", "/../", ERR_INVALID),
    REFUSED("two dots lead above the root, even if a name follows", "/../a", ERR_INVALID),
    REFUSED("too many of them", "/a/../../b", ERR_INVALID),
    REFUSED("empty segments do not count against them", "/a//../../b", ERR_INVALID),
    REFUSED("dots do not count against them", "/a/./../../b", ERR_INVALID),
    REFUSED("encoded, they lead above the root as well", "/%2e%2e/a", ERR_INVALID),
    REFUSED("half encoded too", "/.%2e", ERR_INVALID),
    REFUSED("an encoded slash", "/a%2fb", ERR_INVALID),
    REFUSED("an encoded slash in capitals", "/a%2Fb", ERR_INVALID),
    REFUSED("dots and an encoded slash", "/..%2fa", ERR_INVALID),
    REFUSED("an encoded NUL", "/a%00", ERR_INVALID),
    REFUSED("a NUL", "/a\0b", ERR_INVALID),
    REFUSED("no leading slash", "a", ERR_INVALID),
    REFUSED("an encoded leading slash", "%2fa", ERR_INVALID),
    REFUSED("an asterisk", "*", ERR_INVALID),
    REFUSED("nothing", "", ERR_INVALID),
    REFUSED("RFC 3986 2.1: a percent sign alone", "/%", ERR_SYNTAX),
    REFUSED("RFC 3986 2.1: one digit", "/%4", ERR_SYNTAX),
    REFUSED("RFC 3986 2.1: one digit before a slash", "/%4/a", ERR_SYNTAX),
    REFUSED("RFC 3986 2.1: no digits", "/%zz", ERR_SYNTAX),
    REFUSED("RFC 3986 2.1: a second digit that is none", "/%4g", ERR_SYNTAX),
    REFUSED("RFC 3986 2.1: two percent signs", "/%%41", ERR_SYNTAX),
    REFUSED("a wide character by number", "/%u0041", ERR_SYNTAX),
};

#define ROW_COUNT (sizeof(rows) / sizeof(rows[0]))

static void the_path_is_decoded(void **state)
{
    const struct row *row = *state;
    uint32_t length = 0, capacity = (uint32_t)row->raw.length + 1;
    char *out = malloc(capacity); /* not a byte more than promised to do: valgrind and ASan watch */
    assert_non_null(out);
    struct slice raw = {guarded_copy(row->raw.at, row->raw.length), row->raw.length};
    assert_int_equal(h1_path_decode(raw, out, capacity, &length), row->answer);
    if (row->answer == 0) {
        assert_int_equal(length, row->path.length);
        assert_memory_equal(out, row->path.at, row->path.length);
        assert_int_equal(out[length], '\0');
    }
    free(out);
}

static void too_little_room_is_an_error_and_nothing_is_written_behind_it(void **state)
{
    struct slice raw = SLICE_LITERAL("/ab/c%64/");
    (void)state;
    for (uint32_t capacity = 0; capacity <= 9; capacity++) {
        char out[16];
        uint32_t length = 0;
        memset(out, '!', sizeof(out));
        int answer = h1_path_decode(raw, out, capacity, &length);
        assert_int_equal(answer, capacity < sizeof("/ab/cd/") ? ERR_NO_SPACE : 0);
        for (uint32_t i = capacity; i < sizeof(out); i++)
            assert_int_equal(out[i], '!');
    }
}

int main(void)
{
    static struct CMUnitTest tests[ROW_COUNT + 1];
    for (size_t i = 0; i < ROW_COUNT; i++)
        tests[i] =
            (struct CMUnitTest){rows[i].name, the_path_is_decoded, NULL, NULL, (void *)(uintptr_t)&rows[i]};
    tests[ROW_COUNT] =
        (struct CMUnitTest)cmocka_unit_test(too_little_room_is_an_error_and_nothing_is_written_behind_it);
    return cmocka_run_group_tests_name("paths", tests, NULL, NULL);
}
