#include "crash/scenario.h"

#include "crash/scenario_files.h"
#include "crash/scenario_header.h"
#include "crash/scenario_refusals.h"
#include "crash/scenario_tunnel.h"
#include "crash/talk.h"
#include "tools/documents.h"
#include "tools/victim.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SMALL_WINDOW                                                                                         \
    32768                 /* receive buffer in bytes: the server's socket buffer fills while we do not read */
#define SCRIPT_LIMIT_S 25 /* a script that takes longer hangs, whatever the reason */

/* A pause of the client's, as people and networks make them: nothing is waited for. */
static void pause_a_moment(void)
{
    struct timespec moment = {.tv_nsec = 300000};
    nanosleep(&moment, NULL);
}

static void run_get_small(const struct target *target)
{
    struct talk talk;
    static const unsigned documents[] = {8, 0, 19};
    talk_open(&talk, target, 0);
    for (size_t i = 0; i < 3; i++) {
        talk_get(&talk, documents[i]);
        talk_expect_document(&talk, documents[i]);
    }
    talk_expect_quiet(&talk);
    talk_close(&talk);
}

static void run_fresh(const struct target *target)
{
    struct talk talk;
    char request[256];
    for (int i = 0; i < 3; i++) {
        talk_open(&talk, target, 0);
        talk_send(&talk, request, talk_request(request, sizeof request, "GET", 3, "Connection: close\r\n"));
        talk_expect_document(&talk, 3);
        talk_expect_end(&talk);
        talk_close(&talk);
    }
}

static void run_pipeline(const struct target *target)
{
    struct talk talk;
    char requests[4096];
    size_t length = 0;
    talk_open(&talk, target, 0);
    for (unsigned i = 0; i < 16; i++)
        length += talk_request(requests + length, sizeof requests - length, "GET", i, "");
    talk_send(&talk, requests, length);
    for (unsigned i = 0; i < 16; i++)
        talk_expect_document(&talk, i);
    talk_expect_quiet(&talk);
    talk_close(&talk);
}

/* Each answer is waited for with half of the next request already there: the split is where it should be. */
static void run_split(const struct target *target)
{
    struct talk talk;
    char request[256];
    talk_open(&talk, target, 0);
    talk_get(&talk, 20);
    for (unsigned i = 0; i < 4; i++) {
        size_t length = talk_request(request, sizeof request, "GET", 21 + i, "X-Long: abcdefgh\r\n");
        size_t cut = 3 + i * (length - 4) / 3;
        talk_send(&talk, request, cut);
        talk_expect_document(&talk, 20 + i);
        talk_send(&talk, request + cut, length - cut);
    }
    talk_expect_document(&talk, 24);
    talk_expect_quiet(&talk);
    talk_close(&talk);
}

static void run_head(const struct target *target)
{
    struct talk talk;
    char request[512];
    talk_open(&talk, target, 0);
    size_t length = talk_request(request, sizeof request, "HEAD", DOCUMENT_BIG_2M, "");
    length += talk_request(request + length, sizeof request - length, "HEAD", 7, "");
    talk_send(&talk, request, length);
    talk_expect_head(&talk, DOCUMENT_BIG_2M);
    talk_expect_head(&talk, 7);
    talk_get(&talk, 7);
    talk_expect_document(&talk, 7);
    talk_expect_quiet(&talk);
    talk_close(&talk);
}

static void run_get_large(const struct target *target)
{
    struct talk talk;
    talk_open(&talk, target, SMALL_WINDOW);
    talk_get(&talk, DOCUMENT_BIG_2M);
    talk_expect_start(&talk, DOCUMENT_BIG_2M, 1000);
    pause_a_moment();
    talk_expect_rest(&talk, DOCUMENT_BIG_2M, 1000);
    talk_get(&talk, 9);
    talk_expect_document(&talk, 9);
    talk_expect_quiet(&talk);
    talk_close(&talk);
}

/* Bytes of the pattern and their hash; the start of the large document. */
#define BODY_SIZE 30000
static uint64_t body_of_post(unsigned char body[BODY_SIZE])
{
    for (size_t done = 0; done < BODY_SIZE;) {
        size_t run;
        const unsigned char *bytes = document_bytes(DOCUMENT_BIG_2M, done, BODY_SIZE - done, &run);
        memcpy(body + done, bytes, run);
        done += run;
    }
    return fnv1a64(FNV1A64_START, body, BODY_SIZE);
}

static const char post_hash[] = "POST /_test/hash HTTP/1.1\r\nHost: sweep.example\r\n";

