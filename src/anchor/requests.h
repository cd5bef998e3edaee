/* What masters ask for. */
#ifndef HOLDFAST_ANCHOR_REQUESTS_H
#define HOLDFAST_ANCHOR_REQUESTS_H

#include "anchor/anchor.h"
#include "base/packet.h"

/* Handles one packet of `packet->length` bytes and answers it. Takes packet->fd.
 * 0, or ERR_PROTOCOL if this is no message of this protocol: then the master has to go. */
WARN_UNUSED int requests_handle(struct anchor *anchor, struct master *from, const uint8_t *bytes,
                                struct packet *packet);

#endif
