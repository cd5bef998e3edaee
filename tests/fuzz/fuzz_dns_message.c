/* An answer of a name server: the first byte says of which type, the rest are the bytes. The name that was
 * asked for is taken from the question, so that what follows it is reached. Checked: nothing outside the bytes
 * is read; what is accepted obeys the limits; the same bytes give the same answer. */
#include "proto/dns_message.h"

#include "base/assert.h"
#include "own.h"

#include <stdlib.h>
#include <string.h>

#define SIZE_LIMIT 65536

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

/* The question's name as text, if it is written without pointers. */
static struct slice asked_name(const uint8_t *bytes, uint32_t length, char name[DNS_NAME_CAPACITY])
{
    uint32_t at = 12, used = 0;
    while (at < length && bytes[at] > 0 && bytes[at] < 64 && at + bytes[at] < length &&
           used + bytes[at] + 2u < DNS_NAME_CAPACITY) {
        memcpy(name + used, bytes + at + 1, bytes[at]);
        used += bytes[at];
        name[used++] = '.';
        at += bytes[at] + 1u;
    }
    return (struct slice){name, used};
}

static void must_be_sound(const struct dns_answer *answer, enum dns_type type)
{
    MUST(answer->count <= DNS_RECORDS_MAX && answer->rcode < 16);
    MUST(answer->ttl_s <= INT32_MAX);
    MUST(answer->count == 0 || (answer->rcode == DNS_NO_ERROR && !answer->is_cut));
    for (uint32_t i = 0; i < answer->count; i++) {
        const char *target = answer->records[i].target;
        MUST(memchr(target, '\0', DNS_NAME_CAPACITY) != NULL);
        MUST(type == DNS_SRV || target[0] == '\0');
        for (const char *at = target; *at; at++)
            MUST(*at > ' ' && *at < 0x7f && *at != '\\');
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    static const enum dns_type types[] = {DNS_A, DNS_AAAA, DNS_SRV};
    static struct dns_answer answer, again;
    char name[DNS_NAME_CAPACITY];
    if (size < 1 || size > SIZE_LIMIT)
        return 0;
    uint32_t length = (uint32_t)size - 1;
    enum dns_type type = types[input[0] % 3];
    uint8_t *bytes = own_copy(input + 1, length);
    struct slice asked = asked_name(bytes, length, name);
    int result = dns_answer_parse(bytes, length, asked, type, &answer);
    MUST(result == 0 || result == ERR_SYNTAX || result == ERR_INVALID);
    if (result == 0) {
        must_be_sound(&answer, type);
        MUST(dns_answer_parse(bytes, length, asked, type, &again) == 0);
        MUST(again.count == answer.count && again.ttl_s == answer.ttl_s);
        MUST(memcmp(again.records, answer.records, answer.count * sizeof(answer.records[0])) == 0);
    }
    free(bytes);
    return 0;
}
