#include "crash/talk.h"

#include "tools/documents.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static char *fail_reason;
static size_t fail_capacity;

void talk_set_reason(char *reason, size_t capacity)
{
    fail_reason = reason;
    fail_capacity = capacity;
}

int talk_timeout_s = TALK_TIMEOUT_S;

void talk_fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(fail_reason, fail_capacity, format, arguments);
    va_end(arguments);
    _exit(1);
}

void talk_adopt(struct talk *talk, const struct target *target, int fd)
{
    struct timeval patience = {.tv_sec = talk_timeout_s};
    talk->target = target;
    talk->fd = fd;
    talk->have = talk->taken = 0;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
}

void talk_open(struct talk *talk, const struct target *target, int receive_buffer)
{
    int fd = target_connect(target, 0, receive_buffer);
    if (fd < 0)
        talk_fail("connect to %s: %s", target->text, strerror(errno));
    talk_adopt(talk, target, fd);
}

void talk_close(struct talk *talk)
{
    close(talk->fd);
    talk->fd = -1;
}

void talk_abort(struct talk *talk)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    setsockopt(talk->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    talk_close(talk);
}

void talk_send(struct talk *talk, const void *bytes, size_t length)
{
    const char *at = bytes;
    while (length > 0) {
        ssize_t sent = send(talk->fd, at, length, MSG_NOSIGNAL);
        if (sent < 0)
            talk_fail("send to %s: %s", talk->target->text, strerror(errno));
        at += sent;
        length -= (size_t)sent;
    }
}

void talk_send_text(struct talk *talk, const char *text)
{
    talk_send(talk, text, strlen(text));
}

void talk_send_urgent(struct talk *talk, char byte)
{
    int flags = talk->target->is_unix ? 0 : MSG_OOB;
    if (send(talk->fd, &byte, 1, MSG_NOSIGNAL | flags) != 1)
        talk_fail("urgent byte to %s: %s", talk->target->text, strerror(errno));
}

size_t talk_request(char *out, size_t capacity, const char *method, unsigned document, const char *extra)
{
    char path[DOCUMENT_PATH_SIZE];
    document_path(document, path);
    int length =
        snprintf(out, capacity, "%s %s HTTP/1.1\r\nHost: sweep.example\r\n%s\r\n", method, path, extra);
    if (length < 0 || (size_t)length >= capacity)
        talk_fail("a request does not fit its buffer");
    return (size_t)length;
}

void talk_get(struct talk *talk, unsigned document)
{
    char request[256];
    talk_send(talk, request, talk_request(request, sizeof request, "GET", document, ""));
}

/* Makes at least one unread byte available, waiting for it. */
static void talk_fill(struct talk *talk, const char *waiting_for)
{
    if (talk->taken < talk->have)
        return;
    ssize_t length = recv(talk->fd, talk->buffer, sizeof talk->buffer, 0);
    if (length == 0)
        talk_fail("%s: the end came instead of %s", talk->target->text, waiting_for);
    if (length < 0 && errno == EAGAIN)
        talk_fail("%s: nothing came for %d s, waiting for %s", talk->target->text, talk_timeout_s,
                  waiting_for);
    if (length < 0)
        talk_fail("%s: %s, waiting for %s", talk->target->text, strerror(errno), waiting_for);
    talk->taken = 0;
    talk->have = (size_t)length;
}

static void talk_read_head(struct talk *talk, int status)
{
    enum response_verdict verdict = RESPONSE_MORE;
    const char *reason = "";
    response_start(&talk->response);
    while (verdict == RESPONSE_MORE) {
        size_t used = 0;
        talk_fill(talk, "a response head");
        verdict = response_feed(&talk->response, talk->buffer + talk->taken, talk->have - talk->taken, &used,
                                &reason);
        talk->taken += used;
    }
    if (verdict == RESPONSE_BAD)
        talk_fail("%s: %s: %.*s", talk->target->text, reason, (int)talk->response.head_length,
                  talk->response.head);
    if (talk->response.status != status)
        talk_fail("%s: status %d instead of %d", talk->target->text, talk->response.status, status);
}

static void talk_read_document_head(struct talk *talk, unsigned document)
{
    talk_read_head(talk, 200);
    if (talk->response.content_length != document_size(document))
        talk_fail("%s: document %u: Content-Length %llu", talk->target->text, document,
                  (unsigned long long)talk->response.content_length);
}

