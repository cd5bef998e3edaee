/* Named descriptors. A search of the whole table takes some microseconds; masters ask a few hundred times in
 * a life. */
#include "anchor/names.h"

#include "base/assert.h"
#include "base/fd.h"

#include <string.h>

void names_init(struct names *names, unsigned capacity, int full_error)
{
    MUST(capacity <= NAMES_MAX);
    names->capacity = capacity;
    names->full_error = full_error;
    names->count = 0;
    for (unsigned i = 0; i < NAMES_MAX; i++)
        names->places[i].fd = -1;
}

void names_fini(struct names *names)
{
    for (unsigned i = 0; i < NAMES_MAX; i++)
        fd_close(&names->places[i].fd);
    names->count = 0;
}

struct named *names_find(struct names *names, const char *name)
{
    for (unsigned i = 0; i < NAMES_MAX; i++)
        if (names->places[i].fd >= 0 && strcmp(names->places[i].name, name) == 0)
            return &names->places[i];
    return NULL;
}

int names_put(struct names *names, const char *name, int *fd, uint32_t depositor)
{
    struct named *named = names_find(names, name);
    if (named) {
        fd_close(&named->fd);
    } else {
        if (names->count >= names->capacity)
            return names->full_error;
        named = names->places;
        while (named->fd >= 0)
            named++;
        names->count++;
        size_t length = strlen(name);
        MUST(wire_name_valid(name, length));
        memcpy(named->name, name, length + 1);
    }
    named->fd = *fd;
    named->depositor = depositor;
    *fd = -1;
    return 0;
}

void names_delete(struct names *names, struct named *named)
{
    MUST(named->fd >= 0 && names->count > 0);
    fd_close(&named->fd);
    names->count--;
}

unsigned names_next(const struct names *names, unsigned place, const char *prefix)
{
    size_t length = strlen(prefix);
    while (place < NAMES_MAX &&
           (names->places[place].fd < 0 || strncmp(names->places[place].name, prefix, length) != 0))
        place++;
    return place;
}
