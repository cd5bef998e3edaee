/* A chunked body: the first byte seeds the lengths of the pieces it arrives in, the rest are the bytes.
 * Checked: the pieces make no difference to data, end and refusal; data lies inside the bytes; the decoder
 * moves on; written out again in one chunk the data comes back. */
#include "proto/h1.h"

#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIZE_LIMIT 65536

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

struct outcome {
    int answer;
    enum h1_refusal refusal;
    uint32_t consumed, data_length;
    char *data;
};

/* One piece, to its end or that of the body. */
static void decode_piece(struct h1_chunks *chunks, const char *bytes, uint32_t length,
                         struct outcome *outcome)
{
    uint32_t at = 0;
    do {
        struct slice data;
        uint32_t consumed;
        outcome->answer =
            h1_chunks_next(chunks, bytes + at, length - at, &consumed, &data, &outcome->refusal);
        MUST(consumed <= length - at);
        MUST(outcome->answer == 0 ? data.length > 0 : data.length == 0);
        MUST(data.at >= bytes + at && data.at + data.length <= bytes + at + consumed);
        memcpy(outcome->data + outcome->data_length, data.at, data.length);
        outcome->data_length += (uint32_t)data.length;
        at += consumed;
    } while (outcome->answer == 0);
    MUST(outcome->answer != ERR_PARTIAL || at == length);
    outcome->consumed += at;
}

/* `seed` 0: all at once. The data is the caller's to free. */
static struct outcome decode(const char *bytes, uint32_t length, uint32_t seed)
{
    struct h1_chunks chunks = {0};
    struct outcome outcome = {.answer = ERR_PARTIAL, .data = malloc(length + 1)};
    MUST(outcome.data != NULL);
    for (uint32_t at = 0; at < length && outcome.answer == ERR_PARTIAL;) {
        uint32_t piece = length - at;
        if (seed != 0) {
            seed = seed * 1664525 + 1013904223;
            piece = (seed >> 24) % 5 + 1 < piece ? (seed >> 24) % 5 + 1 : piece;
        }
        decode_piece(&chunks, bytes + at, piece, &outcome);
        at += piece;
    }
    return outcome;
}

static void must_be_the_same(const struct outcome *a, const struct outcome *b)
{
    MUST(a->answer == b->answer && a->refusal == b->refusal && a->consumed == b->consumed);
    MUST(a->data_length == b->data_length && memcmp(a->data, b->data, a->data_length) == 0);
}

static void must_come_back(const struct outcome *whole)
{
    char *text = malloc(whole->data_length + 64);
    MUST(text != NULL);
    int used = whole->data_length ? sprintf(text, "%x\r\n", whole->data_length) : 0;
    memcpy(text + used, whole->data, whole->data_length);
    used += (int)whole->data_length;
    used += sprintf(text + used, "%s0\r\n\r\n", whole->data_length ? "\r\n" : "");
    struct outcome again = decode(text, (uint32_t)used, 0);
    MUST(again.answer == H1_CHUNKS_END && again.consumed == (uint32_t)used);
    MUST(again.data_length == whole->data_length && memcmp(again.data, whole->data, whole->data_length) == 0);
    free(again.data);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    if (size < 1 || size > SIZE_LIMIT)
        return 0;
    uint32_t length = (uint32_t)size - 1;
    char *bytes = malloc(length + !length);
    MUST(bytes != NULL);
    memcpy(bytes, input + 1, length);
    struct outcome whole = decode(bytes, length, 0), pieces = decode(bytes, length, input[0] + 1u);
    must_be_the_same(&whole, &pieces);
    if (whole.answer == H1_CHUNKS_END)
        must_come_back(&whole);
    free(whole.data);
    free(pieces.data);
    free(bytes);
    return 0;
}
