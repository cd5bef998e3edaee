/* The shared table of upstream servers: what all workers know of them, in the memory of core/shared.h.
 *
 * From offset 0:
 *
 *   head      TABLE_HEAD_SIZE bytes, `struct table_head`: the keys of entries and names, which rows are in use
 *   entries   TABLE_ENTRIES of `struct table_entry`: one address of one server of one pool
 *   names     TABLE_NAMES of `struct table_name`: one name that is looked up, and the addresses that it has
 *   rows      BOARD_SLOTS of `struct table_row`: what one slot has under way at each entry, and what else it alone writes
 *
 * All zero is an empty table. `version` is set by whoever comes first.
 *
 * Nobody holds a lock, and anybody may be killed between any two instructions:
 *
 * - An entry is its key, a hash of pool, server and address. It is claimed by one compare-and-swap of the key from 0. What
 *   else the entry says of itself (texts, address) follows from the key: everybody who joins writes the same bytes until
 *   `filled` names the key. A claimer that died leaves an entry that the next one fills.
 * - A row has one writer, the slot's worker. Its word says whether the worker has the entry (TABLE_PRESENT) and how many
 *   requests it has under way there. It is raised before a record is committed that holds a place, and lowered after the
 *   commit by which none does: after a death it says too much, never too little, until the next worker has counted its
 *   records and stores the sum.
 * - Beside it stand the place of the slot's round robin (an account of each entry) and its budget of other tries (of each
 *   pool): single words, which the next worker goes on with. A death in the middle of a choice leaves accounts that do not
 *   sum up to nothing; who got too much on account is taken sooner, and pays.
 * - A limit over all rows is kept by announcing: the own word is raised, then all are added up, and it is lowered again where
 *   the sum is too high. Of two that announce at once both may withdraw, never both stay.
 * - Rows of slots that the board has no longer do not count, so that a slot that is gone for good holds nothing.
 * - Health and checks are one word each, with everything that must change together (health.h), changed by compare-and-swap.
 * - A check, and the lookup of a name, belong to whoever moves the time of the next one by compare-and-swap. If he dies, that
 *   time comes all the same.
 * - The addresses of a name have two copies; `version` says which counts. A copy bears a hash of itself: a reader that meets
 *   one half written (its writer was stopped for so long that somebody else took over) has nothing new.
 * - When no entry is free, one whose key nobody has is used again: the key is first swapped for a mark of the taker's own (so
 *   that nobody joins any more), then all rows are read (who joins sets his row's word first, then looks at the key again),
 *   then the mark is swapped for the new key. A mark whose owner died is taken over as a key that nobody has. `use` counts,
 *   so that numbers of former uses are known (TABLE_MEMBER). Two workers that join
 *   the same key at the very moment at which a third one tries to take an entry can come to have an entry each;
 *   table_join finds the lower one for both when it is next asked. */
#ifndef HOLDFAST_UPSTREAM_TABLE_H
#define HOLDFAST_UPSTREAM_TABLE_H

#include "base/bytes.h"
#include "core/board.h"
#include "upstream/config.h"

#include <stdatomic.h>
#include <stdint.h>
#include <sys/socket.h>

#define TABLE_VERSION 0x3230304c4f4f5055ULL /* the bytes UPOOL002 in memory order: counts with the layout */
#define TABLE_ENTRIES UPSTREAM_ADDRESSES_MAX
#define TABLE_NAMES UPSTREAM_NAMES_MAX
#define TABLE_FOUND 32u /* addresses of a name */
#define TABLE_HEAD_SIZE 16384u
#define TABLE_ENTRY_SIZE 1024u
#define TABLE_NAME_SIZE 4096u
#define TABLE_ROW_SIZE 16384u
#define TABLE_ENTRIES_AT TABLE_HEAD_SIZE
#define TABLE_NAMES_AT (TABLE_ENTRIES_AT + TABLE_ENTRIES * TABLE_ENTRY_SIZE)
#define TABLE_ROWS_AT (TABLE_NAMES_AT + TABLE_NAMES * TABLE_NAME_SIZE)
#define TABLE_SIZE (TABLE_ROWS_AT + BOARD_SLOTS * TABLE_ROW_SIZE)

