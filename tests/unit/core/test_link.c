#include "core/link.h"

#include "base/fd.h"
#include "unit.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int ends[2];

static int setup(void **state)
{
    (void)state;
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends);
}

static int teardown(void **state)
{
    (void)state;
    fd_close(&ends[0]);
    fd_close(&ends[1]);
    return 0;
}

static void a_message_is_the_24_bytes_of_the_frozen_format(void **state)
{
    uint8_t bytes[64];
    const int32_t pid = getpid(), detail = -7;
    (void)state;

    assert_int_equal(link_send(ends[0], LINK_FAILED, 0x01020304, 9, detail), 0);
    assert_int_equal(recv(ends[1], bytes, sizeof bytes, 0), 24);
    assert_memory_equal(bytes, "HLNK", 4);
    assert_memory_equal(bytes + 4, "\1\0\5\0", 4);
    assert_memory_equal(bytes + 8, "\4\3\2\1\11\0\0\0", 8);
    assert_memory_equal(bytes + 16, &pid, 4);
    assert_memory_equal(bytes + 20, &detail, 4);
}

static void what_is_sent_is_received_in_order(void **state)
{
    static const enum link_type types[] = {LINK_READY,  LINK_LEFT,  LINK_DIED, LINK_TAKEOVER,
                                           LINK_FAILED, LINK_QUIET, LINK_POKE};
    struct link_message message;
    (void)state;

    for (unsigned i = 0; i < sizeof types / sizeof *types; i++)
        assert_int_equal(link_send(ends[0], types[i], i, i + 1, (int32_t)i * 3), 0);
    for (unsigned i = 0; i < sizeof types / sizeof *types; i++) {
        assert_int_equal(link_receive(ends[1], &message), 0);
        assert_int_equal(message.type, types[i]);
        assert_int_equal(message.slot, i);
        assert_int_equal(message.generation, i + 1);
        assert_int_equal(message.detail, i * 3);
        assert_int_equal(message.pid, getpid());
    }
    assert_int_equal(link_receive(ends[1], &message), ERR_AGAIN);
}

static void a_full_link_is_success_and_never_blocks(void **state)
{
    struct link_message message;
    int received = 0;
    (void)state;

    for (int i = 0; i < 5000; i++)
        assert_int_equal(link_send(ends[0], LINK_POKE, 0, 0, i), 0);
    while (!link_receive(ends[1], &message))
        assert_int_equal(message.detail, received++);
    assert_in_range(received, 1, 4999);
}

static void an_end_that_is_closed_is_told(void **state)
{
    struct link_message message;
    (void)state;

    assert_int_equal(link_send(ends[0], LINK_LEFT, 0, 0, 0), 0);
    fd_close(&ends[0]);
    assert_int_equal(link_receive(ends[1], &message), 0);
    assert_int_equal(link_receive(ends[1], &message), ERR_CLOSED);
    assert_int_equal(link_send(ends[1], LINK_READY, 0, 0, 0), ERR_CLOSED); /* and no SIGPIPE */
    assert_int_equal(link_send(-1, LINK_READY, 0, 0, 0), ERR_CLOSED);
    assert_int_equal(link_receive(-1, &message), ERR_CLOSED);
}

static void what_is_no_message_is_refused_and_dropped(void **state)
{
    struct link_message good = {.magic = LINK_MAGIC, .version = LINK_VERSION, .type = LINK_POKE}, bad, got;
    (void)state;

    assert_int_equal(send(ends[0], &good, sizeof good - 1, 0), sizeof good - 1);
    bad = good;
    bad.magic++;
    assert_int_equal(send(ends[0], &bad, sizeof bad, 0), sizeof bad);
    bad = good;
    bad.version++;
    assert_int_equal(send(ends[0], &bad, sizeof bad, 0), sizeof bad);
    assert_int_equal(send(ends[0], &good, sizeof good, 0), sizeof good);
    for (int i = 0; i < 3; i++)
        assert_int_equal(link_receive(ends[1], &got), ERR_PROTOCOL);
    assert_int_equal(link_receive(ends[1], &got), 0);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_message_is_the_24_bytes_of_the_frozen_format), CASE(what_is_sent_is_received_in_order),
        CASE(a_full_link_is_success_and_never_blocks),        CASE(an_end_that_is_closed_is_told),
        CASE(what_is_no_message_is_refused_and_dropped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
