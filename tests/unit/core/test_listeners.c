#include "core/listeners.h"

#include "base/fd.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static char why[256];
static char path[CORE_PATH_MAX];

static struct core_listener tcp_listener(enum core_listener_kind kind)
{
    struct core_listener listener = {.kind = kind, .length = sizeof(struct sockaddr_in)};

    listener.address.ss_family = AF_INET;
    ((struct sockaddr_in *)&listener.address)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (kind == CORE_LISTENER_IPV6 || kind == CORE_LISTENER_ANY) {
        memset(&listener.address, 0, sizeof listener.address);
        listener.address.ss_family = AF_INET6;
        listener.length = sizeof(struct sockaddr_in6);
        ((struct sockaddr_in6 *)&listener.address)->sin6_addr =
            kind == CORE_LISTENER_ANY ? in6addr_any : in6addr_loopback;
    }
    return listener;
}

static struct core_listener unix_listener(void)
{
    struct core_listener listener = {.kind = CORE_LISTENER_UNIX, .length = sizeof(struct sockaddr_un)};
    struct sockaddr_un *address = (struct sockaddr_un *)&listener.address;

    snprintf(path, sizeof path, "/tmp/holdfast-listener-%d", getpid());
    address->sun_family = AF_UNIX;
    memcpy(address->sun_path, path, sizeof path);
    return listener;
}

static int option_of(int fd, int level, int option)
{
    int value = -1;
    socklen_t length = sizeof value;

    assert_int_equal(getsockopt(fd, level, option, &value, &length), 0);
    return value;
}

/* A client's descriptor, connected or on its way; `wanted` is the errno of connect(2), or 0. */
static int client_of(int listener, int family, int wanted)
{
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &length), 0);
    if (family == AF_INET && address.ss_family == AF_INET6) { /* the same port of 127.0.0.1 */
        in_port_t port = ((struct sockaddr_in6 *)&address)->sin6_port;

        memset(&address, 0, sizeof address);
        ((struct sockaddr_in *)&address)->sin_family = AF_INET;
        ((struct sockaddr_in *)&address)->sin_port = port;
        ((struct sockaddr_in *)&address)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        length = sizeof(struct sockaddr_in);
    }
    errno = 0;
    (void)!connect(fd, (struct sockaddr *)&address, length);
    if (errno == EINPROGRESS && wanted != EINPROGRESS) {
        struct pollfd wait = {.fd = fd, .events = POLLOUT};

        assert_int_equal(poll(&wait, 1, 10000), 1);
        errno = option_of(fd, SOL_SOCKET, SO_ERROR);
    }
    assert_int_equal(errno, wanted);
    return fd;
}

static void accepted_sockets_have_the_options_that_the_ledger_needs(void **state)
{
    struct core_listener listener = tcp_listener(CORE_LISTENER_IPV4);
    int fd = listener_open(&listener, 0, why, sizeof why), client, server;
    (void)state;

    assert_true(fd >= 0);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    client = client_of(fd, AF_INET, 0);
    server = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
    assert_int_equal(option_of(server, SOL_SOCKET, SO_OOBINLINE), 1);
    assert_int_equal(option_of(server, SOL_SOCKET, SO_KEEPALIVE), 1);
    assert_int_equal(option_of(server, IPPROTO_TCP, TCP_NODELAY), 1);
    assert_int_equal(option_of(server, SOL_SOCKET, SO_PROTOCOL), IPPROTO_TCP); /* not MPTCP */
    fd_close(&client);
    fd_close(&server);
    fd_close(&fd);
}

static void the_any_address_takes_both_families_and_ipv6_only_one(void **state)
{
    struct core_listener listener = tcp_listener(CORE_LISTENER_ANY);
    int client, fd = listener_open(&listener, 0, why, sizeof why);
    (void)state;

    assert_true(fd >= 0);
    client = client_of(fd, AF_INET, 0);
    fd_close(&client);
    fd_close(&fd);
    listener = tcp_listener(CORE_LISTENER_IPV6);
    fd = listener_open(&listener, 0, why, sizeof why);
    if (fd < 0)
        skip(); /* no IPv6 here */
    assert_int_equal(option_of(fd, IPPROTO_IPV6, IPV6_V6ONLY), 1);
    client = client_of(fd, AF_INET6, 0);
    fd_close(&client);
    client = client_of(fd, AF_INET, ECONNREFUSED);
    fd_close(&client);
    fd_close(&fd);
}

