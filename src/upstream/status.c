#include "upstream/status.h"

#include "base/clock.h"
#include "upstream/health.h"

#include <stdlib.h>
#include <string.h>

#define SHOWN_SIZE 2400u /* of one server, each byte of its texts written as \u00XX at worst, or nearly */
#define HEAD_SIZE 256u

/* --- one server --- */

static const char *check_of(const struct table_entry *entry)
{
    static const char *const names[] = {"unknown", "up", "down", "unknown"};

    return entry->checks ? names[HEALTH_STATE(entry->check)] : "none";
}

static void look(const struct table *table, uint32_t number, uint64_t now_ms, struct upstream_shown *shown)
{
    const struct table_entry *entry = table_entry(table, number);
    const uint64_t until_ms = health_ejected_until_ms(entry->passive);

    *shown = (struct upstream_shown){
        .pool = entry->pool,
        .server = entry->server,
        .address = entry->address_text,
        .check = check_of(entry),
        .ejected_ms = until_ms > now_ms ? until_ms - now_ms : 0,
        .requests = entry->requests,
        .failures = entry->failures,
        .ejections = entry->ejections,
        .checks = entry->checks,
        .checks_failed = entry->checks_failed,
        .active = table_active(table, number),
        .weight = entry->weight,
        .max = entry->max,
        .is_backup = (int)entry->is_backup,
    };
    shown->state = health_is_down(entry->check) ? "down" : shown->ejected_ms ? "ejected" : "up";
}

/* --- all, in order --- */

static const struct table *sorted_table; /* of the one thread that sorts */

static int compare(const void *a, const void *b)
{
    const struct table_entry *one = table_entry(sorted_table, *(const uint32_t *)a),
                             *other = table_entry(sorted_table, *(const uint32_t *)b);

    if (one->order >> 16 != other->order >> 16)
        return one->order < other->order ? -1 : 1;
    if (strcmp(one->pool, other->pool) != 0) /* of another configuration */
        return strcmp(one->pool, other->pool);
    return one->order < other->order ? -1 : one->order > other->order;
}

static uint32_t list(const struct table *table, uint32_t numbers[TABLE_ENTRIES])
{
    uint32_t limit = table_head(table)->entry_limit, count = 0;

    if (limit > TABLE_ENTRIES)
        limit = TABLE_ENTRIES;
    for (uint32_t i = 0; i < limit; i++)
        if (table_is_shown(table, i))
            numbers[count++] = i;
    sorted_table = table;
    qsort(numbers, count, sizeof *numbers, compare);
    return count;
}

void upstream_show_all(const void *shared, const struct board *board, uint64_t now_ns, upstream_show_fn show,
                       void *context)
{
    uint32_t numbers[TABLE_ENTRIES], count;
    struct upstream_shown shown;
    struct table table;

    if (!shared || table_look(&table, shared, board))
        return;
    count = list(&table, numbers);
    for (uint32_t i = 0; i < count; i++) {
        look(&table, numbers[i], now_ns / NS_PER_MS, &shown);
        show(context, &shown);
    }
}

/* --- as JSON --- */

struct writing {
    struct text text;
    char pool[UPSTREAM_NAME_MAX + 1]; /* the last one */
    int is_open;
};

static void add_text(struct text *out, const char *name, const char *value)
{
    text_add_f(out, "\"%s\":\"", name);
    text_add_json(out, slice_of(value));
    text_add_c(out, "\",");
}

static void add_number(struct text *out, const char *name, uint64_t value)
{
    text_add_f(out, "\"%s\":%llu,", name, (unsigned long long)value);
}

static void add_server(void *context, const struct upstream_shown *shown)
{
    struct writing *writing = context;
    struct text *out = &writing->text;
    const int is_same = writing->is_open && !strcmp(writing->pool, shown->pool);

    if (!is_same) {
        text_add_c(out, writing->is_open ? "]},{" : "{");
        add_text(out, "name", shown->pool);
        text_add_c(out, "\"servers\":[");
        memcpy(writing->pool, shown->pool, sizeof writing->pool);
        writing->is_open = 1;
    }
    text_add_c(out, is_same ? ",{" : "{");
    add_text(out, "server", shown->server);
    add_text(out, "address", shown->address);
    add_text(out, "state", shown->state);
    add_text(out, "check", shown->check);
    add_number(out, "active", shown->active);
    add_number(out, "requests", shown->requests);
    add_number(out, "failures", shown->failures);
    add_number(out, "ejections", shown->ejections);
    add_number(out, "ejected_ms", shown->ejected_ms);
    add_number(out, "checks", shown->checks);
    add_number(out, "checks_failed", shown->checks_failed);
    add_number(out, "weight", shown->weight);
    add_number(out, "max", shown->max);
    text_add_f(out, "\"backup\":%s}", shown->is_backup ? "true" : "false");
}

/* A name that nobody has asked for in a while belongs to a former configuration. */
static int name_is_shown(const struct table *table, uint32_t number, uint64_t now_ns)
{
    const uint64_t key = table_head(table)->name_keys[number];
    const struct table_name *name = table_name(table, number);

    return key && name->filled == key && name->asked_ns + 10 * NS_PER_S > now_ns;
}

static void add_names(struct text *out, const struct table *table, uint64_t now_ns)
{
    const char *joint = "";
    struct table_copy copy;

    for (uint32_t i = 0; i < table_head(table)->name_limit && i < TABLE_NAMES; i++) {
        const struct table_name *name = table_name(table, i);
        const uint64_t next_ns = name->next_look_ns;

        if (!name_is_shown(table, i, now_ns))
            continue;
        if (table_name_read(table, i, &copy))
            copy.count = 0;
        text_add_f(out, "%s{", joint);
        add_text(out, "name", name->text);
        add_number(out, "addresses", copy.count);
        add_number(out, "failures", name->failures);
        text_add_f(out, "\"next_ms\":%llu}",
                   (unsigned long long)(next_ns > now_ns ? (next_ns - now_ns) / NS_PER_MS : 0));
        joint = ",";
    }
}

char *upstream_describe(const void *shared, const struct board *board)
{
    const uint64_t now_ns = clock_monotonic_ns();
    struct writing writing = {.is_open = 0};
    size_t size = HEAD_SIZE;
    struct table table;
    char *memory;
    int has_table = shared && !table_look(&table, shared, board);

    if (has_table)
        size += ((size_t)table_head(&table)->entry_limit + table_head(&table)->name_limit) * SHOWN_SIZE;
    memory = malloc(size);
    if (!memory)
        return NULL;
    text_init(&writing.text, memory, size);
    text_add_c(&writing.text, "{\"pools\":[");
    upstream_show_all(shared, board, now_ns, add_server, &writing);
    text_add_c(&writing.text, writing.is_open ? "]}],\"names\":[" : "],\"names\":[");
    if (has_table)
        add_names(&writing.text, &table, now_ns);
    text_add_c(&writing.text, "]}");
    if (!writing.text.overflow)
        return memory;
    text_init(&writing.text, memory, size); /* servers came meanwhile: the next one to ask sees them */
    text_add_c(&writing.text, "{\"pools\":[],\"names\":[]}");
    return memory;
}
