#include "http/passport.h"

#include "http/request.h"

#include <string.h>

_Static_assert(sizeof(struct exchange_state) == 112, "what is new in it belongs into the passport, too");

/* --- chunks --- */

static void store_u32(char *at, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++)
        at[i] = (char)(value >> 8 * i);
}

static uint32_t load_u32(const char *at)
{
    uint32_t value = 0;

    for (unsigned i = 0; i < 4; i++)
        value |= (uint32_t)(unsigned char)at[i] << 8 * i;
    return value;
}

static uint64_t load_u64(const char *at)
{
    return load_u32(at) | (uint64_t)load_u32(at + 4) << 32;
}

void passport_put_chunks(struct passport_writer *out, unsigned tag, const struct h1_chunks *chunks)
{
    char bytes[PASSPORT_CHUNKS_SIZE] = {(char)chunks->step, (char)chunks->digits, (char)chunks->refusal,
                                        (char)chunks->keep_trailers};

    store_u32(bytes + 4, chunks->overhead);
    store_u32(bytes + 8, chunks->trailer_bytes);
    store_u32(bytes + 12, (uint32_t)chunks->left);
    store_u32(bytes + 16, (uint32_t)(chunks->left >> 32));
    passport_put(out, tag, PASSPORT_REQUIRED, (struct slice){bytes, sizeof bytes});
}

int passport_get_chunks(const struct passport *passport, unsigned tag, struct h1_chunks *chunks)
{
    struct slice bytes;

    *chunks = (struct h1_chunks){0};
    if (!passport_get(passport, tag, &bytes))
        return 0;
    if (bytes.length != PASSPORT_CHUNKS_SIZE)
        return ERR_PROTOCOL;
    *chunks = (struct h1_chunks){.step = (uint8_t)bytes.at[0],
                                 .digits = (uint8_t)bytes.at[1],
                                 .refusal = (uint8_t)bytes.at[2],
                                 .keep_trailers = (uint8_t)bytes.at[3],
                                 .overhead = load_u32(bytes.at + 4),
                                 .trailer_bytes = load_u32(bytes.at + 8),
                                 .left = load_u64(bytes.at + 12)};
    return 0;
}

/* --- routes, by what they say --- */

#define ROUTE_DEPTH_MAX 32u
#define ROUTE_TEXT_MAX 8192u

/* How many siblings before it say the same. */
static unsigned occurrence(const struct http_route *route)
{
    const struct http_route *sibling = route->parent ? route->parent->first_child : route;
    unsigned count = 0;

    for (; sibling && sibling != route; sibling = sibling->next)
        count += !strcmp(sibling->text, route->text);
    return count;
}

/* From the outermost inwards, a line each: its text and which one of that text it is. */
static void route_name(const struct http_route *route, struct text *name)
{
    const struct http_route *chain[ROUTE_DEPTH_MAX];
    unsigned depth = 0;

    for (; route && depth < ROUTE_DEPTH_MAX; route = route->parent)
        chain[depth++] = route;
    while (depth) {
        route = chain[--depth];
        text_add_c(name, route->text);
        text_add_c(name, "\t");
        text_add_u64(name, occurrence(route));
        text_add_c(name, "\n");
    }
}

/* Its number and 1; 0: this configuration has none like it, and what the top level says counts. */
static uint16_t route_of_name(const struct http_config *config, struct slice name)
{
    static char memory[ROUTE_TEXT_MAX];
    struct text own;

    for (size_t i = 0; i < config->route_count; i++) {
        text_init(&own, memory, sizeof memory);
        route_name(config->routes[i], &own);
        if (!own.overflow && slice_equals((struct slice){own.at, own.length}, name))
            return (uint16_t)(i + 1);
    }
    return 0;
}

/* --- the mover --- */

static struct http *http_of(const struct worker *worker)
{
    return worker->application;
}

