#include "http/deadlines.h"

#define LINGER_MS 2000u
#define LINGER_ALL_NS (30 * NS_PER_S)
#define PATIENCE_NS NS_PER_S /* so long a head that is under way is not closed to make room */

/* What a deadline is for (record_purpose). */
enum timing { TIMING_NONE, TIMING_IDLE, TIMING_HEAD, TIMING_BODY, TIMING_WRITE, TIMING_LINGER };

static const struct http *http_of(const struct worker *worker)
{
    return worker->application;
}

/* --- rates --- */

static uint64_t min_rate(const struct worker *worker, const struct record *record, enum timing timing)
{
    const struct route_settings *settings = exchange_settings(http_of(worker), exchange_seen(record));

    if (!settings || (timing != TIMING_BODY && timing != TIMING_WRITE))
        return 0;
    return timing == TIMING_BODY ? settings->min_body_rate : settings->min_write_rate;
}

/* What has got through, as far as that costs nothing to know. */
static uint64_t progress(const struct conn_side *side, const struct record *record, enum timing timing)
{
    uint64_t count = timing == TIMING_BODY ? record->rx : side->sent_seen;

    return count > side->rate_from ? count - side->rate_from : 0;
}

/* When the average falls below the rate if nothing more gets through; UINT64_MAX: never. */
static uint64_t rate_deadline(struct worker *worker, const struct record *record, enum timing timing)
{
    const struct conn_side *side = worker_side(worker, record);
    const uint64_t rate = min_rate(worker, record, timing);
    uint64_t good_ns, count;

    if (!rate)
        return UINT64_MAX;
    count = progress(side, record, timing);
    if (count / rate > UINT32_MAX)
        return UINT64_MAX;
    good_ns = count / rate * NS_PER_S + count % rate * NS_PER_S / rate;
    if (good_ns < HTTP_RATE_GRACE_MS * NS_PER_MS)
        good_ns = HTTP_RATE_GRACE_MS * NS_PER_MS;
    return side->rate_since_ns + good_ns;
}

/* A body or a response that had to wait for somebody else, and has been measured before: its average goes on, without the time
 * since it last moved. */
static int rate_goes_on(struct worker *worker, const struct record *record, enum timing timing)
{
    struct conn_side *side = worker_side(worker, record);
    const uint64_t rated = exchange_seen(record)->request * (RECORD_PURPOSE_MASK + 1) + timing;

    if (side->rated != rated) {
        side->rated = rated;
        return 0;
    }
    side->rate_since_ns = worker->now_ns - (side->taken_ns - side->rate_since_ns);
    return 1;
}

static void rate_begins(struct worker *worker, struct record *record, enum timing timing)
{
    struct conn_side *side = worker_side(worker, record);

    if (!min_rate(worker, record, timing) || rate_goes_on(worker, record, timing))
        return;
    side->rate_since_ns = worker->now_ns;
    if (timing == TIMING_WRITE)
        (void)conn_drains(worker, record);
    side->rate_from = timing == TIMING_BODY ? record->rx : side->sent_seen;
}

/* A request is passed on, and its body is what is waited for. */
static int relay_wants_body(const struct record *record)
{
    return exchange_seen(record)->flags & EXCHANGE_BODY_UNREAD &&
           !conn_input_length(record, record_head(record));
}

/* Whoever is slow there is nobody's business: the tunnel has an idle timeout of its own, with the other leg. */
static int is_tunnel(const struct record *record)
{
    return exchange_seen(record)->step == EXCHANGE_RELAY && exchange_seen(record)->status == 101;
}

/* --- setting --- */

static enum waiting_for waits_for(enum timing timing)
{
    if (timing == TIMING_IDLE || timing == TIMING_LINGER) /* all was said */
        return WAITING_IDLE;
    return timing == TIMING_HEAD ? WAITING_BEGUN : WAITING_NOT;
}

