/* A connection's rings, file and socket, without a protocol. */
#include "net/conn.h"

#include "base/clock.h"
#include "base/fd.h"
#include "rig.h"
#include "unit.h"

#include <fcntl.h>
#include <linux/sockios.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static struct rig rig;
static struct record *record;
static int client;
static const char *family_name;

static void opened(struct worker *of, struct record *which, struct record_head *head)
{
    (void)of;
    (void)which;
    (void)head;
}

static void ready(struct worker *of, struct record *which, unsigned events)
{
    (void)of;
    (void)which;
    (void)events;
}

static const struct conn_class class = {
    .name = "none", .opened = opened, .ready = ready, .abandon = conn_close};

static int setup(void **state)
{
    (void)state;
    family_name = "unix";
    rig_open(&rig, &class, AF_UNIX);
    client = rig_open_connection(&rig, &record);
    return 0;
}

static int setup_tcp(void **state)
{
    (void)state;
    family_name = "tcp";
    rig_open(&rig, &class, AF_INET);
    client = rig_open_connection(&rig, &record);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fd_close(&client);
    rig_close(&rig);
    return 0;
}

static struct worker *worker(void)
{
    return &rig.worker;
}

static int server_fd(void)
{
    return (int)arena_number(&rig.worker.arena, record);
}

static char pattern(uint64_t offset)
{
    return (char)(offset * 17 + offset / 263);
}

static void say(uint64_t from, size_t length)
{
    static char bytes[ARENA_BLOCK_SIZE * 2];

    for (size_t i = 0; i < length; i++)
        bytes[i] = pattern(from + i);
    assert_int_equal(send(client, bytes, length, 0), length);
    assert_true(rig_await(server_fd(), POLLIN));
}

/* Receives until `rx` bytes are there. */
static void fill_to(uint64_t rx)
{
    while (record->rx < rx) {
        assert_true(rig_await(server_fd(), POLLIN));
        assert_true(conn_fill(worker(), record) > 0);
    }
}

static void take(uint64_t length)
{
    struct record_head *head = record_begin(record);

    head->taken += length;
    record_commit(record);
}

static void assert_pattern(struct slice bytes, uint64_t from)
{
    for (size_t i = 0; i < bytes.length; i++)
        if (bytes.at[i] != pattern(from + i))
            fail_msg("%s: byte %llu differs", family_name, (unsigned long long)(from + i));
}

static void input_is_what_was_received_and_not_taken(void **state)
{
    (void)state;
    assert_int_equal(conn_fill(worker(), record), ERR_AGAIN);
    assert_int_equal(conn_input(worker(), record, record_head(record)).length, 0);
    say(0, 100);
    assert_int_equal(conn_fill(worker(), record), 100);
    assert_int_equal(conn_input_length(record, record_head(record)), 100);
    assert_pattern(conn_input(worker(), record, record_head(record)), 0);
    take(60);
    assert_int_equal(conn_input(worker(), record, record_head(record)).length, 40);
    assert_pattern(conn_input(worker(), record, record_head(record)), 60);
    conn_settle(worker(), record);
    assert_int_equal(worker()->blocks.in_use, 1);
    take(40);
    conn_settle(worker(), record);
    assert_int_equal(worker()->blocks.in_use, 0);
    assert_int_equal(record_head(record)->in_block, 0);
}

static void a_full_ring_takes_no_more_and_a_wrapped_one_can_be_read_whole(void **state)
{
    struct slice piece, whole;
    (void)state;

    say(0, ARENA_BLOCK_SIZE);
    fill_to(ARENA_BLOCK_SIZE);
    say(ARENA_BLOCK_SIZE, 5000);
    assert_int_equal(conn_fill(worker(), record), ERR_LIMIT);
    take(3000);
    fill_to(ARENA_BLOCK_SIZE + 3000);
    assert_int_equal(conn_fill(worker(), record), ERR_LIMIT);
    piece = conn_input(worker(), record, record_head(record));
    assert_int_equal(piece.length, ARENA_BLOCK_SIZE - 3000); /* up to the ring's end */
    assert_pattern(piece, 3000);
    whole = conn_input_whole(worker(), record, record_head(record));
    assert_int_equal(whole.length, ARENA_BLOCK_SIZE);
    assert_pattern(whole, 3000);
    take(ARENA_BLOCK_SIZE - 3000);
    assert_pattern(conn_input(worker(), record, record_head(record)), ARENA_BLOCK_SIZE);
    fill_to(ARENA_BLOCK_SIZE + 5000);
    assert_pattern(conn_input_whole(worker(), record, record_head(record)), ARENA_BLOCK_SIZE);
}

