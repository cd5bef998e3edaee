/* The phases of a master's life, each with the steps that may be due in it (master.h). Every function may be called again
 * after a death at any point of it. */
#ifndef HOLDFAST_CORE_PHASES_H
#define HOLDFAST_CORE_PHASES_H

#include "core/master.h"

#define EXIT_BAD_START 1

void phase_enter(struct master *master, enum master_phase phase);
/* master.c: the log of master and anchor goes to the file of the settings, opened anew. 0, or an error: all is as it was,
 * or for the anchor only. May be repeated. */
WARN_UNUSED int master_open_error_log(struct master *master);

/* phase_load.c: the loader reads the configuration */
void phase_load(struct master *master);
void phase_loader_read(struct master *master);
void phase_loader_status(struct master *master, int code, int status);

/* phase_start.c: listeners are bound, slots are made, all become ready */
void phase_listen(struct master *master);
void phase_start(struct master *master);
/* The name of a listener's queue in the anchor; `out` holds WIRE_NAME_MAX + 1 bytes. */
void phase_listener_name(char *out, const struct core_listener *listener, unsigned queue);

/* phase_run.c: nothing is due while all is well; draining for a while */
void phase_run(struct master *master);
/* Tells the pages what is no order: whether readiness is to be denied, and the log's epoch. */
void phase_tell_pages(struct master *master);
int phase_any_slot_listens(const struct master *master);

/* phase_stop.c: everything leaves */
void phase_drain(struct master *master);
void phase_stop(struct master *master);
_Noreturn void phase_leave(struct master *master);
void phase_close_listeners(struct master *master);
void phase_order_all(struct master *master, enum arena_order order);

#endif
