#include "http/route_test.h"

#include "base/assert.h"

/* --- queries --- */

int query_next(struct slice *rest, struct slice *name, struct slice *value)
{
    while (rest->length) {
        size_t length = 0, equals = 0;
        while (length < rest->length && rest->at[length] != '&')
            length++;
        while (equals < length && rest->at[equals] != '=')
            equals++;
        *name = (struct slice){rest->at, equals};
        *value = equals < length ? (struct slice){rest->at + equals + 1, length - equals - 1}
                                 : (struct slice){"", 0};
        size_t taken = length < rest->length ? length + 1 : length;
        *rest = (struct slice){rest->at + taken, rest->length - taken};
        if (length)
            return 1;
    }
    return 0;
}

static int hex_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The byte at *at, which moves past it. A percent sign without two digits stands for itself. */
static char decode(struct slice text, size_t *at)
{
    char byte = text.at[(*at)++];
    if (byte == '+')
        return ' ';
    if (byte != '%' || text.length - *at < 2 || hex_of(text.at[*at]) < 0 || hex_of(text.at[*at + 1]) < 0)
        return byte;
    byte = (char)(hex_of(text.at[*at]) << 4 | hex_of(text.at[*at + 1]));
    *at += 2;
    return byte;
}

int query_equals(struct slice encoded, struct slice plain)
{
    size_t at = 0, matched = 0;
    while (at < encoded.length) {
        if (matched == plain.length || decode(encoded, &at) != plain.at[matched++])
            return 0;
    }
    return matched == plain.length;
}

/* --- kind by kind --- */

static int method_holds(const struct route_test *test, const struct route_request *request)
{
    for (size_t i = 0; i < test->count; i++) {
        if (slice_equals(test->words[i], request->method))
            return 1;
    }
    return 0;
}

static int host_is(struct slice wanted, struct slice host)
{
    if (host.length && host.at[host.length - 1] == '.') /* the same name, said in full */
        host.length--;
    if (!wanted.length || wanted.at[0] != '*')
        return slice_equals_nocase(wanted, host);
    struct slice ending = {wanted.at + 1, wanted.length - 1};
    return host.length > ending.length &&
           slice_equals_nocase((struct slice){host.at + host.length - ending.length, ending.length}, ending);
}

static int host_holds(const struct route_test *test, const struct route_request *request)
{
    for (size_t i = 0; i < test->count; i++) {
        if (host_is(test->words[i], request->host))
            return 1;
    }
    return 0;
}

static int path_holds(const struct route_test *test, const struct route_request *request)
{
    for (size_t i = 0; i < test->count; i++) {
        if (path_pattern_matches(&test->patterns[i], request->path))
            return 1;
    }
    return 0;
}

static int header_holds(const struct route_test *test, const struct route_request *request)
{
    struct slice value;
    for (size_t nth = 0; request->header && request->header(request->headers, test->name, nth, &value);
         nth++) {
        if (test->any_value || slice_equals(test->value, value))
            return 1;
    }
    return 0;
}

static int query_holds(const struct route_test *test, const struct route_request *request)
{
    struct slice rest = request->query, name, value;
    while (query_next(&rest, &name, &value)) {
        if (query_equals(name, test->name) && (test->any_value || query_equals(value, test->value)))
            return 1;
    }
    return 0;
}

static int client_holds(const struct route_test *test, const struct route_request *request)
{
    for (size_t i = 0; i < test->count; i++) {
        if (client_net_has(&test->nets[i], request->client))
            return 1;
    }
    return 0;
}

static int not_holds(const struct route_test *test, const struct route_request *request)
{
    const struct route_test *failed;
    int result = route_tests_hold(test->inner, request, &failed);
    return result < 0 ? result : !result;
}

int route_test_holds(const struct route_test *test, const struct route_request *request)
{
    switch (test->kind) {
    case ROUTE_TEST_METHOD:
        return method_holds(test, request);
    case ROUTE_TEST_HOST:
        return host_holds(test, request);
    case ROUTE_TEST_PATH:
        return path_holds(test, request);
    case ROUTE_TEST_PATTERN:
        return regex_match(test->regex, request->path, NULL);
    case ROUTE_TEST_HEADER:
        return header_holds(test, request);
    case ROUTE_TEST_QUERY:
        return query_holds(test, request);
    case ROUTE_TEST_CLIENT:
        return client_holds(test, request);
    case ROUTE_TEST_NOT:
        return not_holds(test, request);
    }
    MUST(!"a kind of the table");
    return 0;
}

