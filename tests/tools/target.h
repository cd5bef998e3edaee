/* Addresses as the loads' --target option names them, and sockets to them. */
#ifndef HOLDFAST_TESTS_TOOLS_TARGET_H
#define HOLDFAST_TESTS_TOOLS_TARGET_H

#include <sys/socket.h>

struct target {
    char text[128];
    int is_unix;
    struct sockaddr_storage address;
    socklen_t length;
};

/* "127.0.0.1:8080", "[::1]:8080" or "unix:/path". 0, or -1 if it is none of these. */
int target_parse(const char *text, struct target *target);
/* A connected, or with `nonblocking` a connecting, CLOEXEC stream socket; TCP_NODELAY is set.
 * `receive_buffer` in bytes, 0 for the kernel's choice. The descriptor, or -1 with errno; a full Unix backlog
 * is EAGAIN. */
int target_connect(const struct target *target, int nonblocking, int receive_buffer);

#endif
