#include "upstream/table.h"

#include "base/assert.h"
#include "core/shared.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#define TAKE_TRIES 3

/* --- opening --- */

static int check_version(struct table *table)
{
    uint64_t version = 0;

    if (atomic_compare_exchange_strong(&table_head(table)->version, &version, TABLE_VERSION))
        return 0;
    return version == TABLE_VERSION ? 0 : ERR_VERSION;
}

static void raise_limit(_Atomic uint32_t *limit, uint32_t to)
{
    uint32_t seen = *limit;

    while (seen < to && !atomic_compare_exchange_weak(limit, &seen, to))
        ;
}

int table_open(struct table *table, void *shared, int fd, uint32_t place, const struct board *board)
{
    int result;

    *table = (struct table){.memory = shared, .fd = shared ? fd : -1, .place = place, .board = board};
    MUST(place < BOARD_SLOTS);
    if (!shared) {
        void *memory = mmap(NULL, TABLE_SIZE, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

        if (memory == MAP_FAILED)
            return ERR_NO_MEMORY;
        table->memory = memory;
        table->owned_size = TABLE_SIZE;
    }
    table->recount = calloc(TABLE_ENTRIES, sizeof *table->recount);
    if (!table->recount)
        return ERR_NO_MEMORY;
    result = shared_reserve(table->fd, 0, TABLE_HEAD_SIZE);
    if (!result)
        result = shared_reserve(table->fd, TABLE_ROWS_AT + (size_t)place * TABLE_ROW_SIZE, TABLE_ROW_SIZE);
    if (!result)
        result = check_version(table);
    if (result)
        return result;
    table_head(table)->rows_used[place] = 1;
    raise_limit(&table_head(table)->row_limit, place + 1);
    return 0;
}

void table_close(struct table *table)
{
    free(table->recount);
    if (table->owned_size)
        munmap(table->memory, table->owned_size);
    *table = (struct table){.fd = -1};
}

int table_look(struct table *table, const void *shared, const struct board *board)
{
    union { /* nothing is written through it */
        const void *in;
        char *out;
    } memory = {.in = shared};

    *table = (struct table){.memory = memory.out, .fd = -1, .board = board};
    return table_head(table)->version == TABLE_VERSION ? 0 : ERR_VERSION;
}

/* --- hashes --- */

static uint64_t mix(uint64_t value)
{
    value ^= value >> 33;
    value *= 0xff51afd7ed558ccdULL;
    value ^= value >> 33;
    value *= 0xc4ceb9fe1a85ec53ULL;
    return value ^ value >> 33;
}

/* FNV-1a, then the finaliser of MurmurHash3 (both in the public domain), which spreads it over all bits. */
uint64_t table_hash(uint64_t seed, struct slice bytes)
{
    uint64_t hash = seed ^ 14695981039346656037ULL;

    for (size_t i = 0; i < bytes.length; i++)
        hash = (hash ^ (unsigned char)bytes.at[i]) * 1099511628211ULL;
    hash = mix(hash ^ bytes.length) & ~TABLE_MARK;
    return hash ? hash : 1;
}

static uint64_t hash_key(const struct table_key *key)
{
    uint64_t hash = table_hash(1, key->pool);

    hash = table_hash(hash, key->server);
    return table_hash(hash, (struct slice){(const char *)key->address, key->address_length});
}

/* --- rows --- */

static int row_counts(const struct table *table, uint32_t place)
{
    return table_head(table)->rows_used[place] && (!table->board || table->board->slots[place].is_used);
}

static _Atomic uint32_t *own_word(const struct table *table, uint32_t number)
{
    return &table_row(table, table->place)->words[number];
}

uint32_t table_active(const struct table *table, uint32_t number)
{
    const uint32_t limit = table_head(table)->row_limit;
    uint32_t sum = 0;

    for (uint32_t place = 0; place < limit; place++)
        if (row_counts(table, place))
            sum += table_row(table, place)->words[number] & TABLE_ACTIVE;
    return sum;
}

/* Also rows of slots that are leaving: they may still look at the entry. */
static int is_held(const struct table *table, uint32_t number)
{
    const uint32_t limit = table_head(table)->row_limit;

    for (uint32_t place = 0; place < limit; place++)
        if (row_counts(table, place) && table_row(table, place)->words[number])
            return 1;
    return 0;
}

int table_take(struct table *table, uint32_t number, uint32_t max)
{
    _Atomic uint32_t *word = own_word(table, number);

    if (!max) { /* nobody orders anything by it */
        atomic_store_explicit(word, atomic_load_explicit(word, memory_order_relaxed) + 1,
                              memory_order_relaxed);
        return 0;
    }
    for (int i = 0; i < TAKE_TRIES; i++) {
        *word = *word + 1;
        if (table_active(table, number) <= max)
            return 0;
        *word = *word - 1;
        if (table_active(table, number) >= max)
            return ERR_BUSY;
    }
    return ERR_BUSY;
}

void table_release(struct table *table, uint32_t number)
{
    _Atomic uint32_t *word = own_word(table, number);
    const uint32_t value = atomic_load_explicit(word, memory_order_relaxed);

    MUST(value & TABLE_ACTIVE);
    atomic_store_explicit(word, value - 1, memory_order_release);
}

void table_recount_begin(struct table *table)
{
    memset(table->recount, 0, TABLE_ENTRIES * sizeof *table->recount);
}

void table_recount(struct table *table, uint32_t number)
{
    table->recount[number]++;
}

void table_recount_end(struct table *table)
{
    for (uint32_t i = 0; i < table_head(table)->entry_limit; i++) {
        _Atomic uint32_t *word = own_word(table, i);

        *word = (*word & TABLE_PRESENT) | table->recount[i];
    }
}

int64_t *table_account(const struct table *table, uint32_t number)
{
    return &table_row(table, table->place)->accounts[number];
}

uint64_t *table_budget(const struct table *table, uint32_t index)
{
    return &table_row(table, table->place)->budgets[index];
}

void table_leave(struct table *table)
{
    for (uint32_t i = 0; i < TABLE_ENTRIES; i++)
        *own_word(table, i) = 0;
}

/* --- entries --- */

uint32_t table_member(const struct table *table, uint32_t number)
{
    return TABLE_MEMBER(number, table_entry(table, number)->use);
}

struct table_entry *table_find(const struct table *table, uint32_t member)
{
    const uint32_t number = TABLE_MEMBER_ENTRY(member);
    struct table_entry *entry;

    if (!member || number >= table_head(table)->entry_limit)
        return NULL;
    entry = table_entry(table, number);
    return (entry->use & 0xffffu) == TABLE_MEMBER_USE(member) ? entry : NULL;
}

int table_is_shown(const struct table *table, uint32_t number)
{
    const uint64_t key = table_head(table)->keys[number];

    return key && !(key & TABLE_MARK) && table_entry(table, number)->filled == key && is_held(table, number);
}

static void copy_text(char *out, size_t capacity, struct slice text)
{
    size_t length = text.length < capacity ? text.length : capacity - 1;

    memcpy(out, text.at, length);
    memset(out + length, 0, capacity - length);
}

static void address_text(const struct table_key *key, char *out, size_t capacity)
{
    char host[INET6_ADDRSTRLEN] = "";
    const struct sockaddr_in *v4 = (const void *)key->address;
    const struct sockaddr_in6 *v6 = (const void *)key->address;
    struct text text;

    memset(out, 0, capacity);
    text_init(&text, out, capacity);
    switch (key->address->ss_family) {
    case AF_INET:
        (void)inet_ntop(AF_INET, &v4->sin_addr, host, sizeof host);
        text_add_f(&text, "%s:%u", host, ntohs(v4->sin_port));
        break;
    case AF_INET6:
        (void)inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof host);
        text_add_f(&text, "[%s]:%u", host, ntohs(v6->sin6_port));
        break;
    default: /* a path, as it was written */
        text_add(&text, key->server);
    }
}

