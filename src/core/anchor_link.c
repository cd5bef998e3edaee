/* The master's end of its link with the anchor. */
#include "core/anchor_link.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/packet.h"

#include <errno.h>
#include <poll.h>

#define ANCHOR_LINK_MAGIC 0x6b6e696cu

/* One message that came in, and the descriptor that came with it (-1: none). */
struct incoming {
    struct wire_header header;
    const uint8_t *payload;
    int fd, fd_lost;
    uint8_t bytes[WIRE_PACKET_MAX];
};

int anchor_link_init(struct anchor_link *link, int fd)
{
    memset(link, 0, sizeof *link);
    link->magic = ANCHOR_LINK_MAGIC;
    link->fd = fd;
    link->timeout_ms = ANCHOR_LINK_TIMEOUT_MS;
    return fd_set_cloexec(fd, 1);
}

void anchor_link_fini(struct anchor_link *link)
{
    MUST(link->magic == ANCHOR_LINK_MAGIC);
    fd_close(&link->fd);
    link->magic = 0;
}

static int link_fail(struct anchor_link *link, int error)
{
    if (!link->error)
        link->error = error;
    return error;
}

static int link_send(struct anchor_link *link, enum wire_type type, uint64_t serial, const void *payload,
                     uint32_t length, int fd)
{
    uint8_t packet[WIRE_PACKET_MAX];
    MUST(length <= WIRE_PAYLOAD_MAX);
    wire_header_put(packet, type, length, serial);
    if (length)
        memcpy(packet + WIRE_HEADER_SIZE, payload, length);
    int error = packet_send(link->fd, packet, WIRE_HEADER_SIZE + length, fd);
    return error == ERR_CLOSED ? link_fail(link, error) : error;
}

static int link_add_event(struct anchor_link *link, const struct anchor_event *event)
{
    if (link->event_count == ANCHOR_LINK_EVENTS)
        return link_fail(link, ERR_PROTOCOL); /* the anchor never has more than a few open */
    link->events[(link->first_event + link->event_count++) % ANCHOR_LINK_EVENTS] = *event;
    return 0;
}

/* Takes in an event. Unknown ones are skipped: a newer anchor may know more. */
static int link_take_event(struct anchor_link *link, const struct incoming *in)
{
    const uint8_t *at = in->payload;
    if (in->header.type == WIRE_PING && in->header.length == 8) {
        int error = link_send(link, WIRE_PONG, 0, at, 8, -1);
        /* No room means that the anchor has something of ours to read: that shows life as well. */
        return error == ERR_AGAIN ? 0 : error;
    }
    if (in->header.type == WIRE_STATUS && in->header.length == WIRE_STATUS_SIZE)
        return link_add_event(link, &(struct anchor_event){.type = ANCHOR_EVENT_STATUS,
                                                           .seq = wire_get_u64(at),
                                                           .pid = (pid_t)wire_get_u32(at + 8),
                                                           .code = (int)wire_get_u32(at + 12),
                                                           .status = (int)wire_get_u32(at + 16),
                                                           .was_master = wire_get_u32(at + 20) != 0});
    if (in->header.type == WIRE_SIGNAL && in->header.length == WIRE_SIGNAL_SIZE)
        return link_add_event(link, &(struct anchor_event){.type = ANCHOR_EVENT_SIGNAL,
                                                           .seq = wire_get_u64(at),
                                                           .signal = (int)wire_get_u32(at + 8)});
    if (in->header.type == WIRE_COMMANDED && in->header.length == 8)
        return link_add_event(
            link, &(struct anchor_event){.type = ANCHOR_EVENT_COMMAND, .epoch = wire_get_u64(at)});
    return 0;
}

