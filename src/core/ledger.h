/* The ledger: after a death, how far did the one I/O in question get?
 *
 * TCP: the kernel's own counters are the ledger. For a connection in state s
 *
 *     rx = tcpi_bytes_received - SIOCINQ - F        bytes that recv has taken
 *     tx = tcpi_bytes_acked + SIOCOUTQ - S - f      bytes that send has given
 *
 *     F = 1 once the peer's FIN was received: in CLOSE_WAIT, LAST_ACK, CLOSING; in CLOSE it is told apart by TCP_INQ,
 *         which after a FIN is one more than SIOCINQ, and after a RST the same
 *     S = 1 for sockets that we connected (our SYN was acknowledged), except in SYN_SENT, where tx is 0
 *     f = 1 once our own FIN is queued. Whether it is, a death may hide: after `shut` nothing is counted any more
 *
 * TCP_INFO and the two ioctls are three system calls, and segments arrive in between: they are read info, ioctls,
 * info again until both infos agree. tcp(7), linux/tcp.h; measured by the start-up self-test (ledger_self_test).
 * SO_OOBINLINE must be set (one urgent byte shifts rx for ever otherwise), MPTCP and fast open must be off.
 *
 * AF_UNIX has no counters: there the system call's own result lies in the arena (intent.h).
 * File bytes are settled the same way: on TCP by tx, elsewhere by the offset that sendfile(2) updates. */
#ifndef HOLDFAST_CORE_LEDGER_H
#define HOLDFAST_CORE_LEDGER_H

#include "base/err.h"
#include "core/arena.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct ledger_counts {
    uint64_t rx, tx;
    int state;      /* TCP_ESTABLISHED … of netinet/tcp.h */
    int tx_unknown; /* our FIN is queued: tx may count it */
};

/* Reads the kernel's counters of a connected TCP socket. `connected`: 1 if we connected it, 0 if it was accepted.
 * `shut`: our FIN was queued. 0 or an error (not a TCP socket, the counters never came to rest). */
WARN_UNUSED int ledger_tcp_counts(int fd, int connected, int shut, struct ledger_counts *counts);

/* After a read has said that a TCP connection is at its end: 1 if that was a reset, or the connection has failed, and no FIN of
 * the peer. A failed read tells it once; whoever reads next, the next worker for one, is told of an end. */
int ledger_was_reset(int fd);

/* --- I/O under an intent: called by the loop thread with the record's own descriptor --- */

/* Receives into a ring. Returns bytes > 0, 0 at the end of input, or -errno. */
ssize_t ledger_receive(struct intent *intent, struct record *record, int fd, void *into, size_t length);
/* Sends from a ring. Returns bytes > 0 or -errno. `more`: further bytes follow at once (MSG_MORE). */
ssize_t ledger_send(struct intent *intent, struct record *record, int fd, const void *from, size_t length,
                    int more);
/* Sends file bytes. Returns bytes > 0, 0 if the file ended early, or -errno. */
ssize_t ledger_sendfile(struct intent *intent, struct record *record, int fd, int file_fd, uint64_t offset,
                        size_t length);

/* Settles the record that `intent` names: brings rx and tx to what really happened. Returns the number of counters that were behind (0..2); ERR_INVALID when kernel and
 * record cannot be brought together, then the connection must be closed. */
WARN_UNUSED int ledger_settle(struct arena *arena, const struct intent *intent, struct record *record);

/* Tries the formulas on loopback connections of its own: SYN, data both ways, FIN, RST, urgent byte, for IPv4 and,
 * where there is one, IPv6. 0 if the kernel tells the truth; otherwise ERR_UNSUPPORTED and what differed. */
WARN_UNUSED int ledger_self_test(char *what, size_t size);

#endif
