/* ws_upstream PORT: what stands behind the proxies in the case `websockets`. It agrees to any upgrade without looking at it,
 * and answers each frame of bench/idle.c (10 bytes) with the same word, unmasked (6 bytes). Whoever asks without an upgrade
 * gets 1,024 bytes. One process; it keeps nothing of a connection but how many bytes of a frame have come.
 *
 * Exit 1 when it cannot listen, 2 on wrong usage. */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECTIONS_MAX 20000
#define FRAME_SIZE 10
#define ECHO "\x81\x04ping"
#define BACKLOG 4096

static struct {
    char is_open;
    char partial; /* bytes of a frame */
} connections[CONNECTIONS_MAX];

static int listen_on(const char *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)strtoul(port, NULL, 10)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) ||
        bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, BACKLOG))
        return -1;
    return fd;
}

static int say(int fd, const char *bytes, size_t length)
{
    return send(fd, bytes, length, MSG_NOSIGNAL) == (ssize_t)length ? 0 : -1;
}

/* A head comes in one segment here: proxies send it in one call. */
static int answer_head(int fd, const char *head)
{
    static char document[1024];
    char text[256];
    int length;

    if (!strstr(head, "\r\n\r\n"))
        return -1;
    if (strcasestr(head, "\r\nUpgrade:")) {
        connections[fd].is_open = 1;
        length = snprintf(
            text, sizeof text,
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Accept: kiBVZKMHl7dBSvP11h0vtSEFYKc=\r\n\r\n"); /* to the key of bench/idle.c */
        return say(fd, text, (size_t)length);
    }
    length = snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", sizeof document);
    return say(fd, text, (size_t)length) || say(fd, document, sizeof document) ? -1 : 0;
}

static int serve(int fd)
{
    char bytes[8192];
    ssize_t count = recv(fd, bytes, sizeof bytes - 1, 0);
    int frames;

    if (count <= 0)
        return -1;
    bytes[count] = '\0';
    if (!connections[fd].is_open)
        return answer_head(fd, bytes);
    frames = (int)(connections[fd].partial + count) / FRAME_SIZE;
    connections[fd].partial = (char)((connections[fd].partial + count) % FRAME_SIZE);
    for (int i = 0; i < frames; i++)
        if (say(fd, ECHO, sizeof ECHO - 1))
            return -1;
    return 0;
}

static int greet(int epoll_fd, int listener)
{
    struct epoll_event event = {.events = EPOLLIN};
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC), on = 1;

    if (fd < 0)
        return -1;
    event.data.fd = fd;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (fd >= CONNECTIONS_MAX || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event)) {
        close(fd);
        return -1;
    }
    memset(&connections[fd], 0, sizeof connections[fd]);
    return 0;
}

int main(int argc, char **argv)
{
    struct rlimit limit;
    struct epoll_event event = {.events = EPOLLIN};
    int listener, epoll_fd = epoll_create1(EPOLL_CLOEXEC);

    if (argc != 2) {
        fputs("usage: ws_upstream PORT\n", stderr);
        return 2;
    }
    if (!getrlimit(RLIMIT_NOFILE, &limit)) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
    listener = event.data.fd = listen_on(argv[1]);
    if (listener < 0 || epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event)) {
        perror("ws_upstream");
        return 1;
    }
    for (;;) {
        struct epoll_event events[256];
        int count = epoll_wait(epoll_fd, events, 256, -1);

        for (int i = 0; i < count; i++) {
            if (events[i].data.fd == listener)
                (void)greet(epoll_fd, listener);
            else if (serve(events[i].data.fd))
                close(events[i].data.fd);
        }
    }
}
