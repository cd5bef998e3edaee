#include "http/account.h"

#include "base/assert.h"
#include "core/access_log.h"
#include "core/redo.h"
#include "http/client.h"
#include "http/counters.h"
#include "http/passport.h"
#include "http/request.h"
#include "http/request_id.h"
#include "http/traceparent.h"

#include <stddef.h>
#include <string.h>

#define NOTE_MAGIC 0x45544f4eu /* "NOTE" */
#define REASON_MAX 64

/* What a line needs, in the arena. A state names it by its number and 1: that of a part of a block, or of a whole block with
 * NOTE_IS_BLOCK, for the few that are long. */
#define NOTE_IS_BLOCK 0x80000000u
struct note {
    uint32_t magic;
    uint16_t log; /* number and 1; 0: none, only the id is kept */
    uint8_t format;
    uint8_t id_length;
    uint32_t before_length, behind_length;
    char id[REQUEST_ID_MAX];
    char reason[REASON_MAX];
    char text[LOG_LINE_MAX + LOG_LINE_MAX / 4]; /* before, behind */
};
_Static_assert(sizeof(struct note) <= ARENA_BLOCK_SIZE, "a note fits into a block");

/* --- names --- */

static size_t note_offset(uint32_t name)
{
    if (name & NOTE_IS_BLOCK)
        return (size_t)((name & ~NOTE_IS_BLOCK) - 1) * ARENA_BLOCK_SIZE;
    return (size_t)(name - 1) * BLOCKS_PART_SIZE;
}

static struct note *note_at(const struct arena *arena, uint32_t name)
{
    return (struct note *)(void *)(arena->blocks + note_offset(name));
}

static struct note *note_of(const struct exchange *exchange)
{
    struct note *note;

    if (!exchange->state->note)
        return NULL;
    note = note_at(&exchange->worker->arena, exchange->state->note);
    MUST(note->magic == NOTE_MAGIC);
    return note;
}

/* Its name; 0: no memory. */
static uint32_t take_note(struct worker *worker, size_t size)
{
    const int is_long = size > BLOCKS_PART_SIZE;
    const int64_t number = is_long ? blocks_take(&worker->blocks) : blocks_take_part(&worker->blocks);

    return number < 0 ? 0 : ((uint32_t)number + 1) | (is_long ? NOTE_IS_BLOCK : 0);
}

static void give_note(struct worker *worker, uint32_t name)
{
    if (name & NOTE_IS_BLOCK)
        blocks_give(&worker->blocks, (name & ~NOTE_IS_BLOCK) - 1);
    else
        blocks_give_part(&worker->blocks, name - 1);
}

struct slice exchange_id(const struct exchange *exchange)
{
    static char memory[REQUEST_ID_SIZE];
    const uint64_t high = exchange->worker->arena.core->id_seed, low = exchange->state->request;
    const struct note *note = note_of(exchange);

    if (note)
        return (struct slice){note->id, note->id_length};
    if (exchange->request)
        (void)request_id_choose(exchange->request, high, low, memory);
    else
        request_id_make(high, low, memory);
    return slice_of(memory);
}

static int is_named_by_client(const struct exchange *exchange)
{
    const struct slice id = exchange_id(exchange);
    char made[REQUEST_ID_SIZE];

    request_id_make(exchange->worker->arena.core->id_seed, exchange->state->request, made);
    return !slice_equals(id, slice_of(made));
}

/* --- begin --- */

void account_begin(struct exchange *exchange)
{
    struct exchange_state *state = exchange->state;

    exchange->has_begun = 1;
    state->request = exchange->http->next_request++;
    state->began_ns = exchange->worker->now_ns;
    state->response_from = 0;
    state->body_taken = 0;
    state->route = 0; /* what is asked for is not known yet */
    state->status = state->response_head = 0;
}

void account_respond(struct exchange *exchange, int status, uint64_t from, size_t head_length)
{
    exchange->responded = 1;
    if (status == 405 && !exchange->reason.length)
        exchange->reason = SLICE_LITERAL("method_not_allowed");
    exchange->state->status = (uint16_t)status;
    exchange->state->response_from = from;
    exchange->state->response_head = (uint16_t)head_length;
    redo_add(&exchange->worker->arena, &exchange->worker->arena.page->requests, 1);
}