/* Everybody who joins writes the same; only weight, max and order may differ between generations, and the last word holds. */
static void fill(struct table_entry *entry, const struct table_key *key, uint64_t hash)
{
    entry->order = key->order;
    entry->weight = key->weight;
    entry->max = key->max;
    entry->is_backup = key->is_backup;
    if (entry->filled == hash)
        return;
    entry->address_length = key->address_length;
    memcpy(entry->address_bytes, key->address, key->address_length);
    copy_text(entry->pool, sizeof entry->pool, key->pool);
    copy_text(entry->server, sizeof entry->server, key->server);
    address_text(key, entry->address_text, sizeof entry->address_text);
    entry->filled = hash;
}

static int search(const _Atomic uint64_t *keys, uint32_t limit, uint64_t hash, uint32_t *number)
{
    for (uint32_t i = 0; i < limit; i++)
        if (keys[i] == hash) {
            *number = i;
            return 0;
        }
    return ERR_NOT_FOUND;
}

/* Sets the own word, then looks again whether the key is still there: who takes the entry away looks at the words after
 * he has changed the key. */
static int hold(struct table *table, uint32_t number, uint64_t hash)
{
    _Atomic uint32_t *word = own_word(table, number);
    const uint32_t before = *word;

    if (!(before & TABLE_PRESENT)) /* of whoever had the entry before */
        *table_account(table, number) = 0;
    atomic_fetch_or(word, TABLE_PRESENT);
    if (table_head(table)->keys[number] == hash)
        return 0;
    *word = before;
    return ERR_AGAIN;
}

