#include "base/bytes.h"

#include "base/assert.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct slice slice_of(const char *text)
{
    return (struct slice){text, strlen(text)};
}

int slice_equals(struct slice a, struct slice b)
{
    /* memcmp may not be given NULL, even with a length of 0. */
    return a.length == b.length && (a.length == 0 || memcmp(a.at, b.at, a.length) == 0);
}

static unsigned char lower(char c)
{
    return (unsigned char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

int slice_equals_nocase(struct slice a, struct slice b)
{
    if (a.length != b.length)
        return 0;
    for (size_t i = 0; i < a.length; i++) {
        if (lower(a.at[i]) != lower(b.at[i]))
            return 0;
    }
    return 1;
}

int slice_starts_with(struct slice text, struct slice prefix)
{
    return text.length >= prefix.length && slice_equals((struct slice){text.at, prefix.length}, prefix);
}

static int is_blank(char byte)
{
    return byte == ' ' || byte == '\t';
}

struct slice slice_skip_blanks(struct slice text)
{
    while (text.length && is_blank(*text.at)) {
        text.at++;
        text.length--;
    }
    return text;
}

struct slice slice_trim(struct slice text)
{
    text = slice_skip_blanks(text);
    while (text.length && is_blank(text.at[text.length - 1]))
        text.length--;
    return text;
}

int slice_to_u64(struct slice text, uint64_t *value)
{
    uint64_t sum = 0;
    int error = text.length == 0 ? ERR_SYNTAX : 0;

    for (size_t i = 0; i < text.length; i++) {
        if (text.at[i] < '0' || text.at[i] > '9')
            return ERR_SYNTAX; /* even behind too many digits: what is not a number is not a large one */
        unsigned digit = (unsigned)(text.at[i] - '0');
        if (error == 0 && sum > ((uint64_t)INT64_MAX - digit) / 10)
            error = ERR_LIMIT;
        if (error == 0)
            sum = sum * 10 + digit;
    }
    if (error == 0)
        *value = sum;
    return error;
}

void text_init(struct text *text, char *memory, size_t capacity)
{
    MUST(capacity >= 1);
    *text = (struct text){.at = memory, .capacity = capacity};
    text->at[0] = '\0';
}

void text_add(struct text *text, struct slice bytes)
{
    if (text->overflow || bytes.length == 0)
        return;
    if (bytes.length > text->capacity - text->length - 1) {
        text->overflow = 1;
        return;
    }
    memcpy(text->at + text->length, bytes.at, bytes.length);
    text->length += bytes.length;
    text->at[text->length] = '\0';
}

void text_add_c(struct text *text, const char *c_string)
{
    text_add(text, slice_of(c_string));
}

void text_add_u64(struct text *text, uint64_t value)
{
    char digits[20]; /* 2^64 - 1 has 20 */
    size_t at = sizeof(digits);

    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    text_add(text, (struct slice){digits + at, sizeof(digits) - at});
}

void text_add_hex(struct text *text, uint64_t value, unsigned digits)
{
    char memory[16];
    size_t at = sizeof memory;

    while (at > 0 && (value || sizeof memory - at < digits)) {
        memory[--at] = "0123456789abcdef"[value & 15];
        value >>= 4;
    }
    text_add(text, (struct slice){memory + at, sizeof memory - at});
}

void text_add_f(struct text *text, const char *format, ...)
{
    size_t room = text->capacity - text->length;
    va_list arguments;

    if (text->overflow)
        return;
    va_start(arguments, format);
    int length = vsnprintf(text->at + text->length, room, format, arguments);
    va_end(arguments);
    if (length < 0 || (size_t)length >= room) {
        text->at[text->length] = '\0'; /* all or nothing, as with text_add */
        text->overflow = 1;
        return;
    }
    text->length += (size_t)length;
}

/* How many bytes the UTF-8 sequence at the front takes, 0 if there is none (Unicode 15, table 3-7: no
 * overlong forms, no surrogates, nothing above U+10FFFF). */
static size_t utf8_length(struct slice bytes)
{
    unsigned char first = (unsigned char)bytes.at[0];
    unsigned char lowest = 0x80, highest = 0xbf; /* of the second byte */
    size_t length;

    if (first < 0x80)
        return 1;
    if (first < 0xc2 || first > 0xf4)
        return 0;
    length = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (first == 0xe0)
        lowest = 0xa0;
    else if (first == 0xed)
        highest = 0x9f;
    else if (first == 0xf0)
        lowest = 0x90;
    else if (first == 0xf4)
        highest = 0x8f;
    if (bytes.length < length)
        return 0;
    for (size_t i = 1; i < length; i++) {
        unsigned char next = (unsigned char)bytes.at[i];
        if (next < lowest || next > highest)
            return 0;
        lowest = 0x80;
        highest = 0xbf;
    }
    return length;
}

static void add_json_ascii(struct text *text, unsigned char c)
{
    static const char short_escapes[] = "\"\"\\\\\bb\ff\nn\rr\tt"; /* pairs: the byte, its letter */

    for (size_t i = 0; i + 1 < sizeof(short_escapes); i += 2) {
        if (c == (unsigned char)short_escapes[i]) {
            text_add(text, (struct slice){(const char[]){'\\', short_escapes[i + 1]}, 2});
            return;
        }
    }
    if (c < 0x20 || c == 0x7f)
        text_add_f(text, "\\u%04x", c);
    else
        text_add(text, (struct slice){(const char[]){(char)c}, 1});
}

/* Of the first bytes: those that stand for themselves. */
static size_t json_plain_length(struct slice bytes)
{
    size_t length = 0;

    while (length < bytes.length) {
        unsigned char c = (unsigned char)bytes.at[length];
        if (c < 0x20 || c >= 0x7f || c == '"' || c == '\\')
            break;
        length++;
    }
    return length;
}

void text_add_json(struct text *text, struct slice bytes)
{
    while (bytes.length > 0 && !text->overflow) {
        size_t plain = json_plain_length(bytes), length;
        text_add(text, (struct slice){bytes.at, plain});
        bytes.at += plain;
        bytes.length -= plain;
        if (!bytes.length)
            return;
        length = utf8_length(bytes);
        if (length == 0)
            text_add_c(text, "\xef\xbf\xbd");
        else if (length == 1)
            add_json_ascii(text, (unsigned char)bytes.at[0]);
        else
            text_add(text, (struct slice){bytes.at, length});
        length += length == 0;
        bytes.at += length;
        bytes.length -= length;
    }
}
