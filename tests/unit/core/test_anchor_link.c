#include "core/anchor_link.h"

#include "base/fd.h"
#include "base/packet.h"
#include "unit.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static struct anchor_link the_link;
static int anchor_end;

static int setup(void **state)
{
    int pair[2];
    (void)state;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
        return -1;
    anchor_end = pair[1];
    return anchor_link_init(&the_link, pair[0]);
}

static int teardown(void **state)
{
    (void)state;
    anchor_link_fini(&the_link);
    fd_close(&anchor_end);
    return 0;
}

/* The anchor says this; an answer may lie there before its question is asked, whose serial counts from 1. */
static void say(unsigned type, uint64_t serial, const void *payload, size_t length, int fd)
{
    uint8_t bytes[WIRE_PACKET_MAX];
    wire_header_put(bytes, WIRE_OK, (uint32_t)length, serial);
    wire_put_u16(bytes + 6, (uint16_t)type);
    if (length)
        memcpy(bytes + WIRE_HEADER_SIZE, payload, length);
    assert_int_equal(packet_send(anchor_end, bytes, WIRE_HEADER_SIZE + length, fd), 0);
}

static void say_error(uint64_t serial, int error, const char *text)
{
    uint8_t payload[256];
    wire_put_u32(payload, (uint32_t)error);
    memcpy(payload + 4, text, strlen(text));
    say(WIRE_ERROR, serial, payload, 4 + strlen(text), -1);
}

static void say_status(uint64_t seq, int pid)
{
    uint8_t payload[WIRE_STATUS_SIZE];
    wire_put_u64(payload, seq);
    wire_put_u32(payload + 8, (uint32_t)pid);
    wire_put_u32(payload + 12, 2);
    wire_put_u32(payload + 16, 9);
    wire_put_u32(payload + 20, 1);
    say(WIRE_STATUS, 0, payload, sizeof payload, -1);
}

static void say_signal(uint64_t seq, int number)
{
    uint8_t payload[WIRE_SIGNAL_SIZE];
    wire_put_u64(payload, seq);
    wire_put_u32(payload + 8, (uint32_t)number);
    say(WIRE_SIGNAL, 0, payload, sizeof payload, -1);
}

/* What the master has sent: the type, with the payload as text and the descriptor, which is closed. */
static unsigned hear(uint8_t payload[WIRE_PAYLOAD_MAX + 1], uint32_t *length, int *had_fd)
{
    uint8_t bytes[WIRE_PACKET_MAX];
    struct packet packet;
    struct wire_header header;
    if (packet_receive(anchor_end, bytes, sizeof bytes, &packet))
        return 0;
    assert_true(wire_header_get(bytes, packet.length, &header));
    memcpy(payload, bytes + WIRE_HEADER_SIZE, header.length);
    payload[header.length] = 0;
    *length = header.length;
    *had_fd = packet.fd >= 0;
    fd_close(&packet.fd);
    return header.type;
}

static void assert_heard(unsigned type, const void *payload, size_t length, int with_fd)
{
    uint8_t got[WIRE_PAYLOAD_MAX + 1];
    uint32_t got_length = 0;
    int had_fd = 0;
    assert_int_equal(hear(got, &got_length, &had_fd), type);
    assert_int_equal(got_length, length);
    assert_memory_equal(got, payload, length);
    assert_int_equal(had_fd, with_fd);
}