#define TABLE_PRESENT 0x80000000u
#define TABLE_ACTIVE 0x7fffffffu
#define TABLE_TEXT_SIZE 272u
#define TABLE_NAME_STALE_NS 120000000000ULL /* a name that nobody has asked for in so long can be forgotten */

struct table_head {
    _Atomic uint64_t version;
    _Atomic uint32_t entry_limit, name_limit; /* no key is set from here on */
    _Atomic uint32_t row_limit, reserved;     /* no row is used from here on */
    _Atomic uint64_t keys[TABLE_ENTRIES];     /* 0: free; TABLE_MARK: being taken */
    _Atomic uint64_t name_keys[TABLE_NAMES];
    _Atomic uint32_t rows_used[BOARD_SLOTS]; /* its page may be touched */
};
#define TABLE_MARK 0x8000000000000000ULL
_Static_assert(sizeof(struct table_head) <= TABLE_HEAD_SIZE, "the head has its pages");

struct table_entry {
    /* read at each request */
    _Atomic uint64_t passive, check; /* health.h */
    _Atomic uint64_t up_since_ms;    /* since when it is back, for the slow start; 0: it was never away */
    _Atomic uint64_t next_check_ns;
    _Atomic uint64_t reserved[4];
    /* written at each request */
    _Atomic uint64_t requests, failures, ejections, checks, checks_failed, reserved_counters[3];
    /* what it is */
    _Atomic uint64_t filled; /* the key that the rest belongs to */
    _Atomic uint32_t use;    /* counts the keys that it has had; 16 bits go into a member's number */
    uint32_t order;          /* of the server in the configuration: how listings are sorted */
    uint32_t weight, max;
    uint32_t is_backup;
    uint32_t address_length;
    union {
        struct sockaddr_storage address;
        char address_bytes[sizeof(struct sockaddr_storage)];
    };
    char pool[UPSTREAM_NAME_MAX + 1];
    char server[TABLE_TEXT_SIZE];
    char address_text[TABLE_TEXT_SIZE];
};
_Static_assert(sizeof(struct table_entry) <= TABLE_ENTRY_SIZE, "an entry has its place");

/* The number of a member: the entry, and which use of it. Never 0. */
#define TABLE_MEMBER(entry, use) ((((uint32_t)(use)&0xffffu) << 16 | (uint32_t)(entry)) + 1u)
#define TABLE_MEMBER_ENTRY(member) (((member)-1u) & (TABLE_ENTRIES - 1u))
#define TABLE_MEMBER_USE(member) (((member)-1u) >> 16)

struct table_found {
    uint8_t ip[16];
    uint16_t family, port; /* AF_INET or AF_INET6; of the host's order */
    uint32_t weight;
    uint32_t is_backup;
};

struct table_copy {
    uint64_t sum; /* hash of the rest */
    uint64_t until_ns;
    uint32_t count, reserved;
    struct table_found found[TABLE_FOUND];
};

struct table_name {
    _Atomic uint64_t filled;
    _Atomic uint64_t asked_ns;     /* when somebody last had it */
    _Atomic uint64_t next_look_ns; /* 0: at once */
    _Atomic uint32_t version;      /* copies[version & 1] counts; 0: it was never found */
    _Atomic uint32_t failures;     /* lookups in a row that failed */
    _Atomic uint32_t answers;      /* lookups that have ended, either way */
    uint32_t reserved;
    struct table_copy copies[2];
    char text[TABLE_TEXT_SIZE];
};
_Static_assert(sizeof(struct table_name) <= TABLE_NAME_SIZE, "a name has its place");

struct table_row {
    _Atomic uint32_t words[TABLE_ENTRIES]; /* TABLE_PRESENT, and how many are under way */
    int64_t accounts[TABLE_ENTRIES];       /* balance_choice.current */
    uint64_t budgets[UPSTREAM_POOLS_MAX];  /* of other tries */
};
_Static_assert(sizeof(struct table_row) <= TABLE_ROW_SIZE, "a row has its pages");

/* A mapping in one worker. */
struct table {
    char *memory;
    size_t owned_size; /* of a table of this process alone; 0: the memory is the worker's */
    int fd;
    uint32_t place;
    const struct board *board; /* borrowed; NULL: all rows count */
    uint32_t *recount;         /* owned; TABLE_ENTRIES */
    uint32_t marks;            /* made by this process */
};

