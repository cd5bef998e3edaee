#include "proto/dns_message.h"

#include <string.h>

#define HEADER_BYTES 12
#define NAME_BYTES_MAX 255 /* RFC 1035 section 2.3.4 */

#define FLAG_RESPONSE 0x8000u
#define FLAGS_OPCODE 0x7800u
#define FLAG_CUT 0x0200u
#define FLAGS_RCODE 0x000fu

struct reader {
    const uint8_t *bytes;
    uint32_t length, at;
};

/* What every record begins with; its data is [data, data + length) of the message. */
struct record {
    char name[DNS_NAME_CAPACITY];
    uint16_t type, class, length;
    uint32_t ttl, data;
};

static int read_u16(struct reader *reader, uint16_t *value)
{
    if (reader->length - reader->at < 2)
        return ERR_SYNTAX;
    *value = (uint16_t)(reader->bytes[reader->at] << 8 | reader->bytes[reader->at + 1]);
    reader->at += 2;
    return 0;
}

/* Adds a label and a dot to the text. */
static int add_label(struct reader *reader, uint8_t length, char *name, uint32_t *used)
{
    if (reader->length - reader->at < length || *used + length + 1u >= NAME_BYTES_MAX)
        return ERR_SYNTAX;
    for (uint8_t i = 0; i < length; i++) {
        uint8_t byte = reader->bytes[reader->at++];
        if (byte <= ' ' || byte >= 0x7f || byte == '.' || byte == '\\')
            return ERR_SYNTAX;
        name[(*used)++] = (char)byte;
    }
    name[(*used)++] = '.';
    return 0;
}

/* Reads a name; *name is text without the final dot, empty for the root. */
static int read_name(struct reader *reader, char name[DNS_NAME_CAPACITY])
{
    struct reader part = *reader;
    uint32_t used = 0, start = part.at; /* start: of the part that is being read */
    int jumped = 0;
    for (;;) {
        if (part.at >= part.length)
            return ERR_SYNTAX;
        uint8_t length = part.bytes[part.at++];
        if ((length & 0xc0) == 0xc0) {
            if (part.at >= part.length)
                return ERR_SYNTAX;
            uint32_t target = (length & 0x3fu) << 8 | part.bytes[part.at++];
            if (target >= start || target < HEADER_BYTES)
                return ERR_SYNTAX;
            if (!jumped)
                reader->at = part.at;
            jumped = 1;
            part.at = start = target;
        } else if (length > 63) {
            return ERR_SYNTAX;
        } else if (length == 0) {
            break;
        } else if (add_label(&part, length, name, &used) != 0) {
            return ERR_SYNTAX;
        }
    }
    if (!jumped)
        reader->at = part.at;
    name[used > 0 ? used - 1 : 0] = '\0';
    return 0;
}

static int is_name(const char *name, struct slice other)
{
    return slice_equals_nocase(slice_of(name), other);
}

static int read_question(struct reader *reader, struct slice name, enum dns_type type)
{
    char asked[DNS_NAME_CAPACITY];
    uint16_t asked_type, asked_class;
    if (read_name(reader, asked) != 0 || read_u16(reader, &asked_type) != 0 ||
        read_u16(reader, &asked_class) != 0)
        return ERR_SYNTAX;
    return is_name(asked, name) && asked_type == type && asked_class == DNS_CLASS_IN ? 0 : ERR_INVALID;
}

static int read_record(struct reader *reader, struct record *record)
{
    uint16_t high, low;
    if (read_name(reader, record->name) != 0 || read_u16(reader, &record->type) != 0 ||
        read_u16(reader, &record->class) != 0 || read_u16(reader, &high) != 0 ||
        read_u16(reader, &low) != 0 || read_u16(reader, &record->length) != 0 ||
        reader->length - reader->at < record->length)
        return ERR_SYNTAX;
    record->ttl = high & 0x8000 ? 0 : (uint32_t)high << 16 | low;
    record->data = reader->at;
    reader->at += record->length;
    return 0;
}

/* Reads a name that fills the data of a record from `skip` bytes on. */
static int read_data_name(const struct reader *reader, const struct record *record, uint32_t skip,
                          char name[DNS_NAME_CAPACITY])
{
    struct reader data = {reader->bytes, record->data + record->length, record->data + skip};
    if (record->length < skip || read_name(&data, name) != 0)
        return ERR_SYNTAX;
    return data.at == data.length ? 0 : ERR_SYNTAX;
}

