/* Trailers that are delivered: RFC 9112 section 7.1.2. What is refused stands in test_h1_chunks.c and must be
 * the same whether trailers are delivered or dropped. */
#include "guarded.h"
#include "proto/h1.h"
#include "unit.h"

#include <string.h>

struct outcome {
    int answer;
    enum h1_refusal refusal;
    uint32_t consumed;
    char text[16384]; /* data as it is, trailers as "<name|value>" */
    size_t length;
};

static void add(struct outcome *outcome, struct slice bytes)
{
    assert_true(outcome->length + bytes.length < sizeof(outcome->text));
    memcpy(outcome->text + outcome->length, bytes.at, bytes.length);
    outcome->length += bytes.length;
    outcome->text[outcome->length] = '\0';
}

static void add_trailer(struct outcome *outcome, struct slice line)
{
    struct h1_field field = h1_trailer_parse(line);
    add(outcome, SLICE_LITERAL("<"));
    add(outcome, field.name);
    add(outcome, SLICE_LITERAL("|"));
    add(outcome, field.value);
    add(outcome, SLICE_LITERAL(">"));
}

/* A ring as the caller has one: up to `split` at first, then all; what is not consumed is offered again. */
static void decode(struct slice bytes, uint32_t split, uint32_t step, struct outcome *outcome)
{
    struct h1_chunks chunks = {.keep_trailers = 1};
    uint32_t there = split;
    memset(outcome, 0, sizeof(*outcome));
    for (;;) {
        struct slice data;
        uint32_t consumed, offered = there - outcome->consumed;
        const char *at = guarded_copy(bytes.at + outcome->consumed, offered);
        outcome->answer = h1_chunks_next(&chunks, at, offered, &consumed, &data, &outcome->refusal);
        assert_true(consumed <= offered);
        assert_true(data.length == 0 || (data.at >= at && data.at + data.length <= at + consumed));
        outcome->consumed += consumed;
        if (outcome->answer == 0)
            add(outcome, data);
        else if (outcome->answer == H1_CHUNKS_TRAILER)
            add_trailer(outcome, data);
        else if (outcome->answer != ERR_PARTIAL || there == bytes.length)
            return;
        else
            there = bytes.length - there < step ? (uint32_t)bytes.length : there + step;
    }
}

static void assert_decoded(struct slice bytes, int answer, const char *text, uint32_t consumed)
{
    static struct outcome outcome;
    for (uint32_t split = 0; split <= bytes.length; split++) {
        decode(bytes, split, split == 0 ? 1 : (uint32_t)bytes.length, &outcome);
        assert_int_equal(outcome.answer, answer);
        assert_string_equal(outcome.text, text);
        assert_int_equal(outcome.consumed, consumed);
    }
}

static void a_body_without_trailers_ends_as_ever(void **state)
{
    const char *text = "5\r\nhello\r\n0\r\n\r\n";
    (void)state;
    assert_decoded(slice_of(text), H1_CHUNKS_END, "hello", (uint32_t)strlen(text));
    assert_decoded(slice_of("0\r\n\r\nGET /"), H1_CHUNKS_END, "", 5);
}

static void trailers_are_delivered_in_order_behind_the_data(void **state)
{
    const char *text = "5\r\nhello\r\n0;a=b\r\nA: b c \r\nEmpty:\r\nX:\t\xc3\xa4:d\r\n\r\n";
    (void)state;
    assert_decoded(slice_of(text), H1_CHUNKS_END, "hello<A|b c><Empty|><X|\xc3\xa4:d>",
                   (uint32_t)strlen(text));
}

/* What is there of a line stays in the ring, so that nothing of it must be kept anywhere else. */
static void an_incomplete_line_is_left_unconsumed(void **state)
{
    (void)state;
    assert_decoded(slice_of("0\r\n"), ERR_PARTIAL, "", 3);
    assert_decoded(slice_of("0\r\n\r"), ERR_PARTIAL, "", 3);
    assert_decoded(slice_of("0\r\nA: b\r"), ERR_PARTIAL, "", 3);
    assert_decoded(slice_of("0\r\nA: b\r\nC"), ERR_PARTIAL, "<A|b>", 9);
}

static void bad_trailers_are_refused_wherever_they_are_split(void **state)
{
    static const struct {
        const char *text;
        enum h1_refusal refusal;
    } rows[] = {
        {"0\r\nA: b\r\nC\r\n\r\n", H1_REFUSE_BAD_TRAILER},  {"0\r\nA : b\r\n\r\n", H1_REFUSE_BAD_TRAILER},
        {"0\r\nA: b\r\n c\r\n\r\n", H1_REFUSE_BAD_TRAILER}, {"0\r\nA: b\n\r\n", H1_REFUSE_BARE_LF},
        {"0\r\nA: b\rc\r\n\r\n", H1_REFUSE_BARE_CR},        {"0\r\nA: \x01\r\n\r\n", H1_REFUSE_CONTROL_BYTE},
        {"0\r\nA: b\r\n\r\r\n", H1_REFUSE_BARE_CR},
    };
    static struct outcome outcome;
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        for (uint32_t split = 0; split <= strlen(rows[i].text); split++) {
            decode(slice_of(rows[i].text), split, split == 0 ? 1 : 100, &outcome);
            assert_int_equal(outcome.answer, ERR_SYNTAX);
            assert_string_equal(h1_refusal_reason(outcome.refusal).at, h1_refusal_reason(rows[i].refusal).at);
        }
}

static void trailers_end_at_their_limit(void **state)
{
    static char text[H1_TRAILER_BYTES_MAX + 100];
    static struct outcome outcome;
    (void)state;
    for (size_t length = H1_TRAILER_BYTES_MAX - 1; length <= H1_TRAILER_BYTES_MAX + 1; length++) {
        /* "0 CRLF A:b… CRLF CRLF", `length` bytes behind the first line */
        memset(text, 'b', sizeof(text));
        memcpy(text, "0\r\nA:", 5);
        memcpy(text + 3 + length - 4, "\r\n\r\n", 4);
        decode((struct slice){text, 3 + length}, 100, 1000, &outcome);
        assert_int_equal(outcome.answer, length > H1_TRAILER_BYTES_MAX ? ERR_LIMIT : H1_CHUNKS_END);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_body_without_trailers_ends_as_ever),
        cmocka_unit_test(trailers_are_delivered_in_order_behind_the_data),
        cmocka_unit_test(an_incomplete_line_is_left_unconsumed),
        cmocka_unit_test(bad_trailers_are_refused_wherever_they_are_split),
        cmocka_unit_test(trailers_end_at_their_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
