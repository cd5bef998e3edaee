/* What a few fields say of framing and connection, whatever their order: RFC 9112 sections 6 and 9.3, RFC 9110 section 10.1.1. */
#include "proto/h1_internal.h"
#include "unit.h"

#include <string.h>

static struct h1_head head;

/* Notes of "Name: value" lines; NULL ends them. */
static struct h1_notes notes_of(const char *const *lines)
{
    struct h1_notes notes = {0};

    for (; *lines; lines++) {
        const char *colon = strchr(*lines, ':');
        struct h1_field field = {.name = h1_slice(*lines, colon), .value = slice_of(colon + 2)};

        h1_notes_take(&notes, &field);
    }
    return notes;
}

static enum h1_refusal decided(int version_minor, const char *const *lines)
{
    struct h1_notes notes = notes_of(lines);

    head = (struct h1_head){.version_minor = version_minor};
    return h1_notes_decide(&notes, &head);
}

#define LINES(...) ((const char *const[]){__VA_ARGS__, NULL})
#define DECIDED(...) decided(1, LINES("Host: a", __VA_ARGS__))

/* RFC 9112 section 3.2. */
static void a_request_of_1_1_has_one_valid_host(void **state)
{
    (void)state;
    assert_int_equal(decided(1, LINES("X: y")), H1_REFUSE_HOST_MISSING);
    assert_int_equal(decided(0, LINES("X: y")), H1_REFUSE_NOTHING);
    assert_int_equal(decided(1, LINES("Host: a", "HOST: a")), H1_REFUSE_HOST_REPEATED);
    assert_int_equal(decided(1, LINES("Host: a, b")), H1_REFUSE_HOST_INVALID);
    assert_int_equal(decided(1, LINES("host: a:81")), H1_REFUSE_NOTHING);
    assert_int_equal(head.host.length, 1);
    assert_int_equal(head.host_port, 81);
}

static void the_host_of_an_absolute_target_counts_before_the_field_which_is_checked_all_the_same(void **state)
{
    struct h1_notes notes = notes_of(LINES("Host: b:2"));
    (void)state;
    head = (struct h1_head){.version_minor = 1, .host = SLICE_LITERAL("aa"), .host_port = 1};
    assert_int_equal(h1_notes_decide(&notes, &head), H1_REFUSE_NOTHING);
    assert_int_equal(head.host.length, 2);
    assert_int_equal(head.host_port, 1);
    notes = notes_of(LINES("Host: b@c"));
    assert_int_equal(h1_notes_decide(&notes, &head), H1_REFUSE_HOST_INVALID);
}

/* RFC 9112 section 6.3. */
static void a_length_is_one_plain_number(void **state)
{
    (void)state;
    assert_int_equal(DECIDED("X: y"), H1_REFUSE_NOTHING);
    assert_int_equal(head.content_length, -1);
    assert_false(head.has_body);
    assert_int_equal(DECIDED("Content-Length: 0"), H1_REFUSE_NOTHING);
    assert_int_equal(head.content_length, 0);
    assert_false(head.has_body);
    assert_int_equal(DECIDED("content-length: 42"), H1_REFUSE_NOTHING);
    assert_int_equal(head.content_length, 42);
    assert_true(head.has_body);
    assert_int_equal(DECIDED("Content-Length: 1", "Content-Length: 1"), H1_REFUSE_LENGTH_REPEATED);
    for (const char *const *line = LINES("Content-Length: ", "Content-Length: +1", "Content-Length: -1",
                                         "Content-Length: 1,1", "Content-Length: 1 1", "Content-Length: 0x1");
         *line; line++)
        assert_int_equal(DECIDED(*line), H1_REFUSE_LENGTH_INVALID);
    assert_int_equal(DECIDED("Content-Length: 99999999999999999999"), H1_REFUSE_CONTENT_TOO_LARGE);
}

