/* The demonstration: a response that ticks five times a second, and a visitor who kills the worker that sends it.
 *
 *   GET  …/ticks          one JSON object a line, every 200 ms: {"tick":N,"slot":S,"pid":P}. N counts without a gap
 *                         whatever dies, since it lies in the record; pid shows who made the line
 *   GET  …/token          {"token":"…"}
 *   POST …/kill?pid=N     sends SIGKILL to worker N of this server
 *
 * It is in every build, so that what people see is what they would install. It does nothing unless a route says `demo`, and
 * then answers only clients whose address is this machine's (not who came through a proxy) and who call it by a
 * loopback name: a page that made its own name point here (DNS rebinding) does not. A kill besides needs the Origin of
 * that same name and the token, which a page of another origin cannot read. */
#ifndef HOLDFAST_HANDLER_DEMO_DEMO_H
#define HOLDFAST_HANDLER_DEMO_DEMO_H

#include "http/exchange.h"

extern const struct handler demo_handler;

/* 1 if a Host (with or without a port) is a loopback name: localhost, 127.x.y.z, [::1]. */
int demo_is_loopback_name(struct slice host);
/* 1 if an address as in a record is this machine's. */
int demo_is_loopback_address(const uint8_t address[16]);

#endif
