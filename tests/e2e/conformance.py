"""The rules of HTTP/1.1 as a table: what is sent, what must come back, and the section that says so.

A row is a Case. `stays`: the connection carries on, and a request sent right behind is answered. Where it does not, the
answer says `Connection: close` (or is a bare close), and nothing behind it is ever looked at. `body`: what the answer's
body must be."""

import collections

Case = collections.namedtuple("Case", "name section request status stays body", defaults=(None,))

HOST = b"Host: a\r\n"
SMUGGLED = b"GET /echo/smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
HASH_OF_HELLO = b"5 a430d84680aabd0b\n"  # length and FNV-1a


def get(fields=b"", line=b"GET /echo/x HTTP/1.1", host=HOST):
    return line + b"\r\n" + host + fields + b"\r\n"


def post(fields, body=b"", line=b"POST /_test/hash HTTP/1.1"):
    return line + b"\r\n" + HOST + fields + b"\r\n" + body


def chunked(body, fields=b"Transfer-Encoding: chunked\r\n"):
    return post(fields, body)


def fine(name, section, request, body=None, status=200, stays=True):
    return Case(name, section, request, status, stays, body)


def refused(name, section, request, status=400):
    return Case(name, section, request, status, False)


REQUEST_LINE = [
    fine("a plain request", "9112 3", get(), b"GET a /echo/x "),
    fine("a query", "9112 3.2.1", get(line=b"GET /echo/x?a=1&b HTTP/1.1"), b"GET a /echo/x a=1&b"),
    fine("an unknown method where any is served", "9110 9.1", get(line=b"BREW /echo/x HTTP/1.1"), b"BREW a /echo/x "),
    fine("methods are case-sensitive", "9110 9.1", get(line=b"get /echo/x HTTP/1.1"), b"get a /echo/x "),
    fine("one empty line before", "9112 2.2", b"\r\n" + get(), b"GET a /echo/x "),
    refused("two empty lines before", "9112 2.2", b"\r\n\r\n" + get()),
    refused("a bare LF ends the request line", "9112 2.2", b"GET /echo/x HTTP/1.1\nHost: a\r\n\r\n"),
    refused("bare LFs everywhere", "9112 2.2", b"GET /echo/x HTTP/1.1\nHost: a\n\n"),
    refused("a bare CR in the request line", "9112 2.2", b"GET /echo/x\rHTTP/1.1\r\nHost: a\r\n\r\n"),
    refused("a bare CR ends the request line", "9112 2.2", b"GET /echo/x HTTP/1.1\rHost: a\r\n\r\n"),
    refused("a blank before the first field", "9112 2.2", b"GET /echo/x HTTP/1.1\r\n Host: a\r\n\r\n"),
    refused("two spaces after the method", "9112 3", get(line=b"GET  /echo/x HTTP/1.1")),
    refused("two spaces before the version", "9112 3", get(line=b"GET /echo/x  HTTP/1.1")),
    refused("a tab for a space", "9112 3", get(line=b"GET\t/echo/x HTTP/1.1")),
    refused("a space before the method", "9112 3", get(line=b" GET /echo/x HTTP/1.1")),
    refused("a space after the version", "9112 3", get(line=b"GET /echo/x HTTP/1.1 ")),
    refused("no version, as in HTTP/0.9", "9112 3", get(line=b"GET /echo/x")),
    refused("no target", "9112 3", get(line=b"GET HTTP/1.1")),
    refused("a method that is no token", "9110 9.1", get(line=b"G(T /echo/x HTTP/1.1")),
    refused("a NUL in the request line", "9110 5.5", get(line=b"GET /echo/\0x HTTP/1.1")),
    refused("a control byte in the target", "9112 3.2", get(line=b"GET /echo/\x01x HTTP/1.1")),
    refused("a byte beyond ASCII in the target", "3986 2", get(line=b"GET /echo/\xc3\xa4 HTTP/1.1")),
    refused("a fragment in the target", "9112 3.2.1", get(line=b"GET /echo/x#y HTTP/1.1")),
    refused("a target that begins with no slash", "9112 3.2.1", get(line=b"GET echo/x HTTP/1.1")),
    refused("a TLS ClientHello", "9112 3", b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n"),
    refused("the preface of HTTP/2", "9113 3.4", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    refused("a request line that is too long", "9112 3", get(line=b"GET /echo/" + b"x" * 2100 + b" HTTP/1.1"), 414),
    refused("a request line that fills the header", "9112 3", b"GET /echo/" + b"x" * 9000 + b" HTTP/1.1\r\n", 414),
]

VERSIONS = [
    fine("HTTP/1.0 closes", "9112 9.3", get(line=b"GET /echo/x HTTP/1.0"), stays=False),
    fine("HTTP/1.0 without Host", "9112 3.2", b"GET /echo/x HTTP/1.0\r\n\r\n", b"GET  /echo/x ", stays=False),
    fine("HTTP/1.0 with keep-alive stays", "9112 9.3",
         get(b"Connection: keep-alive\r\n", line=b"GET /echo/x HTTP/1.0")),
    fine("close beats keep-alive", "9112 9.3", get(b"Connection: keep-alive, close\r\n"), stays=False),
    fine("close in any case of letters", "9110 7.6.1", get(b"Connection: CLOSE\r\n"), stays=False),
    fine("close in a second line", "9110 5.3", get(b"Connection: x\r\nConnection: close\r\n"), stays=False),
    fine("a higher minor version", "9110 2.5", get(line=b"GET /echo/x HTTP/1.9")),
    refused("HTTP/2.0", "9110 15.6.6", get(line=b"GET /echo/x HTTP/2.0"), 505),
    refused("HTTP/0.9 by name", "9110 15.6.6", get(line=b"GET /echo/x HTTP/0.9"), 505),
    refused("a version in lower case", "9112 2.3", get(line=b"GET /echo/x http/1.1")),
    refused("two digits of a version", "9112 2.3", get(line=b"GET /echo/x HTTP/1.10")),
    refused("another protocol", "9112 2.3", get(line=b"GET /echo/x RTSP/1.1")),
]

HOSTS = [
    fine("a name and a port", "9110 7.2", get(host=b"Host: a.example:8080\r\n"), b"GET a.example /echo/x "),
    fine("a final dot", "3986 3.2.2", get(host=b"Host: a.\r\n")),
    fine("an IPv4 address", "3986 3.2.2", get(host=b"Host: 127.0.0.1\r\n"), b"GET 127.0.0.1 /echo/x "),
    fine("an IPv6 address", "3986 3.2.2", get(host=b"Host: [::1]:80\r\n"), b"GET [::1] /echo/x "),
    refused("no Host", "9112 3.2", get(host=b"")),
    refused("two Hosts", "9112 3.2", get(host=HOST + b"Host: b\r\n")),
    refused("twice the same Host", "9112 3.2", get(host=HOST + HOST)),
    refused("an empty Host", "9112 3.2", get(host=b"Host:\r\n")),
    refused("userinfo", "9110 4.2.4", get(host=b"Host: me@a\r\n")),
    refused("a comma", "9112 3.2", get(host=b"Host: a, b\r\n")),
    refused("a path", "9112 3.2", get(host=b"Host: a/b\r\n")),
    refused("a query", "9112 3.2", get(host=b"Host: a?b\r\n")),
    refused("a space", "9112 3.2", get(host=b"Host: a b\r\n")),
    refused("a percent sign", "9112 3.2", get(host=b"Host: a%00b\r\n")),
    refused("an empty label", "9112 3.2", get(host=b"Host: a..b\r\n")),
    refused("a port that is none", "9112 3.2", get(host=b"Host: a:b\r\n")),
    refused("a port above all ports", "9112 3.2", get(host=b"Host: a:65536\r\n")),
    refused("a negative port", "9112 3.2", get(host=b"Host: a:-1\r\n")),
    refused("an open bracket", "9112 3.2", get(host=b"Host: [::1\r\n")),
    refused("no IPv6 address in brackets", "9112 3.2", get(host=b"Host: [:::1]\r\n")),
]

TARGETS = [
    fine("an absolute form", "9112 3.2.2", get(line=b"GET http://b.example/echo/x?q HTTP/1.1"),
         b"GET b.example /echo/x q"),
    fine("its authority beats Host", "9112 3.2.2", get(line=b"GET http://b:80/echo/x HTTP/1.1"), b"GET b /echo/x "),
    fine("a scheme in capitals", "9110 4.2.3", get(line=b"GET HTTP://b/echo/x HTTP/1.1"), b"GET b /echo/x "),
    fine("an absolute form without a path", "9112 3.2.2", get(line=b"GET http://b HTTP/1.1"), b"index\n"),
    refused("an absolute form without Host", "9112 3.2", get(host=b"", line=b"GET http://b/echo/x HTTP/1.1")),
    refused("an absolute form with userinfo", "9110 4.2.4", get(line=b"GET http://me@b/echo/x HTTP/1.1")),
    refused("an absolute form without a host", "9110 4.2.1", get(line=b"GET http:///echo/x HTTP/1.1")),
    refused("another scheme", "9112 3.2.2", get(line=b"GET ftp://b/echo/x HTTP/1.1")),
    fine("OPTIONS of everything", "9112 3.2.4", get(line=b"OPTIONS * HTTP/1.1"), status=204),
    fine("OPTIONS of everything, absolute", "9112 3.2.4", get(line=b"OPTIONS http://b HTTP/1.1"), status=204),
    fine("OPTIONS of a file", "9110 9.3.7", get(line=b"OPTIONS /file HTTP/1.1"), status=204),
    refused("GET of everything", "9112 3.2.4", get(line=b"GET * HTTP/1.1")),
    refused("CONNECT", "9110 9.3.6", get(line=b"CONNECT b:80 HTTP/1.1"), 405),
    refused("CONNECT without a port", "9110 9.3.6", get(line=b"CONNECT b HTTP/1.1")),
    refused("CONNECT of a path", "9112 3.2.3", get(line=b"CONNECT /echo/x HTTP/1.1")),
    fine("TRACE of a file", "9110 15.5.6", get(line=b"TRACE /file HTTP/1.1"), status=405),
    fine("DELETE of a file", "9110 15.5.6", get(line=b"DELETE /file HTTP/1.1"), status=405),
    fine("an unknown method of a file", "9110 15.5.6", get(line=b"BREW /file HTTP/1.1"), status=405),
]

FIELDS = [
    fine("no value", "9110 5.5", get(b"X:\r\n")),
    fine("blanks around a value", "9112 5.1", get(b"X-Show: \t y \t \r\n"), b"GET a /echo/x "),
    fine("no blank before a value", "9112 5.1", get(b"X:y\r\n")),
    fine("bytes beyond ASCII in a value", "9110 5.5", get(b"X: \xc3\xa4\xff\r\n")),
    fine("names in any case of letters", "9110 5.1", get(host=b"hOST: a\r\n")),
    refused("a space before the colon", "9112 5.1", get(b"X : y\r\n")),
    refused("a tab before the colon", "9112 5.1", get(b"X\t: y\r\n")),
    refused("a space before Transfer-Encoding's colon", "9112 5.1",
            post(b"Transfer-Encoding : chunked\r\n", b"0\r\n\r\n" + SMUGGLED)),
    refused("a line without a colon", "9112 5", get(b"X\r\n")),
    refused("a line without a name", "9110 5.1", get(b": y\r\n")),
    refused("a folded line", "9112 5.2", get(b"X: y\r\n z\r\n")),
    refused("a folded line with a tab", "9112 5.2", get(b"X: y\r\n\tz\r\n")),
    refused("a line that is only blank", "9112 5.2", get(b"X: y\r\n \r\n")),
    refused("a bare LF ends a field", "9112 2.2", get(b"X: y\nZ: w\r\n")),
    refused("a bare CR in a value", "9112 2.2", get(b"X: y\rz\r\n")),
    refused("a bare CR ends a field", "9112 2.2", get(b"X: y\rContent-Length: 0\r\n")),
    refused("two CRs", "9112 2.2", get(b"X: y\r\r\n")),
    refused("a NUL in a value", "9110 5.5", get(b"X: y\0z\r\n")),
    refused("a control byte in a value", "9110 5.5", get(b"X: y\x01z\r\n")),
    refused("a DEL in a value", "9110 5.5", get(b"X: y\x7fz\r\n")),
    refused("a NUL in a name", "9110 5.1", get(b"X\0Y: z\r\n")),
    refused("a parenthesis in a name", "9110 5.1", get(b"X(Y: z\r\n")),
    refused("a byte beyond ASCII in a name", "9110 5.1", get(b"X\xc3\xa4: z\r\n")),
    refused("more fields than max_headers", "6585 5", get(b"".join(b"X-%d: y\r\n" % i for i in range(50))), 431),
    refused("a header beyond max_header_size", "6585 5", get(b"X: " + b"y" * 9000 + b"\r\n"), 431),
]

LENGTHS = [
    fine("a body by length", "9112 6.2", post(b"Content-Length: 5\r\n", b"hello"), HASH_OF_HELLO),
    fine("no body", "9112 6.3", post(b"Content-Length: 0\r\n")),
    fine("neither length nor coding: no body", "9112 6.3", post(b"")),
    refused("two lengths", "9112 6.3", post(b"Content-Length: 5\r\nContent-Length: 6\r\n", b"hello")),
    refused("twice the same length", "9112 6.3", post(b"Content-Length: 5\r\nContent-Length: 5\r\n", b"hello")),
    refused("a list of lengths", "9112 6.3", post(b"Content-Length: 5, 5\r\n", b"hello")),
    refused("a plus", "9110 8.6", post(b"Content-Length: +5\r\n", b"hello")),
    refused("a minus", "9110 8.6", post(b"Content-Length: -5\r\n", b"hello")),
    refused("hexadecimal", "9110 8.6", post(b"Content-Length: 0x5\r\n", b"hello")),
    refused("a fraction", "9110 8.6", post(b"Content-Length: 5.0\r\n", b"hello")),
    refused("an empty length", "9110 8.6", post(b"Content-Length:\r\n", b"hello")),
    refused("a space within", "9110 8.6", post(b"Content-Length: 5 5\r\n", b"hello")),
    refused("letters", "9110 8.6", post(b"Content-Length: five\r\n", b"hello")),
    refused("a length beyond 64 bits", "9110 15.5.14", post(b"Content-Length: 99999999999999999999\r\n"), 413),
    refused("a length beyond max_body", "9110 15.5.14",
            post(b"Content-Length: 1000\r\n", b"x" * 1000, line=b"POST /echo/x HTTP/1.1"), 413),
    fine("a body that nobody takes ends the connection", "9112 9.3", stays=False, body=b"POST a /echo/x ",
         request=post(b"Content-Length: %d\r\n" % len(SMUGGLED), SMUGGLED, line=b"POST /echo/x HTTP/1.1")),
    fine("a body of GET is not the next request", "9110 9.3.1", stays=False,
         request=get(b"Content-Length: %d\r\n" % len(SMUGGLED)) + SMUGGLED),
]

CODINGS = [
    fine("a body in chunks", "9112 7.1", chunked(b"5\r\nhello\r\n0\r\n\r\n"), HASH_OF_HELLO),
    fine("the coding in capitals", "9112 7", chunked(b"5\r\nhello\r\n0\r\n\r\n", b"Transfer-Encoding: CHUNKED\r\n")),
    fine("empty elements beside it", "9110 5.6.1",
         chunked(b"5\r\nhello\r\n0\r\n\r\n", b"Transfer-Encoding: , chunked ,\r\n")),
    refused("length and coding", "9112 6.1",
            post(b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n" + SMUGGLED)),
    refused("coding and length", "9112 6.1",
            post(b"Transfer-Encoding: chunked\r\nContent-Length: 100\r\n", b"0\r\n\r\n" + SMUGGLED)),
    refused("an empty coding", "9112 6.1", post(b"Transfer-Encoding:\r\n", b"0\r\n\r\n" + SMUGGLED)),
    refused("a coding of commas", "9112 6.1", post(b"Transfer-Encoding: ,\r\n", b"0\r\n\r\n" + SMUGGLED)),
    refused("chunked is not the last", "9112 6.3", post(b"Transfer-Encoding: chunked, gzip\r\n", b"0\r\n\r\n")),
    refused("chunked is not there", "9112 6.3", post(b"Transfer-Encoding: gzip\r\n", b"0\r\n\r\n")),
    refused("identity", "9112 6.3", post(b"Transfer-Encoding: identity\r\n", b"0\r\n\r\n")),
    refused("chunked, and identity in a second line", "9112 6.3",
            post(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", b"0\r\n\r\n" + SMUGGLED)),
    refused("chunked twice", "9112 6.1", post(b"Transfer-Encoding: chunked, chunked\r\n", b"0\r\n\r\n")),
    refused("chunked with a parameter", "9112 7.1", post(b"Transfer-Encoding: chunked;q=1\r\n", b"0\r\n\r\n")),
    refused("xchunked", "9112 6.3", post(b"Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n" + SMUGGLED)),
    refused("chunked in quotes", "9112 6.1", post(b'Transfer-Encoding: "chunked"\r\n', b"0\r\n\r\n" + SMUGGLED)),
    refused("chunked behind a vertical tab", "9110 5.5",
            post(b"Transfer-Encoding: \x0bchunked\r\n", b"0\r\n\r\n" + SMUGGLED)),
    refused("a coding that is not done", "9112 6.1", post(b"Transfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n"), 501),
    refused("chunks in HTTP/1.0", "9112 6.1",
            post(b"Transfer-Encoding: chunked\r\n", b"0\r\n\r\n", line=b"POST /_test/hash HTTP/1.0")),
]

CHUNKS = [
    fine("several chunks", "9112 7.1", chunked(b"1\r\nh\r\n4\r\nello\r\n0\r\n\r\n"), HASH_OF_HELLO),
    fine("leading zeros", "9112 7.1", chunked(b"0005\r\nhello\r\n000\r\n\r\n"), HASH_OF_HELLO),
    fine("digits in capitals", "9112 7.1", chunked(b"A\r\n0123456789\r\n0\r\n\r\n")),
    fine("an extension", "9112 7.1.1", chunked(b"5;a\r\nhello\r\n0\r\n\r\n"), HASH_OF_HELLO),
    fine("an extension with a value", "9112 7.1.1", chunked(b"5;a=b;c=d\r\nhello\r\n0;e=f\r\n\r\n"), HASH_OF_HELLO),
    fine("an extension in quotes", "9112 7.1.1", chunked(b'5 ; a = "b;\\"c"\r\nhello\r\n0\r\n\r\n'), HASH_OF_HELLO),
    fine("trailers", "9112 7.1.2", chunked(b"5\r\nhello\r\n0\r\nX: y\r\nZ:\r\n\r\n"), HASH_OF_HELLO),
    fine("trailers frame nothing", "9110 6.5.1", chunked(b"5\r\nhello\r\n0\r\nContent-Length: 50\r\n\r\n"), HASH_OF_HELLO),
    refused("no size", "9112 7.1", chunked(b"\r\nhello\r\n0\r\n\r\n")),
    refused("a size that is none", "9112 7.1", chunked(b"x\r\nhello\r\n0\r\n\r\n")),
    refused("a size with 0x", "9112 7.1", chunked(b"0x5\r\nhello\r\n0\r\n\r\n")),
    refused("a negative size", "9112 7.1", chunked(b"-5\r\nhello\r\n0\r\n\r\n")),
    refused("a size with a plus", "9112 7.1", chunked(b"+5\r\nhello\r\n0\r\n\r\n")),
    refused("a space before the size", "9112 7.1", chunked(b" 5\r\nhello\r\n0\r\n\r\n")),
    refused("a space after the size", "9112 7.1", chunked(b"5 \r\nhello\r\n0\r\n\r\n")),
    refused("a bare LF after the size", "9112 7.1", chunked(b"5\nhello\r\n0\r\n\r\n")),
    refused("a bare CR after the size", "9112 7.1", chunked(b"5\rhello\r\n0\r\n\r\n")),
    refused("a bare LF after the data", "9112 7.1", chunked(b"5\r\nhello\n0\r\n\r\n")),
    refused("no line end after the data", "9112 7.1", chunked(b"5\r\nhello0\r\n\r\n")),
    refused("more data than the size says", "9112 7.1", chunked(b"5\r\nhello!\r\n0\r\n\r\n")),
    refused("less data than the size says", "9112 7.1", chunked(b"7\r\nhello\r\n0\r\n\r\n")),
    refused("a size beyond 64 bits", "9112 7.1", chunked(b"10000000000000000\r\nhello")),
    refused("a size beyond all bodies", "9110 15.5.14", chunked(b"8000000000000000\r\nhello"), 413),
    refused("a body beyond max_body", "9110 15.5.14", chunked(b"c8\r\n" + b"x" * 200 + b"\r\n0\r\n\r\n"), 413),
    refused("an extension without a name", "9112 7.1.1", chunked(b"5;\r\nhello\r\n0\r\n\r\n")),
    refused("an extension that is no token", "9112 7.1.1", chunked(b"5;a(\r\nhello\r\n0\r\n\r\n")),
    refused("an extension without its value", "9112 7.1.1", chunked(b"5;a=\r\nhello\r\n0\r\n\r\n")),
    refused("an open quote in an extension", "9112 7.1.1", chunked(b'5;a="b\r\nhello\r\n0\r\n\r\n')),
    refused("a bare LF in an extension", "9112 7.1.1", chunked(b"5;a\nb\r\nhello\r\n0\r\n\r\n")),
    refused("a NUL in an extension", "9112 7.1.1", chunked(b"5;a\0\r\nhello\r\n0\r\n\r\n")),
    refused("extensions without end", "9112 7.1.1", chunked(b"5;" + b"a" * 17000 + b"\r\nhello\r\n0\r\n\r\n")),
    refused("a trailer without a colon", "9112 7.1.2", chunked(b"0\r\nX\r\n\r\n")),
    refused("a space before a trailer's colon", "9112 7.1.2", chunked(b"0\r\nX : y\r\n\r\n")),
    refused("a folded trailer", "9112 7.1.2", chunked(b"0\r\nX: y\r\n z\r\n\r\n")),
    refused("a bare LF in a trailer", "9112 7.1.2", chunked(b"0\r\nX: y\nZ: w\r\n\r\n")),
    refused("a bare LF at the end", "9112 7.1", chunked(b"0\r\n\n")),
    refused("trailers without end", "6585 5", chunked(b"0\r\nX: " + b"y" * 9000 + b"\r\n\r\n"), 431),
]

EXPECTATIONS = [
    fine("a body that is there already gets no 100", "9110 10.1.1",
         post(b"Expect: 100-continue\r\nContent-Length: 5\r\n", b"hello"), HASH_OF_HELLO),
    fine("nothing is expected of an empty body", "9110 10.1.1", post(b"Expect: 100-continue\r\n")),
    fine("HTTP/1.0 knows no expectations", "9110 10.1.1",
         get(b"Expect: 100-continue\r\n", line=b"GET /echo/x HTTP/1.0"), stays=False),
    refused("an unknown expectation", "9110 10.1.1", get(b"Expect: coffee\r\n"), 417),
    refused("an unknown expectation beside", "9110 10.1.1",
            post(b"Expect: 100-continue, coffee\r\nContent-Length: 5\r\n", b"hello"), 417),
]

PATHS = [
    fine("percent-encoding is undone once", "3986 2.1", get(line=b"GET /%66%69%6c%65 HTTP/1.1"), b"a file\n"),
    fine("and only once", "3986 2.4", get(line=b"GET /%2566ile HTTP/1.1"), status=404),
    fine("several slashes are one", "paths.md", get(line=b"GET //echo///x HTTP/1.1"), b"GET a //echo///x "),
    fine("dot segments are resolved", "3986 5.2.4", get(line=b"GET /x/../echo/./x HTTP/1.1"), b"GET a /x/../echo/./x "),
    fine("encoded dots are dots", "3986 6.2.2.2", get(line=b"GET /x/%2e%2E/file HTTP/1.1"), b"a file\n"),
    fine("dots above the root", "3986 5.2.4", get(line=b"GET /../file HTTP/1.1"), status=400),
    fine("encoded dots above the root", "3986 5.2.4", get(line=b"GET /%2e%2e/file HTTP/1.1"), status=400),
    fine("an encoded slash", "3986 2.2", get(line=b"GET /echo%2fx HTTP/1.1"), status=400),
    fine("an encoded NUL", "3986 7.3", get(line=b"GET /file%00 HTTP/1.1"), status=400),
    fine("half an encoding", "3986 2.1", get(line=b"GET /file%4 HTTP/1.1"), status=400),
    fine("no hexadecimal digits", "3986 2.1", get(line=b"GET /file%zz HTTP/1.1"), status=400),
    refused("a backslash", "paths.md", get(line=b"GET /x\\..\\file HTTP/1.1")),
    fine("a query is not a path", "3986 3.4", get(line=b"GET /file?/../../%2f%00 HTTP/1.1"), b"a file\n"),
]

CASES = [case._replace(name=f"{group}: {case.name}") for group, cases in (
    ("request line", REQUEST_LINE), ("version", VERSIONS), ("host", HOSTS), ("target", TARGETS), ("field", FIELDS),
    ("length", LENGTHS), ("coding", CODINGS), ("chunk", CHUNKS), ("expectation", EXPECTATIONS), ("path", PATHS),
) for case in cases]
