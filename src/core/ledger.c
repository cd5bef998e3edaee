#include "core/ledger.h"

#include <errno.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>

/* netinet/tcp.h and linux/tcp.h cannot be included together; these are the kernel's state numbers. */
enum tcp_state {
    STATE_ESTABLISHED = 1,
    STATE_SYN_SENT = 2,
    STATE_CLOSE = 7,
    STATE_CLOSE_WAIT = 8,
    STATE_LAST_ACK = 9,
    STATE_CLOSING = 11,
};

#define SETTLE_ROUNDS 1000 /* seen: 3 at most under full traffic */

static int tcp_info_read(int fd, struct tcp_info *info)
{
    socklen_t length = sizeof *info;

    memset(info, 0, sizeof *info);
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, info, &length))
        return err_from_errno(errno);
    if (length < offsetof(struct tcp_info, tcpi_segs_out))
        return ERR_UNSUPPORTED;
    return 0;
}

/* In CLOSE the state no longer tells whether a FIN was counted; the kernel's TCP_INQ hint does: it counts the FIN
 * as one more byte than SIOCINQ. */
static int closed_after_fin(int fd, int in_queue)
{
    char byte, control[CMSG_SPACE(sizeof(int))];
    struct iovec vector = {&byte, 1};
    struct msghdr message = {
        .msg_iov = &vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    int on = 1, hint = -1;

    if (setsockopt(fd, IPPROTO_TCP, TCP_INQ, &on, sizeof on))
        return 0;
    if (recvmsg(fd, &message, MSG_PEEK | MSG_DONTWAIT) < 0)
        return 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c))
        if (c->cmsg_level == IPPROTO_TCP && c->cmsg_type == TCP_CM_INQ)
            memcpy(&hint, CMSG_DATA(c), sizeof hint);
    on = 0;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_INQ, &on, sizeof on);
    return hint == in_queue + 1;
}

static int peer_fin_counted(int fd, int state, int in_queue)
{
    if (state == STATE_CLOSE_WAIT || state == STATE_LAST_ACK || state == STATE_CLOSING)
        return 1;
    return state == STATE_CLOSE && closed_after_fin(fd, in_queue);
}

int ledger_was_reset(int fd)
{
    struct tcp_info info;

    return !tcp_info_read(fd, &info) && info.tcpi_state == STATE_CLOSE && !closed_after_fin(fd, 0);
}

static int infos_agree(const struct tcp_info *a, const struct tcp_info *b)
{
    return a->tcpi_state == b->tcpi_state && a->tcpi_bytes_received == b->tcpi_bytes_received &&
           a->tcpi_bytes_acked == b->tcpi_bytes_acked;
}

int ledger_tcp_counts(int fd, int connected, int shut, struct ledger_counts *counts)
{
    struct tcp_info before, after;
    int in_queue = 0, out_queue = 0, fin, result = tcp_info_read(fd, &before);

    if (result)
        return result;
    for (int round = 0;; round++, before = after) {
        if (round == SETTLE_ROUNDS)
            return ERR_BUSY;
        if (ioctl(fd, SIOCINQ, &in_queue) || ioctl(fd, SIOCOUTQ, &out_queue))
            return err_from_errno(errno);
        fin = peer_fin_counted(fd, before.tcpi_state, in_queue);
        result = tcp_info_read(fd, &after);
        if (result)
            return result;
        if (infos_agree(&before, &after))
            break;
    }
    counts->state = after.tcpi_state;
    counts->rx = after.tcpi_bytes_received - (uint64_t)in_queue - (uint64_t)fin;
    counts->tx = after.tcpi_bytes_acked + (uint64_t)out_queue;
    if (after.tcpi_state == STATE_SYN_SENT || (connected && !after.tcpi_bytes_acked))
        counts->tx = 0; /* never connected: also when that failed, or connect was not called yet */
    else if (connected)
        counts->tx -= 1;
    counts->tx_unknown = shut;
    return 0;
}

/* --- I/O --- */

static void intend_message(struct intent *intent, enum intent_call call, uint64_t base, void *bytes,
                           size_t length)
{
    intent->base = base;
    memset(&intent->message, 0, sizeof intent->message);
    intent->vector = (struct iovec){bytes, length};
    intent->message.msg_hdr.msg_iov = &intent->vector;
    intent->message.msg_hdr.msg_iovlen = 1;
    intent->message.msg_len = INTENT_UNTOUCHED;
    COMPILER_BARRIER();
    intent->call = call;
    COMPILER_BARRIER();
}

static void intent_done(struct intent *intent)
{
    COMPILER_BARRIER();
    intent->call = INTENT_NOTHING;
    COMPILER_BARRIER();
}

