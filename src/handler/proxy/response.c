/* The response on its way from the leg's ring to the client's: its head is made anew, its body is passed on. */
#include "handler/proxy/internal.h"
#include "handler/proxy/response_text.h"

#include "base/assert.h"

#include <string.h>

#define HEAD_MAX 15360u /* of the server's head; with our own lines it must fit into a ring */
#define CHUNK_FRAME 20u

struct pass {
    struct exchange exchange; /* the client's transaction */
    struct worker *worker;
    struct record *leg;
    struct record_head *head; /* the leg's spare */
    struct leg_state *state;  /* in it */
    uint32_t given_up;        /* block to give back after the commit */
    uint32_t spool_room;      /* bytes that the client's file takes in this transaction */
    int moved, is_complete, write_failed;
    enum proxy_failure failure;
    struct slice reason;
};

enum step_result { STEP_NONE, STEP_MOVED, STEP_BAD };

static enum step_result bad(struct pass *pass, enum proxy_failure failure, struct slice reason)
{
    pass->failure = failure;
    pass->reason = reason;
    return STEP_BAD;
}

/* --- heads --- */

/* RFC 9110 section 7.8. What stands behind the head, on either side, is the other protocol's. */
static enum step_result pass_upgrade(struct pass *pass, const struct h1_response *response)
{
    static char memory[ARENA_BLOCK_SIZE];
    struct relay_state *relay = relay_state_in(pass->exchange.state);
    const struct relay_plan *plan = relay_plan_of(pass->worker, pass->exchange.head);
    struct exchange_head_of head;
    struct text lines;
    int result;

    text_init(&lines, memory, sizeof memory);
    result = response_text_upgrade(response, &lines, &head);
    if (!(relay->flags & RELAY_UPGRADE) || result == ERR_INVALID)
        return bad(pass, PROXY_BAD_ANSWER, SLICE_LITERAL("upstream_unasked_upgrade"));
    if (plan)
        head.edit_values = (struct slice){plan->bytes, plan->values_length};
    if (!result)
        result = exchange_put_head(&pass->exchange, &head);
    if (result == ERR_NO_SPACE)
        return bad(pass, PROXY_HEADER_TOO_LARGE, (struct slice){"", 0});
    if (result)
        return STEP_NONE;
    pass->exchange.state->flags |= EXCHANGE_CLOSE;
    pass->exchange.head->plan_block = 0;
    relay->flags |= RELAY_TUNNEL;
    pass->state->flags |= LEG_ANSWERED;
    pass->state->body = H1_BODY_NONE;
    pass->state->until_ns = 0; /* a tunnel has an idle timeout alone */
    if (websocket_is_one(response)) {
        pass->state->websocket = LEG_WS_FOLLOWED;
        memset(pass->state->frames, 0, sizeof pass->state->frames);
    }
    return STEP_MOVED;
}

/* RFC 9110 section 15.2: as many as come before the final one. The client's wish decides about 100. */
static enum step_result pass_interim(struct pass *pass, const struct h1_response *response)
{
    static char memory[ARENA_BLOCK_SIZE];
    const int is_wanted =
        !(pass->exchange.state->flags & EXCHANGE_HTTP_1_0) &&
        (response->status != 100 || relay_seen(pass->exchange.record)->flags & RELAY_EXPECTS);
    struct text text;

    if (response->status == 101)
        return pass_upgrade(pass, response);
    if (!is_wanted)
        return STEP_MOVED;
    text_init(&text, memory, sizeof memory);
    if (response_text_interim(response, &text))
        return bad(pass, PROXY_HEADER_TOO_LARGE, (struct slice){"", 0});
    if (text.length > conn_room(pass->exchange.record, pass->exchange.head))
        return STEP_NONE;
    return conn_put(pass->worker, pass->exchange.record, pass->exchange.head,
                    (struct slice){text.at, text.length})
               ? STEP_NONE
               : STEP_MOVED;
}

