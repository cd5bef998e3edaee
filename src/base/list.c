#include "base/list.h"

/* Of a number + 1. */
static struct list_link *link_of(struct list_items items, uint32_t at)
{
    return (struct list_link *)(void *)((char *)items.array + (size_t)(at - 1) * items.size);
}

void list_put(struct list *list, struct list_items items, uint32_t number, uint32_t before)
{
    struct list_link *link = link_of(items, number + 1);

    link->after = before;
    link->before = before ? link_of(items, before)->before : list->last;
    if (link->before)
        link_of(items, link->before)->after = number + 1;
    else
        list->first = number + 1;
    if (before)
        link_of(items, before)->before = number + 1;
    else
        list->last = number + 1;
}

void list_remove(struct list *list, struct list_items items, uint32_t number)
{
    struct list_link *link = link_of(items, number + 1);

    if (link->before)
        link_of(items, link->before)->after = link->after;
    else
        list->first = link->after;
    if (link->after)
        link_of(items, link->after)->before = link->before;
    else
        list->last = link->before;
    *link = (struct list_link){0, 0};
}