static void each_request_is_sent_as_the_format_says(void **state)
{
    pid_t pid = 0;
    int fd = -1;
    (void)state;
    for (uint64_t serial = 1; serial <= 9; serial++)
        say(WIRE_OK, serial, "\x39\x30\0\0", serial == 4 ? 4 : 0, serial == 2 ? 0 : -1);
    assert_int_equal(anchor_link_put(&the_link, "listener:1", 0), 0);
    assert_heard(WIRE_PUT, "listener:1", 10, 1);
    assert_int_equal(anchor_link_get(&the_link, "listener:1", &fd), 0);
    assert_heard(WIRE_GET, "listener:1", 10, 0);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    fd_close(&fd);
    assert_int_equal(anchor_link_del(&the_link, "listener:1"), 0);
    assert_heard(WIRE_DEL, "listener:1", 10, 0);
    assert_int_equal(anchor_link_start(&the_link, NULL, &pid), 0);
    assert_heard(WIRE_START, "", 0, 0);
    assert_int_equal(pid, 12345);
    assert_int_equal(anchor_link_command(&the_link, 258), 0);
    assert_heard(WIRE_COMMAND, "\2\1\0\0", 4, 0);
    assert_int_equal(anchor_link_image(&the_link, WIRE_IMAGE_GOOD, "image:1"), 0);
    assert_heard(WIRE_IMAGE, "\2image:1", 8, 0);
    assert_int_equal(anchor_link_notify(&the_link, "READY=1"), 0);
    assert_heard(WIRE_NOTIFY, "READY=1", 7, 0);
    assert_int_equal(anchor_link_ack(&the_link, 3), 0);
    assert_heard(WIRE_ACK, "\3\0\0\0\0\0\0\0", 8, 0);
    assert_int_equal(anchor_link_exit(&the_link, 7), 0);
    assert_heard(WIRE_EXIT, "\7\0\0\0", 4, 0);
}

static void arguments_that_cannot_be_right_are_not_even_sent(void **state)
{
    char name[WIRE_NAME_MAX + 2];
    static char text[WIRE_PAYLOAD_MAX + 2];
    uint8_t payload[WIRE_PAYLOAD_MAX + 1];
    uint32_t length;
    int fd;
    pid_t pid;
    (void)state;
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = 0;
    memset(text, 't', sizeof text - 1);
    assert_int_equal(anchor_link_put(&the_link, name, 0), ERR_INVALID);
    assert_int_equal(anchor_link_put(&the_link, "name", -1), ERR_INVALID);
    assert_int_equal(anchor_link_get(&the_link, "", &fd), ERR_INVALID);
    assert_int_equal(anchor_link_del(&the_link, "two words"), ERR_INVALID);
    assert_int_equal(anchor_link_start(&the_link, name, &pid), ERR_INVALID);
    assert_int_equal(anchor_link_image(&the_link, WIRE_IMAGE_TRY, name), ERR_INVALID);
    assert_int_equal(anchor_link_list(&the_link, name, NULL, NULL), ERR_INVALID);
    assert_int_equal(anchor_link_notify(&the_link, ""), ERR_INVALID);
    assert_int_equal(anchor_link_notify(&the_link, text), ERR_INVALID);
    assert_int_equal(hear(payload, &length, &fd), 0);
}

static void an_error_is_returned_with_the_anchors_words(void **state)
{
    (void)state;
    say_error(1, ERR_BUSY, "two masters are running");
    say(WIRE_OK, 2, NULL, 0, -1);
    pid_t pid;
    assert_int_equal(anchor_link_start(&the_link, "image:1", &pid), ERR_BUSY);
    assert_string_equal(the_link.error_text, "two masters are running");
    assert_int_equal(anchor_link_ack(&the_link, 1), 0); /* it was not final */
    assert_string_equal(the_link.error_text, "");
}

static void the_answer_to_hello_is_read_whole(void **state)
{
    struct anchor_hello hello;
    uint8_t payload[200] = {1, 0, 3, 0};
    (void)state;
    wire_put_u32(payload + 4, 100);
    wire_put_u32(payload + 8, 200);
    wire_put_u32(payload + 12, 300);
    wire_put_u64(payload + 16, 1ULL << 40);
    wire_put_u64(payload + 24, 17);
    memcpy(payload + 32, "\7\7\0image:1image:0", 17);
    say(WIRE_OK, 1, payload, 49, -1);
    assert_int_equal(anchor_link_hello(&the_link, &hello), 0);
    assert_heard(WIRE_HELLO, "\1\0\1\0", 4, 0);
    assert_true(hello.in_command && hello.ready_before);
    assert_int_equal(hello.anchor, 100);
    assert_int_equal(hello.self, 200);
    assert_int_equal(hello.other, 300);
    assert_true(hello.epoch == 1ULL << 40);
    assert_int_equal(hello.started, 17);
    assert_string_equal(hello.image, "image:1");
    assert_string_equal(hello.good, "image:0");
    assert_string_equal(hello.trying, "");
}