static void run_post_length(const struct target *target)
{
    struct talk talk;
    unsigned char body[BODY_SIZE];
    char line[64];
    uint64_t hash = body_of_post(body);
    talk_open(&talk, target, 0);
    talk_send_text(&talk, post_hash);
    snprintf(line, sizeof line, "Content-Length: %d\r\n\r\n", BODY_SIZE);
    talk_send_text(&talk, line);
    talk_send(&talk, body, 1);
    pause_a_moment();
    talk_send(&talk, body + 1, 9999);
    pause_a_moment();
    talk_send(&talk, body + 10000, BODY_SIZE - 10000);
    talk_expect_hash(&talk, BODY_SIZE, hash);
    talk_get(&talk, 5);
    talk_expect_document(&talk, 5);
    talk_expect_quiet(&talk);
    talk_close(&talk);
}

static void run_post_chunked(const struct target *target)
{
    struct talk talk;
    unsigned char body[BODY_SIZE];
    char line[64];
    size_t done = 0, size = 1;
    uint64_t hash = body_of_post(body);
    talk_open(&talk, target, 0);
    talk_send_text(&talk, post_hash);
    talk_send_text(&talk, "Transfer-Encoding: chunked\r\n\r\n");
    while (done < BODY_SIZE) {
        if (size > BODY_SIZE - done)
            size = BODY_SIZE - done;
        snprintf(line, sizeof line, "%zx\r\n", size);
        size_t cut = 1 + done % strlen(line); /* between digits, before CR, between CR and LF, after LF */
        talk_send(&talk, line, cut);
        pause_a_moment();
        talk_send_text(&talk, line + cut);
        talk_send(&talk, body + done, size);
        talk_send_text(&talk, "\r\n");
        done += size;
        size = size * 9 + 3;
    }
    talk_send_text(&talk, "0\r\n\r");
    pause_a_moment();
    talk_send_text(&talk, "\n");
    talk_expect_hash(&talk, BODY_SIZE, hash);
    talk_get(&talk, 6);
    talk_expect_document(&talk, 6);
    talk_expect_quiet(&talk);
    talk_close(&talk);
}

static void run_idle(const struct target *target)
{
    struct talk talk;
    talk_open(&talk, target, 0);
    talk_get(&talk, 10);
    talk_expect_document(&talk, 10);
    pause_a_moment();
    talk_get(&talk, 11);
    talk_expect_document(&talk, 11);
    talk_expect_quiet(&talk);
    talk_close(&talk);
}

static void run_half_close(const struct target *target)
{
    struct talk talk;
    talk_open(&talk, target, SMALL_WINDOW);
    talk_get(&talk, 12);
    talk_get(&talk, DOCUMENT_BIG_2M);
    shutdown(talk.fd, SHUT_WR);
    talk_expect_document(&talk, 12);
    talk_expect_document(&talk, DOCUMENT_BIG_2M);
    talk_expect_end(&talk);
    talk_close(&talk);
}

static void run_reset(const struct target *target)
{
    struct talk talk, other;
    char request[256];
    talk_open(&other, target, 0);
    talk_open(&talk, target, 0);
    size_t length = talk_request(request, sizeof request, "GET", 13, "");
    talk_send(&talk, request, length / 2);
    pause_a_moment();
    talk_abort(&talk);
    talk_open(&talk, target, SMALL_WINDOW);
    talk_get(&talk, DOCUMENT_BIG_2M);
    talk_expect_start(&talk, DOCUMENT_BIG_2M, 5000);
    talk_abort(&talk);
    talk_get(&other, 13);
    talk_expect_document(&other, 13);
    talk_expect_quiet(&other);
    talk_close(&other);
}

/* The urgent byte is the last digit of the document's number: lost or moved, it is another document. */
static void run_urgent_head(const struct target *target)
{
    struct talk talk;
    talk_open(&talk, target, 0);
    for (int i = 0; i < 2; i++) {
        talk_send_text(&talk, "GET /small-01");
        if (i == 0)
            pause_a_moment(); /* the other time everything may be there at once */
        talk_send_urgent(&talk, '7');
        talk_send_text(&talk, " HTTP/1.1\r\nHost: sweep.example\r\n\r\n");
        talk_expect_document(&talk, 17);
    }
    talk_expect_quiet(&talk);
    talk_close(&talk);
}

static void run_urgent_body(const struct target *target)
{
    struct talk talk;
    talk_open(&talk, target, 0);
    talk_send_text(&talk, post_hash);
    talk_send_text(&talk, "Content-Length: 11\r\n\r\nhello");
    pause_a_moment();
    talk_send_urgent(&talk, '!');
    talk_send_text(&talk, "world");
    talk_expect_hash(&talk, 11, fnv1a64(FNV1A64_START, "hello!world", 11));
    talk_get(&talk, 14);
    talk_expect_document(&talk, 14);
    talk_expect_quiet(&talk);
    talk_close(&talk);
}

