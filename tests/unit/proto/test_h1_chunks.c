/* The chunked coding, RFC 9112 section 7.1: rows that are accepted, rows that are refused, limits. Each row
 * is decoded whole, split at every byte, byte by byte and in seeded random pieces, with the same outcome. */
#include "guarded.h"
#include "proto/h1.h"
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#define DATA_MAX 1024

struct outcome {
    int answer; /* H1_CHUNKS_END, ERR_PARTIAL or an error */
    enum h1_refusal refusal;
    uint32_t consumed; /* bytes of the body; where it ended */
    uint32_t data_length;
    char data[DATA_MAX];
};

/* Feeds bytes[0, length) and adds to the outcome. */
static void feed(struct h1_chunks *chunks, const char *bytes, uint32_t length, struct outcome *outcome)
{
    const char *at = guarded_copy(bytes, length), *end = at + length;
    do {
        struct slice data;
        uint32_t consumed;
        outcome->answer =
            h1_chunks_next(chunks, at, (uint32_t)(end - at), &consumed, &data, &outcome->refusal);
        assert_true(consumed <= (uint32_t)(end - at));
        if (outcome->answer == 0) {
            assert_true(data.length > 0 && data.at >= at && data.at + data.length == at + consumed);
            assert_true(outcome->data_length + data.length <= DATA_MAX);
            memcpy(outcome->data + outcome->data_length, data.at, data.length);
            outcome->data_length += (uint32_t)data.length;
        } else {
            assert_int_equal(data.length, 0);
        }
        at += consumed;
        outcome->consumed += consumed;
    } while (outcome->answer == 0);
    if (outcome->answer == ERR_PARTIAL)
        assert_ptr_equal(at, end);
}

static void assert_same_outcome(const struct outcome *a, const struct outcome *b)
{
    assert_int_equal(a->answer, b->answer);
    assert_int_equal(a->refusal, b->refusal);
    assert_int_equal(a->consumed, b->consumed);
    assert_int_equal(a->data_length, b->data_length);
    assert_memory_equal(a->data, b->data, a->data_length);
}

/* Feeds pieces whose lengths `piece` tells, until all is fed or the body has ended. */
static struct outcome decode_in_pieces(struct slice bytes, uint32_t (*piece)(uint32_t at, uint32_t argument),
                                       uint32_t argument)
{
    struct h1_chunks chunks = {0};
    struct outcome outcome = {.answer = ERR_PARTIAL};
    for (uint32_t at = 0; at < bytes.length && outcome.answer == ERR_PARTIAL;) {
        uint32_t left = (uint32_t)bytes.length - at, length = piece(at, argument);
        length = length < left ? length : left;
        feed(&chunks, bytes.at + at, length, &outcome);
        at += length;
    }
    return outcome;
}

static uint32_t piece_whole(uint32_t at, uint32_t argument)
{
    (void)at;
    (void)argument;
    return UINT32_MAX;
}

static uint32_t piece_split_once(uint32_t at, uint32_t split)
{
    return at == 0 ? split : UINT32_MAX;
}

static uint32_t piece_byte(uint32_t at, uint32_t argument)
{
    (void)at;
    (void)argument;
    return 1;
}

static uint32_t piece_random(uint32_t at, uint32_t seed)
{
    uint32_t mixed = (at + 1) * 2654435761u ^ seed * 40503u;
    return 1 + (mixed >> 16) % 7;
}

static struct outcome decode(struct slice bytes)
{
    struct outcome whole = decode_in_pieces(bytes, piece_whole, 0), other;
    other = decode_in_pieces(bytes, piece_byte, 0);
    assert_same_outcome(&whole, &other);
    for (uint32_t split = 1; split < bytes.length; split++) {
        other = decode_in_pieces(bytes, piece_split_once, split);
        assert_same_outcome(&whole, &other);
    }
    for (uint32_t seed = 0; seed < 50; seed++) {
        other = decode_in_pieces(bytes, piece_random, seed);
        assert_same_outcome(&whole, &other);
    }
    return whole;
}

#define BYTES(text)                                                                                          \
    {                                                                                                        \
        text, sizeof(text) - 1                                                                               \
    }
#define NEXT "GET / HTTP/1.1\r\n" /* the request behind the body must not be touched */

