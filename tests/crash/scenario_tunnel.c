#include "crash/scenario_tunnel.h"

#include "tools/documents.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define SMALL_WINDOW 32768
#define BULK 300000u /* fits into the sockets on the way: nobody has to read while it is written */

static void expect_text(struct talk *talk, const char *text)
{
    char got[64];
    size_t length = strlen(text);

    talk_read(talk, got, length);
    if (memcmp(got, text, length) != 0)
        talk_fail("%s: \"%.*s\" came instead of \"%s\"", talk->target->text, (int)length, got, text);
}

void tunnel_greet(struct talk *talk, char mode)
{
    talk_send(talk, &mode, 1);
    expect_text(talk, "hello\n");
}

static void tunnel_open(struct talk *talk, const struct target *target, int receive_buffer, char mode)
{
    talk_open(talk, target, receive_buffer);
    tunnel_greet(talk, mode);
}

void tunnel_ask(struct talk *talk, unsigned number)
{
    char text[32];

    snprintf(text, sizeof text, "number %u\n", number);
    talk_send_text(talk, text);
    expect_text(talk, text);
}

static void send_document(struct talk *talk, uint64_t from, uint64_t to)
{
    while (from < to) {
        size_t run;
        const unsigned char *bytes = document_bytes(DOCUMENT_BIG_2M, from, to - from, &run);

        talk_send(talk, bytes, run);
        from += run;
    }
}

static void we_end(struct talk *talk)
{
    if (shutdown(talk->fd, SHUT_WR))
        talk_fail("%s: shutdown: %s", talk->target->text, strerror(errno));
}

/* Everything came, and then a reset; a Unix socket's peer can only close. */
static void expect_reset(struct talk *talk, int is_unix)
{
    char byte;
    ssize_t length = recv(talk->fd, &byte, 1, 0);

    if (length > 0)
        talk_fail("%s: a byte instead of a reset", talk->target->text);
    if (length == 0 && !is_unix)
        talk_fail("%s: an end instead of a reset", talk->target->text);
    if (length < 0 && errno != ECONNRESET)
        talk_fail("%s: %s instead of a reset", talk->target->text, strerror(errno));
}

void tunnel_ping(const struct target *target)
{
    struct talk talk;

    tunnel_open(&talk, target, 0, 'e');
    for (unsigned i = 0; i < 4; i++)
        tunnel_ask(&talk, i);
    talk_expect_quiet(&talk);
    talk_close(&talk);
}

void tunnel_bulk(const struct target *target)
{
    struct talk talk;

    tunnel_open(&talk, target, 0, 'e');
    send_document(&talk, 0, BULK);
    talk_expect_bytes(&talk, DOCUMENT_BIG_2M, 0, BULK);
    send_document(&talk, BULK, 2 * BULK);
    we_end(&talk);
    talk_expect_bytes(&talk, DOCUMENT_BIG_2M, BULK, 2 * BULK);
    talk_expect_end(&talk);
    talk_close(&talk);
}

void tunnel_slow_reader(const struct target *target)
{
    struct talk talk;

    tunnel_open(&talk, target, SMALL_WINDOW, 'e');
    send_document(&talk, 0, BULK);
    we_end(&talk);
    for (uint64_t at = 0; at < BULK; at += 10000)
        talk_expect_bytes(&talk, DOCUMENT_BIG_2M, at, at + 10000);
    talk_expect_end(&talk);
    talk_close(&talk);
}

void tunnel_we_end_first(const struct target *target)
{
    struct talk talk;

    tunnel_open(&talk, target, 0, 'e');
    talk_send_text(&talk, "all at once");
    we_end(&talk);
    expect_text(&talk, "all at once");
    talk_expect_end(&talk);
    talk_close(&talk);
}

void tunnel_server_ends_first(const struct target *target)
{
    struct talk talk;

    tunnel_open(&talk, target, 0, 'q');
    tunnel_ask(&talk, 1);
    talk_expect_end(&talk);
    send_document(&talk, 0, 50000);
    we_end(&talk);
    talk_close(&talk);
}

void tunnel_we_reset(const struct target *target)
{
    struct talk talk;

    tunnel_open(&talk, target, 0, 'e');
    tunnel_ask(&talk, 1);
    send_document(&talk, 0, 50000);
    talk_abort(&talk);
    tunnel_open(&talk, target, 0, 'e');
    tunnel_ask(&talk, 2);
    talk_close(&talk);
}

void tunnel_server_resets(const struct target *target)
{
    struct talk talk;

    tunnel_open(&talk, target, 0, 'r');
    tunnel_ask(&talk, 1);
    expect_reset(&talk, target->is_unix);
    talk_close(&talk);
}

void tunnel_urgent(const struct target *target)
{
    struct talk talk;

    tunnel_open(&talk, target, 0, 'e');
    talk_send_text(&talk, "abc");
    talk_send_urgent(&talk, 'd');
    talk_send_text(&talk, "efg\n");
    expect_text(&talk, "abcdefg\n");
    tunnel_ask(&talk, 1);
    talk_close(&talk);
}

void tunnel_fresh(const struct target *target)
{
    struct talk talk;

    for (unsigned i = 0; i < 3; i++) {
        tunnel_open(&talk, target, 0, 'e');
        we_end(&talk);
        talk_expect_end(&talk);
        talk_close(&talk);
    }
}
