/* bare_epoll PORT BYTES: the floor under every HTTP server of this shape. One process, one epoll instance, one recv
 * and one send for each request, a constant answer.
 *
 * What it does not do is the point: it parses nothing (a request ends at an empty line), looks up no file, keeps no
 * deadline, survives nothing. Its head has the fields and the length of Holdfast's, so that the kernel has the same
 * work. A request that says `Connection: close` has its connection closed after the answer.
 *
 * Runs until a signal ends it. Exit 1 with a reason when it cannot listen. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS_A_TURN 256 /* as many as Holdfast takes */
#define INPUT_MAX 16384

struct answer {
    char *bytes; /* owned */
    size_t length;
};

struct answers {
    struct answer usual, last; /* the last says that the connection will be closed */
};

static int answer_make(struct answer *answer, size_t body_length, const char *connection)
{
    static const char head[] = "HTTP/1.1 200 OK\r\n"
                               "Server: holdfast\r\n"
                               "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
                               "Content-Type: application/octet-stream\r\n"
                               "Content-Length: %zu\r\n"
                               "Last-Modified: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
                               "ETag: \"400-00000000-00000000\"\r\n"
                               "%s\r\n";
    size_t room = sizeof head + 64 + body_length;

    answer->bytes = malloc(room);
    if (!answer->bytes)
        return -1;
    int head_length = snprintf(answer->bytes, room, head, body_length, connection);
    memset(answer->bytes + head_length, 'x', body_length);
    answer->length = (size_t)head_length + body_length;
    return 0;
}

static int listen_on(uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) ||
        bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 4096))
        return -1;
    return fd;
}

static void accept_all(int epoll, int listener)
{
    int fd;

    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP, .data.fd = fd};

        if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
            close(fd);
    }
}

/* The answer fits the socket's buffer and whoever asks waits for it, so a short send is an error here. */
static void answer_one(int fd, const struct answers *answers)
{
    char input[INPUT_MAX];
    ssize_t count = recv(fd, input, sizeof input, 0);
    int is_whole = count >= 4 && memcmp(input + count - 4, "\r\n\r\n", 4) == 0;

    if (count < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    int is_last = !is_whole || memmem(input, (size_t)count, "Connection: close", strlen("Connection: close"));
    const struct answer *answer = is_last ? &answers->last : &answers->usual;
    if (!is_whole || send(fd, answer->bytes, answer->length, MSG_NOSIGNAL) != (ssize_t)answer->length ||
        is_last)
        close(fd);
}

static void serve(int epoll, int listener, const struct answers *answers)
{
    struct epoll_event events[EVENTS_A_TURN];

    for (;;) {
        int count = epoll_wait(epoll, events, EVENTS_A_TURN, -1);

        for (int i = 0; i < count; i++) {
            if (events[i].data.fd == listener)
                accept_all(epoll, listener);
            else
                answer_one(events[i].data.fd, answers);
        }
    }
}

int main(int argc, char **argv)
{
    struct answers answers;

    if (argc != 3) {
        fputs("usage: bare_epoll PORT BYTES\n", stderr);
        return 2;
    }
    int listener = listen_on((uint16_t)strtoul(argv[1], NULL, 10));
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};

    if (listener < 0 || epoll < 0 || answer_make(&answers.usual, strtoul(argv[2], NULL, 10), "") ||
        answer_make(&answers.last, strtoul(argv[2], NULL, 10), "Connection: close\r\n") ||
        epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event)) {
        perror("bare_epoll");
        return 1;
    }
    serve(epoll, listener, &answers);
}
