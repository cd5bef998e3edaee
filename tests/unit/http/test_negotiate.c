/* Accept-Encoding, RFC 9110 section 12.5.3; numbers in the names are its sections. */
#include "http/negotiate.h"
#include "request_head.h"
#include "unit.h"

#define B CODING_BIT(CODING_BR)
#define Z CODING_BIT(CODING_ZSTD)
#define G CODING_BIT(CODING_GZIP)
#define I CODING_BIT(CODING_IDENTITY)
#define NONE CODING_COUNT

#define ASKS(value) "Accept-Encoding: " value "\r\n"

static const struct row {
    const char *name, *fields;
    unsigned available;
    unsigned expected; /* a coding, or NONE */
} rows[] = {
    {"12.5.3: without the field, identity", "", CODING_ALL, CODING_IDENTITY},
    {"12.5.3: without the field everything is acceptable", "", B | G, CODING_BR},
    {"12.5.3: an empty field wants no coding", ASKS(""), CODING_ALL, CODING_IDENTITY},
    {"12.5.3: an empty field refuses a coding", ASKS(""), G, NONE},
    {"a browser of today", ASKS("gzip, deflate, br, zstd"), CODING_ALL, CODING_BR},
    {"the next best that exists", ASKS("gzip, deflate, br, zstd"), Z | G | I, CODING_ZSTD},
    {"the one that exists", ASKS("gzip, deflate, br, zstd"), G | I, CODING_GZIP},
    {"only identity exists", ASKS("gzip, deflate, br, zstd"), I, CODING_IDENTITY},
    {"12.5.3: gzip alone", ASKS("gzip"), CODING_ALL, CODING_GZIP},
    {"8.4.1.3: x-gzip is gzip", ASKS("x-gzip"), CODING_ALL, CODING_GZIP},
    {"8.4.1: names in any case", ASKS("GZip"), CODING_ALL, CODING_GZIP},
    {"12.5.3: over two fields", ASKS("gzip") ASKS("zstd"), CODING_ALL, CODING_ZSTD},
    {"unknown codings do not matter", ASKS("deflate, compress;q=1, dcb"), CODING_ALL, CODING_IDENTITY},
    {"names that begin alike", ASKS("gzipp, b, zst"), CODING_ALL, CODING_IDENTITY},

    {"12.4.2: the higher weight wins", ASKS("br;q=0.5, gzip"), CODING_ALL, CODING_GZIP},
    {"12.4.2: by a thousandth", ASKS("br;q=0.998, gzip;q=0.999"), CODING_ALL, CODING_GZIP},
    {"12.4.2: digits left out are zeros", ASKS("br;q=0.5, gzip;q=0.51"), CODING_ALL, CODING_GZIP},
    {"12.4.2: the same weight in other words", ASKS("gzip;q=1.000, br;q=1."), CODING_ALL, CODING_BR},
    {"12.4.2: blanks around the semicolon", ASKS("br \t; q=0.1 , gzip ;q=0.2"), CODING_ALL, CODING_GZIP},
    {"12.4.2: Q in capitals", ASKS("br;Q=0.5"), CODING_ALL, CODING_BR},
    {"12.4.2: zero refuses", ASKS("br;q=0, zstd;q=0.0, gzip;q=0.000"), CODING_ALL, CODING_IDENTITY},
    {"12.5.3: identity that is preferred", ASKS("identity, gzip;q=0.5"), CODING_ALL, CODING_IDENTITY},
    {"12.5.3: identity that is equal comes after ours", ASKS("identity, gzip"), CODING_ALL, CODING_GZIP},
    {"12.5.3: identity unnamed comes after the least weight", ASKS("gzip;q=0.001"), CODING_ALL, CODING_GZIP},
    {"named twice, the lower counts", ASKS("gzip, gzip;q=0"), CODING_ALL, CODING_IDENTITY},
    {"named twice in the other order", ASKS("x-gzip;q=0, gzip"), CODING_ALL, CODING_IDENTITY},

    {"12.5.3: * is everything", ASKS("*"), CODING_ALL, CODING_BR},
    {"12.5.3: * is what is not named", ASKS("br;q=0, *"), CODING_ALL, CODING_ZSTD},
    {"12.5.3: * with a lower weight", ASKS("gzip, *;q=0.5"), CODING_ALL, CODING_GZIP},
    {"12.5.3: * with a higher weight", ASKS("gzip;q=0.2, *;q=0.5"), G | I, CODING_IDENTITY},
    {"12.5.3: *;q=0 refuses identity", ASKS("gzip, *;q=0"), I, NONE},
    {"12.5.3: *;q=0 and what is named", ASKS("gzip, *;q=0"), CODING_ALL, CODING_GZIP},
    {"12.5.3: *;q=0 and identity", ASKS("identity;q=0.5, *;q=0"), CODING_ALL, CODING_IDENTITY},
    {"12.5.3: *;q=0 alone refuses all", ASKS("*;q=0"), CODING_ALL, NONE},
    {"12.5.3: identity;q=0 wants a coding", ASKS("identity;q=0"), I, NONE},
    {"12.5.3: identity;q=0 and nothing else makes no coding acceptable", ASKS("identity;q=0"), CODING_ALL,
     NONE},
    {"12.5.3: identity;q=0 and *", ASKS("identity;q=0, *"), G | I, CODING_GZIP},
    {"12.5.3: a coding that does not exist", ASKS("br, identity;q=0"), G | I, NONE},
    {"12.5.3: identity;q=0 and *;q=0 with gzip", ASKS("identity;q=0, *;q=0, gzip;q=0.1"), CODING_ALL,
     CODING_GZIP},

    {"a weight above 1", ASKS("gzip;q=1.001"), CODING_ALL, CODING_IDENTITY},
    {"a weight of 2", ASKS("gzip;q=2"), CODING_ALL, CODING_IDENTITY},
    {"a weight with four digits", ASKS("gzip;q=0.1234"), CODING_ALL, CODING_IDENTITY},
    {"a weight without its zero", ASKS("gzip;q=.5"), CODING_ALL, CODING_IDENTITY},
    {"a weight of two digits before the point", ASKS("gzip;q=00.5"), CODING_ALL, CODING_IDENTITY},
    {"a negative weight", ASKS("gzip;q=-1"), CODING_ALL, CODING_IDENTITY},
    {"an empty weight", ASKS("gzip;q="), CODING_ALL, CODING_IDENTITY},
    {"a blank in the weight", ASKS("gzip;q= 0.5"), CODING_ALL, CODING_IDENTITY},
    {"another parameter", ASKS("gzip;level=9"), CODING_ALL, CODING_IDENTITY},
    {"a parameter behind the weight", ASKS("gzip;q=1;x=y"), CODING_ALL, CODING_IDENTITY},
    {"a semicolon alone", ASKS("gzip;"), CODING_ALL, CODING_IDENTITY},
    {"no name", ASKS(";q=1"), CODING_ALL, CODING_IDENTITY},
    {"two words", ASKS("gzip br"), CODING_ALL, CODING_IDENTITY},
    {"a mistake spoils what stands beside it", ASKS("br, gzip;q=x"), CODING_ALL, CODING_IDENTITY},
    {"a mistake refuses no identity", ASKS("identity;q=0, gzip;q=x"), CODING_ALL, CODING_IDENTITY},
};