static const struct accepted_row {
    const char *name;
    struct slice body;
    const char *data;
} accepted_rows[] = {
#define ROW(name, text, data)                                                                                \
    {                                                                                                        \
        name, BYTES(text), data                                                                              \
    }
    ROW("RFC 9112 7.1: no data at all", "0\r\n\r\n", ""),
    ROW("RFC 9112 7.1: one chunk", "5\r\nhello\r\n0\r\n\r\n", "hello"),
    ROW("RFC 9112 7.1: three chunks", "1\r\na\r\n2\r\nbc\r\n3\r\ndef\r\n0\r\n\r\n", "abcdef"),
    ROW("RFC 9112 7.1: digits of either case", "a\r\n0123456789\r\nB\r\n0123456789a\r\n0\r\n\r\n",
        "01234567890123456789a"),
    ROW("RFC 9112 7.1: leading zeros", "0000000000000005\r\nhello\r\n000\r\n\r\n", "hello"),
    ROW("RFC 9112 7.1: data that looks like framing", "7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n", "\r\n0\r\n\r\n"),
    ROW("RFC 9112 7.1.1: an extension is ignored", "5;a\r\nhello\r\n0;b\r\n\r\n", "hello"),
    ROW("RFC 9112 7.1.1: an extension with a value", "5;a=b\r\nhello\r\n0\r\n\r\n", "hello"),
    ROW("RFC 9112 7.1.1: several extensions", "5;a=b;c;d=e\r\nhello\r\n0\r\n\r\n", "hello"),
    ROW("RFC 9112 7.1.1: a quoted value", "5;a=\"b;c=\\\"d\\\\\"\r\nhello\r\n0\r\n\r\n", "hello"),
    ROW("RFC 9112 7.1.1: an empty quoted value", "5;a=\"\";b\r\nhello\r\n0\r\n\r\n", "hello"),
    ROW("RFC 9112 7.1.1: a quoted value beyond ASCII", "5;a=\"\xc3\xa4\t\"\r\nhello\r\n0\r\n\r\n", "hello"),
    ROW("RFC 9112 7.1.1: white space where the grammar has it",
        "5 ; a\t= b ;c =\t\"d\" ;e\r\nhello\r\n0\r\n\r\n", "hello"),
    ROW("RFC 9112 7.1.2: trailers are dropped", "5\r\nhello\r\n0\r\nA: b\r\nC:\r\nD: \x09\xff \r\n\r\n",
        "hello"),
    ROW("RFC 9112 7.1.2: trailers that would be framing are dropped",
        "0\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", ""),
#undef ROW
};

