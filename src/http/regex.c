#define PCRE2_CODE_UNIT_WIDTH 8

#include "http/regex.h"

#include <pcre2.h>
#include <string.h>

struct regex {
    struct slice text;
    unsigned groups;
    pcre2_code *code;             /* owned */
    pcre2_match_context *context; /* owned: the limits */
    pcre2_match_data *data;       /* owned: the place of the last match */
};

/* Without UTF mode and its escapes, whatever the expression itself asks for. */
#define OPTIONS (PCRE2_NEVER_UTF | PCRE2_NEVER_UCP | PCRE2_NEVER_BACKSLASH_C | PCRE2_DOLLAR_ENDONLY)

static void regex_release(void *object)
{
    struct regex *regex = object;
    pcre2_match_data_free(regex->data);
    pcre2_match_context_free(regex->context);
    pcre2_code_free(regex->code);
}

static int compile_code(struct regex *regex, char *problem, size_t problem_size, size_t *at)
{
    int number = 0;
    PCRE2_SIZE offset = 0;
    regex->code =
        pcre2_compile((PCRE2_SPTR)regex->text.at, regex->text.length, OPTIONS, &number, &offset, NULL);
    if (regex->code)
        return 0;
    *at = offset;
    if (pcre2_get_error_message(number, (PCRE2_UCHAR *)problem, problem_size) < 0)
        problem[problem_size - 1] = '\0';
    return ERR_SYNTAX;
}

int regex_compile(struct storage *storage, struct slice text, struct regex **regex, char *problem,
                  size_t problem_size, size_t *at)
{
    *at = 0;
    if (text.length > REGEX_LENGTH_MAX) {
        struct text why;
        text_init(&why, problem, problem_size);
        text_add_f(&why, "it is longer than %u bytes", REGEX_LENGTH_MAX);
        return ERR_SYNTAX;
    }
    struct regex *made = storage_take(storage, sizeof *made);
    if (!made)
        return ERR_NO_MEMORY;
    made->text = storage_copy(storage, text);
    if (!made->text.at)
        return ERR_NO_MEMORY;
    int error = compile_code(made, problem, problem_size, at);
    if (error)
        return error;
    made->context = pcre2_match_context_create(NULL);
    made->data = pcre2_match_data_create(REGEX_GROUPS_MAX, NULL);
    error = storage_release_with(storage, regex_release, made);
    if (error || !made->context || !made->data)
        return ERR_NO_MEMORY;
    pcre2_set_match_limit(made->context, REGEX_MATCH_LIMIT);
    pcre2_set_depth_limit(made->context, REGEX_DEPTH_LIMIT);
    pcre2_set_heap_limit(made->context, REGEX_HEAP_LIMIT_KIB);
    uint32_t groups = 0;
    pcre2_pattern_info(made->code, PCRE2_INFO_CAPTURECOUNT, &groups);
    made->groups = groups;
    *regex = made;
    return 0;
}

static void take_groups(const struct regex *regex, struct slice subject, int count,
                        struct slice groups[REGEX_GROUPS_MAX])
{
    const PCRE2_SIZE *places = pcre2_get_ovector_pointer(regex->data);
    for (int i = 0; i < REGEX_GROUPS_MAX; i++) {
        groups[i] = (struct slice){"", 0};
        /* \K in an assertion can set a beginning behind the end (pcre2api, "Extracting captured substrings"). */
        if (i < count && places[2 * i] != PCRE2_UNSET && places[2 * i] <= places[2 * i + 1])
            groups[i] = (struct slice){subject.at + places[2 * i], places[2 * i + 1] - places[2 * i]};
    }
}

int regex_match(const struct regex *regex, struct slice subject, struct slice groups[REGEX_GROUPS_MAX])
{
    int result =
        pcre2_match(regex->code, (PCRE2_SPTR)subject.at, subject.length, 0, 0, regex->data, regex->context);
    if (result == PCRE2_ERROR_NOMATCH)
        return 0;
    if (result < 0)
        return ERR_LIMIT;
    if (groups)
        take_groups(regex, subject, result ? result : REGEX_GROUPS_MAX, groups);
    return 1;
}

unsigned regex_group_count(const struct regex *regex)
{
    return regex->groups;
}

struct slice regex_text(const struct regex *regex)
{
    return regex->text;
}
