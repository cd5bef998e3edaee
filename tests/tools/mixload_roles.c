#include "tools/mixload.h"

#include <stdio.h>
#include <string.h>

#define POST_MAX 100000
#define POST_PIECE_MAX 4096
#define POST_PIPELINE_MAX 3

const char *role_name(enum role role)
{
    static const char *const names[] = {"keepalive", "download", "post", "fresh", "idle"};
    return names[role];
}

/* Appends one GET or HEAD and what it must be answered with. Header lines of varied number and length move
 * the places where a request is split. */
static void ask(struct load *load, struct client *client, unsigned document, enum expectation_kind kind)
{
    char path[DOCUMENT_PATH_SIZE], text[512];
    static const char padding[] = "abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz0123456789";
    document_path(document, path);
    int pad = (int)random_below(&load->random, 2 * (sizeof padding - 1));
    int length =
        snprintf(text, sizeof text, "%s %s%s HTTP/1.1\r\nHost: load.example\r\n%s",
                 kind == EXPECT_HEAD_ONLY ? "HEAD" : "GET", path, kind == EXPECT_NOT_FOUND ? "-missing" : "",
                 client->ends ? "Connection: close\r\n" : "");
    if (pad < (int)sizeof padding)
        length += snprintf(text + length, sizeof text - (size_t)length, "X-Padding: %.*s\r\n", pad, padding);
    length += snprintf(text + length, sizeof text - (size_t)length, "\r\n");
    client_append(client, text, (size_t)length);
    client_expect(load, client, &(struct expectation){.kind = kind, .document = document});
}

static unsigned any_small(struct load *load)
{
    return (unsigned)random_below(&load->random, DOCUMENT_SMALL_COUNT);
}

static void ask_anything(struct load *load, struct client *client)
{
    uint64_t dice = random_below(&load->random, 64);
    enum expectation_kind kind = EXPECT_DOCUMENT;
    if (dice == 0)
        kind = EXPECT_NOT_FOUND;
    else if (dice < 5)
        kind = EXPECT_HEAD_ONLY;
    ask(load, client, any_small(load), kind);
}

static void send_all(struct load *load, struct client *client)
{
    client->out_allowed = client->out_length;
    client_flush(load, client);
}

/* Lets the next piece of what is pending go: a random length, the rest a moment later. */
static void send_piece(struct load *load, struct client *client)
{
    size_t left = client->out_length - client->out_allowed;
    client->out_allowed += 1 + (size_t)random_below(&load->random, left);
    int more = client->out_allowed < client->out_length;
    /* What is held back by us is not the server's latency. */
    for (unsigned i = 0; more && i < client->queue_count; i++)
        client->queue[(client->queue_first + i) % QUEUE_SIZE].asked_ns = 0;
    client->act_ns = more ? load->now_ns + random_below(&load->random, 4 * MS) + 1 : 0;
    client_flush(load, client);
}

static void keepalive_farewell(struct load *load, struct client *client)
{
    client->ends = 1;
    ask(load, client, any_small(load), EXPECT_DOCUMENT);
    send_all(load, client);
}

static void keepalive_on_time(struct load *load, struct client *client)
{
    if (client->out_allowed < client->out_length) {
        send_piece(load, client);
        return;
    }
    client->act_ns = 0;
    if (!client_is_quiet(client) || client->ends)
        return;
    if (load->is_ending) {
        keepalive_farewell(load, client);
        return;
    }
    uint64_t count = random_below(&load->random, 2) ? 1 : 2 + random_below(&load->random, PIPELINE_MAX - 1);
    for (uint64_t i = 0; i < count; i++)
        ask_anything(load, client);
    if (random_below(&load->random, 2))
        send_all(load, client);
    else
        send_piece(load, client);
}

static void keepalive_on_answer(struct load *load, struct client *client)
{
    if (!client_is_quiet(client) || client->ends)
        return;
    client->act_ns = load->now_ns + 1 + random_below(&load->random, load->options.think_ns + 1);
}

static void download_ask(struct load *load, struct client *client)
{
    ask(load, client, client->number % 4 == 3 ? DOCUMENT_BIG_2M : DOCUMENT_BIG_50M, EXPECT_DOCUMENT);
    send_all(load, client);
}

/* Reads what its rate has earned since the last turn; sometimes nothing for half a second. */
static void download_on_time(struct load *load, struct client *client)
{
    uint64_t elapsed_ns = load->now_ns - client->read_allowed_ns;
    uint64_t earned = elapsed_ns * load->options.download_rate / 1000000000ULL;
    client->read_allowed_ns = load->now_ns;
    client->act_ns = load->now_ns + 10 * MS + random_below(&load->random, 20 * MS);
    if (random_below(&load->random, 64) == 0)
        client->act_ns += 500 * MS;
    client_read(load, client, (size_t)earned + 1);
}

