/* A path as sent. Checked: what is accepted begins with a slash, holds no NUL, no empty segment and no dot
 * segment; encoded again, it is decoded to itself; raw.length + 1 bytes always do; a byte less than needed
 * never does. */
#include "proto/h1.h"

#include "base/assert.h"

#include <stdlib.h>
#include <string.h>

#define SIZE_LIMIT 4096

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

static void must_be_resolved(const char *path, uint32_t length)
{
    MUST(length >= 1 && path[0] == '/' && path[length] == '\0' && strlen(path) == length);
    MUST(strstr(path, "//") == NULL && strstr(path, "/./") == NULL && strstr(path, "/../") == NULL);
    MUST(length < 2 || memcmp(path + length - 2, "/.", 2) != 0);
    MUST(length < 3 || memcmp(path + length - 3, "/..", 3) != 0);
}

static void must_stay_the_same(const char *path, uint32_t length)
{
    static const char digits[] = "0123456789abcdef";
    char *encoded = malloc(3 * (size_t)length), *again = malloc(3 * (size_t)length + 1), *at = encoded;
    uint32_t again_length;
    MUST(encoded != NULL && again != NULL);
    for (uint32_t i = 0; i < length; i++) {
        if (path[i] == '/') {
            *at++ = '/';
            continue;
        }
        *at++ = '%';
        *at++ = digits[(uint8_t)path[i] >> 4];
        *at++ = digits[(uint8_t)path[i] & 15];
    }
    struct slice raw = {encoded, (size_t)(at - encoded)};
    MUST(h1_path_decode(raw, again, 3 * length + 1, &again_length) == 0);
    MUST(again_length == length && memcmp(again, path, length) == 0);
    free(encoded);
    free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    if (size > SIZE_LIMIT)
        return 0;
    char *bytes = malloc(size + !size), *path = malloc(size + 1);
    uint32_t length = 0;
    MUST(bytes != NULL && path != NULL);
    memcpy(bytes, input, size);
    struct slice raw = {bytes, size};
    int answer = h1_path_decode(raw, path, (uint32_t)size + 1, &length);
    MUST(answer == 0 || answer == ERR_SYNTAX || answer == ERR_INVALID);
    if (answer == 0) {
        char *small = malloc(length);
        uint32_t ignored;
        MUST(small != NULL && h1_path_decode(raw, small, length, &ignored) == ERR_NO_SPACE);
        free(small);
        must_be_resolved(path, length);
        must_stay_the_same(path, length);
    }
    free(bytes);
    free(path);
    return 0;
}
