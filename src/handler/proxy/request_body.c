/* The body of a request on its way from the client's ring to the leg's. */
#include "handler/proxy/internal.h"

#include "base/assert.h"

#define CHUNK_FRAME 20u /* a size of 16 digits and two line ends */

struct pass {
    struct exchange exchange; /* the client's transaction */
    struct record *leg;       /* NULL: the body is held back, in the client's spool */
    struct record_head *head; /* the leg's spare */
    uint32_t given_up;        /* block to give back after the commit */
    uint32_t spool_room;      /* bytes */
    int moved, write_failed;
};

static uint32_t room(const struct pass *pass)
{
    return pass->leg ? conn_room(pass->leg, pass->head) : pass->spool_room;
}

static void put_aside(struct pass *pass, struct slice bytes)
{
    struct relay_state *relay = relay_state_in(pass->exchange.state);

    MUST(bytes.length <= pass->spool_room);
    pass->write_failed |= buffer_write((int)pass->exchange.head->spool - 1, relay->leg_serial, bytes) != 0;
    relay->leg_serial += bytes.length;
    pass->spool_room -= (uint32_t)bytes.length;
    pass->moved = 1;
}

/* Blocks were reserved, room was looked at: it cannot fail. */
static void put(struct pass *pass, struct slice bytes)
{
    if (!pass->leg) {
        put_aside(pass, bytes);
        return;
    }
    MUST(!conn_put(pass->exchange.worker, pass->leg, pass->head, bytes));
    pass->moved = 1;
}

static void body_ends(struct pass *pass)
{
    pass->exchange.state->flags &= (uint8_t)~EXCHANGE_BODY_UNREAD;
    pass->moved = 1;
}

/* --- by length --- */

static int moves_whole(const struct pass *pass, uint64_t available)
{
    return pass->leg && available <= pass->exchange.state->body_left &&
           !conn_has_output(pass->leg, pass->head);
}

static void pass_by_length(struct pass *pass)
{
    struct exchange *exchange = &pass->exchange;
    const uint64_t available = conn_input_length(exchange->record, exchange->head);
    struct slice input = conn_input(exchange->worker, exchange->record, exchange->head);
    uint64_t length = input.length;

    if (moves_whole(pass, available) &&
        !conn_move(exchange->record, exchange->head, pass->leg, pass->head, &pass->given_up)) {
        leg_state_in(pass->head)->flags |= LEG_NO_REPLAY;
        length = available;
        pass->moved = 1;
    } else {
        if (length > exchange->state->body_left)
            length = exchange->state->body_left;
        if (length > room(pass))
            length = room(pass);
        if (length)
            put(pass, (struct slice){input.at, length});
        exchange->head->taken += length;
    }
    exchange->state->body_left -= length;
    exchange->state->body_taken += length;
    if (!exchange->state->body_left)
        body_ends(pass);
}

/* --- by chunks --- */

static void put_chunk(struct pass *pass, struct slice data)
{
    char memory[CHUNK_FRAME];
    struct text size;

    text_init(&size, memory, sizeof memory);
    text_add_hex(&size, data.length, 1);
    text_add(&size, SLICE_LITERAL("\r\n"));
    put(pass, (struct slice){size.at, size.length});
    put(pass, data);
    put(pass, SLICE_LITERAL("\r\n"));
}

static int is_over(const struct exchange *exchange)
{
    const struct route_settings *settings = exchange_settings(exchange->http, exchange->state);

    return settings && settings->max_body && exchange->state->body_taken > settings->max_body;
}

/* Trailers follow the last chunk, which is written before the first of them. */
static void begin_trailers(struct pass *pass)
{
    struct relay_state *relay = relay_state_in(pass->exchange.state);

    if (!(relay->flags & RELAY_LAST_CHUNK))
        put(pass, SLICE_LITERAL("0\r\n"));
    relay->flags |= RELAY_LAST_CHUNK;
}

static void put_trailer(struct pass *pass, struct slice line)
{
    begin_trailers(pass);
    if (!h1_trailer_may_pass(h1_trailer_parse(line).name))
        return;
    put(pass, line);
    put(pass, SLICE_LITERAL("\r\n"));
}

