/* A WebSocket behind an upgrade (RFC 6455): the borders of its frames are followed while they pass, so that both sides can be
 * told that the server goes away, between two frames, when the time of a drain is over.
 *
 *     FOLLOWED --the drain is over--> PARTS: in each direction the present frame is passed on to its end; then whoever
 *                                     receives it is told (close frame 1001), and what still comes is only looked at,
 *                                     until there is a close frame in it, or a FIN --both--> closed
 *
 * All of that lies in the leg's head, and changes with the bytes that move. How long it may take is said by core (worker_drain):
 * then the connection is cut. */
#include "handler/proxy/internal.h"

#include "net/tunnel.h"

#include <sys/random.h>

int websocket_is_one(const struct h1_response *response)
{
    const struct h1_field *upgrade =
        h1_fields_find(response->fields, response->field_count, SLICE_LITERAL("Upgrade"));

    return upgrade && slice_equals_nocase(upgrade->value, SLICE_LITERAL("websocket"));
}

/* --- following --- */

void websocket_follow(struct worker *worker, const struct record *from, struct record_head before,
                      uint64_t length, struct ws_frames *frames)
{
    while (length) {
        struct slice bytes = conn_input(worker, from, &before);

        if (bytes.length > length)
            bytes.length = (size_t)length;
        ws_frames_follow(frames, bytes.at, bytes.length);
        before.taken += bytes.length;
        length -= bytes.length;
    }
}

/* --- parting --- */

/* One direction of a connection that parts. */
struct direction {
    const struct record *from, *to;
    struct record_head *from_head, *to_head; /* spares */
    struct ws_frames *frames;                /* of what comes from `from` */
    int is_to_server;
};

/* 1; 0: there is no room; or an error. */
static int tell(struct worker *worker, const struct direction *way)
{
    char frame[WS_CLOSE_MAX];
    uint8_t mask[4] = {0};
    size_t length;

    if (way->frames->is_closed || way->to_head->shut) /* it has been told, by whom it talks to */
        return 1;
    if (way->is_to_server && getrandom(mask, sizeof mask, GRND_NONBLOCK) != sizeof mask)
        return 0;
    length = ws_close_make(WS_GOING_AWAY, way->is_to_server ? mask : NULL, frame);
    if (conn_room(way->to, way->to_head) < length)
        return 0;
    return conn_put(worker, way->to, way->to_head, (struct slice){frame, length}) ? ERR_NO_MEMORY : 1;
}

/* The rest of the present frame, as far as it has come and there is room. 1 if something moved; or an error. */
static int pass_rest(struct worker *worker, const struct direction *way)
{
    struct slice bytes = conn_input(worker, way->from, way->from_head);

    if (bytes.length > conn_room(way->to, way->to_head))
        bytes.length = conn_room(way->to, way->to_head);
    bytes.length = ws_frames_follow_to_end(way->frames, bytes.at, bytes.length);
    if (!bytes.length)
        return 0;
    if (conn_put(worker, way->to, way->to_head, bytes))
        return ERR_NO_MEMORY;
    way->from_head->taken += bytes.length;
    return 1;
}

/* What nobody gets any more. */
static int look(struct worker *worker, const struct direction *way)
{
    const struct slice bytes = conn_input(worker, way->from, way->from_head);

    ws_frames_follow(way->frames, bytes.at, bytes.length);
    way->from_head->taken += bytes.length;
    return bytes.length > 0;
}

/* *is_told: whoever receives it. 1 if something has changed; or ERR_NO_MEMORY, and then nothing of it is to be committed. */
static int part_one(struct worker *worker, const struct direction *way, int *is_told)
{
    int changed = 0, result;

    do {
        const int was_told = *is_told;

        if (was_told) {
            result = look(worker, way);
        } else if (ws_frames_are_between(way->frames)) {
            result = tell(worker, way);
            *is_told = result == 1;
        } else {
            result = pass_rest(worker, way);
        }
        changed |= result == 1;
    } while (result == 1);
    return result < 0 ? result : changed;
}

static void mark(struct leg_state *state, uint8_t flag, int is_set)
{
    if (is_set)
        state->websocket |= flag;
}

/* 1 if something has changed. */
static int part_both(struct worker *worker, struct record *client, struct record *leg)
{
    struct exchange exchange = exchange_begin(worker, client);
    struct record_head *leg_head = exchange_with(&exchange, leg);
    struct leg_state *state = leg_state_in(leg_head);
    const struct direction up = {client, leg, exchange.head, leg_head, &state->frames[LEG_UP], 1},
                           down = {leg, client, leg_head, exchange.head, &state->frames[LEG_DOWN], 0};
    int told_server = state->websocket & LEG_WS_TOLD_SERVER,
        told_client = state->websocket & LEG_WS_TOLD_CLIENT, up_result, down_result;

    up_result = part_one(worker, &up, &told_server);
    down_result = part_one(worker, &down, &told_client);
    if (up_result < 0 || down_result < 0)
        worker_again_later(worker, client);
    if (up_result < 0 || down_result < 0 || (!up_result && !down_result)) {
        conn_undo(worker, exchange.head, record_head(client));
        conn_undo(worker, leg_head, record_head(leg));
        return 0;
    }
    mark(state, LEG_WS_TOLD_SERVER, told_server);
    mark(state, LEG_WS_TOLD_CLIENT, told_client);
    if (told_server && told_client)
        exchange.state->flags |= EXCHANGE_TOLD;
    exchange_end(&exchange);
    return 1;
}

/* It has been told, has that, and has said its own last word. */
static int is_done(const struct record *record, const struct ws_frames *from, int is_told)
{
    const int has_ended =
        record_head(record)->end_of_input && !conn_input_length(record, record_head(record));

    return is_told && !conn_has_output(record, record_head(record)) &&
           (has_ended || (from->is_closed && ws_frames_are_between(from)));
}

static int is_over(const struct record *client, const struct record *leg)
{
    const struct leg_state *state = leg_seen(leg);

    return is_done(client, &state->frames[LEG_UP], state->websocket & LEG_WS_TOLD_CLIENT) &&
           is_done(leg, &state->frames[LEG_DOWN], state->websocket & LEG_WS_TOLD_SERVER);
}

enum exchange_outcome websocket_part_pass(struct worker *worker, struct record *client, struct record *leg,
                                          int *moved)
{
    int failed[2];

    *moved |= part_both(worker, client, leg);
    tunnel_serve(worker, client, leg, moved, failed);
    if (!failed[0] && !failed[1] && !is_over(client, leg)) {
        if (!*moved)
            tunnel_rests(worker, client, leg);
        return EXCHANGE_GO_ON;
    }
    exchange_close(worker, client, LOG_END_DRAINED);
    return EXCHANGE_CLOSED;
}

int proxy_part(struct worker *worker, struct record *client)
{
    struct record *leg = leg_of(worker, client);
    const uint64_t serial = client->serial;

    if (!leg || !(leg_seen(leg)->websocket & LEG_WS_FOLLOWED))
        return 0;
    if (!(leg_seen(leg)->websocket & LEG_WS_PARTS)) {
        leg_state_in(record_begin(leg))->websocket |= LEG_WS_PARTS;
        record_commit(leg);
    }
    exchange_drive(worker, client);
    return client->life == RECORD_OPEN && client->serial == serial;
}