static int needs_handler(const struct exchange_state *state, const struct record_head *head)
{
    return state->step == EXCHANGE_READ_BODY || state->step == EXCHANGE_STREAM ||
           state->step == EXCHANGE_RELAY || head->plan_block;
}

static int may_move(struct worker *worker, struct record *record, struct record **with)
{
    const struct exchange_state *state = exchange_seen(record);
    const struct handler *handler = http_of(worker)->handlers[state->handler];

    *with = NULL;
    if (state->step == EXCHANGE_HANDLE) /* a pool thread works for it */
        return ERR_BUSY;
    if (state->step != EXCHANGE_RELAY)
        return 0;
    return handler->may_move ? handler->may_move(worker, record, with) : ERR_UNSUPPORTED;
}

static void put(struct passport_writer *out, enum http_passport_tag tag, uint64_t value)
{
    if (value) /* 0 is what a missing one means */
        passport_put_number(out, tag, PASSPORT_REQUIRED, value);
}

static void freeze_route(struct worker *worker, const struct exchange_state *state,
                         struct passport_writer *out)
{
    static char memory[ROUTE_TEXT_MAX];
    struct text name;

    if (!state->route)
        return;
    text_init(&name, memory, sizeof memory);
    route_name(exchange_route(http_of(worker), state), &name);
    if (!name.overflow)
        passport_put(out, HTTP_PASSPORT_ROUTE, PASSPORT_REQUIRED, (struct slice){name.at, name.length});
}

static void freeze(struct worker *worker, const struct record *record, struct passport_writer *out)
{
    const struct exchange_state *state = exchange_seen(record);
    const struct handler *handler = http_of(worker)->handlers[state->handler];
    char *words;

    put(out, HTTP_PASSPORT_STEP, state->step);
    put(out, HTTP_PASSPORT_FLAGS, state->flags);
    put(out, HTTP_PASSPORT_TURNED_AWAY, state->is_turned_away);
    put(out, HTTP_PASSPORT_REQUEST, state->request);
    put(out, HTTP_PASSPORT_BODY_LEFT, state->body_left);
    put(out, HTTP_PASSPORT_BODY_TAKEN, state->body_taken);
    put(out, HTTP_PASSPORT_BEGAN_NS, state->began_ns);
    put(out, HTTP_PASSPORT_RESPONSE_FROM, state->response_from);
    put(out, HTTP_PASSPORT_STATUS, state->status);
    put(out, HTTP_PASSPORT_RESPONSE_HEAD, state->response_head);
    freeze_route(worker, state, out);
    if (state->flags & EXCHANGE_CHUNKED_BODY)
        passport_put_chunks(out, HTTP_PASSPORT_CHUNKS, &state->chunks);
    if (state->began_ns)
        account_freeze(worker, record, out);
    if (!needs_handler(state, record_head(record)))
        return;
    passport_put(out, HTTP_PASSPORT_HANDLER, PASSPORT_REQUIRED, slice_of(handler->name));
    words =
        passport_put_space(out, HTTP_PASSPORT_HANDLER_STATE, PASSPORT_REQUIRED, sizeof state->handler_state);
    for (unsigned i = 0; words && i < sizeof state->handler_state / 8; i++) {
        store_u32(words + 8 * (size_t)i, (uint32_t)state->handler_state[i]);
        store_u32(words + 8 * (size_t)i + 4, (uint32_t)(state->handler_state[i] >> 32));
    }
    if (state->step == EXCHANGE_RELAY)
        handler->freeze(worker, record, out);
}

static int thaw_handler(struct worker *worker, struct exchange_state *state, const struct passport *passport)
{
    const struct http *http = http_of(worker);
    struct slice name, words;

    if (!passport_get(passport, HTTP_PASSPORT_HANDLER, &name))
        return 0;
    if (!passport_get(passport, HTTP_PASSPORT_HANDLER_STATE, &words) ||
        words.length != sizeof state->handler_state)
        return ERR_PROTOCOL;
    for (unsigned i = 0; i < words.length / 8; i++)
        state->handler_state[i] = load_u64(words.at + 8 * (size_t)i);
    for (uint8_t i = 0; i < HTTP_HANDLERS_MAX; i++)
        if (http->handlers[i] && slice_equals(slice_of(http->handlers[i]->name), name)) {
            state->handler = i;
            return 0;
        }
    return ERR_NOT_FOUND;
}

