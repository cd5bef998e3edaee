#include "core/listeners.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define DEFAULT_BACKLOG 4096
#define DEFAULT_MODE 0666

static int set_option(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof value);
}

static int set_tcp_options(int fd, const struct core_listener *listener)
{
    if (set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1) || set_option(fd, SOL_SOCKET, SO_OOBINLINE, 1) ||
        set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1) || set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1))
        return -1;
    if (listener->accept == CORE_ACCEPT_REUSEPORT && set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1))
        return -1;
    if (listener->address.ss_family == AF_INET6)
        return set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, listener->kind == CORE_LISTENER_IPV6);
    return 0;
}

/* 1 unless it is certain that nobody has the path: only a dead socket refuses. Asked by way of a descriptor, since a path
 * put aside may be longer than an address can say (sun_path, unix(7)). */
static int unix_is_alive(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int there = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), alive;

    snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d", there);
    alive = fd < 0 || there < 0 || !connect(fd, (const struct sockaddr *)&address, sizeof address) ||
            errno != ECONNREFUSED;
    fd_close(&fd);
    fd_close(&there);
    return alive;
}

static int make_room_for_unix(const char *path)
{
    struct stat status;

    if (lstat(path, &status))
        return 0;
    if (!S_ISSOCK(status.st_mode) || unix_is_alive(path)) {
        errno = EADDRINUSE;
        return -1;
    }
    return unlink(path);
}

/* The kernel cuts the backlog to net.core.somaxconn. */
static int start_listening(int fd, const struct core_listener *listener)
{
    return listen(fd, listener->backlog ? (int)listener->backlog : DEFAULT_BACKLOG);
}

/* The folder may be somebody's who puts other things in the path's place: what is no socket is not given away, and no
 * link is followed. */
static int give_path_away(const char *path, const struct core_listener *listener)
{
    int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC), result = -1, error;
    struct stat status;

    if (fd >= 0 && !fstat(fd, &status)) {
        errno = EEXIST;
        if (S_ISSOCK(status.st_mode))
            result = fchownat(fd, "", listener->owner, listener->owner_group, AT_EMPTY_PATH);
    }
    error = errno;
    fd_close(&fd);
    errno = error;
    return result;
}

static void path_aside(const struct core_listener *listener, char *path, size_t size)
{
    snprintf(path, size, "%s.drained", ((const struct sockaddr_un *)&listener->address)->sun_path);
}

/* A server that was killed while it was drained left its path there; ours would be taken for it. */
static void remove_dead_aside(const struct core_listener *listener)
{
    char path[CORE_PATH_MAX + 16];

    path_aside(listener, path, sizeof path);
    (void)make_room_for_unix(path); /* who is alive there keeps it; a drain will say so */
}

/* The mode is there from the first moment: a chmod(2) afterwards might meet something else. The umask is the process's,
 * and the master has one thread. */
static int bind_path(int fd, const struct core_listener *listener)
{
    const mode_t mode = listener->mode ? listener->mode : DEFAULT_MODE, before = umask(~mode & 0777);
    int result = bind(fd, (const struct sockaddr *)&listener->address, listener->length);

    (void)umask(before);
    return result;
}

/* Until listen(2) whoever tries to connect is refused. */
static int open_unix(const struct core_listener *listener)
{
    const char *path = ((const struct sockaddr_un *)&listener->address)->sun_path;
    int fd, error;

    if (make_room_for_unix(path))
        return -1;
    remove_dead_aside(listener);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    if (bind_path(fd, listener)) {
        fd_close(&fd); /* errno says why */
    } else if ((listener->has_owner && give_path_away(path, listener)) || start_listening(fd, listener)) {
        error = errno;
        fd_close(&fd);
        (void)unlink(path);
        errno = error;
    }
    return fd;
}

static int open_tcp(const struct core_listener *listener)
{
    int fd = socket(listener->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP);

    if (fd >= 0 && (set_tcp_options(fd, listener) ||
                    bind(fd, (const struct sockaddr *)&listener->address, listener->length) ||
                    start_listening(fd, listener)))
        fd_close(&fd); /* errno says why */
    return fd;
}

/* ":PORT" on a machine without IPv6. */
static int open_any_ipv4(const struct core_listener *listener)
{
    const struct sockaddr_in6 *any = (const struct sockaddr_in6 *)&listener->address;
    struct core_listener ipv4 = {.kind = CORE_LISTENER_IPV4,
                                 .length = sizeof(struct sockaddr_in),
                                 .accept = listener->accept,
                                 .backlog = listener->backlog};
    struct sockaddr_in *address = (struct sockaddr_in *)&ipv4.address;

    address->sin_family = AF_INET;
    address->sin_port = any->sin6_port;
    return open_tcp(&ipv4);
}

static int open_any(const struct core_listener *listener)
{
    int fd = listener->kind == CORE_LISTENER_UNIX ? open_unix(listener) : open_tcp(listener);

    if (fd < 0 && listener->kind == CORE_LISTENER_ANY && (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL))
        fd = open_any_ipv4(listener);
    return fd;
}

/* With SO_REUSEPORT a second server of the same user would be let in beside us, and take a part of the clients. */
static int address_is_free(const struct core_listener *listener)
{
    struct core_listener alone = *listener;
    int fd;

    alone.accept = CORE_ACCEPT_SHARED;
    fd = open_any(&alone);
    if (fd < 0)
        return 0; /* errno says why */
    fd_close(&fd);
    return 1;
}

