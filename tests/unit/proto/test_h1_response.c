/* The head of a response: what is accepted and what it means, what is refused, one row each. Where the RFC
 * leaves a choice, the row holds the one made here. */
#include "guarded.h"
#include "response_driver.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>

#define OK "HTTP/1.1 200 OK\r\n"
#define BYTES(text)                                                                                          \
    {                                                                                                        \
        text, sizeof(text) - 1                                                                               \
    }

static const struct accepted_row {
    const char *name;
    struct slice bytes;
    int is_head_request, status;
    enum h1_body body;
    int64_t content_length;
    int keep_alive;
} accepted_rows[] = {
#define ROW(name, text, is_head, status, body, content_length, keep_alive)                                   \
    {                                                                                                        \
        name, BYTES(text), is_head, status, H1_BODY_##body, content_length, keep_alive                       \
    }
    ROW("RFC 9112 6.3: a length", OK "Content-Length: 5\r\n\r\n", 0, 200, LENGTH, 5, 1),
    ROW("RFC 9112 6.3: a length of 0", OK "Content-Length: 0\r\n\r\n", 0, 200, NONE, 0, 1),
    ROW("RFC 9112 6.3: the largest length", OK "Content-Length: 9223372036854775807\r\n\r\n", 0, 200, LENGTH,
        INT64_MAX, 1),
    ROW("RFC 9112 6.3: chunked", OK "Transfer-Encoding: Chunked\r\n\r\n", 0, 200, CHUNKED, -1, 1),
    ROW("RFC 9112 6.3: chunked, on two lines", OK "Transfer-Encoding:\r\nTransfer-Encoding: chunked\r\n\r\n",
        0, 200, CHUNKED, -1, 1),
    ROW("RFC 9112 6.3: neither: up to the end", OK "\r\n", 0, 200, TO_END, -1, 0),
    ROW("RFC 9112 6.3: up to the end whatever Connection says", OK "Connection: keep-alive\r\n\r\n", 0, 200,
        TO_END, -1, 0),
    ROW("RFC 9112 6.3: HEAD with a length", OK "Content-Length: 5\r\n\r\n", 1, 200, NONE, 5, 1),
    ROW("RFC 9112 6.3: HEAD, chunked", OK "Transfer-Encoding: chunked\r\n\r\n", 1, 200, NONE, -1, 1),
    ROW("RFC 9112 6.3: HEAD, neither", OK "\r\n", 1, 200, NONE, -1, 1),
    ROW("RFC 9112 6.3: 204", "HTTP/1.1 204 No Content\r\n\r\n", 0, 204, NONE, -1, 1),
    ROW("RFC 9110 8.6: 204 with a length of 0", "HTTP/1.1 204 \r\nContent-Length: 0\r\n\r\n", 0, 204, NONE, 0,
        1),
    ROW("RFC 9110 8.6: 204 with a length is not reused", "HTTP/1.1 204 \r\nContent-Length: 5\r\n\r\n", 0, 204,
        NONE, 5, 0),
    ROW("RFC 9112 6.1: 204, chunked, is not reused", "HTTP/1.1 204 \r\nTransfer-Encoding: chunked\r\n\r\n", 0,
        204, NONE, -1, 0),
    ROW("RFC 9112 6.3: 304 with the length of the 200",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 0, 304, NONE, 5, 1),
    ROW("RFC 9112 6.1: 304, chunked", "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n", 0,
        304, NONE, -1, 1),
    ROW("RFC 9112 6.3: 205 is framed like others", "HTTP/1.1 205 Reset Content\r\nContent-Length: 5\r\n\r\n",
        0, 205, LENGTH, 5, 1),
    ROW("RFC 9112 6.3: 100", "HTTP/1.1 100 Continue\r\n\r\n", 0, 100, NONE, -1, 1),
    ROW("RFC 9112 6.3: 100 with a length of 0", "HTTP/1.1 100 Continue\r\nContent-Length: 0\r\n\r\n", 0, 100,
        NONE, 0, 1),
    ROW("RFC 8297 2: 103", "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n", 0, 103, NONE, -1,
        1),
    ROW("RFC 9110 15: an unknown status", "HTTP/1.1 299 Whatever\r\nContent-Length: 1\r\n\r\n", 0, 299,
        LENGTH, 1, 1),
    ROW("RFC 9110 15: a status outside the classes", "HTTP/1.1 999 No\r\nContent-Length: 1\r\n\r\n", 0, 999,
        LENGTH, 1, 1),
    ROW("RFC 9112 4: no phrase", "HTTP/1.1 200 \r\nContent-Length: 1\r\n\r\n", 0, 200, LENGTH, 1, 1),
    ROW("RFC 9112 4: no phrase and no space, as many send it", "HTTP/1.1 200\r\nContent-Length: 1\r\n\r\n", 0,
        200, LENGTH, 1, 1),
    ROW("RFC 9112 4: a phrase beyond ASCII", "HTTP/1.1 200 \xc3\xa4\tb\r\nContent-Length: 1\r\n\r\n", 0, 200,
        LENGTH, 1, 1),
    ROW("RFC 9112 9.3: close", OK "Connection: Close\r\nContent-Length: 1\r\n\r\n", 0, 200, LENGTH, 1, 0),
    ROW("RFC 9112 9.3: close among others", OK "Connection: a, close\r\nContent-Length: 1\r\n\r\n", 0, 200,
        LENGTH, 1, 0),
    ROW("RFC 9112 9.3: close wins", OK "Connection: keep-alive, close\r\nContent-Length: 1\r\n\r\n", 0, 200,
        LENGTH, 1, 0),
    ROW("RFC 9112 9.3: HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n", 0, 200, LENGTH, 1, 0),
    ROW("RFC 9112 9.3: HTTP/1.0 with keep-alive",
        "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\n", 0, 200, LENGTH, 1, 1),
    ROW("RFC 9110 2.5: HTTP/1.3", "HTTP/1.3 200 OK\r\nContent-Length: 1\r\n\r\n", 0, 200, LENGTH, 1, 1),
#undef ROW
};

