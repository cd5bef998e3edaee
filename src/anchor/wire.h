/* The messages between the anchor and its masters. Versions of the two differ across an upgrade, so this
 * format is frozen: new things get new types, nothing here changes its meaning.
 *
 * A master finds its end of a SOCK_SEQPACKET Unix socket pair as descriptor 3. One packet is one message: a
 * header of 24 bytes and a payload of at most 4096, and with it at most one descriptor (SCM_RIGHTS). All
 * numbers are little-endian. Texts have no NUL at their end. The header:
 *
 *   byte  0  u32  magic, 0x43464c48 ("HLFC")
 *         4  u16  version of this format, 1
 *         6  u16  type
 *         8  u32  length of the payload; the packet ends with it
 *        12  u32  flags: sent as 0, not looked at
 *        16  u64  serial: chosen by the master for a request, repeated in its answer; 0 in events
 *
 * A master whose packet has another magic or version, or a length that is not true, is killed and started
 * again. Everything else that is wrong gets ERROR. A name is 1 to 63 bytes from '!' to '~'.
 *
 * Requests, from a master. "command": only from the master in command. Each but PONG is answered: with OK and the
 * payload below, if there is any, or with ERROR: i32 number of base/err.h, then a text for people.
 *
 *   type              payload, and what comes with OK
 *
 *    1  HELLO         u16 lowest, u16 highest version that the master speaks. The first request; events come only
 *                     after it. OK, 35 bytes and three texts:
 *                       byte  0  u16  version to speak
 *                             2  u16  flags: 1 you are in command, 2 a master has been ready before
 *                             4  u32  pid of the anchor
 *                             8  u32  your pid
 *                            12  u32  pid of the other master, 0: there is none
 *                            16  u64  epoch: counts every change of who is in command
 *                            24  u64  masters started so far
 *                            32  u8 u8 u8  lengths of the texts that follow: your image, the good image, the image to
 *                                be tried (0: none)
 *    2  PUT           name, with one descriptor. Replaces what has the name. A master without command may only add names
 *                     and replace those that it added itself.
 *    3  GET           name. OK: with the descriptor.
 *    4  DEL           name; permissions as PUT. Images that are good or to be tried cannot be deleted.
 *    5  LIST          u32 cursor (0 at first), prefix (0 to 63 bytes). OK: u32 next cursor (0: that was all), then each
 *                     name as u8 length and text. A name that is there all the time is listed exactly once.
 *    6  START         command. Name of an image, or nothing: the one to be tried, else the good one. Starts a second
 *                     master. OK: u32 its pid.
 *    7  COMMAND       command. u32 pid of the other master, which has said HELLO. It is in command from now on. OK: u64
 *                     epoch.
 *    8  IMAGE         command. u8 1 (try) or 2 (good), name. Good is what a master is restarted from; making an image
 *                     good ends the trial.
 *    9  NOTIFY        command. Text of 1 to 4096 bytes, passed as one datagram to the service manager (sd_notify(3)), if
 *                     there is one. A line READY=1 is noticed.
 *   10  ACK           command. u64 seq of a STATUS or SIGNAL: it has been taken care of. The process of a STATUS is
 *                     reaped.
 *   11  EXIT          command. u32 code, 0 to 255. After OK the anchor kills what is left and exits with the code.
 *   12  PONG          u64 the number of the PING. Not answered.
 *   13  LOG           command. Nothing, with one descriptor: where the anchor writes its log from now on. It takes the
 *                     place of its standard error, which every later master inherits.
 *
 *   64  OK, 65 ERROR  the answers
 *
 * Events, to a master. STATUS and SIGNAL go to the one in command only, one of each at a time; what was not acknowledged
 * is sent to the next master in command with the same seq.
 *
 *  128  STATUS        a child has ended: u64 seq, u32 pid, u32 code (CLD_*), u32 status (waitid(2)), u32 1 if it was a
 *                     master, else 0
 *  129  SIGNAL        the anchor received a signal: u64 seq, u32 its number
 *  130  COMMANDED     u64 epoch: you are in command now (not sent to one who reads it in the answer to HELLO)
 *  131  PING          u64 number: answer with PONG. The next one comes only after the answer. */
