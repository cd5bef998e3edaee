/* Two path patterns, a path and a regular expression, parted by line feeds. Checked: what covers and what meets agree
 * with what matches this path; the rest lies inside of the path; an expression is refused with a message, or answers
 * with groups that lie inside of the subject. */
#include "http/path_pattern.h"
#include "http/regex.h"

#include "base/assert.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

#define SIZE_LIMIT 4096

static struct slice next_line(struct slice *rest)
{
    const char *feed = rest->length ? memchr(rest->at, '\n', rest->length) : NULL;
    size_t length = feed ? (size_t)(feed - rest->at) : rest->length;
    struct slice line = {rest->at, length};
    size_t taken = feed ? length + 1 : length;
    *rest = (struct slice){rest->at + taken, rest->length - taken};
    return line;
}

static int inside(struct slice part, struct slice whole)
{
    return !part.length || (part.at >= whole.at && part.at + part.length <= whole.at + whole.length);
}

static int compile(struct storage *storage, struct slice text, struct path_pattern *pattern)
{
    const char *problem = NULL, *hint = NULL;
    int error = path_pattern_compile(storage, text, pattern, &problem, &hint);
    MUST(error == 0 || (error == ERR_SYNTAX && problem));
    return error == 0;
}

static void check_patterns(const struct path_pattern *a, const struct path_pattern *b, struct slice path)
{
    int in_a = path_pattern_matches(a, path), in_b = path_pattern_matches(b, path);
    MUST(!path_pattern_covers(a, b) || !in_b || in_a);
    MUST(!(in_a && in_b) || path_pattern_meets(a, b));
    MUST(path_pattern_meets(a, b) == path_pattern_meets(b, a));
    MUST(path_pattern_covers(a, a) && path_pattern_meets(a, a));
    MUST(!in_a || inside(path_pattern_rest(a, path), path));
}

static void check_regex(struct storage *storage, struct slice text, struct slice subject)
{
    struct slice groups[REGEX_GROUPS_MAX];
    struct regex *regex = NULL;
    char problem[160] = "";
    size_t at = 0;
    int error = regex_compile(storage, text, &regex, problem, sizeof problem, &at);
    MUST(error == 0 || error == ERR_SYNTAX);
    if (error) {
        MUST(problem[0] && at <= text.length);
        return;
    }
    int result = regex_match(regex, subject, groups);
    MUST(result == 0 || result == 1 || result == ERR_LIMIT);
    for (int i = 0; result == 1 && i < REGEX_GROUPS_MAX; i++)
        MUST(inside(groups[i], subject));
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    struct storage storage = {0};
    struct path_pattern a, b;
    if (size > SIZE_LIMIT)
        return 0;
    struct slice rest = {(const char *)input, size};
    struct slice first = next_line(&rest), second = next_line(&rest), path = next_line(&rest);
    int both = compile(&storage, first, &a) & compile(&storage, second, &b);
    if (both)
        check_patterns(&a, &b, path);
    check_regex(&storage, rest, path);
    storage_fini(&storage);
    return 0;
}
