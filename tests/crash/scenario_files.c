/* What the files handler makes of files: ranges, parts, codings, lists. */
#include "crash/scenario_files.h"
#include "crash/decode.h"
#include "crash/talk.h"
#include "tools/documents.h"

#include <stdio.h>
#include <string.h>

#define SMALL_WINDOW 32768

static void ask(struct talk *talk, const char *path, const char *fields)
{
    char request[512];
    snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: sweep.example\r\n%s\r\n", path, fields);
    talk_send_text(talk, request);
}

static void expect_field(const struct talk *talk, const char *line)
{
    if (!memmem(talk->response.head, talk->response.head_length, line, strlen(line)))
        talk_fail("%s: no %s in %.*s", talk->target->text, line, (int)talk->response.head_length,
                  talk->response.head);
}

/* Takes one value of the answer's head, up to the end of its line. */
static void take_field(const struct talk *talk, const char *name, char *out, size_t capacity)
{
    const char *head = talk->response.head, *end = head + talk->response.head_length;
    const char *at = memmem(head, talk->response.head_length, name, strlen(name));
    size_t length = 0;
    if (!at)
        talk_fail("%s: no %s in the head", talk->target->text, name);
    for (at += strlen(name); at + length < end && at[length] != '\r' && length + 1 < capacity; length++)
        out[length] = at[length];
    out[length] = '\0';
}

/* --- ranges --- */

static void expect_range(struct talk *talk, unsigned document, uint64_t first, uint64_t last)
{
    char line[128];
    snprintf(line, sizeof line, "Content-Range: bytes %llu-%llu/%llu\r\n", (unsigned long long)first,
             (unsigned long long)last, (unsigned long long)document_size(document));
    talk_expect_response(talk, 206);
    expect_field(talk, line);
    if (talk->response.content_length != last + 1 - first)
        talk_fail("%s: a range of %llu bytes", talk->target->text,
                  (unsigned long long)talk->response.content_length);
    talk_expect_bytes(talk, document, first, last + 1);
}

void files_ranges(const struct target *target)
{
    const uint64_t size = document_size(DOCUMENT_BIG_2M);
    struct talk talk;
    talk_open(&talk, target, SMALL_WINDOW);
    ask(&talk, "/big-2m", "Range: bytes=1000-1999\r\n");
    expect_range(&talk, DOCUMENT_BIG_2M, 1000, 1999);
    ask(&talk, "/small-019", "Range: bytes=-7\r\n");
    expect_range(&talk, 19, 19993, 19999);
    ask(&talk, "/small-014", "Range: bytes=4000-\r\n");
    expect_range(&talk, 14, 4000, document_size(14) - 1);
    ask(&talk, "/big-2m", "Range: bytes=5000000-\r\n");
    talk_expect_status(&talk, 416);
    ask(&talk, "/big-2m", "Range: bytes=1500000-\r\n");
    expect_range(&talk, DOCUMENT_BIG_2M, 1500000, size - 1);
    talk_get(&talk, 9);
    talk_expect_document(&talk, 9);
    talk_expect_quiet(&talk);
    talk_close(&talk);
}

struct wanted_range {
    uint64_t first, last;
};

/* Counts down the answer's Content-Length. */
static void expect_text(struct talk *talk, const char *text, uint64_t *left)
{
    char got[512];
    const size_t length = strlen(text);
    talk_read(talk, got, length);
    if (memcmp(got, text, length) != 0)
        talk_fail("%s: between parts %.*s instead of %s", talk->target->text, (int)length, got, text);
    *left -= length;
}

static void expect_parts(struct talk *talk, unsigned document, const struct wanted_range *ranges,
                         unsigned count)
{
    char boundary[128], text[512];
    talk_expect_response(talk, 206);
    take_field(talk, "Content-Type: multipart/byteranges; boundary=", boundary, sizeof boundary);
    uint64_t left = talk->response.content_length;
    for (unsigned i = 0; i < count; i++) {
        snprintf(
            text, sizeof text,
            "%s--%s\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes %llu-%llu/%llu\r\n\r\n",
            i ? "\r\n" : "", boundary, (unsigned long long)ranges[i].first,
            (unsigned long long)ranges[i].last, (unsigned long long)document_size(document));
        expect_text(talk, text, &left);
        talk_expect_bytes(talk, document, ranges[i].first, ranges[i].last + 1);
        left -= ranges[i].last + 1 - ranges[i].first;
    }
    snprintf(text, sizeof text, "\r\n--%s--\r\n", boundary);
    expect_text(talk, text, &left);
    if (left)
        talk_fail("%s: %llu bytes were promised besides", talk->target->text, (unsigned long long)left);
}

