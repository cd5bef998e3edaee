/* ledger_settle: a worker has done one I/O and died before it could note it. First as single cases, then with real
 * deaths: a child that shares the arena works on a stream and is killed at any time. */
#include "core/ledger.h"

#include "base/fd.h"
#include "pair.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define RECORDS 512u
#define KILLS 60

static struct arena arena;
static struct pair the_pair;
static struct record *record;
static struct intent *intent;
static int file_fd;

static int setup(void **state)
{
    (void)state;
    file_fd = fd_memfd("file", 1 << 20, 0);
    if (file_fd < 0 || arena_create(&arena, 0, 1, RECORDS))
        return -1;
    intent = &arena.core->intents[0];
    return arena_record_reserve(&arena, RECORDS - 1) || arena_block_reserve(&arena, 1);
}

static int teardown(void **state)
{
    (void)state;
    pair_close(&the_pair);
    fd_close(&file_fd);
    arena_close(&arena);
    return 0;
}

static void begin(int family)
{
    struct record_head *head;

    assert_int_equal(pair_open(&the_pair, family), 0);
    record = arena_record(&arena, (uint32_t)the_pair.server.fd);
    memset(record, 0, sizeof *record);
    record->magic = RECORD_MAGIC;
    record->life = RECORD_OPEN;
    record->kind = family == AF_UNIX ? RECORD_UNIX : RECORD_TCP_ACCEPTED;
    head = record_begin(record);
    head->in_block = 1;
    head->made = 1 << 30; /* more output is decided than any case sends */
    head->file_fd = -1;
    record_commit(record);
    memset(intent, 0, sizeof *intent);
    intent->record = (uint32_t)the_pair.server.fd + 1;
}

static int settle(void)
{
    return ledger_settle(&arena, intent, record);
}

/* --- TCP --- */

static void an_untouched_record_settles_to_itself(void **state)
{
    (void)state;
    begin(AF_INET);
    assert_int_equal(settle(), 0);
    end_send(&the_pair.client, 500, 0);
    end_await_unread(&the_pair.server, 500);
    assert_int_equal(settle(), 0);
    assert_int_equal(record->rx, 0);
    assert_int_equal(record->tx, 0);
}

static void bytes_received_and_not_noted_are_noted(void **state)
{
    (void)state;
    begin(AF_INET);
    end_send(&the_pair.client, 500, 0);
    end_receive(&the_pair.server, 123);
    assert_int_equal(settle(), 1);
    assert_int_equal(record->rx, 123);
    assert_int_equal(settle(), 0); /* the next revival finds it settled */
}

static void bytes_sent_and_not_noted_are_noted(void **state)
{
    (void)state;
    begin(AF_INET);
    end_send(&the_pair.server, 4321, 0);
    assert_int_equal(settle(), 1);
    assert_int_equal(record->tx, 4321);
    end_send(&the_pair.server, 9, 0);
    end_send(&the_pair.client, 7, 0);
    end_receive(&the_pair.server, 7);
    assert_int_equal(settle(), 2);
    assert_int_equal(record->tx, 4330);
    assert_int_equal(record->rx, 7);
}

static void more_than_the_ring_could_take_cannot_be_settled(void **state)
{
    (void)state;
    begin(AF_INET);
    end_send(&the_pair.client, ARENA_BLOCK_SIZE + 1, 0);
    end_receive(&the_pair.server, ARENA_BLOCK_SIZE);
    assert_int_equal(settle(), 1);
    end_receive(&the_pair.server, 1);
    assert_int_equal(settle(), ERR_INVALID);
}

static void without_a_ring_nothing_can_have_been_received(void **state)
{
    (void)state;
    begin(AF_INET);
    record_begin(record)->in_block = 0;
    record_commit(record);
    end_send(&the_pair.client, 1, 0);
    assert_int_equal(settle(), 0);
    end_receive(&the_pair.server, 1);
    assert_int_equal(settle(), ERR_INVALID);
}

static void more_than_was_made_cannot_have_been_sent(void **state)
{
    (void)state;
    begin(AF_INET);
    record_begin(record)->made = 99;
    record_commit(record);
    end_send(&the_pair.server, 99, 0);
    assert_int_equal(settle(), 1);
    end_send(&the_pair.server, 1, 0);
    assert_int_equal(settle(), ERR_INVALID);
}

