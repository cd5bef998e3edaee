/* A request head: the first byte says where the rest is split on its way in, the rest are the bytes.
 * Checked: the split makes no difference; what is accepted lies inside the bytes and obeys the grammar;
 * written out again from its parts it means the same; its path is decoded without harm. */
#include "proto/h1.h"

#include "base/assert.h"
#include "own.h"

#include <stdlib.h>
#include <string.h>

#define LIMIT 4096

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

static int find_end(const char *bytes, uint32_t length, uint32_t split, uint32_t *head_length)
{
    uint32_t scanned = 0;
    int answer = h1_head_find_end(bytes, split, LIMIT, &scanned, head_length);
    MUST(scanned <= split);
    if (answer == ERR_PARTIAL && split < length)
        answer = h1_head_find_end(bytes, length, LIMIT, &scanned, head_length);
    return answer;
}

static void must_be_inside(struct slice slice, const char *bytes, uint32_t length)
{
    MUST(slice.length == 0 || (slice.at >= bytes && slice.at + slice.length <= bytes + length));
    for (size_t i = 0; i < slice.length; i++)
        MUST(slice.at[i] != '\0' && slice.at[i] != '\r' && slice.at[i] != '\n');
}

static void must_be_sound(const struct h1_head *head, const char *bytes, uint32_t length)
{
    must_be_inside(head->method_text, bytes, length);
    must_be_inside(head->target, bytes, length);
    must_be_inside(head->query, bytes, length);
    must_be_inside(head->host, bytes, length);
    MUST(head->field_count <= H1_FIELDS_MAX);
    for (uint32_t i = 0; i < head->field_count; i++) {
        must_be_inside(head->fields[i].name, bytes, length);
        must_be_inside(head->fields[i].value, bytes, length);
        MUST(head->fields[i].name.length > 0);
    }
    MUST(head->version_minor == 0 || head->host.length > 0);
    MUST(!head->chunked || (head->content_length == -1 && head->version_minor == 1));
    MUST(head->has_body == (head->chunked || head->content_length > 0));
    MUST(!head->expect_continue || head->has_body);
    MUST(memchr(head->path.at ? head->path.at : "", '?', head->path.length) == NULL);
}

static void add(char **at, struct slice slice)
{
    if (slice.length > 0)
        memcpy(*at, slice.at, slice.length);
    *at += slice.length;
}

/* The same head in one canonical way of writing it; *text has room for twice the bytes. */
static uint32_t write_again(const struct h1_head *head, char *text)
{
    char *at = text;
    add(&at, head->method_text);
    add(&at, SLICE_LITERAL(" "));
    add(&at, head->target);
    add(&at, head->version_minor ? SLICE_LITERAL(" HTTP/1.1\r\n") : SLICE_LITERAL(" HTTP/1.0\r\n"));
    for (uint32_t i = 0; i < head->field_count; i++) {
        add(&at, head->fields[i].name);
        add(&at, SLICE_LITERAL(": "));
        add(&at, head->fields[i].value);
        add(&at, SLICE_LITERAL("\r\n"));
    }
    add(&at, SLICE_LITERAL("\r\n"));
    return (uint32_t)(at - text);
}

static void must_mean_the_same(const struct h1_head *a, const struct h1_head *b)
{
    MUST(a->method == b->method && a->form == b->form && a->version_minor == b->version_minor);
    MUST(slice_equals(a->path, b->path) && slice_equals(a->query, b->query) && a->has_query == b->has_query);
    MUST(slice_equals(a->host, b->host) && a->host_port == b->host_port);
    MUST(a->content_length == b->content_length && a->chunked == b->chunked &&
         a->keep_alive == b->keep_alive);
    MUST(a->expect_continue == b->expect_continue && a->wants_upgrade == b->wants_upgrade);
    MUST(a->field_count == b->field_count);
    for (uint32_t i = 0; i < a->field_count; i++)
        MUST(slice_equals(a->fields[i].value, b->fields[i].value));
}

static void check_accepted(const struct h1_head *head, const char *bytes, uint32_t length)
{
    static struct h1_head again;
    char text[2 * LIMIT + 64], path[LIMIT + 1];
    enum h1_refusal refusal;
    uint32_t written, path_length;
    must_be_sound(head, bytes, length);
    written = write_again(head, text);
    MUST(h1_head_parse(text, written, &again, &refusal) == 0);
    must_mean_the_same(head, &again);
    if (head->path.length > 0 && h1_path_decode(head->path, path, sizeof(path), &path_length) == 0)
        MUST(path[0] == '/' && path_length <= head->path.length);
}

static void check(const char *bytes, uint32_t length, uint32_t split)
{
    static struct h1_head head;
    enum h1_refusal refusal;
    uint32_t whole_length = 0, split_length = 0;
    int whole = find_end(bytes, length, length, &whole_length);
    MUST(find_end(bytes, length, split, &split_length) == whole && split_length == whole_length);
    if (whole == ERR_SYNTAX || whole == ERR_LIMIT)
        MUST(h1_head_explain(bytes, length, LIMIT) != H1_REFUSE_NOTHING);
    if (whole == 0 && h1_head_parse(bytes, whole_length, &head, &refusal) == 0)
        check_accepted(&head, bytes, whole_length);
    /* Without the search before it, the parser must be safe all the same, and not accept more. */
    if (h1_head_parse(bytes, length, &head, &refusal) == 0 && length <= LIMIT)
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
    check(bytes, length, length > 0 ? input[0] % (length + 1) : 0);
    free(bytes);
    return 0;
}