static void an_address_in_use_is_refused_with_the_reason(void **state)
{
    struct core_listener listener = tcp_listener(CORE_LISTENER_IPV4);
    socklen_t length = sizeof listener.address;
    int fd = listener_open(&listener, 0, why, sizeof why);
    (void)state;

    assert_int_equal(getsockname(fd, (struct sockaddr *)&listener.address, &length), 0);
    assert_int_equal(listener_open(&listener, 0, why, sizeof why), ERR_BUSY);
    assert_string_equal(why, strerror(EADDRINUSE));
    fd_close(&fd);
    fd = listener_open(&listener, 0, why, sizeof why);
    assert_true(fd >= 0);
    fd_close(&fd);
}

static void a_listener_steered_away_drops_new_connections_and_keeps_old_ones(void **state)
{
    struct core_listener listener = tcp_listener(CORE_LISTENER_IPV4);
    int fd = listener_open(&listener, 0, why, sizeof why), before, after, server;
    char byte;
    (void)state;

    before = client_of(fd, AF_INET, 0);
    listener_steer_away(fd);
    after = client_of(fd, AF_INET, EINPROGRESS);
    server = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
    assert_true(server >= 0);
    assert_int_equal(send(before, "x", 1, 0), 1);
    assert_int_equal(recv(server, &byte, 1, 0), 1);
    assert_int_equal(accept4(fd, NULL, NULL, SOCK_CLOEXEC), -1);
    assert_int_equal(errno, EAGAIN);
    fd_close(&before);
    fd_close(&after);
    fd_close(&server);
    fd_close(&fd);
}

/* What the kernel itself accepts as a queue's length (net.core.somaxconn). */
static unsigned longest_backlog(void)
{
    FILE *file = fopen("/proc/sys/net/core/somaxconn", "re");
    unsigned longest = 0;

    assert_non_null(file);
    assert_int_equal(fscanf(file, "%u", &longest), 1);
    assert_int_equal(fclose(file), 0);
    return longest;
}

/* Of a listening TCP socket tcpi_sacked is the length that its queue may have. */
static unsigned backlog_of(const struct core_listener *listener)
{
    int fd = listener_open(listener, 0, why, sizeof why);
    struct tcp_info info;
    socklen_t length = sizeof info;

    assert_true(fd >= 0);
    assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length), 0);
    fd_close(&fd);
    return info.tcpi_sacked;
}

static void the_queue_is_as_long_as_the_backlog_or_4096(void **state)
{
    struct core_listener listener = tcp_listener(CORE_LISTENER_IPV4);
    unsigned longest = longest_backlog();
    (void)state;

    assert_int_equal(backlog_of(&listener), longest < 4096 ? longest : 4096);
    listener.backlog = 7;
    assert_int_equal(backlog_of(&listener), longest < 7 ? longest : 7);
}

/* --- Unix sockets --- */

static void a_unix_socket_is_open_to_all_and_removed_by_name(void **state)
{
    struct core_listener listener = unix_listener(), other = tcp_listener(CORE_LISTENER_IPV4);
    int fd = listener_open(&listener, 0, why, sizeof why), client;
    struct stat status;
    (void)state;

    assert_true(fd >= 0);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0666);
    client = client_of(fd, AF_UNIX, 0);
    listener_unlink(&other); /* nothing to remove */
    assert_int_equal(stat(path, &status), 0);
    listener_unlink(&listener);
    assert_int_equal(stat(path, &status), -1);
    fd_close(&client);
    fd_close(&fd);
}

static void a_unix_socket_has_the_mode_and_the_backlog_that_are_asked_for(void **state)
{
    struct core_listener listener = unix_listener();
    struct stat status;
    int fd, clients[3];
    (void)state;

    listener.mode = 0640;
    listener.backlog = 1;
    fd = listener_open(&listener, 0, why, sizeof why);
    assert_true(fd >= 0);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0640);
    clients[0] = client_of(fd, AF_UNIX, 0);
    clients[1] = client_of(fd, AF_UNIX, 0); /* the kernel takes one more than the backlog says */
    clients[2] = client_of(fd, AF_UNIX, EAGAIN);
    for (size_t i = 0; i < 3; i++)
        fd_close(&clients[i]);
    fd_close(&fd);
    listener_unlink(&listener);
}

