/* Connections change hands between two workers, either of which dies wherever it can. */
#include "core/handover.h"

#include "core/ledger.h"
#include "two_slots.h"
#include "unit.h"

#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* --- a class that keeps what it was sent --- */

#define TAG_SUM PASSPORT_CLASS_TAGS
#define KEPT 64u /* bytes that stay in the ring; the others are added up */

struct keeps {
    uint64_t sum;
};

static struct behaviour {
    int is_busy, refuses, released, thaw_crashes;
    uint64_t thawed_at_crash;
} behaviour;

static struct keeps *keeps_in(struct record_head *head)
{
    return (struct keeps *)(void *)head->protocol;
}

static const struct keeps *keeps_of(const struct record *record)
{
    return (const struct keeps *)(const void *)record_head(record)->protocol;
}

static void opened(struct worker *worker, struct record *record, struct record_head *head)
{
    *keeps_in(head) = (struct keeps){0};
    worker_set_deadline_for(worker, record, worker->now_ns + 3600 * 1000000000ULL, 5);
}

static void add_up(struct worker *worker, struct record *record)
{
    struct record_head *head = record_begin(record);

    while (record->rx - head->taken > KEPT) {
        const char *ring = arena_block(&worker->arena, head->in_block - 1);

        keeps_in(head)->sum =
            keeps_in(head)->sum * 31 + (unsigned char)ring[(head->taken - head->in_base) % ARENA_BLOCK_SIZE];
        head->taken++;
    }
    record_commit(record);
}

static void ready(struct worker *worker, struct record *record, unsigned events)
{
    const int fd = (int)arena_number(&worker->arena, record);
    ssize_t count;

    (void)events;
    if (!record_head(record)->in_block) {
        struct record_head *head = record_begin(record);

        head->in_block = (uint32_t)blocks_take(&worker->blocks) + 1;
        head->in_base = record->rx;
        record_commit(record);
    }
    do {
        const struct record_head *head = record_head(record);
        const uint64_t at = (record->rx - head->in_base) % ARENA_BLOCK_SIZE;

        count = ledger_receive(worker->intent, record, fd,
                               arena_block(&worker->arena, head->in_block - 1) + at, ARENA_BLOCK_SIZE - at);
        if (count > 0)
            add_up(worker, record);
    } while (count > 0);
    if (count == 0)
        worker_close(worker, record);
}

static void nothing(struct worker *worker, struct record *record)
{
    (void)worker;
    (void)record;
}

static void revived(struct worker *worker, struct record *record)
{
    (void)worker;
    (void)record;
    two_slots_point();
}

static int is_idle(const struct record *record, uint64_t now_ns)
{
    (void)record;
    (void)now_ns;
    return 1;
}

static int may_move(struct worker *worker, struct record *record, struct record **with)
{
    (void)worker;
    (void)record;
    *with = NULL;
    return behaviour.is_busy ? ERR_BUSY : 0;
}

static void freeze(struct worker *worker, const struct record *record, struct passport_writer *out)
{
    (void)worker;
    two_slots_point();
    passport_put_number(out, TAG_SUM, PASSPORT_REQUIRED, keeps_of(record)->sum);
}

static int thaw(struct worker *worker, struct record *record, struct record_head *head,
                const struct passport *passport, struct record *with)
{
    int result;

    (void)worker;
    (void)record;
    (void)with;
    two_slots_point();
    result = passport_get_number(passport, TAG_SUM, 0, &keeps_in(head)->sum);
    return behaviour.refuses ? ERR_UNSUPPORTED : result;
}

static void released(struct worker *worker, struct record *record)
{
    (void)worker;
    (void)record;
    two_slots_point();
    behaviour.released++;
}

static const struct conn_mover mover = {.version = 1,
                                        .understood = 1,
                                        .may_move = may_move,
                                        .freeze = freeze,
                                        .thaw = thaw,
                                        .released = released};

static const struct conn_class keeping_class = {.name = "keeping",
                                                .opened = opened,
                                                .ready = ready,
                                                .expired = nothing,
                                                .revived = revived,
                                                .blamed = nothing,
                                                .is_idle = is_idle,
                                                .abandon = worker_close,
                                                .mover = &mover};

/* --- clients --- */

#define CLIENTS 3u

static struct client_of_test {
    int fd;
    char sent[1024];
    size_t length;
} clients[CLIENTS];

static struct arena *arena_of(int slot)
{
    return &two_slots[slot].rig.worker.arena;
}

static void say(struct client_of_test *client, const char *text)
{
    const size_t length = strlen(text);

    memcpy(client->sent + client->length, text, length);
    client->length += length;
    assert_int_equal(write(client->fd, text, length), length);
}

static uint64_t sum_of(const struct client_of_test *client)
{
    uint64_t sum = 0;

    for (size_t i = 0; i + KEPT < client->length; i++)
        sum = sum * 31 + (unsigned char)client->sent[i];
    return sum;
}

