#include "http/accept.h"

#include <string.h>

/* Takes what comes before the next semicolon. */
static struct slice take(struct slice *rest)
{
    const char *end = memchr(rest->at, ';', rest->length);
    const struct slice taken = {rest->at, end ? (size_t)(end - rest->at) : rest->length};
    const size_t skipped = taken.length + (end != NULL);

    *rest = (struct slice){rest->at + skipped, rest->length - skipped};
    return slice_trim(taken);
}

/* qvalue (RFC 9110 section 12.4.2) in thousandths, or -1. */
static int parse_weight(struct slice text)
{
    int value = 0, unit = 100;

    if (!text.length || text.length > 5 || (text.at[0] != '0' && text.at[0] != '1') ||
        (text.length > 1 && text.at[1] != '.'))
        return -1;
    value = (text.at[0] - '0') * 1000;
    for (size_t i = 2; i < text.length; i++, unit /= 10) {
        if (text.at[i] < '0' || text.at[i] > '9')
            return -1;
        value += (text.at[i] - '0') * unit;
    }
    return value <= 1000 ? value : -1;
}

/* How well a range fits: 3 the type itself, 2 all of its kind, 1 everything, 0 not at all. */
static int fits(struct slice range, struct slice type)
{
    const char *slash = memchr(type.at, '/', type.length);
    const size_t kind = (size_t)(slash - type.at) + 1;

    if (slice_equals_nocase(range, type))
        return 3;
    if (slice_equals(range, SLICE_LITERAL("*/*")))
        return 1;
    return range.length == kind + 1 && range.at[kind] == '*' &&
                   slice_equals_nocase((struct slice){range.at, kind}, (struct slice){type.at, kind})
               ? 2
               : 0;
}

/* Parameters other than q would make the range another type: such an element fits nothing. */
static void judge(struct slice element, struct slice type, int *best, int *weight)
{
    const struct slice range = take(&element);
    const int fit = fits(range, type);
    int own = 1000;

    while (element.length) {
        const struct slice parameter = take(&element);

        if (parameter.length > 2 && (parameter.at[0] == 'q' || parameter.at[0] == 'Q') &&
            parameter.at[1] == '=')
            own = parse_weight((struct slice){parameter.at + 2, parameter.length - 2});
        else if (parameter.length)
            own = -1;
    }
    if (own >= 0 && fit > *best) {
        *best = fit;
        *weight = own;
    }
}

int accept_weight(const struct h1_head *request, struct slice type)
{
    int best = 0, weight = 0, is_asked = 0;

    for (uint32_t i = 0; i < request->field_count; i++) {
        struct slice rest = request->fields[i].value, element;

        if (!slice_equals_nocase(request->fields[i].name, SLICE_LITERAL("Accept")))
            continue;
        is_asked = 1;
        while (h1_list_next(&rest, &element))
            judge(element, type, &best, &weight);
    }
    return is_asked ? weight : 1000;
}

int accept_prefers(const struct h1_head *request, struct slice other, struct slice usual)
{
    return accept_weight(request, other) > accept_weight(request, usual);
}