static void the_end_of_input_is_remembered(void **state)
{
    (void)state;
    say(0, 10);
    assert_int_equal(shutdown(client, SHUT_WR), 0);
    fill_to(10);
    assert_true(rig_await(server_fd(), POLLRDHUP));
    assert_int_equal(conn_fill(worker(), record), 0);
    assert_int_equal(record_head(record)->end_of_input, 1);
    assert_pattern(conn_input(worker(), record, record_head(record)), 0);
}

/* --- output --- */

static void put(uint64_t from, size_t length, int wanted)
{
    static char bytes[ARENA_BLOCK_SIZE + 1];
    struct record_head *head = record_begin(record);

    for (size_t i = 0; i < length; i++)
        bytes[i] = pattern(from + i);
    assert_int_equal(conn_put(worker(), record, head, (struct slice){bytes, length}), wanted);
    if (!wanted)
        record_commit(record);
}

static uint64_t heard;

static void hear(uint64_t length)
{
    while (length > 0) {
        char bytes[4096];
        ssize_t count;

        assert_true(rig_await(client, POLLIN));
        count = recv(client, bytes, length < sizeof bytes ? length : sizeof bytes, 0);
        assert_true(count > 0);
        assert_pattern((struct slice){bytes, (size_t)count}, heard);
        heard += (uint64_t)count;
        length -= (uint64_t)count;
    }
}

static void output_is_all_or_nothing_and_goes_round_the_ring(void **state)
{
    uint64_t made = 0;
    (void)state;

    heard = 0;
    put(0, ARENA_BLOCK_SIZE + 1, ERR_LIMIT);
    assert_int_equal(record_head(record)->made, 0);
    for (unsigned i = 0; i < 100; i++) {
        size_t length = i * 997 % 9000 + 1;

        put(made, length, 0);
        made += length;
        assert_int_equal(conn_room(record, record_head(record)), ARENA_BLOCK_SIZE - length);
        assert_int_equal(conn_flush(worker(), record), 0);
        assert_int_equal(record->tx, made);
        hear(length);
        if (i % 7 == 0)
            conn_settle(worker(), record);
    }
    conn_settle(worker(), record);
    assert_int_equal(worker()->blocks.in_use, 0);
}

static void what_the_socket_does_not_take_stays_in_the_ring(void **state)
{
    uint64_t made = 0;
    int result = 0;
    (void)state;

    heard = 0;
    while (!result) {
        put(made, ARENA_BLOCK_SIZE, 0);
        made += ARENA_BLOCK_SIZE;
        result = conn_flush(worker(), record);
    }
    assert_int_equal(result, ERR_AGAIN);
    assert_true(record->tx < made);
    put(made, ARENA_BLOCK_SIZE, ERR_LIMIT);
    conn_settle(worker(), record); /* it is not done with */
    assert_true(conn_has_output(record, record_head(record)));
    while (record->tx < made) {
        hear(record->tx - heard);
        assert_in_range(conn_flush(worker(), record) + 1, 0, 1);
    }
    hear(made - heard);
}