/* Receives one message; in->fd belongs to the caller. 0, ERR_AGAIN, or a final error. */
static int link_receive(struct anchor_link *link, struct incoming *in)
{
    struct packet packet;
    int error = packet_receive(link->fd, in->bytes, sizeof in->bytes, &packet);
    if (error == ERR_AGAIN || error == ERR_NO_MEMORY)
        return error;
    if (!error && !wire_header_get(in->bytes, packet.length, &in->header)) {
        fd_close(&packet.fd);
        error = ERR_PROTOCOL;
    }
    if (error)
        return link_fail(link, error);
    in->payload = in->bytes + WIRE_HEADER_SIZE;
    in->fd = packet.fd;
    in->fd_lost = packet.fd_lost;
    return 0;
}

static int link_is_answer(const struct incoming *in)
{
    return in->header.type == WIRE_OK || in->header.type == WIRE_ERROR;
}

/* Waits until the descriptor is ready for `events`. 0, ERR_TIMEOUT or an error. */
static int link_wait(const struct anchor_link *link, short events, uint64_t deadline_ns)
{
    struct pollfd polled = {.fd = link->fd, .events = events};
    for (;;) {
        uint64_t now_ns = clock_monotonic_ns();
        if (now_ns >= deadline_ns)
            return ERR_TIMEOUT;
        int ready = poll(&polled, 1, (int)((deadline_ns - now_ns) / NS_PER_MS + 1));
        if (ready > 0)
            return 0;
        if (ready < 0 && errno != EINTR)
            return err_from_errno(errno);
    }
}

/* What an ERROR says. */
static int link_answer_error(struct anchor_link *link, const struct incoming *in)
{
    if (in->header.length < 4)
        return link_fail(link, ERR_PROTOCOL);
    size_t length = in->header.length - 4;
    if (length >= sizeof link->error_text)
        length = sizeof link->error_text - 1;
    memcpy(link->error_text, in->payload + 4, length);
    link->error_text[length] = 0;
    int error = (int)wire_get_u32(in->payload);
    return error < 0 ? error : link_fail(link, ERR_PROTOCOL);
}

/* Waits for the answer with our serial; what else arrives is an event, or the late answer of a request that
 * was given up. */
static int link_await(struct anchor_link *link, struct incoming *in, uint64_t deadline_ns)
{
    for (;;) {
        int error = link_receive(link, in);
        if (error == ERR_AGAIN || error == ERR_NO_MEMORY)
            error = link_wait(link, POLLIN, deadline_ns);
        else if (!error && link_is_answer(in) && in->header.serial == link->serial)
            return in->header.type == WIRE_ERROR ? link_answer_error(link, in) : 0;
        else if (!error && !link_is_answer(in))
            error = link_take_event(link, in);
        fd_close(&in->fd);
        if (error)
            return error;
    }
}

/* Sends a request and waits for its answer. On success in->fd, if it is not -1, belongs to the caller. */
static int link_ask(struct anchor_link *link, enum wire_type type, const void *payload, uint32_t length,
                    int fd, struct incoming *in)
{
    uint64_t deadline_ns = clock_monotonic_ns() + link->timeout_ms * NS_PER_MS;
    MUST(link->magic == ANCHOR_LINK_MAGIC);
    in->fd = -1;
    link->error_text[0] = 0;
    if (link->error)
        return link->error;
    link->serial++;
    int error;
    while ((error = link_send(link, type, link->serial, payload, length, fd)) == ERR_AGAIN) {
        error = link_wait(link, POLLOUT, deadline_ns);
        if (error)
            return error;
    }
    if (!error)
        error = link_await(link, in, deadline_ns);
    if (error)
        fd_close(&in->fd);
    return error;
}

/* For requests whose answer is OK and nothing more. */
static int link_ask_plain(struct anchor_link *link, enum wire_type type, const void *payload, uint32_t length,
                          int fd)
{
    struct incoming in;
    int error = link_ask(link, type, payload, length, fd, &in);
    fd_close(&in.fd);
    return error;
}

