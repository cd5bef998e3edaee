/* A batch of passports. Two readings of the input: as a batch that somebody else wrote, and as orders to write one. Checked:
 * nothing outside of it is read; what is accepted has each tag once and is the same when it is written again; what our writer
 * makes is accepted, and every field comes back; a batch cut short anywhere is not accepted. */
#include "core/passport.h"

#include "base/assert.h"
#include "own.h"

#include <stdlib.h>
#include <string.h>

#define SIZE_LIMIT 4096

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

static void must_lie_in(struct slice value, const unsigned char *bytes, size_t length)
{
    MUST(!value.length || ((const unsigned char *)value.at >= bytes && value.length <= length &&
                           (size_t)((const unsigned char *)value.at - bytes) <= length - value.length));
}

/* Field by field of those that anybody can know: again in the order of their tags. */
static void write_again(struct passport_batch *batch, unsigned char *memory, size_t capacity)
{
    struct passport_writer writer;
    struct passport_batch again;
    struct passport passport, other;
    struct slice value, same;
    size_t length;

    passport_batch_begin(&writer, memory, capacity);
    while (passport_batch_next(batch, &passport)) {
        passport_begin(&writer);
        for (unsigned tag = 0; tag < PASSPORT_TAGS; tag++)
            if (passport_get(&passport, tag, &value)) {
                must_lie_in(value, batch->at, batch->length);
                passport_put(&writer, tag, PASSPORT_OPTIONAL, value);
            }
        passport_end(&writer);
    }
    length = passport_batch_end(&writer, batch->number, batch->descriptors);
    MUST(length && !passport_batch_open(&again, memory, capacity) && again.length == length);
    MUST(again.count == batch->count && again.number == batch->number &&
         again.descriptors == batch->descriptors);
    batch->next = PASSPORT_BATCH_HEAD;
    while (passport_batch_next(batch, &passport)) {
        MUST(passport_batch_next(&again, &other));
        MUST(!passport_understand(&other, (struct passport_known){0, 0}));
        for (unsigned tag = 0; tag < PASSPORT_TAGS; tag++)
            MUST(passport_get(&passport, tag, &value) == passport_get(&other, tag, &same) &&
                 slice_equals(value, same));
    }
}

static void read_one(const uint8_t *input, size_t size)
{
    unsigned char *bytes = own_copy(input, size), *memory = malloc(size + PASSPORT_BATCH_HEAD);
    struct passport_batch batch;

    MUST(memory != NULL);
    if (!passport_batch_open(&batch, bytes, size))
        write_again(&batch, memory, size + PASSPORT_BATCH_HEAD);
    free(bytes);
    free(memory);
}

/* Each byte is an order: the end of a passport, or a field with that many bytes. */
static void make_one(const uint8_t *input, size_t size)
{
    unsigned char memory[2048];
    struct passport_writer writer;
    struct passport_batch batch;
    struct passport passport;
    size_t length;
    unsigned tag = 0, fields = 0, found = 0;
    struct slice value;

    passport_batch_begin(&writer, memory, sizeof memory);
    passport_begin(&writer);
    for (size_t i = 0; i < size && writer.count < PASSPORTS_MAX - 1; i++) {
        if (input[i] == 0 || tag == PASSPORT_TAGS) {
            passport_end(&writer);
            passport_begin(&writer);
            tag = 0;
            continue;
        }
        passport_put(&writer, tag++, input[i] & 1,
                     (struct slice){(const char *)input, input[i] < size ? input[i] : size});
        fields += !writer.overflow;
    }
    passport_end(&writer);
    length = passport_batch_end(&writer, 7, 3);
    MUST((length == 0) == writer.overflow);
    if (!length)
        return;
    MUST(!passport_batch_open(&batch, memory, length) && batch.length == length && batch.number == 7);
    while (passport_batch_next(&batch, &passport)) {
        for (unsigned i = 0; i < PASSPORT_TAGS; i++)
            found += (unsigned)passport_get(&passport, i, &value);
        MUST(!passport_understand(&passport, (struct passport_known){~0ULL, ~0ULL}));
    }
    MUST(found == fields);
    for (size_t cut = 0; cut < length; cut++)
        MUST(passport_batch_open(&batch, memory, cut));
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    if (size > SIZE_LIMIT)
        return 0;
    read_one(input, size);
    make_one(input, size);
    return 0;
}
