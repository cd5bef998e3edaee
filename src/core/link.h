/* The link between the master and a slot (its keeper and worker): a SOCK_SEQPACKET pair. A frozen wire format, since
 * master and slot may be of different versions.
 *
 * Every message is 24 bytes: magic u32, version u16, type u16, slot u32, generation u32, pid s32, detail s32. The
 * content only wakes: what counts stands in the arena's first page, so a message that is lost with its reader or
 * sent twice by a revived worker does no harm.
 *
 *   slot to master   READY      the worker accepts (page.state is READY)
 *                    LEFT       the worker is done and leaves
 *                    DIED       sent by the keeper: its worker died; siblings should look at their listeners
 *                    TAKEOVER   the worker became keeper (page.keeper_pid says who)
 *                    FAILED     the worker cannot start; detail is the error
 *                    QUIET      the worker no longer accepts (page.listening is 0)
 *                    FULL       page.is_full has changed
 *   master to slot   POKE       look at page.order and at the listeners
 *                    HANDOVER   with two descriptors, socket and page of a link to another slot (handover.h); detail is
 *                               the role in it. Not repeated: who loses it has not got that link, and its peer is told by
 *                               the end of the socket */
#ifndef HOLDFAST_CORE_LINK_H
#define HOLDFAST_CORE_LINK_H

#include "base/err.h"

#include <stdint.h>
#include <sys/types.h>

#define LINK_MAGIC 0x4b4e4c48u /* "HLNK" */
#define LINK_VERSION 1u

enum link_type {
    LINK_READY = 1,
    LINK_LEFT = 2,
    LINK_DIED = 3,
    LINK_TAKEOVER = 4,
    LINK_FAILED = 5,
    LINK_QUIET = 6,
    LINK_FULL = 7,
    LINK_POKE = 16,
    LINK_HANDOVER = 17,
};

struct link_message {
    uint32_t magic;
    uint16_t version, type;
    uint32_t slot, generation;
    int32_t pid, detail;
};

/* Sends without blocking; a full link means that the other side has enough to wake up for, and is success. 0, or
 * ERR_CLOSED when nobody holds the other end. */
WARN_UNUSED int link_send(int fd, enum link_type type, uint32_t slot, uint32_t generation, int32_t detail);
/* Takes one message. 0; ERR_AGAIN; ERR_CLOSED; ERR_PROTOCOL for what is none (it is dropped). */
WARN_UNUSED int link_receive(int fd, struct link_message *message);

#endif
