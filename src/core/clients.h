/* How many connections each client's address has, in this worker.
 *
 * A private index: the address lies in the connection's record, and the revival counts anew. What cannot be counted for
 * want of memory is not limited. */
#ifndef HOLDFAST_CORE_CLIENTS_H
#define HOLDFAST_CORE_CLIENTS_H

#include <stddef.h>
#include <stdint.h>

struct client_count {
    uint64_t key; /* 0: an empty place */
    uint32_t connections;
};

/* A hash table with open addressing; at most half full. */
struct clients {
    struct client_count *places; /* owned; NULL as long as there is none */
    size_t capacity;             /* a power of two, or 0 */
    size_t count;                /* clients */
    uint64_t seed; /* random: clients choose their addresses. Not to be changed while there are places */
};

/* What an IPv6 address counts as: its first 64 bits, which is what one customer has at least; an IPv4 address in its IPv6
 * form (::ffff:a.b.c.d) by itself. Never 0. */
uint64_t clients_key(const uint8_t address[16]);
/* One connection more: how many there are now; 0: not
 * counted. */
uint32_t clients_add(struct clients *clients, uint64_t key);
/* One connection less, of one that was added. */
void clients_remove(struct clients *clients, uint64_t key);
/* How many a client has. */
uint32_t clients_count(const struct clients *clients, uint64_t key);
void clients_fini(struct clients *clients);

#endif