/* What identifies an entry, and what it says of itself. */
struct table_key {
    struct slice pool, server;
    const struct sockaddr_storage *address;
    uint32_t address_length;
    uint32_t order, weight, max, is_backup;
};

/* `shared` NULL: a table of this process alone. 0; ERR_VERSION; ERR_NO_MEMORY; table_close in both cases. */
WARN_UNUSED int table_open(struct table *table, void *shared, int fd, uint32_t place,
                           const struct board *board);
void table_close(struct table *table);
/* Another mapping of a shared table, to look at: read only functions alone. 0 or ERR_VERSION (nobody has made it yet). */
WARN_UNUSED int table_look(struct table *table, const void *shared, const struct board *board);

static inline struct table_head *table_head(const struct table *table)
{
    return (struct table_head *)(void *)table->memory;
}
static inline struct table_entry *table_entry(const struct table *table, uint32_t number)
{
    return (struct table_entry *)(void *)(table->memory + TABLE_ENTRIES_AT +
                                          (size_t)number * TABLE_ENTRY_SIZE);
}
static inline struct table_name *table_name(const struct table *table, uint32_t number)
{
    return (struct table_name *)(void *)(table->memory + TABLE_NAMES_AT + (size_t)number * TABLE_NAME_SIZE);
}
static inline struct table_row *table_row(const struct table *table, uint32_t place)
{
    return (struct table_row *)(void *)(table->memory + TABLE_ROWS_AT + (size_t)place * TABLE_ROW_SIZE);
}

/* --- entries --- */

/* Finds or claims the entry of a key and marks it as this slot's. 0 and *number; ERR_LIMIT: all are in use; ERR_NO_MEMORY.
 * Asked again with the same key it gives the same entry. */
WARN_UNUSED int table_join(struct table *table, const struct table_key *key, uint32_t *number);
/* This slot has it no more; what is under way there still counts. */
void table_part(struct table *table, uint32_t number);
/* The member that an entry is now. */
uint32_t table_member(const struct table *table, uint32_t number);
/* The entry of a member, or NULL: that use of it is over. */
struct table_entry *table_find(const struct table *table, uint32_t member);
/* 1 if any slot has the entry or something under way there, and what it says of itself is whole. */
int table_is_shown(const struct table *table, uint32_t number);

/* --- rows --- */

/* Requests under way at an entry, over all slots. */
uint32_t table_active(const struct table *table, uint32_t number);
/* One more in this slot's row. 0; ERR_BUSY: it would be more than `max` (0: no limit). */
WARN_UNUSED int table_take(struct table *table, uint32_t number, uint32_t max);
void table_release(struct table *table, uint32_t number);
/* Counts this slot's row anew; the old one holds until table_recount_end stores the new one. */
void table_recount_begin(struct table *table);
void table_recount(struct table *table, uint32_t number);
void table_recount_end(struct table *table);
/* This slot's round robin account of an entry that it has joined. */
int64_t *table_account(const struct table *table, uint32_t number);
/* What this slot has saved up for the `index`-th pool of the configuration (pools_internal.h); 0: nothing was stored yet. */
uint64_t *table_budget(const struct table *table, uint32_t index);
/* Nothing of this slot counts any more. */
void table_leave(struct table *table);

/* --- names --- */

/* Finds or claims the place of a name. The same errors. */
WARN_UNUSED int table_name_join(struct table *table, struct slice text, uint64_t now_ns, uint32_t *number);
/* 1 if the place still is that name's; notes that it is asked for. */
int table_name_keep(struct table *table, uint32_t number, struct slice text, uint64_t now_ns);
/* Copies what counts. 0; ERR_NOT_FOUND: it was never found; ERR_AGAIN: half written, keep what you have. */
WARN_UNUSED int table_name_read(const struct table *table, uint32_t number, struct table_copy *copy);
/* Writes what was found. For who has claimed the lookup. */
void table_name_write(struct table *table, uint32_t number, struct table_copy *copy);

/* 1 if the time in the word has come and was moved to `next_ns` by us. */
int table_claim_time(_Atomic uint64_t *word, uint64_t now_ns, uint64_t next_ns);

/* A hash that is the same everywhere; never 0, top bit clear. `seed` continues another one. */
uint64_t table_hash(uint64_t seed, struct slice bytes);

#endif
