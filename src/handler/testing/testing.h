/* Test builds only (-Dtest_hooks=true): paths under /_test/ that plant faults, and a POST whose answer depends on every
 * byte of its body.
 *
 *   POST /_test/hash           200 "LENGTH HASH\n": FNV-1a, 64 bits, of the body
 *   POST /_test/pool-hash      the same, answered through a pool thread
 *   GET  /_test/crash?how=H    H: segv abort bus fpe ill exit: the worker dies in the handler
 *   GET  /_test/pool-crash     a pool thread dies by SIGSEGV
 *   GET  /_test/pool-slow      a pool thread sleeps a second, then 200 "slow\n"
 *   GET  /_test/hang           the handler sleeps for ever
 *   GET  /_test/loop           the handler spins for ever */
#ifndef HOLDFAST_HANDLER_TESTING_TESTING_H
#define HOLDFAST_HANDLER_TESTING_TESTING_H

#include "http/exchange.h"

extern const struct handler testing_handler;

#endif
