/* How a proxied request changes hands: the client's connection and its leg, in one batch. Tags: docs/internals/passport.md.
 * Idle legs do not: they are closed, as they would be when their time is over. */
#include "http/passport.h"
#include "handler/proxy/internal.h"

#include <string.h>

#define RELAY_PASSPORT_POOL HTTP_PASSPORT_HANDLER_TAGS /* its name: an index is this configuration's own */

#define LEG_PASSPORT_TABLE(X)                                                                                \
    X(STEP, 64)                                                                                              \
    X(FLAGS, 65)                                                                                             \
    X(BODY, 66)                                                                                              \
    X(WEBSOCKET, 67)                                                                                         \
    X(MEMBER, 68)                                                                                            \
    X(REQUEST, 69)                                                                                           \
    X(REQUEST_FROM, 70)                                                                                      \
    X(ANSWER_FROM, 71)                                                                                       \
    X(LEFT, 72)                                                                                              \
    X(UNTIL_NS, 73)                                                                                          \
    X(CHUNKS, 74)                                                                                            \
    X(FRAMES_UP, 75)                                                                                         \
    X(FRAMES_DOWN, 76)

enum leg_passport_tag {
#define LEG_PASSPORT_ENUM(name, number) LEG_PASSPORT_##name = number,
    LEG_PASSPORT_TABLE(LEG_PASSPORT_ENUM)
#undef LEG_PASSPORT_ENUM
};

_Static_assert(sizeof(struct leg_state) == 96 && sizeof(struct relay_state) == 32,
               "what is new in it belongs into the passport, too");

/* --- the client's side --- */

int proxy_may_move(struct worker *worker, struct record *client, struct record **with)
{
    struct record *leg = leg_of(worker, client);

    if (!leg) /* it waits for a server, in a queue that is this worker's own */
        return ERR_BUSY;
    if (leg_client(worker, leg) != client ||
        (leg_seen(leg)->step != LEG_CONNECTING && leg_seen(leg)->step != LEG_BUSY))
        return ERR_BUSY;
    conn_let_go(worker, client); /* the next worker does not know that the kernel keeps something back */
    conn_let_go(worker, leg);
    *with = leg;
    return 0;
}

void proxy_freeze(struct worker *worker, const struct record *client, struct passport_writer *out)
{
    const struct upstream_pool *pool = proxy_pool(proxy_of(worker), relay_seen(client)->pool);

    passport_put(out, RELAY_PASSPORT_POOL, PASSPORT_REQUIRED, pool->name);
}

/* Client and leg name one another by numbers and serials that they have here. */
int proxy_thaw(struct worker *worker, struct record *client, struct record_head *head,
               const struct passport *passport, struct record *leg)
{
    const struct upstream_config *upstreams = &proxy_of(worker)->http->config->upstreams;
    struct relay_state *relay = relay_state_in(exchange_state_in(head));
    struct leg_state *state;
    struct slice name;
    uint32_t pool = 0;

    if (!leg || leg->class_tag != CONN_CLASS_LEG || !passport_get(passport, RELAY_PASSPORT_POOL, &name))
        return ERR_PROTOCOL;
    while (pool < upstreams->pool_count && !slice_equals(upstreams->pools[pool].name, name))
        pool++;
    if (pool == upstreams->pool_count)
        return ERR_NOT_FOUND;
    relay->pool = (uint16_t)pool;
    relay->leg = arena_number(&worker->arena, leg) + 1;
    relay->leg_serial = leg->serial;
    state = leg_state_in(&leg->heads[leg->current & 1]);
    state->client = arena_number(&worker->arena, client) + 1;
    state->client_serial = client->serial;
    return 0;
}

/* --- the leg --- */

static void put(struct passport_writer *out, enum leg_passport_tag tag, uint64_t value)
{
    if (value)
        passport_put_number(out, tag, PASSPORT_REQUIRED, value);
}

/* Its bytes, as they lie: 8 of `left`, and 6 single ones. */
#define FRAMES_SIZE 14u

static void put_frames(struct passport_writer *out, enum leg_passport_tag tag, const struct ws_frames *frames)
{
    char bytes[FRAMES_SIZE] = {[8] = (char)frames->seen, (char)frames->size,      (char)frames->length_end,
                               (char)frames->opcode,     (char)frames->is_closed, (char)frames->is_lost};

    for (unsigned i = 0; i < 8; i++)
        bytes[i] = (char)(frames->left >> 8 * i);
    passport_put(out, tag, PASSPORT_REQUIRED, (struct slice){bytes, sizeof bytes});
}