/* RFC 9112 sections 6.1, 6.3 and 7.1. */
static void a_body_is_chunked_if_that_is_the_only_coding_and_named_once(void **state)
{
    static const struct {
        const char *line;
        enum h1_refusal refusal;
    } cases[] = {
        {"Transfer-Encoding: chunked", H1_REFUSE_NOTHING},
        {"Transfer-Encoding: Chunked", H1_REFUSE_NOTHING},
        {"Transfer-Encoding: , chunked ,", H1_REFUSE_NOTHING},
        {"Transfer-Encoding: ", H1_REFUSE_CODING_EMPTY},
        {"Transfer-Encoding: ,", H1_REFUSE_CODING_EMPTY},
        {"Transfer-Encoding: chunked;a=b", H1_REFUSE_CODING_INVALID},
        {"Transfer-Encoding: gz(ip, chunked", H1_REFUSE_CODING_INVALID},
        {"Transfer-Encoding: chunked, chunked", H1_REFUSE_CHUNKED_REPEATED},
        {"Transfer-Encoding: chunked, gzip", H1_REFUSE_CHUNKED_NOT_LAST},
        {"Transfer-Encoding: gzip", H1_REFUSE_CHUNKED_NOT_LAST},
        {"Transfer-Encoding: gzip;q=1, chunked", H1_REFUSE_CODING_UNKNOWN},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (DECIDED(cases[i].line) != cases[i].refusal)
            print_error("%s\n", cases[i].line);
        assert_int_equal(DECIDED(cases[i].line), cases[i].refusal);
        assert_int_equal(head.chunked, cases[i].refusal == H1_REFUSE_NOTHING);
    }
    assert_int_equal(DECIDED("Transfer-Encoding: gzip", "Transfer-Encoding: chunked"),
                     H1_REFUSE_CODING_UNKNOWN);
    assert_int_equal(DECIDED("Transfer-Encoding: chunked", "Transfer-Encoding: gzip"),
                     H1_REFUSE_CHUNKED_NOT_LAST);
    assert_int_equal(decided(0, LINES("Transfer-Encoding: chunked")), H1_REFUSE_CODING_IN_1_0);
}

static void length_and_coding_together_are_refused_in_either_order(void **state)
{
    (void)state;
    assert_int_equal(DECIDED("Content-Length: 1", "Transfer-Encoding: chunked"), H1_REFUSE_LENGTH_AND_CODING);
    assert_int_equal(DECIDED("Transfer-Encoding: chunked", "Content-Length: 1"), H1_REFUSE_LENGTH_AND_CODING);
    assert_int_equal(decided(0, LINES("Transfer-Encoding: x", "Content-Length: 1")),
                     H1_REFUSE_LENGTH_AND_CODING);
}

/* RFC 9112 section 9.3. */
static void a_connection_stays_open_as_version_and_options_say(void **state)
{
    (void)state;
    assert_int_equal(DECIDED("X: y"), H1_REFUSE_NOTHING);
    assert_true(head.keep_alive);
    assert_int_equal(DECIDED("Connection: x, Close"), H1_REFUSE_NOTHING);
    assert_false(head.keep_alive);
    assert_int_equal(DECIDED("Connection: keep-alive", "Connection: close"), H1_REFUSE_NOTHING);
    assert_false(head.keep_alive);
    assert_int_equal(decided(0, LINES("X: y")), H1_REFUSE_NOTHING);
    assert_false(head.keep_alive);
    assert_int_equal(decided(0, LINES("Connection: Keep-Alive")), H1_REFUSE_NOTHING);
    assert_true(head.keep_alive);
    assert_int_equal(DECIDED("Connection: closed"), H1_REFUSE_NOTHING);
    assert_true(head.keep_alive);
    assert_int_equal(DECIDED("Connection: Upgrade"), H1_REFUSE_NOTHING);
    assert_true(head.wants_upgrade);
}

/* RFC 9110 section 10.1.1. */
static void an_expectation_counts_with_a_body_and_from_1_1_on(void **state)
{
    (void)state;
    assert_int_equal(DECIDED("Expect: 100-Continue", "Content-Length: 1"), H1_REFUSE_NOTHING);
    assert_true(head.expect_continue);
    assert_int_equal(DECIDED("Expect: 100-continue"), H1_REFUSE_NOTHING);
    assert_false(head.expect_continue);
    assert_int_equal(DECIDED("Expect: 200-ok"), H1_REFUSE_EXPECTATION_UNKNOWN);
    assert_int_equal(decided(0, LINES("Expect: 200-ok", "Content-Length: 1")), H1_REFUSE_NOTHING);
    assert_false(head.expect_continue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_of_1_1_has_one_valid_host),
        cmocka_unit_test(
            the_host_of_an_absolute_target_counts_before_the_field_which_is_checked_all_the_same),
        cmocka_unit_test(a_length_is_one_plain_number),
        cmocka_unit_test(a_body_is_chunked_if_that_is_the_only_coding_and_named_once),
        cmocka_unit_test(length_and_coding_together_are_refused_in_either_order),
        cmocka_unit_test(a_connection_stays_open_as_version_and_options_say),
        cmocka_unit_test(an_expectation_counts_with_a_body_and_from_1_1_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
