/* Masters are started, heard, pinged and buried. They are shells here, or processes of the test. */
#include "anchor/masters.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/packet.h"
#include "unit.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define SHELL "/bin/sh"
#define NOW_NS (1000 * NS_PER_S)

static struct anchor anchor;
static char *argv[4];
static char sh[] = "sh", option[] = "-c";
static int far_end; /* of a master that seat() has made */

static int setup(void **state)
{
    int image = open(SHELL, O_RDONLY | O_CLOEXEC);
    (void)state;

    log_set_level(LOG_ERROR);
    memset(&anchor, 0, sizeof anchor);
    anchor.next_seq = 1;
    anchor.ready_fd = anchor.pid_fd = -1;
    anchor.master_argv = argv;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &anchor.descriptor_limit), 0);
    names_init(&anchor.names, 100, ERR_LIMIT);
    memcpy(anchor.good, ANCHOR_FIRST_IMAGE, sizeof ANCHOR_FIRST_IMAGE);
    assert_int_equal(names_put(&anchor.names, ANCHOR_FIRST_IMAGE, &image, 0), 0);
    for (unsigned i = 0; i < ANCHOR_MASTERS; i++)
        anchor.masters[i].link = -1;
    far_end = -1;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ANCHOR_MASTERS; i++) {
        if (anchor.masters[i].pid)
            kill(anchor.masters[i].pid, SIGKILL);
        fd_close(&anchor.masters[i].link);
    }
    while (waitpid(-1, NULL, 0) > 0)
        ;
    fd_close(&far_end);
    names_fini(&anchor.names);
    return 0;
}

static void script(char *text)
{
    argv[0] = sh;
    argv[1] = option;
    argv[2] = text;
}

static struct master *start(char *text)
{
    script(text);
    assert_int_equal(masters_start(&anchor, &anchor.masters[0], ANCHOR_FIRST_IMAGE), 0);
    return &anchor.masters[0];
}

/* A living process that does nothing, whose link is the test's. */
static struct master *seat(unsigned place)
{
    struct master *master = &anchor.masters[place];
    int pair[2];

    fd_close(&far_end);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    *master =
        (struct master){.link = pair[0], .serial = ++anchor.started, .greeted = 1, .started_ns = NOW_NS};
    memcpy(master->image, ANCHOR_FIRST_IMAGE, sizeof ANCHOR_FIRST_IMAGE);
    far_end = pair[1];
    master->pid = fork();
    if (master->pid)
        return master;
    close(pair[0]);
    close(pair[1]);
    for (;;)
        pause();
}

static void say(enum wire_type type, const void *payload, uint32_t length)
{
    uint8_t bytes[WIRE_PACKET_MAX];

    wire_header_put(bytes, type, length, 7);
    if (length)
        memcpy(bytes + WIRE_HEADER_SIZE, payload, length);
    assert_int_equal(packet_send(far_end, bytes, WIRE_HEADER_SIZE + length, -1), 0);
}

/* The type of the next message; 0: there is none. */
static unsigned heard(void)
{
    uint8_t bytes[WIRE_PACKET_MAX];
    struct wire_header header;
    struct packet packet;

    if (packet_receive(far_end, bytes, sizeof bytes, &packet))
        return 0;
    fd_close(&packet.fd);
    assert_true(wire_header_get(bytes, packet.length, &header));
    return header.type;
}

static void await_death(pid_t pid)
{
    siginfo_t info;

    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
}

static void kill_now(const struct master *master)
{
    assert_int_equal(kill(master->pid, SIGKILL), 0);
    await_death(master->pid);
}

/* --- starting --- */

static void a_master_gets_its_link_and_little_else(void **state)
{
    static char text[] = "for fd in 0 1 2 3 4 5 6 7 8 9; do test -e /proc/$$/fd/$fd && all=$all$fd; done; "
                         "echo $all $(ulimit -n) $$ >&3; exec sleep 1000";
    char said[128] = "", descriptors[16];
    int limit, pid;
    struct pollfd wait;
    struct master *master;
    int extra = open("/dev/null", O_RDONLY | O_CLOEXEC);
    (void)state;

    anchor.descriptor_limit.rlim_cur = 77;
    master = start(text);
    assert_int_equal(master->serial, 1);
    assert_string_equal(master->image, ANCHOR_FIRST_IMAGE);
    assert_false(master->greeted);
    wait = (struct pollfd){.fd = master->link, .events = POLLIN};
    assert_int_equal(poll(&wait, 1, 10000), 1);
    assert_true(recv(master->link, said, sizeof said - 1, 0) > 0);
    assert_int_equal(sscanf(said, "%15s %d %d", descriptors, &limit, &pid), 3);
    assert_string_equal(descriptors, "0123");
    if (!unit_is_under_valgrind())
        assert_int_equal(limit, 77);
    assert_int_equal(pid, master->pid);
    assert_ptr_equal(masters_find(&anchor, master->pid), master);
    assert_null(masters_find(&anchor, master->pid + 1));
    assert_null(masters_find(&anchor, 0));
    fd_close(&extra);
}