#ifndef HOLDFAST_ANCHOR_WIRE_H
#define HOLDFAST_ANCHOR_WIRE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define WIRE_MAGIC 0x43464c48u
#define WIRE_VERSION 1
#define WIRE_HEADER_SIZE 24
#define WIRE_PAYLOAD_MAX 4096
#define WIRE_PACKET_MAX (WIRE_HEADER_SIZE + WIRE_PAYLOAD_MAX)
#define WIRE_NAME_MAX 63
#define WIRE_MASTER_FD 3 /* where a master finds its end */

enum wire_type {
    WIRE_HELLO = 1,
    WIRE_PUT,
    WIRE_GET,
    WIRE_DEL,
    WIRE_LIST,
    WIRE_START,
    WIRE_COMMAND,
    WIRE_IMAGE,
    WIRE_NOTIFY,
    WIRE_ACK,
    WIRE_EXIT,
    WIRE_PONG,
    WIRE_LOG,

    WIRE_OK = 64,
    WIRE_ERROR,

    WIRE_STATUS = 128,
    WIRE_SIGNAL,
    WIRE_COMMANDED,
    WIRE_PING,
};

enum wire_image_op { WIRE_IMAGE_TRY = 1, WIRE_IMAGE_GOOD = 2 };

#define WIRE_HELLO_IN_COMMAND 1u
#define WIRE_HELLO_READY_BEFORE 2u
#define WIRE_HELLO_SIZE 4
#define WIRE_HELLO_ANSWER_SIZE 35 /* without the three texts */
#define WIRE_STATUS_SIZE 24
#define WIRE_SIGNAL_SIZE 12

struct wire_header {
    uint32_t magic;
    uint16_t version, type;
    uint32_t length, flags;
    uint64_t serial;
};

static inline void wire_put_u16(uint8_t *at, uint16_t value)
{
    at[0] = (uint8_t)value;
    at[1] = (uint8_t)(value >> 8);
}

static inline void wire_put_u32(uint8_t *at, uint32_t value)
{
    wire_put_u16(at, (uint16_t)value);
    wire_put_u16(at + 2, (uint16_t)(value >> 16));
}

static inline void wire_put_u64(uint8_t *at, uint64_t value)
{
    wire_put_u32(at, (uint32_t)value);
    wire_put_u32(at + 4, (uint32_t)(value >> 32));
}

static inline uint16_t wire_get_u16(const uint8_t *at)
{
    return (uint16_t)(at[0] | at[1] << 8);
}

static inline uint32_t wire_get_u32(const uint8_t *at)
{
    return wire_get_u16(at) | (uint32_t)wire_get_u16(at + 2) << 16;
}

static inline uint64_t wire_get_u64(const uint8_t *at)
{
    return wire_get_u32(at) | (uint64_t)wire_get_u32(at + 4) << 32;
}

/* Writes the header of a message of this version into the first WIRE_HEADER_SIZE bytes. */
static inline void wire_header_put(uint8_t *at, enum wire_type type, uint32_t length, uint64_t serial)
{
    wire_put_u32(at, WIRE_MAGIC);
    wire_put_u16(at + 4, WIRE_VERSION);
    wire_put_u16(at + 6, (uint16_t)type);
    wire_put_u32(at + 8, length);
    wire_put_u32(at + 12, 0);
    wire_put_u64(at + 16, serial);
}

/* Reads the header of a packet of `size` bytes. 1, or 0 if its magic, version or length is wrong. */
static inline int wire_header_get(const uint8_t *at, size_t size, struct wire_header *header)
{
    if (size < WIRE_HEADER_SIZE)
        return 0;
    *header = (struct wire_header){
        .magic = wire_get_u32(at),
        .version = wire_get_u16(at + 4),
        .type = wire_get_u16(at + 6),
        .length = wire_get_u32(at + 8),
        .flags = wire_get_u32(at + 12),
        .serial = wire_get_u64(at + 16),
    };
    return header->magic == WIRE_MAGIC && header->version == WIRE_VERSION &&
           header->length == size - WIRE_HEADER_SIZE;
}

/* Whether these bytes are a name. */
static inline int wire_name_valid(const void *text, size_t length)
{
    const uint8_t *byte = (const uint8_t *)text;
    if (length < 1 || length > WIRE_NAME_MAX)
        return 0;
    for (size_t i = 0; i < length; i++)
        if (byte[i] < '!' || byte[i] > '~')
            return 0;
    return 1;
}

#endif
