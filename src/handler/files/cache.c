#include "handler/files/cache.h"

#include <stdlib.h>
#include <string.h>

#define WAYS 4u /* places that a path may have */

/* FNV-1a; collisions cost a comparison, not correctness. */
static uint32_t hash_of(uint32_t site, struct slice path)
{
    uint32_t hash = 2166136261u ^ site;

    for (size_t i = 0; i < path.length; i++)
        hash = (hash ^ (unsigned char)path.at[i]) * 16777619u;
    return hash;
}

static struct cached_file *set_of(struct file_cache *cache, uint32_t hash)
{
    return &cache->entries[hash % (CACHE_ENTRIES / WAYS) * WAYS];
}

struct cached_file *cache_find(struct file_cache *cache, uint32_t site, struct slice path)
{
    uint32_t hash = hash_of(site, path);
    struct cached_file *set = set_of(cache, hash);

    for (unsigned i = 0; i < WAYS; i++)
        if (set[i].path && set[i].hash == hash && set[i].site == site && set[i].path_length == path.length &&
            !memcmp(set[i].path, path.at, path.length))
            return &set[i];
    return NULL;
}

void cache_forget(struct file_cache *cache, struct cached_file *file)
{
    if (!file->path)
        return;
    if (file->fd >= 0)
        worker_file_drop(cache->worker, file->fd);
    free(file->content);
    free(file->path);
    *file = (struct cached_file){.fd = -1};
}

struct cached_file *cache_place(struct file_cache *cache, uint32_t site, struct slice path)
{
    uint32_t hash = hash_of(site, path);
    struct cached_file *set = set_of(cache, hash), *oldest = &set[0];

    for (unsigned i = 0; i < WAYS; i++)
        if (!set[i].path || (oldest->path && set[i].used_ns < oldest->used_ns))
            oldest = &set[i];
    cache_forget(cache, oldest);
    oldest->path = malloc(path.length + 1);
    if (!oldest->path)
        return NULL;
    memcpy(oldest->path, path.at, path.length);
    oldest->path_length = path.length;
    oldest->hash = hash;
    oldest->site = site;
    oldest->fd = -1;
    return oldest;
}

unsigned cache_trim(struct file_cache *cache, uint64_t before_ns)
{
    unsigned left = 0;

    for (unsigned i = 0; i < CACHE_ENTRIES; i++) {
        if (cache->entries[i].path && cache->entries[i].used_ns < before_ns)
            cache_forget(cache, &cache->entries[i]);
        left += cache->entries[i].path != NULL;
    }
    return left;
}
