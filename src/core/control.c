#include "core/control.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "core/control_wire.h"
#include "core/listeners.h"
#include "core/master.h"
#include "core/status.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct client {
    int fd;            /* owned; -1: free */
    uint64_t quiet_ns; /* since when it has asked nothing */
    size_t length;
    char request[CONTROL_REQUEST_MAX];
};

struct control {
    int listener_fd; /* owned */
    struct client clients[CONTROL_CLIENTS_MAX];
};

/* --- the socket --- */

static void address_of(const struct master *master, struct core_listener *listener)
{
    struct sockaddr_un *address = (struct sockaddr_un *)&listener->address;

    *listener = (struct core_listener){.kind = CORE_LISTENER_UNIX, .length = sizeof *address, .mode = 0600};
    address->sun_family = AF_UNIX;
    strcpy(address->sun_path, master->settings.control_path);
}

static int open_control(struct master *master, int *fd)
{
    struct core_listener listener;
    char why[128] = "";
    int result = anchor_link_get(&master->anchor, "control", fd);

    if (result != ERR_NOT_FOUND)
        return result;
    address_of(master, &listener);
    *fd = listener_open(&listener, 0, why, sizeof why);
    if (*fd < 0) {
        log_event(LOG_ERROR, LOG_EV_LISTENER_FAILED, "control=\"%s\" error=\"%s\" next=\"%s\"",
                  master->settings.control_path, why,
                  "is another server running? name another path with `control`");
        return *fd;
    }
    return anchor_link_put(&master->anchor, "control", *fd);
}

int control_start(struct master *master)
{
    struct control *control;
    int result;

    if (master->control)
        return 0;
    control = calloc(1, sizeof *control);
    if (!control)
        return ERR_NO_MEMORY;
    for (int i = 0; i < CONTROL_CLIENTS_MAX; i++)
        control->clients[i].fd = -1;
    result = open_control(master, &control->listener_fd);
    if (result) {
        free(control);
        return result;
    }
    master->control = control;
    return 0;
}

void control_stop(struct master *master)
{
    struct core_listener listener;

    if (!master->control)
        return;
    address_of(master, &listener);
    listener_unlink(&listener);
    fd_close(&master->control->listener_fd);
    for (int i = 0; i < CONTROL_CLIENTS_MAX; i++)
        fd_close(&master->control->clients[i].fd);
    free(master->control);
    master->control = NULL;
    (void)!anchor_link_del(&master->anchor, "control");
}

/* --- answers --- */

static void answer(struct client *client, json_t *object)
{
    char *text = json_dumps(object, JSON_COMPACT | JSON_ENSURE_ASCII);

    json_decref(object);
    if (!text || fd_write_all(client->fd, text, strlen(text)) || fd_write_all(client->fd, "\n", 1))
        fd_close(&client->fd);
    free(text);
}

static void refuse(struct client *client, const char *error, const char *next)
{
    answer(client, json_pack("{s:b, s:s, s:s}", "ok", 0, "error", error, "next", next));
}

static void command_status(struct master *master, struct client *client)
{
    const struct status_source source = {master->board, &master->settings, master->service, master->shared};

    answer(client, json_pack("{s:b, s:o}", "ok", 1, "result", status_json(&source)));
}

static void command_stop(struct master *master, struct client *client, int graceful)
{
    master_stop(master, graceful);
    answer(client, json_pack("{s:b, s:{s:i, s:s}}", "ok", 1, "result", "anchor", (int)master->hello.anchor,
                             "phase", master_phase_name(master)));
}

static void refuse_in_this_phase(struct master *master, struct client *client)
{
    char error[64];

    snprintf(error, sizeof error, "the server is in phase %s", master_phase_name(master));
    refuse(client, error, "it must be running: see `holdfast status`");
}

static void answer_drain(struct master *master, struct client *client)
{
    answer(client, json_pack("{s:b, s:{s:s}}", "ok", 1, "result", "drain", master_drain_name(master)));
}

