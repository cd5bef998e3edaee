#include "proto/ws_frames.h"

#define OPCODE_CLOSE 8u
#define IS_FINAL 0x80u
#define IS_MASKED 0x80u
#define MASK_SIZE 4u

static void take_second(struct ws_frames *frames, uint8_t byte)
{
    const unsigned length = byte & 0x7fu;

    frames->length_end = (uint8_t)(2 + (length == 126 ? 2 : length == 127 ? 8 : 0));
    frames->size = (uint8_t)(frames->length_end + (byte & IS_MASKED ? MASK_SIZE : 0));
    frames->left = length < 126 ? length : 0;
}

static void take_header_byte(struct ws_frames *frames, uint8_t byte)
{
    const unsigned at = frames->seen++;

    if (at == 0) {
        frames->opcode = byte & 15u;
        frames->size = 2;
    } else if (at == 1) {
        take_second(frames, byte);
    } else if (at < frames->length_end) {
        frames->left = frames->left << 8 | byte;
    }
    if (frames->seen < frames->size)
        return;
    frames->seen = 0;
    frames->is_lost = frames->left >> 63 != 0;
    frames->is_closed |= frames->opcode == OPCODE_CLOSE;
}

/* The rest of the present frame, or the next one. */
static size_t follow_one(struct ws_frames *frames, const char *bytes, size_t length)
{
    size_t at = 0;

    if (frames->is_lost)
        return length;
    while (at < length && (frames->seen || !frames->left)) {
        take_header_byte(frames, (uint8_t)bytes[at++]);
        if (ws_frames_are_between(frames))
            return at;
    }
    if (frames->left < length - at) {
        at += (size_t)frames->left;
        frames->left = 0;
        return at;
    }
    if (!frames->seen)
        frames->left -= length - at;
    return length;
}

void ws_frames_follow(struct ws_frames *frames, const char *bytes, size_t length)
{
    while (length) {
        const size_t taken = follow_one(frames, bytes, length);

        bytes += taken;
        length -= taken;
    }
}

size_t ws_frames_follow_to_end(struct ws_frames *frames, const char *bytes, size_t length)
{
    return ws_frames_are_between(frames) ? 0 : follow_one(frames, bytes, length);
}

size_t ws_close_make(unsigned code, const uint8_t *mask, char out[WS_CLOSE_MAX])
{
    const uint8_t payload[2] = {(uint8_t)(code >> 8), (uint8_t)code};
    size_t at = 0;

    out[at++] = (char)(IS_FINAL | OPCODE_CLOSE);
    out[at++] = (char)(sizeof payload | (mask ? IS_MASKED : 0));
    for (unsigned i = 0; mask && i < MASK_SIZE; i++)
        out[at++] = (char)mask[i];
    for (unsigned i = 0; i < sizeof payload; i++)
        out[at++] = (char)(payload[i] ^ (mask ? mask[i] : 0));
    return at;
}
