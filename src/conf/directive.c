#include "conf/directive.h"

#include "conf/arguments.h"
#include "conf/suggest.h"

#include "base/assert.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* One walk. */
struct walk {
    const struct conf_grammar *grammar;
    struct diagnostics *diagnostics;
    struct conf_value
        *values;   /* owned; of the statement at hand: its callback has returned before the next needs them */
    int unapplied; /* how many of the enclosing statements are wrong */
};

static int walk_block(struct walk *walk, struct conf_node parent, int context, void *into);

/* Looking things up. Directives are numbered through all tables. */

static const struct directive *directive_at(const struct conf_grammar *grammar, size_t number)
{
    for (size_t i = 0; i < grammar->table_count; i++) {
        if (number < grammar->tables[i]->count)
            return &grammar->tables[i]->directives[number];
        number -= grammar->tables[i]->count;
    }
    return NULL;
}

static int stands_in(const struct directive *directive, int context)
{
    return (directive->contexts >> context & 1u) != 0;
}

static const struct directive *find(const struct conf_grammar *grammar, const char *name, int context,
                                    size_t *number)
{
    const struct directive *any = NULL, *directive;
    for (size_t i = 0; (directive = directive_at(grammar, i)); i++) {
        if (!stands_in(directive, context))
            continue;
        int wildcard = strcmp(directive->name, "*") == 0;
        if (!wildcard && strcmp(directive->name, name) != 0)
            continue;
        *number = i;
        if (!wildcard)
            return directive;
        any = directive;
    }
    return any;
}

/* Reports. */

static void report(struct walk *walk, struct conf_node node, const char *hint, const char *message)
{
    struct diagnostic_place place = {0};
    if (!diagnostics_full(walk->diagnostics))
        place = conf_place(node);
    diagnostics_add(walk->diagnostics, &place, hint, "%s", message);
}

/* The name is right, but not here: says where it belongs. */
static int report_misplaced(struct walk *walk, struct conf_node node, int context)
{
    const struct conf_grammar *grammar = walk->grammar;
    const struct directive *directive;
    for (size_t i = 0; (directive = directive_at(grammar, i)); i++) {
        if (strcmp(directive->name, conf_name(node)) != 0)
            continue;
        char message[256], hint[256];
        struct text text;
        text_init(&text, message, sizeof message);
        text_add_f(&text, "\"%s\" cannot stand %s %s", directive->name, context ? "in" : "at",
                   grammar->context_names[context]);
        text_init(&text, hint, sizeof hint);
        text_add_c(&text, "it belongs ");
        const char *joint = "";
        for (size_t k = 0; k < grammar->context_count; k++) {
            if (!stands_in(directive, (int)k))
                continue;
            text_add_f(&text, "%s%s %s", joint, k ? "in" : "at", grammar->context_names[k]);
            joint = " or ";
        }
        report(walk, node, hint, message);
        return 1;
    }
    return 0;
}

/* Who comes from another server writes its words. The directive for one, or NULL. */
static const struct directive *called_elsewhere(const struct conf_grammar *grammar, const char *name)
{
    const struct directive *directive;
    const size_t length = strlen(name);
    for (size_t i = 0; (directive = directive_at(grammar, i)); i++) {
        for (const char *word = directive->elsewhere; word && *word; word += strcspn(word, " ")) {
            word += strspn(word, " ");
            if (strcspn(word, " ") == length && memcmp(word, name, length) == 0)
                return directive;
        }
    }
    return NULL;
}