static int link_ask_name(struct anchor_link *link, enum wire_type type, const char *name, int fd)
{
    size_t length = strlen(name);
    if (!wire_name_valid(name, length))
        return ERR_INVALID;
    return link_ask_plain(link, type, name, (uint32_t)length, fd);
}

/* Reads the three texts at the end of the answer to HELLO. */
static int link_read_images(const struct incoming *in, struct anchor_hello *hello)
{
    char *into[3] = {hello->image, hello->good, hello->trying};
    const uint8_t *text = in->payload + WIRE_HELLO_ANSWER_SIZE;
    size_t left = in->header.length - WIRE_HELLO_ANSWER_SIZE;
    for (int i = 0; i < 3; i++) {
        size_t length = in->payload[WIRE_HELLO_ANSWER_SIZE - 3 + i];
        if (length > WIRE_NAME_MAX || length > left)
            return ERR_PROTOCOL;
        memcpy(into[i], text, length);
        into[i][length] = 0;
        text += length;
        left -= length;
    }
    return 0;
}

int anchor_link_hello(struct anchor_link *link, struct anchor_hello *hello)
{
    struct incoming in;
    uint8_t versions[WIRE_HELLO_SIZE];
    wire_put_u16(versions, WIRE_VERSION);
    wire_put_u16(versions + 2, WIRE_VERSION);
    memset(hello, 0, sizeof *hello);
    int error = link_ask(link, WIRE_HELLO, versions, sizeof versions, -1, &in);
    if (error)
        return error;
    fd_close(&in.fd);
    if (in.header.length < WIRE_HELLO_ANSWER_SIZE)
        return link_fail(link, ERR_PROTOCOL);
    const uint8_t *at = in.payload;
    hello->in_command = (wire_get_u16(at + 2) & WIRE_HELLO_IN_COMMAND) != 0;
    hello->ready_before = (wire_get_u16(at + 2) & WIRE_HELLO_READY_BEFORE) != 0;
    hello->anchor = (pid_t)wire_get_u32(at + 4);
    hello->self = (pid_t)wire_get_u32(at + 8);
    hello->other = (pid_t)wire_get_u32(at + 12);
    hello->epoch = wire_get_u64(at + 16);
    hello->started = wire_get_u64(at + 24);
    error = link_read_images(&in, hello);
    return error ? link_fail(link, error) : 0;
}

int anchor_link_put(struct anchor_link *link, const char *name, int fd)
{
    return fd < 0 ? ERR_INVALID : link_ask_name(link, WIRE_PUT, name, fd);
}

int anchor_link_get(struct anchor_link *link, const char *name, int *fd)
{
    struct incoming in;
    size_t length = strlen(name);
    *fd = -1;
    if (!wire_name_valid(name, length))
        return ERR_INVALID;
    int error = link_ask(link, WIRE_GET, name, (uint32_t)length, -1, &in);
    if (error)
        return error;
    if (in.fd < 0)
        return in.fd_lost ? ERR_NO_DESCRIPTORS : link_fail(link, ERR_PROTOCOL);
    *fd = in.fd;
    return 0;
}

int anchor_link_del(struct anchor_link *link, const char *name)
{
    return link_ask_name(link, WIRE_DEL, name, -1);
}

/* Hands the names of one answer to the callback. */
static int link_list_names(struct anchor_link *link, const struct incoming *in, anchor_link_name_fn callback,
                           void *arg)
{
    char name[WIRE_NAME_MAX + 1];
    for (uint32_t at = 4; at < in->header.length;) {
        uint32_t length = in->payload[at++];
        if (length > in->header.length - at || !wire_name_valid(in->payload + at, length))
            return link_fail(link, ERR_PROTOCOL);
        memcpy(name, in->payload + at, length);
        name[length] = 0;
        at += length;
        int stop = callback(arg, name);
        if (stop)
            return stop;
    }
    return 0;
}

