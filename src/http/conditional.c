#include "http/conditional.h"

#include "http/date.h"
#include "http/etag.h"

#define FIELD_TABLE(X)                                                                                       \
    X(RANGE, "Range")                                                                                        \
    X(IF_MATCH, "If-Match")                                                                                  \
    X(IF_RANGE, "If-Range")                                                                                  \
    X(IF_NONE_MATCH, "If-None-Match")                                                                        \
    X(IF_MODIFIED_SINCE, "If-Modified-Since")                                                                \
    X(IF_UNMODIFIED_SINCE, "If-Unmodified-Since")

enum field {
#define FIELD_ENUM(name, text) FIELD_##name,
    FIELD_TABLE(FIELD_ENUM)
#undef FIELD_ENUM
        FIELD_COUNT,
};

static const struct slice names[] = {
#define FIELD_NAME(name, text) {text, sizeof(text) - 1},
    FIELD_TABLE(FIELD_NAME)
#undef FIELD_NAME
};

/* How often each field came, and its first value. */
struct fields {
    const struct h1_head *request;
    unsigned counts[FIELD_COUNT];
    struct slice values[FIELD_COUNT];
};

typedef int (*etag_equals_fn)(const struct etag *a, const struct etag *b);

/* One walk for all of them: most requests have none, and this is on the way of every file. */
static void find_fields(struct fields *fields, const struct h1_head *request)
{
    *fields = (struct fields){.request = request};
    for (uint32_t i = 0; i < request->field_count; i++) {
        const struct h1_field *field = &request->fields[i];
        char initial = (char)(field->name.at[0] | 0x20); /* a name is never empty */
        if (initial != 'i' && initial != 'r')
            continue;
        for (unsigned at = 0; at < FIELD_COUNT; at++)
            if (slice_equals_nocase(field->name, names[at]) && fields->counts[at]++ == 0)
                fields->values[at] = field->value;
    }
}

/* 1: a tag of all the fields of that name equals ours; 0: none does; ERR_SYNTAX. */
static int list_has(const struct fields *fields, enum field which, const struct etag *own,
                    etag_equals_fn equals)
{
    int found = 0;

    for (uint32_t i = 0; i < fields->request->field_count; i++) {
        struct slice rest = fields->request->fields[i].value;
        struct etag tag;
        int more;
        if (!slice_equals_nocase(fields->request->fields[i].name, names[which]))
            continue;
        while ((more = etag_list_next(&rest, &tag)) > 0)
            found |= equals(&tag, own);
        if (more < 0)
            return more;
    }
    return found;
}

/* RFC 9110 sections 13.1.1 and 13.1.2: `*` matches whatever there is. */
static int field_matches(const struct fields *fields, enum field which, const struct etag *own,
                         etag_equals_fn equals)
{
    if (fields->counts[which] == 1 && slice_equals(fields->values[which], SLICE_LITERAL("*")))
        return 1;
    return list_has(fields, which, own, equals) == 1;
}

/* A date field that counts: there is one, and it is a date. */
static int has_date(const struct fields *fields, enum field which, int64_t now_s, int64_t *seconds)
{
    return fields->counts[which] == 1 && date_parse_http(fields->values[which], now_s, seconds) == 0;
}

/* RFC 9110 section 13.1.5. A weak tag of the client's never holds. */
static int if_range_holds(const struct fields *fields, const struct conditional_resource *resource,
                          const struct etag *own, int64_t now_s)
{
    struct slice value = fields->values[FIELD_IF_RANGE];
    struct etag tag;
    int64_t seconds;

    if (fields->counts[FIELD_IF_RANGE] == 0)
        return 1;
    if (fields->counts[FIELD_IF_RANGE] > 1)
        return 0;
    if (etag_parse(value, &tag) == 0)
        return etag_equals_strong(&tag, own);
    return resource->modified_is_strong && date_parse_http(value, now_s, &seconds) == 0 &&
           seconds == resource->modified_s;
}

/* 0, 304 or 412. */
static int decide_status(const struct fields *fields, const struct conditional_resource *resource,
                         const struct etag *own, int64_t now_s)
{
    int is_read = fields->request->method == H1_GET || fields->request->method == H1_HEAD;
    int64_t seconds;

    if (fields->counts[FIELD_IF_MATCH] > 0) {
        if (!field_matches(fields, FIELD_IF_MATCH, own, etag_equals_strong))
            return 412;
    } else if (has_date(fields, FIELD_IF_UNMODIFIED_SINCE, now_s, &seconds) &&
               resource->modified_s > seconds) {
        return 412;
    }
    if (fields->counts[FIELD_IF_NONE_MATCH] > 0) {
        if (field_matches(fields, FIELD_IF_NONE_MATCH, own, etag_equals_weak))
            return is_read ? 304 : 412;
    } else if (is_read && has_date(fields, FIELD_IF_MODIFIED_SINCE, now_s, &seconds) &&
               resource->modified_s <= seconds) {
        return 304;
    }
    return 0;
}

struct conditional conditional_evaluate(const struct h1_head *request,
                                        const struct conditional_resource *resource, int64_t now_s)
{
    const struct etag own = {resource->etag, 0};
    struct conditional result = {0, {"", 0}};
    struct fields fields;

    find_fields(&fields, request);
    result.status = decide_status(&fields, resource, &own, now_s);
    if (result.status == 0 && request->method == H1_GET && fields.counts[FIELD_RANGE] == 1 &&
        if_range_holds(&fields, resource, &own, now_s))
        result.range = fields.values[FIELD_RANGE];
    return result;
}