int listener_open(const struct core_listener *listener, unsigned queue, char *why, size_t why_size)
{
    int fd = -1;

    if (listener->accept == CORE_ACCEPT_SHARED || queue > 0 || address_is_free(listener))
        fd = open_any(listener);
    if (fd >= 0)
        return fd;
    snprintf(why, why_size, "%s", strerror(errno));
    return errno ? err_from_errno(errno) : ERR_IO;
}

/* 0 or an error: ERR_EXISTS: somebody has the name it should get. That it has moved already is none. */
static int move_path(const struct core_listener *listener, int aside)
{
    const char *path = ((const struct sockaddr_un *)&listener->address)->sun_path;
    const char *from = path, *to;
    char other[CORE_PATH_MAX + 16];
    struct stat status;
    int cause;

    path_aside(listener, other, sizeof other);
    to = aside ? other : path;
    from = aside ? path : other;
    if (!renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE))
        return 0;
    cause = errno;
    if (cause == ENOENT && (aside || (!lstat(to, &status) && S_ISSOCK(status.st_mode))))
        return 0; /* nobody can come by a path that is gone */
    return err_from_errno(cause);
}

int listener_hide(int fd, const struct core_listener *listener)
{
    if (listener->kind == CORE_LISTENER_UNIX)
        return move_path(listener, 1);
    listener_steer_away(fd);
    return 0;
}

static int is_listening(int fd)
{
    int listening = 0;
    socklen_t length = sizeof listening;

    return !getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &length) && listening;
}

/* A second shutdown(2) would stay on the socket and be inherited by whatever it accepts later. */
void listener_shut(int fd, const struct core_listener *listener)
{
    if (listener->kind != CORE_LISTENER_UNIX && is_listening(fd))
        (void)shutdown(fd, SHUT_RDWR);
}

/* The kernel numbers the queues of an address as they begin to listen, and the last one moves into the place of one that
 * ends (reuseport_detach_sock). So if some were shut and others not, by a master that died in between, all have to be
 * before they come back: nobody waits in them then, since none is shut before all were emptied. */
static void shut_the_others(const int *fds, unsigned count, const struct core_listener *listener)
{
    unsigned listening = 0;

    for (unsigned queue = 0; queue < count; queue++)
        listening += (unsigned)is_listening(fds[queue]);
    for (unsigned queue = 0; listening < count && queue < count; queue++)
        listener_shut(fds[queue], listener);
}

int listener_show(const int *fds, unsigned count, const struct core_listener *listener)
{
    const int unused = 0;

    if (listener->kind == CORE_LISTENER_UNIX)
        return move_path(listener, 0);
    shut_the_others(fds, count, listener);
    for (unsigned queue = 0; queue < count; queue++) {
        (void)setsockopt(fds[queue], SOL_SOCKET, SO_DETACH_FILTER, &unused, sizeof unused);
        if (start_listening(fds[queue], listener))
            return err_from_errno(errno);
    }
    return 0;
}

void listener_choose_queues(int fd, uint64_t wanted, unsigned count)
{
    struct sock_filter code[2 + 2 * CORE_WORKERS_MAX + 1] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)SKF_AD_OFF + SKF_AD_RANDOM)};
    struct sock_fprog program;
    const int unused = 0;
    uint32_t queues = 0;

    memset(&program, 0, sizeof program); /* the gap in it, too: the kernel is handed all of it */
    program.filter = code;
    program.len = 2;
    for (unsigned queue = 0; queue < count; queue++) {
        if (!(wanted >> queue & 1))
            continue;
        code[program.len++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, queues++, 0, 1);
        code[program.len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, queue);
    }
    if (queues == 0 || queues == count) {
        (void)setsockopt(fd, SOL_SOCKET, SO_DETACH_REUSEPORT_BPF, &unused, sizeof unused);
        return;
    }
    code[1] = (struct sock_filter)BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, queues);
    code[program.len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, 0); /* never reached */
    (void)setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof program);
}

void listener_steer_away(int fd)
{
    /* The packet begins with the TCP header; its flags are byte 13. */
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 13),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0x12),       /* SYN and ACK */
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x02, 0, 1), /* SYN alone: */
        BPF_STMT(BPF_RET | BPF_K, 0),                    /* drop */
        BPF_STMT(BPF_RET | BPF_K, 0xffffffff),           /* else keep */
    };
    const struct sock_fprog program = {sizeof code / sizeof *code, code};
    int family = 0;
    socklen_t length = sizeof family;

    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &length))
        return;
    /* On a Unix socket whoever comes now is refused; who is in the queue can still be accepted. */
    if (family == AF_UNIX)
        (void)shutdown(fd, SHUT_RD);
    else
        (void)setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
}

void listener_unlink(const struct core_listener *listener)
{
    char aside[CORE_PATH_MAX + 16];

    if (listener->kind != CORE_LISTENER_UNIX)
        return;
    path_aside(listener, aside, sizeof aside);
    if (unlink(aside)) /* hidden, the path is perhaps somebody else's by now */
        (void)unlink(((const struct sockaddr_un *)&listener->address)->sun_path);
}
