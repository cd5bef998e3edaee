/* A text as a template. Checked: refused with a message, or rendered to exactly its literal bytes and its values; no
 * value brings a control byte in; a byte less room never does; the names that are lent lie in the text. */
#include "http/template.h"

#include "base/assert.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

#define VALUE "v\r\n\x7f"
#define SHOWN "v???"

static void say(const void *context, enum template_value value, struct slice argument, struct text *out)
{
    size_t *count = *(size_t *const *)context;
    MUST((unsigned)value < TEMPLATE_VALUES);
    MUST((template_value_name(value)[strlen(template_value_name(value)) - 1] == '.') ==
         (argument.length > 0));
    ++*count;
    text_add_c(out, VALUE);
}

static void check_rendering(const struct template *template)
{
    size_t values = 0, *counter = &values;
    size_t literal = template_literal_length(template), capacity = literal + 4 * template->part_count + 1;
    char *memory = malloc(capacity);
    struct text out;
    MUST(memory != NULL);
    text_init(&out, memory, capacity);
    MUST(template_render(template, say, &counter, &out) == 0);
    MUST(out.length == literal + strlen(SHOWN) * values);
    MUST(template_is_constant(template) == (values == 0));
    size_t needed = out.length + 1;
    if (needed > 1) {
        text_init(&out, memory, needed - 1);
        MUST(template_render(template, say, &counter, &out) == ERR_NO_SPACE);
    }
    text_init(&out, memory, needed);
    MUST(template_render(template, say, &counter, &out) == 0);
    free(memory);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    struct storage storage = {0};
    struct template_mistake mistake;
    const struct template *template = NULL;
    char *bytes = malloc(size + !size);
    MUST(bytes != NULL);
    memcpy(bytes, input, size);
    int error = template_compile(&storage, (struct slice){bytes, size}, &template, &mistake);
    MUST(error == 0 || error == ERR_SYNTAX);
    if (error) {
        MUST(mistake.message[0] && memchr(mistake.message, '\0', sizeof mistake.message));
        MUST(!mistake.wanted.length ||
             (mistake.wanted.at >= bytes && mistake.wanted.at + mistake.wanted.length <= bytes + size));
    }
    free(bytes); /* a template lives on its own copy */
    if (!error)
        check_rendering(template);
    storage_fini(&storage);
    return 0;
}
