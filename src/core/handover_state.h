/* What of handovers lies in the arena: the links that this slot has, and how far each is. See handover.h.
 *
 * A link has one sender and one receiver; a slot may be either in several links at once. With it come two descriptors, its
 * socket and its page (handover_page.h). They and whatever descriptors a message brings stand here before anybody else knows
 * them: a message is received with all that the kernel writes lying in the arena (intent.h), so none is ever an orphan. */
#ifndef HOLDFAST_CORE_HANDOVER_STATE_H
#define HOLDFAST_CORE_HANDOVER_STATE_H

#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define HANDOVER_LINKS 8u
#define HANDOVER_DESCRIPTORS_MAX 253u /* of one message: SCM_MAX_FD, unix(7) */

enum handover_role {
    HANDOVER_NONE = 0, /* the place is free */
    HANDOVER_GIVES = 1,
    HANDOVER_TAKES = 2,
    HANDOVER_ENDED = 3, /* its descriptors are being closed */
};

/* A message of the link's socket: 24 bytes. From sender to receiver it brings a batch's descriptors; the other way it only
 * wakes. */
#define HANDOVER_MESSAGE_MAGIC 0x4f444e48u /* "HNDO" */
#define HANDOVER_MESSAGE_VERSION 1u
enum handover_message_type { HANDOVER_BATCH = 1, HANDOVER_WAKE = 2 };
struct handover_message {
    uint32_t magic;
    uint16_t version, type;
    uint32_t descriptors, reserved;
    uint64_t batch;
};
_Static_assert(sizeof(struct handover_message) == 24, "a frozen wire format");

#define HANDOVER_CONTROL_SIZE CMSG_SPACE(HANDOVER_DESCRIPTORS_MAX * sizeof(int))

/* One message under way, and its descriptors. `message.msg_len` is INTENT_UNTOUCHED until the kernel has done it. */
struct handover_mail {
    struct mmsghdr message;
    struct iovec vector;
    _Alignas(8) unsigned char payload[32]; /* a struct link_message or a struct handover_message */
    /* As the kernel wrote it; what is closed or has become somebody's is -1. */
    _Alignas(8) unsigned char control[HANDOVER_CONTROL_SIZE];
};

enum handover_inbox {
    HANDOVER_EMPTY = 0,
    HANDOVER_RECEIVING = 1, /* the mail's msg_len says whether it was received */
    HANDOVER_RECEIVED =
        2, /* the mail's descriptors are ours; to be thawed, or taken already: the page says so */
    HANDOVER_DROPPING = 3, /* the batch is refused; the descriptors are to be closed */
};

struct handover_link {
    volatile uint32_t role;              /* enum handover_role */
    volatile uint32_t inbox;             /* enum handover_inbox; TAKES only */
    volatile int32_t socket_fd, page_fd; /* -1: none (any more) */
    /* GIVES, the outbox: what is FROZEN for this link belongs to this batch; not offered as long as page.offered is less. TAKES: the
     * batch whose descriptors the mail has. */
    volatile uint64_t batch;
    volatile uint32_t is_thawing; /* a crash now is the batch's fault */
    volatile uint32_t
        refusal; /* enum handover_refusal, why the batch in the inbox is to be refused; 0: it is not */
    volatile uint32_t is_alone; /* GIVES: the batch is one connection, and what goes with it */
    uint32_t reserved;
    volatile uint64_t until_ns; /* GIVES: then the link is ended; 0: never by itself */
    volatile uint64_t below;    /* GIVES: connections whose serial is less */
    uint64_t frozen_ns;         /* GIVES: when the first of the batch was frozen */
    struct handover_mail mail;
};

struct handover_state {
    /* Of the master's link: it brings links. */
    volatile uint32_t is_receiving;
    uint32_t reserved;
    struct handover_mail mail;
    struct handover_link links[HANDOVER_LINKS];
};

#endif
