/* The connection to a member of a pool: a record of its own, the leg, that belongs to the connection that it is made for. */
#ifndef HOLDFAST_UPSTREAM_DIAL_H
#define HOLDFAST_UPSTREAM_DIAL_H

#include "core/worker.h"
#include "upstream/pools.h"

/* A socket to that member and its record, OPEN and not connected yet. 0; ERR_NOT_FOUND: nobody is there any more; or an error of
 * worker_open_connected. */
WARN_UNUSED int dial_open(struct worker *worker, const struct pools *pools, uint32_t member,
                          uint8_t class_tag, struct record **leg);
/* Connects the leg: 0; ERR_AGAIN: it is under way, and the leg or `owner` will be driven; or why the connection is not made
 * (ERR_REFUSED …). To be called again, also by the next worker, whenever one of them is driven, until it says something else
 * than ERR_AGAIN. The worker has turned to `owner`, before and after. */
WARN_UNUSED int dial_connect(struct worker *worker, const struct pools *pools, struct record *owner,
                             struct record *leg, uint32_t member);

#endif
