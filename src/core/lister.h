/* The lister: a short-lived process that reads the arenas and tells a control client of every connection.
 *
 * The master carries no traffic: it neither maps the arenas whole (they would count as its memory) nor asks workers (which
 * may hang). It starts a lister with the arenas, as the workers' user, and gives the client's connection away to it;
 * what the lister does wrong, and a client that takes its answer slowly, concern nobody else. An arena of another build
 * (beside an upgrade) cannot be read; its slot is named as such.
 *
 * The answer is one line, {"ok": true, "result": {"connections": [...], "unreadable": [...]}}; then the connection ends. */
#ifndef HOLDFAST_CORE_LISTER_H
#define HOLDFAST_CORE_LISTER_H

#include "base/err.h"
#include "core/worker.h"

struct master;

#define LISTERS_MAX 4

/* Starts one for the client behind client_fd, which stays the caller's. 0; ERR_BUSY: there are enough; and others. */
WARN_UNUSED int lister_start(struct master *master, int client_fd);
/* 1 if pid is or was a lister; it is forgotten then. */
int lister_ended(struct master *master, pid_t pid);
/* The role; its descriptors are FD_CLIENT and FD_ARENAS in lister.c. Returns an exit code. */
int lister_run(const struct service *service, char **arguments);

#endif