static int claim_free(struct table *table, uint64_t hash, uint32_t *number)
{
    struct table_head *head = table_head(table);

    for (uint32_t i = 0; i < TABLE_ENTRIES; i++) {
        uint64_t expected = 0;
        int result;

        if (head->keys[i])
            continue;
        result = shared_reserve(table->fd, TABLE_ENTRIES_AT + (size_t)i * TABLE_ENTRY_SIZE, TABLE_ENTRY_SIZE);
        if (result)
            return result;
        raise_limit(&head->entry_limit, i + 1);
        if (!atomic_compare_exchange_strong(&head->keys[i], &expected, hash) && expected != hash)
            continue;
        *number = i;
        return 0;
    }
    return ERR_LIMIT;
}

/* Nobody has it any more: takes the key away, makes sure, and gives it the new one. */
static int claim_unheld(struct table *table, uint64_t hash, uint32_t *number)
{
    struct table_head *head = table_head(table);

    for (uint32_t i = 0; i < TABLE_ENTRIES; i++) {
        struct table_entry *entry = table_entry(table, i);
        uint64_t former = head->keys[i],
                 mark = TABLE_MARK | (uint64_t)table->place << 32 | (table->marks++ & 0xffffffffu);

        if (!former || is_held(table, i) || !atomic_compare_exchange_strong(&head->keys[i], &former, mark))
            continue;
        if (is_held(table, i)) {
            (void)atomic_compare_exchange_strong(&head->keys[i], &mark, former);
            continue;
        }
        entry->use++;
        memset(entry, 0, offsetof(struct table_entry, use));
        if (!atomic_compare_exchange_strong(&head->keys[i], &mark, hash))
            continue;
        *number = i;
        return 0;
    }
    return ERR_LIMIT;
}

int table_join(struct table *table, const struct table_key *key, uint32_t *number)
{
    const struct table_head *head = table_head(table);
    const uint64_t hash = hash_key(key);
    int result;

    for (unsigned i = 0; i < TABLE_ENTRIES; i++) { /* others may be quicker, each at most once */
        result = search(head->keys, head->entry_limit, hash, number);
        if (result)
            result = claim_free(table, hash, number);
        if (result == ERR_LIMIT)
            result = claim_unheld(table, hash, number);
        if (result)
            return result;
        (void)!search(head->keys, head->entry_limit, hash, number); /* the lowest, should there be two */
        if (hold(table, *number, hash))
            continue;
        fill(table_entry(table, *number), key, hash);
        return 0;
    }
    return ERR_LIMIT;
}

