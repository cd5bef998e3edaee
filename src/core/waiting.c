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

void waiting_put(struct waiting *waiting, uint32_t number, enum waiting_for kind)
{
    struct waiting_link *link = &waiting->links[number];

    if (link->kind != WAITING_NOT)
        list_remove(&waiting->lists[link->kind], LIST_ITEMS(waiting->links), number);
    link->kind = kind;
    if (kind != WAITING_NOT)
        list_put(&waiting->lists[kind], LIST_ITEMS(waiting->links), number, 0);
}

uint32_t waiting_first(const struct waiting *waiting, enum waiting_for kind)
{
    return waiting->lists[kind].first ? waiting->lists[kind].first - 1 : WAITING_NOBODY;
}

uint32_t waiting_next(const struct waiting *waiting, uint32_t number)
{
    return waiting->links[number].link.after ? waiting->links[number].link.after - 1 : WAITING_NOBODY;
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

    for (uint32_t at = waiting->lists[kind].first; at; at = waiting->links[at - 1].link.after)
        count++;
    moments = count ? calloc(count, sizeof *moments) : NULL;
    if (!moments)
        return;
    for (uint32_t at = waiting->lists[kind].first; at; at = waiting->links[at - 1].link.after)
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