/* Another process answers; whatever else this client asked is not heard. */
static void command_connections(struct master *master, struct client *client)
{
    int result = lister_start(master, client->fd);

    if (result == ERR_BUSY)
        refuse(client, "connections are being listed already", "try again in a moment");
    else if (result)
        refuse(client, "the process that lists them could not be started", "the log says more");
    else
        fd_close(&client->fd);
}

static void command_drain(struct master *master, struct client *client)
{
    if (master_drain(master)) /* the one reason */
        refuse_in_this_phase(master, client);
    else
        answer_drain(master, client);
}

static void command_resume(struct master *master, struct client *client)
{
    if (master->state->phase != PHASE_RUN)
        refuse_in_this_phase(master, client);
    else if (master_resume(master))
        refuse(client, "an address could not be listened on again",
               "the log names it; free it and resume again");
    else
        answer_drain(master, client);
}

#ifdef HOLDFAST_TEST_HOOKS
static struct slot *running_slot(struct master *master, unsigned number)
{
    for (unsigned i = 0; i < MASTER_SLOTS_MAX; i++)
        if (master->slots[i].state->step == SLOT_RUN && master->slots[i].page &&
            master->slots[i].state->number == number &&
            master->slots[i].state->generation == master->state->generation)
            return &master->slots[i];
    return NULL;
}

/* "test-hand-over FROM TO": slots of the present generation. */
static void test_hand_over(struct master *master, struct client *client, const char *numbers)
{
    unsigned from = 0, to = 0;
    struct slot *slots[2] = {NULL, NULL};

    if (sscanf(numbers, "%u %u", &from, &to) == 2) {
        slots[0] = running_slot(master, from);
        slots[1] = running_slot(master, to);
    }
    answer(client,
           json_pack("{s:b, s:{}}", "ok",
                     slots[0] && slots[1] && !master_hand_over(master, slots[0], slots[1]), "result"));
}

/* What handovers have come to, by slot. */
static void test_handovers(struct master *master, struct client *client)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < MASTER_SLOTS_MAX; i++) {
        const struct arena_page *page = master->slots[i].page;

        if (page && master->slots[i].state->step != SLOT_FREE)
            json_array_append_new(list,
                                  json_pack("{s:i, s:I, s:I, s:I, s:I, s:i, s:i, s:I}", "slot",
                                            (int)master->slots[i].state->number, "given",
                                            (json_int_t)page->given, "received", (json_int_t)page->received,
                                            "refused", (json_int_t)page->batches_refused, "longest_ns",
                                            (json_int_t)page->frozen_longest_ns, "links",
                                            (int)page->handover_links, "links_seen", (int)page->links_seen,
                                            "connections", (json_int_t)page->connections));
    }
    answer(client, json_pack("{s:b, s:o}", "ok", 1, "result", list));
}

/* Until reload and upgrade do it: a test runs two generations at once. */
static int obey_test(struct master *master, struct client *client, const char *command)
{
    if (!strcmp(command, "test-begin-generation"))
        answer(client, json_pack("{s:b, s:{}}", "ok", master_begin_generation(master) == 0, "result"));
    else if (!strcmp(command, "test-retire-former"))
        answer(client,
               json_pack("{s:b, s:{s:i}}", "ok", 1, "result", "retired", master_retire_former(master)));
    else if (!strncmp(command, "test-hand-over ", 15))
        test_hand_over(master, client, command + 15);
    else if (!strcmp(command, "test-handovers"))
        test_handovers(master, client);
    else
        return 0;
    return 1;
}
#else
static int obey_test(struct master *master, struct client *client, const char *command)
{
    (void)master;
    (void)client;
    (void)command;
    return 0;
}
#endif

