#include "upstream/check.h"

#include "base/clock.h"
#include "net/proxy_header.h"
#include "proto/h1_response.h"

#include <string.h>

#define HEAD_MAX 15360u
#define REQUEST_MAX 8192u
#define ENDING_NS NS_PER_S
#define READS_A_TURN 16

enum check_step { CHECK_NEW, CHECK_CONNECTING, CHECK_ASKING, CHECK_ENDING };

/* In the protocol state of the record. */
struct check_state {
    uint8_t step;     /* enum check_step */
    uint8_t connects; /* that is all */
    uint8_t reserved[2];
    uint32_t member; /* of pools.h */
};
_Static_assert(sizeof(struct check_state) <= RECORD_PROTOCOL_BYTES, "the state fits the record's head");

static struct pools *checked; /* borrowed */

void check_set_pools(struct pools *pools)
{
    checked = pools;
}

static struct check_state *state_in(struct record_head *head)
{
    return (struct check_state *)(void *)head->protocol;
}

static const struct check_state *seen(const struct record *record)
{
    return (const struct check_state *)(const void *)record_head(record)->protocol;
}

/* --- how it ends --- */

static void forget_input(struct record *record)
{
    record_begin(record)->taken = record->rx;
    record_commit(record);
}

/* Without an answer. */
static void fail(struct worker *worker, struct record *record, int error)
{
    const uint32_t member = seen(record)->member;

    conn_close(worker, record);
    if (checked)
        pools_report_check(checked, member, error, worker->now_ns);
}

static void succeed(struct worker *worker, struct record *record, int status)
{
    struct record_head *head = record_begin(record);

    state_in(head)->step = CHECK_ENDING;
    head->taken = record->rx;
    record_commit(record);
    if (!record->deadline_ns || record->deadline_ns > worker->now_ns + ENDING_NS)
        worker_set_deadline(worker, record, worker->now_ns + ENDING_NS);
    pools_report_check(checked, seen(record)->member, status, worker->now_ns);
}

/* It was to connect, and has. */
static void end_connected(struct worker *worker, struct record *record)
{
    const uint32_t member = seen(record)->member;

    if (conn_has_output(record, record_head(record)) && !conn_flush(worker, record))
        conn_close(worker, record); /* the header is to be read */
    else
        conn_reset(worker, record);
    pools_report_check(checked, member, 0, worker->now_ns);
}

/* --- the steps. 1: the next one can follow; 0: it waits, or the record is gone --- */

/* A socket that was never connected tells of its end at once, so it is registered after connect(2). */
static int connect_member(struct worker *worker, struct record *record)
{
    struct sockaddr_storage address;
    socklen_t length;
    int result = pools_address(checked, seen(record)->member, &address, &length);

    if (!result)
        result = worker_connect(worker, record, (const struct sockaddr *)&address, length);
    if (result && result != ERR_AGAIN && result != ERR_BUSY) {
        fail(worker, record, result);
        return 0;
    }
    if (!worker_side(worker, record)->is_watched && worker_register(worker, record)) {
        conn_close(worker, record);
        return 0;
    }
    if (result == ERR_BUSY) /* nothing will tell */
        worker_again_later(worker, record);
    state_in(record_begin(record))->step = result ? CHECK_CONNECTING : CHECK_ASKING;
    record_commit(record);
    return !result;
}

/* 1: the final head has come and `*status` is its; 0: more is to come; or an error: it is none. */
static int read_head(struct worker *worker, struct record *record, int *status)
{
    static struct h1_response response;
    enum h1_refusal refusal;

    for (;;) { /* RFC 9110 section 15.2: others may come before the final one */
        const struct slice input = conn_input_whole(worker, record, record_head(record));
        uint32_t scanned = 0, length = 0;
        int result = h1_response_find_end(input.at, (uint32_t)input.length, HEAD_MAX, &scanned, &length);

        if (result == ERR_PARTIAL)
            return record_head(record)->end_of_input ? ERR_CLOSED : 0;
        if (!result)
            result = h1_response_parse(input.at, length, 0, &response, &refusal);
        if (result)
            return result;
        *status = response.status;
        if (response.status >= 200)
            return 1;
        record_begin(record)->taken += length;
        record_commit(record);
    }
}

/* What the socket has, up to the ring's size. ERR_AGAIN, ERR_LIMIT, ERR_NO_MEMORY: nothing is wrong; 0: the end. */
static int receive(struct worker *worker, struct record *record)
{
    int result = ERR_AGAIN;

    while (worker_side(worker, record)->readable && !record_head(record)->end_of_input) {
        result = conn_fill(worker, record);
        if (result <= 0)
            break;
    }
    if (result == ERR_NO_MEMORY)
        worker_again_later(worker, record);
    return record_head(record)->end_of_input ? 0 : result;
}

static int is_broken(int result)
{
    return result < 0 && result != ERR_AGAIN && result != ERR_BUSY && result != ERR_NO_MEMORY;
}

/* A server that takes no more of the request may have answered all the same. */
static int ask(struct worker *worker, struct record *record)
{
    int flushed = conn_flush(worker, record), received = receive(worker, record), status = 0, found;

    found = read_head(worker, record, &status);
    if (found == 1) {
        succeed(worker, record, status);
        return 1;
    }
    if (found < 0)
        fail(worker, record, found);
    else if (is_broken(received))
        fail(worker, record, received);
    else if (is_broken(flushed))
        fail(worker, record, flushed);
    return 0;
}

