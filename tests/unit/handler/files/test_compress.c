#include "handler/files/compress.h"

#include "unit.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

static char text[60000];

static struct slice repeated_text(void)
{
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = "line after line "[i % 16];
    return (struct slice){text, sizeof text};
}

static void each_coding_is_shorter_and_the_same_each_time(void **state)
{
    static const enum coding codings[] = {CODING_BR, CODING_ZSTD, CODING_GZIP};
    const struct slice source = repeated_text();
    (void)state;

    for (size_t i = 0; i < 3; i++) {
        char *first = NULL, *second = NULL;
        size_t length = 0, again = 0;

        assert_int_equal(compress_bytes(codings[i], source, source.length - 1, &first, &length), 0);
        assert_int_equal(compress_bytes(codings[i], source, source.length - 1, &second, &again), 0);
        assert_true(length < source.length / 10);
        assert_int_equal(length, again);
        assert_memory_equal(first, second, length);
        assert_true(compress_version(codings[i]) != 0);
        free(first);
        free(second);
    }
}

static void gzip_gives_the_text_back(void **state)
{
    static char back[sizeof text];
    const struct slice source = repeated_text();
    z_stream stream = {0};
    char *out = NULL;
    size_t length = 0;
    (void)state;

    assert_int_equal(compress_bytes(CODING_GZIP, source, source.length, &out, &length), 0);
    stream.next_in = (Bytef *)out;
    stream.avail_in = (uInt)length;
    stream.next_out = (Bytef *)back;
    stream.avail_out = sizeof back;
    assert_int_equal(inflateInit2(&stream, 15 + 16), Z_OK);
    assert_int_equal(inflate(&stream, Z_FINISH), Z_STREAM_END);
    assert_int_equal(inflateEnd(&stream), Z_OK);
    assert_memory_equal(back, text, sizeof text);
    free(out);
}

static void what_would_not_be_shorter_is_not_made(void **state)
{
    static const enum coding codings[] = {CODING_BR, CODING_ZSTD, CODING_GZIP};
    const struct slice tiny = SLICE_LITERAL("ab");
    char *out = NULL;
    size_t length = 0;
    (void)state;

    for (size_t i = 0; i < 3; i++)
        assert_int_equal(compress_bytes(codings[i], tiny, 1, &out, &length), ERR_LIMIT);
    assert_int_equal(compress_bytes(CODING_IDENTITY, tiny, 10, &out, &length), ERR_INVALID);
    assert_int_equal(
        compress_bytes(CODING_GZIP, (struct slice){text, COMPRESS_SOURCE_MAX + 1ul}, 10, &out, &length),
        ERR_LIMIT);
}

static void types_are_compared_without_their_parameters(void **state)
{
    static const struct slice list[] = {{"text/*", 6}, {"application/json", 16}};
    (void)state;

    assert_true(compress_type_is_listed(SLICE_LITERAL("text/html; charset=utf-8"), list, 2));
    assert_true(compress_type_is_listed(SLICE_LITERAL("application/json"), list, 2));
    assert_false(compress_type_is_listed(SLICE_LITERAL("application/jsonx"), list, 2));
    assert_false(compress_type_is_listed(SLICE_LITERAL("texture/html"), list, 2));
    assert_false(compress_type_is_listed(SLICE_LITERAL("text"), list, 2));
    assert_true(compress_type_is_usual(SLICE_LITERAL("image/svg+xml")));
    assert_false(compress_type_is_usual(SLICE_LITERAL("image/png")));
    assert_false(compress_type_is_usual(SLICE_LITERAL("application/octet-stream")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_coding_is_shorter_and_the_same_each_time),
        cmocka_unit_test(gzip_gives_the_text_back),
        cmocka_unit_test(what_would_not_be_shorter_is_not_made),
        cmocka_unit_test(types_are_compared_without_their_parameters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
