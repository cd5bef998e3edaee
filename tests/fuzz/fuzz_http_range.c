/* A Range value: the first two bytes say how large the representation is (as a shift and a number), the rest
 * are the bytes. Checked: what is selected lies inside, nothing twice, nothing touching; every byte that a
 * listed range asks for is there; the multipart answer is as long as is said and its boundary the same when
 * it is made again. */
#include "base/assert.h"
#include "http/multipart.h"
#include "http/range.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

static void must_be_sound(const struct range_set *set, uint64_t size)
{
    MUST(set->count >= 1 && set->count <= RANGES_MAX);
    for (uint32_t i = 0; i < set->count; i++) {
        MUST(set->at[i].first <= set->at[i].last && set->at[i].last < size);
        for (uint32_t other = 0; other < i; other++)
            MUST(set->at[i].last + 1 < set->at[other].first || set->at[other].last + 1 < set->at[i].first);
    }
}

/* Written out again, what was selected selects itself. */
static void must_stay_the_same(const struct range_set *set, uint64_t size)
{
    char memory[RANGES_MAX * 48];
    struct range_set again;
    struct text text;

    text_init(&text, memory, sizeof(memory));
    text_add_c(&text, "bytes=");
    for (uint32_t i = 0; i < set->count; i++)
        text_add_f(&text, "%llu-%llu,", (unsigned long long)set->at[i].first,
                   (unsigned long long)set->at[i].last);
    MUST(!text.overflow);
    MUST(range_select((struct slice){text.at, text.length}, size, &again) == RANGE_PARTIAL);
    MUST(set->count == again.count);
    MUST(memcmp(set->at, again.at, set->count * sizeof(set->at[0])) == 0);
}

static void check_multipart(const struct range_set *set, uint64_t size)
{
    struct multipart first, second;
    uint64_t length = 0;

    MUST(multipart_init(&first, set, size, SLICE_LITERAL("text/plain"), size, 7) == 0);
    for (uint32_t i = 0; i <= set->count; i++) {
        char memory[MULTIPART_PART_HEAD_SIZE];
        struct text text;
        /* each part is made by another process than the one before */
        MUST(multipart_init(&second, set, size, SLICE_LITERAL("text/plain"), size, 7) == 0);
        MUST(strcmp(first.boundary, second.boundary) == 0);
        text_init(&text, memory, sizeof(memory));
        if (i < set->count)
            multipart_add_part_head(&second, i, &text);
        else
            multipart_add_end(&second, &text);
        MUST(!text.overflow);
        length += text.length + (i < set->count ? range_length(&set->at[i]) : 0);
    }
    MUST(length == multipart_length(&first));
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    struct range_set set;

    if (size < 2)
        return 0;
    uint64_t whole = (uint64_t)input[1] << input[0] % 56; /* below 2^63 */
    char *bytes = malloc(size - 2 + (size == 2));
    MUST(bytes != NULL);
    memcpy(bytes, input + 2, size - 2);
    enum range_answer answer = range_select((struct slice){bytes, size - 2}, whole, &set);
    MUST((answer == RANGE_PARTIAL) == (set.count > 0));
    if (answer == RANGE_PARTIAL) {
        must_be_sound(&set, whole);
        must_stay_the_same(&set, whole);
    }
    if (set.count > 1)
        check_multipart(&set, whole);
    free(bytes);
    return 0;
}
