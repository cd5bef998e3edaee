/* A chunked body with its trailers delivered: the first byte seeds the lengths of the pieces that arrive, the
 * rest are the bytes. Checked: the pieces make no difference to data, trailers, end and refusal; dropping the
 * trailers instead gives the same data, end and refusal; each trailer is one clean field. */
#include "proto/h1.h"

#include "base/assert.h"

#include <stdlib.h>
#include <string.h>

#define SIZE_LIMIT 65536

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

struct outcome {
    int answer;
    enum h1_refusal refusal;
    uint32_t consumed, data_length, trailer_length;
    char *data, *trailers; /* trailers: each line and a line feed */
};

static void take_trailer(struct outcome *outcome, struct slice line)
{
    struct h1_field field = h1_trailer_parse(line);
    MUST(field.name.length > 0 && field.name.at == line.at && line.at[field.name.length] == ':');
    MUST(field.value.length < line.length && memchr(line.at, '\0', line.length) == NULL);
    MUST(memchr(line.at, '\r', line.length) == NULL && memchr(line.at, '\n', line.length) == NULL);
    (void)h1_trailer_may_pass(field.name);
    memcpy(outcome->trailers + outcome->trailer_length, line.at, line.length);
    outcome->trailer_length += (uint32_t)line.length;
    outcome->trailers[outcome->trailer_length++] = '\n';
}

/* Offers what has arrived and is not consumed, until more must arrive. */
static void decode_arrived(struct h1_chunks *chunks, const char *bytes, uint32_t arrived,
                           struct outcome *outcome)
{
    do {
        struct slice data;
        uint32_t consumed, offered = arrived - outcome->consumed;
        const char *at = bytes + outcome->consumed;
        outcome->answer = h1_chunks_next(chunks, at, offered, &consumed, &data, &outcome->refusal);
        MUST(consumed <= offered && data.at >= at && data.at + data.length <= at + offered);
        outcome->consumed += consumed;
        if (outcome->answer == 0) {
            MUST(data.length > 0 && outcome->trailer_length == 0);
            memcpy(outcome->data + outcome->data_length, data.at, data.length);
            outcome->data_length += (uint32_t)data.length;
        } else if (outcome->answer == H1_CHUNKS_TRAILER) {
            take_trailer(outcome, data);
        }
    } while (outcome->answer == 0 || outcome->answer == H1_CHUNKS_TRAILER);
}

/* `seed` 0: all at once. */
static struct outcome decode(const char *bytes, uint32_t length, uint32_t seed, int keep_trailers)
{
    struct h1_chunks chunks = {.keep_trailers = (uint8_t)keep_trailers};
    struct outcome outcome = {
        .answer = ERR_PARTIAL, .data = malloc(length + 1), .trailers = malloc(length + 1)};
    MUST(outcome.data != NULL && outcome.trailers != NULL);
    for (uint32_t arrived = 0; arrived < length && outcome.answer == ERR_PARTIAL;) {
        uint32_t piece = length - arrived;
        if (seed != 0) {
            seed = seed * 1664525 + 1013904223;
            uint32_t drawn = (seed >> 24) % (length > 512 ? 256 : 5) + 1; /* a line is read anew for each */
            piece = drawn < piece ? drawn : piece;
        }
        arrived += piece;
        decode_arrived(&chunks, bytes, arrived, &outcome);
    }
    return outcome;
}

static void must_agree(const struct outcome *a, const struct outcome *b)
{
    MUST(a->answer == b->answer && a->refusal == b->refusal);
    MUST(a->data_length == b->data_length && memcmp(a->data, b->data, a->data_length) == 0);
    MUST(a->answer != H1_CHUNKS_END || a->consumed == b->consumed);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    if (size < 1 || size > SIZE_LIMIT)
        return 0;
    uint32_t length = (uint32_t)size - 1;
    char *bytes = malloc(length + !length);
    MUST(bytes != NULL);
    memcpy(bytes, input + 1, length);
    struct outcome whole = decode(bytes, length, 0, 1), pieces = decode(bytes, length, input[0] + 1u, 1),
                   dropped = decode(bytes, length, 0, 0);
    must_agree(&whole, &pieces);
    must_agree(&whole, &dropped);
    MUST(whole.trailer_length == pieces.trailer_length && dropped.trailer_length == 0);
    MUST(memcmp(whole.trailers, pieces.trailers, whole.trailer_length) == 0);
    struct outcome *all[] = {&whole, &pieces, &dropped};
    for (int i = 0; i < 3; i++) {
        free(all[i]->data);
        free(all[i]->trailers);
    }
    free(bytes);
    return 0;
}
