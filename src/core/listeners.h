/* Listening sockets: made by the master, held by the anchor, inherited by keepers. Known by their address as text, and
 * under `accept reuseport` by the number of their queue: one socket for each worker, all bound to the address. The
 * kernel chooses among them for each SYN (SO_REUSEPORT, socket(7)); whoever waits in a queue waits for that socket's
 * worker, so a queue passes from a worker to its successor and is never closed while somebody is in it.
 *
 * Being drained for a while, and coming back, with the same sockets in everybody's tables:
 *
 *     open --hide--> nobody new gets in --(workers empty the queue)--> --shut--> refused --show--> open */
#ifndef HOLDFAST_CORE_LISTENERS_H
#define HOLDFAST_CORE_LISTENERS_H

#include "base/err.h"
#include "core/settings.h"

/* Binds and listens. Returns the descriptor (non-blocking, CLOEXEC) or an error; `why` then says what failed.
 * The options that accepted sockets inherit are set here: SO_OOBINLINE (the ledger needs it), TCP_NODELAY,
 * SO_KEEPALIVE. A Unix socket whose path is left over from somebody dead is replaced; from somebody alive refused.
 * Its path gets the owner and the mode before anybody can connect; where that fails (EPERM) the path is removed.
 * `queue`: which of a listener's sockets; before the first of several, that nobody else listens there is tried. They
 * must be opened in their order, by which the kernel numbers them. */
WARN_UNUSED int listener_open(const struct core_listener *listener, unsigned queue, char *why,
                              size_t why_size);
/* New connections are kept off: as listener_steer_away, but a Unix socket's path is put aside (PATH.drained) instead.
 * May be repeated; undone by listener_show. 0, or an error: the path could not be moved, and whoever connects waits;
 * ERR_EXISTS: somebody has the other name. */
WARN_UNUSED int listener_hide(int fd, const struct core_listener *listener);
/* Connecting is refused from now on; whoever is still in a TCP queue is reset. The socket stays bound.
 * May be repeated. */
void listener_shut(int fd, const struct core_listener *listener);
/* Undoes both, for all `count` queues of a listener, which the kernel then numbers from 0 as it did at first. Some of them
 * may be shut and others not. 0, or ERR_EXISTS and others: somebody has taken the address meanwhile; ERR_NOT_FOUND: the
 * path that was put aside is gone. */
WARN_UNUSED int listener_show(const int *fds, unsigned count, const struct core_listener *listener);
/* New connections go, by lot, to the queues of the mask `wanted` alone (of `count`); to all if none or all are wanted.
 * `fd` is any socket of the address: the choice is the address's (SO_ATTACH_REUSEPORT_CBPF). */
void listener_choose_queues(int fd, uint64_t wanted, unsigned count);
/* New connections are steered away: SYNs are dropped, handshakes under way still complete (classic BPF,
 * SO_ATTACH_FILTER, socket(7)); on a Unix socket connecting is refused, and what is in its queue
 * can still be accepted. For the time between "stop accepting" and close. */
void listener_steer_away(int fd);
/* Removes the path of a Unix socket; nothing for others. */
void listener_unlink(const struct core_listener *listener);

#endif
