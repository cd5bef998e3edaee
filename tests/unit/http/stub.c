#include "stub.h"

#include "base/fd.h"
#include "rig.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define NO_FIELDS ((struct slice){"", 0})

jmp_buf stub_crash;
int stub_crashes;
unsigned stub_begun, stub_ended, stub_resumed;

static int file_fd = -1;
static struct exchange_ticket ticket;

enum { STATE_WHAT, STATE_HASH };
enum { WHAT_HASH, WHAT_EARLY, WHAT_WAIT, WHAT_CRASH_BODY, WHAT_CRASH_END };

char stub_pattern(uint64_t offset)
{
    return (char)(offset * 13 + offset / 509);
}

void stub_reset(void)
{
    static char bytes[STUB_FILE_SIZE];

    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = stub_pattern(i);
    fd_close(&file_fd);
    file_fd = fd_memfd("stub", 0, 0);
    assert_int_equal(fd_write_all(file_fd, bytes, sizeof bytes), 0);
    file_fd = rig_aside(file_fd);
    stub_begun = stub_ended = stub_resumed = 0;
    stub_crashes = 0;
}

void stub_close(void)
{
    fd_close(&file_fd);
}

static void respond(struct exchange *exchange, struct slice body)
{
    exchange_respond(exchange, 200, SLICE_LITERAL("text/plain"), NO_FIELDS, body);
}

/* The worker owns what it answers with: a descriptor of its own each time. */
static void respond_file(struct exchange *exchange)
{
    int fd = dup(file_fd);

    worker_file_use(exchange->worker, fd);
    exchange_respond_file(exchange, 200, NO_FIELDS, NO_FIELDS, fd, 0, STUB_FILE_SIZE);
    worker_file_drop(exchange->worker, fd);
}

static void wait_for_finish(struct exchange *exchange)
{
    ticket = exchange_ticket(exchange);
    exchange_wait(exchange);
}

static void take_body(struct exchange *exchange, int what)
{
    exchange->state->handler_state[STATE_WHAT] = (uint64_t)what;
    exchange->state->handler_state[STATE_HASH] = 5381;
    exchange_want_body(exchange);
}

static void maybe_crash(int here)
{
    if (here && stub_crashes)
        longjmp(stub_crash, 1);
}

static int starts(const struct exchange *exchange, const char *text)
{
    return slice_starts_with(exchange->request->path, slice_of(text));
}

static void begin(struct exchange *exchange)
{
    static char big[EXCHANGE_BODY_MAX];

    stub_begun++;
    if (starts(exchange, "/big"))
        respond(exchange, (struct slice){memset(big, 'b', sizeof big), sizeof big});
    else if (starts(exchange, "/file"))
        respond_file(exchange);
    else if (starts(exchange, "/hash"))
        take_body(exchange, WHAT_HASH);
    else if (starts(exchange, "/early"))
        take_body(exchange, WHAT_EARLY);
    else if (starts(exchange, "/crash-body"))
        take_body(exchange, WHAT_CRASH_BODY);
    else if (starts(exchange, "/crash-end"))
        take_body(exchange, WHAT_CRASH_END);
    else if (starts(exchange, "/wait") && exchange->request->has_body)
        take_body(exchange, WHAT_WAIT);
    else if (starts(exchange, "/wait"))
        wait_for_finish(exchange);
    else {
        maybe_crash(starts(exchange, "/crash"));
        respond(exchange, exchange->request->path);
    }
}

static void body(struct exchange *exchange, struct slice data)
{
    uint64_t *hash = &exchange->state->handler_state[STATE_HASH];

    assert_true(data.length > 0);
    maybe_crash(exchange->state->handler_state[STATE_WHAT] == WHAT_CRASH_BODY);
    for (size_t i = 0; i < data.length; i++)
        *hash = *hash * 33 + (unsigned char)data.at[i];
    if (exchange->state->handler_state[STATE_WHAT] == WHAT_EARLY)
        respond(exchange, SLICE_LITERAL("early"));
}

static void hash_line(uint64_t length, uint64_t hash, char out[64])
{
    snprintf(out, 64, "%llu %llx", (unsigned long long)length, (unsigned long long)hash);
}

void stub_hash_line(const char *bytes, size_t length, char out[64])
{
    uint64_t hash = 5381;

    for (size_t i = 0; i < length; i++)
        hash = hash * 33 + (unsigned char)bytes[i];
    hash_line(length, hash, out);
}

static void end(struct exchange *exchange)
{
    char line[64];

    stub_ended++;
    maybe_crash(exchange->state->handler_state[STATE_WHAT] == WHAT_CRASH_END);
    if (exchange->state->handler_state[STATE_WHAT] == WHAT_WAIT) {
        wait_for_finish(exchange);
        return;
    }
    hash_line(exchange->state->body_taken, exchange->state->handler_state[STATE_HASH], line);
    respond(exchange, slice_of(line));
}

static void resume(struct exchange *exchange)
{
    stub_resumed++;
    wait_for_finish(exchange);
}

int stub_finish(void)
{
    struct exchange exchange;

    if (!exchange_reopen(&ticket, &exchange))
        return 0;
    respond(&exchange, SLICE_LITERAL("waited"));
    exchange_finish(&exchange);
    return 1;
}

const struct handler stub_handler = {
    .name = "stub", .begin = begin, .body = body, .end = end, .resume = resume};

/* --- set-up --- */

struct talk talk;

int stub_setup(void **state)
{
    (void)state;
    stub_reset();
    talk_open(&talk, &stub_handler, AF_UNIX);
    return 0;
}

int stub_setup_tcp(void **state)
{
    (void)state;
    stub_reset();
    talk_open(&talk, &stub_handler, AF_INET);
    return 0;
}

int stub_teardown(void **state)
{
    (void)state;
    stub_close();
    talk_close(&talk);
    return 0;
}
