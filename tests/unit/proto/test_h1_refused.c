/* Requests that must be refused: one row each, with the section that says so. Where the RFC leaves a choice
 * ("MAY", "can"), the row holds the choice made here, which is the strict one. */
#include "head_driver.h"
#include "unit.h"

#define REQUEST_LINE "GET / HTTP/1.1\r\n"
#define START REQUEST_LINE "Host: a\r\n"
#define POST "POST / HTTP/1.1\r\nHost: a\r\n"
#define BYTES(text)                                                                                          \
    {                                                                                                        \
        text, sizeof(text) - 1                                                                               \
    }

static const struct row {
    const char *name;
    struct slice bytes;
    enum h1_refusal refusal;
    int status;
} rows[] = {
#define ROW(name, text, refusal, status)                                                                     \
    {                                                                                                        \
        name, BYTES(text), H1_REFUSE_##refusal, status                                                       \
    }
    /* Line ends and control bytes. */
    ROW("RFC 9112 2.2: a bare LF after the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n", BARE_LF, 400),
    ROW("RFC 9112 2.2: a bare LF after a field", START "A: b\nC: d\r\n\r\n", BARE_LF, 400),
    ROW("RFC 9112 2.2: a head that ends in LF LF", "GET / HTTP/1.1\nHost: a\n\n", BARE_LF, 400),
    ROW("RFC 9112 2.2: a bare LF as the empty line", START "\n", BARE_LF, 400),
    ROW("RFC 9112 2.2: a bare LF before the request line", "\n" START "\r\n", BARE_LF, 400),
    ROW("RFC 9112 2.2: a bare CR in a value", START "A: b\rc\r\n\r\n", BARE_CR, 400),
    ROW("RFC 9112 2.2: CR CR LF", START "A: b\r\r\n\r\n", BARE_CR, 400),
    ROW("RFC 9112 2.2: a bare CR in the request line", "GET /\rx HTTP/1.1\r\nHost: a\r\n\r\n", BARE_CR, 400),
    ROW("RFC 9112 2.2: a bare CR in a name", START "A\rb: c\r\n\r\n", BARE_CR, 400),
    ROW("RFC 9110 5.5: NUL in a value", START "A: b\0c\r\n\r\n", CONTROL_BYTE, 400),
    ROW("RFC 9110 5.5: NUL as a whole value", START "A: \0\r\n\r\n", CONTROL_BYTE, 400),
    ROW("RFC 9110 5.5: a control byte in a value", START "A: b\x01\r\n\r\n", CONTROL_BYTE, 400),
    ROW("RFC 9110 5.5: DEL in a value", START "A: b\x7f\r\n\r\n", CONTROL_BYTE, 400),
    ROW("RFC 9110 5.5: a vertical tab around a value",
        START "A:\x0b"
              "b\r\n\r\n",
        CONTROL_BYTE, 400),
    ROW("RFC 9110 5.1: NUL in a name", START "A\0: b\r\n\r\n", CONTROL_BYTE, 400),
    ROW("RFC 9112 3: NUL in the target", "GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", CONTROL_BYTE, 400),
    ROW("RFC 9112 3: a TLS hello is no request", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc", CONTROL_BYTE, 400),
    /* The request line. */
    ROW("RFC 9112 3: two empty lines and no request", "\r\n\r\n", BAD_REQUEST_LINE, 400),
    ROW("RFC 9112 3: an empty method", " / HTTP/1.1\r\nHost: a\r\n\r\n", BAD_REQUEST_LINE, 400),
    ROW("RFC 9110 5.6.2: a method that is no token", "G@T / HTTP/1.1\r\nHost: a\r\n\r\n", BAD_REQUEST_LINE,
        400),
    ROW("RFC 9112 3: a method alone", "GET\r\nHost: a\r\n\r\n", BAD_REQUEST_LINE, 400),
    ROW("RFC 9112 3: a method and a space", "GET \r\nHost: a\r\n\r\n", BAD_REQUEST_LINE, 400),
    ROW("RFC 9112 3: two spaces before the target", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", BAD_REQUEST_LINE,
        400),
    ROW("RFC 9112 3: a tab before the target", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", BAD_REQUEST_LINE, 400),
    ROW("RFC 9112 3: no version, as in HTTP/0.9", "GET /\r\n\r\n", BAD_REQUEST_LINE, 400),
    ROW("RFC 9112 3: two spaces before the version", "GET /  HTTP/1.1\r\nHost: a\r\n\r\n", BAD_VERSION, 400),
    ROW("RFC 9112 3: a space after the version", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", BAD_VERSION, 400),
    ROW("RFC 9112 3: a space inside the target", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", BAD_VERSION, 400),
    ROW("RFC 9112 3: a space before the method", " GET / HTTP/1.1\r\nHost: a\r\n\r\n", BAD_REQUEST_LINE, 400),
    ROW("RFC 9112 3: a tab inside the target", "GET /a\tb HTTP/1.1\r\nHost: a\r\n\r\n", BAD_TARGET, 400),
    /* The version. */
    ROW("RFC 9112 2.3: a small http", "GET / http/1.1\r\nHost: a\r\n\r\n", BAD_VERSION, 400),
    ROW("RFC 9112 2.3: a minor version of two digits", "GET / HTTP/1.10\r\nHost: a\r\n\r\n", BAD_VERSION,
        400),
    ROW("RFC 9112 2.3: a major version of two digits", "GET / HTTP/11.1\r\nHost: a\r\n\r\n", BAD_VERSION,
        400),
    ROW("RFC 9112 2.3: no minor version", "GET / HTTP/1\r\nHost: a\r\n\r\n", BAD_VERSION, 400),
    ROW("RFC 9112 2.3: a letter as version", "GET / HTTP/1.x\r\nHost: a\r\n\r\n", BAD_VERSION, 400),
    ROW("RFC 9112 2.3: another protocol", "GET / ICY/1.1\r\nHost: a\r\n\r\n", BAD_VERSION, 400),
    ROW("RFC 9110 15.6.6: HTTP/2.0", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", VERSION_UNKNOWN, 505),
    ROW("RFC 9110 15.6.6: HTTP/0.9 by name", "GET / HTTP/0.9\r\n\r\n", VERSION_UNKNOWN, 505),
    ROW("RFC 9110 15.6.6: HTTP/9.9", "GET / HTTP/9.9\r\n\r\n", VERSION_UNKNOWN, 505),
    /* The target. */
    ROW("RFC 9112 3.2: a target without a slash", "GET a HTTP/1.1\r\nHost: a\r\n\r\n", BAD_TARGET, 400),
    ROW("RFC 9112 3.2: a target that is only a query", "GET ?a HTTP/1.1\r\nHost: a\r\n\r\n", BAD_TARGET, 400),
    ROW("RFC 9112 3.2: a fragment", "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", BAD_TARGET, 400),
    ROW("RFC 9112 3.2: a fragment after a query", "GET /a?b#c HTTP/1.1\r\nHost: a\r\n\r\n", BAD_TARGET, 400),
    ROW("RFC 3986 3.3: a byte that is not ASCII", "GET /\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n", BAD_TARGET,
        400),
    ROW("RFC 3986 3.3: a quote", "GET /\"a HTTP/1.1\r\nHost: a\r\n\r\n", BAD_TARGET, 400),
    ROW("RFC 3986 3.3: an angle bracket", "GET /?<a> HTTP/1.1\r\nHost: a\r\n\r\n", BAD_TARGET, 400),
    ROW("RFC 3986 3.3: a backslash in the path", "GET /a\\..\\b HTTP/1.1\r\nHost: a\r\n\r\n", BAD_TARGET,
        400),
    ROW("RFC 9112 3.2.4: an asterisk without OPTIONS", "GET * HTTP/1.1\r\nHost: a\r\n\r\n", BAD_TARGET, 400),
    ROW("RFC 9112 3.2.4: more than an asterisk", "OPTIONS *a HTTP/1.1\r\nHost: a\r\n\r\n", BAD_TARGET, 400),
    ROW("RFC 9112 3.2.3: an authority without CONNECT", "GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n", BAD_TARGET,
        400),
    ROW("RFC 9112 3.2.3: CONNECT to a path", "CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n", BAD_TARGET, 400),
    ROW("RFC 9110 9.3.6: CONNECT without a port", "CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n", BAD_TARGET, 400),
    ROW("RFC 9110 9.3.6: CONNECT to an empty port", "CONNECT a: HTTP/1.1\r\nHost: a\r\n\r\n", BAD_TARGET,
        400),
    ROW("RFC 9110 9.3.6: CONNECT to port 0", "CONNECT a:0 HTTP/1.1\r\nHost: a\r\n\r\n", BAD_TARGET, 400),
    ROW("RFC 9112 3.2.2: an unknown scheme", "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", BAD_TARGET, 400),
    ROW("RFC 9110 4.2.1: an empty host in the target", "GET http:/// HTTP/1.1\r\nHost: a\r\n\r\n", BAD_TARGET,
        400),
    ROW("RFC 9110 4.2.1: no authority in the target", "GET http:/a HTTP/1.1\r\nHost: a\r\n\r\n", BAD_TARGET,
        400),
    ROW("RFC 9110 4.2.4: userinfo in the target", "GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", BAD_TARGET,
        400),
    ROW("RFC 9110 4.2.4: userinfo with a password", "GET http://u:p@a/ HTTP/1.1\r\nHost: a\r\n\r\n",
        BAD_TARGET, 400),
    ROW("RFC 9112 3.2.2: a backslash behind the host", "GET http://a\\b/ HTTP/1.1\r\nHost: a\r\n\r\n",
        BAD_TARGET, 400),
    ROW("RFC 9112 3.2.2: a backslash in the path of a URI", "GET http://a/\\ HTTP/1.1\r\nHost: a\r\n\r\n",
        BAD_TARGET, 400),
    /* Field lines. */
    ROW("RFC 9112 2.2: white space before the first field", REQUEST_LINE " Host: a\r\n\r\n", OBS_FOLD, 400),
    ROW("RFC 9112 5.2: a folded line", START "A: b\r\n c\r\n\r\n", OBS_FOLD, 400),
    ROW("RFC 9112 5.2: a line folded with a tab", START "A: b\r\n\tc\r\n\r\n", OBS_FOLD, 400),
    ROW("RFC 9112 5.2: a folded empty line", START "A: b\r\n \r\n\r\n", OBS_FOLD, 400),
    ROW("RFC 9112 5.1: a space before the colon", START "A : b\r\n\r\n", SPACE_BEFORE_COLON, 400),
    ROW("RFC 9112 5.1: a tab before the colon", START "A\t: b\r\n\r\n", SPACE_BEFORE_COLON, 400),
    ROW("RFC 9112 5.1: a space before the colon of Content-Length", POST "Content-Length : 1\r\n\r\n",
        SPACE_BEFORE_COLON, 400),
    ROW("RFC 9112 5: no colon", START "A\r\n\r\n", COLON_MISSING, 400),
    ROW("RFC 9112 5: an empty name", START ": b\r\n\r\n", BAD_FIELD_NAME, 400),
    ROW("RFC 9110 5.1: a name with a slash", START "A/b: c\r\n\r\n", BAD_FIELD_NAME, 400),
    ROW("RFC 9110 5.1: a name that is not ASCII", START "\xc3\xa4: c\r\n\r\n", BAD_FIELD_NAME, 400),
    ROW("RFC 9110 5.1: a name in quotes", START "\"A\": c\r\n\r\n", BAD_FIELD_NAME, 400),
    /* Host. */
    ROW("RFC 9112 3.2: no Host", REQUEST_LINE "A: b\r\n\r\n", HOST_MISSING, 400),
    ROW("RFC 9112 3.2: no field at all", REQUEST_LINE "\r\n", HOST_MISSING, 400),
    ROW("RFC 9112 3.2: no Host beside an absolute target", "GET http://a/ HTTP/1.1\r\n\r\n", HOST_MISSING,
        400),
    ROW("RFC 9112 3.2: two different Hosts", START "Host: b\r\n\r\n", HOST_REPEATED, 400),
    ROW("RFC 9112 3.2: two equal Hosts", START "HOST: a\r\n\r\n", HOST_REPEATED, 400),
    ROW("RFC 9112 3.2: two Hosts in HTTP/1.0", "GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", HOST_REPEATED,
        400),
    ROW("RFC 9112 3.3: an empty Host", REQUEST_LINE "Host:\r\n\r\n", HOST_INVALID, 400),
    ROW("RFC 9112 3.2: userinfo in Host", REQUEST_LINE "Host: u@a\r\n\r\n", HOST_INVALID, 400),
    ROW("RFC 9112 3.2: a comma in Host", REQUEST_LINE "Host: a,b\r\n\r\n", HOST_INVALID, 400),
    ROW("RFC 9112 3.2: a list as Host", REQUEST_LINE "Host: a, b\r\n\r\n", HOST_INVALID, 400),
    ROW("RFC 9112 3.2: a path in Host", REQUEST_LINE "Host: a/b\r\n\r\n", HOST_INVALID, 400),
    ROW("RFC 9112 3.2: a URI in Host", REQUEST_LINE "Host: http://a\r\n\r\n", HOST_INVALID, 400),
    ROW("RFC 9112 3.2: a query in Host", REQUEST_LINE "Host: a?b\r\n\r\n", HOST_INVALID, 400),
    ROW("RFC 9112 3.2: a space in Host", REQUEST_LINE "Host: a b\r\n\r\n", HOST_INVALID, 400),
    ROW("RFC 9112 3.2: a bad Host beside an absolute target", "GET http://a/ HTTP/1.1\r\nHost: a b\r\n\r\n",
        HOST_INVALID, 400),
    ROW("RFC 9112 3.2: a bad Host in HTTP/1.0", "GET / HTTP/1.0\r\nHost: a@b\r\n\r\n", HOST_INVALID, 400),
    ROW("RFC 3986 3.2.3: a port that is no number", REQUEST_LINE "Host: a:b\r\n\r\n", HOST_INVALID, 400),
    ROW("RFC 3986 3.2.3: a port above 65535", REQUEST_LINE "Host: a:65536\r\n\r\n", HOST_INVALID, 400),
    ROW("RFC 3986 3.2.3: a port of six digits", REQUEST_LINE "Host: a:000080\r\n\r\n", HOST_INVALID, 400),
    ROW("RFC 3986 3.2.3: port 0", REQUEST_LINE "Host: a:0\r\n\r\n", HOST_INVALID, 400),
    ROW("RFC 3986 3.2.3: a negative port", REQUEST_LINE "Host: a:-1\r\n\r\n", HOST_INVALID, 400),
    ROW("RFC 3986 3.2.3: two ports", REQUEST_LINE "Host: a:80:80\r\n\r\n", HOST_INVALID, 400),
    ROW("RFC 3986 3.2.3: a port without a host", REQUEST_LINE "Host: :80\r\n\r\n", HOST_INVALID, 400),
    ROW("RFC 3986 3.2.2: an open bracket", REQUEST_LINE "Host: [::1\r\n\r\n", HOST_INVALID, 400),
    ROW("RFC 3986 3.2.2: no address in the brackets", REQUEST_LINE "Host: []\r\n\r\n", HOST_INVALID, 400),
    ROW("RFC 3986 3.2.2: a name in brackets", REQUEST_LINE "Host: [a]\r\n\r\n", HOST_INVALID, 400),
    ROW("RFC 3986 3.2.2: an IPv4 address in brackets", REQUEST_LINE "Host: [1.2.3.4]\r\n\r\n", HOST_INVALID,
        400),
    ROW("RFC 3986 3.2.2: text behind the brackets", REQUEST_LINE "Host: [::1]a\r\n\r\n", HOST_INVALID, 400),
    ROW("RFC 3986 3.2.2: an address with a zone", REQUEST_LINE "Host: [fe80::1%25lo]\r\n\r\n", HOST_INVALID,
        400),
    ROW("RFC 3986 3.2.2: an address longer than any",
        REQUEST_LINE "Host: [1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa]\r\n\r\n", HOST_INVALID, 400),
    ROW("RFC 3986 3.2.2: an address without brackets", REQUEST_LINE "Host: ::1\r\n\r\n", HOST_INVALID, 400),
    ROW("stricter than RFC 3986: a leading dot", REQUEST_LINE "Host: .a\r\n\r\n", HOST_INVALID, 400),
    ROW("stricter than RFC 3986: two dots", REQUEST_LINE "Host: a..b\r\n\r\n", HOST_INVALID, 400),
    ROW("stricter than RFC 3986: a percent sign", REQUEST_LINE "Host: a%2eb\r\n\r\n", HOST_INVALID, 400),
    /* Content-Length. */
    ROW("RFC 9112 6.3: two lengths that differ", POST "Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
        LENGTH_REPEATED, 400),
    ROW("RFC 9112 6.3: two lengths that agree", POST "Content-Length: 1\r\ncontent-length: 1\r\n\r\n",
        LENGTH_REPEATED, 400),
    ROW("RFC 9112 6.3: a list of lengths", POST "Content-Length: 1, 1\r\n\r\n", LENGTH_INVALID, 400),
    ROW("RFC 9110 8.6: an empty length", POST "Content-Length:\r\n\r\n", LENGTH_INVALID, 400),
    ROW("RFC 9110 8.6: a plus sign", POST "Content-Length: +1\r\n\r\n", LENGTH_INVALID, 400),
    ROW("RFC 9110 8.6: a minus sign", POST "Content-Length: -1\r\n\r\n", LENGTH_INVALID, 400),
    ROW("RFC 9110 8.6: a hexadecimal length", POST "Content-Length: 0x1\r\n\r\n", LENGTH_INVALID, 400),
    ROW("RFC 9110 8.6: a space inside a length", POST "Content-Length: 1 1\r\n\r\n", LENGTH_INVALID, 400),
    ROW("RFC 9110 8.6: a fraction", POST "Content-Length: 1.0\r\n\r\n", LENGTH_INVALID, 400),
    ROW("RFC 9110 8.6: a length of 2^63", POST "Content-Length: 9223372036854775808\r\n\r\n",
        CONTENT_TOO_LARGE, 413),
    ROW("RFC 9110 8.6: a length of 2^64 + 1", POST "Content-Length: 18446744073709551617\r\n\r\n",
        CONTENT_TOO_LARGE, 413),
    /* Transfer-Encoding. */
    ROW("RFC 9112 6.1: a length and a coding", POST "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        LENGTH_AND_CODING, 400),
    ROW("RFC 9112 6.1: a coding and a length", POST "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
        LENGTH_AND_CODING, 400),
    ROW("RFC 9112 6.1: an empty coding and a length", POST "Transfer-Encoding:\r\nContent-Length: 1\r\n\r\n",
        LENGTH_AND_CODING, 400),
    ROW("RFC 9112 6.1: a coding in HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
        CODING_IN_1_0, 400),
    ROW("RFC 9112 6.1: an empty coding", POST "Transfer-Encoding:\r\n\r\n", CODING_EMPTY, 400),
    ROW("RFC 9112 6.1: a coding of commas", POST "Transfer-Encoding: , ,\r\n\r\n", CODING_EMPTY, 400),
    ROW("RFC 9112 6.3: chunked is not the last", POST "Transfer-Encoding: chunked, gzip\r\n\r\n",
        CHUNKED_NOT_LAST, 400),
    ROW("RFC 9112 6.3: chunked is not in the last line",
        POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n\r\n", CHUNKED_NOT_LAST, 400),
    ROW("RFC 9112 6.3: no chunked", POST "Transfer-Encoding: gzip\r\n\r\n", CHUNKED_NOT_LAST, 400),
    ROW("RFC 9112 6.3: identity is no coding", POST "Transfer-Encoding: identity\r\n\r\n", CHUNKED_NOT_LAST,
        400),
    ROW("RFC 9112 6.3: a word that ends in chunked", POST "Transfer-Encoding: xchunked\r\n\r\n",
        CHUNKED_NOT_LAST, 400),
    ROW("RFC 9112 6.3: a word that begins with chunked", POST "Transfer-Encoding: chunkedx\r\n\r\n",
        CHUNKED_NOT_LAST, 400),
    ROW("RFC 9112 6.1: chunked twice", POST "Transfer-Encoding: chunked, chunked\r\n\r\n", CHUNKED_REPEATED,
        400),
    ROW("RFC 9112 6.1: chunked in two lines",
        POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", CHUNKED_REPEATED, 400),
    ROW("RFC 9112 7.1: chunked with a parameter", POST "Transfer-Encoding: chunked;a=b\r\n\r\n",
        CODING_INVALID, 400),
    ROW("RFC 9112 7.1: chunked with a semicolon", POST "Transfer-Encoding: chunked;\r\n\r\n", CODING_INVALID,
        400),
    ROW("RFC 9112 7: chunked in quotes", POST "Transfer-Encoding: \"chunked\"\r\n\r\n", CODING_INVALID, 400),
    ROW("RFC 9112 7: two words without a comma", POST "Transfer-Encoding: chunked chunked\r\n\r\n",
        CODING_INVALID, 400),
    ROW("RFC 9112 7: a coding that is no token", POST "Transfer-Encoding: a/b, chunked\r\n\r\n",
        CODING_INVALID, 400),
    ROW("RFC 9112 6.1: an unknown coding", POST "Transfer-Encoding: snappy, chunked\r\n\r\n", CODING_UNKNOWN,
        501),
    ROW("RFC 9112 6.1: a coding that is not done here", POST "Transfer-Encoding: gzip, chunked\r\n\r\n",
        CODING_UNKNOWN, 501),
    ROW("RFC 9112 6.1: an unknown coding with parameters", POST "Transfer-Encoding: a ;b=c, chunked\r\n\r\n",
        CODING_UNKNOWN, 501),
    /* Expect. */
    ROW("RFC 9110 10.1.1: an unknown expectation", POST "Expect: 200-ok\r\n\r\n", EXPECTATION_UNKNOWN, 417),
    ROW("RFC 9110 10.1.1: an unknown expectation beside a known one",
        POST "Expect: 100-continue, x=y\r\n\r\n", EXPECTATION_UNKNOWN, 417),
#undef ROW
};

#define ROW_COUNT (sizeof(rows) / sizeof(rows[0]))

static int error_for(int status)
{
    switch (status) {
    case 413:
    case 414:
    case 431:
        return ERR_LIMIT;
    case 417:
    case 501:
        return ERR_UNSUPPORTED;
    case 505:
        return ERR_VERSION;
    default:
        return ERR_SYNTAX;
    }
}

static void the_request_is_refused(void **state)
{
    const struct row *row = *state;
    struct h1_head head;
    enum h1_refusal refusal;
    int answer = head_drive(row->bytes, &head, &refusal);
    assert_string_equal(h1_refusal_reason(refusal).at, h1_refusal_reason(row->refusal).at);
    assert_int_equal(h1_refusal_status(refusal), row->status);
    assert_int_equal(answer, error_for(row->status));
}

int main(void)
{
    static struct CMUnitTest tests[ROW_COUNT];
    for (size_t i = 0; i < ROW_COUNT; i++)
        tests[i] = (struct CMUnitTest){
            .name = rows[i].name,
            .test_func = the_request_is_refused,
            .initial_state = (void *)(uintptr_t)&rows[i],
        };
    return cmocka_run_group_tests_name("requests that are refused", tests, NULL, NULL);
}
