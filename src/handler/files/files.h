/* Serves the files of a site's folder: GET and HEAD.
 *
 * Nothing leaves the folder: paths are decoded and made straight by proto/h1, and opened beneath the folder's
 * descriptor with openat2(2) RESOLVE_BENEATH. Names that begin with a dot are not served. What was opened is kept
 * for a second: small files with their content, which then costs one send, large ones with their descriptor for
 * sendfile. All of that is private memory and may vanish with the worker; a response under way has its descriptor
 * in the record. */
#ifndef HOLDFAST_HANDLER_FILES_FILES_H
#define HOLDFAST_HANDLER_FILES_FILES_H

#include "http/exchange.h"

extern const struct handler files_handler;

/* Opens the folders of all sites. The result goes to http->handler_private[0]. 0 or an error, which was logged. */
WARN_UNUSED int files_start(struct http *http);
void files_stop(struct http *http);
/* Once a second: forgets what was not asked for lately. 1 if something is left to be forgotten. */
int files_housekeeping(struct http *http);

#endif
