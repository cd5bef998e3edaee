#include "tools/mixload.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define READ_SIZE 65536

uint64_t load_clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000ULL + (uint64_t)now.tv_nsec;
}

int client_is_quiet(const struct client *client)
{
    return client->queue_count == 0 && client->out_sent == client->out_length && !client->post_active;
}

/* A throttled download is read when its time has come, not when bytes are there. */
static void client_watch(struct load *load, struct client *client, int operation)
{
    struct epoll_event event = {.data.ptr = client};
    if (client->role != ROLE_DOWNLOAD)
        event.events |= EPOLLIN | EPOLLRDHUP;
    if (client->wants_out || client->state == CLIENT_CONNECTING)
        event.events |= EPOLLOUT;
    if (epoll_ctl(load->epoll, operation, client->fd, &event) != 0)
        abort();
}

static void client_reset(struct client *client)
{
    client->out_length = client->out_sent = client->out_allowed = 0;
    client->wants_out = 0;
    client->queue_first = client->queue_count = 0;
    client->in_body = client->ends = client->server_ends = 0;
    client->post_active = 0;
    client->requests_left = 0;
    client->act_ns = 0;
    client->read_allowed_ns = 0;
    response_start(&client->response);
}

void client_open(struct load *load, struct client *client)
{
    /* Half of the downloads get a small window, so that the server's socket buffer is full most of the time.
     */
    int receive_buffer = client->role == ROLE_DOWNLOAD && client->number % 2 ? 65536 : 0;
    client_reset(client);
    client->fd = target_connect(client->target, 1, receive_buffer);
    client->progress_ns = load->now_ns;
    if (client->fd < 0 && errno == EAGAIN) { /* a Unix backlog that is full for a moment refuses nobody */
        client->state = CLIENT_UNUSED;
        client->act_ns = load->now_ns + 2 * MS;
        return;
    }
    if (client->fd < 0) {
        client->state = CLIENT_UNUSED;
        client_fail(load, client, FAULT_CONNECT, "%s", strerror(errno));
        return;
    }
    client->state = CLIENT_CONNECTING;
    report_connection(client->was_lost);
    client->was_lost = 0;
    load->open_count++;
    client_watch(load, client, EPOLL_CTL_ADD);
}

void client_close(struct load *load, struct client *client)
{
    if (client->fd >= 0) {
        close(client->fd);
        load->open_count--;
    }
    client->fd = -1;
    client->state = CLIENT_UNUSED;
    client->act_ns = 0;
}

/* Counts the fault and gives the connection up; the role's next turn makes a new one, counted as reconnect. */
void client_fail(struct load *load, struct client *client, enum fault fault, const char *format, ...)
{
    char why[128], text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(why, sizeof why, format, arguments);
    va_end(arguments);
    snprintf(text, sizeof text, "%s %u at %s: %s (%u answers owed, %zu bytes unsent)",
             role_name(client->role), client->number, client->target->text, why, client->queue_count,
             client->out_length - client->out_sent);
    report_fault(fault, text);
    client_close(load, client);
    client->was_lost = 1;
    client->act_ns = load->is_ending || client->role == ROLE_IDLE ? 0 : load->now_ns + 50 * MS;
}

void client_finish(struct load *load, struct client *client)
{
    char byte;
    if (recv(client->fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK) > 0)
        client_fail(load, client, FAULT_EXTRA, "bytes after the last answer");
    else
        client_close(load, client);
}

size_t client_room(const struct client *client)
{
    return OUT_SIZE - client->out_length;
}

void client_append(struct client *client, const void *bytes, size_t length)
{
    if (!client->out)
        client->out = malloc(OUT_SIZE);
    if (!client->out || length > client_room(client))
        abort();
    memcpy(client->out + client->out_length, bytes, length);
    client->out_length += length;
}

void client_expect(struct load *load, struct client *client, const struct expectation *expectation)
{
    if (client->queue_count == QUEUE_SIZE)
        abort();
    struct expectation *last = &client->queue[(client->queue_first + client->queue_count) % QUEUE_SIZE];
    *last = *expectation;
    last->asked_ns = load->now_ns;
    client->queue_count++;
}

