/* One message of a connected SOCK_SEQPACKET Unix socket, with at most one descriptor (SCM_RIGHTS, unix(7)).
 * Neither call ever blocks. */
#ifndef HOLDFAST_BASE_PACKET_H
#define HOLDFAST_BASE_PACKET_H

#include "base/err.h"

#include <stddef.h>

/* Sends the bytes as one packet, with a copy of `fd` if that is >= 0 (the caller keeps its own).
 * 0; ERR_AGAIN (no room: the other side does not read); ERR_CLOSED (nobody is there any more);
 * ERR_NO_DESCRIPTORS (too many descriptors in flight); others by err_from_errno. Nothing is sent on an error. */
WARN_UNUSED int packet_send(int socket, const void *bytes, size_t length, int fd);

struct packet {
    size_t length; /* bytes received */
    int fd;        /* owned by the caller, CLOEXEC; -1: none came */
    int fd_lost;   /* one was sent but could not be taken: this process is out of descriptors */
};

/* Receives one packet into `bytes`. 0; ERR_AGAIN; ERR_CLOSED (end of file; an empty packet cannot be told
 * from it and is taken for it); ERR_PROTOCOL (longer than `capacity`, or more than one descriptor; it is
 * consumed); others by err_from_errno. packet->fd is -1 after every error. */
WARN_UNUSED int packet_receive(int socket, void *bytes, size_t capacity, struct packet *packet);

#endif