/* What follows is the input of the same connection. */
static void a_segment_is_filled_up_only_while_more_is_likely_to_follow(void **state)
{
    const int is_tcp = !strcmp(family_name, "tcp");
    uint64_t began_ns;
    int kept = -1;
    (void)state;

    heard = 0;
    say(0, 100);
    fill_to(100);
    assert_false(conn_flows(worker(), record)); /* the socket was emptied */
    say(100, ARENA_BLOCK_SIZE - 100);
    fill_to(ARENA_BLOCK_SIZE);
    assert_true(conn_flows(worker(), record)); /* there was no room for more */
    conn_follows(worker(), record, 1);
    put(0, 100, 0);
    began_ns = clock_monotonic_ns();
    assert_int_equal(conn_flush(worker(), record), 0);
    assert_int_equal(record->tx, 100);
    assert_int_equal(is_tcp ? ioctl(server_fd(), SIOCOUTQNSD, &kept) : 0, 0);
    if (is_tcp && clock_monotonic_ns() - began_ns < 100 * NS_PER_MS) /* the kernel keeps it for 200 ms */
        assert_int_equal(kept, 100);
    assert_true(worker_side(worker(), record)->is_corked);
    conn_let_go(worker(), record);
    assert_int_equal(is_tcp ? ioctl(server_fd(), SIOCOUTQNSD, &kept) : 0, 0);
    assert_int_equal(is_tcp ? kept : 0, 0);
    hear(100);
    conn_follows(worker(), record, 0);
    put(100, 100, 0);
    assert_int_equal(conn_flush(worker(), record), 0);
    assert_false(worker_side(worker(), record)->is_corked);
    hear(100);
}

static void a_peer_has_never_taken_more_than_was_sent(void **state)
{
    const struct conn_side *side = worker_side(worker(), record);
    (void)state;

    heard = 0;
    put(0, 100, 0);
    assert_int_equal(conn_flush(worker(), record), 0);
    (void)conn_drains(worker(), record);
    assert_in_range(side->sent_seen, 0, 100);
    hear(100);
    while (!conn_drains(worker(), record) && side->sent_seen < 100)
        assert_true(rig_await(server_fd(), POLLOUT));
    assert_int_equal(side->sent_seen, 100);
    assert_false(conn_drains(worker(), record));
}

/* A file of `length` bytes that goes on with the pattern from `from`. */
static int file_of(uint64_t from, size_t length)
{
    char *bytes = malloc(length);
    int fd = fd_memfd("file", 0, 0);

    for (size_t i = 0; i < length; i++)
        bytes[i] = pattern(from + i);
    assert_int_equal(fd_write_all(fd, bytes, length), 0);
    free(bytes);
    return fd;
}

static void a_file_goes_out_behind_what_was_put_and_is_let_go(void **state)
{
    const size_t size = 2000000;
    struct record_head *head;
    int file = file_of(0, 100 + size), result;
    (void)state;

    heard = 0;
    put(0, 100, 0);
    worker_file_use(worker(), file); /* ours */
    head = record_begin(record);
    conn_put_file(worker(), head, file, 100, size);
    record_commit(record);
    assert_int_equal(conn_room(record, record_head(record)), 0);
    put(0, 1, ERR_LIMIT);
    while ((result = conn_flush(worker(), record)) != 0) {
        assert_true(result == ERR_AGAIN || result == ERR_BUSY);
        hear(record->tx - heard);
    }
    hear(record->tx - heard);
    assert_int_equal(heard, 100 + size);
    conn_settle(worker(), record);
    assert_int_equal(record_head(record)->file_fd, -1);
    assert_int_equal(worker()->side[file].file_references, 1);
    worker_file_drop(worker(), file);
    assert_int_equal(fcntl(file, F_GETFD), -1);
}

/* Nobody may keep the loop for longer than half a megabyte. */
static void a_fast_reader_gives_others_their_turn(void **state)
{
    struct record_head *head = record_begin(record);
    int file = file_of(0, 1500000), sizes = 4000000, result, turns = 0;
    (void)state;

    heard = 0;
    (void)setsockopt(server_fd(), SOL_SOCKET, SO_SNDBUFFORCE, &sizes, sizeof sizes);
    worker_file_use(worker(), file);
    conn_put_file(worker(), head, file, 0, 1500000);
    record_commit(record);
    while ((result = conn_flush(worker(), record)) != 0) {
        if (result == ERR_BUSY) {
            assert_int_equal(worker()->again_count, 1);
            turns++;
        }
        assert_true(record->tx - heard <= 512 * 1024);
        hear(record->tx - heard);
    }
    if (!strcmp(family_name, "unix") && geteuid() == 0)
        assert_true(turns >= 2);
    worker_file_drop(worker(), file);
}

