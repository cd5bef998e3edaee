#include "tools/target.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

static int target_parse_unix(const char *path, struct target *target)
{
    struct sockaddr_un *un = (struct sockaddr_un *)&target->address;
    if (path[0] == '\0' || strlen(path) >= sizeof un->sun_path)
        return -1;
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path, strlen(path) + 1);
    target->is_unix = 1;
    target->length = sizeof *un;
    return 0;
}

int target_parse(const char *text, struct target *target)
{
    memset(target, 0, sizeof *target);
    if ((size_t)snprintf(target->text, sizeof target->text, "%s", text) >= sizeof target->text)
        return -1;
    target->is_spoken = strncmp(text, "spoken:", 7) == 0;
    text += target->is_spoken ? 7 : 0;
    if (strncmp(text, "unix:", 5) == 0)
        return target_parse_unix(text + 5, target);

    char host[128];
    const char *colon = strrchr(text, ':');
    if (!colon || colon == text)
        return -1;
    long port = strtol(colon + 1, NULL, 10);
    if (port < 1 || port > 65535)
        return -1;
    struct sockaddr_in *v4 = (struct sockaddr_in *)&target->address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&target->address;
    if (text[0] == '[' && colon[-1] == ']') {
        snprintf(host, sizeof host, "%.*s", (int)(colon - text) - 2, text + 1);
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons((uint16_t)port);
        target->length = sizeof *v6;
        return inet_pton(AF_INET6, host, &v6->sin6_addr) == 1 ? 0 : -1;
    }
    snprintf(host, sizeof host, "%.*s", (int)(colon - text), text);
    v4->sin_family = AF_INET;
    v4->sin_port = htons((uint16_t)port);
    target->length = sizeof *v4;
    return inet_pton(AF_INET, host, &v4->sin_addr) == 1 ? 0 : -1;
}

static int say_who(int fd)
{
    static unsigned count;
    const int is_second = count++ % 2;
    const char *header = is_second ? TARGET_HEADER_V2 : TARGET_HEADER_V1;
    const size_t length = (is_second ? sizeof TARGET_HEADER_V2 : sizeof TARGET_HEADER_V1) - 1;
    return send(fd, header, length, MSG_NOSIGNAL) == (ssize_t)length ? 0 : -1;
}

int target_connect(const struct target *target, int nonblocking, int receive_buffer)
{
    int type = SOCK_STREAM | SOCK_CLOEXEC | (nonblocking ? SOCK_NONBLOCK : 0), one = 1;
    int fd = socket(target->address.ss_family, type, 0);
    if (fd < 0)
        return -1;
    if (receive_buffer > 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    if (!target->is_unix)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if ((connect(fd, (const struct sockaddr *)&target->address, target->length) == 0 ||
         errno == EINPROGRESS) &&
        (!target->is_spoken || nonblocking || say_who(fd) == 0))
        return fd;
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}
