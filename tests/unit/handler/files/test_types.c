#include "handler/files/types.h"

#include "unit.h"

#include <string.h>

static void assert_type(const char *path, const char *type)
{
    struct slice found = types_of_path(slice_of(path));

    assert_int_equal(found.length, strlen(type));
    assert_memory_equal(found.at, type, found.length);
}

static void a_type_follows_from_the_last_extension(void **state)
{
    (void)state;
    assert_type("/index.html", "text/html; charset=utf-8");
    assert_type("/a/b.c/photo.jpeg", "image/jpeg");
    assert_type("/archive.tar.gz", "application/gzip");
    assert_type("/module.wasm", "application/wasm");
}

static void case_does_not_matter(void **state)
{
    (void)state;
    assert_type("/INDEX.HTML", "text/html; charset=utf-8");
    assert_type("/a.Svg", "image/svg+xml");
}

static void everything_else_is_bytes(void **state)
{
    static const char *const paths[] = {"",        "/",        "/html",     "/a.html/b", "/a.",
                                        "/a.htm5", "/a.html.", "/.unknown", "/a.h\0ml"};
    (void)state;

    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        assert_type(paths[i], "application/octet-stream");
}

static void a_path_is_as_long_as_its_slice(void **state)
{
    struct slice cut = {"/a.htmlx", 7};
    (void)state;

    assert_memory_equal(types_of_path(cut).at, "text/html", 9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_type_follows_from_the_last_extension),
        cmocka_unit_test(case_does_not_matter),
        cmocka_unit_test(everything_else_is_bytes),
        cmocka_unit_test(a_path_is_as_long_as_its_slice),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
