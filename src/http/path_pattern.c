#include "http/path_pattern.h"

#include <string.h>

static int ends_with(struct slice text, struct slice suffix)
{
    return text.length >= suffix.length &&
           slice_equals((struct slice){text.at + text.length - suffix.length, suffix.length}, suffix);
}

/* The decoded path never holds these (proto/h1.h), so a pattern with them would match nothing. */
static const char *what_no_path_holds(const char *text)
{
    if (strstr(text, "//"))
        return "has an empty segment, which no path has when it is matched";
    if (strstr(text, "/./") || strstr(text, "/../") || ends_with(slice_of(text), SLICE_LITERAL("/.")) ||
        ends_with(slice_of(text), SLICE_LITERAL("/..")))
        return "has a dot segment, which no path has when it is matched";
    return NULL;
}

static int is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* What is surely meant in another way. */
static const char *what_is_misunderstood(const char *text, const char **hint)
{
    const char *percent = strchr(text, '%');
    if (percent && is_hex(percent[1]) && is_hex(percent[2])) {
        *hint = "write the character itself: patterns are compared with the decoded path";
        return "is percent-encoded";
    }
    if (strchr(text, '?')) {
        *hint = "a block \"match\" with \"query NAME VALUE\" looks at it";
        return "has a query, which patterns do not look at";
    }
    return NULL;
}

static const char *split_at_star(struct path_pattern *pattern, const char *text, const char **hint)
{
    const char *star = strchr(text, '*');
    if (!star) {
        pattern->prefix = slice_of(text);
        return NULL;
    }
    pattern->has_star = 1;
    pattern->prefix = star == text ? SLICE_LITERAL("/") : (struct slice){text, (size_t)(star - text)};
    pattern->suffix = slice_of(star + 1);
    if (strchr(star + 1, '*') || strchr(star + 1, '/')) {
        *hint = "such as /images/* or *.php; for more there is \"pattern\" in a block \"match\"";
        return "has its * in the middle";
    }
    if (pattern->prefix.at[pattern->prefix.length - 1] != '/') {
        *hint = "/images/* is everything beneath /images";
        return "has a * that does not follow a slash";
    }
    return NULL;
}

int path_pattern_compile(struct storage *storage, struct slice text, struct path_pattern *pattern,
                         const char **problem, const char **hint)
{
    struct slice copy = storage_copy(storage, text);
    if (!copy.at)
        return ERR_NO_MEMORY;
    *pattern = (struct path_pattern){.text = copy, .suffix = {"", 0}};
    *hint = NULL;
    *problem = NULL;
    if (strlen(copy.at) != copy.length)
        *problem = "has a NUL in it";
    else if (copy.at[0] != '/' && copy.at[0] != '*') {
        *problem = "begins with no slash";
        *hint = "such as /about, /images/* or *.php";
    }
    if (!*problem)
        *problem = what_is_misunderstood(copy.at, hint);
    if (!*problem)
        *problem = what_no_path_holds(copy.at);
    if (!*problem)
        *problem = split_at_star(pattern, copy.at, hint);
    return *problem ? ERR_SYNTAX : 0;
}

/* The folder itself, without its slash: /images for all beneath /images. */
static int is_the_folder(const struct path_pattern *pattern, struct slice path)
{
    return !pattern->suffix.length && path.length + 1 == pattern->prefix.length &&
           slice_starts_with(pattern->prefix, path);
}

int path_pattern_matches(const struct path_pattern *pattern, struct slice path)
{
    if (!pattern->has_star)
        return slice_equals(pattern->prefix, path);
    if (!slice_starts_with(path, pattern->prefix))
        return is_the_folder(pattern, path);
    if (!pattern->suffix.length)
        return 1;
    return path.length > pattern->prefix.length + pattern->suffix.length && ends_with(path, pattern->suffix);
}

struct slice path_pattern_rest(const struct path_pattern *pattern, struct slice path)
{
    size_t around = pattern->prefix.length + pattern->suffix.length;
    if (!pattern->has_star || path.length <= around)
        return (struct slice){"", 0};
    return (struct slice){path.at + pattern->prefix.length, path.length - around};
}

int path_pattern_covers(const struct path_pattern *outer, const struct path_pattern *inner)
{
    if (!inner->has_star)
        return path_pattern_matches(outer, inner->prefix);
    return outer->has_star && slice_starts_with(inner->prefix, outer->prefix) &&
           ends_with(inner->suffix, outer->suffix);
}

int path_pattern_meets(const struct path_pattern *a, const struct path_pattern *b)
{
    if (!a->has_star)
        return path_pattern_matches(b, a->prefix);
    if (!b->has_star)
        return path_pattern_matches(a, b->prefix);
    return (slice_starts_with(a->prefix, b->prefix) || slice_starts_with(b->prefix, a->prefix)) &&
           (ends_with(a->suffix, b->suffix) || ends_with(b->suffix, a->suffix));
}
