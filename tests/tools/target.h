/* Addresses as the loads' --target option names them, and sockets to them. */
#ifndef HOLDFAST_TESTS_TOOLS_TARGET_H
#define HOLDFAST_TESTS_TOOLS_TARGET_H

#include <sys/socket.h>

struct target {
    char text[128];
    int is_unix;
    int is_spoken; /* each connection begins with a header of the PROXY protocol (TARGET_CLIENT) */
    struct sockaddr_storage address;
    socklen_t length;
};

#define TARGET_CLIENT "192.0.2.1" /* for whom it is */
#define TARGET_HEADER_V1 "PROXY TCP4 " TARGET_CLIENT " 198.51.100.2 56324 443\r\n"
#define TARGET_HEADER_V2 "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\2\1\xc6\x33\x64\2\xdc\4\1\xbb"

/* "127.0.0.1:8080", "[::1]:8080" or "unix:/path", perhaps with "spoken:" before it. 0, or -1 if it is none of these. */
int target_parse(const char *text, struct target *target);
/* A connected, or with `nonblocking` a connecting, CLOEXEC stream socket; TCP_NODELAY is set.
 * `receive_buffer` in bytes, 0 for the kernel's choice. Over a spoken target the header is sent, of either version in turn;
 * not with `nonblocking`. The descriptor, or -1 with errno; a full Unix backlog
 * is EAGAIN. */
int target_connect(const struct target *target, int nonblocking, int receive_buffer);

#endif
