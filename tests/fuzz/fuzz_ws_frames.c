/* A stream of WebSocket frames: the first byte says in which pieces. Checked: nothing outside of it is read; byte by byte the same
 * state is reached as piece by piece; whoever follows to the end of a frame stops there, and goes on as the others. */
#include "proto/ws_frames.h"

#include "base/assert.h"
#include "own.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

/* From border to border. */
static struct ws_frames by_ends(const char *bytes, size_t length)
{
    struct ws_frames frames = {0};
    size_t at = 0;

    while (at < length) {
        size_t taken;

        ws_frames_follow(&frames, bytes + at++, 1);
        taken = ws_frames_follow_to_end(&frames, bytes + at, length - at);
        MUST(taken <= length - at);
        at += taken;
        MUST(at == length || ws_frames_are_between(&frames));
    }
    return frames;
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    struct ws_frames by_bytes = {0}, by_pieces = {0}, to_ends;
    size_t piece, length;
    char *bytes;

    if (size < 1 || size > 65536)
        return 0;
    piece = input[0] + 1u;
    length = size - 1;
    bytes = own_copy(input + 1, length);
    for (size_t at = 0; at < length; at++)
        ws_frames_follow(&by_bytes, bytes + at, 1);
    for (size_t at = 0; at < length; at += piece)
        ws_frames_follow(&by_pieces, bytes + at, length - at < piece ? length - at : piece);
    to_ends = by_ends(bytes, length);
    if (!by_bytes.is_lost) {
        MUST(!memcmp(&by_bytes, &by_pieces, sizeof by_bytes));
        MUST(!memcmp(&by_bytes, &to_ends, sizeof by_bytes));
    }
    MUST(by_bytes.is_lost == by_pieces.is_lost && by_bytes.is_lost == to_ends.is_lost);
    MUST(by_bytes.size <= 14 && by_bytes.seen < 14);
    free(bytes);
    return 0;
}
