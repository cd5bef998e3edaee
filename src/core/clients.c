#include "core/clients.h"

#include <arpa/inet.h>
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#define CAPACITY_FIRST 256u
#define KEY_IPV4 (1ull << 32) /* no IPv6 network begins with 0:1 */

uint64_t clients_key(const uint8_t address[16])
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff}; /* RFC 4291 section 2.5.5.2 */
    uint32_t low;
    uint64_t high;

    if (!memcmp(address, mapped, sizeof mapped)) {
        memcpy(&low, address + sizeof mapped, sizeof low);
        return KEY_IPV4 | ntohl(low);
    }
    memcpy(&high, address, sizeof high);
    high = be64toh(high);
    return high ? high : 1; /* ::1 and its like */
}

/* The upper bits of the product with an odd number that nobody knows: any two keys, whoever chose them, share a place with
 * the chance of two in `capacity` (multiply-shift hashing). */
static size_t home_of(const struct clients *clients, uint64_t key)
{
    const uint64_t factor = (clients->seed ^ 0x9e3779b97f4a7c15ull) | 1;

    return (size_t)(key * factor >> (64 - __builtin_ctzll(clients->capacity)));
}

/* The place of that client, or the empty one where it would be. */
static struct client_count *find(const struct clients *clients, uint64_t key)
{
    size_t at = home_of(clients, key);

    while (clients->places[at].key && clients->places[at].key != key)
        at = (at + 1) & (clients->capacity - 1);
    return &clients->places[at];
}

static void grow(struct clients *clients)
{
    struct clients larger = {.capacity = clients->capacity ? 2 * clients->capacity : CAPACITY_FIRST,
                             .count = clients->count,
                             .seed = clients->seed};

    larger.places = calloc(larger.capacity, sizeof *larger.places);
    if (!larger.places)
        return;
    for (size_t i = 0; i < clients->capacity; i++)
        if (clients->places[i].key)
            *find(&larger, clients->places[i].key) = clients->places[i];
    free(clients->places);
    *clients = larger;
}

uint32_t clients_add(struct clients *clients, uint64_t key)
{
    struct client_count *client;

    if (2 * (clients->count + 1) > clients->capacity)
        grow(clients);
    if (2 * (clients->count + 1) > clients->capacity)
        return 0;
    client = find(clients, key);
    clients->count += !client->key;
    client->key = key;
    return ++client->connections;
}

/* The places behind an emptied one move up, unless they are at home already or nearer to it. */
static void close_gap(struct clients *clients, size_t gap)
{
    const size_t mask = clients->capacity - 1;

    for (size_t at = (gap + 1) & mask; clients->places[at].key; at = (at + 1) & mask) {
        size_t home = home_of(clients, clients->places[at].key);

        if (((at - home) & mask) < ((at - gap) & mask))
            continue;
        clients->places[gap] = clients->places[at];
        gap = at;
    }
    clients->places[gap] = (struct client_count){0};
}

void clients_remove(struct clients *clients, uint64_t key)
{
    struct client_count *client;

    if (!clients->capacity)
        return;
    client = find(clients, key);
    if (!client->key || --client->connections) /* one that could not be counted */
        return;
    clients->count--;
    close_gap(clients, (size_t)(client - clients->places));
}

uint32_t clients_count(const struct clients *clients, uint64_t key)
{
    return clients->capacity ? find(clients, key)->connections : 0;
}

void clients_fini(struct clients *clients)
{
    free(clients->places);
    *clients = (struct clients){0};
}
