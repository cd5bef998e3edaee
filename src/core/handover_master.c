/* The master's part in handovers: it makes links, and has nothing more to do with them. */
#include "core/master.h"

#include "base/fd.h"
#include "core/handover.h"

#include <errno.h>
#include <sys/socket.h>

/* The receiver's end first: a sender whose receiver has none is told by the end of the socket, and goes on alone. */
int master_hand_over(struct master *master, struct slot *from, struct slot *to)
{
    int pair[2], page, result;

    (void)master;
    if (from == to || from->link_fd < 0 || to->link_fd < 0)
        return ERR_INVALID;
    page = handover_page_create();
    if (page < 0)
        return page;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair)) {
        result = err_from_errno(errno);
        fd_close(&page);
        return result;
    }
    result = handover_send_link(to->link_fd, to->state->number, to->state->generation, HANDOVER_TAKES,
                                pair[1], page);
    if (!result)
        result = handover_send_link(from->link_fd, from->state->number, from->state->generation,
                                    HANDOVER_GIVES, pair[0], page);
    fd_close(&pair[0]);
    fd_close(&pair[1]);
    fd_close(&page);
    return result;
}
