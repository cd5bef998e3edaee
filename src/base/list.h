/* Intrusive doubly linked list, circular: the head is a link like all others, an empty list points to itself.
 *
 * The links are plain pointers, so a list lives in private memory and is built anew after a revival; records
 * in the arena that have to be chained there use indices. A link that is in no list points to itself after
 * `list_init` and after `list_remove`, so removing twice does no harm. Nothing here allocates or owns. */
#ifndef HOLDFAST_BASE_LIST_H
#define HOLDFAST_BASE_LIST_H

#include <stddef.h>

struct list {
    struct list *next, *previous;
};

/* The object of type `type` whose member `member` is the link `link`. */
#define LIST_ENTRY(link, type, member) ((type *)(void *)((char *)(link)-offsetof(type, member)))

/* Walks links from the first to the last; the body may remove `at`, but no other link. */
#define LIST_EACH(head, at)                                                                                  \
    for (struct list *at = (head)->next, *at##_next = at->next; at != (head);                                \
         at = at##_next, at##_next = at->next)

static inline void list_init(struct list *link)
{
    link->next = link;
    link->previous = link;
}

/* Also answers whether a link is in no list. */
static inline int list_is_empty(const struct list *head)
{
    return head->next == head;
}

/* `link` must be in no list. */
static inline void list_add_before(struct list *position, struct list *link)
{
    link->previous = position->previous;
    link->next = position;
    position->previous->next = link;
    position->previous = link;
}

static inline void list_add_first(struct list *head, struct list *link)
{
    list_add_before(head->next, link);
}

static inline void list_add_last(struct list *head, struct list *link)
{
    list_add_before(head, link);
}

static inline void list_remove(struct list *link)
{
    link->previous->next = link->next;
    link->next->previous = link->previous;
    list_init(link);
}

/* Takes the first link out and returns it; NULL when the list is empty. */
static inline struct list *list_take_first(struct list *head)
{
    struct list *link = head->next;

    if (link == head)
        return NULL;
    list_remove(link);
    return link;
}

#endif
