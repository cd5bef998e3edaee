/* Borders of WebSocket frames (RFC 6455 section 5.2) in a stream that passes by. Only headers are looked at; payload is counted.
 * No I/O, no allocation, no clock.
 *
 *     1 byte          FIN, three reserved bits, opcode (4 bits)
 *     1 byte          masked (1 bit), length (7 bits): 126 and 127 say that the length follows
 *     0, 2, 8 bytes   length, big-endian; the first bit of eight bytes is 0
 *     0, 4 bytes      key of the mask
 *     length bytes    payload
 *
 * Between any two frames a control frame may stand, also between the fragments of a message (section 5.4): that is where a close
 * frame of ours goes. The state is plain and small: it lies in the arena, and changes with the bytes that move. */
#ifndef HOLDFAST_PROTO_WS_FRAMES_H
#define HOLDFAST_PROTO_WS_FRAMES_H

#include <stddef.h>
#include <stdint.h>

/* All zero: the stream begins. */
struct ws_frames {
    uint64_t left;      /* bytes of payload to come in this frame; in its header, the length so far */
    uint8_t seen;       /* bytes of its header; 0: the header is over, or has not begun */
    uint8_t size;       /* of the header, as far as it is known: 2 to 14 */
    uint8_t length_end; /* where in it the length ends */
    uint8_t opcode;
    uint8_t is_closed; /* a close frame has begun: nothing follows it (section 5.5.1) */
    uint8_t is_lost;   /* a length that cannot be: there are no borders any more */
    uint16_t reserved;
};
_Static_assert(sizeof(struct ws_frames) == 16, "kept per connection");

/* Takes all bytes. */
void ws_frames_follow(struct ws_frames *frames, const char *bytes, size_t length);
/* Takes bytes up to the end of the present frame, or all of them. Returns how many; 0 between two frames. */
size_t ws_frames_follow_to_end(struct ws_frames *frames, const char *bytes, size_t length);
/* 1 between two frames. */
static inline int ws_frames_are_between(const struct ws_frames *frames)
{
    return !frames->seen && !frames->left && !frames->is_lost;
}

/* Status codes of close frames (section 7.4.1). */
#define WS_GOING_AWAY 1001u

#define WS_CLOSE_MAX 8u
/* Writes a close frame with that code: as a server does, or with the key of a mask (4 bytes, not to be guessed: section 5.3)
 * as a client does. Returns its length. */
size_t ws_close_make(unsigned code, const uint8_t *mask, char out[WS_CLOSE_MAX]);

#endif