static void set_timing(struct worker *worker, struct record *record, enum timing timing, uint64_t ms,
                       int restart)
{
    const int is_another = record_purpose(record) != timing;
    uint64_t deadline_ns = worker->now_ns + ms * NS_PER_MS, rate_ns;

    if (!is_another && !restart)
        return;
    if (is_another)
        rate_begins(worker, record, timing);
    worker_side(worker, record)->taken_ns = worker->now_ns;
    rate_ns = rate_deadline(worker, record, timing);
    worker_set_deadline_for(worker, record, rate_ns < deadline_ns ? rate_ns : deadline_ns, timing);
    worker_waits(worker, record, waits_for(timing));
}

void deadline_opened(struct worker *worker, struct record *record)
{
    set_timing(worker, record, TIMING_HEAD, http_of(worker)->config->header_timeout_ms, 1);
}

void deadline_head_ends(struct worker *worker, struct record *record)
{
    record->deadline_ns &= ~(uint64_t)RECORD_PURPOSE_MASK;
    worker_waits(worker, record, WAITING_NOT);
}

void deadline_linger(struct worker *worker, struct record *record)
{
    worker_side(worker, record)->rate_since_ns = worker->now_ns;
    set_timing(worker, record, TIMING_LINGER, LINGER_MS, 1);
}

void deadline_linger_on(struct worker *worker, struct record *record)
{
    const uint64_t end_ns = worker_side(worker, record)->rate_since_ns + LINGER_ALL_NS;
    const uint64_t quiet_ns = worker->now_ns + LINGER_MS * NS_PER_MS;

    worker_set_deadline_for(worker, record, quiet_ns < end_ns ? quiet_ns : end_ns, TIMING_LINGER);
}

/* Who waits for a server is looked at before its time is over, too (worker_again_later). */
static void plan_wait(struct worker *worker, struct record *record, uint64_t due_ns)
{
    if (worker_side(worker, record)->wants_memory)
        record->deadline_ns = record_deadline(due_ns, TIMING_NONE);
    else
        worker_set_deadline_for(worker, record, due_ns, TIMING_NONE);
}

void deadline_plan(struct worker *worker, struct record *record, int received, int sent)
{
    const struct http_config *config = http_of(worker)->config;
    const struct record_head *head = record_head(record);
    const int was_cut = worker_was_cut(worker_side(worker, record));

    received |= was_cut;
    sent |= was_cut;
    if (is_tunnel(record)) {
        record->deadline_ns = 0;
        return;
    }
    if (conn_has_output(record, head)) {
        set_timing(worker, record, TIMING_WRITE, config->write_timeout_ms, sent);
        return;
    }
    switch ((enum exchange_step)exchange_seen(record)->step) {
    case EXCHANGE_READ_HEAD:
        if (worker_side(worker, record)->is_working) { /* put off: it is our turn */
            deadline_head_ends(worker, record);
            worker_set_deadline(worker, record, 0);
        } else if (conn_input_length(record, head) || !exchange_has_asked(record))
            set_timing(worker, record, TIMING_HEAD, config->header_timeout_ms, 0);
        else
            set_timing(worker, record, TIMING_IDLE, config->keepalive_ms, received || sent);
        break;
    case EXCHANGE_READ_BODY:
        set_timing(worker, record, TIMING_BODY, config->body_timeout_ms, received);
        break;
    case EXCHANGE_HANDLE:
        deadline_head_ends(worker, record);
        worker_set_deadline(worker, record, 0);
        break;
    case EXCHANGE_STREAM:
        deadline_head_ends(worker, record);
        worker_set_deadline_for(worker, record, exchange_seen(record)->handler_state[EXCHANGE_STREAM_DUE],
                                TIMING_NONE);
        break;
    case EXCHANGE_RELAY:
        if (relay_wants_body(record)) {
            set_timing(worker, record, TIMING_BODY, config->body_timeout_ms, received);
        } else {
            deadline_head_ends(worker, record);
            plan_wait(worker, record, exchange_seen(record)->handler_state[EXCHANGE_STREAM_DUE]);
        }
        break;
    case EXCHANGE_SEND:
    case EXCHANGE_LINGER:
        break;
    }
}

/* --- after a death --- */

