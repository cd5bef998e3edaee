/* Connections that we make. The record comes before connect(2): a death in between leaves a record whose socket is not
 * connected yet, and connect is called again. */
#include "core/worker.h"

#include "base/assert.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SPARE_DESCRIPTORS 64u /* fewer than accepting leaves: what was accepted can be forwarded */

/* The kernel gives the lowest free descriptor (see has_room of accept.c). */
static int has_room(struct worker *worker)
{
    const uint64_t next = worker_descriptors(worker) + SPARE_DESCRIPTORS;

    return next >= worker->arena.core->record_count ? ERR_NO_DESCRIPTORS
                                                    : arena_record_reserve(&worker->arena, (uint32_t)next);
}

static int open_socket(struct worker *worker, int family)
{
    int on = 1, result, fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return errno == EAFNOSUPPORT ? ERR_UNSUPPORTED : err_from_errno(errno);
    result = arena_record_reserve(&worker->arena, (uint32_t)fd);
    if (!result && family != AF_UNIX &&
        /* ledger.h says why urgent bytes must stay in line */
        (setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof on) ||
         setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on)))
        result = err_from_errno(errno);
    if (result) {
        close(fd);
        return result;
    }
    return fd;
}

int worker_open_connected(struct worker *worker, const struct sockaddr *address, uint8_t class_tag,
                          struct record **record)
{
    struct sockaddr_storage peer = {.ss_family = address->sa_family};
    int fd, result = has_room(worker);

    if (result && worker_make_room(worker))
        result = has_room(worker);
    if (result)
        return result;
    fd = open_socket(worker, address->sa_family);
    if (fd < 0)
        return fd;
    if (address->sa_family == AF_INET)
        memcpy(&peer, address, sizeof(struct sockaddr_in));
    else if (address->sa_family == AF_INET6)
        memcpy(&peer, address, sizeof(struct sockaddr_in6));
    worker_note_descriptor(worker, fd);
    *record = arena_record(&worker->arena, (uint32_t)fd);
    MUST((*record)->life == RECORD_FREE);
    worker_fill_record(worker, *record, address->sa_family == AF_UNIX ? RECORD_UNIX : RECORD_TCP_CONNECTED,
                       class_tag, RECORD_NO_LISTENER);
    worker_note_peer(*record, &peer);
    *worker_side(worker, *record) = (struct conn_side){.is_again = worker_side(worker, *record)->is_again};
    worker->service->classes[class_tag]->opened(worker, *record, record_begin(*record));
    record_commit(*record);
    record_set_life(*record, RECORD_OPEN);
    arena_count_add(&worker->arena.page->connected, 1);
    return 0;
}

int worker_connect(struct worker *worker, struct record *record, const struct sockaddr *address,
                   socklen_t length)
{
    const int fd = (int)arena_number(&worker->arena, record);

    MUST(worker->intent->record == (uint32_t)fd + 1);
    if (!connect(fd, address, length) || errno == EISCONN)
        return 0;
    if (errno == EINPROGRESS || errno == EALREADY || errno == EINTR)
        return ERR_AGAIN;
    if (errno == EAGAIN) /* AF_UNIX alone: connect(2) */
        return ERR_BUSY;
    return err_from_errno(errno);
}
