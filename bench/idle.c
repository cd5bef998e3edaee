/* idle PORT CONNECTIONS PATH [websocket]: keep-alive connections that ask once, and then wait to be told to ask again.
 * With `websocket` they upgrade in the first round (RFC 6455), and send a frame in each later one, which is to come back.
 *
 * It speaks with its caller by lines. After each round in which all have asked, it prints
 *
 *     round NUMBER answered COUNT lost COUNT last NANOSECONDS
 *
 * with the time (CLOCK_MONOTONIC) at which the last answer was complete, and then waits for a line on standard
 * input, which starts the next round on the same sockets; the end of standard input ends it. A connection that the
 * server closed, or on which anything but `200` (`101`, the frame) came, is lost and stays lost: it is never made again. A round in
 * which nothing arrives for STALL_MS counts what is still owed as lost.
 *
 * It ends its connections with a RST (SO_LINGER 0): thousands of ports in TIME_WAIT would be in the next one's way.
 * Exit 1 when the connections cannot be made, 2 on wrong usage. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define OWED_MAX 512 /* connections made at once: stays below any listen backlog */
#define STALL_MS 20000
#define HEAD_MAX 2048
#define FRAME "\x81\x84\x01\x02\x03\x04\x71\x6b\x6d\x63" /* "ping", masked as clients must */
#define ECHO "\x81\x04ping"

struct client {
    int fd;             /* -1: lost, or not yet made */
    int owed, is_open;  /* is_open: upgraded */
    size_t head_length; /* of `head` so far; the body is counted, not kept */
    long body_left;     /* -1: the head is not complete */
    char head[HEAD_MAX];
};

struct load {
    struct client *clients; /* owned */
    size_t count, owed, answered, lost;
    int epoll, is_websocket;
    struct sockaddr_in address;
    char request[512]; /* of the round */
    size_t request_length;
    unsigned long long last_ns;
};

static unsigned long long now_ns(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (unsigned long long)time.tv_sec * 1000000000u + (unsigned long long)time.tv_nsec;
}

static void settle(struct load *load, struct client *client)
{
    load->owed -= (size_t)client->owed;
    client->owed = 0;
    client->head_length = 0;
    client->body_left = -1;
}

static void lose(struct load *load, struct client *client)
{
    settle(load, client);
    load->lost++;
    close(client->fd);
    client->fd = -1;
}

static int client_ask(struct load *load, struct client *client)
{
    client->owed = 1;
    client->body_left = -1;
    load->owed++;
    if (send(client->fd, load->request, load->request_length, MSG_NOSIGNAL) == (ssize_t)load->request_length)
        return 0;
    lose(load, client);
    return -1;
}

/* Loopback: connect(2) of a blocking socket returns as soon as the backlog has taken it. */
static int client_open(struct load *load, struct client *client)
{
    struct linger reset = {.l_onoff = 1};
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP, .data.ptr = client};

    client->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (client->fd < 0 || setsockopt(client->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset) ||
        connect(client->fd, (struct sockaddr *)&load->address, sizeof load->address) ||
        epoll_ctl(load->epoll, EPOLL_CTL_ADD, client->fd, &event)) {
        perror("idle: connect");
        return -1;
    }
    return client_ask(load, client);
}

/* Takes bytes of the head; returns how many of `count` belong to it, or -1 when the answer is none of ours. */
static ssize_t take_head(const struct load *load, struct client *client, const char *bytes, size_t count)
{
    size_t before = client->head_length, room = HEAD_MAX - 1 - before, taken = count < room ? count : room;
    const char *end, *length;

    memcpy(client->head + before, bytes, taken);
    client->head_length += taken;
    client->head[client->head_length] = '\0';
    end = strstr(client->head, "\r\n\r\n");
    if (!end)
        return taken < count ? -1 : (ssize_t)taken;
    if (load->is_websocket) {
        client->body_left = 0;
        return strncmp(client->head, "HTTP/1.1 101", 12)
                   ? -1
                   : (ssize_t)((size_t)(end + 4 - client->head) - before);
    }
    length = strcasestr(client->head, "\r\nContent-Length:");
    if (strncmp(client->head, "HTTP/1.1 200", 12) != 0 || !length || length > end)
        return -1;
    client->body_left = strtol(length + strlen("\r\nContent-Length:"), NULL, 10);
    return (ssize_t)((size_t)(end + 4 - client->head) - before);
}