static void run_vanish(const struct target *target)
{
    struct talk talk, other;
    talk_open(&other, target, 0);
    talk_open(&talk, target, SMALL_WINDOW);
    talk_get(&talk, DOCUMENT_BIG_2M);
    talk_close(&talk);
    talk_open(&talk, target, 0);
    talk_send_text(&talk, "GET /small-0");
    talk_close(&talk);
    talk_get(&other, 15);
    talk_expect_document(&other, 15);
    talk_expect_quiet(&other);
    talk_close(&other);
}

static void run_not_found(const struct target *target)
{
    struct talk talk;
    talk_open(&talk, target, 0);
    for (int i = 0; i < 2; i++) {
        talk_send_text(&talk, "GET /nothing-here HTTP/1.1\r\nHost: sweep.example\r\n\r\n");
        talk_expect_status(&talk, 404);
    }
    talk_get(&talk, 16);
    talk_expect_document(&talk, 16);
    talk_expect_quiet(&talk);
    talk_close(&talk);
}

/* A server may read the refused body and go on, or say "Connection: close" and do so; both are right. */
static void run_not_allowed(const struct target *target)
{
    struct talk talk;
    talk_open(&talk, target, 0);
    talk_send_text(&talk,
                   "POST /small-003 HTTP/1.1\r\nHost: sweep.example\r\nContent-Length: 5\r\n\r\nhello");
    talk_expect_status(&talk, 405);
    if (!talk.response.closes) {
        talk_get(&talk, 18);
        talk_expect_document(&talk, 18);
        talk_expect_quiet(&talk);
    } else {
        talk_expect_end(&talk);
    }
    talk_close(&talk);
}

/* The body comes later than a head may: for servers whose header_timeout is LATE_MS or less, and body_timeout longer. */
#define LATE_MS 1100
static void run_late_body(const struct target *target)
{
    struct talk talk;
    const struct timespec late = {.tv_sec = LATE_MS / 1000, .tv_nsec = LATE_MS % 1000 * 1000000L};
    talk_open(&talk, target, 0);
    talk_send_text(&talk, post_hash);
    talk_send_text(&talk, "Content-Length: 11\r\n\r\nhello ");
    nanosleep(&late, NULL);
    talk_send_text(&talk, "world");
    talk_expect_hash(&talk, 11, fnv1a64(FNV1A64_START, "hello world", 11));
    talk_get(&talk, 6);
    talk_expect_document(&talk, 6);
    talk_expect_quiet(&talk);
    talk_close(&talk);
}

const struct scenario_part scenario_parts[] = {
    {"get-small", 0, 0, 0, run_get_small},
    {"fresh", 0, 0, 0, run_fresh},
    {"pipeline", 0, 0, 0, run_pipeline},
    {"split", 0, 0, 0, run_split},
    {"head", 0, 0, 0, run_head},
    {"get-large", 0, 0, 0, run_get_large},
    {"post-length", 1, 0, 0, run_post_length},
    {"post-chunked", 1, 0, 0, run_post_chunked},
    {"idle", 0, 0, 0, run_idle},
    {"half-close", 0, 0, 0, run_half_close},
    {"reset", 0, 0, 0, run_reset},
    {"urgent-head", 0, 1, 0, run_urgent_head},
    {"urgent-body", 1, 1, 0, run_urgent_body},
    {"vanish", 0, 0, 0, run_vanish},
    {"not-found", 0, 0, 0, run_not_found},
    {"not-allowed", 0, 0, 0, run_not_allowed},
    {"continue", 1, 0, 0, run_continue},
    {"early-413", 0, 0, 0, run_early_413},
    {"early-answer", 0, 0, 0, run_early_answer},
    {"refused", 0, 0, 0, run_refused},
    {"refused-chunk", 1, 0, 0, run_refused_chunk},
    {"ranges", 0, 0, 0, files_ranges},
    {"parts", 0, 0, 0, files_several_ranges},
    {"brotli", 0, 0, 0, files_brotli},
    {"zstd", 0, 0, 0, files_zstd},
    {"gzip", 0, 0, 0, files_gzip},
    {"listing", 0, 0, 0, files_listing},
    {"late-body", 1, 0, 1, run_late_body},
    {"header", 0, 0, 1, header_by_and_by},
    {"tunnel-ping", 0, 0, 1, tunnel_ping},
    {"tunnel-bulk", 0, 0, 1, tunnel_bulk},
    {"tunnel-slow-reader", 0, 0, 1, tunnel_slow_reader},
    {"tunnel-we-end-first", 0, 0, 1, tunnel_we_end_first},
    {"tunnel-server-ends-first", 0, 0, 1, tunnel_server_ends_first},
    {"tunnel-we-reset", 0, 0, 1, tunnel_we_reset},
    {"tunnel-server-resets", 0, 0, 1, tunnel_server_resets},
    {"tunnel-urgent", 0, 1, 1, tunnel_urgent},
    {"tunnel-fresh", 0, 0, 1, tunnel_fresh},
};
const size_t scenario_part_count = sizeof scenario_parts / sizeof scenario_parts[0];

