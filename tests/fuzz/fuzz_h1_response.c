/* The head of a response: the first byte says where the rest is split on its way in and whether the request
 * was HEAD, the rest are the bytes. Checked: the split makes no difference; what is accepted lies inside the
 * bytes and frames its body in one way; written out again from its parts it means the same. */
#include "proto/h1_response.h"

#include "base/assert.h"
#include "own.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIMIT 4096

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

static int find_end(const char *bytes, uint32_t length, uint32_t split, uint32_t *head_length)
{
    uint32_t scanned = 0;
    int answer = h1_response_find_end(bytes, split, LIMIT, &scanned, head_length);
    MUST(scanned <= split);
    if (answer == ERR_PARTIAL && split < length)
        answer = h1_response_find_end(bytes, length, LIMIT, &scanned, head_length);
    return answer;
}

static void must_be_inside(struct slice slice, const char *bytes, uint32_t length)
{
    MUST(slice.length == 0 || (slice.at >= bytes && slice.at + slice.length <= bytes + length));
    for (size_t i = 0; i < slice.length; i++)
        MUST(slice.at[i] != '\0' && slice.at[i] != '\r' && slice.at[i] != '\n');
}

static void must_be_sound(const struct h1_response *response, int is_head, const char *bytes, uint32_t length)
{
    must_be_inside(response->phrase, bytes, length);
    MUST(response->field_count <= H1_FIELDS_MAX);
    for (uint32_t i = 0; i < response->field_count; i++) {
        must_be_inside(response->fields[i].name, bytes, length);
        must_be_inside(response->fields[i].value, bytes, length);
        MUST(response->fields[i].name.length > 0);
        (void)h1_hop_by_hop(response->fields, response->field_count, response->fields[i].name);
    }
    MUST(response->status >= 100 && response->status <= 999);
    MUST(!response->chunked || (response->content_length == -1 && response->version_minor == 1));
    MUST((response->body == H1_BODY_CHUNKED) <= response->chunked);
    MUST(response->body != H1_BODY_LENGTH || response->content_length > 0);
    MUST(response->body != H1_BODY_TO_END || (!response->keep_alive && response->content_length == -1));
    if (is_head || response->status < 200 || response->status == 204 || response->status == 304)
        MUST(response->body == H1_BODY_NONE);
    else
        MUST(response->body != H1_BODY_NONE || response->content_length == 0);
}

/* The same head in one canonical way of writing it; *text has room for twice the bytes. */
static uint32_t write_again(const struct h1_response *response, char *text)
{
    int at = sprintf(text, "HTTP/1.%d %d %.*s\r\n", response->version_minor, response->status,
                     (int)response->phrase.length, response->phrase.at ? response->phrase.at : "");
    for (uint32_t i = 0; i < response->field_count; i++) {
        const struct h1_field *field = &response->fields[i];
        at += sprintf(text + at, "%.*s: %.*s\r\n", (int)field->name.length, field->name.at,
                      (int)field->value.length, field->value.at);
    }
    return (uint32_t)(at + sprintf(text + at, "\r\n"));
}

static void check_accepted(const struct h1_response *response, int is_head)
{
    static struct h1_response again;
    static char text[2 * LIMIT + 64];
    enum h1_refusal refusal;
    uint32_t length = write_again(response, text);
    MUST(h1_response_parse(text, length, is_head, &again, &refusal) == 0);
    MUST(again.status == response->status && again.version_minor == response->version_minor);
    MUST(again.content_length == response->content_length && again.chunked == response->chunked);
    MUST(again.body == response->body && again.keep_alive == response->keep_alive);
    MUST(again.is_upgrade == response->is_upgrade && again.field_count == response->field_count);
    MUST(slice_equals(again.phrase, response->phrase));
    for (uint32_t i = 0; i < again.field_count; i++)
        MUST(slice_equals(again.fields[i].value, response->fields[i].value));
}

static void check(const char *bytes, uint32_t length, uint32_t split, int is_head)
{
    static struct h1_response response;
    enum h1_refusal refusal;
    uint32_t whole_length = 0, split_length = 0;
    int whole = find_end(bytes, length, length, &whole_length);
    MUST(find_end(bytes, length, split, &split_length) == whole && split_length == whole_length);
    if (whole == ERR_SYNTAX || whole == ERR_LIMIT)
        MUST(h1_response_explain(bytes, length, LIMIT) != H1_REFUSE_NOTHING);
    if (whole == 0 && h1_response_parse(bytes, whole_length, is_head, &response, &refusal) == 0) {
        must_be_sound(&response, is_head, bytes, whole_length);
        check_accepted(&response, is_head);
    }
    /* Without the search before it, the parser must be safe all the same, and not accept more. */
    if (h1_response_parse(bytes, length, is_head, &response, &refusal) == 0 && length <= LIMIT)
        MUST(whole == 0 && whole_length == length);
    else if (length <= LIMIT)
        MUST(refusal != H1_REFUSE_NOTHING);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    if (size < 1 || size > 2 * LIMIT)
        return 0;
    uint32_t length = (uint32_t)size - 1;
    char *bytes = own_copy(input + 1, length);
    check(bytes, length, length > 0 ? (input[0] >> 1) % (length + 1) : 0, input[0] & 1);
    free(bytes);
    return 0;
}
