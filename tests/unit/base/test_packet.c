#include "base/packet.h"

#include "base/fd.h"
#include "unit.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static int pair[2];

static int setup(void **state)
{
    (void)state;
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair);
}

static int teardown(void **state)
{
    (void)state;
    fd_close(&pair[0]);
    fd_close(&pair[1]);
    return 0;
}

static unsigned long long inode(int fd)
{
    struct stat about;
    assert_int_equal(fstat(fd, &about), 0);
    return (unsigned long long)about.st_ino;
}

/* Sends descriptor 0 `count` times with one byte. */
static void send_descriptors(int socket, int count)
{
    union {
        char bytes[CMSG_SPACE(16 * sizeof(int))];
        struct cmsghdr align;
    } control;
    memset(&control, 0, sizeof control);
    struct iovec part = {.iov_base = (char[]){"x"}, .iov_len = 1};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = CMSG_SPACE((size_t)count * sizeof(int))};
    *CMSG_FIRSTHDR(&message) = (struct cmsghdr){
        .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN((size_t)count * sizeof(int))};
    assert_int_equal(sendmsg(socket, &message, 0), 1);
}

/* The number the next descriptor will get: it grows when one has leaked. */
static int next_descriptor(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    close(fd);
    return fd;
}

static void bytes_and_a_descriptor_arrive_together(void **state)
{
    char bytes[16];
    struct packet packet;
    (void)state;
    int fd = fd_memfd("test", 0, 0);
    assert_int_equal(packet_send(pair[0], "hello", 5, fd), 0);
    assert_int_equal(packet_send(pair[0], "you", 3, -1), 0);
    assert_int_equal(packet_receive(pair[1], bytes, sizeof bytes, &packet), 0);
    assert_int_equal(packet.length, 5);
    assert_memory_equal(bytes, "hello", 5);
    assert_true(packet.fd >= 0 && inode(packet.fd) == inode(fd));
    assert_true(fcntl(packet.fd, F_GETFD) & FD_CLOEXEC);
    assert_false(packet.fd_lost);
    close(packet.fd);
    assert_int_equal(packet_receive(pair[1], bytes, sizeof bytes, &packet), 0);
    assert_int_equal(packet.length, 3);
    assert_int_equal(packet.fd, -1);
    close(fd);
}

static void nothing_there_and_nobody_there_are_told_apart(void **state)
{
    char bytes[16];
    struct packet packet;
    (void)state;
    assert_int_equal(packet_receive(pair[1], bytes, sizeof bytes, &packet), ERR_AGAIN);
    assert_int_equal(packet_send(pair[0], "last", 4, -1), 0);
    fd_close(&pair[0]);
    assert_int_equal(packet_receive(pair[1], bytes, sizeof bytes, &packet), 0);
    assert_int_equal(packet_receive(pair[1], bytes, sizeof bytes, &packet), ERR_CLOSED);
    assert_int_equal(packet_send(pair[1], "x", 1, -1), ERR_CLOSED);
}

static void what_was_said_before_a_death_with_unread_packets_still_arrives(void **state)
{
    char bytes[16];
    struct packet packet;
    (void)state;
    assert_int_equal(packet_send(pair[1], "unread", 6, -1), 0); /* this makes the kernel note ECONNRESET */
    assert_int_equal(packet_send(pair[0], "last words", 10, -1), 0);
    fd_close(&pair[0]);
    assert_int_equal(packet_receive(pair[1], bytes, sizeof bytes, &packet), 0);
    assert_int_equal(packet.length, 10);
    assert_int_equal(packet_receive(pair[1], bytes, sizeof bytes, &packet), ERR_CLOSED);
}

static void a_full_socket_does_not_block(void **state)
{
    static char big[4096];
    char bytes[sizeof big];
    struct packet packet;
    int error = 0, count = 0;
    (void)state;
    while ((error = packet_send(pair[0], big, sizeof big, -1)) == 0)
        count++;
    assert_int_equal(error, ERR_AGAIN);
    assert_true(count > 4);
    while (count--)
        assert_int_equal(packet_receive(pair[1], bytes, sizeof bytes, &packet), 0);
    assert_int_equal(packet_send(pair[0], big, sizeof big, -1), 0);
}

static void a_packet_that_is_too_long_is_refused_and_consumed(void **state)
{
    char bytes[4];
    struct packet packet;
    (void)state;
    int before = next_descriptor();
    assert_int_equal(packet_send(pair[0], "12345", 5, 0), 0);
    assert_int_equal(packet_send(pair[0], "1234", 4, -1), 0);
    assert_int_equal(packet_receive(pair[1], bytes, sizeof bytes, &packet), ERR_PROTOCOL);
    assert_int_equal(packet.fd, -1);
    assert_int_equal(next_descriptor(), before);
    assert_int_equal(packet_receive(pair[1], bytes, sizeof bytes, &packet), 0);
    assert_int_equal(packet.length, 4);
}

static void more_than_one_descriptor_is_refused_and_none_leaks(void **state)
{
    char bytes[4];
    struct packet packet;
    (void)state;
    int before = next_descriptor();
    for (int count = 2; count <= 16; count++) {
        send_descriptors(pair[0], count);
        assert_int_equal(packet_receive(pair[1], bytes, sizeof bytes, &packet), ERR_PROTOCOL);
        assert_int_equal(packet.fd, -1);
        assert_int_equal(next_descriptor(), before);
    }
}

static void a_descriptor_that_finds_no_room_is_reported_as_lost(void **state)
{
    if (unit_is_under_valgrind())
        skip(); /* valgrind has a limit of descriptors of its own */
    char bytes[4];
    struct packet packet;
    struct rlimit limit, tight;
    (void)state;
    assert_int_equal(packet_send(pair[0], "x", 1, 0), 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    tight = (struct rlimit){(rlim_t)next_descriptor(), limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
    int error = packet_receive(pair[1], bytes, sizeof bytes, &packet);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(error, 0);
    assert_int_equal(packet.length, 1);
    assert_int_equal(packet.fd, -1);
    assert_true(packet.fd_lost);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(bytes_and_a_descriptor_arrive_together),
        TEST(nothing_there_and_nobody_there_are_told_apart),
        TEST(what_was_said_before_a_death_with_unread_packets_still_arrives),
        TEST(a_full_socket_does_not_block),
        TEST(a_packet_that_is_too_long_is_refused_and_consumed),
        TEST(more_than_one_descriptor_is_refused_and_none_leaks),
        TEST(a_descriptor_that_finds_no_room_is_reported_as_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
