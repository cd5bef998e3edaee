/* The first bytes of a connection. Checked: nothing outside of them is read; whoever gets the bytes one by one finds the same
 * as whoever gets them at once; what is accepted is made and read again the same. */
#include "proto/proxy_protocol.h"

#include "base/assert.h"
#include "own.h"

#include <stdlib.h>
#include <string.h>

#define SIZE_LIMIT 8192

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

static void must_lie_in(struct slice value, const char *bytes, size_t length)
{
    MUST(!value.length || (value.at >= bytes && value.length <= length &&
                           (size_t)(value.at - bytes) <= length - value.length));
}

static void must_come_back(const struct proxy_protocol_header *header)
{
    char made[PROXY_PROTOCOL_MADE_MAX];
    const size_t size = proxy_protocol_make(header, made);
    struct proxy_protocol_header again;
    enum proxy_protocol_refusal refusal;
    size_t length;

    MUST(!proxy_protocol_parse(made, size, &again, &length, &refusal) && length == size);
    MUST(again.version == header->version && again.is_local == header->is_local);
    if (header->family != PROXY_PROTOCOL_UNIX)
        MUST(again.family == header->family && !memcmp(again.source, header->source, 16) &&
             !memcmp(again.destination, header->destination, 16) &&
             again.source_port == header->source_port && again.destination_port == header->destination_port);
}

/* The first prefix that says something else than "more". */
static int parse_in_pieces(const char *bytes, size_t size, size_t *length)
{
    struct proxy_protocol_header header;
    enum proxy_protocol_refusal refusal;
    int result = ERR_PARTIAL;

    for (size_t given = 0; given <= size && result == ERR_PARTIAL; given++)
        result = proxy_protocol_parse(bytes, given, &header, length, &refusal);
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    struct proxy_protocol_header header;
    enum proxy_protocol_refusal refusal;
    size_t length, length_of_pieces;
    char *bytes;
    int result;

    if (size > SIZE_LIMIT)
        return 0;
    bytes = own_copy(input, size);
    result = proxy_protocol_parse(bytes, size, &header, &length, &refusal);
    MUST(result == 0 || result == ERR_SYNTAX || result == ERR_PARTIAL);
    MUST((result == ERR_SYNTAX) == (refusal != PROXY_PROTOCOL_REFUSE_NOTHING));
    MUST(result != ERR_PARTIAL || size < PROXY_PROTOCOL_MAX);
    MUST(parse_in_pieces(bytes, size, &length_of_pieces) == result);
    if (result == 0) {
        MUST(length == length_of_pieces && length <= size && length <= PROXY_PROTOCOL_MAX);
        must_lie_in(header.alpn, bytes, length);
        must_lie_in(header.authority, bytes, length);
        must_lie_in(header.unique_id, bytes, length);
        must_come_back(&header);
    }
    free(bytes);
    return 0;
}
