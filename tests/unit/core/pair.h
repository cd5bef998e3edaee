/* Two ends of a connection, and a count of what the test itself received and sent on each. */
#ifndef HOLDFAST_TESTS_UNIT_CORE_PAIR_H
#define HOLDFAST_TESTS_UNIT_CORE_PAIR_H

#include <stddef.h>
#include <stdint.h>

struct end {
    int fd;
    int connected, shut;
    uint64_t rx, tx;
};

struct pair {
    struct end client, server;
};

/* AF_INET or AF_INET6 on loopback (non-blocking, SO_OOBINLINE as on a listener of ours), or AF_UNIX. 0; or -1 if the
 * machine has no such family, then nothing is open. Everything else that fails, fails the test. */
int pair_open(struct pair *pair, int family);
void pair_close(struct pair *pair);

/* Sends exactly `length` bytes, with MSG_OOB if `urgent`. */
void end_send(struct end *end, size_t length, int urgent);
/* Sends until the socket is full. */
void end_send_all(struct end *end);
/* Receives exactly `length` bytes, waiting for them. */
void end_receive(struct end *end, size_t length);
/* Waits for the peer's FIN and takes it. */
void end_receive_fin(struct end *end);
void end_shut(struct end *end);
/* Closes with a RST. */
void end_reset(struct end *end);
/* Waits until `length` bytes lie unread. */
void end_await_unread(const struct end *end, size_t length);
void end_await(const struct end *end, short events);
/* Waits until the connection is in a state (linux/tcp_states.h numbers, as in tcpi_state). */
void end_await_state(const struct end *end, int tcp_state);

#endif