static void an_answer_to_hello_that_is_too_short_is_no_answer(void **state)
{
    uint8_t payload[40] = {1, 0, 0, 0};
    (void)state;
    payload[32] = 6; /* one more than is there */
    for (size_t length = 0; length <= sizeof payload; length++) {
        struct anchor_hello hello;
        say(WIRE_OK, 1, payload, length, -1);
        assert_int_equal(anchor_link_hello(&the_link, &hello), ERR_PROTOCOL);
        assert_int_equal(anchor_link_hello(&the_link, &hello), ERR_PROTOCOL); /* and that is final */
        assert_int_equal(teardown(state) | setup(state), 0);
    }
}

struct listing {
    char text[200];
    int left;
};

static int add_name(void *arg, const char *name)
{
    struct listing *listing = arg;
    strcat(listing->text, name);
    strcat(listing->text, " ");
    return --listing->left ? 0 : 77;
}

static void a_list_is_asked_for_page_by_page_until_its_end_or_the_callbacks_word(void **state)
{
    struct listing all = {.left = 100}, some = {.left = 2};
    (void)state;
    say(WIRE_OK, 1, "\5\0\0\0\1a\2bb", 9, -1);
    say(WIRE_OK, 2, "\0\0\0\0\3ccc", 8, -1);
    say(WIRE_OK, 3, "\5\0\0\0\1a\2bb", 9, -1);
    assert_int_equal(anchor_link_list(&the_link, "p", add_name, &all), 0);
    assert_string_equal(all.text, "a bb ccc ");
    assert_heard(WIRE_LIST, "\0\0\0\0p", 5, 0);
    assert_heard(WIRE_LIST, "\5\0\0\0p", 5, 0);
    assert_int_equal(anchor_link_list(&the_link, "", add_name, &some), 77);
    assert_string_equal(some.text, "a bb ");
}

static void a_list_that_does_not_fit_together_is_refused(void **state)
{
    static const struct {
        const char *bytes;
        size_t length;
    } bad[] = {
        {"\0\0\0", 3}, {"\0\0\0\0\2a", 6}, {"\0\0\0\0\0", 5}, {"\0\0\0\0\1 ", 6}, {"\0\0\0\0\177x", 6}};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct listing listing = {.left = 100};
        say(WIRE_OK, 1, bad[i].bytes, bad[i].length, -1);
        assert_int_equal(anchor_link_list(&the_link, "", add_name, &listing), ERR_PROTOCOL);
        assert_int_equal(teardown(state) | setup(state), 0);
    }
    struct listing listing = {.left = 100};
    say(WIRE_OK, 1, "\5\0\0\0", 4, -1);
    say(WIRE_OK, 2, "\5\0\0\0", 4, -1); /* a cursor that does not move would go on for ever */
    assert_int_equal(anchor_link_list(&the_link, "", add_name, &listing), ERR_PROTOCOL);
}

static void events_that_come_during_a_request_are_kept_in_order(void **state)
{
    struct anchor_event event;
    (void)state;
    say_status(1, 500);
    say(WIRE_COMMANDED, 0, "\4\0\0\0\0\0\0\0", 8, -1);
    say(WIRE_OK, 1, NULL, 0, -1);
    say_signal(2, 15);
    assert_int_equal(anchor_link_ack(&the_link, 9), 0);
    assert_int_equal(anchor_link_next(&the_link, &event), 0);
    assert_int_equal(event.type, ANCHOR_EVENT_STATUS);
    assert_int_equal(event.seq, 1);
    assert_int_equal(event.pid, 500);
    assert_int_equal(event.code, 2);
    assert_int_equal(event.status, 9);
    assert_true(event.was_master);
    assert_int_equal(anchor_link_next(&the_link, &event), 0);
    assert_int_equal(event.type, ANCHOR_EVENT_COMMAND);
    assert_int_equal(event.epoch, 4);
    assert_int_equal(anchor_link_next(&the_link, &event), 0);
    assert_int_equal(event.type, ANCHOR_EVENT_SIGNAL);
    assert_int_equal(event.signal, 15);
    assert_int_equal(event.seq, 2);
    assert_int_equal(anchor_link_next(&the_link, &event), ERR_AGAIN);
}