/* The rest of the answer. */
static void end(struct worker *worker, struct record *record)
{
    int result = ERR_AGAIN;

    for (int i = 0; i < READS_A_TURN && worker_side(worker, record)->readable; i++) {
        result = conn_fill(worker, record);
        if (result <= 0)
            break;
        forget_input(record);
    }
    if (record_head(record)->end_of_input || (result <= 0 && result != ERR_AGAIN))
        conn_close(worker, record);
    else if (result > 0 && worker_side(worker, record)->readable)
        worker_again(worker, record);
}

/* --- the class --- */

static void check_opened(struct worker *worker, struct record *record, struct record_head *head)
{
    (void)worker;
    (void)record;
    *state_in(head) = (struct check_state){.step = CHECK_NEW};
}

static void check_ready(struct worker *worker, struct record *record, unsigned events)
{
    struct conn_side *side = worker_side(worker, record);

    conn_note_events(side, events);
    /* A death came before anybody was named; or nobody is there any more. */
    if (!checked || !pools_has_member(checked, seen(record)->member)) {
        conn_close(worker, record);
        return;
    }
    if (seen(record)->step < CHECK_ASKING && !connect_member(worker, record))
        return;
    if (seen(record)->connects) {
        end_connected(worker, record);
        return;
    }
    if (seen(record)->step == CHECK_ASKING && !ask(worker, record))
        return;
    end(worker, record);
}

static void check_expired(struct worker *worker, struct record *record)
{
    if (seen(record)->step == CHECK_ENDING)
        conn_close(worker, record);
    else
        fail(worker, record, ERR_TIMEOUT);
}

static void check_revived(struct worker *worker, struct record *record)
{
    (void)worker;
    (void)record; /* refers to nothing that is counted */
}

static void check_abandon(struct worker *worker, struct record *record)
{
    conn_close(worker, record);
}

static void check_describe(const struct arena *arena, const struct record *record,
                           struct conn_description *description)
{
    static const char *const names[] = {"new", "connect", "ask", "end"};

    (void)arena;
    description->state = seen(record)->step < 4 ? names[seen(record)->step] : "unknown";
}

const struct conn_class upstream_check_class = {
    .name = "check",
    .opened = check_opened,
    .ready = check_ready,
    .expired = check_expired,
    .revived = check_revived,
    .blamed = check_abandon,
    .abandon = check_abandon,
    .describe = check_describe,
};

/* --- the beginning --- */

/* RFC 9110 section 7.2. What an SRV record leads to is known by its address. */
static struct slice own_host(uint32_t member, sa_family_t family)
{
    const struct slice server = pools_member_server(checked, member);

    if (family == AF_UNIX)
        return SLICE_LITERAL("localhost");
    return server.length > 4 && !memcmp(server.at, "srv:", 4) ? pools_member_address(checked, member)
                                                              : server;
}

/* By which we speak for ourselves, where that is wanted. */
static int put_header(struct worker *worker, struct record *record, struct record_head *head,
                      const struct upstream_pool *pool)
{
    char header[PROXY_PROTOCOL_MADE_MAX];

    if (!pool->send_header)
        return 0;
    return conn_put(
        worker, record, head,
        (struct slice){header, proxy_header_make(&worker->arena, NULL, pool->send_header, header)});
}

static int put_request(struct worker *worker, struct record *record, struct record_head *head,
                       const struct upstream_check *rules, struct slice host)
{
    static char memory[REQUEST_MAX];
    struct text request;

    text_init(&request, memory, sizeof memory);
    text_add_c(&request, "GET ");
    text_add_c(&request, rules->path);
    text_add_c(&request, " HTTP/1.1\r\nHost: ");
    if (rules->host)
        text_add_c(&request, rules->host);
    else
        text_add(&request, host);
    text_add_c(&request, "\r\nUser-Agent: holdfast\r\nAccept: */*\r\nConnection: close\r\n\r\n");
    return request.overflow ? ERR_LIMIT
                            : conn_put(worker, record, head, (struct slice){request.at, request.length});
}

void check_begin(struct worker *worker, uint32_t member, const struct upstream_pool *pool)
{
    struct sockaddr_storage address;
    struct record *record;
    struct record_head *head;
    socklen_t length;

    if (pools_address(checked, member, &address, &length) ||
        worker_open_connected(worker, (const struct sockaddr *)&address, CONN_CLASS_CHECK, &record))
        return;
    worker_set_deadline(worker, record, worker->now_ns + pool->check.timeout_ms * NS_PER_MS);
    head = record_begin(record);
    state_in(head)->member = member;
    state_in(head)->connects = pool->check.kind == UPSTREAM_CHECK_CONNECT;
    if (put_header(worker, record, head, pool) ||
        (pool->check.kind == UPSTREAM_CHECK_HTTP &&
         put_request(worker, record, head, &pool->check, own_host(member, address.ss_family)))) {
        conn_close(worker, record);
        return;
    }
    record_commit(record);
    worker_drive(worker, record, READY_IN | READY_OUT);
}