int route_tests_hold(const struct route_test *first, const struct route_request *request,
                     const struct route_test **failed)
{
    for (const struct route_test *test = first; test; test = test->next) {
        int result = route_test_holds(test, request);
        *failed = test;
        if (result <= 0)
            return result;
    }
    *failed = NULL;
    return 1;
}

/* --- comparing --- */

static int same_element(const struct route_test *a, size_t i, const struct route_test *b, size_t k)
{
    switch (a->kind) {
    case ROUTE_TEST_METHOD:
    case ROUTE_TEST_HOST:
        return slice_equals(a->words[i], b->words[k]);
    case ROUTE_TEST_PATH:
        return path_pattern_covers(&a->patterns[i], &b->patterns[k]);
    case ROUTE_TEST_CLIENT:
        return client_net_contains(&a->nets[i], &b->nets[k]);
    case ROUTE_TEST_PATTERN:
    case ROUTE_TEST_HEADER:
    case ROUTE_TEST_QUERY:
    case ROUTE_TEST_NOT:
        break;
    }
    return 0;
}

/* Each element of `inner` is one that `outer` has or contains. */
static int elements_cover(const struct route_test *outer, const struct route_test *inner)
{
    for (size_t k = 0; k < inner->count; k++) {
        size_t i = 0;
        while (i < outer->count && !same_element(outer, i, inner, k))
            i++;
        if (i == outer->count)
            return 0;
    }
    return 1;
}

static int test_covers(const struct route_test *outer, const struct route_test *inner)
{
    if (outer->kind != inner->kind)
        return 0;
    switch (outer->kind) {
    case ROUTE_TEST_PATTERN:
        return slice_equals(regex_text(outer->regex), regex_text(inner->regex));
    case ROUTE_TEST_HEADER:
    case ROUTE_TEST_QUERY:
        if (outer->kind == ROUTE_TEST_HEADER ? !slice_equals_nocase(outer->name, inner->name)
                                             : !slice_equals(outer->name, inner->name))
            return 0;
        return outer->any_value || (!inner->any_value && slice_equals(outer->value, inner->value));
    case ROUTE_TEST_NOT:
        return route_tests_cover(inner->inner, outer->inner);
    case ROUTE_TEST_METHOD:
    case ROUTE_TEST_HOST:
    case ROUTE_TEST_PATH:
    case ROUTE_TEST_CLIENT:
        break;
    }
    return elements_cover(outer, inner);
}

int route_tests_cover(const struct route_test *outer, const struct route_test *inner)
{
    for (const struct route_test *test = outer; test; test = test->next) {
        const struct route_test *same = inner;
        while (same && !test_covers(test, same))
            same = same->next;
        if (!same)
            return 0;
    }
    return 1;
}

/* --- words --- */

static const char *const kind_names[] = {
#define ROUTE_TEST_NAME(name, text) text,
    ROUTE_TEST_TABLE(ROUTE_TEST_NAME)
#undef ROUTE_TEST_NAME
};

static void format_elements(const struct route_test *test, struct text *out)
{
    for (size_t i = 0; i < test->count; i++) {
        text_add_c(out, " ");
        if (test->kind == ROUTE_TEST_PATH)
            text_add(out, test->patterns[i].text);
        else if (test->kind == ROUTE_TEST_CLIENT)
            client_net_format(&test->nets[i], out);
        else
            text_add(out, test->words[i]);
    }
}

void route_test_format(const struct route_test *test, struct text *out)
{
    text_add_c(out, kind_names[test->kind]);
    if (test->kind == ROUTE_TEST_PATTERN) {
        text_add_c(out, " ");
        text_add(out, regex_text(test->regex));
    } else if (test->kind == ROUTE_TEST_HEADER || test->kind == ROUTE_TEST_QUERY) {
        text_add_c(out, " ");
        text_add(out, test->name);
        text_add_c(out, " ");
        text_add(out, test->any_value ? SLICE_LITERAL("present") : test->value);
    } else if (test->kind == ROUTE_TEST_NOT) {
        const char *joint = " { ";
        for (const struct route_test *inner = test->inner; inner; inner = inner->next) {
            text_add_c(out, joint);
            route_test_format(inner, out);
            joint = "; ";
        }
        text_add_c(out, " }");
    } else {
        format_elements(test, out);
    }
}
