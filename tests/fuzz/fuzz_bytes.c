/* Any bytes become the inside of a JSON string that has no control byte and no open quote, in room that is
 * just enough and in room that is not; a number that is accepted is the one that the C library reads. */
#include "base/assert.h"
#include "base/bytes.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_json(struct slice bytes, size_t capacity)
{
    char *memory = malloc(capacity);
    struct text text;

    MUST(memory != NULL);
    text_init(&text, memory, capacity);
    text_add_json(&text, bytes);
    MUST(text.length < capacity && memory[text.length] == '\0' && strlen(memory) == text.length);
    for (size_t i = 0; i < text.length; i++) {
        MUST((unsigned char)memory[i] >= 0x20 && memory[i] != '"');
        if (memory[i] == '\\') {
            i++; /* what is escaped is there too */
            MUST(i < text.length);
        }
    }
    MUST(!text.overflow || capacity < bytes.length * 6 + 1);
    free(memory);
}

static void check_number(struct slice bytes)
{
    char digits[64];
    uint64_t value = 0;

    if (slice_to_u64(bytes, &value) != 0 || bytes.length >= sizeof(digits))
        return;
    memcpy(digits, bytes.at, bytes.length);
    digits[bytes.length] = '\0';
    MUST(value == strtoull(digits, NULL, 10) && value <= INT64_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice bytes = {(const char *)data, size};

    check_json(bytes, size * 6 + 1); /* six is the longest escape of one byte */
    check_json(bytes, size + 1);
    check_json(bytes, size / 2 + 1);
    check_number(bytes);
    return 0;
}