int anchor_link_list(struct anchor_link *link, const char *prefix, anchor_link_name_fn callback, void *arg)
{
    struct incoming in;
    uint8_t payload[4 + WIRE_NAME_MAX];
    size_t length = strlen(prefix);
    uint32_t cursor = 0;
    if (length > WIRE_NAME_MAX)
        return ERR_INVALID;
    memcpy(payload + 4, prefix, length);
    do {
        wire_put_u32(payload, cursor);
        int error = link_ask(link, WIRE_LIST, payload, (uint32_t)(4 + length), -1, &in);
        if (error)
            return error;
        fd_close(&in.fd);
        uint32_t next = in.header.length >= 4 ? wire_get_u32(in.payload) : cursor;
        if (in.header.length < 4 || (next && next <= cursor))
            return link_fail(link, ERR_PROTOCOL);
        error = link_list_names(link, &in, callback, arg);
        if (error)
            return error;
        cursor = next;
    } while (cursor);
    return 0;
}

int anchor_link_start(struct anchor_link *link, const char *image, pid_t *pid)
{
    struct incoming in;
    size_t length = image ? strlen(image) : 0;
    if (image && !wire_name_valid(image, length))
        return ERR_INVALID;
    int error = link_ask(link, WIRE_START, image, (uint32_t)length, -1, &in);
    if (error)
        return error;
    fd_close(&in.fd);
    if (in.header.length < 4)
        return link_fail(link, ERR_PROTOCOL);
    *pid = (pid_t)wire_get_u32(in.payload);
    return 0;
}

int anchor_link_command(struct anchor_link *link, pid_t pid)
{
    uint8_t payload[4];
    wire_put_u32(payload, (uint32_t)pid);
    return link_ask_plain(link, WIRE_COMMAND, payload, sizeof payload, -1);
}

int anchor_link_image(struct anchor_link *link, enum wire_image_op op, const char *name)
{
    uint8_t payload[1 + WIRE_NAME_MAX];
    size_t length = strlen(name);
    if (!wire_name_valid(name, length))
        return ERR_INVALID;
    payload[0] = (uint8_t)op;
    memcpy(payload + 1, name, length);
    return link_ask_plain(link, WIRE_IMAGE, payload, (uint32_t)(1 + length), -1);
}

int anchor_link_notify(struct anchor_link *link, const char *text)
{
    size_t length = strlen(text);
    if (length < 1 || length > WIRE_PAYLOAD_MAX)
        return ERR_INVALID;
    return link_ask_plain(link, WIRE_NOTIFY, text, (uint32_t)length, -1);
}

int anchor_link_log(struct anchor_link *link, int fd)
{
    return fd < 0 ? ERR_INVALID : link_ask_plain(link, WIRE_LOG, "", 0, fd);
}

int anchor_link_exit(struct anchor_link *link, int code)
{
    uint8_t payload[4];
    wire_put_u32(payload, (uint32_t)code);
    return link_ask_plain(link, WIRE_EXIT, payload, sizeof payload, -1);
}

int anchor_link_ack(struct anchor_link *link, uint64_t seq)
{
    uint8_t payload[8];
    wire_put_u64(payload, seq);
    return link_ask_plain(link, WIRE_ACK, payload, sizeof payload, -1);
}

int anchor_link_next(struct anchor_link *link, struct anchor_event *event)
{
    struct incoming in;
    MUST(link->magic == ANCHOR_LINK_MAGIC);
    while (!link->event_count) {
        if (link->error)
            return link->error;
        int error = link_receive(link, &in);
        if (error)
            return error == ERR_NO_MEMORY ? ERR_AGAIN : error;
        fd_close(&in.fd);
        if (!link_is_answer(&in)) {
            error = link_take_event(link, &in);
            if (error)
                return error;
        }
    }
    *event = link->events[link->first_event];
    link->first_event = (link->first_event + 1) % ANCHOR_LINK_EVENTS;
    link->event_count--;
    return 0;
}