static void note_answer(struct pass *pass, const struct h1_response *response, enum exchange_framing framing)
{
    struct relay_state *relay = relay_state_in(pass->exchange.state);

    pass->state->flags |= LEG_ANSWERED | (response->keep_alive ? LEG_KEEP : 0);
    pass->state->body = (uint8_t)response->body;
    pass->state->left = response->body == H1_BODY_LENGTH ? (uint64_t)response->content_length : 0;
    pass->state->chunks = (struct h1_chunks){.keep_trailers = framing == EXCHANGE_FRAMED_BY_CHUNKS};
    if (framing == EXCHANGE_FRAMED_BY_CHUNKS)
        relay->flags |= RELAY_CHUNKED;
}

static enum step_result pass_final(struct pass *pass, const struct h1_response *response)
{
    static char memory[ARENA_BLOCK_SIZE];
    struct exchange *exchange = &pass->exchange;
    const struct relay_plan *plan = relay_plan_of(pass->worker, exchange->head);
    const uint8_t flags = exchange->state->flags;
    struct exchange_head_of head;
    struct text lines;
    int result;

    text_init(&lines, memory, sizeof memory);
    if (response_text_final(response, flags & EXCHANGE_HTTP_1_0, &lines, &head))
        return bad(pass, PROXY_HEADER_TOO_LARGE, (struct slice){"", 0});
    if (plan)
        head.edit_values = (struct slice){plan->bytes, plan->values_length};
    if (head.framing == EXCHANGE_FRAMED_BY_END)
        exchange->state->flags |= EXCHANGE_BY_END;
    if (head.framing == EXCHANGE_FRAMED_BY_END || pass->worker->is_draining ||
        (flags & EXCHANGE_BODY_UNREAD && response->status >= 400))
        exchange->state->flags |= EXCHANGE_CLOSE;
    result = exchange_put_head(exchange, &head);
    if (result == ERR_NO_SPACE)
        return bad(pass, PROXY_HEADER_TOO_LARGE, (struct slice){"", 0});
    if (result) { /* first what is in the ring, or some memory */
        exchange->state->flags = flags;
        return STEP_NONE;
    }
    note_answer(pass, response, head.framing);
    pass->is_complete = response->body == H1_BODY_NONE;
    return STEP_MOVED;
}

static enum step_result pass_head(struct pass *pass)
{
    static struct h1_response response;
    struct slice input = conn_input_whole(pass->worker, pass->leg, pass->head);
    enum h1_refusal refusal = H1_REFUSE_NOTHING;
    enum step_result result;
    uint32_t length = 0, scanned = 0;
    int found;

    if (!input.length)
        return STEP_NONE;
    found = h1_response_find_end(input.at, (uint32_t)input.length, HEAD_MAX, &scanned, &length);
    if (found == ERR_PARTIAL)
        return STEP_NONE;
    if (found == ERR_LIMIT)
        return bad(pass, PROXY_HEADER_TOO_LARGE, (struct slice){"", 0});
    if (found)
        refusal = h1_response_explain(input.at, (uint32_t)input.length, HEAD_MAX);
    else
        (void)!h1_response_parse(input.at, length, pass->state->flags & LEG_HEAD_REQUEST, &response,
                                 &refusal);
    if (refusal != H1_REFUSE_NOTHING)
        return bad(pass, PROXY_BAD_ANSWER, h1_response_refusal_reason(refusal));
    result = response.status < 200 ? pass_interim(pass, &response) : pass_final(pass, &response);
    if (result == STEP_MOVED)
        pass->head->taken += length;
    return result;
}

/* --- bodies --- */

static uint32_t room(const struct pass *pass)
{
    return pass->exchange.head->file_fd >= 0 ? pass->spool_room
                                             : conn_room(pass->exchange.record, pass->exchange.head);
}

/* In RELAY a file of the client's is one that buffer_reserve made: it grows at its end. */
static void put_aside(struct pass *pass, struct slice bytes)
{
    struct record_head *head = pass->exchange.head;

    MUST(bytes.length <= pass->spool_room);
    pass->write_failed |=
        buffer_write(head->file_fd, head->file_offset + (head->made - head->file_from), bytes) != 0;
    head->made += bytes.length;
    pass->spool_room -= (uint32_t)bytes.length;
}

static void put(struct pass *pass, struct slice bytes)
{
    if (pass->exchange.head->file_fd >= 0) {
        put_aside(pass, bytes);
        return;
    }
    MUST(!conn_put(pass->worker, pass->exchange.record, pass->exchange.head, bytes));
}