/* 1 if the record knows exactly what this client sent. */
static int knows(struct arena *arena, const struct record *record, const struct client_of_test *client)
{
    const struct record_head *head = record_head(record);
    char ring[KEPT];

    if (record->rx != client->length || keeps_of(record)->sum != sum_of(client))
        return 0;
    for (uint64_t at = head->taken; at < record->rx; at++)
        ring[at - head->taken] =
            arena_block(arena, head->in_block - 1)[(at - head->in_base) % ARENA_BLOCK_SIZE];
    return !memcmp(ring, client->sent + head->taken, (size_t)(record->rx - head->taken));
}

static unsigned count_lives(int slot, enum record_life life)
{
    struct arena *arena = arena_of(slot);
    unsigned count = 0;

    for (uint32_t n = 0; n < arena_records_limit(arena); n++)
        count += arena_record(arena, n)->life == (uint32_t)life;
    return count;
}

static void begin(void)
{
    static const char longer[] =
        "quite a long text, longer than what stays in the ring by far, so that a part of it "
        "is added up already";
    static const char *const texts[] = {"a", "", longer};

    memset(&behaviour, 0, sizeof behaviour);
    two_slots_open(&keeping_class, AF_INET);
    for (unsigned i = 0; i < CLIENTS; i++) {
        uint32_t number;

        clients[i].length = 0;
        clients[i].fd = two_slots_connect(&number);
        say(&clients[i], texts[i]);
    }
    two_slots_turn(SENDER);
    assert_int_equal(count_lives(SENDER, RECORD_OPEN), CLIENTS);
    for (int i = 0; i < 2; i++)
        two_slots[i].points = 0;
}

/* Bytes that are on their way between two processes of the machine arrive some time. */
static int somebody_knows(const struct client_of_test *client)
{
    unsigned found = 0;

    for (int slot = 0; slot < 2; slot++)
        for (uint32_t n = 0; n < arena_records_limit(arena_of(slot)); n++)
            if (arena_record(arena_of(slot), n)->life == RECORD_OPEN)
                found += (unsigned)knows(arena_of(slot), arena_record(arena_of(slot), n), client);
    return found == 1;
}

static void assert_all_is_well(void)
{
    for (int slot = 0; slot < 2; slot++) {
        assert_int_equal(count_lives(slot, RECORD_FROZEN) + count_lives(slot, RECORD_THAWING) +
                             count_lives(slot, RECORD_ACCEPTING) + count_lives(slot, RECORD_CLOSING),
                         0);
        assert_int_equal(arena_of(slot)->page->connections, count_lives(slot, RECORD_OPEN));
        assert_int_equal(arena_of(slot)->page->odd, 0);
        assert_int_equal(two_slots[slot].rig.worker.blocks.in_use, count_lives(slot, RECORD_OPEN));
    }
    assert_int_equal(count_lives(SENDER, RECORD_OPEN) + count_lives(RECEIVER, RECORD_OPEN), CLIENTS);
    for (unsigned i = 0; i < CLIENTS; i++)
        say(&clients[i], "; and more that comes afterwards, whoever has it now");
    for (unsigned i = 0; i < CLIENTS; i++) {
        int turns = 0;

        while (!somebody_knows(&clients[i])) {
            two_slots_turn(SENDER);
            two_slots_turn(RECEIVER);
            assert_in_range(++turns, 1, 10000);
        }
    }
}

static void count_descriptors(struct rig *rig, void *context)
{
    (void)rig;
    *(unsigned *)context = rig_count_descriptors();
}

static unsigned descriptors_of(int slot)
{
    unsigned count = 0;

    two_slots_run(slot, count_descriptors, &count);
    return count;
}

static void finish(void)
{
    const unsigned open = count_lives(SENDER, RECORD_OPEN);
    unsigned before[2] = {descriptors_of(SENDER) - open, descriptors_of(RECEIVER) - (CLIENTS - open)};

    /* The same in both tables: fixed ones, and nothing that was left behind. */
    assert_int_equal(before[0], before[1]);
    for (unsigned i = 0; i < CLIENTS; i++)
        close(clients[i].fd);
    two_slots_close();
}

/* --- tests --- */