#define ROW_COUNT (sizeof(rows) / sizeof(rows[0]))

static void the_coding_is_chosen(void **state)
{
    const struct row *row = *state;
    enum coding chosen = CODING_IDENTITY;
    int answer = negotiate_coding(request_head("GET", row->fields), row->available, &chosen);

    assert_int_equal(answer, row->expected == NONE ? ERR_NOT_FOUND : 0);
    if (row->expected != NONE)
        assert_int_equal(chosen, row->expected);
}

static void every_coding_has_its_registered_token(void **state)
{
    (void)state;
    assert_true(slice_equals(coding_token(CODING_BR), SLICE_LITERAL("br")));
    assert_true(slice_equals(coding_token(CODING_ZSTD), SLICE_LITERAL("zstd")));
    assert_true(slice_equals(coding_token(CODING_GZIP), SLICE_LITERAL("gzip")));
    assert_true(slice_equals(coding_suffix(CODING_ZSTD), SLICE_LITERAL(".zst")));
    assert_int_equal(coding_suffix(CODING_IDENTITY).length, 0);
}

int main(void)
{
    static struct CMUnitTest tests[ROW_COUNT + 1] = {
        cmocka_unit_test(every_coding_has_its_registered_token),
    };
    for (size_t i = 0; i < ROW_COUNT; i++)
        tests[1 + i] =
            (struct CMUnitTest){rows[i].name, the_coding_is_chosen, NULL, NULL, (void *)(uintptr_t)&rows[i]};
    return cmocka_run_group_tests_name("codings", tests, NULL, NULL);
}
