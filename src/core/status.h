/* The state of the server as JSON (docs/control.md): read from the board, costs workers nothing. */
#ifndef HOLDFAST_CORE_STATUS_H
#define HOLDFAST_CORE_STATUS_H

#include "core/board.h"
#include "core/settings.h"

#include <jansson.h>

/* A new reference, or NULL without memory. Any process that has the board can make it. */
json_t *status_json(const struct board *board, const struct core_settings *settings);
/* The same as text, as `holdfast status --json` prints it; the caller frees it. NULL without memory. */
char *status_text(const struct board *board, const struct core_settings *settings);

#endif
