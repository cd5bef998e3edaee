#include "anchor/requests.h"

#include "anchor/masters.h"
#include "base/fd.h"
#include "base/log.h"
#include "unit.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define FUZZ_MESSAGES 20000

static struct anchor anchor;
static int far_end[ANCHOR_MASTERS]; /* what the masters hold */
static pid_t stand_in[ANCHOR_MASTERS];

/* Gives a place a fresh link and a living process. */
static void seat_master(unsigned place)
{
    int pair[2];
    struct master *master = &anchor.masters[place];
    fd_close(&far_end[place]);
    if (master->pid)
        fd_close(&master->link);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    *master =
        (struct master){.pid = stand_in[place], .link = pair[0], .serial = ++anchor.started, .greeted = 1};
    memcpy(master->image, ANCHOR_FIRST_IMAGE, sizeof ANCHOR_FIRST_IMAGE);
    far_end[place] = pair[1];
}

static int setup(void **state)
{
    (void)state;
    memset(&anchor, 0, sizeof anchor);
    anchor.next_seq = 1;
    anchor.ready_fd = anchor.pid_fd = -1;
    names_init(&anchor.names, 100, ERR_LIMIT);
    memcpy(anchor.good, ANCHOR_FIRST_IMAGE, sizeof ANCHOR_FIRST_IMAGE);
    int image = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_int_equal(names_put(&anchor.names, ANCHOR_FIRST_IMAGE, &image, 0), 0);
    for (unsigned i = 0; i < ANCHOR_MASTERS; i++) {
        far_end[i] = anchor.masters[i].link = -1;
        stand_in[i] = fork();
        if (stand_in[i] == 0)
            for (;;)
                pause();
        seat_master(i);
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ANCHOR_MASTERS; i++) {
        fd_close(&far_end[i]);
        fd_close(&anchor.masters[i].link);
        kill(stand_in[i], SIGKILL);
        waitpid(stand_in[i], NULL, 0);
    }
    names_fini(&anchor.names);
    return 0;
}

static void say(unsigned place, unsigned type, const void *payload, size_t length, int fd)
{
    uint8_t bytes[WIRE_PACKET_MAX];
    wire_header_put(bytes, WIRE_HELLO, (uint32_t)length, 5);
    wire_put_u16(bytes + 6, (uint16_t)type);
    if (length)
        memcpy(bytes + WIRE_HEADER_SIZE, payload, length);
    assert_int_equal(packet_send(far_end[place], bytes, WIRE_HEADER_SIZE + length, fd), 0);
    masters_read(&anchor, &anchor.masters[place], 1);
}

/* The answer: 0 for OK, or the error. What came with OK is left in `payload`, *length bytes and *fd. */
static int heard(unsigned place, uint8_t payload[WIRE_PAYLOAD_MAX], uint32_t *length, int *fd)
{
    uint8_t bytes[WIRE_PACKET_MAX];
    struct packet packet;
    struct wire_header header;
    assert_int_equal(packet_receive(far_end[place], bytes, sizeof bytes, &packet), 0);
    assert_true(wire_header_get(bytes, packet.length, &header));
    assert_int_equal(header.serial, 5);
    if (fd)
        *fd = packet.fd;
    else
        assert_int_equal(packet.fd, -1);
    if (header.type == WIRE_ERROR) {
        assert_true(header.length > 4); /* there is a text */
        return (int)wire_get_u32(bytes + WIRE_HEADER_SIZE);
    }
    assert_int_equal(header.type, WIRE_OK);
    if (length)
        *length = header.length;
    if (payload)
        memcpy(payload, bytes + WIRE_HEADER_SIZE, header.length);
    return 0;
}

static int ask(unsigned place, unsigned type, const void *payload, size_t length, int fd)
{
    say(place, type, payload, length, fd);
    return heard(place, NULL, NULL, NULL);
}

static void the_rules_of_the_table_hold_before_any_request_is_looked_at(void **state)
{
    uint8_t zeros[WIRE_PAYLOAD_MAX] = {0};
    (void)state;
    anchor.masters[0].greeted = 0;
    assert_int_equal(ask(0, WIRE_LIST, zeros, 4, -1), ERR_PROTOCOL);
    anchor.masters[0].greeted = 1;
    assert_int_equal(ask(0, 0, NULL, 0, -1), ERR_UNSUPPORTED);
    assert_int_equal(ask(0, 5000, NULL, 0, 0), ERR_UNSUPPORTED);
    assert_int_equal(ask(0, WIRE_LIST, zeros, 3, -1), ERR_SYNTAX);
    assert_int_equal(ask(0, WIRE_LIST, zeros, 68, -1), ERR_SYNTAX);
    assert_int_equal(ask(0, WIRE_GET, "image:0", 7, 0), ERR_PROTOCOL);
    assert_int_equal(ask(0, WIRE_PUT, "name", 4, -1), ERR_PROTOCOL);
    const unsigned command_only[] = {WIRE_START, WIRE_COMMAND, WIRE_IMAGE, WIRE_NOTIFY, WIRE_ACK, WIRE_EXIT};
    const size_t length[] = {0, 4, 2, 1, 8, 4};
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(ask(1, command_only[i], zeros, length[i], -1), ERR_PERMISSION);
    assert_int_equal(ask(1, WIRE_LOG, NULL, 0, STDOUT_FILENO), ERR_PERMISSION);
    assert_int_equal(ask(0, WIRE_LOG, NULL, 0, -1), ERR_PROTOCOL);
    assert_false(anchor.leaving);
}