/* What the record is to have a deadline for, whatever it has one for. */
static enum timing timing_of(const struct record *record)
{
    const struct record_head *head = record_head(record);
    const enum exchange_step step = (enum exchange_step)exchange_seen(record)->step;

    if (step == EXCHANGE_LINGER)
        return TIMING_LINGER;
    if (is_tunnel(record))
        return TIMING_NONE;
    if (conn_has_output(record, head))
        return TIMING_WRITE;
    if (step == EXCHANGE_READ_BODY || (step == EXCHANGE_RELAY && relay_wants_body(record)))
        return TIMING_BODY;
    if (step != EXCHANGE_READ_HEAD)
        return TIMING_NONE;
    return conn_input_length(record, head) || !exchange_has_asked(record) ? TIMING_HEAD : TIMING_IDLE;
}

void deadline_revived(struct worker *worker, struct record *record)
{
    worker_waits(worker, record, waits_for(timing_of(record)));
    worker_side(worker, record)->taken_ns = worker->now_ns;
    rate_begins(worker, record, (enum timing)record_purpose(record));
}

/* --- when it has passed --- */

/* The deadline may be the rate's, which comes earlier than that of the quiet and has been met meanwhile. */
static enum deadline_verdict write_passed(struct worker *worker, struct record *record)
{
    struct conn_side *side = worker_side(worker, record);
    uint64_t quiet_ns, rate_ns;

    if (conn_drains(worker, record))
        side->taken_ns = worker->now_ns;
    quiet_ns = side->taken_ns + http_of(worker)->config->write_timeout_ms * NS_PER_MS;
    rate_ns = rate_deadline(worker, record, TIMING_WRITE);
    if (side->is_warming) { /* it is the disk that is slow: conn_drains says that as well */
        worker_set_deadline_for(worker, record, quiet_ns, TIMING_WRITE);
        return DEADLINE_MOVED;
    }
    if (quiet_ns <= worker->now_ns || rate_ns <= worker->now_ns)
        return DEADLINE_CLOSE;
    worker_set_deadline_for(worker, record, rate_ns < quiet_ns ? rate_ns : quiet_ns, TIMING_WRITE);
    return DEADLINE_MOVED;
}

enum deadline_verdict deadline_passed(struct worker *worker, struct record *record, struct slice *reason)
{
    const struct record_head *head = record_head(record);
    const enum exchange_step step = (enum exchange_step)exchange_seen(record)->step;

    if (conn_has_output(record, head))
        return write_passed(worker, record);
    if (step == EXCHANGE_STREAM)
        return DEADLINE_DRIVE;
    *reason = SLICE_LITERAL("request_timeout");
    if (step == EXCHANGE_RELAY && !relay_wants_body(record))
        return DEADLINE_DRIVE;
    if (step == EXCHANGE_READ_BODY || step == EXCHANGE_RELAY) {
        if (rate_deadline(worker, record, TIMING_BODY) <= worker->now_ns)
            *reason = SLICE_LITERAL("body_too_slow");
        return step == EXCHANGE_RELAY && exchange_seen(record)->status ? DEADLINE_CLOSE : DEADLINE_ANSWER;
    }
    return step == EXCHANGE_READ_HEAD && conn_input_length(record, head) ? DEADLINE_ANSWER : DEADLINE_CLOSE;
}

int deadline_may_yield(const struct worker *worker, const struct record *record)
{
    const uint64_t timeout_ns = http_of(worker)->config->header_timeout_ms * NS_PER_MS;
    const uint64_t patience_ns = timeout_ns / 2 < PATIENCE_NS ? timeout_ns / 2 : PATIENCE_NS;

    switch (timing_of(record)) {
    case TIMING_IDLE:
    case TIMING_LINGER:
        return 1;
    case TIMING_HEAD:
        return record_purpose(record) == TIMING_HEAD &&
               worker->now_ns + timeout_ns >= record->deadline_ns + patience_ns;
    case TIMING_NONE:
    case TIMING_BODY:
    case TIMING_WRITE:
        break;
    }
    return 0;
}