static void put_body(struct pass *pass, struct slice data)
{
    char memory[CHUNK_FRAME];
    struct text size;

    if (!(relay_state_in(pass->exchange.state)->flags & RELAY_CHUNKED)) {
        put(pass, data);
        return;
    }
    text_init(&size, memory, sizeof memory);
    text_add_hex(&size, data.length, 1);
    text_add(&size, SLICE_LITERAL("\r\n"));
    put(pass, (struct slice){size.at, size.length});
    put(pass, data);
    put(pass, SLICE_LITERAL("\r\n"));
}

static void begin_trailers(struct pass *pass)
{
    if (relay_state_in(pass->exchange.state)->flags & RELAY_CHUNKED && !(pass->state->flags & LEG_LAST_CHUNK))
        put(pass, SLICE_LITERAL("0\r\n"));
    pass->state->flags |= LEG_LAST_CHUNK;
}

static void end_body(struct pass *pass)
{
    begin_trailers(pass);
    if (relay_state_in(pass->exchange.state)->flags & RELAY_CHUNKED)
        put(pass, SLICE_LITERAL("\r\n"));
    pass->is_complete = 1;
}

static enum step_result pass_length(struct pass *pass)
{
    struct exchange *exchange = &pass->exchange;
    const uint64_t available = conn_input_length(pass->leg, pass->head);
    struct slice input = conn_input(pass->worker, pass->leg, pass->head);
    uint64_t length = input.length;

    if (!available)
        return STEP_NONE;
    if (available <= pass->state->left && !pass->given_up &&
        !conn_move(pass->leg, pass->head, exchange->record, exchange->head, &pass->given_up)) {
        length = available;
    } else {
        if (length > pass->state->left)
            length = pass->state->left;
        if (length > room(pass))
            length = room(pass);
        if (!length)
            return STEP_NONE;
        put(pass, (struct slice){input.at, length});
        pass->head->taken += length;
    }
    pass->state->left -= length;
    pass->is_complete = !pass->state->left;
    return STEP_MOVED;
}

static enum step_result pass_chunks(struct pass *pass)
{
    struct slice input = conn_input_whole(pass->worker, pass->leg, pass->head), data = {"", 0};
    uint32_t consumed = 0, length = (uint32_t)input.length;
    enum h1_refusal refusal = H1_REFUSE_NOTHING;
    int result;

    if (!length || room(pass) <= 2 * CHUNK_FRAME)
        return STEP_NONE;
    if (length > room(pass) - 2 * CHUNK_FRAME)
        length = room(pass) - 2 * CHUNK_FRAME;
    result = h1_chunks_next(&pass->state->chunks, input.at, length, &consumed, &data, &refusal);
    pass->head->taken += consumed;
    if (result == 0) {
        put_body(pass, data);
    } else if (result == H1_CHUNKS_TRAILER) {
        begin_trailers(pass);
        if (h1_trailer_may_pass(h1_trailer_parse(data).name)) {
            put(pass, data);
            put(pass, SLICE_LITERAL("\r\n"));
        }
    } else if (result == H1_CHUNKS_END) {
        end_body(pass);
    } else if (result != ERR_PARTIAL) {
        return bad(pass, PROXY_BAD_ANSWER, h1_response_refusal_reason(refusal));
    }
    return consumed || result == H1_CHUNKS_END ? STEP_MOVED : STEP_NONE;
}

/* A FIN is the end; a reset never gets here. */
static enum step_result pass_to_end(struct pass *pass)
{
    struct slice input = conn_input(pass->worker, pass->leg, pass->head);
    uint64_t length = input.length;

    if (room(pass) <= 2 * CHUNK_FRAME)
        return STEP_NONE;
    if (!length) {
        if (!pass->head->end_of_input)
            return STEP_NONE;
        end_body(pass);
        return STEP_MOVED;
    }
    if (length > room(pass) - 2 * CHUNK_FRAME)
        length = room(pass) - 2 * CHUNK_FRAME;
    put_body(pass, (struct slice){input.at, length});
    pass->head->taken += length;
    return STEP_MOVED;
}

