/* HTTP/1: the chunked coding (RFC 9112 section 7.1).
 *
 *     chunked-body = *chunk last-chunk trailer-section CRLF
 *     chunk        = 1*HEX [ chunk-ext ] CRLF data CRLF                  last-chunk: the same, size 0, no
 * data chunk-ext    = *( BWS ";" BWS token [ BWS "=" BWS ( token / quoted-string ) ] ) trailers     = *(
 * token ":" value CRLF )
 *
 * One table says, for each step and each kind of byte, which step comes next; what is not in the table is
 * refused. White space stands only where the grammar has BWS: never before a size, never at the end of a
 * line. */
#include "proto/h1_internal.h"

/* Numbers are kept across versions of the program: add at the end only. */
enum h1_chunk_step {
    SIZE_FIRST = 0,
    SIZE = 1,
    /* The extensions: 2 to 10. */
    BLANK_BEFORE_EXTENSION = 2,
    EXTENSION_START = 3,
    EXTENSION_NAME = 4,
    BLANK_AFTER_NAME = 5,
    EXTENSION_EQUALS = 6,
    EXTENSION_TOKEN = 7,
    EXTENSION_QUOTED = 8,
    EXTENSION_ESCAPED = 9,
    EXTENSION_QUOTED_END = 10,
    SIZE_LF = 11,
    DATA = 12,
    DATA_CR = 13,
    DATA_LF = 14,
    TRAILER_FIRST = 15,
    TRAILER_NAME = 16,
    TRAILER_VALUE = 17,
    TRAILER_LF = 18,
    END_LF = 19,
    DONE = 20,
    FAILED = 21,
    STEP_COUNT = 22
};

enum byte_kind {
    CONTROL,
    HEX,
    TOKEN,
    BLANK,
    SEMICOLON,
    COLON,
    EQUALS,
    QUOTE,
    BACKSLASH,
    OTHER,
    CR,
    LF,
    KIND_COUNT
};

/* 0 in the table (SIZE_FIRST, which only DATA_LF leads to) means: refused. */
#define ANY_TOKEN(step) [HEX] = step, [TOKEN] = step
#define ANY_TEXT_BUT_QUOTES(step)                                                                            \
    ANY_TOKEN(step), [BLANK] = step, [SEMICOLON] = step, [COLON] = step, [EQUALS] = step, [OTHER] = step
#define ANY_TEXT(step) ANY_TEXT_BUT_QUOTES(step), [QUOTE] = step, [BACKSLASH] = step

