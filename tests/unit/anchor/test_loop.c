/* The loop of the anchor, with masters that are this program in other roles: `test_loop ROLE`. */
#include "anchor/anchor.h"

#include "base/fd.h"
#include "base/log.h"
#include "base/packet.h"
#include "unit.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_MS 10000
#define DONE 42 /* what the anchor is told to exit with when all is well */

/* --- a master --- */

static uint8_t bytes[WIRE_PACKET_MAX];
static const uint8_t *const payload = bytes + WIRE_HEADER_SIZE;

static void say(enum wire_type type, const void *what, uint32_t length)
{
    uint8_t packet[WIRE_PACKET_MAX];

    wire_header_put(packet, type, length, 1);
    if (length)
        memcpy(packet + WIRE_HEADER_SIZE, what, length);
    if (packet_send(WIRE_MASTER_FD, packet, WIRE_HEADER_SIZE + length, -1))
        _exit(90);
}

/* The type of the next message that is no ping: those are answered. */
static unsigned next(void)
{
    for (;;) {
        struct pollfd wait = {.fd = WIRE_MASTER_FD, .events = POLLIN};
        struct packet packet;
        struct wire_header header;

        if (poll(&wait, 1, PATIENCE_MS) != 1 ||
            packet_receive(WIRE_MASTER_FD, bytes, sizeof bytes, &packet) ||
            !wire_header_get(bytes, packet.length, &header))
            _exit(91);
        if (header.type != WIRE_PING)
            return header.type;
        say(WIRE_PONG, payload, 8);
    }
}

static void await(unsigned type)
{
    while (next() != type)
        ;
}

static void hello(void)
{
    uint8_t versions[WIRE_HELLO_SIZE];

    wire_put_u16(versions, 1);
    wire_put_u16(versions + 2, 1);
    say(WIRE_HELLO, versions, sizeof versions);
    await(WIRE_OK);
}

static _Noreturn void leave(uint32_t code)
{
    uint8_t number[4];

    wire_put_u32(number, code);
    say(WIRE_EXIT, number, sizeof number);
    await(WIRE_OK);
    _exit(0);
}

/* The master that was started as the n-th, from the answer to HELLO. */
static uint64_t my_number(void)
{
    return wire_get_u64(payload + 24);
}

/* The answer is not waited for: events may come before it. */
static void acknowledge(void)
{
    say(WIRE_ACK, payload, 8);
}

static _Noreturn void be_told_of_a_death(void)
{
    const pid_t child = fork();
    pid_t grandchild;

    if (!child) { /* whose own child becomes the anchor's */
        grandchild = fork();
        if (!grandchild)
            _exit(9);
        _exit(0);
    }
    (void)waitpid(child, NULL, 0);
    await(WIRE_STATUS);
    if (wire_get_u32(payload + 12) != CLD_EXITED || wire_get_u32(payload + 16) != 9 ||
        wire_get_u32(payload + 20))
        _exit(92);
    acknowledge();
    leave(DONE);
}

/* The first one dies with what it was told; the second one is told again, and of the first one's death. */
static _Noreturn void be_told_again(void)
{
    if (my_number() == 1) {
        kill(getppid(), SIGHUP);
        await(WIRE_SIGNAL);
        abort();
    }
    for (int left = 2; left;) { /* in any order */
        const unsigned type = next();

        if (type == WIRE_SIGNAL && wire_get_u32(payload + 8) != SIGHUP)
            _exit(93);
        if (type == WIRE_STATUS && (!wire_get_u32(payload + 20) || wire_get_u32(payload + 16) != SIGABRT))
            _exit(94);
        if (type != WIRE_SIGNAL && type != WIRE_STATUS)
            continue;
        acknowledge();
        left--;
    }
    leave(DONE);
}

/* Ten that never answer a ping would be ten deaths; the first one is enough here. */
static _Noreturn void be_silent_once(void)
{
    if (my_number() == 1)
        for (;;)
            pause();
    await(WIRE_STATUS);
    leave(wire_get_u32(payload + 16) == SIGKILL ? DONE : 1);
}

static int be_master(const char *role)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (!strcmp(role, "dies"))
        _exit(1);
    hello();
    if (!strcmp(role, "exit"))
        leave(DONE);
    if (!strcmp(role, "death"))
        be_told_of_a_death();
    if (!strcmp(role, "again"))
        be_told_again();
    if (!strcmp(role, "silent"))
        be_silent_once();
    return 95;
}

/* --- the anchor, in a process of its own: it reaps and kills all its children --- */

static _Noreturn void be_anchor(char *role, const char *image_path)
{
    static struct anchor anchor;
    static char name[] = "test_loop";
    char *argv[] = {name, role, NULL};
    int image = open(image_path, O_RDONLY | O_CLOEXEC);

    log_set_level(LOG_ERROR);
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* it blocks all others */
    anchor = (struct anchor){.master_argv = argv, .pid_fd = -1, .ready_fd = -1, .ping_ms = 50, .next_seq = 1};
    for (unsigned i = 0; i < ANCHOR_MASTERS; i++)
        anchor.masters[i].link = -1;
    (void)getrlimit(RLIMIT_NOFILE, &anchor.descriptor_limit);
    names_init(&anchor.names, 100, ERR_LIMIT);
    memcpy(anchor.good, ANCHOR_FIRST_IMAGE, sizeof ANCHOR_FIRST_IMAGE);
    if (image < 0 || names_put(&anchor.names, ANCHOR_FIRST_IMAGE, &image, 0) || signals_init(&anchor.signals))
        _exit(99);
    _exit(anchor_run(&anchor));
}

static int exit_code_with(char *role, const char *image)
{
    const pid_t pid = fork();
    int status;

    if (!pid)
        be_anchor(role, image);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void a_master_ends_it_with_its_code(void **state)
{
    static char role[] = "exit";
    (void)state;
    assert_int_equal(exit_code_with(role, "/proc/self/exe"), DONE);
}

static void a_death_is_told_and_reaped_when_it_is_acknowledged(void **state)
{
    static char role[] = "death";
    (void)state;
    assert_int_equal(exit_code_with(role, "/proc/self/exe"), DONE);
}

static void what_a_dead_master_was_told_its_successor_is_told_again(void **state)
{
    static char role[] = "again";
    (void)state;
    assert_int_equal(exit_code_with(role, "/proc/self/exe"), DONE);
}

static void a_master_that_does_not_answer_is_replaced(void **state)
{
    static char role[] = "silent";
    (void)state;
    assert_int_equal(exit_code_with(role, "/proc/self/exe"), DONE);
}

static void masters_that_always_die_are_given_up(void **state)
{
    static char role[] = "dies";
    (void)state;
    assert_int_equal(exit_code_with(role, "/proc/self/exe"), ANCHOR_EXIT_GAVE_UP);
}

static void an_image_that_is_no_program_is_given_up(void **state)
{
    static char role[] = "exit";
    (void)state;
    assert_int_equal(exit_code_with(role, "/dev/null"), ANCHOR_EXIT_GAVE_UP);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_master_ends_it_with_its_code),
        cmocka_unit_test(a_death_is_told_and_reaped_when_it_is_acknowledged),
        cmocka_unit_test(what_a_dead_master_was_told_its_successor_is_told_again),
        cmocka_unit_test(a_master_that_does_not_answer_is_replaced),
        cmocka_unit_test(masters_that_always_die_are_given_up),
        cmocka_unit_test(an_image_that_is_no_program_is_given_up),
    };

    if (argc == 2)
        return be_master(argv[1]);
    if (unit_is_under_valgrind())
        return unit_skip_all("valgrind does not follow execveat");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
