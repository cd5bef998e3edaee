/* Both ends of a TCP proxy: a server that echoes, takes or gives, and the clients of it.
 *
 *   tunnel serve PORT                           the first byte of a connection says what: e echoes, s takes, f gives
 *   tunnel ping PORT CONNECTIONS SECONDS BYTES  a message on each connection at a time; the next one when it has come back
 *   tunnel send PORT CONNECTIONS SECONDS        as much as goes, to a server that takes it
 *   tunnel take PORT CONNECTIONS SECONDS        as much as comes
 *
 * With `upgrade` as the last word a client asks for a WebSocket first, and the path says what; then each message, and each
 * piece of bulk, is a frame of that size (RFC 6455 section 5.2).
 *
 * A client prints "figures requests=N microseconds=N connect=N read=N write=N status=0 timeout=0 p50=N", as wrk does with
 * done.lua: messages, or MB (of 10^6 bytes); errors; the median of the messages' round trips. One process each, one epoll
 * instance. Exit 1 with a reason when it cannot begin. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS_MAX 4096
#define PIECE (256u * 1024u)
#define NS 1000000000ULL
#define BUCKETS 100000u /* of a microsecond each */

static char piece[PIECE];

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS + (uint64_t)now.tv_nsec;
}

static int fail(const char *what)
{
    fprintf(stderr, "tunnel: %s: %s\n", what, strerror(errno));
    return 1;
}

static int watch(int epoll_fd, int fd, void *pointer, uint32_t events, int operation)
{
    struct epoll_event event = {.events = events, .data.ptr = pointer};

    return epoll_ctl(epoll_fd, operation, fd, &event);
}

static int open_socket(void)
{
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd >= 0 && setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on)) {
        close(fd);
        return -1;
    }
    return fd;
}

static struct sockaddr_in address_of(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

/* The piece becomes one masked frame of `size` bytes. */
static void frame_piece(size_t size)
{
    unsigned char *byte = (unsigned char *)piece;
    const size_t head = size < 126 + 6 ? 6 : 14;

    *byte++ = 0x82;
    if (head == 6) {
        *byte = (unsigned char)(0x80 | (size - head));
        return;
    }
    *byte++ = 0x80 | 127;
    for (int shift = 56; shift >= 0; shift -= 8)
        *byte++ = (unsigned char)((uint64_t)(size - head) >> shift);
}

/* Reads up to the end of a head, and no further. 0 or -1. */
static int read_head(int fd, char *head, size_t size)
{
    size_t length = 0;

    do {
        if (length + 1 == size || recv(fd, head + length, 1, 0) != 1)
            return -1;
        head[++length] = '\0';
    } while (!strstr(head, "\r\n\r\n"));
    return 0;
}

/* --- the server --- */

struct end {
    int fd;
    char mode;     /* 0: not said yet */
    size_t offset; /* in the piece that is given */
};

/* A client that asks for a WebSocket says by its path what it wants. */
static int accept_upgrade(struct end *end)
{
    static const char answer[] =
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Accept: kiBVZKMHl7dBSvP11h0vtSEFYKc=\r\n\r\n"; /* to the key of our clients */
    char head[4096];

    if (read_head(end->fd, head, sizeof head) || strncmp(head, "ET /", 4) != 0)
        return -1;
    end->mode = head[4];
    return send(end->fd, answer, sizeof answer - 1, MSG_NOSIGNAL) == (ssize_t)(sizeof answer - 1) ? 0 : -1;
}

static ssize_t give_on(int fd, size_t *offset)
{
    ssize_t length = send(fd, piece + *offset, sizeof piece - *offset, MSG_DONTWAIT | MSG_NOSIGNAL);

    if (length > 0)
        *offset = (*offset + (size_t)length) % sizeof piece;
    return length;
}

static void end_free(struct end *end)
{
    close(end->fd);
    free(end);
}

/* What does not go at once is waited for: the sockets have room for what one message of the bench is. */
static int echo(const struct end *end)
{
    static char bytes[PIECE];
    ssize_t length = recv(end->fd, bytes, sizeof bytes, MSG_DONTWAIT);

    if (length < 0 && errno == EAGAIN)
        return 0;
    return length <= 0 || send(end->fd, bytes, (size_t)length, MSG_NOSIGNAL) != length;
}

static int serve_end(int epoll_fd, struct end *end, uint32_t events)
{
    ssize_t length = 1;

    if (!end->mode) {
        if (recv(end->fd, &end->mode, 1, 0) != 1 || (end->mode == 'G' && accept_upgrade(end)))
            return -1;
        return end->mode == 'f' ? watch(epoll_fd, end->fd, end, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD) : 0;
    }
    if (end->mode == 'e')
        return echo(end);
    if (end->mode == 's' || events & EPOLLIN)
        length = recv(end->fd, piece, sizeof piece, MSG_DONTWAIT);
    if (length == 0 || (length < 0 && errno != EAGAIN))
        return -1;
    if (end->mode == 'f' && give_on(end->fd, &end->offset) < 0 && errno != EAGAIN)
        return -1;
    return 0;
}

static void take_in(int epoll_fd, int listener)
{
    struct end *end = calloc(1, sizeof *end);
    int on = 1;

    if (!end)
        return;
    end->fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (end->fd >= 0 && !setsockopt(end->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) &&
        !watch(epoll_fd, end->fd, end, EPOLLIN, EPOLL_CTL_ADD))
        return;
    if (end->fd >= 0)
        close(end->fd);
    free(end);
}

static int serve(int port)
{
    const struct sockaddr_in address = address_of(port);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event events[64];
    int on = 1;

    if (listener < 0 || epoll_fd < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) ||
        bind(listener, (const struct sockaddr *)&address, sizeof address) || listen(listener, 4096) ||
        watch(epoll_fd, listener, NULL, EPOLLIN, EPOLL_CTL_ADD))
        return fail("listen");
    for (;;) {
        int count = epoll_wait(epoll_fd, events, 64, -1);

        for (int i = 0; i < count; i++) {
            struct end *end = events[i].data.ptr;

            if (!end)
                take_in(epoll_fd, listener);
            else if (serve_end(epoll_fd, end, events[i].events))
                end_free(end);
        }
    }
}

