/* A response on its way through the proxy: the first byte says what the request was, the rest is the server's head. Checked of
 * what the client gets: our own parser accepts it; status, phrase and the end of the body are the server's, as far as the
 * client's version can say so; there is no field of the server's connection, none that the server did not send and we do not
 * write, and none of ours twice. */
#include "handler/proxy/response_text.h"

#include "base/assert.h"
#include "own.h"

#include <stdlib.h>
#include <string.h>

#define LIMIT 4096
#define OURS_MAX 8 /* fields that we add */

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

enum option { HEAD_REQUEST = 1, HTTP_1_0 = 2, CLOSES = 4 };

static unsigned count_of(const struct h1_response *response, const char *name)
{
    unsigned count = 0;

    for (uint32_t i = 0; i < response->field_count; i++)
        count += (unsigned)slice_equals_nocase(response->fields[i].name, slice_of(name));
    return count;
}

static int has_field(const struct h1_response *response, const struct h1_field *field)
{
    for (uint32_t i = 0; i < response->field_count; i++)
        if (slice_equals(response->fields[i].name, field->name) &&
            slice_equals(response->fields[i].value, field->value))
            return 1;
    return 0;
}

static int is_written(const struct h1_field *field)
{
    static const char *const written[] = {"Content-Length", "Transfer-Encoding", "Connection", "Via", "Date",
                                          "Upgrade"};

    for (size_t i = 0; i < sizeof written / sizeof *written; i++)
        if (slice_equals_nocase(field->name, slice_of(written[i])))
            return 1;
    return 0;
}

static void check_fields(const struct h1_response *server, const struct h1_response *sent)
{
    static const char *const once[] = {"Content-Length", "Transfer-Encoding", "Connection", "Upgrade"};
    static const char *const never[] = {"Keep-Alive", "Proxy-Connection", "TE"};

    for (size_t i = 0; i < sizeof once / sizeof *once; i++)
        MUST(count_of(sent, once[i]) <= 1);
    for (size_t i = 0; i < sizeof never / sizeof *never; i++)
        MUST(count_of(sent, never[i]) == 0);
    for (uint32_t i = 0; i < sent->field_count; i++)
        MUST(is_written(&sent->fields[i]) ||
             (has_field(server, &sent->fields[i]) &&
              !h1_hop_by_hop(server->fields, server->field_count, sent->fields[i].name)));
    for (uint32_t i = 0; i < server->field_count; i++)
        if (slice_equals_nocase(server->fields[i].name, slice_of("Set-Cookie")))
            MUST(has_field(sent, &server->fields[i]));
}

/* 0 if there are more fields than our parser takes. */
static int parse_again(const struct h1_response *server, const struct text *out, int is_head,
                       struct h1_response *sent)
{
    enum h1_refusal refusal;
    uint32_t scanned = 0, length;

    MUST(!h1_response_find_end(out->at, (uint32_t)out->length, 8 * LIMIT, &scanned, &length));
    MUST(length == out->length); /* nothing stands behind it */
    if (h1_response_parse(out->at, length, is_head, sent, &refusal)) {
        MUST(refusal == H1_REFUSE_FIELDS_TOO_MANY && server->field_count + OURS_MAX > H1_FIELDS_MAX);
        return 0;
    }
    MUST(sent->status == server->status && slice_equals(sent->phrase, server->phrase));
    MUST(sent->version_minor == 1);
    check_fields(server, sent);
    return 1;
}

static void check_interim(const struct h1_response *server)
{
    static struct h1_response sent;
    static char memory[8 * LIMIT];
    struct text out;

    text_init(&out, memory, sizeof memory);
    MUST(!response_text_interim(server, &out));
    if (parse_again(server, &out, 0, &sent))
        MUST(sent.body == H1_BODY_NONE && !sent.is_upgrade && !count_of(&sent, "Connection"));
}

static void check_body(const struct h1_response *server, const struct h1_response *sent, unsigned options)
{
    switch (server->body) {
    case H1_BODY_NONE:
        MUST(sent->body == H1_BODY_NONE);
        MUST(!sent->chunked);
        if (server->status >= 200 && server->status != 204) /* RFC 9110 section 8.6 */
            MUST(sent->content_length == server->content_length);
        break;
    case H1_BODY_LENGTH:
        MUST(sent->body == H1_BODY_LENGTH && sent->content_length == server->content_length);
        break;
    case H1_BODY_CHUNKED:
    case H1_BODY_TO_END:
        MUST(sent->body == (options & HTTP_1_0 ? H1_BODY_TO_END : H1_BODY_CHUNKED));
        break;
    }
}

static void check_final(const struct h1_response *server, unsigned options)
{
    static struct h1_response sent;
    static char memory[8 * LIMIT], lines_memory[8 * LIMIT];
    const int is_1_0 = (options & HTTP_1_0) != 0;
    struct text out, lines;
    struct exchange_head_of head;
    struct respond_to to = {.date = slice_of("Sun, 06 Nov 1994 08:49:37 GMT"), .is_1_0 = is_1_0};
    int result;

    text_init(&out, memory, sizeof memory);
    text_init(&lines, lines_memory, sizeof lines_memory);
    if (server->status == 101)
        result = response_text_upgrade(server, &lines, &head);
    else
        result = response_text_final(server, is_1_0, &lines, &head);
    if (result == ERR_INVALID) {
        MUST(server->status == 101 && (!server->is_upgrade || !count_of(server, "Upgrade")));
        return;
    }
    MUST(!result);
    to.closes = options & CLOSES || head.framing == EXCHANGE_FRAMED_BY_END; /* response.c */
    MUST(!respond_head_make(&head, &to, &out));
    if (!parse_again(server, &out, (options & HEAD_REQUEST) != 0, &sent))
        return;
    check_body(server, &sent, options);
    MUST(count_of(&sent, "Date") >= 1 && sent.is_upgrade == (server->status == 101));
    MUST(count_of(&sent, "Upgrade") == (unsigned)(server->status == 101));
    if (server->status != 101 && sent.body != H1_BODY_TO_END)
        MUST(sent.keep_alive == !to.closes);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    static struct h1_response response;
    enum h1_refusal refusal;
    uint32_t scanned = 0, length = 0;
    char *bytes;

    if (size < 1 || size > LIMIT)
        return 0;
    bytes = own_copy(input + 1, size - 1);
    if (!h1_response_find_end(bytes, (uint32_t)size - 1, LIMIT, &scanned, &length) &&
        !h1_response_parse(bytes, length, input[0] & HEAD_REQUEST, &response, &refusal)) {
        if (response.status < 200 && response.status != 101)
            check_interim(&response);
        else
            check_final(&response, input[0]);
    }
    free(bytes);
    return 0;
}
