#include "crash/scenario_header.h"

#include "crash/talk.h"

#include <string.h>
#include <time.h>

#define WHO "GET /who HTTP/1.1\r\nHost: sweep.example\r\n\r\n"

/* So that what follows comes in a segment of its own. Nothing is waited for. */
static void pause_a_moment(void)
{
    struct timespec moment = {.tv_nsec = 300000};
    nanosleep(&moment, NULL);
}

static void open_silently(struct talk *talk, const struct target *target)
{
    static struct target silent;
    silent = *target;
    silent.is_spoken = 0;
    talk_open(talk, &silent, 0);
}

static void expect_client(struct talk *talk)
{
    char who[sizeof TARGET_CLIENT - 1];
    talk_expect_response(talk, 200);
    talk_read(talk, who, sizeof who);
    if (memcmp(who, TARGET_CLIENT, sizeof who) != 0)
        talk_fail("the client is taken for %.*s", (int)sizeof who, who);
}

static void ask_who(struct talk *talk)
{
    talk_send_text(talk, WHO);
    expect_client(talk);
}

/* `at`: where it is cut; what is behind comes together with a request. */
static void say_in_two(const struct target *target, const char *header, size_t length, size_t at)
{
    struct talk talk;
    char rest[512];
    open_silently(&talk, target);
    talk_send(&talk, header, at);
    pause_a_moment();
    memcpy(rest, header + at, length - at);
    memcpy(rest + length - at, WHO, sizeof WHO - 1);
    talk_send(&talk, rest, length - at + sizeof WHO - 1);
    expect_client(&talk);
    ask_who(&talk);
    talk_expect_quiet(&talk);
    talk_close(&talk);
}

void header_by_and_by(const struct target *target)
{
    struct talk talk;
    say_in_two(target, TARGET_HEADER_V1, sizeof TARGET_HEADER_V1 - 1, 3);
    say_in_two(target, TARGET_HEADER_V2, sizeof TARGET_HEADER_V2 - 1, 20);
    open_silently(&talk, target);
    talk_send(&talk, TARGET_HEADER_V2, sizeof TARGET_HEADER_V2 - 1); /* whole, and the request later */
    pause_a_moment();
    ask_who(&talk);
    talk_get(&talk, 3);
    talk_expect_document(&talk, 3);
    talk_expect_quiet(&talk);
    talk_close(&talk);
}
