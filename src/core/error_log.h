/* The error log's file: `error_log PATH`. Every process writes its lines itself (base/log.h), to its standard error; here
 * that becomes the file, in all of them.
 *
 *   master   opens the file when the listeners are bound, and when logs are to be reopened; puts it in the place of its
 *            own standard error, which every process that it starts inherits, and gives it to the anchor
 *   anchor   puts it in the place of its own (LOG in anchor/wire.h), which every later master inherits
 *   worker   opens it anew when the page's `log_epoch` says so, for its keeper too: they have one descriptor table
 *
 * The file belongs to the workers' user, as the access logs do, and everybody opens it with that user's rights: in a
 * folder that is the workers' to write to, somebody who took over a worker could put a link in the file's place. */
#ifndef HOLDFAST_CORE_ERROR_LOG_H
#define HOLDFAST_CORE_ERROR_LOG_H

#include "base/err.h"
#include "core/settings.h"

struct worker;

/* Whether the file can be opened by that user, or made by us if it is not there. 0, or errno. Changes nothing. */
WARN_UNUSED int error_log_try(const char *path, uid_t uid, gid_t gid);

/* The file, open for appending, with the rights of the workers: the caller's. Or an error, and errno. */
WARN_UNUSED int error_log_open(const struct core_settings *settings);
/* Puts *fd in the place of standard error, and closes it. 0 or an error, and errno. */
WARN_UNUSED int error_log_use(int *fd);

/* For the job of log_writer.h: 1 if the worker is to open the file anew. */
int error_log_must_reopen(const struct worker *worker);
/* Does so. 0, or an error and errno: the old file goes on, and nothing is tried again before the next wish. */
WARN_UNUSED int error_log_reopen(struct worker *worker);

#endif
