#include "http/range.h"

#include "base/assert.h"
#include "proto/h1.h"

enum spec { SPEC_MALFORMED, SPEC_UNSATISFIED, SPEC_SATISFIED, SPEC_WHOLE };

/* Digits of any number (RFC 9110 section 14.1.2 asks to expect large ones). 0 or ERR_SYNTAX. */
static int parse_position(struct slice text, uint64_t *position)
{
    int error = slice_to_u64(text, position);

    if (error != ERR_LIMIT)
        return error;
    *position = INT64_MAX;
    return 0;
}

/* "-" 1*DIGIT: the last bytes. */
static enum spec parse_suffix(struct slice digits, uint64_t size, struct range *range)
{
    uint64_t length;

    if (parse_position(digits, &length))
        return SPEC_MALFORMED;
    if (length == 0)
        return SPEC_UNSATISFIED;
    if (size == 0)
        return SPEC_WHOLE;
    *range = (struct range){length < size ? size - length : 0, size - 1};
    return SPEC_SATISFIED;
}

static enum spec parse_spec(struct slice text, uint64_t size, struct range *range)
{
    size_t dash = 0;
    uint64_t first, last = INT64_MAX;

    while (dash < text.length && text.at[dash] != '-')
        dash++;
    if (dash == text.length)
        return SPEC_MALFORMED;
    struct slice behind = {text.at + dash + 1, text.length - dash - 1};
    if (dash == 0)
        return parse_suffix(behind, size, range);
    if (parse_position((struct slice){text.at, dash}, &first))
        return SPEC_MALFORMED;
    if (behind.length > 0 && (parse_position(behind, &last) || last < first))
        return SPEC_MALFORMED;
    if (first >= size)
        return SPEC_UNSATISFIED;
    *range = (struct range){first, last < size ? last : size - 1};
    return SPEC_SATISFIED;
}

static int overlap_or_touch(const struct range *a, const struct range *b)
{
    return a->first <= b->last + 1 && b->first <= a->last + 1;
}

/* What touches `added` becomes one with it, in the place of the first. As the ranges of a set do not touch
 * one another, what touches the union touches `added` itself: one walk is enough. */
static void set_add(struct range_set *set, struct range added)
{
    const struct range as_asked = added;
    uint32_t kept = 0, place = RANGES_MAX;

    for (uint32_t i = 0; i < set->count; i++) {
        const struct range range = set->at[i];
        if (!overlap_or_touch(&range, &as_asked)) {
            set->at[kept++] = range;
            continue;
        }
        added.first = range.first < added.first ? range.first : added.first;
        added.last = range.last > added.last ? range.last : added.last;
        if (place == RANGES_MAX)
            place = kept++;
    }
    if (place == RANGES_MAX)
        place = kept++;
    set->at[place] = added;
    set->count = kept;
}

enum range_answer range_select(struct slice value, uint64_t size, struct range_set *set)
{
    const struct slice unit = SLICE_LITERAL("bytes=");
    struct slice rest, text;
    unsigned listed = 0;
    int is_whole = 0;

    MUST(size <= INT64_MAX);
    *set = (struct range_set){0};
    /* the unit's case does not count, RFC 9110 section 14.1 */
    if (value.length < unit.length || !slice_equals_nocase((struct slice){value.at, unit.length}, unit))
        return RANGE_WHOLE;
    rest = (struct slice){value.at + unit.length, value.length - unit.length};
    for (; h1_list_next(&rest, &text); listed++) {
        struct range range;
        enum spec spec = parse_spec(text, size, &range);
        if (spec == SPEC_MALFORMED || listed == RANGES_MAX) {
            *set = (struct range_set){0};
            return RANGE_WHOLE;
        }
        is_whole |= spec == SPEC_WHOLE;
        if (spec == SPEC_SATISFIED)
            set_add(set, range);
    }
    if (set->count > 0)
        return RANGE_PARTIAL;
    return is_whole || listed == 0 ? RANGE_WHOLE : RANGE_UNSATISFIED;
}

uint64_t range_length(const struct range *range)
{
    return range->last - range->first + 1;
}

void range_add_content_range(struct text *text, const struct range *range, uint64_t size)
{
    text_add(text, SLICE_LITERAL("Content-Range: bytes "));
    text_add_u64(text, range->first);
    text_add(text, SLICE_LITERAL("-"));
    text_add_u64(text, range->last);
    text_add(text, SLICE_LITERAL("/"));
    text_add_u64(text, size);
    text_add(text, SLICE_LITERAL("\r\n"));
}

void range_add_unsatisfied(struct text *text, uint64_t size)
{
    text_add(text, SLICE_LITERAL("Content-Range: bytes */"));
    text_add_u64(text, size);
    text_add(text, SLICE_LITERAL("\r\n"));
}