static void an_image_that_is_not_there_starts_nothing(void **state)
{
    (void)state;
    assert_int_equal(masters_start(&anchor, &anchor.masters[0], "image:9"), ERR_NOT_FOUND);
    assert_int_equal(anchor.masters[0].pid, 0);
    assert_int_equal(anchor.started, 0);
}

static void who_is_to_command_is_started_from_the_good_image(void **state)
{
    static char text[] = "exec sleep 1000";
    (void)state;

    script(text);
    anchor.start_ns = NOW_NS;
    masters_start_command(&anchor, NOW_NS);
    assert_true(anchor.masters[0].pid > 0);
    assert_int_equal(anchor.epoch, 1);
    assert_int_equal(anchor.start_ns, 0);
}

static void what_cannot_be_started_is_tried_again_and_given_up_in_the_end(void **state)
{
    uint64_t now_ns = NOW_NS, waited_ms = 0;
    (void)state;

    memcpy(anchor.good, "image:9", sizeof "image:9");
    for (unsigned i = 1; i < RESTART_HOPELESS_DEATHS; i++) {
        masters_start_command(&anchor, now_ns);
        assert_false(anchor.leaving);
        assert_true(anchor.start_ns >= now_ns);
        waited_ms += (anchor.start_ns - now_ns) / NS_PER_MS;
        now_ns = anchor.start_ns + 1;
    }
    assert_true(waited_ms >= RESTART_BACKOFF_FIRST_MS);
    masters_start_command(&anchor, now_ns);
    assert_true(anchor.leaving);
    assert_int_equal(anchor.exit_code, ANCHOR_EXIT_GAVE_UP);
    assert_int_equal(anchor.epoch, 0);
}

/* --- hearing --- */

static void whoever_speaks_another_language_is_killed(void **state)
{
    struct master *master;
    (void)state;

    master = seat(0);
    assert_int_equal(send(far_end, "nonsense", 8, 0), 8);
    assert_int_equal(masters_read(&anchor, master, 10), 1);
    assert_true(master->doomed);
    assert_int_equal(master->link, -1);
    await_death(master->pid);
}

static void whoever_closes_its_link_is_ended_with_the_next_tick(void **state)
{
    struct master *master;
    struct pollfd wait;
    (void)state;

    master = seat(0);
    fd_close(&far_end);
    wait = (struct pollfd){.fd = master->link, .events = POLLIN};
    assert_int_equal(poll(&wait, 1, 10000), 1); /* its process may have the end for a moment, too */
    assert_int_equal(masters_read(&anchor, master, 10), 1);
    assert_int_equal(master->link, -1);
    assert_false(master->doomed); /* most likely it is just dying */
    assert_int_equal(masters_send(master, WIRE_PING, 0, NULL, 0, -1), ERR_CLOSED);
    masters_tick(&anchor, 0);
    assert_true(master->doomed);
    await_death(master->pid);
}

static void no_more_is_read_at_once_than_was_asked_for(void **state)
{
    struct master *master;
    (void)state;

    master = seat(0);
    for (int i = 0; i < 5; i++)
        say(WIRE_LIST, "\0\0\0\0", 4);
    assert_int_equal(masters_read(&anchor, master, 3), 3);
    assert_int_equal(masters_read(&anchor, master, 3), 2);
    for (int i = 0; i < 5; i++)
        assert_int_equal(heard(), WIRE_OK);
    assert_int_equal(heard(), 0);
}

static void nothing_is_read_from_who_has_no_room_for_an_answer(void **state)
{
    static const uint8_t payload[WIRE_PAYLOAD_MAX];
    struct master *master;
    int result;
    (void)state;

    master = seat(0);
    say(WIRE_LIST, "\0\0\0\0", 4);
    while (!(result = masters_send(master, WIRE_OK, 0, payload, sizeof payload, -1)))
        ;
    assert_int_equal(result, ERR_AGAIN);
    assert_true(master->full);
    assert_int_equal(masters_read(&anchor, master, 10), 0);
    while (heard())
        ;
    assert_int_equal(masters_read(&anchor, master, 10), 1);
    assert_false(master->full);
    assert_int_equal(heard(), WIRE_OK);
}

/* --- pings --- */

