/* The error log: one line an event, `key=value`, written with one write(2) so that lines of several processes
 * never mix and none of them ever waits for a reader: what finds no room is dropped and counted. Goes to one descriptor (standard error unless told otherwise).
 *
 *   2026-01-31T23:59:59.123456Z warn keeper pid=812 event=worker_died slot=0 cause="signal 9 (SIGKILL)"
 *
 * Values with spaces or quotes are quoted by the caller's format: \"%s\". Line breaks and control bytes in the
 * finished line are replaced by '?', so nothing a peer says can forge a line. Lines are cut at 1024 bytes. */
#ifndef HOLDFAST_BASE_LOG_H
#define HOLDFAST_BASE_LOG_H

#include "base/log_events.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* `role` is borrowed for ever (a literal). Descriptor and level may be set again at any time. */
void log_init(int fd, const char *role);
void log_set_level(enum log_level lowest);
int log_fd(void);
void log_event(enum log_level level, enum log_event event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
const char *log_event_name(enum log_event event);

#endif