static void post_begin(struct load *load, struct client *client)
{
    char text[256];
    uint64_t limit = random_below(&load->random, 4) == 0 ? 100 : POST_MAX;
    client->post_length = client->post_left = random_below(&load->random, limit);
    client->post_at = random_below(&load->random, 1u << 30);
    client->post_chunked = (int)random_below(&load->random, 2);
    client->post_active = 1;
    client->requests_left--;

    uint64_t hash = FNV1A64_START;
    for (uint64_t done = 0; done < client->post_length;) {
        size_t run;
        const unsigned char *bytes = document_bytes(DOCUMENT_BIG_50M, client->post_at + done,
                                                    (size_t)(client->post_length - done), &run);
        hash = fnv1a64(hash, bytes, run);
        done += run;
    }
    int length = snprintf(text, sizeof text, "POST /_test/hash HTTP/1.1\r\nHost: load.example\r\n%s",
                          client->post_chunked ? "Transfer-Encoding: chunked\r\n\r\n" : "");
    if (!client->post_chunked)
        length += snprintf(text + length, sizeof text - (size_t)length, "Content-Length: %llu\r\n\r\n",
                           (unsigned long long)client->post_length);
    client_append(client, text, (size_t)length);
    client_expect(load, client,
                  &(struct expectation){.kind = EXPECT_HASH, .length = client->post_length, .hash = hash});
}

/* Appends body bytes of the pattern, as a chunk if chunked; the last chunk when nothing is left. */
static void post_append(struct load *load, struct client *client)
{
    char line[64];
    uint64_t size = 1 + random_below(&load->random, POST_PIECE_MAX);
    if (size > client->post_left)
        size = client->post_left;
    if (client->post_chunked && size > 0) {
        int length =
            snprintf(line, sizeof line, random_below(&load->random, 8) ? "%llx\r\n" : "%llX;note=1\r\n",
                     (unsigned long long)size);
        client_append(client, line, (size_t)length);
    }
    for (uint64_t done = 0; done < size;) {
        size_t run;
        const unsigned char *bytes =
            document_bytes(DOCUMENT_BIG_50M, client->post_at, (size_t)(size - done), &run);
        client_append(client, bytes, run);
        client->post_at += run;
        done += run;
    }
    client->post_left -= size;
    if (client->post_chunked && size > 0)
        client_append(client, "\r\n", 2);
    if (client->post_left > 0)
        return;
    if (client->post_chunked)
        client_append(client, "0\r\n\r\n", 5);
    client->post_active = 0;
}

static void post_on_time(struct load *load, struct client *client)
{
    uint64_t pause_ns = random_below(&load->random, 2 * POST_PIECE_MAX) * 500000000ULL;
    client->act_ns = load->now_ns + 1 + pause_ns / load->options.post_rate;
    if (client->out_sent < client->out_allowed)
        return; /* the socket takes nothing at the moment */
    if (client->post_active && client_room(client) > 2 * POST_PIECE_MAX) {
        post_append(load, client);
    } else if (!client->post_active && client->requests_left > 0 && !load->is_ending &&
               client->queue_count < POST_PIPELINE_MAX && client_room(client) > 2 * POST_PIECE_MAX) {
        post_begin(load, client);
    } else if (client_is_quiet(client)) {
        client_finish(load, client);
        if (client->state == CLIENT_UNUSED && !load->is_ending)
            client->act_ns = load->now_ns + 1; /* several on a connection, then a new one */
        return;
    }
    if (client->out_allowed < client->out_length) {
        uint64_t act_ns = client->act_ns;
        if (random_below(&load->random, 2))
            send_all(load, client);
        else
            send_piece(load, client);
        if (client->state == CLIENT_OPEN)
            client->act_ns = act_ns;
    }
}

static void fresh_ask(struct load *load, struct client *client)
{
    client->requests_left--;
    if (client->requests_left == 0)
        client->ends = (int)random_below(&load->random, 2);
    ask_anything(load, client);
    send_all(load, client);
}

static void fresh_on_answer(struct load *load, struct client *client)
{
    if (client->requests_left > 0)
        fresh_ask(load, client);
    else if (!client->ends)
        client_finish(load, client);
}

void role_ask_idle(struct load *load, struct client *client)
{
    ask(load, client, any_small(load), EXPECT_DOCUMENT);
    send_all(load, client);
}

void role_on_open(struct load *load, struct client *client)
{
    switch (client->role) {
    case ROLE_KEEPALIVE:
        client->act_ns = load->now_ns + 1 + random_below(&load->random, load->options.think_ns + 1);
        break;
    case ROLE_DOWNLOAD:
        client->read_allowed_ns = load->now_ns;
        client->act_ns = load->now_ns + 1;
        download_ask(load, client);
        break;
    case ROLE_POST:
        client->requests_left = 1 + (unsigned)random_below(&load->random, 8);
        client->act_ns = load->now_ns + 1;
        break;
    case ROLE_FRESH:
        client->requests_left = 1 + (unsigned)random_below(&load->random, 3);
        fresh_ask(load, client);
        break;
    case ROLE_IDLE:
        role_ask_idle(load, client);
        break;
    case ROLE_COUNT:
        break;
    }
}

void role_on_answer(struct load *load, struct client *client)
{
    if (client->role == ROLE_KEEPALIVE)
        keepalive_on_answer(load, client);
    else if (client->role == ROLE_DOWNLOAD)
        download_ask(load, client);
    else if (client->role == ROLE_FRESH)
        fresh_on_answer(load, client);
}

void role_on_time(struct load *load, struct client *client)
{
    if (client->role == ROLE_KEEPALIVE)
        keepalive_on_time(load, client);
    else if (client->role == ROLE_DOWNLOAD)
        download_on_time(load, client);
    else if (client->role == ROLE_POST)
        post_on_time(load, client);
    else
        client->act_ns = 0;
}
