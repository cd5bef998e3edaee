#include "core/passport.h"

#include "base/assert.h"

#include <string.h>

/* --- numbers --- */

static void store(unsigned char *at, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        at[i] = (unsigned char)(value >> 8 * i);
}

static uint64_t load(const unsigned char *at, unsigned bytes)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < bytes; i++)
        value |= (uint64_t)at[i] << 8 * i;
    return value;
}

/* --- writing --- */

static unsigned char *grow(struct passport_writer *writer, size_t length)
{
    unsigned char *at = writer->at + writer->length;

    if (writer->overflow || length > writer->capacity - writer->length) {
        writer->overflow = 1;
        return NULL;
    }
    writer->length += length;
    return at;
}

void passport_batch_begin(struct passport_writer *writer, void *memory, size_t capacity)
{
    *writer = (struct passport_writer){.at = memory, .capacity = capacity};
    (void)grow(writer, PASSPORT_BATCH_HEAD);
}

void passport_begin(struct passport_writer *writer)
{
    writer->passport = writer->length;
    (void)grow(writer, 4);
}

void passport_end(struct passport_writer *writer)
{
    if (writer->overflow)
        return;
    store(writer->at + writer->passport, writer->length - writer->passport - 4, 4);
    writer->count++;
}

void passport_undo(struct passport_writer *writer)
{
    writer->length = writer->passport;
    writer->overflow = 0;
}

void *passport_put_space(struct passport_writer *writer, unsigned tag, enum passport_flag flag, size_t length)
{
    unsigned char *at;

    MUST(tag < PASSPORT_TAGS);
    if (length > UINT32_MAX || !(at = grow(writer, PASSPORT_FIELD_HEAD + length))) {
        writer->overflow = 1;
        return NULL;
    }
    store(at, tag, 2);
    store(at + 2, flag, 2);
    store(at + 4, length, 4);
    return at + PASSPORT_FIELD_HEAD;
}

void passport_put(struct passport_writer *writer, unsigned tag, enum passport_flag flag, struct slice value)
{
    void *at = passport_put_space(writer, tag, flag, value.length);

    if (at && value.length)
        memcpy(at, value.at, value.length);
}

void passport_put_number(struct passport_writer *writer, unsigned tag, enum passport_flag flag,
                         uint64_t value)
{
    unsigned char *at = passport_put_space(writer, tag, flag, 8);

    if (at)
        store(at, value, 8);
}

size_t passport_batch_end(struct passport_writer *writer, uint64_t batch, uint32_t descriptors)
{
    if (writer->overflow || writer->count > PASSPORTS_MAX || writer->length > UINT32_MAX)
        return 0;
    store(writer->at, PASSPORT_MAGIC, 4);
    store(writer->at + 4, PASSPORT_VERSION, 2);
    store(writer->at + 6, writer->count, 2);
    store(writer->at + 8, writer->length, 4);
    store(writer->at + 12, descriptors, 4);
    store(writer->at + 16, batch, 8);
    return writer->length;
}

/* --- reading --- */

struct field {
    unsigned tag, flags;
    struct slice value;
};

/* The field at `from`, and where the next one begins; 0: it does not lie inside. */
static size_t field_at(const struct passport *passport, size_t from, struct field *field)
{
    const unsigned char *at = passport->at + from;
    const size_t left = passport->length - from;
    uint64_t length;

    if (left < PASSPORT_FIELD_HEAD)
        return 0;
    length = load(at + 4, 4);
    if (length > left - PASSPORT_FIELD_HEAD)
        return 0;
    *field = (struct field){(unsigned)load(at, 2), (unsigned)load(at + 2, 2),
                            (struct slice){(const char *)at + PASSPORT_FIELD_HEAD, (size_t)length}};
    return from + PASSPORT_FIELD_HEAD + (size_t)length;
}

/* 1 if the fields fill it, and no tag that anybody can know comes twice. */
static int is_whole(const struct passport *passport)
{
    uint64_t seen[PASSPORT_TAGS / 64] = {0};
    struct field field;

    for (size_t at = 0; at < passport->length;) {
        at = field_at(passport, at, &field);
        if (!at)
            return 0;
        if (field.tag >= PASSPORT_TAGS)
            continue;
        if (seen[field.tag / 64] >> field.tag % 64 & 1)
            return 0;
        seen[field.tag / 64] |= 1ULL << field.tag % 64;
    }
    return 1;
}

int passport_batch_next(struct passport_batch *batch, struct passport *passport)
{
    const size_t left = batch->length - batch->next;
    uint64_t length;

    if (left < 4)
        return 0;
    length = load(batch->at + batch->next, 4);
    if (length > left - 4)
        return 0;
    *passport = (struct passport){batch->at + batch->next + 4, (size_t)length};
    batch->next += 4 + (size_t)length;
    return 1;
}

int passport_batch_open(struct passport_batch *batch, const void *bytes, size_t length)
{
    const unsigned char *at = bytes;
    struct passport passport;
    uint32_t count = 0;

    *batch = (struct passport_batch){.at = bytes};
    if (length < PASSPORT_BATCH_HEAD || load(at, 4) != PASSPORT_MAGIC)
        return ERR_PROTOCOL;
    if (load(at + 4, 2) != PASSPORT_VERSION)
        return ERR_VERSION;
    batch->length = (size_t)load(at + 8, 4);
    batch->count = (uint32_t)load(at + 6, 2);
    batch->descriptors = (uint32_t)load(at + 12, 4);
    batch->number = load(at + 16, 8);
    if (batch->length > length || batch->length < PASSPORT_BATCH_HEAD || batch->count > PASSPORTS_MAX)
        return ERR_PROTOCOL;
    batch->next = PASSPORT_BATCH_HEAD;
    while (passport_batch_next(batch, &passport)) {
        if (!is_whole(&passport))
            return ERR_PROTOCOL;
        count++;
    }
    if (count != batch->count || batch->next != batch->length)
        return ERR_PROTOCOL;
    batch->next = PASSPORT_BATCH_HEAD;
    return 0;
}

int passport_get(const struct passport *passport, unsigned tag, struct slice *value)
{
    struct field field;

    for (size_t at = 0; at < passport->length;) {
        at = field_at(passport, at, &field);
        if (!at)
            break;
        if (field.tag == tag) {
            *value = field.value;
            return 1;
        }
    }
    *value = (struct slice){"", 0};
    return 0;
}

int passport_get_number(const struct passport *passport, unsigned tag, uint64_t missing, uint64_t *value)
{
    struct slice bytes;

    *value = missing;
    if (!passport_get(passport, tag, &bytes))
        return 0;
    if (bytes.length != 8)
        return ERR_PROTOCOL;
    *value = load((const unsigned char *)bytes.at, 8);
    return 0;
}

int passport_understand(const struct passport *passport, struct passport_known known)
{
    struct field field;

    for (size_t at = 0; at < passport->length;) {
        at = field_at(passport, at, &field);
        if (!at)
            return ERR_UNSUPPORTED;
        if (!(field.flags & PASSPORT_REQUIRED))
            continue;
        if (field.tag >= PASSPORT_TAGS ||
            !((field.tag < PASSPORT_CLASS_TAGS ? known.core : known.class) >> field.tag % 64 & 1))
            return ERR_UNSUPPORTED;
    }
    return 0;
}