static const struct refused_row {
    const char *name;
    struct slice bytes;
    enum h1_refusal refusal;
} refused_rows[] = {
#define ROW(name, text, refusal)                                                                             \
    {                                                                                                        \
        name, BYTES(text), H1_REFUSE_##refusal                                                               \
    }
    /* The status line. */
    ROW("RFC 9112 2.2: an empty line before the status line", "\r\n" OK "\r\n", BAD_STATUS_LINE),
    ROW("RFC 9112 4: something that is no HTTP", "SSH-2.0-OpenSSH\r\n", BAD_STATUS_LINE),
    ROW("RFC 9113 3.4: frames of HTTP/2", "\0\0\x12\x04\0\0\0\0\0", BAD_STATUS_LINE),
    ROW("RFC 9112 4: a space before it", " " OK "\r\n", BAD_STATUS_LINE),
    ROW("RFC 9112 2.3: a small http", "http/1.1 200 OK\r\n\r\n", BAD_STATUS_LINE),
    ROW("RFC 9112 2.3: a minor version of two digits", "HTTP/1.10 200 OK\r\n\r\n", BAD_STATUS_LINE),
    ROW("RFC 9112 2.3: no minor version", "HTTP/1 200 OK\r\n\r\n", BAD_STATUS_LINE),
    ROW("RFC 9112 2.3: no version", "HTTP/ 200 OK\r\n\r\n", BAD_STATUS_LINE),
    ROW("RFC 9110 2.5: HTTP/2", "HTTP/2 200 \r\n\r\n", BAD_STATUS_LINE),
    ROW("RFC 9110 2.5: HTTP/2.0", "HTTP/2.0 200 OK\r\n\r\n", VERSION_UNKNOWN),
    ROW("RFC 9110 2.5: HTTP/0.9 by name", "HTTP/0.9 200 OK\r\n\r\n", VERSION_UNKNOWN),
    ROW("RFC 9112 4: a version alone", "HTTP/1.1\r\n\r\n", BAD_STATUS_LINE),
    ROW("RFC 9112 4: a version and a space", "HTTP/1.1 \r\n\r\n", BAD_STATUS),
    ROW("RFC 9112 4: two spaces before the status", "HTTP/1.1  200 OK\r\n\r\n", BAD_STATUS),
    ROW("RFC 9112 4: a tab before the status", "HTTP/1.1\t200 OK\r\n\r\n", BAD_STATUS_LINE),
    ROW("RFC 9112 4: a status of two digits", "HTTP/1.1 20 OK\r\n\r\n", BAD_STATUS),
    ROW("RFC 9112 4: a status of four digits", "HTTP/1.1 2000 OK\r\n\r\n", BAD_STATUS),
    ROW("RFC 9112 4: a status with a letter", "HTTP/1.1 2O0 OK\r\n\r\n", BAD_STATUS),
    ROW("RFC 9112 4: a status with a sign", "HTTP/1.1 +20 OK\r\n\r\n", BAD_STATUS),
    ROW("RFC 9110 15: a status below 100", "HTTP/1.1 099 OK\r\n\r\n", BAD_STATUS),
    ROW("RFC 9110 15: a status of 0", "HTTP/1.1 000 OK\r\n\r\n", BAD_STATUS),
    ROW("RFC 9112 4: no space behind the status", "HTTP/1.1 200OK\r\n\r\n", BAD_STATUS),
    ROW("RFC 9112 4: a tab behind the status", "HTTP/1.1 200\tOK\r\n\r\n", BAD_STATUS),
    ROW("RFC 9112 4: a control byte in the phrase", "HTTP/1.1 200 O\x01K\r\n\r\n", CONTROL_BYTE),
    ROW("RFC 9112 4: NUL in the phrase", "HTTP/1.1 200 O\0K\r\n\r\n", CONTROL_BYTE),
    ROW("RFC 9112 2.2: a bare CR in the phrase", "HTTP/1.1 200 O\rK\r\n\r\n", BARE_CR),
    ROW("RFC 9112 2.2: a bare LF after the status line", "HTTP/1.1 200 OK\nA: b\r\n\r\n", BARE_LF),
    ROW("RFC 9112 2.2: a head that ends in LF LF", "HTTP/1.1 200 OK\n\n", BARE_LF),
    /* Field lines; the rest stands in test_h1_refused.c, as the same code reads them. */
    ROW("RFC 9112 2.2: white space before the first field", OK " A: b\r\n\r\n", OBS_FOLD),
    ROW("RFC 9112 5.2: a folded line", OK "A: b\r\n c\r\n\r\n", OBS_FOLD),
    ROW("RFC 9112 5.1: a space before the colon", OK "Content-Length : 1\r\n\r\n", SPACE_BEFORE_COLON),
    ROW("RFC 9112 5: no colon", OK "A\r\n\r\n", COLON_MISSING),
    ROW("RFC 9112 5: an empty name", OK ": b\r\n\r\n", BAD_FIELD_NAME),
    ROW("RFC 9112 2.2: a bare LF after a field", OK "A: b\nC: d\r\n\r\n", BARE_LF),
    ROW("RFC 9112 2.2: a bare CR in a value", OK "A: b\rc\r\n\r\n", BARE_CR),
    ROW("RFC 9110 5.5: NUL in a value", OK "A: b\0\r\n\r\n", CONTROL_BYTE),
    ROW("RFC 9110 5.5: DEL in a value", OK "A: b\x7f\r\n\r\n", CONTROL_BYTE),
    /* Framing. */
    ROW("RFC 9112 6.3: two lengths", OK "Content-Length: 1\r\nContent-Length: 2\r\n\r\n", LENGTH_REPEATED),
    ROW("RFC 9112 6.3: two lengths that agree", OK "Content-Length: 1\r\nContent-Length: 1\r\n\r\n",
        LENGTH_REPEATED),
    ROW("RFC 9112 6.3: a list of lengths", OK "Content-Length: 1, 1\r\n\r\n", LENGTH_INVALID),
    ROW("RFC 9112 6.3: an empty length", OK "Content-Length:\r\n\r\n", LENGTH_INVALID),
    ROW("RFC 9112 6.3: a negative length", OK "Content-Length: -1\r\n\r\n", LENGTH_INVALID),
    ROW("RFC 9112 6.3: a length with a sign", OK "Content-Length: +1\r\n\r\n", LENGTH_INVALID),
    ROW("RFC 9112 6.3: a length in hexadecimal", OK "Content-Length: 0x1\r\n\r\n", LENGTH_INVALID),
    ROW("RFC 9112 6.3: a length of 2^63", OK "Content-Length: 9223372036854775808\r\n\r\n",
        CONTENT_TOO_LARGE),
    ROW("RFC 9112 6.3: a bad length, also where no body follows",
        "HTTP/1.1 304 OK\r\nContent-Length: x\r\n\r\n", LENGTH_INVALID),
    ROW("RFC 9112 6.3: a length and a coding", OK "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        LENGTH_AND_CODING),
    ROW("RFC 9112 6.3: a coding and a length", OK "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
        LENGTH_AND_CODING),
    ROW("RFC 9112 6.1: a coding in HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        CODING_IN_1_0),
    ROW("RFC 9112 6.1: an empty coding", OK "Transfer-Encoding:\r\n\r\n", CODING_EMPTY),
    ROW("RFC 9112 6.1: chunked is not the last", OK "Transfer-Encoding: chunked, gzip\r\n\r\n",
        CHUNKED_NOT_LAST),
    ROW("RFC 9112 6.3: no chunked at all", OK "Transfer-Encoding: gzip\r\n\r\n", CHUNKED_NOT_LAST),
    ROW("RFC 9112 7: identity is no coding any more", OK "Transfer-Encoding: identity\r\n\r\n",
        CHUNKED_NOT_LAST),
    ROW("RFC 9112 6.1: an unknown coding", OK "Transfer-Encoding: gzip, chunked\r\n\r\n", CODING_UNKNOWN),
    ROW("RFC 9112 6.1: chunked twice", OK "Transfer-Encoding: chunked, chunked\r\n\r\n", CHUNKED_REPEATED),
    ROW("RFC 9112 7.1: chunked with a parameter", OK "Transfer-Encoding: chunked;a=b\r\n\r\n",
        CODING_INVALID),
    ROW("RFC 9112 6.1: a coding with a vertical tab",
        OK "Transfer-Encoding: \x0b"
           "chunked\r\n\r\n",
        CONTROL_BYTE),
    ROW("RFC 9110 8.6: a length in an interim response", "HTTP/1.1 100 Continue\r\nContent-Length: 1\r\n\r\n",
        BODY_IN_INTERIM),
    ROW("RFC 9112 6.1: a coding in an interim response",
        "HTTP/1.1 101 Switching Protocols\r\nTransfer-Encoding: chunked\r\n\r\n", BODY_IN_INTERIM),
#undef ROW
};

#define ACCEPTED_COUNT (sizeof(accepted_rows) / sizeof(accepted_rows[0]))
#define REFUSED_COUNT (sizeof(refused_rows) / sizeof(refused_rows[0]))

static void the_response_is_accepted(void **state)
{
    const struct accepted_row *row = *state;
    struct h1_response response;
    enum h1_refusal refusal;
    int answer = response_drive(row->bytes, row->is_head_request, &response, &refusal);
    assert_string_equal(h1_response_refusal_reason(refusal).at, "");
    assert_int_equal(answer, 0);
    assert_int_equal(response.status, row->status);
    assert_int_equal(response.body, row->body);
    assert_true(response.content_length == row->content_length);
    assert_int_equal(response.keep_alive, row->keep_alive);
}

static void the_response_is_refused(void **state)
{
    const struct refused_row *row = *state;
    struct h1_response response;
    enum h1_refusal refusal = H1_REFUSE_NOTHING;
    int answer = response_drive(row->bytes, 0, &response, &refusal);
    assert_string_equal(h1_response_refusal_reason(refusal).at, h1_response_refusal_reason(row->refusal).at);
    switch (h1_refusal_status(row->refusal)) {
    case 413:
        assert_int_equal(answer, ERR_LIMIT);
        break;
    case 501:
        assert_int_equal(answer, ERR_UNSUPPORTED);
        break;
    case 505:
        assert_int_equal(answer, ERR_VERSION);
        break;
    default:
        assert_int_equal(answer, ERR_SYNTAX);
    }
}

static void assert_slice(struct slice slice, const char *expected)
{
    assert_int_equal(slice.length, strlen(expected));
    assert_memory_equal(slice.at, expected, slice.length);
}

static void a_response_is_taken_apart(void **state)
{
    struct h1_response response;
    enum h1_refusal refusal;
    (void)state;
    assert_int_equal(response_drive(slice_of("HTTP/1.0 404 Not  Found at all \r\nA: \t b c \r\nEmpty:\r\n"
                                             "Set-Cookie: d\r\nSet-Cookie: e\r\n\r\n"),
                                    0, &response, &refusal),
                     0);
    assert_slice(response.phrase, "Not  Found at all");
    assert_int_equal(response.version_minor, 0);
    assert_int_equal(response.field_count, 4);
    assert_slice(response.fields[0].name, "A");
    assert_slice(response.fields[0].value, "b c");
    assert_slice(response.fields[1].value, "");
    assert_slice(response.fields[3].value, "e");
    assert_ptr_equal(h1_fields_find(response.fields, response.field_count, slice_of("set-cookie")),
                     &response.fields[2]);
    assert_null(h1_fields_find(response.fields, response.field_count, slice_of("Cookie")));
    assert_int_equal(response.is_upgrade, 0);
}

/* RFC 9110 section 7.8. */
static void an_upgrade_is_seen(void **state)
{
    struct h1_response response;
    enum h1_refusal refusal;
    (void)state;
    assert_int_equal(response_drive(slice_of("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                                             "Connection: Upgrade\r\n\r\n"),
                                    0, &response, &refusal),
                     0);
    assert_int_equal(response.is_upgrade, 1);
    assert_int_equal(response.body, H1_BODY_NONE);
}

static void the_bytes_behind_a_head_are_not_read(void **state)
{
    const char text[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n\n\n";
    uint32_t scanned = 0, length = 0;
    (void)state;
    assert_int_equal(h1_response_find_end(text, sizeof(text) - 1, RESPONSE_LIMIT, &scanned, &length), 0);
    assert_int_equal(length, sizeof(text) - 3);
}

static void a_head_ends_at_its_limit(void **state)
{
    static char text[RESPONSE_LIMIT + 1];
    struct h1_response response;
    enum h1_refusal refusal;
    int used = snprintf(text, sizeof(text), OK "A: ");
    (void)state;
    memset(text + used, 'b', RESPONSE_LIMIT - (size_t)used - 4);
    memcpy(text + RESPONSE_LIMIT - 4, "\r\n\r\n", 4);
    assert_int_equal(response_drive((struct slice){text, RESPONSE_LIMIT}, 0, &response, &refusal), 0);
    memset(text + used, 'b', RESPONSE_LIMIT - (size_t)used);
    assert_int_equal(response_drive((struct slice){text, RESPONSE_LIMIT}, 0, &response, &refusal), ERR_LIMIT);
    assert_int_equal(refusal, H1_REFUSE_FIELDS_TOO_LARGE);
    memset(text, 'b', RESPONSE_LIMIT);
    memcpy(text, "HTTP/1.1 200 ", 13);
    assert_int_equal(response_drive((struct slice){text, RESPONSE_LIMIT}, 0, &response, &refusal), ERR_LIMIT);
    assert_int_equal(refusal, H1_REFUSE_FIELDS_TOO_LARGE);
}

static void fields_are_counted(void **state)
{
    static char text[RESPONSE_LIMIT];
    for (int count = H1_FIELDS_MAX; count <= H1_FIELDS_MAX + 1; count++) {
        struct h1_response response;
        enum h1_refusal refusal;
        size_t used = (size_t)snprintf(text, sizeof(text), OK);
        for (int i = 0; i < count; i++)
            used += (size_t)snprintf(text + used, sizeof(text) - used, "A:b\r\n");
        used += (size_t)snprintf(text + used, sizeof(text) - used, "\r\n");
        int answer = h1_response_parse(guarded_copy(text, used), (uint32_t)used, 0, &response, &refusal);
        assert_int_equal(answer, count > H1_FIELDS_MAX ? ERR_LIMIT : 0);
        assert_int_equal(refusal, count > H1_FIELDS_MAX ? H1_REFUSE_FIELDS_TOO_MANY : H1_REFUSE_NOTHING);
    }
    (void)state;
}

int main(void)
{
    const struct CMUnitTest others[] = {
        cmocka_unit_test(a_response_is_taken_apart),
        cmocka_unit_test(an_upgrade_is_seen),
        cmocka_unit_test(the_bytes_behind_a_head_are_not_read),
        cmocka_unit_test(a_head_ends_at_its_limit),
        cmocka_unit_test(fields_are_counted),
    };
    static struct CMUnitTest tests[ACCEPTED_COUNT + REFUSED_COUNT + sizeof(others) / sizeof(others[0])];
    struct CMUnitTest *test = tests;
    for (size_t i = 0; i < ACCEPTED_COUNT; i++)
        *test++ = (struct CMUnitTest){accepted_rows[i].name, the_response_is_accepted, NULL, NULL,
                                      (void *)(uintptr_t)&accepted_rows[i]};
    for (size_t i = 0; i < REFUSED_COUNT; i++)
        *test++ = (struct CMUnitTest){refused_rows[i].name, the_response_is_refused, NULL, NULL,
                                      (void *)(uintptr_t)&refused_rows[i]};
    memcpy(test, others, sizeof(others));
    return cmocka_run_group_tests_name("heads of responses", tests, NULL, NULL);
}
