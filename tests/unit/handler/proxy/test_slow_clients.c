/* Clients that take an answer slowly, with pauses: theirs, and the server's. */
#include "behind.h"
#include "unit.h"

#include <string.h>
#include <sys/socket.h>

#define RATE 240u          /* bytes a second */
#define TAKEN_MAX 4000000u /* of an answer, in a test */

static struct record *client(void)
{
    return behind.talk.record;
}

/* The server sends until nothing more gets through: the client's socket is full, and so are the rings. */
static void send_until_full(void)
{
    static const char bytes[16384];
    int is_full = 0;

    for (int i = 0; i < 1000 && !is_full; i++) {
        is_full = send(behind.fd, bytes, sizeof bytes, MSG_DONTWAIT | MSG_NOSIGNAL) < 0;
        talk_settle(&behind.talk);
    }
    assert_true(is_full);
    assert_true(conn_has_output(client(), record_head(client())));
}

/* The client takes all that there is. */
static size_t take_all(void)
{
    static char bytes[65536];
    size_t taken = 0;
    ssize_t count;

    while ((count = recv(behind.talk.client, bytes, sizeof bytes, MSG_DONTWAIT)) > 0) {
        taken += (size_t)count;
        assert_true(taken < TAKEN_MAX);
        talk_settle(&behind.talk);
    }
    assert_false(conn_has_output(client(), record_head(client())));
    return taken;
}

static void begin_answer(void)
{
    behind.route.settings.min_write_rate = RATE;
    behind_ask();
    behind_say("HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n");
    send_until_full();
}

static void who_has_taken_much_may_rest_also_when_the_server_had_a_pause(void **state)
{
    (void)state;
    begin_answer();
    assert_true(take_all() > 60 * RATE);
    (void)behind_pass(client(), 2 * BEHIND_BETWEEN_MS / 3);
    send_until_full();
    for (int i = 0; i < 3; i++)
        (void)behind_pass(client(), HTTP_RATE_GRACE_MS * 9 / 10);
    assert_int_equal(client()->life, RECORD_OPEN);
    assert_true(take_all() > 0);
}

static void who_takes_nothing_is_cut_off_when_the_time_for_it_is_over(void **state)
{
    uint64_t passed_ms = 0;
    (void)state;

    begin_answer();
    assert_true(take_all() > 60 * RATE);
    send_until_full();
    while (client()->life == RECORD_OPEN && passed_ms < 3 * TALK_WRITE_MS) {
        (void)behind_pass(client(), 1000);
        passed_ms += 1000;
    }
    assert_int_equal(client()->life, RECORD_FREE);
    assert_in_range(passed_ms, TALK_WRITE_MS, 2 * TALK_WRITE_MS); /* as docs/config.md says */
}

static void who_never_took_anything_is_too_slow_after_the_grace(void **state)
{
    (void)state;
    begin_answer();
    assert_true(behind_pass(client(), HTTP_RATE_GRACE_MS));
    assert_int_equal(client()->life, RECORD_FREE);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, behind_setup, behind_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(who_has_taken_much_may_rest_also_when_the_server_had_a_pause),
        CASE(who_takes_nothing_is_cut_off_when_the_time_for_it_is_over),
        CASE(who_never_took_anything_is_too_slow_after_the_grace),
    };

    if (!ARENA_SHARED)
        return unit_skip_all("a plain fork keeps no connection across a death");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
