/* Deaths of a rig's worker (rig.h) at chosen places. */
#ifndef HOLDFAST_TESTS_UNIT_CORE_DEATH_H
#define HOLDFAST_TESTS_UNIT_CORE_DEATH_H

#include "rig.h"

/* accept4 has returned, and at most the record's life was written. Returns the new descriptor. */
int death_in_accept(struct rig *rig, enum record_life life);
/* Bytes of the client were received and could not be noted any more. */
void death_in_receive(struct rig *rig, struct record *record, int client, size_t length);
/* The worker dies and the next one revives; the witness begins a new account. */
void death_and_revival(struct rig *rig);

#endif