static const struct refused_row {
    const char *name;
    struct slice body;
    enum h1_refusal refusal;
} refused_rows[] = {
#define ROW(name, text, refusal)                                                                             \
    {                                                                                                        \
        name, BYTES(text), H1_REFUSE_##refusal                                                               \
    }
    ROW("RFC 9112 7.1: no size", "\r\nhello", BAD_CHUNK_SIZE),
    ROW("RFC 9112 7.1: an empty size with an extension", ";a\r\nhello", BAD_CHUNK_SIZE),
    ROW("RFC 9112 7.1: a size that is no number", "x\r\n", BAD_CHUNK_SIZE),
    ROW("RFC 9112 7.1: a size with a prefix", "0x5\r\nhello", BAD_CHUNK_SIZE),
    ROW("RFC 9112 7.1: a size with a sign", "+5\r\nhello", BAD_CHUNK_SIZE),
    ROW("RFC 9112 7.1: a negative size", "-5\r\nhello", BAD_CHUNK_SIZE),
    ROW("RFC 9112 7.1: an underscore in a size", "1_0\r\n", BAD_CHUNK_SIZE),
    ROW("RFC 9112 7.1: a space before the size", " 5\r\nhello", BAD_CHUNK_SIZE),
    ROW("RFC 9112 7.1: a tab before a later size", "1\r\na\r\n\t1\r\nb", BAD_CHUNK_SIZE),
    ROW("RFC 9112 7.1: a space after the size", "5 \r\nhello", BAD_CHUNK_EXTENSION),
    ROW("RFC 9112 7.1: a tab after the size", "5\t\r\nhello", BAD_CHUNK_EXTENSION),
    ROW("RFC 9112 7.1: a space after the last size", "0 \r\n\r\n", BAD_CHUNK_EXTENSION),
    ROW("RFC 9112 7.1: text after the size", "5 a\r\nhello", BAD_CHUNK_EXTENSION),
    ROW("RFC 9112 7.1: NUL after the size", "5\0\r\nhello", CONTROL_BYTE),
    ROW("RFC 9112 7.1: a size of 17 digits", "00000000000000005\r\nhello", BAD_CHUNK_SIZE),
    ROW("RFC 9112 7.1: a size of 2^63", "8000000000000000\r\n", CONTENT_TOO_LARGE),
    ROW("RFC 9112 7.1: a size of 2^64 - 1", "ffffffffffffffff\r\n", CONTENT_TOO_LARGE),
    ROW("RFC 9112 7.1: a bare LF after the size", "5\nhello\r\n0\r\n\r\n", BARE_LF),
    ROW("RFC 9112 7.1: a bare CR after the size", "5\rhello\r\n0\r\n\r\n", BARE_CR),
    ROW("RFC 9112 7.1: CR CR LF after the size", "5\r\r\nhello\r\n", BARE_CR),
    ROW("RFC 9112 7.1: more data than the size says", "5\r\nhello!\r\n0\r\n\r\n", BAD_CHUNK_END),
    ROW("RFC 9112 7.1: less data than the size says", "6\r\nhello\r\n0\r\n\r\n", BAD_CHUNK_END),
    ROW("RFC 9112 7.1: a bare LF after the data", "5\r\nhello\n0\r\n\r\n", BAD_CHUNK_END),
    ROW("RFC 9112 7.1: a bare CR after the data", "5\r\nhello\r0\r\n\r\n", BAD_CHUNK_END),
    ROW("RFC 9112 7.1: a chunk without its line end", "5\r\nhello0\r\n\r\n", BAD_CHUNK_END),
    ROW("RFC 9112 7.1.1: a bare semicolon", "5;\r\nhello", BAD_CHUNK_EXTENSION),
    ROW("RFC 9112 7.1.1: a semicolon and a space", "5; \r\nhello", BAD_CHUNK_EXTENSION),
    ROW("RFC 9112 7.1.1: two semicolons", "5;;a\r\nhello", BAD_CHUNK_EXTENSION),
    ROW("RFC 9112 7.1.1: a semicolon at the end", "5;a;\r\nhello", BAD_CHUNK_EXTENSION),
    ROW("RFC 9112 7.1.1: a name that is no token", "5;a/b\r\nhello", BAD_CHUNK_EXTENSION),
    ROW("RFC 9112 7.1.1: no name", "5;=b\r\nhello", BAD_CHUNK_EXTENSION),
    ROW("RFC 9112 7.1.1: no value", "5;a=\r\nhello", BAD_CHUNK_EXTENSION),
    ROW("RFC 9112 7.1.1: two values", "5;a=b=c\r\nhello", BAD_CHUNK_EXTENSION),
    ROW("RFC 9112 7.1.1: a space at the end of an extension", "5;a \r\nhello", BAD_CHUNK_EXTENSION),
    ROW("RFC 9112 7.1.1: a space at the end of a value", "5;a=b \r\nhello", BAD_CHUNK_EXTENSION),
    ROW("RFC 9112 7.1.1: an open quote", "5;a=\"b\r\nhello", BAD_CHUNK_EXTENSION),
    ROW("RFC 9112 7.1.1: a CR in a quote", "5;a=\"b\rc\"\r\nhello", BAD_CHUNK_EXTENSION),
    ROW("RFC 9112 7.1.1: an LF in a quote", "5;a=\"b\nc\"\r\nhello", BARE_LF),
    ROW("RFC 9112 7.1.1: an escaped line end in a quote", "5;a=\"b\\\r\n\"\r\nhello", BAD_CHUNK_EXTENSION),
    ROW("RFC 9112 7.1.1: NUL in a quote", "5;a=\"\0\"\r\nhello", CONTROL_BYTE),
    ROW("RFC 9112 7.1.1: text behind a quote", "5;a=\"b\"c\r\nhello", BAD_CHUNK_EXTENSION),
    ROW("RFC 9112 7.1.1: a bare LF ends an extension", "5;a\nhello", BARE_LF),
    ROW("RFC 9112 7.1.1: NUL in an extension", "5;a\0\r\nhello", CONTROL_BYTE),
    ROW("RFC 9112 7.1: a bare LF as the last line", "0\r\n\n", BARE_LF),
    ROW("RFC 9112 7.1: a bare CR as the last line", "0\r\n\rx", BARE_CR),
    ROW("RFC 9112 7.1: the next request without an empty line", "0\r\nGET / HTTP/1.1\r\n", BAD_TRAILER),
    ROW("RFC 9112 7.1.2: a trailer without a colon", "0\r\nA\r\n\r\n", BAD_TRAILER),
    ROW("RFC 9112 7.1.2: a space before the colon", "0\r\nA : b\r\n\r\n", BAD_TRAILER),
    ROW("RFC 9112 7.1.2: a folded trailer", "0\r\nA: b\r\n c\r\n\r\n", BAD_TRAILER),
    ROW("RFC 9112 7.1.2: a trailer without a name", "0\r\n: b\r\n\r\n", BAD_TRAILER),
    ROW("RFC 9112 7.1.2: a bare LF in a trailer", "0\r\nA: b\n\r\n", BARE_LF),
    ROW("RFC 9112 7.1.2: a bare CR in a trailer", "0\r\nA: b\rc\r\n\r\n", BARE_CR),
    ROW("RFC 9112 7.1.2: NUL in a trailer", "0\r\nA: \0\r\n\r\n", CONTROL_BYTE),
#undef ROW
};

