/* The state of the server as JSON (docs/control.md): read from the first pages of the arenas, costs workers nothing. */
#ifndef HOLDFAST_CORE_STATUS_H
#define HOLDFAST_CORE_STATUS_H

#include "core/master.h"

#include <jansson.h>

/* A new reference, or NULL without memory. */
json_t *status_json(const struct master *master);

#endif