static const uint8_t next_step[STEP_COUNT][KIND_COUNT] = {
    [SIZE_FIRST] = {[HEX] = SIZE},
    [SIZE] = {[HEX] = SIZE, [BLANK] = BLANK_BEFORE_EXTENSION, [SEMICOLON] = EXTENSION_START, [CR] = SIZE_LF},
    [BLANK_BEFORE_EXTENSION] = {[BLANK] = BLANK_BEFORE_EXTENSION, [SEMICOLON] = EXTENSION_START},
    [EXTENSION_START] = {[BLANK] = EXTENSION_START, ANY_TOKEN(EXTENSION_NAME)},
    [EXTENSION_NAME] = {ANY_TOKEN(EXTENSION_NAME), [BLANK] = BLANK_AFTER_NAME, [EQUALS] = EXTENSION_EQUALS,
                        [SEMICOLON] = EXTENSION_START, [CR] = SIZE_LF},
    [BLANK_AFTER_NAME] =
        {[BLANK] = BLANK_AFTER_NAME, [EQUALS] = EXTENSION_EQUALS, [SEMICOLON] = EXTENSION_START},
    [EXTENSION_EQUALS] = {[BLANK] = EXTENSION_EQUALS, ANY_TOKEN(EXTENSION_TOKEN), [QUOTE] = EXTENSION_QUOTED},
    [EXTENSION_TOKEN] = {ANY_TOKEN(EXTENSION_TOKEN), [BLANK] = BLANK_BEFORE_EXTENSION,
                         [SEMICOLON] = EXTENSION_START, [CR] = SIZE_LF},
    [EXTENSION_QUOTED] = {ANY_TEXT_BUT_QUOTES(EXTENSION_QUOTED), [QUOTE] = EXTENSION_QUOTED_END,
                          [BACKSLASH] = EXTENSION_ESCAPED},
    [EXTENSION_ESCAPED] = {ANY_TEXT(EXTENSION_QUOTED)},
    [EXTENSION_QUOTED_END] =
        {[BLANK] = BLANK_BEFORE_EXTENSION, [SEMICOLON] = EXTENSION_START, [CR] = SIZE_LF},
    [SIZE_LF] = {[LF] = DATA}, /* or TRAILER_FIRST, if the size is 0 */
    [DATA_CR] = {[CR] = DATA_LF},
    [TRAILER_FIRST] = {ANY_TOKEN(TRAILER_NAME), [CR] = END_LF},
    [TRAILER_NAME] = {ANY_TOKEN(TRAILER_NAME), [COLON] = TRAILER_VALUE},
    [TRAILER_VALUE] = {ANY_TEXT(TRAILER_VALUE), [CR] = TRAILER_LF},
    [TRAILER_LF] = {[LF] = TRAILER_FIRST},
    [END_LF] = {[LF] = DONE},
};

static enum byte_kind kind_of(char byte)
{
    switch (byte) {
    case '\r':
        return CR;
    case '\n':
        return LF;
    case ' ':
    case '\t':
        return BLANK;
    case ';':
        return SEMICOLON;
    case ':':
        return COLON;
    case '=':
        return EQUALS;
    case '"':
        return QUOTE;
    case '\\':
        return BACKSLASH;
    default:
        break;
    }
    if (h1_byte_is(byte, H1_IN_HEX))
        return HEX;
    if (h1_byte_is(byte, H1_IN_TOKEN))
        return TOKEN;
    return h1_byte_is_control(byte) ? CONTROL : OTHER;
}

static enum h1_refusal refusal_at(uint8_t step, enum byte_kind kind)
{
    if (kind == LF && step != DATA_CR)
        return H1_REFUSE_BARE_LF;
    if (kind == CONTROL)
        return H1_REFUSE_CONTROL_BYTE;
    if (step == SIZE_LF || step == TRAILER_LF || step == END_LF)
        return H1_REFUSE_BARE_CR;
    if (step <= SIZE)
        return H1_REFUSE_BAD_CHUNK_SIZE;
    if (step <= EXTENSION_QUOTED_END)
        return H1_REFUSE_BAD_CHUNK_EXTENSION;
    return step <= DATA_LF ? H1_REFUSE_BAD_CHUNK_END : H1_REFUSE_BAD_TRAILER;
}

/* A digit of the size. */
static enum h1_refusal take_digit(struct h1_chunks *chunks, char digit)
{
    if (chunks->digits == H1_CHUNK_DIGITS_MAX)
        return H1_REFUSE_BAD_CHUNK_SIZE;
    if (chunks->left > (uint64_t)INT64_MAX >> 4)
        return H1_REFUSE_CONTENT_TOO_LARGE;
    chunks->digits++;
    chunks->left = chunks->left << 4 | h1_hex_value(digit);
    return H1_REFUSE_NOTHING;
}

/* The size line is complete: data makes good for what the extensions took. */
static void end_size(struct h1_chunks *chunks)
{
    chunks->digits = 0;
    chunks->overhead -= chunks->left < chunks->overhead ? (uint32_t)chunks->left : chunks->overhead;
    chunks->step = chunks->left > 0 ? DATA : TRAILER_FIRST;
}