#define ACCEPTED_COUNT (sizeof(accepted_rows) / sizeof(accepted_rows[0]))
#define REFUSED_COUNT (sizeof(refused_rows) / sizeof(refused_rows[0]))

static void the_body_is_decoded(void **state)
{
    const struct accepted_row *row = *state;
    char bytes[512];
    size_t length = row->body.length;
    assert_true(length + sizeof(NEXT) <= sizeof(bytes));
    memcpy(bytes, row->body.at, length);
    memcpy(bytes + length, NEXT, sizeof(NEXT));
    struct outcome outcome = decode((struct slice){bytes, length + sizeof(NEXT) - 1});
    assert_int_equal(outcome.answer, H1_CHUNKS_END);
    assert_int_equal(outcome.refusal, H1_REFUSE_NOTHING);
    assert_int_equal(outcome.consumed, length);
    assert_int_equal(outcome.data_length, strlen(row->data));
    assert_memory_equal(outcome.data, row->data, outcome.data_length);
    for (size_t cut = 0; cut < length; cut++) {
        outcome = decode_in_pieces((struct slice){bytes, cut}, piece_whole, 0);
        assert_int_equal(outcome.answer, ERR_PARTIAL);
    }
}

static void the_body_is_refused(void **state)
{
    const struct refused_row *row = *state;
    struct outcome outcome = decode(row->body);
    assert_string_equal(h1_refusal_reason(outcome.refusal).at, h1_refusal_reason(row->refusal).at);
    assert_int_equal(outcome.answer, row->refusal == H1_REFUSE_CONTENT_TOO_LARGE ? ERR_LIMIT : ERR_SYNTAX);
}

/* Repeats `unit` until the decoder says something else than "more" or "data"; counts the repetitions. */
static unsigned repeat_until_decided(const char *start, const char *unit, unsigned at_most, int *answer,
                                     enum h1_refusal *refusal)
{
    struct h1_chunks chunks = {0};
    struct outcome outcome = {.answer = ERR_PARTIAL};
    unsigned count = 0;
    feed(&chunks, start, (uint32_t)strlen(start), &outcome);
    while (outcome.answer == ERR_PARTIAL && count < at_most) {
        outcome.data_length = 0;
        feed(&chunks, unit, (uint32_t)strlen(unit), &outcome);
        count++;
    }
    *answer = outcome.answer;
    *refusal = outcome.refusal;
    return count;
}

/* RFC 9112 section 7.1.1: "ought to limit the total length of chunk extensions". */
static void extensions_may_outweigh_the_data_only_by_the_limit(void **state)
{
    enum h1_refusal refusal;
    int answer;
    (void)state;
    /* One long extension: its first byte is in the start. */
    assert_int_equal(repeat_until_decided("5;", "a", 1 << 20, &answer, &refusal), H1_CHUNK_OVERHEAD_MAX);
    assert_int_equal(answer, ERR_SYNTAX);
    assert_int_equal(refusal, H1_REFUSE_CHUNK_OVERHEAD);
    /* Many small ones: 5 bytes of extension for 1 of data leave 4 each. */
    unsigned chunks = repeat_until_decided("", "1;a=bc\r\nx\r\n", 1 << 20, &answer, &refusal);
    assert_in_range(chunks, H1_CHUNK_OVERHEAD_MAX / 4 - 2, H1_CHUNK_OVERHEAD_MAX / 4 + 2);
    assert_int_equal(refusal, H1_REFUSE_CHUNK_OVERHEAD);
}

static void a_long_body_in_small_chunks_is_not_taken_for_an_attack(void **state)
{
    enum h1_refusal refusal;
    int answer;
    (void)state;
    assert_int_equal(repeat_until_decided("", "1\r\nx\r\n", 100000, &answer, &refusal), 100000);
    assert_int_equal(answer, ERR_PARTIAL);
    assert_int_equal(repeat_until_decided("", "a;b=12345\r\n0123456789\r\n", 100000, &answer, &refusal),
                     100000);
    assert_int_equal(answer, ERR_PARTIAL);
}

