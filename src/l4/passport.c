/* How a TCP connection that is passed on changes hands: the client's record and its leg, in one batch. Tags:
 * docs/internals/passport.md. */
#include "l4/internal.h"

#include "core/freeze.h"

#define TCP_PASSPORT_TABLE(X)                                                                                \
    X(STEP, 64)                                                                                              \
    X(TRIES, 65)                                                                                             \
    X(FAILURE, 66)                                                                                           \
    X(END, 67)                                                                                               \
    X(MEMBER, 68)                                                                                            \
    X(DUE_NS, 69)                                                                                            \
    X(UP, 70)                                                                                                \
    X(DOWN, 71)                                                                                              \
    X(TRIED, 72)

enum tcp_passport_tag {
#define TCP_PASSPORT_ENUM(name, number) TCP_PASSPORT_##name = number,
    TCP_PASSPORT_TABLE(TCP_PASSPORT_ENUM)
#undef TCP_PASSPORT_ENUM
};

enum { TCP_LEG_PASSPORT_STEP = 64, TCP_LEG_PASSPORT_MEMBER = 65 };

_Static_assert(sizeof(struct tcp_state) == 80 && sizeof(struct tcp_leg_state) == 24,
               "what is new in it belongs into the passport, too");

static void put(struct passport_writer *out, enum tcp_passport_tag tag, uint64_t value)
{
    if (value)
        passport_put_number(out, tag, PASSPORT_REQUIRED, value);
}

/* --- the client --- */

/* Who waits for a server waits in a queue that is this worker's own. */
static int may_move(struct worker *worker, struct record *client, struct record **with)
{
    const struct tcp_state *state = tcp_seen(client);
    struct record *leg = tcp_leg_of(worker, client);

    if ((state->step != TCP_CONNECT && state->step != TCP_PASS && state->step != TCP_CUT) || state->is_over ||
        !leg || tcp_client_of(worker, leg) != client)
        return ERR_BUSY;
    conn_let_go(worker, client); /* the next worker does not know that the kernel keeps something back */
    conn_let_go(worker, leg);
    *with = leg;
    return 0;
}

static void freeze(struct worker *worker, const struct record *client, struct passport_writer *out)
{
    const struct tcp_state *state = tcp_seen(client);
    unsigned char *tried;

    (void)worker;
    put(out, TCP_PASSPORT_STEP, state->step);
    put(out, TCP_PASSPORT_TRIES, state->tries);
    put(out, TCP_PASSPORT_FAILURE, state->failure);
    put(out, TCP_PASSPORT_END, state->end);
    put(out, TCP_PASSPORT_MEMBER, state->member);
    put(out, TCP_PASSPORT_DUE_NS, state->due_ns);
    put(out, TCP_PASSPORT_UP, state->up);
    put(out, TCP_PASSPORT_DOWN, state->down);
    tried = passport_put_space(out, TCP_PASSPORT_TRIED, PASSPORT_REQUIRED, 4 * (size_t)state->tried_count);
    for (unsigned i = 0; tried && i < 4u * state->tried_count; i++)
        tried[i] = (unsigned char)(state->tried[i / 4] >> 8 * (i % 4));
}

static int thaw_tried(struct tcp_state *state, const struct passport *passport)
{
    struct slice tried;

    (void)passport_get(passport, TCP_PASSPORT_TRIED, &tried);
    if (tried.length % 4 || tried.length > sizeof state->tried)
        return ERR_PROTOCOL;
    state->tried_count = (uint16_t)(tried.length / 4);
    for (size_t i = 0; i < tried.length; i++)
        state->tried[i / 4] |= (uint32_t)(unsigned char)tried.at[i] << 8 * (i % 4);
    return 0;
}

static int is_of_a_block(const struct l4 *of, const struct record *client)
{
    return of->config && client->listener < CORE_LISTENERS_MAX && of->config->block_of[client->listener];
}