ssize_t ledger_receive(struct intent *intent, struct record *record, int fd, void *into, size_t length)
{
    ssize_t count;

    if (record->kind != RECORD_UNIX) {
        count = recv(fd, into, length, 0);
        if (count < 0)
            return -errno;
    } else {
        intend_message(intent, INTENT_RECEIVE, record->rx, into, length);
        count = recvmmsg(fd, &intent->message, 1, MSG_DONTWAIT, NULL) == 1 ? (ssize_t)intent->message.msg_len
                                                                           : -errno;
    }
    if (count > 0)
        record->rx += (uint64_t)count;
    intent_done(intent);
    return count;
}

ssize_t ledger_send(struct intent *intent, struct record *record, int fd, const void *from, size_t length,
                    int more)
{
    const int flags = MSG_NOSIGNAL | (more ? MSG_MORE : 0);
    ssize_t count;

    if (record->kind != RECORD_UNIX) {
        count = send(fd, from, length, flags);
        if (count < 0)
            return -errno;
    } else {
        union { /* iovec is not const */
            const void *in;
            void *out;
        } bytes = {.in = from};

        intend_message(intent, INTENT_SEND, record->tx, bytes.out, length);
        count = sendmmsg(fd, &intent->message, 1, flags | MSG_DONTWAIT) == 1
                    ? (ssize_t)intent->message.msg_len
                    : -errno;
    }
    if (count > 0)
        record->tx += (uint64_t)count;
    intent_done(intent);
    return count;
}

ssize_t ledger_sendfile(struct intent *intent, struct record *record, int fd, int file_fd, uint64_t offset,
                        size_t length)
{
    ssize_t count;

    intent->base = record->tx;
    intent->file_start = intent->file_offset = (off_t)offset;
    COMPILER_BARRIER();
    intent->call = INTENT_SENDFILE;
    COMPILER_BARRIER();
    count = sendfile(fd, file_fd, &intent->file_offset, length);
    if (count < 0)
        count = -errno;
    if (count > 0)
        record->tx += (uint64_t)count;
    intent_done(intent);
    return count;
}

/* --- settling --- */

static int settle_tcp(int fd, struct record *record)
{
    const struct record_head *head = record_head(record);
    struct ledger_counts counts;
    uint64_t rx_limit = head->in_block ? head->taken + ARENA_BLOCK_SIZE : record->rx;
    int behind = 0, result;

    if (head->shut == RECORD_SHUT)
        return 0;
    result = ledger_tcp_counts(fd, record->kind == RECORD_TCP_CONNECTED, head->shut != 0, &counts);
    if (result)
        return result;
    if (counts.rx < record->rx || counts.rx > rx_limit)
        return ERR_INVALID;
    if (counts.rx != record->rx) {
        record->rx = counts.rx;
        behind++;
    }
    if (counts.tx_unknown) /* all was sent before the FIN */
        return behind;
    if (counts.tx < record->tx || counts.tx > head->made)
        return ERR_INVALID;
    if (counts.tx != record->tx) {
        record->tx = counts.tx;
        behind++;
    }
    return behind;
}

/* rx and tx are stored after the call: whether that store happened is told by comparing with base. */
static int settle_message(const struct intent *intent, struct record *record)
{
    uint64_t reached = intent->base + intent->message.msg_len;

    if (intent->message.msg_len == INTENT_UNTOUCHED)
        return 0;
    if (intent->call == INTENT_RECEIVE) {
        if (record->rx == reached)
            return 0;
        record->rx = reached;
    } else {
        if (record->tx == reached)
            return 0;
        record->tx = reached;
    }
    return 1;
}

static int settle_sendfile(const struct intent *intent, struct record *record)
{
    uint64_t reached = intent->base + (uint64_t)(intent->file_offset - intent->file_start);

    if (record->tx == reached)
        return 0;
    record->tx = reached;
    return 1;
}

int ledger_settle(struct arena *arena, const struct intent *intent, struct record *record)
{
    int fd = (int)arena_number(arena, record), on = 1;

    if (record->kind != RECORD_UNIX) {
        if (arena->core->counters_lie)
            return ERR_UNSUPPORTED;
        /* A sendfile that was cut midway leaves its tail corked; this pushes it (tcp(7), TCP_NODELAY). */
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        return settle_tcp(fd, record);
    }
    switch (intent->call) {
    case INTENT_RECEIVE:
    case INTENT_SEND:
        return settle_message(intent, record);
    case INTENT_SENDFILE:
        return settle_sendfile(intent, record);
    default:
        return 0;
    }
}