static void a_unix_socket_goes_to_its_owner_and_what_is_not_said_stays(void **state)
{
    struct core_listener listener = unix_listener();
    struct stat status;
    int fd;
    (void)state;

    if (geteuid() != 0)
        skip(); /* only root gives files away */
    listener.has_owner = 1;
    listener.owner = 12345;
    listener.owner_group = CORE_NOBODY;
    listener.mode = 0600;
    fd = listener_open(&listener, 0, why, sizeof why);
    assert_true(fd >= 0);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_uid, 12345);
    assert_int_equal(status.st_gid, getegid());
    assert_int_equal(status.st_mode & 07777, 0600);
    fd_close(&fd);
    listener.owner = CORE_NOBODY;
    listener.owner_group = 54321;
    fd = listener_open(&listener, 0, why, sizeof why);
    assert_true(fd >= 0);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_uid, geteuid());
    assert_int_equal(status.st_gid, 54321);
    fd_close(&fd);
    listener_unlink(&listener);
}

/* Whoever owns the folder would only have to put something else there in the right moment. */
static void the_mode_of_a_unix_socket_is_there_from_the_first_moment(void **state)
{
    struct core_listener listener = unix_listener();
    const mode_t before = umask(0077);
    struct stat status;
    int fd;
    (void)state;

    listener.mode = 0622;
    fd = listener_open(&listener, 0, why, sizeof why);
    assert_true(fd >= 0);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0622);
    assert_int_equal(umask(before), 0077); /* nobody else's files have changed */
    fd_close(&fd);
    listener_unlink(&listener);
}

/* In a child, which stops being root; its exit status says how far it came. */
static int give_away_without_the_right_to(struct core_listener *listener)
{
    struct stat status;

    if (geteuid() == 0 &&
        (setgroups(0, NULL) || setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534)))
        return 1;
    listener->has_owner = 1;
    listener->owner = 0;
    listener->owner_group = CORE_NOBODY;
    if (listener_open(listener, 0, why, sizeof why) != err_from_errno(EPERM))
        return 2;
    if (strcmp(why, strerror(EPERM)) != 0)
        return 3;
    return stat(path, &status) == 0 ? 4 : 0;
}

