/* pace PORT PATH RATE SECONDS CONNECTIONS: requests at a fixed rate, and how long the first byte of each answer takes.
 *
 * An open loop: request number n is due at n / RATE, whatever became of the others, and its time runs from then on, also
 * while all connections are taken. So a server that stalls pays for all who would have asked meanwhile. One process, one
 * epoll instance, keep-alive connections, one request under way on each.
 *
 * Prints "pace requests=N errors=N p50_us=T p99_us=T max_us=T". Exit 1 with a reason when it cannot connect. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS_MAX 1000
#define NS 1000000000ULL

struct client {
    int fd;
    int is_busy, has_first;
    uint64_t due_ns; /* of the request under way */
    uint64_t left;   /* bytes of its answer; UINT64_MAX while the head is not whole */
    char head[4096];
    size_t head_length;
};

struct run {
    struct client clients[CONNECTIONS_MAX];
    uint32_t *took_us; /* owned */
    size_t count, errors;
    unsigned connections;
    int epoll_fd, port;
    char request[512];
    size_t request_length;
};

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS + (uint64_t)now.tv_nsec;
}

static int client_open(struct run *run, struct client *client)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)run->port)};
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};
    int on = 1;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    *client = (struct client){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    if (client->fd < 0 || connect(client->fd, (struct sockaddr *)&address, sizeof address) ||
        setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) ||
        epoll_ctl(run->epoll_fd, EPOLL_CTL_ADD, client->fd, &event))
        return -1;
    return 0;
}

static void failed(struct run *run, struct client *client)
{
    run->errors++;
    close(client->fd);
    if (client_open(run, client)) {
        perror("pace: connecting again");
        exit(1);
    }
}

static void ask(struct run *run, struct client *client, uint64_t due_ns)
{
    client->is_busy = 1;
    client->has_first = 0;
    client->due_ns = due_ns;
    client->left = UINT64_MAX;
    client->head_length = 0;
    if (send(client->fd, run->request, run->request_length, MSG_NOSIGNAL) != (ssize_t)run->request_length)
        failed(run, client);
}

static void head_ends(struct client *client, size_t length)
{
    const char *field = strcasestr(client->head, "\r\ncontent-length:");
    const size_t body_begun = client->head_length - length;

    client->left = field ? strtoull(field + sizeof "\r\ncontent-length:" - 1, NULL, 10) : 0;
    client->left -= body_begun < client->left ? body_begun : client->left;
}

static void answer_comes(struct run *run, struct client *client)
{
    static char rest[65536];
    char *into = client->left == UINT64_MAX ? client->head + client->head_length : rest;
    const size_t room =
        client->left == UINT64_MAX ? sizeof client->head - 1 - client->head_length : sizeof rest;
    const ssize_t got = recv(client->fd, into, room, MSG_DONTWAIT);

    if (got <= 0) {
        if (!got || (errno != EAGAIN && errno != EINTR))
            failed(run, client);
        return;
    }
    if (client->is_busy && !client->has_first) {
        client->has_first = 1;
        run->took_us[run->count++] = (uint32_t)((now_ns() - client->due_ns) / 1000);
    }
    if (client->left == UINT64_MAX) {
        const char *end;

        client->head_length += (size_t)got;
        client->head[client->head_length] = '\0';
        end = strstr(client->head, "\r\n\r\n");
        if (end)
            head_ends(client, (size_t)(end - client->head) + 4);
    } else {
        client->left -= (uint64_t)got < client->left ? (uint64_t)got : client->left;
    }
    if (!client->left)
        client->is_busy = 0;
}

static struct client *somebody_free(struct run *run)
{
    for (unsigned i = 0; i < run->connections; i++)
        if (!run->clients[i].is_busy)
            return &run->clients[i];
    return NULL;
}

static int compare(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

static void pace(struct run *run, uint64_t rate, uint64_t seconds)
{
    const uint64_t began_ns = now_ns(), total = rate * seconds;
    struct epoll_event events[256];
    uint64_t asked = 0;

    while (run->count + run->errors < total && now_ns() < began_ns + (seconds + 5) * NS) {
        uint64_t due_ns = began_ns + asked * NS / rate;
        struct client *client;
        int count;

        while (asked < total && due_ns <= now_ns() && (client = somebody_free(run))) {
            ask(run, client, due_ns);
            due_ns = began_ns + ++asked * NS / rate;
        }
        /* Rather awake than late: the clock of a wait is a millisecond's. */
        count = epoll_wait(run->epoll_fd, events, 256, 0);
        for (int i = 0; i < count; i++)
            answer_comes(run, events[i].data.ptr);
    }
}

int main(int count, char **arguments)
{
    static struct run run;
    uint64_t rate, seconds;

    if (count != 6) {
        fputs("usage: pace PORT PATH RATE SECONDS CONNECTIONS\n", stderr);
        return 2;
    }
    run.port = atoi(arguments[1]);
    rate = strtoull(arguments[3], NULL, 10);
    seconds = strtoull(arguments[4], NULL, 10);
    run.connections = (unsigned)atoi(arguments[5]);
    run.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    run.took_us = calloc(rate * seconds + 1, sizeof *run.took_us);
    if (!rate || !seconds || !run.connections || run.connections > CONNECTIONS_MAX || !run.took_us)
        return 2;
    run.request_length = (size_t)snprintf(run.request, sizeof run.request,
                                          "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", arguments[2]);
    for (unsigned i = 0; i < run.connections; i++) {
        if (client_open(&run, &run.clients[i])) {
            perror("pace: connecting");
            return 1;
        }
    }
    pace(&run, rate, seconds);
    if (!run.count)
        return 1;
    qsort(run.took_us, run.count, sizeof *run.took_us, compare);
    printf("pace requests=%zu errors=%zu p50_us=%u p99_us=%u max_us=%u\n", run.count, run.errors,
           run.took_us[run.count / 2], run.took_us[run.count * 99 / 100], run.took_us[run.count - 1]);
    return 0;
}