/* 0, or an error with *refusal. */
static int pass_by_chunks(struct pass *pass, enum h1_refusal *refusal)
{
    struct exchange *exchange = &pass->exchange;

    while (room(pass) > 2 * CHUNK_FRAME) {
        struct slice input = conn_input_whole(exchange->worker, exchange->record, exchange->head);
        struct slice data = {"", 0};
        uint32_t consumed = 0, length = (uint32_t)input.length;
        int result;

        if (length > room(pass) - 2 * CHUNK_FRAME)
            length = room(pass) - 2 * CHUNK_FRAME;
        if (!length)
            return 0;
        result = h1_chunks_next(&exchange->state->chunks, input.at, length, &consumed, &data, refusal);
        exchange->head->taken += consumed;
        pass->moved |= consumed > 0;
        exchange->state->body_taken += result == 0 ? data.length : 0;
        if (is_over(exchange)) {
            *refusal = H1_REFUSE_CONTENT_TOO_LARGE;
            return ERR_LIMIT;
        }
        if (result == 0) {
            put_chunk(pass, data);
        } else if (result == H1_CHUNKS_TRAILER) {
            put_trailer(pass, data);
        } else if (result == H1_CHUNKS_END) {
            begin_trailers(pass);
            put(pass, SLICE_LITERAL("\r\n"));
            body_ends(pass);
            return 0;
        } else {
            return result == ERR_PARTIAL ? 0 : result;
        }
    }
    return 0;
}

/* --- both --- */

int request_broke_off(const struct record *client)
{
    return exchange_seen(client)->flags & EXCHANGE_BODY_UNREAD && record_head(client)->end_of_input &&
           !conn_input_length(client, record_head(client));
}

static int pass_some(struct pass *pass, enum h1_refusal *refusal)
{
    if (pass->exchange.state->flags & EXCHANGE_CHUNKED_BODY)
        return pass_by_chunks(pass, refusal);
    pass_by_length(pass);
    return 0;
}

int request_body_pass(struct worker *worker, struct record *client, struct record *leg,
                      enum h1_refusal *refusal)
{
    struct pass pass = {.leg = leg};
    int result = 0;

    if (!(exchange_seen(client)->flags & EXCHANGE_BODY_UNREAD) || leg_seen(leg)->flags & LEG_SEND_OVER)
        return 0;
    if (request_broke_off(client))
        return ERR_CLOSED;
    if (!conn_input_length(client, record_head(client)))
        return 0;
    pass.exchange = exchange_begin(worker, client);
    pass.head = exchange_with(&pass.exchange, leg);
    if (conn_reserve(worker, pass.head)) {
        worker_again_later(worker, client);
        return 0;
    }
    result = pass_some(&pass, refusal);
    if (result || !pass.moved) {
        conn_undo(worker, pass.head, record_head(leg));
        return result;
    }
    exchange_end(&pass.exchange);
    if (pass.given_up)
        worker_give_block(worker, pass.given_up);
    return 1;
}

/* 1 when there is room in the spool, which may be a new one. */
static int make_room(struct pass *pass)
{
    struct record_head *head = pass->exchange.head;
    const struct http_proxy *settings = proxy_settings(&pass->exchange);
    const uint64_t used = relay_state_in(pass->exchange.state)->leg_serial;
    int fd = (int)head->spool - 1;

    if (!settings)
        return 0;
    pass->spool_room =
        buffer_reserve(pass->exchange.worker, &fd, used,
                       (struct buffer_limits){settings->buffer_request, settings->buffer_request_file});
    if (!pass->spool_room)
        return 0;
    if (fd != (int)head->spool - 1) {
        worker_file_use(pass->exchange.worker, fd);
        head->spool = (uint32_t)fd + 1;
    }
    return 1;
}

int request_body_hold(struct worker *worker, struct record *client, enum h1_refusal *refusal)
{
    struct pass pass = {.leg = NULL};
    int result;

    if (request_broke_off(client))
        return ERR_CLOSED;
    if (!conn_input_length(client, record_head(client)))
        return 0;
    pass.exchange = exchange_begin(worker, client);
    if (!make_room(&pass))
        return ERR_NO_SPACE;
    result = pass_some(&pass, refusal);
    if (!result && pass.moved && !pass.write_failed) {
        exchange_end(&pass.exchange);
        return 1;
    }
    conn_undo(worker, pass.exchange.head, record_head(client));
    return result ? result : pass.write_failed ? ERR_NO_SPACE : 0;
}