static void who_answers_lives_and_who_does_not_is_killed(void **state)
{
    struct master *master;
    uint8_t number[8];
    (void)state;

    master = seat(0);
    for (unsigned i = 0; i < 3 * ANCHOR_PINGS_MISSED_MAX; i++) {
        masters_tick(&anchor, 0);
        assert_int_equal(heard(), WIRE_PING);
        wire_put_u64(number, master->ping);
        say(WIRE_PONG, number, sizeof number);
        assert_int_equal(masters_read(&anchor, master, 1), 1);
    }
    masters_tick(&anchor, 0);
    for (unsigned i = 1; i < ANCHOR_PINGS_MISSED_MAX; i++) {
        masters_tick(&anchor, 0);
        assert_false(master->doomed);
    }
    masters_tick(&anchor, 0);
    assert_true(master->doomed);
    await_death(master->pid);
}

static void silence_proves_nothing_when_the_anchor_itself_was_late(void **state)
{
    struct master *master;
    (void)state;

    master = seat(0);
    for (unsigned i = 0; i < 3 * ANCHOR_PINGS_MISSED_MAX; i++)
        masters_tick(&anchor, 1);
    assert_false(master->doomed);
}

static void who_was_stopped_is_left_alone(void **state)
{
    struct master *master;
    siginfo_t info;
    (void)state;

    master = seat(0);
    assert_int_equal(kill(master->pid, SIGSTOP), 0);
    assert_int_equal(waitid(P_PID, (id_t)master->pid, &info, WSTOPPED | WNOWAIT), 0);
    for (unsigned i = 0; i < 3 * ANCHOR_PINGS_MISSED_MAX; i++)
        masters_tick(&anchor, 0);
    assert_false(master->doomed);
}

static void who_never_says_hello_is_killed(void **state)
{
    struct master *master;
    (void)state;

    master = seat(0);
    master->greeted = 0;
    for (unsigned i = 0; i < ANCHOR_PINGS_MISSED_MAX; i++) {
        assert_false(master->doomed);
        masters_tick(&anchor, 0);
    }
    assert_true(master->doomed);
    assert_int_equal(heard(), 0); /* and is not pinged before it has said so */
}

/* --- burying --- */

static void a_dead_master_in_command_is_followed_at_once(void **state)
{
    struct master *master;
    pid_t pid;
    (void)state;

    master = seat(0);
    masters_check(&anchor, NOW_NS);
    assert_true(master->pid > 0);
    anchor.deaths.told = anchor.signals.told = 1;
    pid = master->pid;
    kill_now(master);
    masters_check(&anchor, NOW_NS + NS_PER_S);
    assert_int_equal(master->pid, 0);
    assert_int_equal(master->link, -1);
    assert_true(anchor.start_ns == NOW_NS + NS_PER_S);
    assert_false(anchor.deaths.told); /* whoever follows has not been told anything */
    assert_false(anchor.signals.told);
    assert_int_equal(waitpid(pid, NULL, WNOHANG), pid); /* a zombie until its status is acknowledged */
}

static void the_death_of_the_other_one_changes_nothing(void **state)
{
    struct master *other;
    (void)state;

    other = seat(1);
    kill_now(other);
    masters_check(&anchor, NOW_NS);
    assert_int_equal(other->pid, 0);
    assert_int_equal(anchor.start_ns, 0);
    assert_int_equal(anchor.restart.deaths_in_row, 0);
}

static void what_a_master_asked_for_before_it_died_counts(void **state)
{
    struct master *master;
    (void)state;

    master = seat(0);
    say(WIRE_EXIT, "\5\0\0\0", 4);
    kill_now(master);
    masters_check(&anchor, NOW_NS);
    assert_true(anchor.leaving);
    assert_int_equal(anchor.exit_code, 5);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_master_gets_its_link_and_little_else),
        CASE(an_image_that_is_not_there_starts_nothing),
        CASE(who_is_to_command_is_started_from_the_good_image),
        CASE(what_cannot_be_started_is_tried_again_and_given_up_in_the_end),
        CASE(whoever_speaks_another_language_is_killed),
        CASE(whoever_closes_its_link_is_ended_with_the_next_tick),
        CASE(no_more_is_read_at_once_than_was_asked_for),
        CASE(nothing_is_read_from_who_has_no_room_for_an_answer),
        CASE(who_answers_lives_and_who_does_not_is_killed),
        CASE(silence_proves_nothing_when_the_anchor_itself_was_late),
        CASE(who_was_stopped_is_left_alone),
        CASE(who_never_says_hello_is_killed),
        CASE(a_dead_master_in_command_is_followed_at_once),
        CASE(the_death_of_the_other_one_changes_nothing),
        CASE(what_a_master_asked_for_before_it_died_counts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
