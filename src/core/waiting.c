#include "core/waiting.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

int waiting_init(struct waiting *waiting, uint32_t numbers)
{
    void *memory = mmap(NULL, numbers * sizeof *waiting->links, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    *waiting = (struct waiting){0};
    if (memory == MAP_FAILED)
        return ERR_NO_MEMORY;
    waiting->links = memory;
    waiting->numbers = numbers;
    return 0;
}

void waiting_fini(struct waiting *waiting)
{
    if (waiting->links)
        munmap(waiting->links, waiting->numbers * sizeof *waiting->links);
    *waiting = (struct waiting){0};
}

static void take_away(struct waiting *waiting, const struct waiting_link *link)
{
    if (link->before)
        waiting->links[link->before - 1].after = link->after;
    else
        waiting->first[link->kind] = link->after;
    if (link->after)
        waiting->links[link->after - 1].before = link->before;
    else
        waiting->last[link->kind] = link->before;
}

void waiting_put(struct waiting *waiting, uint32_t number, enum waiting_for kind)
{
    struct waiting_link *link = &waiting->links[number];

    if (link->kind != WAITING_NOT)
        take_away(waiting, link);
    *link = (struct waiting_link){.kind = kind};
    if (kind == WAITING_NOT)
        return;
    link->before = waiting->last[kind];
    if (link->before)
        waiting->links[link->before - 1].after = number + 1;
    else
        waiting->first[kind] = number + 1;
    waiting->last[kind] = number + 1;
}

uint32_t waiting_first(const struct waiting *waiting, enum waiting_for kind)
{
    return waiting->first[kind] ? waiting->first[kind] - 1 : WAITING_NOBODY;
}

uint32_t waiting_next(const struct waiting *waiting, uint32_t number)
{
    return waiting->links[number].after ? waiting->links[number].after - 1 : WAITING_NOBODY;
}

/* --- sorting --- */

struct moment {
    uint64_t time;
    uint32_t number;
};

static int compare_moments(const void *left, const void *right)
{
    const struct moment *a = left, *b = right;

    return a->time < b->time ? -1 : a->time > b->time;
}

static void sort_list(struct waiting *waiting, enum waiting_for kind, waiting_time_fn time_of,
                      const void *context)
{
    struct moment *moments;
    size_t count = 0, i = 0;

    for (uint32_t at = waiting->first[kind]; at; at = waiting->links[at - 1].after)
        count++;
    moments = count ? calloc(count, sizeof *moments) : NULL;
    if (!moments)
        return;
    for (uint32_t at = waiting->first[kind]; at; at = waiting->links[at - 1].after)
        moments[i++] = (struct moment){time_of(context, at - 1), at - 1};
    qsort(moments, count, sizeof *moments, compare_moments);
    for (i = 0; i < count; i++) /* each to the end, one after the other */
        waiting_put(waiting, moments[i].number, kind);
    free(moments);
}

void waiting_sort(struct waiting *waiting, waiting_time_fn time_of, const void *context)
{
    sort_list(waiting, WAITING_IDLE, time_of, context);
    sort_list(waiting, WAITING_BEGUN, time_of, context);
}