static void a_kernel_that_is_behind_the_record_cannot_be_settled(void **state)
{
    (void)state;
    begin(AF_INET);
    record->rx = 1;
    assert_int_equal(settle(), ERR_INVALID);
    record->rx = 0;
    record->tx = 1;
    assert_int_equal(settle(), ERR_INVALID);
}

static void a_connection_that_we_have_shut_is_not_counted(void **state)
{
    (void)state;
    begin(AF_INET);
    record_begin(record)->shut = 1;
    record_commit(record);
    end_shut(&the_pair.server);
    end_send(&the_pair.client, 100, 0);
    end_receive(&the_pair.server, 100);
    assert_int_equal(settle(), 0);
}

static void counters_known_to_lie_are_not_asked(void **state)
{
    (void)state;
    begin(AF_INET);
    arena.core->counters_lie = 1;
    assert_int_equal(settle(), ERR_UNSUPPORTED);
}

static void a_descriptor_that_is_gone_is_an_error(void **state)
{
    (void)state;
    begin(AF_INET);
    fd_close(&the_pair.server.fd);
    assert_int_equal(settle(), ERR_INVALID);
}

static void our_syn_is_no_byte_of_a_connection_that_we_made(void **state)
{
    struct record *ours;
    (void)state;

    begin(AF_INET);
    ours = arena_record(&arena, (uint32_t)the_pair.client.fd);
    memcpy(ours, record, sizeof *ours);
    ours->kind = RECORD_TCP_CONNECTED;
    assert_int_equal(ledger_settle(&arena, intent, ours), 0);
    end_send(&the_pair.client, 31, 0);
    assert_int_equal(ledger_settle(&arena, intent, ours), 1);
    assert_int_equal(ours->tx, 31);
}

/* --- the message ledger --- */

/* What the intent of an I/O looks like when the system call has returned and nothing else has happened. */
static void announce(enum intent_call call, uint64_t base, unsigned count)
{
    intent->base = base;
    intent->message.msg_len = count;
    intent->call = call;
}

static void a_message_call_that_never_returned_has_done_nothing(void **state)
{
    (void)state;
    begin(AF_UNIX);
    record->rx = record->tx = 1000;
    announce(INTENT_RECEIVE, 1000, INTENT_UNTOUCHED);
    assert_int_equal(settle(), 0);
    announce(INTENT_SEND, 1000, INTENT_UNTOUCHED);
    assert_int_equal(settle(), 0);
    assert_int_equal(record->rx, 1000);
    assert_int_equal(record->tx, 1000);
}

static void a_message_call_is_noted_once(void **state)
{
    (void)state;
    begin(AF_UNIX);
    record->rx = record->tx = 1000;
    announce(INTENT_RECEIVE, 1000, 70);
    assert_int_equal(settle(), 1);
    assert_int_equal(settle(), 0);
    assert_int_equal(record->rx, 1070);
    announce(INTENT_SEND, 1000, 80);
    assert_int_equal(settle(), 1);
    assert_int_equal(settle(), 0);
    assert_int_equal(record->tx, 1080);
}

static void a_file_sent_to_a_unix_socket_is_noted_by_its_offset(void **state)
{
    (void)state;
    begin(AF_UNIX);
    record->tx = 50;
    announce(INTENT_SENDFILE, 50, 0);
    intent->file_start = 10;
    intent->file_offset = 4010;
    assert_int_equal(settle(), 1);
    assert_int_equal(record->tx, 4050);
    assert_int_equal(settle(), 0);
}

static void without_an_intent_nothing_is_settled(void **state)
{
    (void)state;
    begin(AF_UNIX);
    announce(INTENT_NOTHING, 5, 70);
    assert_int_equal(settle(), 0);
    assert_int_equal(record->rx, 0);
}

/* --- the calls themselves --- */

