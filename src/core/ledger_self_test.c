/* The start-up self-test of the kernel's counters: a few loopback connections on which we know what was read and
 * written, compared with what the formulas of ledger.h say. About a millisecond. */
#include "base/fd.h"
#include "core/ledger.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define WAIT_MS 2000

struct trial {
    int client, server;
    uint64_t client_rx, client_tx, server_rx, server_tx; /* what we did */
    char *what;
    size_t size;
};

static socklen_t loopback(int family, struct sockaddr_storage *address)
{
    memset(address, 0, sizeof *address);
    address->ss_family = (sa_family_t)family;
    if (family == AF_INET6) {
        ((struct sockaddr_in6 *)address)->sin6_addr = in6addr_loopback;
        return sizeof(struct sockaddr_in6);
    }
    ((struct sockaddr_in *)address)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return sizeof(struct sockaddr_in);
}

static int trial_open(struct trial *trial, int family)
{
    struct sockaddr_storage address;
    socklen_t length = loopback(family, &address);
    int listener = socket(family, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP), on = 1, result = 0;

    trial->client = trial->server = -1;
    trial->client_rx = trial->client_tx = trial->server_rx = trial->server_tx = 0;
    if (listener < 0)
        return err_from_errno(errno);
    if (setsockopt(listener, SOL_SOCKET, SO_OOBINLINE, &on, sizeof on) ||
        bind(listener, (struct sockaddr *)&address, length) || listen(listener, 1) ||
        getsockname(listener, (struct sockaddr *)&address, &length)) {
        result = err_from_errno(errno);
        goto out;
    }
    trial->client = socket(family, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP);
    if (trial->client < 0 || connect(trial->client, (struct sockaddr *)&address, length) ||
        (trial->server = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) < 0)
        result = err_from_errno(errno);
out:
    fd_close(&listener);
    return result;
}

static void trial_close(struct trial *trial)
{
    fd_close(&trial->client);
    fd_close(&trial->server);
}

static int compare(struct trial *trial, const char *step, int fd, int connected, int shut, uint64_t rx,
                   uint64_t tx)
{
    struct ledger_counts counts = {0};
    int result = ledger_tcp_counts(fd, connected, shut, &counts);

    if (!result && counts.rx == rx && (shut || counts.tx == tx))
        return 0;
    snprintf(trial->what, trial->size, "%s (%s): rx %llu instead of %llu, tx %llu instead of %llu, error %s",
             step, connected ? "connected" : "accepted", (unsigned long long)counts.rx,
             (unsigned long long)rx, (unsigned long long)counts.tx, (unsigned long long)tx, err_name(result));
    return ERR_UNSUPPORTED;
}

static int check_server(struct trial *trial, const char *step, int shut)
{
    return compare(trial, step, trial->server, 0, shut, trial->server_rx, trial->server_tx);
}

static int check_client(struct trial *trial, const char *step, int shut)
{
    return compare(trial, step, trial->client, 1, shut, trial->client_rx, trial->client_tx);
}

static int wait_for(int fd, short events)
{
    struct pollfd wait = {.fd = fd, .events = events};

    return poll(&wait, 1, WAIT_MS) == 1 ? 0 : ERR_TIMEOUT;
}

static int give(int fd, uint64_t *tx, size_t length, int flags)
{
    static const char bytes[512];
    ssize_t count = send(fd, bytes, length, flags | MSG_NOSIGNAL);

    if (count != (ssize_t)length)
        return ERR_IO;
    *tx += length;
    return 0;
}

static int take(int fd, uint64_t *rx, size_t length)
{
    char bytes[512];
    size_t got = 0;

    while (got < length) {
        ssize_t count = wait_for(fd, POLLIN) ? -1 : recv(fd, bytes, length - got, 0);

        if (count <= 0)
            return ERR_IO;
        got += (size_t)count;
    }
    *rx += length;
    return 0;
}

static int trial_data_and_fin(struct trial *trial)
{
    int r = check_server(trial, "fresh", 0);

    if (!r)
        r = check_client(trial, "fresh", 0);
    if (!r)
        r = give(trial->client, &trial->client_tx, 100, 0);
    if (!r)
        r = take(trial->server, &trial->server_rx, 40);
    if (!r)
        r = check_server(trial, "60 of 100 bytes unread", 0);
    if (!r)
        r = shutdown(trial->client, SHUT_WR) ? ERR_IO : wait_for(trial->server, POLLRDHUP);
    if (!r)
        r = check_server(trial, "after the peer's FIN, unread bytes before it", 0);
    if (!r)
        r = take(trial->server, &trial->server_rx, 60);
    if (!r)
        r = check_server(trial, "after the peer's FIN", 0);
    if (!r)
        r = give(trial->server, &trial->server_tx, 33, 0);
    if (!r)
        r = take(trial->client, &trial->client_rx, 20);
    if (!r)
        r = check_server(trial, "answered after the peer's FIN", 0);
    if (!r)
        r = check_client(trial, "own FIN queued", 1);
    if (!r)
        r = shutdown(trial->server, SHUT_WR) ? ERR_IO : wait_for(trial->client, POLLRDHUP);
    if (!r)
        r = check_client(trial, "both FINs", 1);
    return r;
}

static int trial_reset(struct trial *trial)
{
    const struct linger at_once = {1, 0};
    int r = give(trial->client, &trial->client_tx, 70, 0);

    if (!r)
        r = give(trial->server, &trial->server_tx, 50, 0);
    if (!r)
        r = take(trial->server, &trial->server_rx, 70);
    if (!r)
        r = setsockopt(trial->client, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once) ? ERR_IO : 0;
    fd_close(&trial->client);
    if (!r)
        r = wait_for(trial->server, POLLERR | POLLHUP);
    return r ? r : check_server(trial, "after a RST", 0);
}

static int trial_urgent(struct trial *trial)
{
    int r = give(trial->client, &trial->client_tx, 10, 0);

    if (!r)
        r = give(trial->client, &trial->client_tx, 1, MSG_OOB);
    if (!r)
        r = give(trial->client, &trial->client_tx, 20, 0);
    if (!r)
        r = take(trial->server, &trial->server_rx, 25);
    if (!r)
        r = check_server(trial, "with an urgent byte", 0);
    return r ? r : check_client(trial, "with an urgent byte", 0);
}

int ledger_self_test(char *what, size_t size)
{
    static int (*const trials[])(struct trial *) = {trial_data_and_fin, trial_reset, trial_urgent};
    static const int families[] = {AF_INET, AF_INET6};
    int tried = 0;

    for (size_t f = 0; f < sizeof families / sizeof *families; f++) {
        for (size_t t = 0; t < sizeof trials / sizeof *trials; t++) {
            struct trial trial = {.what = what, .size = size};
            int result;

            snprintf(what, size, "step %zu could not be made", t);
            result = trial_open(&trial, families[f]);
            if (!result)
                result = trials[t](&trial), tried++;
            else if (t == 0)
                result = 0; /* the family is not there */
            trial_close(&trial);
            if (result)
                return result == ERR_UNSUPPORTED ? result : ERR_IO;
        }
    }
    if (!tried)
        return ERR_IO;
    what[0] = '\0';
    return 0;
}
