#include "http/template.h"

#include "base/assert.h"

#include <string.h>

static const struct {
    const char *name, *doc;
} values[TEMPLATE_VALUES] = {
#define TEMPLATE_VALUE_ROW(name, text, doc) {text, doc},
    TEMPLATE_VALUE_TABLE(TEMPLATE_VALUE_ROW)
#undef TEMPLATE_VALUE_ROW
};

const char *template_value_name(enum template_value value)
{
    MUST((unsigned)value < TEMPLATE_VALUES);
    return values[value].name;
}

const char *template_value_doc(enum template_value value)
{
    MUST((unsigned)value < TEMPLATE_VALUES);
    return values[value].doc;
}

/* --- compiling --- */

static int refuse(struct template_mistake *mistake, const char *hint, const char *before, struct slice what,
                  const char *after)
{
    struct text text;
    text_init(&text, mistake->message, sizeof mistake->message);
    text_add_c(&text, before);
    text_add(&text, (struct slice){what.at, what.length < 80 ? what.length : 80});
    text_add_c(&text, after);
    mistake->hint = hint;
    return ERR_SYNTAX;
}

/* RFC 9110 section 5.6.2, less strict about which marks: what no header can be called is simply never found. */
static int is_field_name(struct slice name)
{
    for (size_t i = 0; i < name.length; i++) {
        unsigned char c = (unsigned char)name.at[i];
        if (c <= ' ' || c >= 0x7f || c == ':')
            return 0;
    }
    return name.length > 0;
}

static int check_argument(enum template_value value, struct slice name, struct slice argument,
                          struct template_mistake *mistake)
{
    if (value == TEMPLATE_CAPTURE && (argument.length != 1 || argument.at[0] < '0' || argument.at[0] > '9'))
        return refuse(mistake, "such as {match.1}", "the group in {", name, "} is not a number from 0 to 9");
    if (value == TEMPLATE_REQUEST_HEADER && !is_field_name(argument))
        return refuse(mistake, "such as {request.header.User-Agent}", "{", name, "} names no header");
    if (value == TEMPLATE_QUERY_VALUE && !argument.length)
        return refuse(mistake, "such as {query.page}", "{", name, "} names no value of a query");
    return 0;
}

/* The inside of a pair of braces. */
static int compile_value(struct slice name, struct template_part *part, struct template_mistake *mistake)
{
    for (unsigned i = 0; i < TEMPLATE_VALUES; i++) {
        struct slice known = slice_of(values[i].name);
        int takes_argument = known.at[known.length - 1] == '.';
        if (takes_argument ? !slice_starts_with(name, known) : !slice_equals(name, known))
            continue;
        *part = (struct template_part){
            1, (enum template_value)i, {name.at + known.length, name.length - known.length}};
        return check_argument(part->value, name, part->text, mistake);
    }
    mistake->wanted = name;
    return refuse(mistake, "a literal brace is written twice: {{ and }}", "there is no value {", name, "}");
}

/* Takes the next part off the text. 0 or ERR_SYNTAX. */
static int compile_part(struct slice text, size_t *at, struct template_part *part,
                        struct template_mistake *mistake)
{
    const char *from = text.at + *at;
    size_t left = text.length - *at, length = 0;
    if (*from != '{' && *from != '}') {
        while (length < left && from[length] != '{' && from[length] != '}')
            length++;
        *part = (struct template_part){.text = {from, length}};
        *at += length;
        return 0;
    }
    if (left > 1 && from[1] == *from) { /* a doubled brace: one of the two is the literal */
        *part = (struct template_part){.text = {from, 1}};
        *at += 2;
        return 0;
    }
    if (*from == '}')
        return refuse(mistake, "a literal brace is written twice: }}", "there is a } without a {",
                      (struct slice){"", 0}, "");
    const char *end = memchr(from, '}', left);
    if (!end)
        return refuse(mistake, "a literal brace is written twice: {{", "there is a { without a }",
                      (struct slice){"", 0}, "");
    *at += (size_t)(end - from) + 1;
    return compile_value((struct slice){from + 1, (size_t)(end - from) - 1}, part, mistake);
}

int template_compile(struct storage *storage, struct slice text, const struct template **compiled,
                     struct template_mistake *mistake)
{
    *mistake = (struct template_mistake){.wanted = {"", 0}};
    if (text.length > TEMPLATE_LENGTH_MAX)
        return refuse(mistake, NULL, "the text is longer than 8192 bytes", (struct slice){"", 0}, "");
    struct slice copy = storage_copy(storage, text);
    struct template *made = storage_take(storage, sizeof *made);
    if (!copy.at || !made)
        return ERR_NO_MEMORY;
    size_t count = 0;
    struct template_part part;
    for (size_t at = 0; at < copy.length; count++) {
        int error = compile_part(copy, &at, &part, mistake);
        if (error) {
            if (mistake->wanted.length) /* lend it from the caller's text: the copy is the storage's */
                mistake->wanted.at = text.at + (mistake->wanted.at - copy.at);
            return error;
        }
    }
    struct template_part *parts = storage_take(storage, count * sizeof *parts);
    if (!parts)
        return ERR_NO_MEMORY;
    size_t at = 0;
    for (size_t i = 0; i < count; i++)
        MUST(compile_part(copy, &at, &parts[i], mistake) == 0);
    *made = (struct template){count, parts};
    *compiled = made;
    return 0;
}

/* --- rendering --- */

static void hide_control_bytes(struct text *out, size_t from)
{
    for (size_t i = from; i < out->length; i++) {
        if ((unsigned char)out->at[i] < 0x20 || out->at[i] == 0x7f)
            out->at[i] = '?';
    }
}

int template_render(const struct template *template, template_value_fn value_of, const void *context,
                    struct text *out)
{
    for (size_t i = 0; i < template->part_count && !out->overflow; i++) {
        const struct template_part *part = &template->parts[i];
        size_t before = out->length;
        if (!part->is_value) {
            text_add(out, part->text);
            continue;
        }
        value_of(context, part->value, part->text, out);
        hide_control_bytes(out, before);
    }
    return out->overflow ? ERR_NO_SPACE : 0;
}

int template_is_constant(const struct template *template)
{
    for (size_t i = 0; i < template->part_count; i++) {
        if (template->parts[i].is_value)
            return 0;
    }
    return 1;
}

size_t template_literal_length(const struct template *template)
{
    size_t length = 0;
    for (size_t i = 0; i < template->part_count; i++)
        length += template->parts[i].is_value ? 0 : template->parts[i].text.length;
    return length;
}

int template_highest_capture(const struct template *template)
{
    int highest = -1;
    for (size_t i = 0; i < template->part_count; i++) {
        const struct template_part *part = &template->parts[i];
        if (part->is_value && part->value == TEMPLATE_CAPTURE && part->text.at[0] - '0' > highest)
            highest = part->text.at[0] - '0';
    }
    return highest;
}
