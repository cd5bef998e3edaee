#include "conf/arguments.h"

#include "conf/suggest.h"

#include <limits.h>
#include <string.h>

struct match {
    struct conf_statement *statement;
    struct conf_value *values; /* borrowed */
    size_t used;               /* of them */
    size_t next;               /* word */
};

static const struct directive_argument *specification(const struct match *match, size_t number)
{
    const struct directive_argument *argument = &match->statement->directive->arguments[number];
    return number < DIRECTIVE_ARGUMENTS_MAX && argument->kind != CONF_NOTHING ? argument : NULL;
}

static size_t word_count(const struct match *match)
{
    return conf_arg_count(match->statement->node);
}

/* Reports about values. */

static void add_bound(struct text *out, enum conf_kind kind, uint64_t bound)
{
    if (kind == CONF_DURATION)
        conf_format_duration(out, bound);
    else if (kind == CONF_SIZE)
        conf_format_size(out, bound);
    else
        text_add_u64(out, bound);
}

static void add_words(struct text *out, const struct directive_argument *argument, const char *first_joint,
                      const char *other_joint)
{
    const char *joint = first_joint;
    for (const char *const *word = argument->words; word && *word; word++) {
        text_add_f(out, "%s\"%s\"", joint, *word);
        joint = other_joint;
    }
}

/* What an argument may be: "from 1 to 64, or "auto"". */
static void add_expected(struct text *out, const struct directive_argument *argument)
{
    if (argument->max) {
        text_add_c(out, "from ");
        add_bound(out, argument->kind, argument->min);
        text_add_c(out, " to ");
        add_bound(out, argument->kind, argument->max);
    } else if (argument->min) {
        text_add_c(out, "at least ");
        add_bound(out, argument->kind, argument->min);
    } else if (argument->kind == CONF_DURATION) {
        text_add_c(out, "a number and ms, s, m, h or d, such as 10s");
    } else if (argument->kind == CONF_SIZE) {
        text_add_c(out, "a number of bytes, or with k, m or g behind it");
    } else {
        text_add_c(out, "digits");
    }
    add_words(out, argument, ", or ", " or ");
}

/* The hint of a bad value: the word that was probably meant, or what is expected. */
static const char *value_hint(const struct directive_argument *argument, const char *text, char *out,
                              size_t capacity)
{
    struct suggestion suggestion;
    suggestion_init(&suggestion, text);
    for (const char *const *word = argument->words; word && *word; word++)
        suggestion_offer(&suggestion, *word);
    if (argument->kind == CONF_ON_OFF) {
        suggestion_offer(&suggestion, "on");
        suggestion_offer(&suggestion, "off");
    }
    if (suggestion_text(&suggestion, out, capacity))
        return out;
    if (argument->kind == CONF_CHOICE || argument->kind == CONF_ON_OFF)
        return NULL;
    struct text hint;
    text_init(&hint, out, capacity);
    add_expected(&hint, argument);
    return out;
}

/* `problem` is a format for the value's text. */
static void refuse_number(struct match *match, const struct directive_argument *argument,
                          const struct conf_value *value, const char *problem)
{
    char hint[200];
    conf_refuse_value(match->statement, value, value_hint(argument, value->text, hint, sizeof hint),
                      "\"%.200s\" %s", value->text, problem);
}

/* Values, kind by kind. */

static void check_range(struct match *match, const struct directive_argument *argument,
                        const struct conf_value *value, int error)
{
    if (error == ERR_LIMIT || (argument->max && value->number > argument->max))
        refuse_number(match, argument, value, "is too large");
    else if (value->number < argument->min)
        refuse_number(match, argument, value, "is too small");
}

