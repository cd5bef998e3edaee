#include "fake_anchor.h"

#include "base/fd.h"
#include "base/packet.h"
#include "unit.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

static const char *const type_names[] = {"",        "HELLO", "PUT",    "GET", "DEL",  "LIST", "START",
                                         "COMMAND", "IMAGE", "NOTIFY", "ACK", "EXIT", "PONG"};

/* --- names --- */

static int find(const struct fake_anchor *anchor, const char *name)
{
    for (int i = 0; i < FAKE_ANCHOR_NAMES; i++)
        if (!strcmp(anchor->held[i].name, name))
            return i;
    return -1;
}

int fake_anchor_held(const struct fake_anchor *anchor, const char *name)
{
    int at = find(anchor, name);

    return at < 0 ? -1 : anchor->held[at].fd;
}

unsigned fake_anchor_count(const struct fake_anchor *anchor, const char *prefix)
{
    unsigned count = 0;

    for (int i = 0; i < FAKE_ANCHOR_NAMES; i++)
        count += anchor->held[i].name[0] && !strncmp(anchor->held[i].name, prefix, strlen(prefix));
    return count;
}

static int let_go(struct fake_anchor *anchor, const char *name)
{
    int at = find(anchor, name);

    if (at < 0)
        return ERR_NOT_FOUND;
    fd_close(&anchor->held[at].fd);
    anchor->held[at].name[0] = '\0';
    return 0;
}

static int hold(struct fake_anchor *anchor, const char *name, int *fd)
{
    int at;

    (void)let_go(anchor, name);
    at = find(anchor, "");
    if (at < 0 || *fd < 0)
        return ERR_LIMIT;
    strcpy(anchor->held[at].name, name);
    anchor->held[at].fd = *fd;
    *fd = -1;
    return 0;
}

/* --- messages --- */

static void say(struct fake_anchor *anchor, unsigned type, uint64_t serial, const void *payload,
                size_t length, int fd)
{
    uint8_t bytes[WIRE_PACKET_MAX];

    wire_header_put(bytes, WIRE_OK, (uint32_t)length, serial);
    wire_put_u16(bytes + 6, (uint16_t)type);
    if (length)
        memcpy(bytes + WIRE_HEADER_SIZE, payload, length);
    (void)!packet_send(anchor->fd, bytes, WIRE_HEADER_SIZE + length, fd);
}

static void say_hello(struct fake_anchor *anchor, uint64_t serial)
{
    static const char image[] = "image:0";
    uint8_t payload[WIRE_HELLO_ANSWER_SIZE + 14] = {WIRE_VERSION, 0, WIRE_HELLO_IN_COMMAND};

    wire_put_u32(payload + 4, (uint32_t)anchor->told_anchor);
    wire_put_u32(payload + 8, (uint32_t)anchor->told_self);
    wire_put_u64(payload + 16, 1);
    wire_put_u64(payload + 24, 1);
    payload[32] = payload[33] = 7;
    memcpy(payload + WIRE_HELLO_ANSWER_SIZE, image, 7);
    memcpy(payload + WIRE_HELLO_ANSWER_SIZE + 7, image, 7);
    say(anchor, WIRE_OK, serial, payload, sizeof payload, -1);
}

static void write_down(struct fake_anchor *anchor, unsigned type, const char *text, size_t length)
{
    char line[WIRE_PAYLOAD_MAX + 32];
    int count;

    if (type == WIRE_ACK)
        count = snprintf(line, sizeof line, "ACK %llu\n",
                         (unsigned long long)wire_get_u64((const uint8_t *)text));
    else if (type == WIRE_EXIT)
        count = snprintf(line, sizeof line, "EXIT %u\n", wire_get_u32((const uint8_t *)text));
    else if (type == WIRE_HELLO)
        count = snprintf(line, sizeof line, "HELLO\n");
    else
        count = snprintf(line, sizeof line, "%s %.*s\n", type_names[type], (int)length, text);
    if (anchor->said_length + (size_t)count >= sizeof anchor->said)
        abort(); /* an assertion of cmocka belongs to its own thread */
    memcpy(anchor->said + anchor->said_length, line, (size_t)count + 1);
    anchor->said_length += (size_t)count;
}

/* The result; *got is what GET answers with, borrowed. */
static int obey(struct fake_anchor *anchor, unsigned type, const char *text, int *fd, int *got)
{
    if (type == anchor->refused && anchor->refused_with &&
        !strncmp(text, anchor->refused_prefix, strlen(anchor->refused_prefix)))
        return anchor->refused_with;
    switch (type) {
    case WIRE_PUT:
        return hold(anchor, text, fd);
    case WIRE_GET:
        *got = fake_anchor_held(anchor, text);
        return *got < 0 ? ERR_NOT_FOUND : 0;
    case WIRE_DEL:
        return let_go(anchor, text);
    case WIRE_ACK:
        anchor->acknowledged = wire_get_u64((const uint8_t *)text);
        return 0;
    default:
        return 0;
    }
}

static void answer(struct fake_anchor *anchor, uint64_t serial, int result, int fd)
{
    uint8_t error[8] = {0, 0, 0, 0, 't', 'e', 's', 't'};

    wire_put_u32(error, (uint32_t)result);
    if (result)
        say(anchor, WIRE_ERROR, serial, error, sizeof error, -1);
    else
        say(anchor, WIRE_OK, serial, NULL, 0, fd);
}

