/* The state of the server as JSON (docs/control.md): read from the board, costs workers nothing. */
#ifndef HOLDFAST_CORE_STATUS_H
#define HOLDFAST_CORE_STATUS_H

#include "core/board.h"
#include "core/settings.h"
#include "core/worker.h"

#include <jansson.h>

/* Of what: any process that has this can tell it. */
struct status_source {
    const struct board *board;
    const struct core_settings *settings;
    const struct service *service; /* for what it says of the shared memory; NULL: nothing */
    const void *shared;            /* or NULL */
};

/* A new reference, or NULL without memory. */
json_t *status_json(const struct status_source *source);
/* The same as text, as `holdfast status --json` prints it; the caller frees it. NULL without memory. */
char *status_text(const struct status_source *source);

#endif