static void take_number(struct match *match, const struct directive_argument *argument,
                        struct conf_value *value)
{
    int error;
    if (argument->kind == CONF_COUNT)
        error = conf_parse_count(value->text, &value->number);
    else if (argument->kind == CONF_SIZE)
        error = conf_parse_size(value->text, &value->number);
    else
        error = conf_parse_duration(value->text, &value->number);
    if (error == ERR_INVALID)
        conf_refuse_value(match->statement, value, "the units are ms, s, m, h and d: 10s",
                          "\"%.200s\" has no unit", value->text);
    else if (error == ERR_SYNTAX)
        refuse_number(match, argument, value,
                      argument->kind == CONF_COUNT  ? "is not a number"
                      : argument->kind == CONF_SIZE ? "is not a size"
                                                    : "is not a duration");
    else
        check_range(match, argument, value, error);
}

static void take_switch(struct match *match, const struct directive_argument *argument,
                        struct conf_value *value)
{
    int on = 0;
    if (conf_parse_switch(value->text, &on))
        refuse_number(match, argument, value, "is neither \"on\" nor \"off\"");
    value->number = (uint64_t)on;
}

static void refuse_choice(struct match *match, const struct directive_argument *argument,
                          struct conf_value *value)
{
    char problem[200];
    struct text text;
    text_init(&text, problem, sizeof problem);
    text_add_c(&text, "is none of ");
    add_words(&text, argument, "", ", ");
    refuse_number(match, argument, value, problem);
}

static void take_address(struct match *match, const struct directive_argument *argument,
                         struct conf_value *value)
{
    enum conf_address_form form = argument->kind == CONF_LISTEN_ADDRESS ? CONF_ADDRESS_LISTEN
                                  : argument->kind == CONF_SITE_ADDRESS ? CONF_ADDRESS_SITE
                                                                        : CONF_ADDRESS_UPSTREAM;
    const char *problem, *hint;
    if (conf_parse_address(value->text, form, &value->address, &problem, &hint))
        conf_refuse_value(match->statement, value, hint, "\"%.200s\" %s", value->text, problem);
}

static void take_bytes(struct match *match, const struct directive_argument *argument,
                       const struct conf_value *value)
{
    if (argument->kind == CONF_TEXT)
        return;
    if (!value->text[0])
        conf_refuse_value(match->statement, value, NULL, "%s is empty", argument->name);
    for (const char *c = value->text; *c; c++) {
        int control = (unsigned char)*c < 0x20 || *c == 0x7f;
        if (control || (*c == ' ' && argument->kind == CONF_WORD)) {
            conf_refuse_value(match->statement, value, NULL, "%s has a %s in it", argument->name,
                              control ? "control character" : "blank");
            return;
        }
    }
    if (argument->kind == CONF_PATH && strlen(value->text) >= PATH_MAX)
        conf_refuse_value(match->statement, value, NULL, "%s is longer than a path can be", argument->name);
}

static int word_number(const struct directive_argument *argument, const char *text)
{
    for (int i = 0; argument->words && argument->words[i]; i++) {
        if (strcmp(argument->words[i], text) == 0)
            return i;
    }
    return -1;
}

static void take_value(struct match *match, const struct directive_argument *argument,
                       struct conf_value *value)
{
    switch (argument->kind) {
    case CONF_COUNT:
    case CONF_SIZE:
    case CONF_DURATION:
        take_number(match, argument, value);
        break;
    case CONF_ON_OFF:
        take_switch(match, argument, value);
        break;
    case CONF_CHOICE:
        refuse_choice(match, argument, value);
        break;
    case CONF_LISTEN_ADDRESS:
    case CONF_SITE_ADDRESS:
    case CONF_UPSTREAM_ADDRESS:
        take_address(match, argument, value);
        break;
    case CONF_WORD:
    case CONF_TEXT:
    case CONF_PATH:
        take_bytes(match, argument, value);
        break;
    case CONF_FLAG:
    case CONF_NOTHING:
        break;
    }
}

/* Takes the next word as a value of argument `number`. */
static void take_next(struct match *match, size_t number)
{
    struct conf_statement *statement = match->statement;
    const struct directive_argument *argument = &statement->directive->arguments[number];
    struct conf_value *value = &match->values[match->used++];
    *value = (struct conf_value){.text = conf_arg(statement->node, match->next), .index = match->next};
    match->next++;
    if (!statement->counts[number]++)
        statement->values[number] = value;
    value->word = word_number(argument, value->text);
    if (value->word < 0)
        take_value(match, argument, value);
}

