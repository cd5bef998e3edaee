#include "handler/files/cache.h"

#include "base/assert.h"

#include <stdlib.h>
#include <string.h>

#define MODIFIED "Last-Modified: "
#define WAYS 4u /* places that a path may have */

/* FNV-1a; collisions cost a comparison, not correctness. */
static uint32_t hash_of(uint32_t folder, struct slice path, uint8_t form)
{
    uint32_t hash = 2166136261u ^ folder ^ (uint32_t)form << 24;

    for (size_t i = 0; i < path.length; i++)
        hash = (hash ^ (unsigned char)path.at[i]) * 16777619u;
    return hash;
}

static struct cached_file *set_of(struct file_cache *cache, uint32_t hash)
{
    return &cache->entries[hash % (CACHE_ENTRIES / WAYS) * WAYS];
}

void cache_init(struct file_cache *cache, struct worker *worker)
{
    cache->worker = worker;
    cache->made = 0;
    for (unsigned i = 0; i < CACHE_ENTRIES; i++)
        cache->entries[i] = (struct cached_file){.fd = -1};
}

struct cached_file *cache_find(struct file_cache *cache, uint32_t folder, struct slice path, uint8_t form)
{
    uint32_t hash = hash_of(folder, path, form);
    struct cached_file *set = set_of(cache, hash);

    for (unsigned i = 0; i < WAYS; i++)
        if (set[i].path && set[i].hash == hash && set[i].folder == folder && set[i].form == form &&
            set[i].path_length == path.length && !memcmp(set[i].path, path.at, path.length))
            return &set[i];
    return NULL;
}

void cache_forget(struct file_cache *cache, struct cached_file *file)
{
    if (!file->path)
        return;
    if (file->fd >= 0)
        worker_file_drop(cache->worker, file->fd);
    cache->made -= file->made;
    free(file->content);
    free(file->path);
    *file = (struct cached_file){.fd = -1};
}

void cache_forget_folder(struct file_cache *cache, uint32_t folder)
{
    for (unsigned i = 0; i < CACHE_ENTRIES; i++)
        if ((cache->entries[i].folder & 0xffff) == (folder & 0xffff))
            cache_forget(cache, &cache->entries[i]);
}

struct cached_file *cache_place(struct file_cache *cache, uint32_t folder, struct slice path, uint8_t form)
{
    uint32_t hash = hash_of(folder, path, form);
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
    oldest->folder = folder;
    oldest->form = form;
    oldest->fd = -1;
    return oldest;
}

unsigned cache_trim(struct file_cache *cache, uint64_t before_ns, uint64_t made_before_ns)
{
    unsigned left = 0;

    for (unsigned i = 0; i < CACHE_ENTRIES; i++) {
        const uint64_t since_ns = cache->entries[i].made ? made_before_ns : before_ns;

        if (cache->entries[i].path && cache->entries[i].used_ns < since_ns)
            cache_forget(cache, &cache->entries[i]);
        left += cache->entries[i].path != NULL;
    }
    return left;
}

static struct cached_file *oldest_made(struct file_cache *cache, const struct cached_file *except)
{
    struct cached_file *oldest = NULL;

    for (unsigned i = 0; i < CACHE_ENTRIES; i++) {
        struct cached_file *entry = &cache->entries[i];

        if (entry->path && entry->made && entry != except && (!oldest || entry->used_ns < oldest->used_ns))
            oldest = entry;
    }
    return oldest;
}

void cache_count_made(struct file_cache *cache, struct cached_file *file, uint64_t bytes)
{
    struct cached_file *oldest;

    file->made = bytes;
    cache->made += bytes;
    while (cache->made > CACHE_MADE_MAX && (oldest = oldest_made(cache, file)))
        cache_forget(cache, oldest);
}

static void add_modified(int64_t modified_s, struct text *text)
{
    char modified[CLOCK_HTTP_DATE_SIZE];

    clock_http_date(modified_s, modified);
    text_add_f(text, MODIFIED "%s\r\n", modified);
}

void cache_add_lines(const struct cached_file *file, int64_t now_s, struct text *text)
{
    const size_t modified = sizeof MODIFIED - 1 + CLOCK_HTTP_DATE_SIZE - 1 + 2;

    if (file->modified_s <= now_s) {
        text_add(text, file->lines);
        return;
    }
    add_modified(now_s, text);
    text_add(text, (struct slice){file->lines.at + modified, file->lines.length - modified});
}

void cache_describe(struct cached_file *file, struct slice etag, int64_t modified_s)
{
    struct text text;
    size_t at;

    file->modified_s = modified_s;
    text_init(&text, file->lines_memory, sizeof file->lines_memory);
    if (modified_s >= 0)
        add_modified(modified_s, &text);
    text_add_c(&text, "ETag: ");
    at = text.length;
    text_add(&text, etag);
    file->etag = (struct slice){text.at + at, etag.length};
    text_add_c(&text, "\r\nAccept-Ranges: bytes\r\n");
    MUST(!text.overflow);
    file->lines = (struct slice){text.at, text.length};
}

int cache_is_same(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
           a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}
