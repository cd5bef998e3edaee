#include "talk.h"

#include "base/fd.h"
#include "unit.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PATIENCE_MS 10000

static char no_host[] = "";
static struct http_site_address any_address = {.listener = 0, .host = no_host};
static struct slice any_index = {"index.html", 10};
static struct http_route any_route = {
    .text = "", .answer = ROUTE_FILES, .settings = {.index = &any_index, .index_count = 1}};
static struct http_site any_site = {.addresses = &any_address, .address_count = 1, .route = &any_route};

void talk_open(struct talk *talk, const struct handler *handler, int family)
{
    *talk = (struct talk){.client = -1};
    rig_open(&talk->rig, &http_class, family);
    talk->config = (struct http_config){
        .keepalive_ms = TALK_KEEPALIVE_MS,
        .header_timeout_ms = TALK_HEADER_MS,
        .body_timeout_ms = TALK_BODY_MS,
        .write_timeout_ms = TALK_WRITE_MS,
        .limits = {.max_header_size = 8192, .max_headers = 100, .max_request_line = 8192},
        .sites = &any_site,
        .site_count = 1};
    talk->http = (struct http){
        .worker = &talk->rig.worker, .config = &talk->config, .handlers = {handler}, .next_request = 1};
    assert_int_equal(sites_init(&talk->http.sites, &talk->config), 0);
    talk->rig.worker.application = &talk->http;
    talk_connect(talk);
}

void talk_close(struct talk *talk)
{
    fd_close(&talk->client);
    free(talk->got);
    sites_fini(&talk->http.sites);
    rig_close(&talk->rig);
}

void talk_connect(struct talk *talk)
{
    fd_close(&talk->client);
    talk->client = rig_open_connection(&talk->rig, &talk->record);
    talk->length = 0;
    talk->has_ended = 0;
}

/* --- bytes --- */

static void receive(struct talk *talk)
{
    ssize_t count;

    if (talk->capacity - talk->length < 65536) {
        talk->capacity = talk->capacity * 2 + 131072;
        talk->got = realloc(talk->got, talk->capacity);
        assert_non_null(talk->got);
    }
    count = recv(talk->client, talk->got + talk->length, talk->capacity - talk->length - 1, MSG_DONTWAIT);
    if (count > 0)
        talk->length += (size_t)count;
    else if (count == 0 || errno != EAGAIN)
        talk->has_ended = 1;
    talk->got[talk->length] = '\0';
}

/* Waits for something to happen on either side; a worker with work left is not waited for. */
static void turn(struct talk *talk, short events)
{
    struct pollfd wait[2] = {{.fd = talk->rig.worker.epoll_fd, .events = POLLIN},
                             {.fd = talk->client, .events = events}};

    if (!talk->rig.worker.again_count)
        assert_true(poll(wait, 2, PATIENCE_MS) > 0);
    (void)rig_turn(&talk->rig, 0);
    if (wait[1].revents & (POLLIN | POLLHUP | POLLERR))
        receive(talk);
}

void talk_send(struct talk *talk, const char *bytes, size_t length)
{
    while (length > 0) {
        ssize_t count = send(talk->client, bytes, length, MSG_NOSIGNAL);

        if (count < 0) {
            assert_int_equal(errno, EAGAIN);
            turn(talk, POLLIN | POLLOUT);
            continue;
        }
        bytes += count;
        length -= (size_t)count;
    }
}

void talk_say(struct talk *talk, const char *text)
{
    talk_send(talk, text, strlen(text));
}

void talk_shut(struct talk *talk)
{
    assert_int_equal(shutdown(talk->client, SHUT_WR), 0);
}

void talk_settle(struct talk *talk)
{
    while (rig_turn(&talk->rig, 0) > 0 || talk->rig.worker.again_count)
        ;
}

size_t talk_await(struct talk *talk, size_t length)
{
    while (talk->length < length && !talk->has_ended)
        turn(talk, POLLIN);
    return talk->length;
}

/* --- responses --- */

static size_t number_after(const char *head, const char *name)
{
    const char *at = strcasestr(head, name);

    assert_non_null(at);
    return strtoul(at + strlen(name), NULL, 10);
}

static size_t await_head(struct talk *talk)
{
    const char *end;

    while (!talk->got || !(end = strstr(talk->got, "\r\n\r\n"))) {
        assert_false(talk->has_ended);
        turn(talk, POLLIN);
    }
    return (size_t)(end - talk->got) + 4;
}

void talk_hear(struct talk *talk, struct response *response, int is_head)
{
    static char *body;
    size_t head = await_head(talk), length;

    assert_true(head < sizeof response->head);
    memcpy(response->head, talk->got, head);
    response->head[head] = '\0';
    assert_memory_equal(response->head, "HTTP/1.1 ", 9);
    response->status = atoi(response->head + 9);
    response->says_close = strstr(response->head, "\r\nConnection: close\r\n") != NULL;
    length = is_head || response->status == 100 ? 0 : number_after(response->head, "\r\nContent-Length: ");
    assert_true(talk_await(talk, head + length) >= head + length);
    free(body);
    body = malloc(length + 1);
    memcpy(body, talk->got + head, length);
    body[length] = '\0';
    response->body = body;
    response->length = length;
    talk->length -= head + length;
    memmove(talk->got, talk->got + head + length, talk->length + 1);
}

void talk_expect(struct talk *talk, int status, const char *body)
{
    struct response response;

    talk_hear(talk, &response, 0);
    assert_int_equal(response.status, status);
    if (body)
        assert_string_equal(response.body, body);
}

void talk_expect_end(struct talk *talk)
{
    while (!talk->has_ended)
        turn(talk, POLLIN);
    assert_int_equal(talk->length, 0);
}

void talk_expect_idle(struct talk *talk)
{
    talk_settle(talk);
    assert_int_equal(talk_step(talk), EXCHANGE_READ_HEAD);
    assert_int_equal(talk->rig.worker.blocks.in_use, 0);
    assert_int_equal(talk->rig.worker.files, 0);
    assert_true(http_class.is_idle(talk->record, UINT64_MAX));
}

/* --- the worker --- */

enum exchange_step talk_step(const struct talk *talk)
{
    const void *state = record_head(talk->record)->protocol;

    return (enum exchange_step)((const struct exchange_state *)state)->step;
}

void talk_revive(struct talk *talk, int fault_thread)
{
    struct arena_core *core = talk->rig.worker.arena.core;

    core->fault = fault_thread >= 0;
    core->fault_thread = fault_thread >= 0 ? (uint32_t)fault_thread : 0;
    rig_forget(&talk->rig);
    talk->http.next_request = 1;
    rig_revive(&talk->rig);
}

uint64_t talk_deadline(const struct talk *talk)
{
    return talk->record->deadline_ns & ~(uint64_t)RECORD_PURPOSE_MASK;
}

int talk_pass(struct talk *talk, uint64_t ns)
{
    struct worker *worker = &talk->rig.worker;

    worker->now_ns += ns;
    if (!talk_deadline(talk) || talk_deadline(talk) > worker->now_ns)
        return 0;
    worker->intent->record = arena_number(&worker->arena, talk->record) + 1;
    http_class.expired(worker, talk->record);
    worker->intent->record = 0;
    return 1;
}