/* Client and leg name one another by numbers and serials that they have here. */
static int thaw(struct worker *worker, struct record *client, struct record_head *head,
                const struct passport *passport, struct record *leg)
{
    struct tcp_state *state = tcp_state_in(head);
    struct tcp_leg_state *leg_state;
    uint64_t step, tries, failure, end, member;
    const struct {
        enum tcp_passport_tag tag;
        uint64_t *value;
    } all[] = {
        {TCP_PASSPORT_STEP, &step},       {TCP_PASSPORT_TRIES, &tries},
        {TCP_PASSPORT_FAILURE, &failure}, {TCP_PASSPORT_END, &end},
        {TCP_PASSPORT_MEMBER, &member},   {TCP_PASSPORT_DUE_NS, &state->due_ns},
        {TCP_PASSPORT_UP, &state->up},    {TCP_PASSPORT_DOWN, &state->down},
    };

    *state = (struct tcp_state){0};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (passport_get_number(passport, all[i].tag, 0, all[i].value))
            return ERR_PROTOCOL;
    if ((step != TCP_CONNECT && step != TCP_PASS && step != TCP_CUT) || tries > UINT8_MAX ||
        failure > TCP_ENDS || end >= TCP_ENDS || member > UINT32_MAX || thaw_tried(state, passport) || !leg ||
        leg->class_tag != CONN_CLASS_TCP_LEG)
        return ERR_PROTOCOL;
    if (!is_of_a_block(l4_of(worker), client)) /* the listener is a site's now */
        return ERR_NOT_FOUND;
    state->step = (uint8_t)step;
    state->tries = (uint8_t)tries;
    state->failure = (uint8_t)failure;
    state->end = (uint8_t)end;
    state->member = (uint32_t)member;
    state->leg = arena_number(&worker->arena, leg) + 1;
    state->leg_serial = leg->serial;
    leg_state = tcp_leg_state_in(&leg->heads[leg->current & 1]);
    leg_state->client = arena_number(&worker->arena, client) + 1;
    leg_state->client_serial = client->serial;
    return 0;
}

/* It is counted as started where it is; a death between the count and the end of the record is seen by l4_recounted. */
static void released(struct worker *worker, struct record *client)
{
    struct l4 *of = l4_of(worker);

    of->open[l4_block_number(of, client)]--;
    arena_count_add(&worker->arena.page->counters[TCP_STARTED], -1ULL);
}

/* --- the leg --- */

static void freeze_leg(struct worker *worker, const struct record *leg, struct passport_writer *out)
{
    (void)worker;
    passport_put_number(out, TCP_LEG_PASSPORT_STEP, PASSPORT_REQUIRED, tcp_leg_seen(leg)->step);
    passport_put_number(out, TCP_LEG_PASSPORT_MEMBER, PASSPORT_REQUIRED, tcp_leg_seen(leg)->member);
}

static int thaw_leg(struct worker *worker, struct record *leg, struct record_head *head,
                    const struct passport *passport, struct record *with)
{
    uint64_t step, member;

    (void)worker;
    (void)leg;
    if (with || passport_get_number(passport, TCP_LEG_PASSPORT_STEP, 0, &step) ||
        passport_get_number(passport, TCP_LEG_PASSPORT_MEMBER, 0, &member) ||
        (step != TCP_LEG_CONNECT && step != TCP_LEG_PASS) || member > UINT32_MAX)
        return ERR_PROTOCOL;
    *tcp_leg_state_in(head) = (struct tcp_leg_state){.step = (uint8_t)step, .member = (uint32_t)member};
    return 0;
}

static void released_leg(struct worker *worker, struct record *leg)
{
    turns_let_go(l4_of(worker)->turns, arena_number(&worker->arena, leg), tcp_leg_seen(leg)->member);
}

#define BIT(name, number) | 1ULL << (number - PASSPORT_CLASS_TAGS)
const struct conn_mover l4_client_mover = {
    .version = 1,
    .understood = 0 TCP_PASSPORT_TABLE(BIT),
    .may_move = may_move,
    .freeze = freeze,
    .thaw = thaw,
    .released = released,
};

const struct conn_mover l4_leg_mover = {
    .version = 1, .understood = 3, .freeze = freeze_leg, .thaw = thaw_leg, .released = released_leg};
