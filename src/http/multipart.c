#include "http/multipart.h"

#include "base/assert.h"

/* One bit more or less in, half of the bits out: multiply and shift, the odd constants having their bits well
 * spread. */
static uint64_t mix(uint64_t value)
{
    for (int round = 0; round < 3; round++) {
        value ^= value >> 31;
        value *= 0x9e3779b97f4a7c15u; /* 2^64 divided by the golden ratio */
        value ^= value >> 29;
        value *= 0xb7e151628aed2a6bu; /* the first bits of e - 2 */
    }
    return value ^ value >> 32;
}

static void write_hex(uint64_t value, char out[16])
{
    for (int i = 15; i >= 0; i--) {
        out[i] = "0123456789abcdef"[value & 15];
        value >>= 4;
    }
}

int multipart_init(struct multipart *multipart, const struct range_set *ranges, uint64_t size,
                   struct slice type, uint64_t serial, uint64_t salt)
{
    const uint64_t high = mix(mix(serial) + salt), low = mix(mix(salt ^ high) + serial);

    MUST(ranges->count >= 2 && ranges->count <= RANGES_MAX);
    if (type.length > MULTIPART_TYPE_MAX)
        return ERR_LIMIT;
    *multipart = (struct multipart){.ranges = ranges, .size = size, .type = type};
    write_hex(high, multipart->boundary);
    write_hex(low, multipart->boundary + 16);
    return 0;
}

void multipart_add_type(const struct multipart *multipart, struct text *text)
{
    text_add(text, SLICE_LITERAL("multipart/byteranges; boundary="));
    text_add(text, (struct slice){multipart->boundary, MULTIPART_BOUNDARY_LENGTH});
}

void multipart_add_part_head(const struct multipart *multipart, uint32_t part, struct text *text)
{
    MUST(part < multipart->ranges->count);
    if (part > 0)
        text_add(text, SLICE_LITERAL("\r\n"));
    text_add(text, SLICE_LITERAL("--"));
    text_add(text, (struct slice){multipart->boundary, MULTIPART_BOUNDARY_LENGTH});
    text_add(text, SLICE_LITERAL("\r\n"));
    if (multipart->type.length > 0) {
        text_add(text, SLICE_LITERAL("Content-Type: "));
        text_add(text, multipart->type);
        text_add(text, SLICE_LITERAL("\r\n"));
    }
    range_add_content_range(text, &multipart->ranges->at[part], multipart->size);
    text_add(text, SLICE_LITERAL("\r\n"));
}

void multipart_add_end(const struct multipart *multipart, struct text *text)
{
    text_add(text, SLICE_LITERAL("\r\n--"));
    text_add(text, (struct slice){multipart->boundary, MULTIPART_BOUNDARY_LENGTH});
    text_add(text, SLICE_LITERAL("--\r\n"));
}

/* By writing it all, so that it cannot be anything else than what is sent. Below 2^64: the ranges are less
 * than 2^63 together. */
uint64_t multipart_length(const struct multipart *multipart)
{
    char memory[MULTIPART_PART_HEAD_SIZE];
    struct text text;
    uint64_t length = 0;

    for (uint32_t i = 0; i < multipart->ranges->count; i++) {
        text_init(&text, memory, sizeof memory);
        multipart_add_part_head(multipart, i, &text);
        MUST(!text.overflow);
        length += text.length + range_length(&multipart->ranges->at[i]);
    }
    text_init(&text, memory, sizeof memory);
    multipart_add_end(multipart, &text);
    return length + text.length;
}
