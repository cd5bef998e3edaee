#include "crash/scenario_refusals.h"

#include "crash/talk.h"
#include "tools/victim.h"

#include <string.h>
#include <sys/socket.h>

#define HEAD(line) line " HTTP/1.1\r\nHost: sweep.example\r\n"

/* The rest of what the client has to say, while the server only listens; nothing of it is answered, and the answer that
 * came before can be read to its end. */
static void end_after(struct talk *talk, size_t bytes)
{
    static const char nothing[8192];

    for (size_t piece; bytes > 0; bytes -= piece) {
        piece = bytes < sizeof nothing ? bytes : sizeof nothing;
        talk_send(talk, nothing, piece);
    }
    shutdown(talk->fd, SHUT_WR);
}

static void expect_refusal(struct talk *talk, int status)
{
    talk_expect_status(talk, status);
    if (!talk->response.closes)
        talk_fail("%s: status %d without Connection: close", talk->target->text, status);
}

/* Asked for once, however often the worker dies; the body comes only then. */
void run_continue(const struct target *target)
{
    struct talk talk;

    talk_open(&talk, target, 0);
    for (int i = 0; i < 2; i++) {
        talk_send_text(&talk, HEAD("POST /_test/hash") "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n");
        talk_expect_continue(&talk);
        talk_send_text(&talk, "he");
        talk_send_text(&talk, "llo");
        talk_expect_hash(&talk, 5, 0xa430d84680aabd0bULL);
    }
    talk_get(&talk, 3);
    talk_expect_document(&talk, 3);
    talk_expect_quiet(&talk);
    talk_close(&talk);
}

/* Refused by its length alone, while it is still on its way. */
void run_early_413(const struct target *target)
{
    struct talk talk;

    talk_open(&talk, target, 0);
    talk_send_text(&talk, HEAD("POST /small-003") "Content-Length: 100000000000\r\n\r\n");
    end_after(&talk, 300000);
    expect_refusal(&talk, 413);
    talk_expect_end(&talk);
    talk_close(&talk);
}

/* The answer is there when the client goes on with the body. */
void run_early_answer(const struct target *target)
{
    struct talk talk;

    talk_open(&talk, target, 0);
    talk_send_text(&talk, HEAD("POST /small-003") "Content-Length: 20000\r\n\r\nhello");
    expect_refusal(&talk, 405);
    end_after(&talk, 19995);
    talk_expect_end(&talk);
    talk_close(&talk);
}

void run_refused(const struct target *target)
{
    static const struct {
        const char *request;
        int status;
    } refusals[] = {
        {"GET  / HTTP/1.1\r\n\r\n", 400},
        {HEAD("GET /small-003") "Host: twice.example\r\n\r\n", 400},
        {HEAD("GET /small-003") "Expect: coffee\r\n\r\n", 417},
        {"GET / HTTP/3.0\r\nHost: sweep.example\r\n\r\n", 505},
    };
    struct talk talk;

    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        talk_open(&talk, target, 0);
        talk_get(&talk, 4);
        talk_send_text(&talk, refusals[i].request);
        talk_get(&talk, 5); /* is never answered */
        talk_expect_document(&talk, 4);
        expect_refusal(&talk, refusals[i].status);
        end_after(&talk, 100);
        talk_expect_end(&talk);
        talk_close(&talk);
    }
}

void run_refused_chunk(const struct target *target)
{
    struct talk talk;

    talk_open(&talk, target, 0);
    talk_send_text(&talk, HEAD("POST /_test/hash") "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    talk_send_text(&talk, "5 \r\nworld\r\n0\r\n\r\n");
    talk_get(&talk, 5);
    expect_refusal(&talk, 400);
    end_after(&talk, 0);
    talk_expect_end(&talk);
    talk_close(&talk);
}