/* Takes one byte of framing. */
static enum h1_refusal take_byte(struct h1_chunks *chunks, char byte)
{
    enum byte_kind kind = kind_of(byte);
    uint8_t step = chunks->step;
    if (step == DATA_LF && kind == LF) {
        chunks->step = SIZE_FIRST;
        return H1_REFUSE_NOTHING;
    }
    if (next_step[step][kind] == 0)
        return refusal_at(step, kind);
    if (step >= TRAILER_FIRST && ++chunks->trailer_bytes > H1_TRAILER_BYTES_MAX)
        return H1_REFUSE_TRAILERS_TOO_LARGE;
    chunks->step = next_step[step][kind];
    if (chunks->step == SIZE)
        return take_digit(chunks, byte);
    if (chunks->step >= BLANK_BEFORE_EXTENSION && chunks->step <= EXTENSION_QUOTED_END &&
        ++chunks->overhead > H1_CHUNK_OVERHEAD_MAX)
        return H1_REFUSE_CHUNK_OVERHEAD;
    if (chunks->step == DATA)
        end_size(chunks);
    return H1_REFUSE_NOTHING;
}

static struct slice take_data(struct h1_chunks *chunks, const char *at, uint32_t length)
{
    struct slice data = {at, chunks->left < length ? (size_t)chunks->left : length};
    chunks->left -= data.length;
    if (chunks->left == 0)
        chunks->step = DATA_CR;
    return data;
}

static int refuse(struct h1_chunks *chunks, enum h1_refusal reason, enum h1_refusal *refusal)
{
    int status = h1_refusal_status(reason);
    chunks->step = FAILED;
    chunks->refusal = (uint8_t)reason;
    *refusal = reason;
    return status == 413 || status == 431 ? ERR_LIMIT : ERR_SYNTAX;
}

/* One line after the last chunk, if all of it is there: a trailer, or the empty line. What is left of it when
 * not waits unconsumed, and so does the state. */
static int take_line(struct h1_chunks *chunks, const char *at, uint32_t length, uint32_t *consumed,
                     struct slice *data, enum h1_refusal *refusal)
{
    struct h1_chunks trial = *chunks;
    for (uint32_t i = 0; i < length; i++) {
        enum h1_refusal reason = take_byte(&trial, at[i]);
        if (reason != H1_REFUSE_NOTHING)
            return refuse(chunks, reason, refusal);
        if (trial.step == DONE || trial.step == TRAILER_FIRST) {
            *chunks = trial;
            *consumed += i + 1;
            if (trial.step == DONE)
                return H1_CHUNKS_END;
            *data = (struct slice){at, i - 1};
            return H1_CHUNKS_TRAILER;
        }
    }
    return ERR_PARTIAL;
}

int h1_chunks_next(struct h1_chunks *chunks, const char *bytes, uint32_t length, uint32_t *consumed,
                   struct slice *data, enum h1_refusal *refusal)
{
    *consumed = 0;
    *data = (struct slice){bytes, 0};
    *refusal = H1_REFUSE_NOTHING;
    if (chunks->step >= FAILED) /* a step from a later version is as good as lost */
        return refuse(chunks, chunks->step == FAILED ? chunks->refusal : H1_REFUSE_BAD_CHUNK_SIZE, refusal);
    while (chunks->step != DONE) {
        if (*consumed == length)
            return ERR_PARTIAL;
        if (chunks->step == DATA) {
            *data = take_data(chunks, bytes + *consumed, length - *consumed);
            *consumed += (uint32_t)data->length;
            return 0;
        }
        if (chunks->step == TRAILER_FIRST && chunks->keep_trailers)
            return take_line(chunks, bytes + *consumed, length - *consumed, consumed, data, refusal);
        enum h1_refusal reason = take_byte(chunks, bytes[*consumed]);
        if (reason != H1_REFUSE_NOTHING)
            return refuse(chunks, reason, refusal);
        ++*consumed;
    }
    return H1_CHUNKS_END;
}