/* The same for the frame that comes back. */
static ssize_t take_echo(struct client *client, const char *bytes, size_t count)
{
    const size_t size = sizeof ECHO - 1, before = client->head_length;

    if (before + count > size || memcmp(bytes, &ECHO[before], count) != 0)
        return -1;
    client->head_length += count;
    if (client->head_length == size)
        client->body_left = 0;
    return (ssize_t)count;
}

static void client_read(struct load *load, struct client *client)
{
    char bytes[16384];
    ssize_t count = recv(client->fd, bytes, sizeof bytes, MSG_DONTWAIT), head = 0;

    if (count < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (count > 0 && client->owed && client->body_left < 0)
        head = client->is_open ? take_echo(client, bytes, (size_t)count)
                               : take_head(load, client, bytes, (size_t)count);
    if (count <= 0 || !client->owed || head < 0 ||
        (client->body_left >= 0 && count - head > client->body_left)) {
        lose(load, client);
        return;
    }
    if (client->body_left < 0)
        return;
    client->body_left -= count - head;
    if (client->body_left == 0) {
        client->is_open = load->is_websocket;
        settle(load, client);
        load->answered++;
        load->last_ns = now_ns();
    }
}

/* Reads until at most `owed` answers are outstanding. */
static void read_down_to(struct load *load, size_t owed)
{
    struct epoll_event events[256];

    while (load->owed > owed) {
        int count = epoll_wait(load->epoll, events, 256, STALL_MS);

        if (count == 0) {
            for (size_t i = 0; i < load->count; i++)
                if (load->clients[i].owed)
                    lose(load, &load->clients[i]);
        }
        for (int i = 0; i < count; i++) {
            struct client *client = events[i].data.ptr;

            if (client->fd >= 0)
                client_read(load, client);
        }
    }
}

/* The first round makes the connections; the others ask on all of them at once. */
static int run_round(struct load *load, int number)
{
    load->answered = 0;
    if (number == 2 && load->is_websocket)
        load->request_length = (size_t)snprintf(load->request, sizeof load->request, "%s", FRAME);
    for (size_t i = 0; i < load->count; i++) {
        struct client *client = &load->clients[i];

        if (number == 1 && client_open(load, client))
            return -1;
        if (number > 1 && client->fd >= 0)
            (void)client_ask(load, client);
        if (number == 1)
            read_down_to(load, OWED_MAX);
    }
    read_down_to(load, 0);
    printf("round %d answered %zu lost %zu last %llu\n", number, load->answered, load->lost, load->last_ns);
    fflush(stdout);
    return 0;
}

#define UPGRADE                                                                                              \
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"                             \
    "Sec-WebSocket-Key: SG9sZGZhc3QgYmVuY2ggIQ==\r\n"

static int load_init(struct load *load, char **argv)
{
    struct rlimit limit;

    *load = (struct load){.count = strtoul(argv[2], NULL, 10),
                          .is_websocket = argv[4] && !strcmp(argv[4], "websocket"),
                          .epoll = epoll_create1(EPOLL_CLOEXEC)};
    load->address = (struct sockaddr_in){.sin_family = AF_INET,
                                         .sin_port = htons((uint16_t)strtoul(argv[1], NULL, 10)),
                                         .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    load->request_length =
        (size_t)snprintf(load->request, sizeof load->request, "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n%s\r\n",
                         argv[3], load->is_websocket ? UPGRADE : "");
    load->clients = calloc(load->count, sizeof *load->clients);
    if (getrlimit(RLIMIT_NOFILE, &limit) || load->request_length >= sizeof load->request || !load->clients ||
        load->epoll < 0)
        return -1;
    limit.rlim_cur = limit.rlim_max;
    return setrlimit(RLIMIT_NOFILE, &limit);
}

int main(int argc, char **argv)
{
    struct load load;
    int number = 0, c;

    if (argc != 4 && (argc != 5 || strcmp(argv[4], "websocket") != 0)) {
        fputs("usage: idle PORT CONNECTIONS PATH [websocket]\n", stderr);
        return 2;
    }
    if (load_init(&load, argv)) {
        perror("idle");
        return 1;
    }
    do {
        if (run_round(&load, ++number))
            return 1;
        while ((c = getchar()) != '\n' && c != EOF)
            ;
    } while (c != EOF);
    for (size_t i = 0; i < load.count; i++)
        if (load.clients[i].fd >= 0)
            close(load.clients[i].fd);
    free(load.clients);
    return 0;
}