static void pings_are_answered_inside_by_whatever_reads_them(void **state)
{
    struct anchor_event event;
    (void)state;
    say(WIRE_PING, 0, "\1\0\0\0\0\0\0\0", 8, -1);
    assert_int_equal(anchor_link_next(&the_link, &event), ERR_AGAIN);
    assert_heard(WIRE_PONG, "\1\0\0\0\0\0\0\0", 8, 0);
    say(WIRE_PING, 0, "\2\0\0\0\0\0\0\0", 8, -1);
    say(WIRE_OK, 1, NULL, 0, -1);
    assert_int_equal(anchor_link_del(&the_link, "x"), 0);
    assert_heard(WIRE_DEL, "x", 1, 0);
    assert_heard(WIRE_PONG, "\2\0\0\0\0\0\0\0", 8, 0);
}

static void unknown_events_and_late_answers_are_skipped_without_a_leak(void **state)
{
    struct anchor_event event;
    int before = open("/dev/null", O_RDONLY | O_CLOEXEC);
    (void)state;
    close(before);
    say(200, 0, "new", 3, 0);
    say(WIRE_STATUS, 0, "short", 5, 0);
    say(WIRE_OK, 77, NULL, 0, 0);
    say_error(76, ERR_BUSY, "late");
    say(WIRE_OK, 1, NULL, 0, 0); /* a descriptor that was not asked for */
    assert_int_equal(anchor_link_del(&the_link, "x"), 0);
    say(WIRE_OK, 1, NULL, 0, 0);
    assert_int_equal(anchor_link_next(&the_link, &event), ERR_AGAIN);
    int after = open("/dev/null", O_RDONLY | O_CLOEXEC);
    close(after);
    assert_int_equal(after, before);
}

static void an_anchor_that_is_gone_is_told_once_its_last_words_are_read(void **state)
{
    struct anchor_event event;
    (void)state;
    say_signal(1, 15);
    fd_close(&anchor_end);
    assert_int_equal(anchor_link_next(&the_link, &event), 0);
    assert_int_equal(anchor_link_next(&the_link, &event), ERR_CLOSED);
    assert_int_equal(anchor_link_ack(&the_link, 1), ERR_CLOSED);
    assert_int_equal(anchor_link_next(&the_link, &event), ERR_CLOSED);
}

static void what_is_no_message_is_refused_for_good(void **state)
{
    struct anchor_event event;
    (void)state;
    assert_int_equal(packet_send(anchor_end, "garbage that is longer than a header", 36, 0), 0);
    say_signal(1, 15);
    assert_int_equal(anchor_link_next(&the_link, &event), ERR_PROTOCOL);
    assert_int_equal(anchor_link_next(&the_link, &event), ERR_PROTOCOL);
}

static void more_events_than_an_anchor_ever_sends_are_refused(void **state)
{
    (void)state;
    for (uint64_t seq = 1; seq <= ANCHOR_LINK_EVENTS + 1; seq++)
        say_signal(seq, 1);
    assert_int_equal(anchor_link_ack(&the_link, 1), ERR_PROTOCOL);
}