void table_part(struct table *table, uint32_t number)
{
    atomic_fetch_and(own_word(table, number), TABLE_ACTIVE);
}

/* --- names --- */

static int claim_name(struct table *table, uint64_t hash, uint64_t now_ns, uint32_t *number)
{
    struct table_head *head = table_head(table);

    for (uint32_t i = 0; i < TABLE_NAMES; i++) {
        struct table_name *name = table_name(table, i);
        uint64_t former = head->name_keys[i];
        int result = shared_reserve(table->fd, TABLE_NAMES_AT + (size_t)i * TABLE_NAME_SIZE, TABLE_NAME_SIZE);

        if (result)
            return result;
        if (former && name->asked_ns + TABLE_NAME_STALE_NS > now_ns)
            continue;
        raise_limit(&head->name_limit, i + 1);
        name->asked_ns = now_ns; /* nobody else takes it now */
        if (!atomic_compare_exchange_strong(&head->name_keys[i], &former, hash))
            continue;
        *number = i;
        return 0;
    }
    return ERR_LIMIT;
}

/* Of a former name nothing may be taken for the new one's. Two who do this at once do the same. */
static void fill_name(struct table_name *name, struct slice text, uint64_t hash)
{
    if (name->filled == hash)
        return;
    name->version = 0;
    name->failures = 0;
    name->answers = 0;
    name->next_look_ns = 0;
    copy_text(name->text, sizeof name->text, text);
    name->filled = hash;
}

int table_name_join(struct table *table, struct slice text, uint64_t now_ns, uint32_t *number)
{
    const struct table_head *head = table_head(table);
    const uint64_t hash = table_hash(2, text);
    int result = search(head->name_keys, head->name_limit, hash, number);

    if (result)
        result = claim_name(table, hash, now_ns, number);
    if (result)
        return result;
    (void)!search(head->name_keys, head->name_limit, hash, number);
    table_name(table, *number)->asked_ns = now_ns;
    fill_name(table_name(table, *number), text, hash);
    return 0;
}

int table_name_keep(struct table *table, uint32_t number, struct slice text, uint64_t now_ns)
{
    struct table_name *name = table_name(table, number);

    if (table_head(table)->name_keys[number] != table_hash(2, text))
        return 0;
    if (name->asked_ns < now_ns)
        name->asked_ns = now_ns;
    return 1;
}

static uint64_t sum_of(const struct table_copy *copy)
{
    const size_t from = offsetof(struct table_copy, until_ns);

    return table_hash(3, (struct slice){(const char *)copy + from, sizeof *copy - from});
}

int table_name_read(const struct table *table, uint32_t number, struct table_copy *copy)
{
    const struct table_name *name = table_name(table, number);
    const uint32_t version = name->version;

    if (!version)
        return ERR_NOT_FOUND;
    *copy = name->copies[version & 1];
    return copy->sum == sum_of(copy) && copy->count <= TABLE_FOUND ? 0 : ERR_AGAIN;
}

void table_name_write(struct table *table, uint32_t number, struct table_copy *copy)
{
    struct table_name *name = table_name(table, number);
    const uint32_t version = name->version;

    copy->sum = sum_of(copy);
    name->copies[(version + 1) & 1] = *copy;
    atomic_store(&name->version, version + 1 ? version + 1 : 2);
}

/* --- claims --- */

int table_claim_time(_Atomic uint64_t *word, uint64_t now_ns, uint64_t next_ns)
{
    uint64_t seen = atomic_load_explicit(word, memory_order_relaxed);

    return seen <= now_ns && atomic_compare_exchange_strong(word, &seen, next_ns);
}
