/* The line of a connection in an access log. Text in, text out; no clock, no memory of its own.
 *
 * text:
 *
 *   127.0.0.1:50312 [24/Nov/2026:13:45:12 +0000] :5432 db 10.0.0.5:5432 SENT RECEIVED MS TRIES END
 *
 *   the client and its port ("unix:" on a Unix socket), when it came, the listener, the pool, the address of the server that was
 *   asked last (or "-"), bytes that the client took, bytes of the client's that were passed on, milliseconds from its first to
 *   its last moment, how many connections to servers were tried, and how it ended (TCP_END_TABLE)
 *
 * json: one object a line, always with the same members in the same order; what is not there is null:
 *
 *   {"time":"2026-11-24T13:45:12.123Z","client":"127.0.0.1","client_port":50312,"listener":":5432","pool":"db",
 *    "server":"10.0.0.5:5432","sent":512,"received":80,"ms":12.345,"tries":1,"end":"complete"} */
#ifndef HOLDFAST_L4_LOG_LINE_H
#define HOLDFAST_L4_LOG_LINE_H

#include "base/bytes.h"
#include "l4/config.h"
#include "net/tcp_counters.h"

#define L4_LINE_MAX 2048u /* whatever the texts are: they come from the configuration and from the kernel */

struct l4_line {
    uint64_t wall_ms; /* since 1970, when the connection began */
    struct slice client, listener, pool, server;
    unsigned client_port, tries;
    uint64_t sent, received, duration_ns;
    enum tcp_end end;
};

/* The whole line, with its line break. */
void l4_line_write(enum l4_log_format format, const struct l4_line *line, struct text *out);

#endif