/* --- the texts of a line --- */

static const struct route_settings *settings_of(const struct exchange *exchange)
{
    return exchange->log_route ? &exchange->log_route->settings
                               : exchange_settings(exchange->http, exchange->state);
}

static uint16_t log_number(const struct exchange *exchange)
{
    const struct route_settings *settings = settings_of(exchange);

    return settings ? settings->access_log : 0;
}

/* The trace that the request belongs to: its own, or the one that begins with it. */
static struct slice trace_of(const struct exchange *exchange, char *memory)
{
    struct traceparent trace = {.trace_high = exchange->worker->arena.core->id_seed,
                                .trace_low = exchange->state->request};

    if (exchange->request)
        (void)traceparent_choose(exchange->request, trace.trace_high, trace.trace_low, 1, &trace);
    request_id_make(trace.trace_high, trace.trace_low, memory);
    return slice_of(memory);
}

/* As route_sees, for a line that may be of a request without a route. */
static void add_client(const struct exchange *exchange, struct text *out)
{
    const struct route_settings *settings = settings_of(exchange);
    struct sockaddr_storage peer, client;
    const struct sockaddr_storage *found = request_peer(exchange->record, &peer);

    if (exchange->request)
        found = client_find(found, settings->trust, settings->trust_count, request_field, exchange->request,
                            &client);
    client_address_format(found, out);
}

static struct slice shortened(struct slice text)
{
    return (struct slice){text.at, text.length < LOG_FIELD_SHORT_MAX ? text.length : LOG_FIELD_SHORT_MAX};
}

static void begin_line(const struct exchange *exchange, struct text *before, struct text *behind)
{
    static char before_memory[LOG_LINE_MAX / 2], behind_memory[LOG_LINE_MAX / 2];
    const enum route_log_format format = settings_of(exchange)->access_log_format;
    char client_memory[ACCESS_LOG_CLIENT_SIZE], trace[REQUEST_ID_SIZE];
    struct text client;
    struct log_request request = {.wall_ms =
                                      access_log_wall_ms(exchange->worker->now_ns, exchange->worker->now_ns),
                                  .id = exchange_id(exchange),
                                  .version_minor = -1};

    text_init(&client, client_memory, sizeof client_memory);
    add_client(exchange, &client);
    request.client = (struct slice){client.at, client.length};
    if (exchange->request) {
        request.version_minor = exchange->request->version_minor;
        request.host = exchange->request->host;
        request.method = exchange->request->method_text;
        request.target = exchange->request->target;
        request.referer = h1_field_value(exchange->request, SLICE_LITERAL("Referer"));
        request.user_agent = h1_field_value(exchange->request, SLICE_LITERAL("User-Agent"));
    }
    if (format == ROUTE_LOG_JSON)
        request.trace = trace_of(exchange, trace);
    for (int is_short = 0; is_short < 2; is_short++) {
        text_init(before, before_memory, sizeof before_memory);
        text_init(behind, behind_memory, sizeof behind_memory);
        log_line_begin(format, &request, before, behind);
        if (!before->overflow && !behind->overflow)
            return;
        request.host = shortened(request.host);
        request.method = shortened(request.method);
        request.target = shortened(request.target);
        request.referer = shortened(request.referer);
        request.user_agent = shortened(request.user_agent);
    }
}

/* --- the note --- */

static void put_reason(struct note *note, struct slice reason)
{
    const size_t length = reason.length < REASON_MAX - 1 ? reason.length : REASON_MAX - 1;

    if (length)
        memcpy(note->reason, reason.at, length);
    note->reason[length] = '\0';
}

