#include "pair.h"

#include "base/fd.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_MS 10000

static socklen_t loopback(int family, struct sockaddr_storage *address)
{
    memset(address, 0, sizeof *address);
    address->ss_family = (sa_family_t)family;
    if (family == AF_INET6)
        ((struct sockaddr_in6 *)address)->sin6_addr = in6addr_loopback;
    else
        ((struct sockaddr_in *)address)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
}

static int pair_open_tcp(struct pair *pair, int family)
{
    struct sockaddr_storage address;
    socklen_t length = loopback(family, &address);
    int on = 1, listener = socket(family, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP);

    if (listener < 0 || bind(listener, (struct sockaddr *)&address, length)) {
        fd_close(&listener);
        return -1;
    }
    assert_int_equal(setsockopt(listener, SOL_SOCKET, SO_OOBINLINE, &on, sizeof on), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &length), 0);
    pair->client.fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP);
    assert_int_equal(setsockopt(pair->client.fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof on), 0);
    assert_int_equal(connect(pair->client.fd, (struct sockaddr *)&address, length), 0);
    pair->server.fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(pair->server.fd >= 0);
    fd_close(&listener);
    return 0;
}

int pair_open(struct pair *pair, int family)
{
    int fds[2];

    *pair = (struct pair){.client = {.fd = -1, .connected = 1}, .server = {.fd = -1}};
    if (family == AF_UNIX) {
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
        pair->client.fd = fds[0];
        pair->server.fd = fds[1];
    } else if (pair_open_tcp(pair, family)) {
        return -1;
    }
    assert_int_equal(fcntl(pair->client.fd, F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(fcntl(pair->server.fd, F_SETFL, O_NONBLOCK), 0);
    return 0;
}

void pair_close(struct pair *pair)
{
    fd_close(&pair->client.fd);
    fd_close(&pair->server.fd);
}

void end_await(const struct end *end, short events)
{
    struct pollfd wait = {.fd = end->fd, .events = events};

    assert_int_equal(poll(&wait, 1, PATIENCE_MS), 1);
}

void end_send(struct end *end, size_t length, int urgent)
{
    static const char bytes[65536];

    assert_true(length <= sizeof bytes);
    assert_int_equal(send(end->fd, bytes, length, MSG_NOSIGNAL | (urgent ? MSG_OOB : 0)), length);
    end->tx += length;
}

void end_send_all(struct end *end)
{
    static const char bytes[65536];
    ssize_t count;

    while ((count = send(end->fd, bytes, sizeof bytes, MSG_NOSIGNAL)) > 0)
        end->tx += (uint64_t)count;
    assert_int_equal(errno, EAGAIN);
}

void end_receive(struct end *end, size_t length)
{
    static char bytes[65536];

    while (length > 0) {
        ssize_t count;

        end_await(end, POLLIN);
        count = recv(end->fd, bytes, length < sizeof bytes ? length : sizeof bytes, 0);
        assert_true(count > 0);
        end->rx += (uint64_t)count;
        length -= (size_t)count;
    }
}

void end_receive_fin(struct end *end)
{
    char byte;

    end_await(end, POLLRDHUP);
    assert_int_equal(recv(end->fd, &byte, 1, 0), 0);
}

void end_shut(struct end *end)
{
    assert_int_equal(shutdown(end->fd, SHUT_WR), 0);
    end->shut = 1;
}

void end_reset(struct end *end)
{
    const struct linger at_once = {1, 0};

    assert_int_equal(setsockopt(end->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
    fd_close(&end->fd);
}

/* Some facts give no event: they are asked for, with a moment for whoever has to bring them about. */
static void breathe(int *left)
{
    const struct timespec moment = {0, 1000000};

    assert_true((*left)-- > 0);
    (void)nanosleep(&moment, NULL);
}

void end_await_unread(const struct end *end, size_t length)
{
    int unread = -1, left = PATIENCE_MS;

    for (;; breathe(&left)) {
        assert_int_equal(ioctl(end->fd, FIONREAD, &unread), 0);
        if ((size_t)unread == length)
            return;
    }
}

void end_await_state(const struct end *end, int tcp_state)
{
    int left = PATIENCE_MS;

    for (;; breathe(&left)) {
        struct tcp_info info;
        socklen_t length = sizeof info;

        assert_int_equal(getsockopt(end->fd, IPPROTO_TCP, TCP_INFO, &info, &length), 0);
        if (info.tcpi_state == tcp_state)
            return;
    }
}
