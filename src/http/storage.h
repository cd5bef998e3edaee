/* Memory that lives exactly as long as a configuration: taken piece by piece while one is built, released at once.
 * Private to its process; nothing in it is needed to revive a connection. */
#ifndef HOLDFAST_HTTP_STORAGE_H
#define HOLDFAST_HTTP_STORAGE_H

#include "base/bytes.h"

#include <stddef.h>

/* All zero is an empty one. */
struct storage {
    struct storage_block *blocks;     /* owned */
    struct storage_release *releases; /* owned, in the blocks; newest first */
};

/* `size` bytes, all zero, aligned for any type; NULL: no memory. */
void *storage_take(struct storage *storage, size_t size);
/* A copy with a NUL behind it; `at` is NULL if there is no memory. */
struct slice storage_copy(struct storage *storage, struct slice text);
/* Will call release(object) in storage_fini. 0 or ERR_NO_MEMORY: then it is called at once. */
WARN_UNUSED int storage_release_with(struct storage *storage, void (*release)(void *object), void *object);
/* Releases everything; the storage is empty afterwards and can be used again. */
void storage_fini(struct storage *storage);

#endif