static void a_descriptor_that_finds_no_room_here_is_an_error_that_is_not_final(void **state)
{
    struct rlimit limit, tight;
    int fd = -1, next;
    (void)state;
    if (unit_is_under_valgrind())
        skip(); /* valgrind has a limit of descriptors of its own */
    next = open("/dev/null", O_RDONLY | O_CLOEXEC);
    close(next);
    say(WIRE_OK, 1, NULL, 0, 0);
    say(WIRE_OK, 2, NULL, 0, 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    tight = (struct rlimit){(rlim_t)next, limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
    int error = anchor_link_get(&the_link, "x", &fd);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(error, ERR_NO_DESCRIPTORS);
    assert_int_equal(fd, -1);
    assert_int_equal(anchor_link_get(&the_link, "x", &fd), 0);
    close(fd);
}

static void an_anchor_that_does_not_answer_is_given_up_for_this_request_only(void **state)
{
    struct anchor_event event;
    (void)state;
    the_link.timeout_ms = 20;
    say_signal(1, 15);
    assert_int_equal(anchor_link_ack(&the_link, 1), ERR_TIMEOUT);
    say(WIRE_OK, 1, NULL, 0, -1); /* too late */
    say_error(2, ERR_NOT_FOUND, "the second");
    assert_int_equal(anchor_link_ack(&the_link, 1), ERR_NOT_FOUND);
    assert_int_equal(anchor_link_next(&the_link, &event), 0); /* nothing is lost over it */
    assert_int_equal(event.signal, 15);
}

static void an_anchor_that_does_not_read_is_given_up_too(void **state)
{
    struct packet full = {.fd = -1};
    (void)state;
    the_link.timeout_ms = 20;
    while (packet_send(the_link.fd, &full, sizeof full, -1) == 0)
        ;
    assert_int_equal(anchor_link_ack(&the_link, 1), ERR_TIMEOUT);
    assert_int_equal(the_link.error, 0);
}

static void random_messages_neither_crash_nor_leak(void **state)
{
    static const unsigned types[] = {WIRE_OK,        WIRE_ERROR, WIRE_STATUS, WIRE_SIGNAL,
                                     WIRE_COMMANDED, WIRE_PING,  7,           999};
    unsigned seed = 20260131;
    int before = open("/dev/null", O_RDONLY | O_CLOEXEC);
    close(before);
    for (int i = 0; i < 5000; i++) {
        uint8_t bytes[WIRE_PACKET_MAX + 64], sink[WIRE_PACKET_MAX];
        struct anchor_event event;
        struct anchor_hello hello;
        struct packet packet;
        size_t length = (size_t)rand_r(&seed) % (rand_r(&seed) % 4 ? 64 : WIRE_PAYLOAD_MAX + 40);
        the_link.timeout_ms = 5; /* a list may ask for a second page, which nobody answers */
        wire_header_put(bytes, WIRE_OK, (uint32_t)length, the_link.serial + 1);
        wire_put_u16(bytes + 6, (uint16_t)types[(unsigned)rand_r(&seed) % 8]);
        for (size_t at = 0; at < length; at++)
            bytes[WIRE_HEADER_SIZE + at] = (uint8_t)(rand_r(&seed) % 3 ? rand_r(&seed) : 0);
        if (rand_r(&seed) % 8 == 0)
            bytes[rand_r(&seed) % WIRE_HEADER_SIZE] ^= (uint8_t)rand_r(&seed);
        assert_int_equal(
            packet_send(anchor_end, bytes, WIRE_HEADER_SIZE + length, rand_r(&seed) % 4 ? -1 : 0), 0);
        say_error(the_link.serial + 1, ERR_BUSY, "the end"); /* so that no request waits in vain */
        struct listing listing = {.left = 1};
        int error = rand_r(&seed) % 2 ? anchor_link_hello(&the_link, &hello)
                                      : anchor_link_list(&the_link, "", add_name, &listing);
        while (!error || error == ERR_BUSY || error == 77)
            error = anchor_link_next(&the_link, &event);
        while (packet_receive(anchor_end, sink, sizeof sink, &packet) == 0)
            fd_close(&packet.fd);
        if (the_link.error)
            assert_int_equal(teardown(state) | setup(state), 0);
        int after = open("/dev/null", O_RDONLY | O_CLOEXEC);
        close(after);
        assert_int_equal(after, before);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_request_is_sent_as_the_format_says),
        TEST(arguments_that_cannot_be_right_are_not_even_sent),
        TEST(an_error_is_returned_with_the_anchors_words),
        TEST(the_answer_to_hello_is_read_whole),
        TEST(an_answer_to_hello_that_is_too_short_is_no_answer),
        TEST(a_list_is_asked_for_page_by_page_until_its_end_or_the_callbacks_word),
        TEST(a_list_that_does_not_fit_together_is_refused),
        TEST(events_that_come_during_a_request_are_kept_in_order),
        TEST(pings_are_answered_inside_by_whatever_reads_them),
        TEST(unknown_events_and_late_answers_are_skipped_without_a_leak),
        TEST(an_anchor_that_is_gone_is_told_once_its_last_words_are_read),
        TEST(what_is_no_message_is_refused_for_good),
        TEST(more_events_than_an_anchor_ever_sends_are_refused),
        TEST(a_descriptor_that_finds_no_room_here_is_an_error_that_is_not_final),
        TEST(an_anchor_that_does_not_answer_is_given_up_for_this_request_only),
        TEST(an_anchor_that_does_not_read_is_given_up_too),
        TEST(random_messages_neither_crash_nor_leak),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
