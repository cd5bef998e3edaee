#include "tools/response.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

void response_start(struct response *response)
{
    response->status = 0;
    response->has_length = response->closes = 0;
    response->content_length = 0;
    response->head_length = 0;
}

static const char *read_status_line(struct response *response, const char *line, size_t length)
{
    if (length < 13 || memcmp(line, "HTTP/1.1 ", 9) != 0 || line[12] != ' ')
        return "malformed status line";
    for (int i = 9; i < 12; i++) {
        if (!isdigit((unsigned char)line[i]))
            return "malformed status code";
        response->status = response->status * 10 + (line[i] - '0');
    }
    return NULL;
}

static const char *read_length(struct response *response, const char *value, size_t length)
{
    if (response->has_length)
        return "Content-Length twice";
    if (length == 0 || length > 18)
        return "malformed Content-Length";
    for (size_t i = 0; i < length; i++) {
        if (!isdigit((unsigned char)value[i]))
            return "malformed Content-Length";
        response->content_length = response->content_length * 10 + (uint64_t)(value[i] - '0');
    }
    response->has_length = 1;
    return NULL;
}

static int name_is(const char *line, size_t length, const char *name)
{
    return length == strlen(name) && strncasecmp(line, name, length) == 0;
}

static const char *read_field(struct response *response, const char *line, size_t length)
{
    const char *colon = memchr(line, ':', length);
    if (!colon || colon == line)
        return "a header line without a name";
    size_t name_length = (size_t)(colon - line);
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)line[i];
        if (c < 0x20 || c == 0x7f || (i < name_length && !isalnum(c) && c != '-'))
            return "a control byte or space in a header line";
    }
    const char *value = colon + 1;
    size_t value_length = length - name_length - 1;
    while (value_length > 0 && *value == ' ') {
        value++;
        value_length--;
    }
    if (name_is(line, name_length, "Content-Length"))
        return read_length(response, value, value_length);
    if (name_is(line, name_length, "Transfer-Encoding"))
        return "Transfer-Encoding was not expected";
    if (name_is(line, name_length, "Connection") && name_is(value, value_length, "close"))
        response->closes = 1;
    return NULL;
}

static const char *read_head(struct response *response)
{
    const char *line = response->head, *end = response->head + response->head_length - 2;
    while (line < end) {
        const char *stop = memchr(line, '\n', (size_t)(end - line) + 1);
        if (!stop || stop == line || stop[-1] != '\r')
            return "a line that does not end with CRLF";
        size_t length = (size_t)(stop - line) - 1;
        const char *wrong = line == response->head ? read_status_line(response, line, length)
                                                   : read_field(response, line, length);
        if (wrong)
            return wrong;
        line = stop + 1;
    }
    return response->has_length ? NULL : "no Content-Length";
}

enum response_verdict response_feed(struct response *response, const char *bytes, size_t length, size_t *used,
                                    const char **reason)
{
    for (size_t i = 0; i < length; i++) {
        if (response->head_length == RESPONSE_HEAD_MAX) {
            *reason = "the head is too long";
            return RESPONSE_BAD;
        }
        response->head[response->head_length++] = bytes[i];
        /* Fails on the first wrong byte already, so that body bytes in the place of a head are shown as such.
         */
        if (response->head_length <= 9 && bytes[i] != "HTTP/1.1 "[response->head_length - 1]) {
            *reason = "what should be a status line is not one";
            return RESPONSE_BAD;
        }
        if (bytes[i] != '\n' || response->head_length < 4 ||
            memcmp(response->head + response->head_length - 4, "\r\n\r\n", 4) != 0)
            continue;
        *used = i + 1;
        *reason = read_head(response);
        return *reason ? RESPONSE_BAD : RESPONSE_COMPLETE;
    }
    *used = length;
    return RESPONSE_MORE;
}
