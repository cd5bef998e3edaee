#include "http/negotiate.h"

#include "base/assert.h"

#define UNNAMED (-1)

/* Weights in thousandths, or UNNAMED. */
struct weights {
    int of[CODING_COUNT];
    int star;
    int is_asked;     /* there is a field */
    int is_malformed; /* and it cannot be relied on */
};

static const struct {
    struct slice token, suffix;
} codings[] = {
#define CODING_ROW(name, token, suffix) {{token, sizeof(token) - 1}, {suffix, sizeof(suffix) - 1}},
    CODING_TABLE(CODING_ROW)
#undef CODING_ROW
};
_Static_assert(sizeof(codings) / sizeof(codings[0]) == CODING_COUNT, "every coding has a row");

struct slice coding_token(enum coding coding)
{
    return codings[coding].token;
}

struct slice coding_suffix(enum coding coding)
{
    return codings[coding].suffix;
}

/* qvalue (RFC 9110 section 12.4.2): 0 or 1, a point, up to three digits; nothing above 1. In thousandths, or
 * ERR_SYNTAX. */
static int parse_qvalue(struct slice text)
{
    int value, unit = 1000;

    if (text.length < 1 || text.length > sizeof("0.000") - 1 || (text.at[0] != '0' && text.at[0] != '1'))
        return ERR_SYNTAX;
    value = (text.at[0] - '0') * unit;
    if (text.length > 1 && text.at[1] != '.')
        return ERR_SYNTAX;
    for (size_t i = 2; i < text.length; i++) {
        if (text.at[i] < '0' || text.at[i] > '9')
            return ERR_SYNTAX;
        unit /= 10;
        value += (text.at[i] - '0') * unit;
    }
    return value <= 1000 ? value : ERR_SYNTAX;
}

/* What follows a coding's name: nothing, or ;q= and a weight. */
static int parse_weight(struct slice text)
{
    text = slice_skip_blanks(text);
    if (text.length == 0)
        return 1000;
    if (*text.at != ';')
        return ERR_SYNTAX;
    text = slice_skip_blanks((struct slice){text.at + 1, text.length - 1});
    if (text.length < 2 || (*text.at != 'q' && *text.at != 'Q') || text.at[1] != '=')
        return ERR_SYNTAX;
    return parse_qvalue((struct slice){text.at + 2, text.length - 2});
}

/* Where the weight of that name is kept; NULL for one that we do not know. */
static int *place_of(struct weights *weights, struct slice name)
{
    if (slice_equals(name, SLICE_LITERAL("*")))
        return &weights->star;
    if (slice_equals_nocase(name, SLICE_LITERAL("x-gzip"))) /* RFC 9110 section 8.4.1.3 */
        return &weights->of[CODING_GZIP];
    for (unsigned i = 0; i < CODING_COUNT; i++)
        if (slice_equals_nocase(name, codings[i].token))
            return &weights->of[i];
    return NULL;
}

static void take_element(struct weights *weights, struct slice element)
{
    struct slice name = {element.at, 0};

    while (name.length < element.length && element.at[name.length] != ';' && element.at[name.length] != ' ' &&
           element.at[name.length] != '\t')
        name.length++;
    int weight = parse_weight((struct slice){element.at + name.length, element.length - name.length});
    int *place = place_of(weights, name);
    if (name.length == 0 || weight < 0)
        weights->is_malformed = 1;
    else if (place && (*place == UNNAMED || *place > weight))
        *place = weight;
}

static void read_weights(const struct h1_head *request, struct weights *weights)
{
    *weights = (struct weights){.star = UNNAMED};
    for (unsigned i = 0; i < CODING_COUNT; i++)
        weights->of[i] = UNNAMED;
    for (uint32_t i = 0; i < request->field_count; i++) {
        struct slice rest = request->fields[i].value, element;
        if (!slice_equals_nocase(request->fields[i].name, SLICE_LITERAL("Accept-Encoding")))
            continue;
        weights->is_asked = 1;
        while (h1_list_next(&rest, &element))
            take_element(weights, element);
    }
}

/* Higher is better; 0 and below is not acceptable. */
static int rank_of(const struct weights *weights, unsigned coding)
{
    int weight = weights->of[coding] != UNNAMED ? weights->of[coding] : weights->star;

    if (!weights->is_asked)
        return coding == CODING_IDENTITY ? 2 : 1;
    if (weights->is_malformed)
        return coding == CODING_IDENTITY;
    if (weight != UNNAMED)
        return weight;
    return coding == CODING_IDENTITY; /* like the least weight, and it loses a tie */
}

int negotiate_coding(const struct h1_head *request, unsigned available, enum coding *chosen)
{
    struct weights weights;
    int best = 0;

    MUST(available != 0 && available <= CODING_ALL);
    read_weights(request, &weights);
    for (unsigned i = 1; i <= CODING_COUNT; i++) {
        unsigned coding = i % CODING_COUNT; /* identity last */
        int rank = available & CODING_BIT(coding) ? rank_of(&weights, coding) : 0;
        if (rank > best) {
            best = rank;
            *chosen = (enum coding)coding;
        }
    }
    return best > 0 ? 0 : ERR_NOT_FOUND;
}
