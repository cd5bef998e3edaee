/* What a worker counts of TCP connections that are passed on: words of the arena's first page (arena_page.counters), which change
 * with the transaction that they count, so that a death counts nothing twice and forgets nothing. The numbers are part of the
 * frozen page: new ones come at the end. */
#ifndef HOLDFAST_NET_TCP_COUNTERS_H
#define HOLDFAST_NET_TCP_COUNTERS_H

#include "core/arena.h"

/* How a connection ended: name, the word in logs and metrics, meaning. Their order is that of counters: new ones at the end. */
#define TCP_END_TABLE(X)                                                                                     \
    X(COMPLETE, complete, "both sides had sent their end, and everything before it was passed on")           \
    X(CLIENT_RESET, client_reset, "the client's connection was reset, or failed")                            \
    X(UPSTREAM_RESET, upstream_reset, "the server's connection was reset, or failed")                        \
    X(IDLE_TIMEOUT, idle_timeout, "no byte passed for too long")                                             \
    X(CONNECT_REFUSED, connect_refused, "the server refused the connection")                                 \
    X(CONNECT_FAILED, connect_failed, "the server could not be reached")                                     \
    X(CONNECT_TIMEOUT, connect_timeout, "the server did not take the connection in time")                    \
    X(POOL_FULL, pool_full, "every server was at its limit, and the queue full or the time in it over")      \
    X(POOL_EMPTY, pool_empty, "the names of the servers were not found in time")                             \
    X(NO_SERVER_UP, no_server_up, "every server was down, or had been tried")                                \
    X(DNS_FAILED, dns_failed, "the names of the servers cannot be found")                                    \
    X(TOO_MANY, too_many_connections, "the block had its number of connections")                             \
    X(TOO_MANY_OF_CLIENT, too_many_connections_from_address, "the client's address had its number")          \
    X(NO_DESCRIPTORS, no_descriptors, "there were no descriptors left")                                      \
    X(NO_MEMORY, no_memory, "there was no memory left")                                                      \
    X(CRASHED, crashed, "it crashed a worker")                                                               \
    X(LOST, lost,                                                                                            \
      "what was known of it could not be trusted after a death, or was given up in a crash loop")            \
    X(DRAINED, drained, "the server stopped, and the time for its drain was over")

enum tcp_end {
#define TCP_END_ENUM(name, text, meaning) TCP_END_##name,
    TCP_END_TABLE(TCP_END_ENUM)
#undef TCP_END_ENUM
        TCP_ENDS
};
static inline const char *tcp_end_name(unsigned end)
{
    static const char *const names[] = {
#define TCP_END_NAME(name, text, meaning) [TCP_END_##name] = #text,
        TCP_END_TABLE(TCP_END_NAME)
#undef TCP_END_NAME
    };

    return end < TCP_ENDS ? names[end] : "unknown";
}

enum tcp_counter {
    TCP_STARTED = 64,      /* connections that were accepted and looked at */
    TCP_BYTES_UP = 65,     /* taken from clients and given to servers */
    TCP_BYTES_DOWN = 66,   /* the other way */
    TCP_TRIES_FAILED = 67, /* connections to servers that were not made */
    TCP_ENDED_FIRST = 68,  /* by enum tcp_end */
    TCP_COUNTERS = TCP_ENDED_FIRST + TCP_ENDS,
};
_Static_assert((int)TCP_COUNTERS <= (int)ARENA_COUNTERS, "the page has room for them");

#endif