/* Matching. */

static void refuse_usage(struct match *match, int at_next, const char *format, const char *name)
{
    char usage[320];
    struct text text;
    text_init(&text, usage, sizeof usage);
    text_add_c(&text, "usage: ");
    conf_format_usage(&text, match->statement->directive);
    struct conf_value place = {.index = match->next};
    if (at_next)
        conf_refuse_value(match->statement, &place, usage, "\"%.200s\" %s", name, format);
    else
        conf_refuse(match->statement, usage, "%s %s", format, name);
}

/* The number of the argument whose keyword the next word is, or -1. */
static int keyword_next(const struct match *match)
{
    const struct directive_argument *argument;
    if (match->next >= word_count(match) || conf_arg_quoted(match->statement->node, match->next))
        return -1;
    const char *word = conf_arg(match->statement->node, match->next);
    for (size_t i = 0; (argument = specification(match, i)); i++) {
        if (argument->keyword && strcmp(argument->keyword, word) == 0)
            return (int)i;
    }
    return -1;
}

static int refuse_missing(struct match *match, const struct directive_argument *argument)
{
    char what[160];
    struct text text;
    text_init(&text, what, sizeof what);
    if (argument->keyword && argument->kind != CONF_FLAG)
        text_add_f(&text, "\"%s %s\"", argument->keyword, argument->name);
    else if (argument->kind == CONF_CHOICE)
        add_words(&text, argument, "", " or ");
    else
        text_add_c(&text, argument->name);
    char message[160];
    struct text head;
    text_init(&head, message, sizeof message);
    text_add_f(&head, "\"%.60s\" needs", conf_name(match->statement->node));
    refuse_usage(match, 0, message, what);
    return -1;
}

/* How many words the required positional arguments behind this one need at the least. */
static size_t words_needed_after(const struct match *match, size_t number)
{
    const struct directive_argument *argument;
    size_t needed = 0;
    for (size_t i = number + 1; (argument = specification(match, i)); i++)
        needed += !argument->keyword && !argument->optional;
    return needed;
}

static int match_positional(struct match *match)
{
    const struct directive_argument *argument;
    for (size_t i = 0; (argument = specification(match, i)); i++) {
        if (argument->keyword)
            continue;
        if (argument->optional && word_count(match) - match->next <= words_needed_after(match, i))
            continue;
        while (match->next < word_count(match) && keyword_next(match) < 0) {
            take_next(match, i);
            if (!argument->repeat)
                break;
        }
        if (!match->statement->counts[i] && !argument->optional)
            return refuse_missing(match, argument);
    }
    return 0;
}

static int match_keyword(struct match *match)
{
    struct conf_statement *statement = match->statement;
    const char *word = conf_arg(statement->node, match->next);
    int number = keyword_next(match);
    if (number < 0) {
        refuse_usage(match, 1, "is one word too many", word);
        return -1;
    }
    const struct directive_argument *argument = &statement->directive->arguments[number];
    if (statement->counts[number]) {
        refuse_usage(match, 1, "is given twice", word);
        return -1;
    }
    if (argument->kind == CONF_FLAG) {
        take_next(match, (size_t)number);
        return 0;
    }
    if (match->next + 1 == word_count(match))
        return refuse_missing(match, argument);
    match->next++;
    take_next(match, (size_t)number);
    return 0;
}

void arguments_match(struct conf_statement *statement, struct conf_value *values)
{
    struct match match = {.statement = statement, .values = values};
    memset(statement->counts, 0, sizeof statement->counts);
    if (match_positional(&match))
        return;
    while (match.next < word_count(&match)) {
        if (match_keyword(&match))
            return;
    }
    const struct directive_argument *argument;
    for (size_t i = 0; (argument = specification(&match, i)); i++) {
        if (argument->keyword && !argument->optional && !statement->counts[i]) {
            refuse_missing(&match, argument);
            return;
        }
    }
}