/* What the client does not take at once goes into a file, if the route says so. */
static void make_room(struct pass *pass)
{
    struct record_head *head = pass->exchange.head;
    const struct http_proxy *settings = proxy_settings(&pass->exchange);
    const uint64_t used = head->file_fd >= 0 ? head->file_offset + (head->made - head->file_from) : 0;
    int fd = head->file_fd;

    if (!settings || !settings->buffer_response || !(pass->state->flags & LEG_ANSWERED) ||
        (fd < 0 && !conn_has_output(pass->exchange.record, head)))
        return;
    pass->spool_room =
        buffer_reserve(pass->worker, &fd, used,
                       (struct buffer_limits){settings->buffer_response, settings->buffer_response_file});
    if (!pass->spool_room)
        return;
    if (head->file_fd < 0) {
        conn_put_file(pass->worker, head, fd, 0, 0);
    } else if (fd != head->file_fd) {
        worker_file_use(pass->worker, fd);
        head->file_fd = fd;
    }
}

static enum step_result pass_some(struct pass *pass)
{
    if (!(pass->state->flags & LEG_ANSWERED))
        return pass_head(pass);
    switch ((enum h1_body)pass->state->body) {
    case H1_BODY_LENGTH:
        return pass_length(pass);
    case H1_BODY_CHUNKED:
        return pass_chunks(pass);
    case H1_BODY_TO_END:
        return pass_to_end(pass);
    case H1_BODY_NONE:
        break;
    }
    return STEP_NONE;
}

/* --- the end --- */

static void complete(struct pass *pass)
{
    struct exchange_state *state = pass->exchange.state;
    const int is_kept = pass->state->flags & LEG_KEEP && !(pass->state->flags & LEG_SEND_OVER) &&
                        !(state->flags & EXCHANGE_BODY_UNREAD) && !pass->head->end_of_input &&
                        !conn_has_output(pass->leg, pass->head) && !conn_input_length(pass->leg, pass->head);

    state->step = EXCHANGE_SEND;
    pass->exchange.head->plan_block = 0;
    pass->exchange.head->spool = 0;
    if (state->flags & EXCHANGE_BODY_UNREAD)
        state->flags |= EXCHANGE_CLOSE;
    memset(state->handler_state, 0, sizeof state->handler_state);
    *pass->state = (struct leg_state){.step = is_kept ? LEG_IDLE : LEG_NEW,
                                      .flags = pass->state->flags & LEG_ANNOUNCED,
                                      .member = pass->state->member,
                                      .client = pass->state->client,
                                      .client_serial = pass->state->client_serial};
}

enum response_result response_pass(struct worker *worker, struct record *client, struct record **leg,
                                   enum proxy_failure *failure, struct slice *reason)
{
    struct pass pass = {.worker = worker, .leg = *leg};
    const struct record_head *seen = record_head(*leg);
    enum step_result result = STEP_NONE;
    int file_before;

    if (!conn_input_length(*leg, seen) && !seen->end_of_input)
        return RESPONSE_NOTHING;
    buffer_settle(worker, client);
    file_before = record_head(client)->file_fd;
    pass.exchange = exchange_begin(worker, client);
    pass.head = exchange_with(&pass.exchange, *leg);
    pass.state = leg_state_in(pass.head);
    if (conn_reserve(worker, pass.exchange.head)) {
        worker_again_later(worker, client);
        return RESPONSE_NOTHING;
    }
    make_room(&pass);
    while (!pass.is_complete && (result = pass_some(&pass)) == STEP_MOVED)
        pass.moved = 1;
    if (pass.write_failed)
        result = bad(&pass, PROXY_BUFFER_FAILED, (struct slice){"", 0});
    if (!pass.moved || pass.write_failed) {
        conn_undo(worker, pass.exchange.head, record_head(client));
        *failure = pass.failure;
        *reason = pass.reason;
        return result == STEP_BAD ? RESPONSE_BAD : RESPONSE_NOTHING;
    }
    if (pass.is_complete)
        complete(&pass);
    exchange_end(&pass.exchange);
    if (pass.given_up)
        worker_give_block(worker, pass.given_up);
    if (file_before >= 0 && record_head(client)->file_fd != file_before)
        worker_file_drop(worker, file_before);
    if (!pass.is_complete)
        return RESPONSE_MOVED;
    leg_finished(worker, leg, POOLS_OK);
    return RESPONSE_COMPLETE;
}