/* Returns the name that was probably meant, or NULL. */
static const char *report_unknown(struct walk *walk, struct conf_node node, int context)
{
    if (report_misplaced(walk, node, context))
        return NULL;
    const struct directive *directive;
    struct suggestion suggestion;
    suggestion_init(&suggestion, conf_name(node));
    for (size_t i = 0; (directive = directive_at(walk->grammar, i)); i++) {
        if (stands_in(directive, context) && strcmp(directive->name, "*") != 0)
            suggestion_offer(&suggestion, directive->name);
    }
    suggestion_offer(&suggestion, "include");
    char hint[160], message[256];
    struct text text;
    const struct directive *ours = called_elsewhere(walk->grammar, conf_name(node));
    text_init(&text, message, sizeof message);
    text_add_c(&text, "unknown directive \"");
    text_add(&text, (struct slice){conf_name(node), strnlen(conf_name(node), 200)});
    text_add_c(&text, "\"");
    if (ours)
        snprintf(hint, sizeof hint, "here that is \"%s\"", ours->name);
    report(walk, node, ours ? hint : suggestion_text(&suggestion, hint, sizeof hint), message);
    return ours ? ours->name : suggestion.best;
}

static void report_twice(struct walk *walk, struct conf_node node, struct conf_node first)
{
    char hint[600], message[160];
    struct text text;
    text_init(&text, hint, sizeof hint);
    text_add_f(&text, "it was given first in line %u", conf_line(first));
    if (strcmp(conf_file(first), conf_file(node)) != 0)
        text_add_f(&text, " of %s", conf_file(first));
    text_init(&text, message, sizeof message);
    text_add_f(&text, "\"%s\" is given twice", conf_name(node));
    report(walk, node, hint, message);
}

static void report_missing(struct walk *walk, struct conf_node parent, int context,
                           const struct directive *directive)
{
    char message[256], hint[320];
    struct text text;
    text_init(&text, message, sizeof message);
    if (context)
        text_add_f(&text, "this \"%s\" has no \"%s\"", conf_name(parent), directive->name);
    else
        text_add_f(&text, "there is no \"%s\"", directive->name);
    if (directive->unless)
        text_add_f(&text, " and no \"%s\"", directive->unless);
    text_init(&text, hint, sizeof hint);
    text_add_c(&text, "usage: ");
    conf_format_usage(&text, directive);
    report(walk, parent, hint, message);
}

static void report_block(struct walk *walk, struct conf_node node, const struct directive *directive)
{
    char message[160], hint[320];
    struct text text;
    text_init(&text, message, sizeof message);
    text_add_f(&text, "\"%s\" %s", conf_name(node), directive->opens ? "needs a block" : "has no block");
    text_init(&text, hint, sizeof hint);
    text_add_c(&text, "usage: ");
    conf_format_usage(&text, directive);
    report(walk, node, hint, message);
}

/* The walk. */

/* True if the statement's own words and block are right; `statement` then holds its values. */
static int take_words(struct walk *walk, struct conf_node node, const struct directive *directive,
                      struct conf_statement *statement)
{
    *statement =
        (struct conf_statement){.node = node, .directive = directive, .diagnostics = walk->diagnostics};
    if (conf_is_broken(node))
        return 0;
    size_t before = walk->diagnostics->count;
    arguments_match(statement, walk->values);
    if (conf_has_block(node) ? !directive->opens : directive->opens && !directive->bare_block)
        report_block(walk, node, directive);
    return walk->diagnostics->count == before;
}

static int walk_children(struct walk *walk, struct conf_statement *statement, void *child, int applied)
{
    if (!conf_has_block(statement->node) || !statement->directive->opens)
        return 0;
    walk->unapplied += !applied;
    int error = walk_block(walk, statement->node, statement->directive->opens, child);
    walk->unapplied -= !applied;
    return error;
}

static int walk_statement(struct walk *walk, struct conf_node node, const struct directive *directive,
                          void *into)
{
    struct conf_statement statement;
    void *child = NULL;
    int error = 0, applied = take_words(walk, node, directive, &statement) && !walk->unapplied;
    size_t before = walk->diagnostics->count;
    if (applied)
        error = directive->apply(into, &statement, &child);
    if (error)
        return error;
    applied = applied && walk->diagnostics->count == before;
    error = walk_children(walk, &statement, child, applied);
    if (error || !applied || !directive->finish)
        return error;
    arguments_match(&statement, walk->values); /* the children used the memory of the values */
    return directive->finish(child, &statement);
}