void files_several_ranges(const struct target *target)
{
    static const struct wanted_range large[] = {
        {0, 0}, {100000, 400000}, {2000000, 2000001}, {500000, 700000}};
    static const struct wanted_range small[] = {{0, 99}, {200, 299}, {3000, 4094}};
    struct talk talk;
    talk_open(&talk, target, SMALL_WINDOW);
    ask(&talk, "/big-2m", "Range: bytes=0-0,100000-400000,2000000-2000001,500000-700000\r\n");
    ask(&talk, "/small-011", "Range: bytes=0-99,200-299,3000-4094\r\n"); /* of what is kept in memory */
    expect_parts(&talk, DOCUMENT_BIG_2M, large, 4);
    expect_parts(&talk, 11, small, 3);
    ask(&talk, "/big-2m",
        "Range: bytes=0-0,100000-400000,2000000-2000001,500000-700000\r\nConnection: close\r\n");
    expect_parts(&talk, DOCUMENT_BIG_2M, large, 4);
    talk_expect_end(&talk);
    talk_close(&talk);
}

/* --- codings --- */

static void expect_coded(struct talk *talk, const char *coding, size_t size)
{
    static char got[DOCUMENT_TEXT_SIZE], text[DOCUMENT_TEXT_SIZE + 1];
    char line[64];
    snprintf(line, sizeof line, "Content-Encoding: %s\r\n", coding);
    talk_expect_response(talk, 200);
    expect_field(talk, line);
    size_t length = (size_t)talk->response.content_length;
    if (length > sizeof got)
        talk_fail("%s: %zu bytes of %s", talk->target->text, length, coding);
    talk_read(talk, got, length);
    if (decode(coding, got, length, text, sizeof text) != (long)size)
        talk_fail("%s: %s does not give the text", talk->target->text, coding);
    for (size_t i = 0; i < size; i++) {
        if (text[i] != document_text_byte(i))
            talk_fail("%s: %s differs at %zu", talk->target->text, coding, i);
    }
}

static void run_coded(const struct target *target, const char *coding)
{
    struct talk talk;
    char fields[64];
    snprintf(fields, sizeof fields, "Accept-Encoding: %s\r\n", coding);
    talk_open(&talk, target, SMALL_WINDOW);
    ask(&talk, DOCUMENT_TEXT_PATH, fields);
    ask(&talk, DOCUMENT_SHORT_TEXT_PATH, fields);
    expect_coded(&talk, coding, DOCUMENT_TEXT_SIZE);
    expect_coded(&talk, coding, DOCUMENT_SHORT_TEXT_SIZE);
    talk_get(&talk, 12);
    talk_expect_document(&talk, 12);
    talk_expect_quiet(&talk);
    talk_close(&talk);
}

void files_brotli(const struct target *target)
{
    run_coded(target, "br");
}

void files_zstd(const struct target *target)
{
    run_coded(target, "zstd");
}

void files_gzip(const struct target *target)
{
    run_coded(target, "gzip");
}

/* --- lists --- */

#define LIST_SIZE (256u * 1024u)

static size_t read_list(struct talk *talk, char out[LIST_SIZE])
{
    talk_expect_response(talk, 200);
    size_t length = (size_t)talk->response.content_length;
    if (length >= LIST_SIZE)
        talk_fail("%s: a list of %zu bytes", talk->target->text, length);
    talk_read(talk, out, length);
    out[length] = '\0';
    return length;
}

/* The same list, whoever makes it: nothing changes in the folder. */
void files_listing(const struct target *target)
{
    static char first[LIST_SIZE], second[LIST_SIZE];
    struct talk talk;
    talk_open(&talk, target, SMALL_WINDOW);
    ask(&talk, "/", "");
    size_t length = read_list(&talk, first);
    if (!strstr(first, "href=\"./small-199\"") || !strstr(first, "href=\"./big-50m\"") ||
        !strstr(first, "</html>"))
        talk_fail("%s: the list has not everything", talk.target->text);
    ask(&talk, "/", "");
    ask(&talk, "/?sort=size", "Accept: application/json\r\n");
    if (read_list(&talk, second) != length || memcmp(first, second, length) != 0)
        talk_fail("%s: two lists differ", talk.target->text);
    length = read_list(&talk, second);
    if (second[0] != '{' || strcmp(second + length - 2, "}\n") != 0 ||
        !strstr(second, "\"truncated\": false}"))
        talk_fail("%s: no JSON: %.40s", talk.target->text, second);
    talk_get(&talk, 17);
    talk_expect_document(&talk, 17);
    talk_expect_quiet(&talk);
    talk_close(&talk);
}