static void calls_count(int family)
{
    char bytes[100];
    int fd;

    begin(family);
    fd = the_pair.server.fd;
    assert_int_equal(ledger_receive(intent, record, fd, bytes, sizeof bytes), -EAGAIN);
    end_send(&the_pair.client, 150, 0);
    end_await_unread(&the_pair.server, 150);
    assert_int_equal(ledger_receive(intent, record, fd, bytes, sizeof bytes), 100);
    assert_int_equal(ledger_receive(intent, record, fd, bytes, sizeof bytes), 50);
    assert_int_equal(record->rx, 150);
    assert_int_equal(ledger_send(intent, record, fd, bytes, 40, 1), 40);
    assert_int_equal(ledger_sendfile(intent, record, fd, file_fd, 5000, 1000), 1000);
    assert_int_equal(ledger_sendfile(intent, record, fd, file_fd, 1 << 20, 1000), 0); /* behind its end */
    assert_int_equal(record->tx, 1040);
    assert_int_equal(intent->call, INTENT_NOTHING);
    end_receive(&the_pair.client, 1040);
    assert_int_equal(settle(), 0);
    end_shut(&the_pair.client);
    end_await(&the_pair.server, POLLRDHUP);
    assert_int_equal(ledger_receive(intent, record, fd, bytes, sizeof bytes), 0);
    fd_close(&the_pair.client.fd);
    assert_int_equal(record->rx, 150);
}

static void each_call_counts_what_it_moved(void **state)
{
    (void)state;
    calls_count(AF_INET);
    pair_close(&the_pair);
    calls_count(AF_UNIX);
    assert_int_equal(ledger_send(intent, record, the_pair.server.fd, "x", 1, 0), -EPIPE); /* and no SIGPIPE */
}

/* --- real deaths --- */

static char pattern(uint64_t offset)
{
    return (char)(offset * 7 + offset / 251);
}

static void fill_pattern(char *bytes, uint64_t from, size_t length)
{
    for (size_t i = 0; i < length; i++)
        bytes[i] = pattern(from + i);
}

/* The worker: receives into its ring and forgets the ring's beginning, for ever. */
_Noreturn static void receive_for_ever(void)
{
    char *ring = arena_block(&arena, 0);
    int fd = the_pair.server.fd;

    for (;;) {
        uint64_t at = record->rx % ARENA_BLOCK_SIZE;
        struct record_head *head = record_begin(record);

        head->taken = record->rx;
        record_commit(record);
        (void)ledger_receive(intent, record, fd, ring + at, ARENA_BLOCK_SIZE - at);
    }
}

/* What is sent: 512 KiB over and over. */
#define ROUND (1u << 19)
#define PIECE 3000u
static char sent[ROUND + PIECE];

/* The worker: sends from memory and from the file in turn, for ever. */
_Noreturn static void send_for_ever(void)
{
    for (unsigned i = 0;; i++) {
        uint64_t at = record->tx % ROUND;

        if (i % 2)
            (void)ledger_send(intent, record, the_pair.server.fd, sent + at, PIECE, 0);
        else
            (void)ledger_sendfile(intent, record, the_pair.server.fd, file_fd, at, PIECE);
    }
}

static pid_t start_worker(void (*work)(void))
{
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0)
        work();
    return pid;
}

static void kill_worker(pid_t pid)
{
    int status;

    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WTERMSIG(status), SIGKILL);
}

static void send_pattern(size_t length)
{
    static char bytes[65536];

    fill_pattern(bytes, the_pair.client.tx, length);
    end_await(&the_pair.client, POLLOUT);
    ssize_t count = send(the_pair.client.fd, bytes, length, MSG_NOSIGNAL);

    assert_true(count > 0);
    the_pair.client.tx += (uint64_t)count;
}

/* Every byte up to rx is in the ring (as far as the ring reaches back), and the next one to receive is rx's. */
static void assert_received_exactly(void)
{
    const char *ring = arena_block(&arena, 0);
    uint64_t from = record->rx > ARENA_BLOCK_SIZE / 2 ? record->rx - ARENA_BLOCK_SIZE / 2 : 0;
    char next;

    for (uint64_t at = from; at < record->rx; at++)
        assert_int_equal(ring[at % ARENA_BLOCK_SIZE], pattern(at));
    if (record->rx == the_pair.client.tx)
        return;
    end_await(&the_pair.server, POLLIN); /* the last ones may still be on their way */
    assert_int_equal(recv(the_pair.server.fd, &next, 1, MSG_PEEK | MSG_DONTWAIT), 1);
    assert_int_equal(next, pattern(record->rx));
}

