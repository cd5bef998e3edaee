/* Fields that decide what is answered: preconditions, Accept-Encoding, X-Request-Id, traceparent. Each line
 * of the input is one field: a letter for its name, then its value. The first byte also chooses the method.
 * Checked: whatever they say, the answer is one that the RFCs know, and it does not depend on what does not
 * matter. */
#include "base/assert.h"
#include "http/conditional.h"
#include "http/negotiate.h"
#include "http/request_id.h"
#include "http/traceparent.h"

#include <stdlib.h>
#include <string.h>

#define SIZE_LIMIT 4096

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

static const struct slice names[] = {
    SLICE_LITERAL("If-Match"),          SLICE_LITERAL("If-None-Match"),       SLICE_LITERAL("Range"),
    SLICE_LITERAL("If-Modified-Since"), SLICE_LITERAL("If-Unmodified-Since"), SLICE_LITERAL("If-Range"),
    SLICE_LITERAL("Accept-Encoding"),   SLICE_LITERAL("X-Request-Id"),        SLICE_LITERAL("traceparent"),
};

/* As a parser hands it over: a value has no line end, and no white space around it. */
static void add_line(struct h1_head *head, const char *line, size_t length)
{
    struct h1_field *field = &head->fields[head->field_count];

    if (length == 0 || head->field_count == H1_FIELDS_MAX)
        return;
    unsigned index = (unsigned char)line[0] % (sizeof(names) / sizeof(names[0]));
    for (line++, length--; length > 0 && (*line == ' ' || *line == '\t'); line++, length--)
        continue;
    while (length > 0 && (line[length - 1] == ' ' || line[length - 1] == '\t'))
        length--;
    char *value = malloc(length + !length);
    MUST(value != NULL);
    memcpy(value, line, length);
    field->name = names[index];
    field->value = (struct slice){value, length};
    head->field_count++;
}

static void check_conditional(const struct h1_head *head)
{
    static const char tag[] = "\"a\"";
    const struct conditional_resource resource = {SLICE_LITERAL(tag), 784111777, 1};
    struct conditional result = conditional_evaluate(head, &resource, 1767225600);
    int is_read = head->method == H1_GET || head->method == H1_HEAD;

    MUST(result.status == 0 || result.status == 412 || (result.status == 304 && is_read));
    MUST(result.range.length == 0 || (result.status == 0 && head->method == H1_GET));
}

static void check_coding(const struct h1_head *head)
{
    for (unsigned available = 1; available <= CODING_ALL; available++) {
        enum coding chosen = CODING_IDENTITY, alone;
        int answer = negotiate_coding(head, available, &chosen);
        MUST(answer == 0 || answer == ERR_NOT_FOUND);
        MUST(answer != 0 || (available & CODING_BIT(chosen)));
        if (answer == 0) /* what is chosen among several is acceptable without them */
            MUST(negotiate_coding(head, CODING_BIT(chosen), &alone) == 0 && alone == chosen);
        for (unsigned one = 0; answer != 0 && one < CODING_COUNT; one++)
            MUST(!(available & CODING_BIT(one)) || negotiate_coding(head, CODING_BIT(one), &alone) != 0);
    }
}

static void check_names(const struct h1_head *head)
{
    char id[REQUEST_ID_SIZE], text[TRACEPARENT_SIZE];
    struct traceparent chosen, again;

    (void)request_id_choose(head, 1, 2, id);
    MUST(strlen(id) <= REQUEST_ID_MAX && request_id_is_acceptable(slice_of(id)));
    (void)traceparent_choose(head, 0, 0, 3, &chosen);
    traceparent_write(&chosen, text);
    MUST(traceparent_parse(slice_of(text), &again) == 0);
    MUST(again.trace_high == chosen.trace_high && again.trace_low == chosen.trace_low);
    MUST(again.parent == 3 && again.flags == chosen.flags);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    static const enum h1_method methods[] = {H1_GET, H1_HEAD, H1_PUT};
    static struct h1_head head;
    const char *at = (const char *)input, *end = at + size;

    if (size == 0 || size > SIZE_LIMIT)
        return 0;
    head.field_count = 0;
    head.method = methods[(input[0] >> 4) % 3];
    while (at < end) {
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        line_end = line_end ? line_end : end;
        add_line(&head, at, (size_t)(line_end - at));
        at = line_end + (line_end < end);
    }
    check_conditional(&head);
    check_coding(&head);
    check_names(&head);
    for (uint32_t i = 0; i < head.field_count; i++)
        free((void *)(uintptr_t)head.fields[i].value.at);
    return 0;
}
