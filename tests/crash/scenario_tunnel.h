/* The parts that are played through a TCP proxy with a server behind it that echoes (tests/support/backend.py, Echo with modes):
 * the first byte of a connection says how it goes on.
 *
 *   e   everything comes back, until our end, then its end
 *   q   the same up to a line break; then its end comes first, and what we still say is read and forgotten
 *   r   the same up to a line break; then it resets
 *
 * Each begins with a greeting of the server's, "hello\n". */
#ifndef HOLDFAST_TESTS_CRASH_SCENARIO_TUNNEL_H
#define HOLDFAST_TESTS_CRASH_SCENARIO_TUNNEL_H

#include "crash/talk.h"

void tunnel_ping(const struct target *target);
void tunnel_bulk(const struct target *target);
void tunnel_slow_reader(const struct target *target);
void tunnel_we_end_first(const struct target *target);
void tunnel_server_ends_first(const struct target *target);
void tunnel_we_reset(const struct target *target);
void tunnel_server_resets(const struct target *target);
void tunnel_urgent(const struct target *target);
void tunnel_fresh(const struct target *target);

/* Begins a conversation of that mode over a new connection. */
void tunnel_greet(struct talk *talk, char mode);
/* A tunnel that is open for good still echoes. */
void tunnel_ask(struct talk *talk, unsigned number);

#endif
