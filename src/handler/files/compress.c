#include "handler/files/compress.h"

#include <brotli/encode.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#define BROTLI_LEVEL 5
#define ZSTD_LEVEL 6
#define GZIP_LEVEL 6
#define GZIP_WINDOW (15 + 16) /* zlib's way of saying gzip */
#define GZIP_MEMORY 8

/* --- each: bytes written into out[0, limit), or an error --- */

static int64_t make_brotli(struct slice source, char *out, size_t limit)
{
    size_t length = limit;

    /* It cannot tell want of room from want of memory. */
    if (!BrotliEncoderCompress(BROTLI_LEVEL, BROTLI_DEFAULT_WINDOW, BROTLI_MODE_GENERIC, source.length,
                               (const uint8_t *)source.at, &length, (uint8_t *)out))
        return ERR_LIMIT;
    return (int64_t)length;
}

static int64_t make_zstd(struct slice source, char *out, size_t limit)
{
    const size_t length = ZSTD_compress(out, limit, source.at, source.length, ZSTD_LEVEL);

    if (!ZSTD_isError(length))
        return (int64_t)length;
    return ZSTD_getErrorCode(length) == ZSTD_error_memory_allocation ? ERR_NO_MEMORY : ERR_LIMIT;
}

/* No name and no time go into the header: the same file gives the same bytes. */
static int64_t make_gzip(struct slice source, char *out, size_t limit)
{
    z_stream stream = {0};
    char *input = NULL;
    int result;

    if (deflateInit2(&stream, GZIP_LEVEL, Z_DEFLATED, GZIP_WINDOW, GZIP_MEMORY, Z_DEFAULT_STRATEGY) != Z_OK)
        return ERR_NO_MEMORY;
    memcpy(&input, &source.at, sizeof input); /* zlib does not write there, and says nothing of const */
    stream.next_in = (Bytef *)input;
    stream.avail_in = (uInt)source.length;
    stream.next_out = (Bytef *)out;
    stream.avail_out = (uInt)limit;
    result = deflate(&stream, Z_FINISH);
    (void)deflateEnd(&stream);
    return result == Z_STREAM_END ? (int64_t)(limit - stream.avail_out) : ERR_LIMIT;
}

int compress_bytes(enum coding coding, struct slice source, size_t limit, char **out, size_t *length)
{
    int64_t made = ERR_INVALID;
    char *smaller;

    if (source.length > COMPRESS_SOURCE_MAX || !limit)
        return ERR_LIMIT;
    *out = malloc(limit);
    if (!*out)
        return ERR_NO_MEMORY;
    if (coding == CODING_BR)
        made = make_brotli(source, *out, limit);
    else if (coding == CODING_ZSTD)
        made = make_zstd(source, *out, limit);
    else if (coding == CODING_GZIP)
        made = make_gzip(source, *out, limit);
    if (made < 0) {
        free(*out);
        *out = NULL;
        return (int)made;
    }
    *length = (size_t)made;
    smaller = realloc(*out, *length ? *length : 1);
    *out = smaller ? smaller : *out;
    return 0;
}

uint32_t compress_version(enum coding coding)
{
    if (coding == CODING_BR)
        return BrotliEncoderVersion() << 4 | BROTLI_LEVEL;
    if (coding == CODING_ZSTD)
        return ZSTD_versionNumber() << 4 | ZSTD_LEVEL;
    return ZLIB_VERNUM << 4 | GZIP_LEVEL;
}

/* --- types --- */

static struct slice without_parameters(struct slice type)
{
    size_t length = 0;

    while (length < type.length && type.at[length] != ';' && type.at[length] != ' ')
        length++;
    return (struct slice){type.at, length};
}

int compress_type_is_listed(struct slice type, const struct slice *list, size_t count)
{
    type = without_parameters(type);
    for (size_t i = 0; i < count; i++) {
        struct slice one = list[i];

        if (one.length > 2 && !memcmp(one.at + one.length - 2, "/*", 2)) {
            one.length--;
            if (slice_starts_with(type, one))
                return 1;
        } else if (slice_equals(type, one)) {
            return 1;
        }
    }
    return 0;
}

int compress_type_is_usual(struct slice type)
{
    static const struct slice usual[] = {
        {"text/*", 6},
        {"application/json", 16},
        {"application/manifest+json", 25},
        {"application/ld+json", 19},
        {"application/geo+json", 20},
        {"application/xml", 15},
        {"application/xhtml+xml", 21},
        {"application/atom+xml", 20},
        {"application/rss+xml", 19},
        {"application/yaml", 16},
        {"application/wasm", 16},
        {"application/rtf", 15},
        {"image/svg+xml", 13},
        {"image/bmp", 9},
        {"font/ttf", 8},
        {"font/otf", 8},
    };

    return compress_type_is_listed(type, usual, sizeof usual / sizeof *usual);
}