static int is_there(const struct walk *walk, const char *name, int context, const uint32_t *first_seen)
{
    size_t number = 0;
    return name && find(walk->grammar, name, context, &number) && first_seen[number];
}

static int walk_block(struct walk *walk, struct conf_node parent, int context, void *into)
{
    uint32_t first_seen[DIRECTIVES_MAX] = {0}; /* node numbers; 0, the root, stands for not seen */
    for (struct conf_node node = conf_first_child(parent); conf_node_exists(node); node = conf_next(node)) {
        size_t number = 0;
        const struct directive *directive = find(walk->grammar, conf_name(node), context, &number);
        if (!directive) {
            const char *meant = conf_is_broken(node) ? NULL : report_unknown(walk, node, context);
            if (meant && find(walk->grammar, meant, context, &number) && !first_seen[number])
                first_seen[number] = node.index; /* so that it is not said to be missing, too */
            continue;
        }
        if (first_seen[number] && !directive->repeat) {
            report_twice(walk, node, (struct conf_node){node.tree, first_seen[number]});
            continue;
        }
        first_seen[number] = first_seen[number] ? first_seen[number] : node.index;
        int error = walk_statement(walk, node, directive, into);
        if (error)
            return error;
    }
    const struct directive *directive;
    for (size_t i = 0; (directive = directive_at(walk->grammar, i)); i++) {
        if (directive->required && stands_in(directive, context) && !first_seen[i] &&
            !is_there(walk, directive->unless, context, first_seen))
            report_missing(walk, parent, context, directive);
    }
    return 0;
}

int conf_apply(const struct conf_tree *tree, const struct conf_grammar *grammar, void *into,
               struct diagnostics *diagnostics)
{
    size_t count = 0;
    for (size_t i = 0; i < grammar->table_count; i++)
        count += grammar->tables[i]->count;
    MUST(count <= DIRECTIVES_MAX && grammar->context_count <= DIRECTIVE_CONTEXTS_MAX);
    struct walk walk = {.grammar = grammar, .diagnostics = diagnostics};
    walk.values = calloc(CONF_ARGUMENTS_MAX, sizeof *walk.values);
    if (!walk.values)
        return ERR_NO_MEMORY;
    int error = walk_block(&walk, conf_root(tree), 0, into);
    free(walk.values);
    return error;
}

/* For callbacks. */

__attribute__((format(printf, 4, 0))) static void refuse_at(const struct conf_statement *statement,
                                                            const struct conf_value *value, const char *hint,
                                                            const char *format, va_list arguments)
{
    struct diagnostic_place place = {0};
    char message[512];
    if (diagnostics_full(statement->diagnostics))
        message[0] = '\0';
    else {
        place = value ? conf_arg_place(statement->node, value->index) : conf_place(statement->node);
        vsnprintf(message, sizeof message, format, arguments);
    }
    diagnostics_add(statement->diagnostics, &place, hint, "%s", message);
}

void conf_refuse(const struct conf_statement *statement, const char *hint, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    refuse_at(statement, NULL, hint, format, arguments);
    va_end(arguments);
}

void conf_refuse_value(const struct conf_statement *statement, const struct conf_value *value,
                       const char *hint, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    refuse_at(statement, value, hint, format, arguments);
    va_end(arguments);
}

const struct conf_value *conf_value(const struct conf_statement *statement, size_t argument)
{
    return statement->counts[argument] ? statement->values[argument] : NULL;
}

int conf_value_path(const struct conf_statement *statement, const struct conf_value *value, char *out,
                    size_t capacity)
{
    return conf_path_resolve(statement->node, value->text, out, capacity);
}