static int take_service(const struct reader *reader, const struct record *record, struct dns_record *out)
{
    struct reader data = {reader->bytes, record->data + record->length, record->data};
    if (read_u16(&data, &out->priority) != 0 || read_u16(&data, &out->weight) != 0 ||
        read_u16(&data, &out->port) != 0)
        return ERR_SYNTAX;
    return read_data_name(reader, record, 6, out->target);
}

/* The data of a record of the type that was asked for. */
static int take_data(const struct reader *reader, const struct record *record, struct dns_answer *answer)
{
    struct dns_record spare,
        *out = answer->count < DNS_RECORDS_MAX ? &answer->records[answer->count] : &spare;
    int error = 0;
    memset(out, 0, sizeof(*out));
    if (record->type == DNS_SRV)
        error = take_service(reader, record, out);
    else if (record->length == (record->type == DNS_A ? 4 : 16))
        memcpy(out->address, reader->bytes + record->data, record->length);
    else
        error = ERR_SYNTAX;
    answer->count += out != &spare;
    return error;
}

/* Takes all records of `name`. If it has none but an alias, that is the next *name. 1: the alias; 0: no
 * alias. */
static int take_records(struct reader reader, uint16_t records, enum dns_type type,
                        char name[DNS_NAME_CAPACITY], struct dns_answer *answer)
{
    char alias[DNS_NAME_CAPACITY];
    int has_alias = 0;
    for (uint16_t i = 0; i < records; i++) {
        struct record record;
        int error = read_record(&reader, &record);
        if (error != 0)
            return error;
        if (record.class != DNS_CLASS_IN || !is_name(record.name, slice_of(name)))
            continue;
        if (record.type == type)
            error = take_data(&reader, &record, answer);
        else if (record.type != DNS_CNAME)
            continue;
        else if (has_alias) /* a name has one alias at most, RFC 2181 section 10.1 */
            return ERR_SYNTAX;
        else
            error = read_data_name(&reader, &record, 0, alias);
        if (error != 0)
            return error;
        has_alias |= record.type == DNS_CNAME;
        answer->ttl_s = record.ttl < answer->ttl_s ? record.ttl : answer->ttl_s;
    }
    if (has_alias && answer->count > 0) /* a name with an alias has nothing else, RFC 1034 section 3.6.2 */
        return ERR_SYNTAX;
    if (has_alias)
        memcpy(name, alias, sizeof(alias));
    return has_alias;
}

static int take_answers(const struct reader *reader, uint16_t records, struct slice asked, enum dns_type type,
                        struct dns_answer *answer)
{
    char name[DNS_NAME_CAPACITY] = {0};
    int result = 1;
    memcpy(name, asked.at, asked.length);
    answer->ttl_s = INT32_MAX;
    for (int links = 0; result == 1; links++) {
        if (links > DNS_CHAIN_MAX)
            return ERR_SYNTAX; /* a circle, or as good as one */
        result = take_records(*reader, records, type, name, answer);
    }
    if (answer->count == 0)
        answer->ttl_s = 0;
    return result;
}

int dns_answer_parse(const uint8_t *bytes, uint32_t length, struct slice name, enum dns_type type,
                     struct dns_answer *answer)
{
    struct reader reader = {bytes, length, 2};
    uint16_t flags, questions, answers;
    memset(answer, 0, offsetof(struct dns_answer, records));
    if (name.length > 0 && name.at[name.length - 1] == '.')
        name.length--;
    if (length < HEADER_BYTES || read_u16(&reader, &flags) != 0 || read_u16(&reader, &questions) != 0 ||
        read_u16(&reader, &answers) != 0)
        return ERR_SYNTAX;
    reader.at = HEADER_BYTES;
    answer->rcode = flags & FLAGS_RCODE;
    if (!(flags & FLAG_RESPONSE) || (flags & FLAGS_OPCODE))
        return ERR_INVALID;
    if (questions == 0 && answer->rcode != DNS_NO_ERROR) /* a server that could not even read the question */
        return 0;
    if (questions != 1)
        return ERR_INVALID;
    int error = read_question(&reader, name, type);
    if (error != 0)
        return error;
    answer->is_cut = (flags & FLAG_CUT) != 0;
    if (answer->rcode != DNS_NO_ERROR || answer->is_cut)
        return 0;
    return take_answers(&reader, answers, name, type, answer);
}