static void a_log_takes_the_place_of_standard_error(void **state)
{
    int before = dup(STDERR_FILENO), ends[2];
    char byte = 0;
    (void)state;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(ask(0, WIRE_LOG, NULL, 0, ends[1]), 0);
    fd_close(&ends[1]);
    assert_int_equal(write(STDERR_FILENO, "x", 1), 1);
    assert_int_equal(dup2(before, STDERR_FILENO), STDERR_FILENO);
    fd_close(&before);
    assert_int_equal(read(ends[0], &byte, 1), 1);
    assert_int_equal(byte, 'x');
    assert_int_equal(read(ends[0], &byte, 1), 0); /* nobody kept another copy */
    fd_close(&ends[0]);
}

static void a_pong_is_not_answered(void **state)
{
    uint8_t number[8];
    uint8_t bytes[WIRE_PACKET_MAX];
    struct packet packet;
    (void)state;
    anchor.masters[0].ping = 9;
    anchor.masters[0].ping_open = 1;
    wire_put_u64(number, 8);
    say(0, WIRE_PONG, number, sizeof number, -1);
    assert_true(anchor.masters[0].ping_open);
    wire_put_u64(number, 9);
    say(0, WIRE_PONG, number, sizeof number, -1);
    assert_false(anchor.masters[0].ping_open);
    assert_int_equal(packet_receive(far_end[0], bytes, sizeof bytes, &packet), ERR_AGAIN);
}

static void exit_is_noted_with_its_code_and_ends_the_reading(void **state)
{
    uint8_t code[4];
    (void)state;
    wire_put_u32(code, 256);
    assert_int_equal(ask(0, WIRE_EXIT, code, sizeof code, -1), ERR_INVALID);
    wire_put_u32(code, 255);
    assert_int_equal(ask(0, WIRE_EXIT, code, sizeof code, -1), 0);
    assert_true(anchor.leaving);
    assert_int_equal(anchor.exit_code, 255);
    assert_int_equal(masters_read(&anchor, &anchor.masters[0], 10), 0);
}

static void passing_command_makes_open_events_be_told_again(void **state)
{
    uint8_t pid[4];
    (void)state;
    anchor.deaths.told = anchor.signals.told = 1;
    wire_put_u32(pid, (uint32_t)stand_in[1]);
    anchor.masters[1].greeted = 0;
    assert_int_equal(ask(0, WIRE_COMMAND, pid, sizeof pid, -1), ERR_REFUSED);
    assert_int_equal(anchor.command, 0);
    anchor.masters[1].greeted = 1;
    assert_int_equal(ask(0, WIRE_COMMAND, pid, sizeof pid, -1), 0);
    assert_int_equal(anchor.command, 1);
    assert_int_equal(anchor.epoch, 1);
    assert_true(anchor.masters[1].tell_command);
    assert_false(anchor.deaths.told || anchor.signals.told);
    assert_int_equal(ask(0, WIRE_COMMAND, pid, sizeof pid, -1), ERR_PERMISSION);
}

static void only_the_depositor_or_the_one_in_command_replaces_and_deletes(void **state)
{
    (void)state;
    assert_int_equal(ask(0, WIRE_PUT, "old", 3, 0), 0);
    assert_int_equal(ask(1, WIRE_PUT, "old", 3, 0), ERR_PERMISSION);
    assert_int_equal(ask(1, WIRE_DEL, "old", 3, -1), ERR_PERMISSION);
    assert_int_equal(ask(1, WIRE_PUT, "new", 3, 0), 0);
    assert_int_equal(ask(1, WIRE_PUT, "new", 3, 0), 0);
    assert_int_equal(ask(0, WIRE_PUT, "new", 3, 0), 0);
    assert_int_equal(ask(1, WIRE_DEL, "new", 3, -1), ERR_PERMISSION); /* it is the other's now */
    assert_int_equal(ask(0, WIRE_DEL, "new", 3, -1), 0);
    seat_master(1); /* another master in the same place owns nothing of its predecessor */
    assert_int_equal(ask(1, WIRE_PUT, "old", 3, 0), ERR_PERMISSION);
}

static void names_that_masters_start_from_cannot_be_deleted(void **state)
{
    (void)state;
    assert_int_equal(ask(0, WIRE_PUT, "image:1", 7, 0), 0);
    assert_int_equal(ask(0, WIRE_IMAGE, "\1image:1", 8, -1), 0);
    assert_int_equal(ask(0, WIRE_DEL, "image:0", 7, -1), ERR_BUSY);
    assert_int_equal(ask(0, WIRE_DEL, "image:1", 7, -1), ERR_BUSY);
    assert_int_equal(ask(0, WIRE_IMAGE, "\2image:1", 8, -1), 0);
    assert_string_equal(anchor.good, "image:1");
    assert_string_equal(anchor.trying, "");
    assert_int_equal(ask(0, WIRE_DEL, "image:0", 7, -1), 0);
}