/* The last thing of a transaction that can fail. */
static void make_note(struct exchange *exchange)
{
    const struct slice id = exchange_id(exchange);
    struct text before = {0}, behind = {0};
    struct note *note;
    uint32_t name;

    if (!log_number(exchange) && !is_named_by_client(exchange))
        return;
    if (log_number(exchange))
        begin_line(exchange, &before, &behind);
    name = take_note(exchange->worker, offsetof(struct note, text) + before.length + behind.length);
    if (!name) {
        exchange->failed = 1; /* what the response has taken is undone by whoever began it */
        return;
    }
    note = note_at(&exchange->worker->arena, name);
    memset(note, 0, offsetof(struct note, text));
    note->log = log_number(exchange);
    if (note->log) {
        note->format = (uint8_t)settings_of(exchange)->access_log_format;
        memcpy(note->text, before.at, before.length);
        memcpy(note->text + before.length, behind.at, behind.length);
    }
    note->before_length = (uint32_t)before.length;
    note->behind_length = (uint32_t)behind.length;
    note->id_length = (uint8_t)id.length;
    memcpy(note->id, id.at, id.length);
    note->magic = NOTE_MAGIC;
    exchange->state->note = name;
    put_reason(note, exchange->reason);
}

/* --- the end of a request --- */

static uint64_t bytes_sent(const struct exchange *exchange, enum log_end end)
{
    const uint64_t body_from = exchange->state->response_from + exchange->state->response_head;
    uint64_t until = exchange->head->made;

    if (!exchange->state->status)
        return 0;
    if (end != LOG_END_COMPLETE && exchange->record->tx < until)
        until = exchange->record->tx;
    return until > body_from ? until - body_from : 0;
}

static void count(struct exchange *exchange, unsigned counter, uint64_t difference)
{
    if (difference)
        redo_add(&exchange->worker->arena, &exchange->worker->arena.page->counters[counter], difference);
}

static unsigned latency_bucket(uint64_t us)
{
    static const uint64_t bounds[] = HTTP_LATENCY_BOUNDS;
    unsigned bucket = 0;

    _Static_assert(sizeof bounds / sizeof *bounds == HTTP_LATENCY_BUCKETS - 1, "and one without a bound");
    while (bucket < HTTP_LATENCY_BUCKETS - 1 && us > bounds[bucket])
        bucket++;
    return bucket;
}

static void count_all(struct exchange *exchange, const struct log_result *result)
{
    const unsigned class = (unsigned)result->status / 100;

    count(exchange, class <= 5 ? HTTP_REQUESTS_UNANSWERED + class : HTTP_REQUESTS_UNANSWERED, 1);
    count(exchange, HTTP_RESPONSES_CUT, result->status && result->end != LOG_END_COMPLETE);
    count(exchange, HTTP_REQUEST_BODY_BYTES, result->received);
    count(exchange, HTTP_RESPONSE_BODY_BYTES, result->bytes);
    if (!result->status)
        return;
    count(exchange, HTTP_LATENCY_SUM_US, result->duration_ns / 1000);
    count(exchange, HTTP_LATENCY_FIRST + latency_bucket(result->duration_ns / 1000), 1);
}

static void make_line(struct exchange *exchange, const struct log_result *result)
{
    static char memory[2 * LOG_LINE_MAX];
    const struct note *note = note_of(exchange);
    struct text line, before, behind;

    text_init(&line, memory, sizeof memory);
    if (note && note->log) {
        log_line_end((enum route_log_format)note->format, (struct slice){note->text, note->before_length},
                     (struct slice){note->text + note->before_length, note->behind_length},
                     (struct slice){note->id, note->id_length}, result, &line);
        access_log_put(&exchange->worker->arena, note->log - 1u, (struct slice){line.at, line.length});
    } else if (!note && exchange->has_begun &&
               log_number(exchange)) { /* begun earlier, it would have a note */
        begin_line(exchange, &before, &behind);
        log_line_end(settings_of(exchange)->access_log_format, (struct slice){before.at, before.length},
                     (struct slice){behind.at, behind.length}, exchange_id(exchange), result, &line);
        access_log_put(&exchange->worker->arena, log_number(exchange) - 1u,
                       (struct slice){line.at, line.length});
    }
}

