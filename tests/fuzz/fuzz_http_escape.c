/* Any bytes inside HTML, a path and a log line: in room that is just enough, in room that is not. What is
 * left has none of the bytes that end such a place, and a path comes back as it was. */
#include "base/assert.h"
#include "http/escape.h"
#include "proto/h1.h"

#include <stdlib.h>
#include <string.h>

#define SIZE_LIMIT 4096

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

typedef void (*escape_fn)(struct text *text, struct slice bytes);

/* Returns what was written, to be freed. */
static char *check(escape_fn escape, struct slice bytes, size_t capacity, int must_fit, const char *forbidden)
{
    char *memory = malloc(capacity);
    struct text text;

    MUST(memory != NULL);
    text_init(&text, memory, capacity);
    escape(&text, bytes);
    MUST(text.length < capacity && strlen(memory) == text.length);
    MUST(!must_fit || !text.overflow);
    MUST(strpbrk(memory, forbidden) == NULL);
    return memory;
}

static void check_path(struct slice bytes)
{
    size_t capacity = bytes.length * ESCAPE_URI_MAX + 2;
    char *path = malloc(bytes.length + 2), *decoded = malloc(capacity);
    uint32_t length;

    MUST(path != NULL && decoded != NULL);
    path[0] = '/';
    memcpy(path + 1, bytes.at, bytes.length);
    char *encoded = check(escape_add_path, (struct slice){path, bytes.length + 1},
                          (bytes.length + 1) * ESCAPE_URI_MAX + 1, 1, "\"'<>&?#\\:@ \r\n");
    MUST(encoded[0] == '/' && encoded[1] != '/');
    if (memchr(path, '.', bytes.length + 1) == NULL && memchr(path, '\0', bytes.length + 1) == NULL) {
        MUST(h1_path_decode(slice_of(encoded), decoded, (uint32_t)capacity, &length) == 0);
        path[bytes.length + 1] = '\0';
        if (strstr(path, "//") == NULL)
            MUST(length == bytes.length + 1 && memcmp(decoded, path, length) == 0);
    }
    free(encoded);
    free(decoded);
    free(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    if (size > SIZE_LIMIT)
        return 0;
    char *bytes = malloc(size + !size);
    MUST(bytes != NULL);
    memcpy(bytes, input, size);
    struct slice slice = {bytes, size};
    for (int fits = 0; fits < 2; fits++) {
        size_t unit = fits ? size : size / 2;
        free(check(escape_add_html, slice, unit * ESCAPE_HTML_MAX + 1, fits, "<>\"'\r\x1b\x7f"));
        free(check(escape_add_segment, slice, unit * ESCAPE_URI_MAX + 1, fits, "/\"'<>&?#\\:@ \r\n"));
        free(check(escape_add_log, slice, unit * ESCAPE_LOG_MAX + 2, fits, "\"\r\n\x1b\x7f\x80\xff"));
    }
    check_path(slice);
    free(bytes);
    return 0;
}
