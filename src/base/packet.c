/* Packets with at most one descriptor. */
#include "base/packet.h"

#include "base/fd.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

/* Room for more than one descriptor, so that a second one is seen and closed instead of silently cut off. */
#define PACKET_FDS 2

union packet_control {
    char bytes[CMSG_SPACE(PACKET_FDS * sizeof(int))];
    struct cmsghdr align;
};

int packet_send(int socket, const void *bytes, size_t length, int fd)
{
    union packet_control control;
    memset(&control, 0, sizeof control);
    /* iovec has no const; sendmsg does not write. */
    struct iovec part = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = length};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (fd >= 0) {
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(sizeof fd);
        struct cmsghdr *head = CMSG_FIRSTHDR(&message);
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(sizeof fd);
        memcpy(CMSG_DATA(head), &fd, sizeof fd);
    }
    /* ECONNRESET is a note about what the other side left unread; asked again, the socket tells its true
     * state. */
    ssize_t sent;
    do
        sent = sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (sent < 0 && (errno == EINTR || errno == ECONNRESET));
    if (sent >= 0)
        return 0;
    if (errno == EAGAIN)
        return ERR_AGAIN;
    if (errno == EPIPE)
        return ERR_CLOSED;
    if (errno == ETOOMANYREFS)
        return ERR_NO_DESCRIPTORS;
    return err_from_errno(errno);
}

/* Takes the descriptors out of the control data. Returns how many came; the first is handed over, others are
 * closed. */
static int packet_take_fds(struct msghdr *message, int *first)
{
    int count = 0;
    for (struct cmsghdr *head = CMSG_FIRSTHDR(message); head; head = CMSG_NXTHDR(message, head)) {
        if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS)
            continue;
        size_t bytes = head->cmsg_len - CMSG_LEN(0);
        for (size_t at = 0; at + sizeof(int) <= bytes; at += sizeof(int)) {
            int fd;
            memcpy(&fd, CMSG_DATA(head) + at, sizeof fd);
            if (count++ == 0)
                *first = fd;
            else
                fd_close(&fd);
        }
    }
    return count;
}

int packet_receive(int socket, void *bytes, size_t capacity, struct packet *packet)
{
    union packet_control control;
    struct iovec part = {.iov_base = bytes, .iov_len = capacity};
    struct msghdr message;
    ssize_t received;
    *packet = (struct packet){.fd = -1};
    /* ECONNRESET comes before packets that are still queued when the other side died without reading all of
     * ours; the error is cleared by being told, so ask again. */
    do {
        message = (struct msghdr){.msg_iov = &part,
                                  .msg_iovlen = 1,
                                  .msg_control = control.bytes,
                                  .msg_controllen = sizeof control.bytes};
        received = recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    } while (received < 0 && (errno == EINTR || errno == ECONNRESET));
    if (received < 0)
        return errno == EAGAIN ? ERR_AGAIN : err_from_errno(errno);

    int count = packet_take_fds(&message, &packet->fd);
    int error = 0;
    if (received == 0)
        error = ERR_CLOSED;
    else if ((message.msg_flags & MSG_TRUNC) || count > 1)
        error = ERR_PROTOCOL;
    if (error || (message.msg_flags & MSG_CTRUNC))
        fd_close(&packet->fd);
    packet->length = (size_t)received;
    packet->fd_lost = (message.msg_flags & MSG_CTRUNC) != 0;
    return error;
}