static void end_request(struct exchange *exchange, enum log_end end)
{
    struct exchange_state *state = exchange->state;
    const struct note *note = note_of(exchange);
    const uint64_t now_ns = clock_monotonic_ns();
    struct log_result result = {.status = state->status,
                                .bytes = bytes_sent(exchange, end),
                                .received = state->body_taken,
                                .duration_ns = now_ns > state->began_ns ? now_ns - state->began_ns : 0,
                                .end = end,
                                .reason = exchange->reason};

    if (!result.reason.length && note)
        result.reason = slice_of(note->reason);
    count_all(exchange, &result);
    make_line(exchange, &result);
    state->began_ns = 0;
    state->note = 0;
}

/* --- transactions --- */

static int is_in_ring(const struct exchange *exchange)
{
    return exchange->responded && exchange->head->file_fd < 0 && exchange->state->step != EXCHANGE_STREAM &&
           exchange->state->step != EXCHANGE_RELAY;
}

void account_settle(struct exchange *exchange)
{
    if (!exchange->state->began_ns)
        return;
    if (is_in_ring(exchange) || exchange->state->step == EXCHANGE_READ_HEAD)
        end_request(exchange, LOG_END_COMPLETE);
    else if (exchange->request && !exchange->state->note)
        make_note(exchange);
    else if (exchange->state->note && (exchange->responded || exchange->reason.length))
        put_reason(note_of(exchange), exchange->reason);
}

void account_commit(struct exchange *exchange)
{
    const uint32_t before = exchange->note_before, now = exchange->state->note;

    redo_commit(&exchange->worker->arena, exchange->record);
    if (before && before != now)
        give_note(exchange->worker, before);
}

void account_abort(struct http *http, struct record *record, enum log_end end)
{
    struct exchange exchange;

    if (!exchange_seen(record)->began_ns)
        return;
    exchange = exchange_begin(http->worker, record);
    end_request(&exchange, end);
    account_commit(&exchange);
}

void account_revived(struct http *http, struct record *record)
{
    const uint32_t name = exchange_seen(record)->note;
    struct blocks *blocks = &http->worker->blocks;

    if (!name || !(name & NOTE_IS_BLOCK ? blocks_claim(blocks, (name & ~NOTE_IS_BLOCK) - 1)
                                        : blocks_claim_part(blocks, name - 1)))
        return;
    /* Damaged: without its line the request goes on. */
    exchange_state_in(record_begin(record))->note = 0;
    record_commit(record);
}

/* --- when the connection changes hands --- */

static const struct note *note_seen(const struct worker *worker, const struct exchange_state *state)
{
    return state->note ? note_at(&worker->arena, state->note) : NULL;
}

/* An id that was made is told, too: it begins with what is this slot's alone. */
void account_freeze(struct worker *worker, const struct record *record, struct passport_writer *out)
{
    const struct exchange_state *state = exchange_seen(record);
    const struct note *note = note_seen(worker, state);
    char made[REQUEST_ID_SIZE];

    request_id_make(worker->arena.core->id_seed, state->request, made);
    passport_put(out, HTTP_PASSPORT_ID, PASSPORT_REQUIRED,
                 note ? (struct slice){note->id, note->id_length} : slice_of(made));
    if (!note)
        return;
    if (note->reason[0])
        passport_put(out, HTTP_PASSPORT_LOG_REASON, PASSPORT_REQUIRED, slice_of(note->reason));
    if (!note->log)
        return;
    passport_put(out, HTTP_PASSPORT_LOG, PASSPORT_REQUIRED, slice_of(worker->settings->logs[note->log - 1]));
    passport_put_number(out, HTTP_PASSPORT_LOG_FORMAT, PASSPORT_REQUIRED, note->format);
    passport_put(out, HTTP_PASSPORT_LOG_BEFORE, PASSPORT_REQUIRED,
                 (struct slice){note->text, note->before_length});
    passport_put(out, HTTP_PASSPORT_LOG_BEHIND, PASSPORT_REQUIRED,
                 (struct slice){note->text + note->before_length, note->behind_length});
}

/* Its number and 1; 0: there is no such log here, and no line. */
static uint16_t log_of_path(const struct worker *worker, struct slice path)
{
    for (size_t i = 0; i < worker->settings->log_count; i++)
        if (slice_equals(slice_of(worker->settings->logs[i]), path))
            return (uint16_t)(i + 1);
    return 0;
}