static int get_frames(const struct passport *passport, enum leg_passport_tag tag, struct ws_frames *frames)
{
    struct slice bytes;

    if (!passport_get(passport, tag, &bytes) || bytes.length != FRAMES_SIZE)
        return ERR_PROTOCOL;
    *frames = (struct ws_frames){.seen = (uint8_t)bytes.at[8],
                                 .size = (uint8_t)bytes.at[9],
                                 .length_end = (uint8_t)bytes.at[10],
                                 .opcode = (uint8_t)bytes.at[11],
                                 .is_closed = (uint8_t)bytes.at[12],
                                 .is_lost = (uint8_t)bytes.at[13]};
    for (unsigned i = 0; i < 8; i++)
        frames->left |= (uint64_t)(unsigned char)bytes.at[i] << 8 * i;
    return 0;
}

static void freeze(struct worker *worker, const struct record *leg, struct passport_writer *out)
{
    const struct leg_state *state = leg_seen(leg);

    (void)worker;
    put(out, LEG_PASSPORT_STEP, state->step);
    put(out, LEG_PASSPORT_FLAGS, state->flags);
    put(out, LEG_PASSPORT_BODY, state->body);
    put(out, LEG_PASSPORT_WEBSOCKET, state->websocket);
    put(out, LEG_PASSPORT_MEMBER, state->member);
    put(out, LEG_PASSPORT_REQUEST, state->request);
    put(out, LEG_PASSPORT_REQUEST_FROM, state->request_from);
    put(out, LEG_PASSPORT_ANSWER_FROM, state->answer_from);
    put(out, LEG_PASSPORT_LEFT, state->left);
    put(out, LEG_PASSPORT_UNTIL_NS, state->until_ns);
    if (state->websocket) {
        put_frames(out, LEG_PASSPORT_FRAMES_UP, &state->frames[LEG_UP]);
        put_frames(out, LEG_PASSPORT_FRAMES_DOWN, &state->frames[LEG_DOWN]);
    } else {
        passport_put_chunks(out, LEG_PASSPORT_CHUNKS, &state->chunks);
    }
}

static int thaw(struct worker *worker, struct record *record, struct record_head *head,
                const struct passport *passport, struct record *with)
{
    struct leg_state *state = leg_state_in(head);
    uint64_t step, flags, body, websocket, member;
    const struct {
        enum leg_passport_tag tag;
        uint64_t *value;
    } all[] = {
        {LEG_PASSPORT_STEP, &step},
        {LEG_PASSPORT_FLAGS, &flags},
        {LEG_PASSPORT_BODY, &body},
        {LEG_PASSPORT_WEBSOCKET, &websocket},
        {LEG_PASSPORT_MEMBER, &member},
        {LEG_PASSPORT_REQUEST, &state->request},
        {LEG_PASSPORT_REQUEST_FROM, &state->request_from},
        {LEG_PASSPORT_ANSWER_FROM, &state->answer_from},
        {LEG_PASSPORT_LEFT, &state->left},
        {LEG_PASSPORT_UNTIL_NS, &state->until_ns},
    };

    (void)worker;
    (void)record;
    if (with)
        return ERR_PROTOCOL;
    *state = (struct leg_state){0};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (passport_get_number(passport, all[i].tag, 0, all[i].value))
            return ERR_PROTOCOL;
    if ((step != LEG_CONNECTING && step != LEG_BUSY) || flags > UINT8_MAX || body > UINT8_MAX ||
        websocket > UINT8_MAX || member > UINT32_MAX)
        return ERR_PROTOCOL;
    state->step = (uint8_t)step;
    state->flags = (uint8_t)flags;
    state->body = (uint8_t)body;
    state->websocket = (uint8_t)websocket;
    state->member = (uint32_t)member;
    if (!websocket)
        return passport_get_chunks(passport, LEG_PASSPORT_CHUNKS, &state->chunks);
    return get_frames(passport, LEG_PASSPORT_FRAMES_UP, &state->frames[LEG_UP])
               ? ERR_PROTOCOL
               : get_frames(passport, LEG_PASSPORT_FRAMES_DOWN, &state->frames[LEG_DOWN]);
}

static void released(struct worker *worker, struct record *leg)
{
    turns_let_go(proxy_of(worker)->turns, arena_number(&worker->arena, leg), leg_seen(leg)->member);
}

#define BIT(name, number) | 1ULL << (number - PASSPORT_CLASS_TAGS)
const struct conn_mover proxy_leg_mover = {
    .version = 1,
    .understood = 0 LEG_PASSPORT_TABLE(BIT),
    .keep_from = leg_keep_from,
    .freeze = freeze,
    .thaw = thaw,
    .released = released,
};