/* --- the clients --- */

struct client {
    int fd;
    size_t left; /* of the message that is on its way back; where it is in the piece that is given */
    uint64_t sent_ns;
};

struct run {
    struct client clients[CONNECTIONS_MAX];
    unsigned connections;
    int epoll_fd, upgrades;
    char mode;
    size_t message;
    uint64_t messages, bytes, read_errors, write_errors;
    uint32_t took_us[BUCKETS];
};

/* Says what the server is to do. 0 or -1. */
static int greet(const struct run *run, int fd)
{
    char head[4096];
    int length;

    if (!run->upgrades)
        return send(fd, &run->mode, 1, MSG_NOSIGNAL) == 1 ? 0 : -1;
    length = snprintf(head, sizeof head,
                      "GET /%c HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: SG9sZGZhc3QgYmVuY2ggIQ==\r\n\r\n",
                      run->mode);
    if (send(fd, head, (size_t)length, MSG_NOSIGNAL) != length || read_head(fd, head, sizeof head))
        return -1;
    return strncmp(head, "HTTP/1.1 101", 12) ? -1 : 0;
}

static int run_open(struct run *run, int port)
{
    const struct sockaddr_in address = address_of(port);

    run->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    for (unsigned i = 0; run->epoll_fd >= 0 && i < run->connections; i++) {
        struct client *client = &run->clients[i];

        client->fd = open_socket();
        if (client->fd < 0 || connect(client->fd, (const struct sockaddr *)&address, sizeof address) ||
            greet(run, client->fd) ||
            watch(run->epoll_fd, client->fd, client, run->mode == 's' ? EPOLLOUT : EPOLLIN, EPOLL_CTL_ADD))
            return fail("connect");
    }
    return run->epoll_fd < 0 ? fail("epoll_create1") : 0;
}

static void lose(struct run *run, struct client *client, uint64_t *errors)
{
    (void)watch(run->epoll_fd, client->fd, NULL, 0, EPOLL_CTL_DEL);
    (*errors)++;
}

