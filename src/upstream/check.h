/* Active checks: a connection of its own to a member, GET of a path, and what the answer says of the member; or the connection
 * alone, which is reset as soon as it is made, so that many servers never hear of it.
 *
 *   NEW --- connect(2) ---> CONNECTING ---> ASKING --- the final head ---> ENDING --- FIN, or ENDING_NS ---> closed
 *                               +--------- it was to connect ---------------------------------------------> closed
 *
 * The record lies in the arena as all others do: a check that its worker did not live to see the end of goes on in the next
 * one. What it has found is told after the record has said so (ENDING, or closed), so a death in between tells nothing, and
 * nothing is told twice; the next check comes after the interval. A check holds no active place of its member.
 *
 * The body of an answer is read and forgotten, so that a server does not see a reset; it gets ENDING_NS for that. */
#ifndef HOLDFAST_UPSTREAM_CHECK_H
#define HOLDFAST_UPSTREAM_CHECK_H

#include "core/worker.h"
#include "upstream/pools.h"

extern const struct conn_class upstream_check_class;

/* Before the first connection is driven: whom the class tells. Borrowed until it is set to NULL. One in a process. */
void check_set_pools(struct pools *pools);
/* Begins a check that pools_take_check gave. When it cannot be begun for want of memory or descriptors, nothing is told of
 * the member. Not while a record is driven. */
void check_begin(struct worker *worker, uint32_t member, const struct upstream_pool *pool);

#endif