static void a_master_that_reads_nothing_is_read_no_more(void **state)
{
    uint8_t zeros[4] = {0};
    uint8_t bytes[WIRE_PACKET_MAX];
    struct packet packet;
    int asked = 0, answered = 0;
    (void)state;
    for (int i = 0; i < 80; i++) { /* so that an answer is long */
        char name[WIRE_NAME_MAX + 1] = "";
        memset(name, 'x', 60);
        name[0] = (char)('!' + i);
        int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        assert_int_equal(names_put(&anchor.names, name, &fd, 1), 0);
    }
    while (!anchor.masters[0].full && asked < 100000) {
        say(0, WIRE_LIST, zeros, sizeof zeros, -1);
        asked++;
    }
    assert_true(anchor.masters[0].full);
    while (packet_receive(far_end[0], bytes, sizeof bytes, &packet) == 0) {
        answered++;
        masters_read(&anchor, &anchor.masters[0], 100);
    }
    assert_int_equal(answered, asked); /* not one is lost */
    assert_false(anchor.masters[0].full);
}

/* One message of the fuzz loop: a true header most of the time, then some bytes of it changed now and then. */
static size_t random_message(uint8_t bytes[WIRE_PACKET_MAX + 64], unsigned *seed)
{
    static const char *const texts[] = {"image:0", "a", "b", "listener:1", "\1image:0", "\2a", "READY=1", ""};
    size_t length = 0;
    uint8_t *payload = bytes + WIRE_HEADER_SIZE;
    unsigned type = (unsigned)rand_r(seed) % 15;
    if (type == WIRE_EXIT || type == 13)
        type = (unsigned)rand_r(seed) & 0xffff;
    if (rand_r(seed) % 2) {
        const char *text = texts[(unsigned)rand_r(seed) % 8];
        length = strlen(text);
        memcpy(payload, text, length);
    } else {
        length = (size_t)rand_r(seed) % (rand_r(seed) % 4 ? 12 : WIRE_PAYLOAD_MAX + 64);
        for (size_t i = 0; i < length; i++)
            payload[i] = (uint8_t)rand_r(seed);
    }
    wire_header_put(bytes, WIRE_HELLO, (uint32_t)length, 5);
    wire_put_u16(bytes + 6, (uint16_t)type);
    size_t size = WIRE_HEADER_SIZE + length;
    if (rand_r(seed) % 10 == 0)
        bytes[(size_t)rand_r(seed) % size] ^= (uint8_t)(1 + rand_r(seed) % 255);
    if (rand_r(seed) % 20 == 0)
        size = (size_t)rand_r(seed) % (size + 1);
    return size;
}

static unsigned descriptors_open(void)
{
    unsigned count = 0;
    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static void random_messages_neither_crash_nor_leak(void **state)
{
    uint8_t bytes[WIRE_PACKET_MAX + 64], answer[WIRE_PACKET_MAX];
    struct packet packet;
    unsigned seed = 20260131, dropped = 0, answered = 0;
    const unsigned messages = unit_is_under_valgrind() ? FUZZ_MESSAGES / 10 : FUZZ_MESSAGES;
    (void)state;
    int errors = dup(STDERR_FILENO);
    unsigned before = descriptors_open() - anchor.names.count;
    for (unsigned i = 0; i < messages; i++) {
        unsigned place = (unsigned)rand_r(&seed) % ANCHOR_MASTERS;
        struct master *master = &anchor.masters[place];
        size_t size = random_message(bytes, &seed);
        if (packet_send(far_end[place], bytes, size, rand_r(&seed) % 4 ? -1 : 0) == 0)
            masters_read(&anchor, master, 4);
        while (packet_receive(far_end[place], answer, sizeof answer, &packet) == 0) {
            fd_close(&packet.fd);
            answered++;
        }
        anchor.leaving = 0;                /* a chance hit on EXIT */
        (void)dup2(errors, STDERR_FILENO); /* … on LOG */
        if (master->link < 0) {
            dropped++;
            seat_master(place);
        }
        assert_int_equal(descriptors_open(), before + anchor.names.count);
        assert_non_null(names_find(&anchor.names, anchor.good));
    }
    fd_close(&errors);
    assert_true(dropped > messages / 50 && answered > messages / 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_rules_of_the_table_hold_before_any_request_is_looked_at),
        TEST(a_pong_is_not_answered),
        TEST(a_log_takes_the_place_of_standard_error),
        TEST(exit_is_noted_with_its_code_and_ends_the_reading),
        TEST(passing_command_makes_open_events_be_told_again),
        TEST(only_the_depositor_or_the_one_in_command_replaces_and_deletes),
        TEST(names_that_masters_start_from_cannot_be_deleted),
        TEST(a_master_that_reads_nothing_is_read_no_more),
        TEST(random_messages_neither_crash_nor_leak),
    };
    log_init(open("/dev/null", O_WRONLY | O_CLOEXEC), "test");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