/* Verifies the document's bytes from `at` up to `end`. */
static void talk_read_body(struct talk *talk, unsigned document, uint64_t at, uint64_t end)
{
    while (at < end) {
        talk_fill(talk, "a body");
        size_t length = talk->have - talk->taken;
        if (length > end - at)
            length = (size_t)(end - at);
        int64_t wrong = document_mismatch(document, at, talk->buffer + talk->taken, length);
        if (wrong >= 0)
            talk_fail("%s: document %u differs at %llu", talk->target->text, document,
                      (unsigned long long)at + (unsigned long long)wrong);
        talk->taken += length;
        at += length;
    }
}

void talk_expect_document(struct talk *talk, unsigned document)
{
    talk_read_document_head(talk, document);
    talk_read_body(talk, document, 0, document_size(document));
}

void talk_expect_head(struct talk *talk, unsigned document)
{
    talk_read_document_head(talk, document);
}

void talk_expect_start(struct talk *talk, unsigned document, size_t length)
{
    talk_read_document_head(talk, document);
    talk_read_body(talk, document, 0, length);
}

void talk_expect_rest(struct talk *talk, unsigned document, size_t from)
{
    talk_read_body(talk, document, from, document_size(document));
}

/* Reads a small body into `out`, NUL-terminated. */
static void talk_read_text(struct talk *talk, char *out, size_t capacity)
{
    uint64_t length = talk->response.content_length;
    if (length >= capacity)
        talk_fail("%s: a body of %llu bytes where a short text was expected", talk->target->text,
                  (unsigned long long)length);
    for (uint64_t i = 0; i < length; i++) {
        talk_fill(talk, "a short body");
        out[i] = talk->buffer[talk->taken++];
    }
    out[length] = '\0';
}

void talk_expect_hash(struct talk *talk, uint64_t length, uint64_t hash)
{
    char got[4096], wanted[64];
    talk_read_head(talk, 200);
    talk_read_text(talk, got, sizeof got);
    snprintf(wanted, sizeof wanted, "%llu %016llx\n", (unsigned long long)length, (unsigned long long)hash);
    if (strcmp(got, wanted) != 0)
        talk_fail("%s: hash answer %.60s instead of %s", talk->target->text, got, wanted);
}

void talk_expect_status(struct talk *talk, int status)
{
    char ignored[4096];
    talk_read_head(talk, status);
    talk_read_text(talk, ignored, sizeof ignored);
}

void talk_expect_continue(struct talk *talk)
{
    static const char wanted[] = "HTTP/1.1 100 Continue\r\n\r\n";
    for (size_t i = 0; i < sizeof wanted - 1; i++) {
        talk_fill(talk, "100 Continue");
        if (talk->buffer[talk->taken] != wanted[i])
            talk_fail("%s: %.40s instead of 100 Continue", talk->target->text, talk->buffer + talk->taken);
        talk->taken++;
    }
}

void talk_expect_end(struct talk *talk)
{
    ssize_t length = 1;
    if (talk->taken == talk->have)
        length = recv(talk->fd, talk->buffer, sizeof talk->buffer, 0);
    if (length > 0)
        talk_fail("%s: bytes instead of the end: %.40s", talk->target->text, talk->buffer + talk->taken);
    if (length < 0)
        talk_fail("%s: %s instead of the end", talk->target->text, strerror(errno));
}

void talk_expect_quiet(struct talk *talk)
{
    char byte;
    ssize_t length = recv(talk->fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK);
    if (talk->taken < talk->have || length > 0)
        talk_fail("%s: bytes after the last answer", talk->target->text);
    if (length == 0 || errno != EAGAIN)
        talk_fail("%s: %s after the last answer", talk->target->text,
                  length == 0 ? "the end" : strerror(errno));
}

void talk_expect_response(struct talk *talk, int status)
{
    talk_read_head(talk, status);
}

void talk_expect_bytes(struct talk *talk, unsigned document, uint64_t at, uint64_t end)
{
    talk_read_body(talk, document, at, end);
}

void talk_read(struct talk *talk, void *out, size_t length)
{
    char *to = out;
    while (length > 0) {
        talk_fill(talk, "a body");
        size_t run = talk->have - talk->taken < length ? talk->have - talk->taken : length;
        memcpy(to, talk->buffer + talk->taken, run);
        talk->taken += run;
        to += run;
        length -= run;
    }
}