static void trailers_end_at_their_limit(void **state)
{
    enum h1_refusal refusal;
    int answer;
    (void)state;
    assert_int_equal(repeat_until_decided("0\r\nA:", "b", 1 << 20, &answer, &refusal),
                     H1_TRAILER_BYTES_MAX - 1);
    assert_int_equal(answer, ERR_LIMIT);
    assert_int_equal(refusal, H1_REFUSE_TRAILERS_TOO_LARGE);
    assert_in_range(repeat_until_decided("0\r\n", "A: b\r\n", 1 << 20, &answer, &refusal),
                    H1_TRAILER_BYTES_MAX / 6, H1_TRAILER_BYTES_MAX / 6 + 1);
    assert_int_equal(refusal, H1_REFUSE_TRAILERS_TOO_LARGE);
}

static void the_largest_chunk_is_counted_down_exactly(void **state)
{
    struct h1_chunks chunks = {0};
    struct slice data;
    enum h1_refusal refusal;
    uint32_t consumed;
    const char *text = "7fffffffffffffff\r\nab";
    (void)state;
    assert_int_equal(h1_chunks_next(&chunks, text, (uint32_t)strlen(text), &consumed, &data, &refusal), 0);
    assert_int_equal(data.length, 2);
    assert_true(chunks.left == (uint64_t)INT64_MAX - 2);
}

static void an_end_and_a_refusal_stay_what_they_are(void **state)
{
    struct h1_chunks ended = {0}, failed = {0};
    struct slice data;
    enum h1_refusal refusal;
    uint32_t consumed;
    (void)state;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(h1_chunks_next(&ended, "0\r\n\r\n", 5, &consumed, &data, &refusal), H1_CHUNKS_END);
        assert_int_equal(consumed, i == 0 ? 5 : 0);
        assert_int_equal(h1_chunks_next(&failed, i == 0 ? "x" : "5", 1, &consumed, &data, &refusal),
                         ERR_SYNTAX);
        assert_int_equal(refusal, H1_REFUSE_BAD_CHUNK_SIZE);
    }
}

static void a_state_of_another_version_is_refused_not_trusted(void **state)
{
    struct h1_chunks chunks = {.step = 200};
    struct slice data;
    enum h1_refusal refusal;
    uint32_t consumed;
    (void)state;
    assert_int_equal(h1_chunks_next(&chunks, "0\r\n\r\n", 5, &consumed, &data, &refusal), ERR_SYNTAX);
    assert_int_not_equal(refusal, H1_REFUSE_NOTHING);
}

static void no_bytes_are_no_news(void **state)
{
    struct h1_chunks chunks = {0};
    struct slice data;
    enum h1_refusal refusal;
    uint32_t consumed = 9;
    (void)state;
    assert_int_equal(h1_chunks_next(&chunks, NULL, 0, &consumed, &data, &refusal), ERR_PARTIAL);
    assert_int_equal(consumed, 0);
    assert_int_equal(data.length, 0);
}

int main(void)
{
    const struct CMUnitTest others[] = {
        cmocka_unit_test(extensions_may_outweigh_the_data_only_by_the_limit),
        cmocka_unit_test(a_long_body_in_small_chunks_is_not_taken_for_an_attack),
        cmocka_unit_test(trailers_end_at_their_limit),
        cmocka_unit_test(the_largest_chunk_is_counted_down_exactly),
        cmocka_unit_test(an_end_and_a_refusal_stay_what_they_are),
        cmocka_unit_test(a_state_of_another_version_is_refused_not_trusted),
        cmocka_unit_test(no_bytes_are_no_news),
    };
    static struct CMUnitTest tests[ACCEPTED_COUNT + REFUSED_COUNT + sizeof(others) / sizeof(others[0])];
    struct CMUnitTest *test = tests;
    for (size_t i = 0; i < ACCEPTED_COUNT; i++)
        *test++ = (struct CMUnitTest){accepted_rows[i].name, the_body_is_decoded, NULL, NULL,
                                      (void *)(uintptr_t)&accepted_rows[i]};
    for (size_t i = 0; i < REFUSED_COUNT; i++)
        *test++ = (struct CMUnitTest){refused_rows[i].name, the_body_is_refused, NULL, NULL,
                                      (void *)(uintptr_t)&refused_rows[i]};
    memcpy(test, others, sizeof(others));
    return cmocka_run_group_tests_name("chunked bodies", tests, NULL, NULL);
}