static void obey(struct master *master, struct client *client, const char *command)
{
    log_event(LOG_DEBUG, LOG_EV_CONTROL, "command=\"%.40s\"", command);
    if (!strcmp(command, "status"))
        command_status(master, client);
    else if (!strcmp(command, "stop"))
        command_stop(master, client, 1);
    else if (!strcmp(command, "stop-now"))
        command_stop(master, client, 0);
    else if (!strcmp(command, "connections"))
        command_connections(master, client);
    else if (!strcmp(command, "drain"))
        command_drain(master, client);
    else if (!strcmp(command, "resume"))
        command_resume(master, client);
    else if (!obey_test(master, client, command))
        refuse(client, "unknown command", "this server may be older than the command line: compare versions");
}

static void take_line(struct master *master, struct client *client, const char *line, size_t length)
{
    json_error_t error;
    json_t *request = json_loadb(line, length, 0, &error);
    const char *command = json_string_value(json_object_get(request, "command"));

    if (command)
        obey(master, client, command);
    else
        refuse(client, "the request is no JSON object with a \"command\"", "see docs/control.md");
    json_decref(request);
}

/* --- clients --- */

static int may_command(int fd)
{
    struct ucred peer;
    socklen_t length = sizeof peer;

    return !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) &&
           (peer.uid == 0 || peer.uid == geteuid());
}

/* A free place; if there is none, that of the client who has been quiet for the longest time. */
static struct client *make_room(struct control *control)
{
    struct client *quietest = &control->clients[0];

    for (int i = 0; i < CONTROL_CLIENTS_MAX; i++) {
        if (control->clients[i].fd < 0)
            return &control->clients[i];
        if (control->clients[i].quiet_ns < quietest->quiet_ns)
            quietest = &control->clients[i];
    }
    fd_close(&quietest->fd);
    return quietest;
}

/* Nobody can hold the master up: neither reading nor writing blocks, and a client that does not take its answers is
 * dropped (answer) when the socket's buffer is full. */
static void accept_client(struct control *control)
{
    const int room = CONTROL_ANSWER_MAX;
    int fd = accept4(control->listener_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    struct client *client;

    if (fd < 0)
        return;
    if (!may_command(fd)) {
        close(fd);
        return;
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    client = make_room(control);
    client->fd = fd;
    client->length = 0;
    client->quiet_ns = clock_monotonic_ns();
}

static void read_client(struct master *master, struct client *client)
{
    ssize_t count = recv(client->fd, client->request + client->length,
                         sizeof client->request - client->length, MSG_DONTWAIT);
    char *end;

    if (count < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (count <= 0) {
        fd_close(&client->fd);
        return;
    }
    client->length += (size_t)count;
    while (client->fd >= 0 && (end = memchr(client->request, '\n', client->length))) {
        size_t line = (size_t)(end - client->request) + 1;

        client->quiet_ns = clock_monotonic_ns();
        take_line(master, client, client->request, line);
        client->length -= line;
        memmove(client->request, end + 1, client->length);
    }
    if (client->length == sizeof client->request)
        fd_close(&client->fd);
}

nfds_t control_collect(struct master *master, struct pollfd *polled)
{
    const struct control *control = master->control;

    if (!control)
        return 0;
    polled[0] = (struct pollfd){.fd = control->listener_fd, .events = POLLIN};
    for (int i = 0; i < CONTROL_CLIENTS_MAX; i++)
        polled[1 + i] = (struct pollfd){.fd = control->clients[i].fd, .events = POLLIN};
    return CONTROL_FDS_MAX;
}

void control_ready(struct master *master, const struct pollfd *polled, nfds_t count)
{
    struct control *control = master->control;

    if (!control || count != CONTROL_FDS_MAX)
        return;
    for (int i = 0; i < CONTROL_CLIENTS_MAX; i++)
        if (polled[1 + i].revents && control->clients[i].fd == polled[1 + i].fd)
            read_client(master, &control->clients[i]);
    if (polled[0].revents)
        accept_client(control);
}