static void connections_change_hands_with_all_that_is_known_of_them(void **state)
{
    uint64_t deadline_ns = 0;
    (void)state;

    begin();
    for (uint32_t n = 0; n < arena_records_limit(arena_of(SENDER)); n++)
        if (arena_record(arena_of(SENDER), n)->life == RECORD_OPEN)
            deadline_ns = arena_record(arena_of(SENDER), n)->deadline_ns;
    two_slots_link();
    two_slots_turn_until_done();
    assert_int_equal(count_lives(SENDER, RECORD_OPEN), 0);
    assert_int_equal(count_lives(RECEIVER, RECORD_OPEN), CLIENTS);
    assert_int_equal(behaviour.released, CLIENTS);
    assert_int_equal(arena_of(SENDER)->page->given, CLIENTS);
    assert_int_equal(arena_of(RECEIVER)->page->received, CLIENTS);
    assert_int_equal(arena_of(RECEIVER)->page->handover_links, 0);
    for (uint32_t n = 0; n < arena_records_limit(arena_of(RECEIVER)); n++) {
        const struct record *record = arena_record(arena_of(RECEIVER), n);

        if (record->life != RECORD_OPEN)
            continue;
        assert_int_equal(record->deadline_ns, deadline_ns);
        assert_int_equal(record->listener, 0);
        assert_true(record_has_address(record));
    }
    assert_all_is_well();
    finish();
}

static void what_is_busy_stays_and_the_link_ends(void **state)
{
    (void)state;
    begin();
    behaviour.is_busy = 1;
    two_slots_link();
    two_slots_turn_until_done();
    assert_int_equal(count_lives(SENDER, RECORD_OPEN), CLIENTS);
    assert_all_is_well();
    finish();
}

static void what_is_refused_is_resumed_and_tried_alone_and_stays(void **state)
{
    (void)state;
    begin();
    behaviour.refuses = 1;
    two_slots_link();
    two_slots_turn_until_done();
    assert_int_equal(count_lives(SENDER, RECORD_OPEN), CLIENTS);
    assert_int_equal(arena_of(SENDER)->page->batches_refused, 1 + CLIENTS);
    assert_all_is_well();
    finish();
}

/* The receiver, or the sender, dies at each point in turn, and again so many points later. */
static unsigned die_everywhere(int slot, unsigned then_at, int crashes)
{
    unsigned at = 0, died;

    do {
        begin();
        two_slots[slot].die_at = ++at;
        two_slots[slot].then_at = then_at;
        two_slots[slot].crashes = crashes;
        two_slots_link();
        two_slots_turn_until_done();
        died = two_slots[slot].deaths;
        two_slots[slot].die_at = 0;
        assert_all_is_well();
        if (!crashes)
            assert_int_equal(count_lives(RECEIVER, RECORD_OPEN), CLIENTS);
        finish();
    } while (died);
    return at;
}

static void the_sender_may_die_anywhere(void **state)
{
    (void)state;
    assert_in_range(die_everywhere(SENDER, 0, 0), 20, 500);
}

static void the_receiver_may_die_anywhere(void **state)
{
    (void)state;
    assert_in_range(die_everywhere(RECEIVER, 0, 0), 20, 500);
}

static void the_successor_may_die_too(void **state)
{
    (void)state;
    for (unsigned then_at = 1; then_at <= 16; then_at += 5) {
        die_everywhere(SENDER, then_at, 0);
        die_everywhere(RECEIVER, then_at, 0);
    }
}

static void a_receiver_that_crashes_has_refused_or_taken(void **state)
{
    (void)state;
    die_everywhere(RECEIVER, 0, 1);
}

/* Slots that are lost: the table is gone, and with it the end of the socket. */
static void lose(struct rig *rig, void *context)
{
    (void)context;
    (void)close_range(FD_LISTENERS + 1, RIG_RECORDS - 1, 0);
    rig_forget(rig);
    arena_reset(&rig->worker.arena);
    rig->worker.arena.core->epoll_fd = rig->worker.epoll_fd;
    rig->worker.arena.core->wakeup_fd = rig->wakeup_fd;
    rig_begin_again(rig);
}

static void when_the_receiver_is_lost_its_batch_is_resumed(void **state)
{
    (void)state;
    begin();
    two_slots_link();
    two_slots_turn(SENDER); /* offered, and on its way */
    assert_int_equal(count_lives(SENDER, RECORD_FROZEN), CLIENTS);
    two_slots_run(RECEIVER, lose, NULL);
    two_slots_turn(RECEIVER); /* what the master sends is nobody's link any more when it comes */
    two_slots_turn_until_done();
    assert_all_is_well();
    finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connections_change_hands_with_all_that_is_known_of_them),
        cmocka_unit_test(what_is_busy_stays_and_the_link_ends),
        cmocka_unit_test(what_is_refused_is_resumed_and_tried_alone_and_stays),
        cmocka_unit_test(the_sender_may_die_anywhere),
        cmocka_unit_test(the_receiver_may_die_anywhere),
        cmocka_unit_test(the_successor_may_die_too),
        cmocka_unit_test(a_receiver_that_crashes_has_refused_or_taken),
        cmocka_unit_test(when_the_receiver_is_lost_its_batch_is_resumed),
    };

    if (!ARENA_SHARED)
        return unit_skip_all("a plain fork has no arena that a connection could be taken from");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
