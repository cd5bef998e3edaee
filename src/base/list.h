/* Doubly linked lists of numbers, for indices: who waits in which order, what lies idle where.
 *
 * Items are told apart by number, and lie in an array of the caller's; each begins with its `struct list_link`. All zero is a
 * list without anybody, and a link in no list. Nothing here allocates; an item is in one list at most. */
#ifndef HOLDFAST_BASE_LIST_H
#define HOLDFAST_BASE_LIST_H

#include <stddef.h>
#include <stdint.h>

/* Numbers + 1; 0: none. */
struct list_link {
    uint32_t before, after;
};
struct list {
    uint32_t first, last;
};

/* The array of a list's items, `size` bytes each. */
struct list_items {
    void *array; /* borrowed */
    size_t size;
};
#define LIST_ITEMS(array) ((struct list_items){(array), sizeof *(array)})

/* Puts a number that is in no list before another one (its number + 1), or at the end (0). */
void list_put(struct list *list, struct list_items items, uint32_t number, uint32_t before);
/* Takes a number out of the list that it is in. */
void list_remove(struct list *list, struct list_items items, uint32_t number);

#endif