const struct scenario_part *scenario_find(const char *name)
{
    for (size_t i = 0; i < scenario_part_count; i++) {
        if (strcmp(scenario_parts[i].name, name) == 0)
            return &scenario_parts[i];
    }
    return NULL;
}

static char *reason; /* one page shared with the children */

static int bystanders_echo;

void scenario_init(int echoes)
{
    bystanders_echo = echoes;
    reason = mmap(NULL, SCENARIO_REASON_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (reason == MAP_FAILED)
        abort();
    talk_set_reason(reason, SCENARIO_REASON_SIZE);
}

static void ask_bystander(const struct bystander *bystander, unsigned document)
{
    struct talk talk;
    talk_adopt(&talk, bystander->target, bystander->fd);
    if (bystanders_echo) {
        tunnel_ask(&talk, document);
        talk_expect_quiet(&talk);
        return;
    }
    talk_get(&talk, document);
    talk_expect_document(&talk, document);
    talk_expect_quiet(&talk);
}

/* In the child: dies with its parent, and by SIGALRM if it hangs in spite of all timeouts. */
static void script_begin(void)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    alarm(SCRIPT_LIMIT_S);
}

pid_t scenario_start(const struct scenario_part *part, const struct target *target,
                     const struct bystander *bystander)
{
    reason[0] = '\0';
    pid_t child = fork();
    if (child != 0)
        return child;
    script_begin();
    part->run(target);
    if (bystander && bystander->fd >= 0)
        ask_bystander(bystander, 4);
    _exit(0);
}

static void tour_extras_happen(const struct tour_extras *extras)
{
    pid_t worker = extras && extras->keeper > 0 ? victim_worker(extras->keeper) : 0;
    if (worker > 0)
        kill(worker, SIGKILL);
    if (extras && extras->status_command && system(extras->status_command) == -1)
        talk_fail("the status command could not be run");
}

pid_t scenario_start_tour(const struct target *targets, size_t count, const struct bystander *bystanders,
                          const struct tour_extras *extras)
{
    reason[0] = '\0';
    pid_t child = fork();
    if (child != 0)
        return child;
    script_begin();
    struct talk large;
    talk_open(&large, &targets[0], SMALL_WINDOW);
    talk_get(&large, DOCUMENT_BIG_2M);
    talk_expect_start(&large, DOCUMENT_BIG_2M, 1000);
    for (size_t i = 0; i < count; i++)
        run_get_small(&targets[i]);
    tour_extras_happen(extras);
    for (size_t i = 0; i < count; i++)
        run_idle(&targets[i]);
    for (size_t i = 0; bystanders && i < count; i++) {
        if (bystanders[i].fd >= 0)
            ask_bystander(&bystanders[i], 4);
    }
    talk_expect_rest(&large, DOCUMENT_BIG_2M, 1000);
    talk_expect_quiet(&large);
    _exit(0);
}

const char *scenario_verdict(int status)
{
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return NULL;
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
        return "the scenario hung";
    return reason[0] ? reason : "the scenario ended without a reason";
}

static void greet_bystander(const struct bystander *bystander)
{
    struct talk talk;
    talk_adopt(&talk, bystander->target, bystander->fd);
    tunnel_greet(&talk, 'e');
}

int bystander_open(struct bystander *bystander)
{
    if (bystander->fd >= 0)
        return 0;
    int fd = target_connect(bystander->target, 0, 0), status = 0;
    if (fd < 0) {
        snprintf(reason, SCENARIO_REASON_SIZE, "a bystander cannot connect to %s", bystander->target->text);
        return -1;
    }
    bystander->fd = fd;
    pid_t child = fork();
    if (child == 0) {
        script_begin();
        if (bystanders_echo)
            greet_bystander(bystander);
        ask_bystander(bystander, 2);
        _exit(0);
    }
    if (waitpid(child, &status, 0) == child && status == 0)
        return 0;
    close(fd);
    bystander->fd = -1;
    return -1;
}
