#include "http/request_id.h"

#include <string.h>

int request_id_is_acceptable(struct slice id)
{
    if (id.length == 0 || id.length > REQUEST_ID_MAX)
        return 0;
    for (size_t i = 0; i < id.length; i++) {
        char c = id.at[i];
        int is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        int is_digit = c >= '0' && c <= '9';
        if (!is_letter && !is_digit && (c == '\0' || strchr("-._~:+/=@", c) == NULL))
            return 0;
    }
    return 1;
}

void request_id_make(uint64_t high, uint64_t low, char out[REQUEST_ID_SIZE])
{
    for (int i = 0; i < REQUEST_ID_MADE_LENGTH; i++) {
        uint64_t half = i < 16 ? high : low;
        out[i] = "0123456789abcdef"[half >> (60 - i % 16 * 4) & 15];
    }
    out[REQUEST_ID_MADE_LENGTH] = '\0';
}

int request_id_choose(const struct h1_head *request, uint64_t high, uint64_t low, char out[REQUEST_ID_SIZE])
{
    struct slice id = {"", 0};
    unsigned count = 0;

    for (uint32_t i = 0; i < request->field_count; i++) {
        if (slice_equals_nocase(request->fields[i].name, SLICE_LITERAL("X-Request-Id"))) {
            id = request->fields[i].value;
            count++;
        }
    }
    if (count != 1 || !request_id_is_acceptable(id)) {
        request_id_make(high, low, out);
        return 0;
    }
    memcpy(out, id.at, id.length);
    out[id.length] = '\0';
    return 1;
}