static void client_fail_by_errno(struct load *load, struct client *client, const char *call)
{
    int lost = errno == ECONNRESET || errno == EPIPE;
    client_fail(load, client, lost ? FAULT_RESET : FAULT_SOCKET, "%s: %s", call, strerror(errno));
}

void client_flush(struct load *load, struct client *client)
{
    int wants_out = 0;
    while (client->out_sent < client->out_allowed) {
        ssize_t sent = send(client->fd, client->out + client->out_sent,
                            client->out_allowed - client->out_sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EAGAIN) {
            wants_out = 1;
            break;
        }
        if (sent < 0) {
            client_fail_by_errno(load, client, "send");
            return;
        }
        client->out_sent += (size_t)sent;
        client->progress_ns = load->now_ns;
        report_bytes(0, (uint64_t)sent);
    }
    if (client->out_sent == client->out_length)
        client->out_sent = client->out_length = client->out_allowed = 0;
    if (wants_out != client->wants_out) {
        client->wants_out = wants_out;
        client_watch(load, client, EPOLL_CTL_MOD);
    }
}

/* Holds the head against what was asked. True if it is right. */
static int client_check_head(struct load *load, struct client *client, const struct expectation *expected)
{
    const struct response *response = &client->response;
    int status = expected->kind == EXPECT_NOT_FOUND ? 404 : 200;
    if (response->status != status) {
        client_fail(load, client, response->status >= 500 ? FAULT_SERVER_ERROR : FAULT_STATUS,
                    "%d instead of %d", response->status, status);
        return 0;
    }
    int is_document = expected->kind == EXPECT_DOCUMENT || expected->kind == EXPECT_HEAD_ONLY;
    if (is_document && response->content_length != document_size(expected->document)) {
        client_fail(load, client, FAULT_LENGTH, "document %u: Content-Length %llu", expected->document,
                    (unsigned long long)response->content_length);
        return 0;
    }
    if (!is_document && response->content_length >= sizeof client->text) {
        if (expected->kind == EXPECT_HASH) {
            client_fail(load, client, FAULT_LENGTH, "hash answer of %llu bytes",
                        (unsigned long long)response->content_length);
            return 0;
        }
    }
    return 1;
}

static int client_check_hash(struct load *load, struct client *client, const struct expectation *expected)
{
    char wanted[sizeof client->text];
    snprintf(wanted, sizeof wanted, "%llu %016llx\n", (unsigned long long)expected->length,
             (unsigned long long)expected->hash);
    client->text[client->body_at] = '\0';
    if (strcmp(client->text, wanted) == 0)
        return 1;
    client_fail(load, client, FAULT_BODY, "hash answer %s instead of %s", client->text, wanted);
    return 0;
}

static void client_end_answer(struct load *load, struct client *client)
{
    struct expectation *expected = &client->queue[client->queue_first % QUEUE_SIZE];
    if (expected->kind == EXPECT_HASH && !client_check_hash(load, client, expected))
        return;
    report_answer(client->role, expected->asked_ns ? load->now_ns - expected->asked_ns : 0);
    client->queue_first++;
    client->queue_count--;
    client->server_ends = client->response.closes || (client->ends && client->queue_count == 0);
    client->in_body = 0;
    response_start(&client->response);
    if (client->server_ends && !client->ends) {
        client_fail(load, client, FAULT_EARLY_END, "an answer says Connection: close, nobody asked for it");
        return;
    }
    role_on_answer(load, client);
}

/* Verifies body bytes that stand at body_at. How many belong to the body; 0 after a fault. */
static size_t client_take_body(struct load *load, struct client *client, const char *bytes, size_t length)
{
    const struct expectation *expected = &client->queue[client->queue_first % QUEUE_SIZE];
    uint64_t left = client->response.content_length - client->body_at;
    size_t take = length < left ? length : (size_t)left;
    if (expected->kind == EXPECT_DOCUMENT) {
        int64_t wrong = document_mismatch(expected->document, client->body_at, bytes, take);
        if (wrong >= 0) {
            client_fail(load, client, FAULT_BODY, "document %u differs at %llu", expected->document,
                        (unsigned long long)client->body_at + (unsigned long long)wrong);
            return 0;
        }
    } else if (expected->kind == EXPECT_HASH) {
        memcpy(client->text + client->body_at, bytes, take);
    }
    client->body_at += take;
    return take;
}

