/* The intent: the one thing that a thread is doing to one connection, announced in the arena before it is done.
 *
 * After a death only the records named by intents are in question; all others are exact. Each thread has one.
 * Thread 0 is the loop; the others are the pool, whose intents name the request to blame, no I/O.
 *
 * For sockets without byte counters (AF_UNIX) the system call itself reports into the arena: the kernel writes
 * `message.msg_len` (recvmmsg, sendmmsg with one message) or `file_offset` (sendfile) before it returns to user
 * mode, and a SIGKILL acts only then. `message.msg_len` is preset to INTENT_UNTOUCHED, which no call returns. */
#ifndef HOLDFAST_CORE_INTENT_H
#define HOLDFAST_CORE_INTENT_H

#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#define INTENT_UNTOUCHED 0xffffffffu

enum intent_call {
    INTENT_NOTHING = 0,
    INTENT_ACCEPT = 1,   /* a new descriptor of `listener` may exist without a record */
    INTENT_RECEIVE = 2,  /* message ledger: msg_len more bytes were received after `base` */
    INTENT_SEND = 3,     /* message ledger: msg_len more bytes were sent after `base` */
    INTENT_SENDFILE = 4, /* file ledger: (file_offset - file_start) more bytes were sent after `base` */
};

struct intent {
    volatile uint32_t record;  /* number + 1 of the record in question, or 0 */
    volatile uint32_t call;    /* enum intent_call */
    volatile uint64_t request; /* serial of the request being handled (blamed after a crash), or 0 */
    volatile uint32_t listener;
    uint32_t reserved;
    uint64_t base;
    off_t file_offset, file_start;
    struct mmsghdr message;
    struct iovec vector;
};

#endif