static void a_file_shorter_than_promised_is_an_error(void **state)
{
    struct record_head *head = record_begin(record);
    int file = file_of(0, 50);
    (void)state;

    worker_file_use(worker(), file);
    conn_put_file(worker(), head, file, 0, 51);
    record_commit(record);
    assert_int_equal(conn_flush(worker(), record), ERR_IO);
    assert_int_equal(record->tx, 50);
    worker_file_drop(worker(), file);
    conn_close(worker(), record);
    assert_int_equal(worker()->files, 0);
}

/* --- ends --- */

static void a_peer_that_is_gone_is_told_as_reset(void **state)
{
    const struct linger at_once = {1, 0};
    (void)state;

    say(0, 1);
    assert_int_equal(setsockopt(client, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
    fd_close(&client);
    assert_true(rig_await(server_fd(), POLLHUP));
    put(0, 10, 0);
    assert_int_equal(conn_flush(worker(), record), ERR_RESET);
    conn_close(worker(), record);
    assert_int_equal(worker()->blocks.in_use, 0);
}

static void after_our_end_input_is_read_and_forgotten(void **state)
{
    char byte;
    (void)state;

    conn_shut(record, (uint32_t)server_fd());
    assert_int_equal(record_head(record)->shut, 1);
    assert_true(rig_await(client, POLLIN));
    assert_int_equal(recv(client, &byte, 1, 0), 0);
    say(0, 20000);
    assert_int_equal(conn_discard(worker(), record), 0);
    assert_int_equal(record->rx, 0);
    fd_close(&client);
    assert_true(rig_await(server_fd(), POLLHUP));
    assert_int_equal(conn_discard(worker(), record), ERR_CLOSED);
}

static void without_a_block_nothing_is_received_or_made(void **state)
{
    struct record_head *head;
    int64_t block;
    (void)state;

    while ((block = blocks_take(&worker()->blocks)) >= 0)
        ;
    say(0, 10);
    assert_int_equal(conn_fill(worker(), record), ERR_NO_MEMORY);
    assert_int_equal(record->rx, 0);
    head = record_begin(record);
    assert_int_equal(conn_put(worker(), record, head, SLICE_LITERAL("x")), ERR_NO_MEMORY);
    assert_int_equal(record_head(record)->in_block, 0);
    blocks_give(&worker()->blocks, 3);
    assert_int_equal(conn_fill(worker(), record), 10);
}

#define CASE(test)                                                                                           \
    cmocka_unit_test_setup_teardown(test, setup, teardown),                                                  \
    {                                                                                                        \
#test " (tcp)", test, setup_tcp, teardown, NULL                                                      \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(input_is_what_was_received_and_not_taken),
        CASE(a_full_ring_takes_no_more_and_a_wrapped_one_can_be_read_whole),
        CASE(the_end_of_input_is_remembered),
        CASE(output_is_all_or_nothing_and_goes_round_the_ring),
        CASE(what_the_socket_does_not_take_stays_in_the_ring),
        CASE(a_segment_is_filled_up_only_while_more_is_likely_to_follow),
        CASE(a_peer_has_never_taken_more_than_was_sent),
        CASE(a_file_goes_out_behind_what_was_put_and_is_let_go),
        CASE(a_fast_reader_gives_others_their_turn),
        CASE(a_file_shorter_than_promised_is_an_error),
        CASE(a_peer_that_is_gone_is_told_as_reset),
        CASE(after_our_end_input_is_read_and_forgotten),
        CASE(without_a_block_nothing_is_received_or_made),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