static void ask(struct run *run, struct client *client)
{
    client->left = run->message;
    client->sent_ns = now_ns();
    if (send(client->fd, piece, run->message, MSG_NOSIGNAL) != (ssize_t)run->message)
        lose(run, client, &run->write_errors);
}

static void hear(struct run *run, struct client *client)
{
    static char bytes[PIECE];
    ssize_t length = recv(client->fd, bytes, client->left, MSG_DONTWAIT);
    uint64_t us;

    if (length < 0 && errno == EAGAIN)
        return;
    if (length <= 0) {
        lose(run, client, &run->read_errors);
        return;
    }
    client->left -= (size_t)length;
    if (client->left)
        return;
    run->messages++;
    us = (now_ns() - client->sent_ns) / 1000;
    run->took_us[us < BUCKETS ? us : BUCKETS - 1]++;
    ask(run, client);
}

static void give(struct run *run, struct client *client)
{
    ssize_t length = give_on(client->fd, &client->left);

    if (length > 0)
        run->bytes += (uint64_t)length;
    else if (length < 0 && errno != EAGAIN)
        lose(run, client, &run->write_errors);
}

static void take(struct run *run, struct client *client)
{
    static char bytes[PIECE];
    ssize_t length = recv(client->fd, bytes, sizeof bytes, MSG_DONTWAIT);

    if (length > 0)
        run->bytes += (uint64_t)length;
    else if (length == 0 || errno != EAGAIN)
        lose(run, client, &run->read_errors);
}

static uint64_t median_us(const struct run *run)
{
    uint64_t seen = 0;

    for (uint32_t us = 0; us < BUCKETS; us++) {
        seen += run->took_us[us];
        if (seen && seen * 2 >= run->messages)
            return us;
    }
    return 0;
}

static void run_for(struct run *run, uint64_t seconds)
{
    const uint64_t began_ns = now_ns(), until_ns = began_ns + seconds * NS;
    struct epoll_event events[64];

    for (unsigned i = 0; run->mode == 'e' && i < run->connections; i++)
        ask(run, &run->clients[i]);
    while (now_ns() < until_ns) {
        int count = epoll_wait(run->epoll_fd, events, 64, 100);

        for (int i = 0; i < count; i++) {
            struct client *client = events[i].data.ptr;

            if (run->mode == 'e')
                hear(run, client);
            else if (run->mode == 's')
                give(run, client);
            else
                take(run, client);
        }
    }
    printf("figures requests=%llu microseconds=%llu connect=0 read=%llu write=%llu status=0 timeout=0 "
           "p50=%llu\n",
           (unsigned long long)(run->mode == 'e' ? run->messages : run->bytes / 1000000),
           (unsigned long long)((now_ns() - began_ns) / 1000), (unsigned long long)run->read_errors,
           (unsigned long long)run->write_errors, (unsigned long long)median_us(run));
}

int main(int count, char **words)
{
    static struct run run;
    const char *what = count > 2 ? words[1] : "";
    int port = count > 2 ? atoi(words[2]) : 0;

    signal(SIGPIPE, SIG_IGN);
    memset(piece, 'x', sizeof piece);
    frame_piece(sizeof piece);
    if (!strcmp(what, "serve"))
        return serve(port);
    run.upgrades = !strcmp(words[count - 1], "upgrade");
    count -= run.upgrades;
    run.mode = !strcmp(what, "ping") ? 'e' : !strcmp(what, "send") ? 's' : !strcmp(what, "take") ? 'f' : '\0';
    run.connections = count > 3 ? (unsigned)atoi(words[3]) : 0;
    run.message = count > 5 ? (size_t)atoi(words[5]) : 0;
    if (!run.mode || !run.connections || run.connections > CONNECTIONS_MAX || count < 5 ||
        (run.mode == 'e' && (!run.message || run.message > sizeof piece))) {
        fputs("usage: tunnel serve PORT | ping PORT CONNECTIONS SECONDS BYTES | send|take PORT CONNECTIONS "
              "SECONDS, and perhaps upgrade\n",
              stderr);
        return 2;
    }
    if (run.mode == 'e')
        frame_piece(run.message);
    if (run_open(&run, port))
        return 1;
    run_for(&run, (uint64_t)atoi(words[4]));
    return 0;
}