static void deaths_while_receiving(int family)
{
    begin(family);
    for (int i = 0; i < (unit_is_under_valgrind() ? KILLS / 10 : KILLS); i++) {
        pid_t pid = start_worker(receive_for_ever);
        uint64_t before = record->rx;

        while (record->rx < before + (uint64_t)i * 1000 + 1) /* it got somewhere, each time elsewhere */
            send_pattern(1 + (size_t)i * 37 % 3000);
        kill_worker(pid);
        assert_in_range(settle(), 0, 1);
        assert_received_exactly();
        intent->call = INTENT_NOTHING;
    }
}

static void a_receiver_may_be_killed_at_any_time_on_tcp(void **state)
{
    (void)state;
    deaths_while_receiving(AF_INET);
}

static void a_receiver_may_be_killed_at_any_time_on_a_unix_socket(void **state)
{
    (void)state;
    deaths_while_receiving(AF_UNIX);
}

/* Takes what is there and compares it. */
static void receive_and_compare(void)
{
    static char bytes[65536];
    ssize_t count = recv(the_pair.client.fd, bytes, sizeof bytes, MSG_DONTWAIT);

    for (ssize_t i = 0; i < count; i++)
        assert_int_equal(bytes[i], sent[(the_pair.client.rx + (uint64_t)i) % ROUND]);
    if (count > 0)
        the_pair.client.rx += (uint64_t)count;
}

static void deaths_while_sending(int family)
{
    fill_pattern(sent, 0, ROUND);
    fill_pattern(sent + ROUND, 0, PIECE);
    assert_int_equal(pwrite(file_fd, sent, sizeof sent, 0), sizeof sent);
    begin(family);
    for (int i = 0; i < (unit_is_under_valgrind() ? KILLS / 10 : KILLS); i++) {
        uint64_t until = the_pair.client.rx + (uint64_t)i * 997 + 1;
        pid_t pid = start_worker(send_for_ever);

        while (the_pair.client.rx < until) {
            end_await(&the_pair.client, POLLIN);
            receive_and_compare();
        }
        kill_worker(pid);
        assert_in_range(settle(), 0, 1);
        intent->call = INTENT_NOTHING;
        while (the_pair.client.rx < record->tx) { /* all that it counted arrives */
            end_await(&the_pair.client, POLLIN);
            receive_and_compare();
        }
        assert_int_equal(the_pair.client.rx, record->tx); /* and nothing else */
    }
}

static void a_sender_may_be_killed_at_any_time_on_tcp(void **state)
{
    (void)state;
    deaths_while_sending(AF_INET);
}

static void a_sender_may_be_killed_at_any_time_on_a_unix_socket(void **state)
{
    (void)state;
    deaths_while_sending(AF_UNIX);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(an_untouched_record_settles_to_itself),
        CASE(bytes_received_and_not_noted_are_noted),
        CASE(bytes_sent_and_not_noted_are_noted),
        CASE(more_than_the_ring_could_take_cannot_be_settled),
        CASE(without_a_ring_nothing_can_have_been_received),
        CASE(more_than_was_made_cannot_have_been_sent),
        CASE(a_kernel_that_is_behind_the_record_cannot_be_settled),
        CASE(a_connection_that_we_have_shut_is_not_counted),
        CASE(counters_known_to_lie_are_not_asked),
        CASE(a_descriptor_that_is_gone_is_an_error),
        CASE(our_syn_is_no_byte_of_a_connection_that_we_made),
        CASE(a_message_call_that_never_returned_has_done_nothing),
        CASE(a_message_call_is_noted_once),
        CASE(a_file_sent_to_a_unix_socket_is_noted_by_its_offset),
        CASE(without_an_intent_nothing_is_settled),
        CASE(each_call_counts_what_it_moved),
        CASE(a_receiver_may_be_killed_at_any_time_on_tcp),
        CASE(a_receiver_may_be_killed_at_any_time_on_a_unix_socket),
        CASE(a_sender_may_be_killed_at_any_time_on_tcp),
        CASE(a_sender_may_be_killed_at_any_time_on_a_unix_socket),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
