/* Listening sockets: made by the master, held by the anchor, inherited by keepers. Known by their address as text. */
#ifndef HOLDFAST_CORE_LISTENERS_H
#define HOLDFAST_CORE_LISTENERS_H

#include "base/err.h"
#include "core/settings.h"

/* Binds and listens. Returns the descriptor (non-blocking, CLOEXEC) or an error; `why` then says what failed.
 * The options that accepted sockets inherit are set here: SO_OOBINLINE (the ledger needs it), TCP_NODELAY,
 * SO_KEEPALIVE. A Unix socket whose path is left over from somebody dead is replaced; from somebody alive refused.
 * Its path gets the owner and the mode before anybody can connect; where that fails (EPERM) the path is removed. */
WARN_UNUSED int listener_open(const struct core_listener *listener, char *why, size_t why_size);
/* New connections are steered away: SYNs are dropped, handshakes under way still complete (classic BPF,
 * SO_ATTACH_FILTER, socket(7)); on a Unix socket connecting is refused, and what is in its queue
 * can still be accepted. For the time between "stop accepting" and close. */
void listener_steer_away(int fd);
/* Removes the path of a Unix socket; nothing for others. */
void listener_unlink(const struct core_listener *listener);

#endif