static void a_unix_socket_that_cannot_go_to_its_owner_is_refused_and_leaves_no_path(void **state)
{
    struct core_listener listener = unix_listener();
    int status = -1;
    pid_t child;
    (void)state;

    child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(give_away_without_the_right_to(&listener));
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void a_unix_socket_steered_away_refuses_new_connections_and_keeps_its_queue(void **state)
{
    struct core_listener listener = unix_listener();
    int fd = listener_open(&listener, 0, why, sizeof why), before = client_of(fd, AF_UNIX, 0), after, server;
    (void)state;

    listener_steer_away(fd);
    after = client_of(fd, AF_UNIX, ECONNREFUSED);
    server = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
    assert_true(server >= 0);
    assert_int_equal(accept4(fd, NULL, NULL, SOCK_CLOEXEC), -1); /* EAGAIN on a non-blocking one */
    fd_close(&before);
    fd_close(&after);
    fd_close(&server);
    fd_close(&fd);
    listener_unlink(&listener);
}

static void a_unix_socket_of_somebody_dead_is_replaced(void **state)
{
    struct core_listener listener = unix_listener();
    int fd = listener_open(&listener, 0, why, sizeof why);
    (void)state;

    fd_close(&fd); /* the path stays */
    fd = listener_open(&listener, 0, why, sizeof why);
    assert_true(fd >= 0);
    fd_close(&fd);
    listener_unlink(&listener);
}

static void a_unix_socket_of_somebody_alive_is_left_alone(void **state)
{
    struct core_listener listener = unix_listener();
    int fd = listener_open(&listener, 0, why, sizeof why), client;
    (void)state;

    assert_int_equal(listener_open(&listener, 0, why, sizeof why), ERR_BUSY);
    client = client_of(fd, AF_UNIX, 0);
    fd_close(&client);
    fd_close(&fd);
    listener_unlink(&listener);
}

static void a_hidden_unix_socket_comes_back_unless_somebody_has_taken_its_path(void **state)
{
    struct core_listener listener = unix_listener();
    int fd = listener_open(&listener, 0, why, sizeof why), other, client;
    (void)state;

    assert_int_equal(listener_hide(fd, &listener), 0);
    assert_int_equal(listener_hide(fd, &listener), 0);
    client = client_of(fd, AF_UNIX, ENOENT);
    fd_close(&client);
    other = listener_open(&listener, 0, why, sizeof why); /* leaves alone what is hidden and alive */
    assert_true(other >= 0);
    assert_int_equal(listener_show(&fd, 1, &listener), ERR_EXISTS);
    fd_close(&other);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(listener_show(&fd, 1, &listener), 0);
    assert_int_equal(listener_show(&fd, 1, &listener), 0);
    client = client_of(fd, AF_UNIX, 0);
    fd_close(&client);
    fd_close(&fd);
    listener_unlink(&listener);
}

static void a_path_that_cannot_be_put_aside_or_back_is_told(void **state)
{
    struct core_listener listener = unix_listener();
    int fd = listener_open(&listener, 0, why, sizeof why);
    char aside[CORE_PATH_MAX + 16];
    (void)state;

    snprintf(aside, sizeof aside, "%s.drained", path);
    assert_int_equal(mkdir(aside, 0700), 0);
    assert_int_equal(listener_hide(fd, &listener), ERR_EXISTS);
    assert_int_equal(rmdir(aside), 0);
    assert_int_equal(listener_hide(fd, &listener), 0);
    assert_int_equal(unlink(aside), 0);
    assert_int_equal(listener_show(&fd, 1, &listener), ERR_NOT_FOUND);
    fd_close(&fd);
}

/* PATH may be as long as an address can say; PATH.drained is longer. */
static void the_longest_path_can_be_hidden_too_also_after_somebody_dead_has(void **state)
{
    struct core_listener listener = unix_listener();
    struct sockaddr_un *address = (struct sockaddr_un *)&listener.address;
    char aside[CORE_PATH_MAX + 16];
    int fd, other;
    (void)state;

    memset(address->sun_path, 'x', CORE_PATH_MAX - 1);
    address->sun_path[CORE_PATH_MAX - 1] = '\0';
    memcpy(address->sun_path, path, strlen(path));
    strcpy(path, address->sun_path);
    snprintf(aside, sizeof aside, "%s.drained", path);
    fd = listener_open(&listener, 0, why, sizeof why);
    assert_true(fd >= 0);
    assert_int_equal(listener_hide(fd, &listener), 0);
    other = listener_open(&listener, 0, why, sizeof why);
    assert_int_equal(listener_hide(other, &listener), ERR_EXISTS); /* who is alive there keeps it */
    fd_close(&fd);
    fd_close(&other);
    fd = listener_open(&listener, 0, why, sizeof why);
    assert_int_equal(access(aside, F_OK), -1);
    assert_int_equal(listener_hide(fd, &listener), 0);
    fd_close(&fd);
    listener_unlink(&listener);
    assert_int_equal(access(aside, F_OK), -1);
}

static int accepts_within(int fd, int wait_ms)
{
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    int accepted, is_one = poll(&wait, 1, wait_ms) == 1;

    if (is_one) {
        accepted = accept(fd, NULL, NULL);
        fd_close(&accepted);
    }
    return is_one;
}

/* A master was killed after it had shut some of the queues; the next one is asked to resume before it has shut the rest. */
static void queues_of_which_some_were_shut_are_numbered_anew_in_their_order(void **state)
{
    for (unsigned shut = 1; shut < 8; shut++) {
        struct core_listener listener = tcp_listener(CORE_LISTENER_IPV4);
        socklen_t length = listener.length;
        int fds[3] = {-1, -1, -1};
        (void)state;

        listener.accept = CORE_ACCEPT_REUSEPORT;
        /* The kernel forgets a port that it chose itself when the socket is shut: it is asked for by its number. */
        fds[0] = listener_open(&listener, 0, why, sizeof why);
        assert_true(fds[0] >= 0);
        assert_int_equal(getsockname(fds[0], (struct sockaddr *)&listener.address, &length), 0);
        fd_close(&fds[0]);
        for (unsigned queue = 0; queue < 3; queue++) {
            fds[queue] = listener_open(&listener, queue, why, sizeof why);
            assert_true(fds[queue] >= 0);
        }
        for (unsigned queue = 0; queue < 3; queue++)
            assert_int_equal(listener_hide(fds[queue], &listener), 0);
        for (unsigned queue = 0; queue < 3; queue++)
            if (shut >> queue & 1)
                listener_shut(fds[queue], &listener);
        assert_int_equal(listener_show(fds, 3, &listener), 0);
        for (unsigned queue = 0; queue < 3; queue++) {
            int client;

            listener_choose_queues(fds[0], 1ULL << queue, 3);
            client = client_of(fds[0], AF_INET, 0);
            assert_true(accepts_within(fds[queue], 5000));
            fd_close(&client);
        }
        for (unsigned queue = 0; queue < 3; queue++)
            fd_close(&fds[queue]);
    }
}

static void what_somebody_dead_has_hidden_is_not_taken_for_ours(void **state)
{
    struct core_listener listener = unix_listener();
    int fd = listener_open(&listener, 0, why, sizeof why);
    struct stat status;
    (void)state;

    assert_int_equal(listener_hide(fd, &listener), 0);
    fd_close(&fd); /* it was killed while it was drained */
    fd = listener_open(&listener, 0, why, sizeof why);
    assert_true(fd >= 0);
    listener_unlink(&listener);
    assert_int_equal(stat(path, &status), -1);
    fd_close(&fd);
}

/* connect(2) of a stream socket is refused there too, but not because nobody is there. */
static void a_datagram_socket_on_the_path_is_left_alone(void **state)
{
    struct core_listener listener = unix_listener();
    int datagram = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct stat status;
    (void)state;

    assert_int_equal(bind(datagram, (struct sockaddr *)&listener.address, listener.length), 0);
    assert_int_equal(listener_open(&listener, 0, why, sizeof why), ERR_BUSY);
    assert_int_equal(stat(path, &status), 0);
    fd_close(&datagram);
    assert_int_equal(unlink(path), 0);
}

static void a_file_that_is_no_socket_is_left_alone(void **state)
{
    struct core_listener listener = unix_listener();
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    (void)state;

    fd_close(&fd);
    assert_int_equal(listener_open(&listener, 0, why, sizeof why), ERR_BUSY);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("/dev/null", path), 0);
    assert_int_equal(listener_open(&listener, 0, why, sizeof why), ERR_BUSY);
    assert_int_equal(unlink(path), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepted_sockets_have_the_options_that_the_ledger_needs),
        cmocka_unit_test(the_any_address_takes_both_families_and_ipv6_only_one),
        cmocka_unit_test(an_address_in_use_is_refused_with_the_reason),
        cmocka_unit_test(a_listener_steered_away_drops_new_connections_and_keeps_old_ones),
        cmocka_unit_test(the_queue_is_as_long_as_the_backlog_or_4096),
        cmocka_unit_test(a_unix_socket_is_open_to_all_and_removed_by_name),
        cmocka_unit_test(a_unix_socket_has_the_mode_and_the_backlog_that_are_asked_for),
        cmocka_unit_test(a_unix_socket_goes_to_its_owner_and_what_is_not_said_stays),
        cmocka_unit_test(the_mode_of_a_unix_socket_is_there_from_the_first_moment),
        cmocka_unit_test(a_unix_socket_that_cannot_go_to_its_owner_is_refused_and_leaves_no_path),
        cmocka_unit_test(a_unix_socket_steered_away_refuses_new_connections_and_keeps_its_queue),
        cmocka_unit_test(a_unix_socket_of_somebody_dead_is_replaced),
        cmocka_unit_test(a_unix_socket_of_somebody_alive_is_left_alone),
        cmocka_unit_test(a_hidden_unix_socket_comes_back_unless_somebody_has_taken_its_path),
        cmocka_unit_test(what_somebody_dead_has_hidden_is_not_taken_for_ours),
        cmocka_unit_test(a_path_that_cannot_be_put_aside_or_back_is_told),
        cmocka_unit_test(the_longest_path_can_be_hidden_too_also_after_somebody_dead_has),
        cmocka_unit_test(queues_of_which_some_were_shut_are_numbered_anew_in_their_order),
        cmocka_unit_test(a_datagram_socket_on_the_path_is_left_alone),
        cmocka_unit_test(a_file_that_is_no_socket_is_left_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