static int thaw_numbers(struct exchange_state *state, const struct passport *passport)
{
    uint64_t step, flags, turned_away, status, response_head;
    const struct {
        enum http_passport_tag tag;
        uint64_t *value;
    } all[] = {
        {HTTP_PASSPORT_STEP, &step},
        {HTTP_PASSPORT_FLAGS, &flags},
        {HTTP_PASSPORT_TURNED_AWAY, &turned_away},
        {HTTP_PASSPORT_REQUEST, &state->request},
        {HTTP_PASSPORT_BODY_LEFT, &state->body_left},
        {HTTP_PASSPORT_BODY_TAKEN, &state->body_taken},
        {HTTP_PASSPORT_BEGAN_NS, &state->began_ns},
        {HTTP_PASSPORT_RESPONSE_FROM, &state->response_from},
        {HTTP_PASSPORT_STATUS, &status},
        {HTTP_PASSPORT_RESPONSE_HEAD, &response_head},
    };

    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (passport_get_number(passport, all[i].tag, 0, all[i].value))
            return ERR_PROTOCOL;
    if (step > EXCHANGE_RELAY || step == EXCHANGE_HANDLE || flags > UINT8_MAX || turned_away > 1 ||
        status > 999 || response_head > EXCHANGE_HEAD_MAX)
        return ERR_PROTOCOL;
    state->step = (uint8_t)step;
    state->flags = (uint8_t)flags;
    state->is_turned_away = (uint8_t)turned_away;
    state->status = (uint16_t)status;
    state->response_head = (uint16_t)response_head;
    return passport_get_chunks(passport, HTTP_PASSPORT_CHUNKS, &state->chunks);
}

/* Last what takes a block. */
static int thaw(struct worker *worker, struct record *record, struct record_head *head,
                const struct passport *passport, struct record *with)
{
    struct exchange_state *state = exchange_state_in(head);
    const struct http *http = http_of(worker);
    struct slice name;
    int result;

    *state = (struct exchange_state){0};
    result = thaw_numbers(state, passport);
    if (!result && passport_get(passport, HTTP_PASSPORT_ROUTE, &name))
        state->route = route_of_name(http->config, name);
    if (!result)
        result = thaw_handler(worker, state, passport);
    if (!result && state->step == EXCHANGE_RELAY)
        result = http->handlers[state->handler]->thaw
                     ? http->handlers[state->handler]->thaw(worker, record, head, passport, with)
                     : ERR_UNSUPPORTED;
    if (!result && needs_handler(state, head) && !passport_get(passport, HTTP_PASSPORT_HANDLER, &name))
        result = ERR_PROTOCOL;
    return result ? result : account_thaw(worker, state, passport);
}

static void unthaw(struct worker *worker, const struct record_head *head)
{
    account_unthaw(worker, (const struct exchange_state *)(const void *)head->protocol);
}

static void released(struct worker *worker, struct record *record)
{
    if (http_of(worker)->client_leaves)
        http_of(worker)->client_leaves(worker, record);
    account_unthaw(worker, exchange_seen(record));
}

#define BIT(name, number) | 1ULL << (number - PASSPORT_CLASS_TAGS)
const struct conn_mover http_mover = {
    .version = 1,
    /* those of handlers, too */
    .understood = (0 HTTP_PASSPORT_TABLE(BIT)) | ~0ULL << (HTTP_PASSPORT_HANDLER_TAGS - PASSPORT_CLASS_TAGS),
    .may_move = may_move,
    .freeze = freeze,
    .thaw = thaw,
    .unthaw = unthaw,
    .released = released,
};
