#include "core/crowd.h"

#include "base/assert.h"
#include "core/shared.h"

#include <sys/random.h>

#define ENTER_TRIES 8 /* for who withdrew because of others that withdrew, too */

static struct crowd_head *head_of(const struct crowd *crowd)
{
    return (struct crowd_head *)(void *)crowd->memory;
}

static struct crowd_place *row_of(const struct crowd *crowd, uint32_t place)
{
    return (struct crowd_place *)(void *)(crowd->memory + CROWD_HEAD_SIZE + (size_t)place * CROWD_ROW_SIZE);
}

/* The upper bits of a product with an odd number that nobody knows, as in clients.c. */
static uint32_t home_of(const struct crowd *crowd, uint64_t key)
{
    return (uint32_t)(key * (crowd->seed | 1) >> (64 - __builtin_ctz(CROWD_PLACES)));
}

static struct crowd_place *find_in(const struct crowd *crowd, uint32_t row, uint64_t key)
{
    struct crowd_place *places = row_of(crowd, row);
    const uint32_t home = home_of(crowd, key);

    for (uint32_t i = 0; i < CROWD_PROBES; i++) {
        struct crowd_place *place = &places[(home + i) % CROWD_PLACES];
        const uint64_t found = place->key;

        if (found == key)
            return place;
        if (!found)
            return NULL;
    }
    return NULL;
}

/* The own place of a client, taken if it has none. NULL: none is free. */
static struct crowd_place *take_place(struct crowd *crowd, uint64_t key)
{
    struct crowd_place *places = row_of(crowd, crowd->place), *place = find_in(crowd, crowd->place, key);
    const uint32_t home = home_of(crowd, key);

    for (uint32_t i = 0; i < CROWD_PROBES && !place; i++) {
        struct crowd_place *candidate = &places[(home + i) % CROWD_PLACES];

        if (candidate->connections)
            continue;
        candidate->key = key;
        place = candidate;
    }
    return place;
}

/* --- opening --- */

static int agree(struct crowd *crowd)
{
    struct crowd_head *head = head_of(crowd);
    uint64_t version = 0, seed = 0, drawn = 0;

    if (!atomic_compare_exchange_strong(&head->version, &version, CROWD_VERSION) && version != CROWD_VERSION)
        return ERR_VERSION;
    (void)!getrandom(&drawn, sizeof drawn, GRND_NONBLOCK);
    drawn |= 1;
    crowd->seed = atomic_compare_exchange_strong(&head->seed, &seed, drawn) ? drawn : seed;
    return 0;
}

int crowd_open(struct crowd *crowd, void *memory, int fd, size_t offset, uint32_t place,
               const struct board *board)
{
    struct crowd opened = {.memory = memory, .board = board, .place = place};
    int result = shared_reserve(fd, offset, CROWD_HEAD_SIZE);
    uint32_t limit;

    *crowd = (struct crowd){0};
    MUST(place < BOARD_SLOTS);
    if (!result)
        result =
            shared_reserve(fd, offset + CROWD_HEAD_SIZE + (size_t)place * CROWD_ROW_SIZE, CROWD_ROW_SIZE);
    if (!result)
        result = agree(&opened);
    if (result)
        return result;
    head_of(&opened)->rows_used[place] = 1;
    limit = head_of(&opened)->row_limit;
    while (limit <= place && !atomic_compare_exchange_weak(&head_of(&opened)->row_limit, &limit, place + 1))
        ;
    *crowd = opened;
    return 0;
}

/* --- counting --- */

void crowd_recount(struct crowd *crowd, const struct clients *clients)
{
    if (!crowd->memory)
        return;
    crowd->is_recounted = 1;
    for (uint32_t i = 0; i < CROWD_PLACES; i++) {
        struct crowd_place *place = &row_of(crowd, crowd->place)[i];

        if (place->connections)
            place->connections = clients_count(clients, place->key);
    }
    for (size_t i = 0; i < clients->capacity; i++)
        if (clients->places[i].key)
            crowd_leave(crowd, clients->places[i].key, clients->places[i].connections);
}

static int row_counts(const struct crowd *crowd, uint32_t row)
{
    return head_of(crowd)->rows_used[row] && (!crowd->board || crowd->board->slots[row].is_used);
}

uint64_t crowd_sum(const struct crowd *crowd, uint64_t key)
{
    const uint32_t limit = crowd->memory ? head_of(crowd)->row_limit : 0;
    uint64_t sum = 0;

    for (uint32_t row = 0; row < limit; row++) {
        const struct crowd_place *place = row_counts(crowd, row) ? find_in(crowd, row, key) : NULL;

        if (place)
            sum += place->connections;
    }
    return sum;
}

int crowd_enter(struct crowd *crowd, uint64_t key, uint32_t connections, uint64_t limit)
{
    struct crowd_place *place = crowd->is_recounted ? take_place(crowd, key) : NULL;

    MUST(connections > 0);
    if (!place)
        return connections > limit ? ERR_LIMIT : 0;
    for (int i = 0; i < ENTER_TRIES; i++) {
        place->connections = connections;
        if (crowd_sum(crowd, key) <= limit)
            return 0;
        place->connections = connections - 1;
        if (crowd_sum(crowd, key) >= limit)
            break;
    }
    return ERR_LIMIT;
}

void crowd_leave(struct crowd *crowd, uint64_t key, uint32_t connections)
{
    struct crowd_place *place = NULL;

    if (crowd->is_recounted)
        place = connections ? take_place(crowd, key) : find_in(crowd, crowd->place, key);
    if (place)
        place->connections = connections;
}