int account_thaw(struct worker *worker, struct exchange_state *state, const struct passport *passport)
{
    struct slice id, log, before, behind, reason;
    uint64_t format;
    struct note *note;
    uint32_t name;

    if (!passport_get(passport, HTTP_PASSPORT_ID, &id))
        return state->began_ns ? ERR_PROTOCOL : 0;
    (void)passport_get(passport, HTTP_PASSPORT_LOG, &log);
    (void)passport_get(passport, HTTP_PASSPORT_LOG_BEFORE, &before);
    (void)passport_get(passport, HTTP_PASSPORT_LOG_BEHIND, &behind);
    (void)passport_get(passport, HTTP_PASSPORT_LOG_REASON, &reason);
    if (passport_get_number(passport, HTTP_PASSPORT_LOG_FORMAT, 0, &format) || format > ROUTE_LOG_JSON ||
        id.length > REQUEST_ID_MAX || !request_id_is_acceptable(id) || before.length > sizeof note->text ||
        behind.length > sizeof note->text - before.length)
        return ERR_PROTOCOL;
    name = take_note(worker, offsetof(struct note, text) + before.length + behind.length);
    if (!name)
        return ERR_NO_MEMORY;
    note = note_at(&worker->arena, name);
    memset(note, 0, offsetof(struct note, text));
    note->log = log.length ? log_of_path(worker, log) : 0;
    note->format = (uint8_t)format;
    note->before_length = (uint32_t)before.length;
    note->behind_length = (uint32_t)behind.length;
    note->id_length = (uint8_t)id.length;
    memcpy(note->id, id.at, id.length);
    memcpy(note->text, before.at, before.length);
    memcpy(note->text + before.length, behind.at, behind.length);
    put_reason(note, reason);
    note->magic = NOTE_MAGIC;
    state->note = name;
    return 0;
}

void account_unthaw(struct worker *worker, const struct exchange_state *state)
{
    if (state->note)
        give_note(worker, state->note);
}

/* --- for a listing --- */

static const char *state_name(const struct record *record, const struct exchange_state *state)
{
    const struct record_head *head = record_head(record);

    switch ((enum exchange_step)state->step) {
    case EXCHANGE_READ_HEAD:
        if (head->made > record->tx)
            return "send";
        return record->rx > head->taken ? "head" : "idle";
    case EXCHANGE_READ_BODY:
        return "body";
    case EXCHANGE_HANDLE:
        return "handle";
    case EXCHANGE_STREAM:
        return "stream";
    case EXCHANGE_SEND:
        return "send";
    case EXCHANGE_LINGER:
        return "linger";
    case EXCHANGE_RELAY:
        return "proxy";
    }
    return "unknown";
}

/* The note may be anybody's by now: nothing of it is believed. */
static int note_id(const struct arena *arena, uint32_t name, char *out, size_t size)
{
    const size_t end = (size_t)arena->core->block_extents * ARENA_BLOCK_EXTENT * ARENA_BLOCK_SIZE;
    const struct note *note;
    size_t length;

    if (!(name & ~NOTE_IS_BLOCK) || note_offset(name) >= end)
        return 0;
    note = note_at(arena, name);
    length = note->id_length;
    if (note->magic != NOTE_MAGIC || length >= size || length > sizeof note->id)
        return 0;
    memcpy(out, note->id, length); /* first: it may still change under our eyes */
    out[length] = '\0';
    return request_id_is_acceptable((struct slice){out, length});
}

void account_describe(const struct arena *arena, const struct record *record,
                      struct conn_description *description)
{
    const struct exchange_state *state =
        (const struct exchange_state *)(const void *)record_head(record)->protocol;
    char made[REQUEST_ID_SIZE];

    description->state = state_name(record, state);
    if (!state->began_ns || note_id(arena, state->note, description->request, CONN_REQUEST_SIZE))
        return;
    request_id_make(arena->core->id_seed, state->request, made);
    memcpy(description->request, made, sizeof made);
}
