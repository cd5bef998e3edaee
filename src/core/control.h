/* The control socket: the master's ear for the command line. The listening socket is held by the anchor, so that no
 * master's death closes it; a client whose master died sees its connection end and asks again. */
#ifndef HOLDFAST_CORE_CONTROL_H
#define HOLDFAST_CORE_CONTROL_H

#include "base/err.h"

#include <poll.h>

struct master;

#define CONTROL_CLIENTS_MAX 16
#define CONTROL_FDS_MAX (1 + CONTROL_CLIENTS_MAX)

/* Finds the socket again in the anchor, or binds it and deposits it. 0 or an error, which was logged. */
WARN_UNUSED int control_start(struct master *master);
/* Closes everything, removes the path and the anchor's copy. */
void control_stop(struct master *master);
/* Writes what is to be polled; the number of entries. */
nfds_t control_collect(struct master *master, struct pollfd *polled);
/* Deals with what collect's entries say now. */
void control_ready(struct master *master, const struct pollfd *polled, nfds_t count);

#endif