/* Takes bytes of a head; when it is complete and right, the body is next. How many; 0 after a fault. */
static size_t client_take_head(struct load *load, struct client *client, const char *bytes, size_t length)
{
    size_t used = 0;
    const char *reason = NULL;
    if (client->queue_count == 0 || client->server_ends) {
        client_fail(load, client, FAULT_EXTRA, "%zu bytes that nobody asked for: %.40s", length, bytes);
        return 0;
    }
    switch (response_feed(&client->response, bytes, length, &used, &reason)) {
    case RESPONSE_MORE:
        return used;
    case RESPONSE_BAD:
        client_fail(load, client, FAULT_HEAD, "%s: %.*s", reason,
                    (int)(client->response.head_length < 60 ? client->response.head_length : 60),
                    client->response.head);
        return 0;
    case RESPONSE_COMPLETE:
        break;
    }
    const struct expectation *expected = &client->queue[client->queue_first % QUEUE_SIZE];
    if (!client_check_head(load, client, expected))
        return 0;
    if (expected->kind == EXPECT_HEAD_ONLY)
        client->response.content_length = 0;
    client->in_body = 1;
    client->body_at = 0;
    return used;
}

static void client_take(struct load *load, struct client *client, const char *bytes, size_t length)
{
    while (client->state == CLIENT_OPEN) {
        if (client->in_body && client->body_at == client->response.content_length) {
            client_end_answer(load, client);
            continue;
        }
        if (length == 0)
            return;
        size_t used = client->in_body ? client_take_body(load, client, bytes, length)
                                      : client_take_head(load, client, bytes, length);
        if (client->state != CLIENT_OPEN)
            return;
        bytes += used;
        length -= used;
    }
}

static void client_on_end(struct load *load, struct client *client)
{
    if (client->server_ends && client_is_quiet(client)) {
        client_close(load, client);
        return;
    }
    client_fail(load, client, FAULT_EARLY_END, client->in_body ? "end in the middle of a body" : "end");
}

void client_read(struct load *load, struct client *client, size_t limit)
{
    static char buffer[READ_SIZE + 1];
    while (limit > 0 && client->state == CLIENT_OPEN) {
        size_t wanted = limit < READ_SIZE ? limit : READ_SIZE;
        ssize_t length = recv(client->fd, buffer, wanted, MSG_DONTWAIT);
        if (length < 0 && errno == EAGAIN)
            return;
        if (length < 0) {
            client_fail_by_errno(load, client, "recv");
            return;
        }
        if (length == 0) {
            client_on_end(load, client);
            return;
        }
        buffer[length] = '\0'; /* an unexpected text is shown in the fault */
        client->progress_ns = load->now_ns;
        report_bytes((uint64_t)length, 0);
        client_take(load, client, buffer, (size_t)length);
        limit -= (size_t)length;
        if ((size_t)length < wanted)
            return;
    }
}

void client_on_event(struct load *load, struct client *client, uint32_t events)
{
    if (client->state == CLIENT_CONNECTING) {
        int error = 0;
        socklen_t length = sizeof error;
        getsockopt(client->fd, SOL_SOCKET, SO_ERROR, &error, &length);
        if (error != 0) {
            client_fail(load, client, FAULT_CONNECT, "%s", strerror(error));
            return;
        }
        client->state = CLIENT_OPEN;
        client->progress_ns = load->now_ns;
        client_watch(load, client, EPOLL_CTL_MOD);
        role_on_open(load, client);
        return;
    }
    if (client->state == CLIENT_OPEN && (events & EPOLLOUT))
        client_flush(load, client);
    if (client->state == CLIENT_OPEN && (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)))
        client_read(load, client, 1 << 20);
}