static void take(struct fake_anchor *anchor, const struct wire_header *header, char *text, int *fd)
{
    int got = -1, result = 0, is_fatal;

    text[header->length] = '\0';
    (void)pthread_mutex_lock(&anchor->lock);
    is_fatal = anchor->kill_at && --anchor->kill_at == 0;
    if (!is_fatal || anchor->kill_done_first) {
        write_down(anchor, header->type, text, header->length);
        result = obey(anchor, header->type, text, fd, &got);
    }
    if (is_fatal) {
        fd_close(fd); /* as if it had never been sent */
        (void)kill(anchor->victim, SIGKILL);
    }
    anchor->has_killed |= is_fatal;
    (void)pthread_mutex_unlock(&anchor->lock);
    if (is_fatal)
        ; /* nobody waits */
    else if (header->type == WIRE_HELLO)
        say_hello(anchor, header->serial);
    else if (header->type != WIRE_PONG)
        answer(anchor, header->serial, result, got);
    (void)!eventfd_write(anchor->heard, 1);
}

static void *anchor_main(void *arg)
{
    struct fake_anchor *anchor = arg;
    uint8_t bytes[WIRE_PACKET_MAX + 1];
    struct wire_header header;
    struct packet packet;

    for (;;) {
        struct pollfd wait = {.fd = anchor->fd, .events = POLLIN};
        int result =
            poll(&wait, 1, -1) < 0 ? ERR_AGAIN : packet_receive(anchor->fd, bytes, WIRE_PACKET_MAX, &packet);

        if (result == ERR_AGAIN)
            continue;
        if (result || !wire_header_get(bytes, packet.length, &header) || header.type > WIRE_PONG)
            return NULL;
        take(anchor, &header, (char *)bytes + WIRE_HEADER_SIZE, &packet.fd);
        fd_close(&packet.fd);
    }
}

/* --- for tests --- */

void fake_anchor_open(struct fake_anchor *anchor, struct anchor_link *link)
{
    int pair[2];

    *anchor = (struct fake_anchor){.refused_prefix = "", .told_anchor = getppid(), .told_self = getpid()};
    for (int i = 0; i < FAKE_ANCHOR_NAMES; i++)
        anchor->held[i].fd = -1;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    anchor->fd = pair[1];
    anchor->heard = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    assert_int_equal(pthread_mutex_init(&anchor->lock, NULL), 0);
    assert_int_equal(anchor_link_init(link, pair[0]), 0);
    assert_int_equal(pthread_create(&anchor->thread, NULL, anchor_main, anchor), 0);
}

void fake_anchor_close(struct fake_anchor *anchor, struct anchor_link *link)
{
    (void)shutdown(link->fd, SHUT_RDWR);
    assert_int_equal(pthread_join(anchor->thread, NULL), 0);
    anchor_link_fini(link);
    fd_close(&anchor->fd);
    fd_close(&anchor->heard);
    (void)pthread_mutex_destroy(&anchor->lock);
    for (int i = 0; i < FAKE_ANCHOR_NAMES; i++)
        fd_close(&anchor->held[i].fd);
}

void fake_anchor_refuses(struct fake_anchor *anchor, enum wire_type type, const char *prefix, int error)
{
    anchor->refused = type;
    anchor->refused_prefix = prefix;
    anchor->refused_with = error;
}

void fake_anchor_kills(struct fake_anchor *anchor, pid_t victim, unsigned nth, int done_first)
{
    (void)pthread_mutex_lock(&anchor->lock);
    anchor->victim = victim;
    anchor->kill_done_first = done_first;
    anchor->kill_at = nth;
    anchor->has_killed = 0;
    (void)pthread_mutex_unlock(&anchor->lock);
}

int fake_anchor_spares(struct fake_anchor *anchor)
{
    int has_killed;

    (void)pthread_mutex_lock(&anchor->lock);
    has_killed = anchor->has_killed;
    anchor->kill_at = 0;
    (void)pthread_mutex_unlock(&anchor->lock);
    return has_killed;
}

int fake_anchor_has_heard(struct fake_anchor *anchor, const char *text)
{
    int found;

    (void)pthread_mutex_lock(&anchor->lock);
    anchor->said[anchor->said_length] = '\0';
    found = strstr(anchor->said, text) != NULL;
    (void)pthread_mutex_unlock(&anchor->lock);
    return found;
}

const char *fake_anchor_said(struct fake_anchor *anchor)
{
    static char said[FAKE_ANCHOR_SAID];

    (void)pthread_mutex_lock(&anchor->lock);
    anchor->said[anchor->said_length] = '\0';
    memcpy(said, anchor->said, anchor->said_length + 1);
    anchor->said_length = 0;
    (void)pthread_mutex_unlock(&anchor->lock);
    return said;
}

void fake_anchor_tells_status(struct fake_anchor *anchor, uint64_t seq, pid_t pid, int code, int status,
                              int was_master)
{
    uint8_t payload[WIRE_STATUS_SIZE];

    wire_put_u64(payload, seq);
    wire_put_u32(payload + 8, (uint32_t)pid);
    wire_put_u32(payload + 12, (uint32_t)code);
    wire_put_u32(payload + 16, (uint32_t)status);
    wire_put_u32(payload + 20, (uint32_t)was_master);
    say(anchor, WIRE_STATUS, 0, payload, sizeof payload, -1);
}

void fake_anchor_tells_signal(struct fake_anchor *anchor, uint64_t seq, int number)
{
    uint8_t payload[WIRE_SIGNAL_SIZE];

    wire_put_u64(payload, seq);
    wire_put_u32(payload + 8, (uint32_t)number);
    say(anchor, WIRE_SIGNAL, 0, payload, sizeof payload, -1);
}
