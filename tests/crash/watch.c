#include "crash/watch.h"

#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FD_OF_ARENA 3 /* FD_ARENA of core/worker.h, which is the worker's alone */

/* Records above the highest descriptor that ever was a connection's are FREE and stay so until that grows. */
static size_t watched_size(const struct watch *watch)
{
    return watch->arena.records_offset + (watch->arena.core->highest_fd + 2) * sizeof(struct record);
}

static int differs(struct watch *watch, size_t from, size_t to)
{
    const char *now = (const char *)watch->arena.page;
    if (memcmp(watch->seen + from, now + from, to - from) == 0)
        return 0;
    memcpy(watch->seen + from, now + from, to - from);
    return 1;
}

int watch_has_changed(struct watch *watch)
{
    const size_t beat = offsetof(struct arena_page, keeper_beat_ns), after_beat = beat + sizeof(uint64_t);
    const size_t core = ARENA_PAGE_SIZE + offsetof(struct arena_core, crash);
    const size_t intents = ARENA_PAGE_SIZE + offsetof(struct arena_core, intents);
    int changed = differs(watch, 0, beat) | differs(watch, after_beat, sizeof(struct arena_page));
    changed |=
        differs(watch, ARENA_PAGE_SIZE, core) | differs(watch, intents, intents + sizeof(struct intent));
    return changed | differs(watch, watch->arena.records_offset, watched_size(watch));
}

int watch_open(struct watch *watch, pid_t worker)
{
    char path[64];
    *watch = (struct watch){.arena.fd = -1};
    snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)worker, FD_OF_ARENA);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return -1;
    if (arena_map(&watch->arena, fd) != 0) {
        close(fd);
        watch->arena.fd = -1;
        return -1;
    }
    watch->seen = calloc(1, watch->arena.blocks_offset);
    if (!watch->seen)
        return -1;
    (void)watch_has_changed(watch);
    return 0;
}

void watch_close(struct watch *watch)
{
    if (watch->arena.fd >= 0)
        arena_close(&watch->arena);
    free(watch->seen);
    watch->seen = NULL;
    watch->arena.fd = -1;
}
