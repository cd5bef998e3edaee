/* Media types by the extension of a file's name. */
#ifndef HOLDFAST_HANDLER_FILES_TYPES_H
#define HOLDFAST_HANDLER_FILES_TYPES_H

#include "base/bytes.h"

/* The Content-Type of a path; application/octet-stream for unknown ones. Static. */
struct slice types_of_path(struct slice path);

#endif
