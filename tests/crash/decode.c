#include "crash/decode.h"

#include <brotli/decode.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

static long decode_gzip(const void *bytes, size_t length, void *out, size_t capacity)
{
    z_stream stream = {0};
    Bytef *input = NULL;
    memcpy(&input, &bytes, sizeof input);
    stream.next_in = input;
    stream.avail_in = (uInt)length;
    stream.next_out = out;
    stream.avail_out = (uInt)capacity;
    if (inflateInit2(&stream, 15 + 16) != Z_OK)
        return -1;
    int result = inflate(&stream, Z_FINISH);
    long made = (long)(capacity - stream.avail_out);
    int is_whole = result == Z_STREAM_END && stream.avail_in == 0;
    inflateEnd(&stream);
    return is_whole ? made : -1;
}

long decode(const char *coding, const void *bytes, size_t length, void *out, size_t capacity)
{
    size_t made = capacity;
    if (strcmp(coding, "gzip") == 0)
        return decode_gzip(bytes, length, out, capacity);
    if (strcmp(coding, "br") == 0)
        return BrotliDecoderDecompress(length, bytes, &made, out) == BROTLI_DECODER_RESULT_SUCCESS
                   ? (long)made
                   : -1;
    made = ZSTD_decompress(out, capacity, bytes, length);
    return ZSTD_isError(made) ? -1 : (long)made;
}
