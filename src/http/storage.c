#include "http/storage.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_BYTES 4096u /* what is larger gets a block of its own */

struct storage_block {
    struct storage_block *next;
    size_t used, capacity; /* of `bytes` */
    _Alignas(max_align_t) unsigned char bytes[];
};

struct storage_release {
    struct storage_release *next;
    void (*release)(void *object);
    void *object;
};

static struct storage_block *block_with_room(struct storage *storage, size_t size)
{
    struct storage_block *first = storage->blocks;
    if (first && first->capacity - first->used >= size)
        return first;
    size_t capacity = size > BLOCK_BYTES ? size : BLOCK_BYTES;
    struct storage_block *block = calloc(1, sizeof *block + capacity);
    if (!block)
        return NULL;
    block->next = first;
    block->capacity = capacity;
    storage->blocks = block;
    return block;
}

void *storage_take(struct storage *storage, size_t size)
{
    const size_t align = _Alignof(max_align_t);
    if (size > SIZE_MAX / 2)
        return NULL; /* sums with it could wrap */
    size_t rounded = (size + align - 1) / align * align;
    struct storage_block *block = block_with_room(storage, rounded);
    if (!block)
        return NULL;
    void *taken = block->bytes + block->used;
    block->used += rounded;
    return taken;
}

struct slice storage_copy(struct storage *storage, struct slice text)
{
    char *copy = storage_take(storage, text.length + 1);
    if (copy && text.length)
        memcpy(copy, text.at, text.length);
    return (struct slice){copy, copy ? text.length : 0};
}

int storage_release_with(struct storage *storage, void (*release)(void *object), void *object)
{
    struct storage_release *entry = storage_take(storage, sizeof *entry);
    if (!entry) {
        release(object);
        return ERR_NO_MEMORY;
    }
    *entry = (struct storage_release){storage->releases, release, object};
    storage->releases = entry;
    return 0;
}

void storage_fini(struct storage *storage)
{
    for (struct storage_release *entry = storage->releases; entry; entry = entry->next)
        entry->release(entry->object);
    while (storage->blocks) {
        struct storage_block *block = storage->blocks;
        storage->blocks = block->next;
        free(block);
    }
    *storage = (struct storage){0};
}
