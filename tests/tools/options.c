#include "tools/options.h"

#include <stdlib.h>
#include <string.h>

static const struct option_entry *find(const struct option_entry *table, const char *name)
{
    for (; table->name; table++) {
        if (strcmp(table->name, name) == 0)
            return table;
    }
    return NULL;
}

static int read_number(const struct option_entry *entry, char *field, const char *value)
{
    char *end;
    uint64_t number = strtoull(value, &end, 10) * (entry->unit ? entry->unit : 1);
    if (end == value || *end != '\0')
        return -1;
    memcpy(field, &number, sizeof number);
    return 0;
}

int options_read(int argc, char **argv, const struct option_entry *table, void *into, options_call_fn call)
{
    int at = 1;
    while (at < argc && strncmp(argv[at], "--", 2) == 0) {
        const struct option_entry *entry = find(table, argv[at] + 2);
        if (!entry)
            return -1;
        at++;
        char *field = (char *)into + entry->offset;
        if (entry->kind == OPTION_LAST)
            return at;
        if (entry->kind == OPTION_FLAG) {
            *(int *)(void *)field = 1;
            continue;
        }
        if (at == argc)
            return -1;
        char *value = argv[at++];
        int result = 0;
        if (entry->kind == OPTION_NUMBER)
            result = read_number(entry, field, value);
        else if (entry->kind == OPTION_TEXT)
            memcpy(field, &value, sizeof value);
        else
            result = call(into, entry->name, value);
        if (result != 0)
            return -1;
    }
    return at;
}
