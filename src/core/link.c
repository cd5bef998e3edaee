#include "core/link.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

int link_send(int fd, enum link_type type, uint32_t slot, uint32_t generation, int32_t detail)
{
    struct link_message message = {.magic = LINK_MAGIC,
                                   .version = LINK_VERSION,
                                   .type = (uint16_t)type,
                                   .slot = slot,
                                   .generation = generation,
                                   .pid = getpid(),
                                   .detail = detail};

    if (send(fd, &message, sizeof message, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)sizeof message)
        return 0;
    return errno == EAGAIN || errno == ENOBUFS ? 0 : ERR_CLOSED;
}

int link_receive(int fd, struct link_message *message)
{
    ssize_t count = recv(fd, message, sizeof *message, MSG_DONTWAIT);

    if (count < 0)
        return errno == EAGAIN || errno == EINTR ? ERR_AGAIN : ERR_CLOSED;
    if (count == 0)
        return ERR_CLOSED;
    if (count != (ssize_t)sizeof *message || message->magic != LINK_MAGIC || message->version != LINK_VERSION)
        return ERR_PROTOCOL;
    return 0;
}
