/* The reference of the directives, written from their tables. */
#include "conf/directive.h"

static void add_value_name(struct text *out, const struct directive_argument *argument)
{
    const char *joint = "";
    if (argument->kind == CONF_ON_OFF) {
        text_add_c(out, "on|off");
    } else if (argument->kind != CONF_CHOICE) {
        text_add_c(out, argument->name);
        joint = "|";
    }
    for (const char *const *word = argument->words; word && *word; word++) {
        text_add_f(out, "%s%s", joint, *word);
        joint = "|";
    }
    if (argument->repeat)
        text_add_c(out, "...");
}

static void add_argument(struct text *out, const struct directive_argument *argument)
{
    text_add_c(out, argument->optional ? " [" : " ");
    if (argument->keyword)
        text_add_c(out, argument->keyword);
    if (argument->kind != CONF_FLAG) {
        text_add_c(out, argument->keyword ? " " : "");
        add_value_name(out, argument);
    }
    text_add_c(out, argument->optional ? "]" : "");
}

void conf_format_usage(struct text *out, const struct directive *directive)
{
    text_add_c(out, directive->name);
    for (size_t i = 0; i < DIRECTIVE_ARGUMENTS_MAX && directive->arguments[i].kind != CONF_NOTHING; i++)
        add_argument(out, &directive->arguments[i]);
    if (directive->opens)
        text_add_c(out, directive->bare_block ? " [{ ... }]" : " { ... }");
}

static void describe_argument(const struct directive_argument *argument, FILE *out)
{
    char line[160];
    struct text text;
    int has_bounds = argument->max || argument->min;
    if (!has_bounds ||
        (argument->kind != CONF_COUNT && argument->kind != CONF_SIZE && argument->kind != CONF_DURATION))
        return;
    text_init(&text, line, sizeof line);
    void (*add)(struct text *, uint64_t) = argument->kind == CONF_DURATION ? conf_format_duration
                                           : argument->kind == CONF_SIZE   ? conf_format_size
                                                                           : text_add_u64;
    text_add_c(&text, argument->max ? "from " : "at least ");
    add(&text, argument->min);
    if (argument->max) {
        text_add_c(&text, " to ");
        add(&text, argument->max);
    }
    fprintf(out, "- %s: %s\n", argument->name, line);
}

static void describe_directive(const struct directive *directive, FILE *out)
{
    char usage[320];
    struct text text;
    text_init(&text, usage, sizeof usage);
    conf_format_usage(&text, directive);
    fprintf(out, "### `%s`\n\n%s\n\n", usage, directive->doc);
    for (size_t i = 0; i < DIRECTIVE_ARGUMENTS_MAX; i++)
        describe_argument(&directive->arguments[i], out);
    if (directive->default_text)
        fprintf(out, "- Default: %s\n", directive->default_text);
    if (directive->required && directive->unless)
        fprintf(out, "- Required, unless there is a `%s`. ", directive->unless);
    else
        fprintf(out, "- %s", directive->required ? "Required. " : "");
    fprintf(out, "%s\n", directive->repeat ? "May be given more than once." : "At most once.");
    if (directive->example)
        fprintf(out, "\n```\n%s\n```\n", directive->example);
    fputs("\n", out);
}

/* The first context that a directive stands in; its description stands there. */
static size_t home_of(const struct directive *directive)
{
    return (size_t)__builtin_ctz(directive->contexts);
}

typedef void (*visit_fn)(const struct directive *directive, FILE *out);

/* Visits what stands in a context: what is at home there, or the others. Returns how many. */
static size_t visit(const struct conf_grammar *grammar, size_t context, int at_home, visit_fn fn, FILE *out)
{
    size_t count = 0;
    for (size_t i = 0; i < grammar->table_count; i++) {
        const struct directive_table *table = grammar->tables[i];
        for (size_t k = 0; k < table->count; k++) {
            const struct directive *directive = &table->directives[k];
            if (!(directive->contexts >> context & 1u) || (home_of(directive) == context) != at_home)
                continue;
            count++;
            if (fn)
                fn(directive, out);
        }
    }
    return count;
}

static void name_directive(const struct directive *directive, FILE *out)
{
    fprintf(out, "- `%s`\n", directive->name);
}

void conf_describe(const struct conf_grammar *grammar, FILE *out)
{
    for (size_t context = 0; context < grammar->context_count; context++) {
        fprintf(out, "## %s %s\n\n", context ? "In" : "At", grammar->context_names[context]);
        visit(grammar, context, 1, describe_directive, out);
        if (!visit(grammar, context, 0, NULL, out))
            continue;
        fputs("These stand here, too, and mean what is said above:\n\n", out);
        visit(grammar, context, 0, name_directive, out);
        fputs("\n", out);
    }
}
