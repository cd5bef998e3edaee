/* Files that were opened lately, by site and path. Bounded; one worker's private memory. */
#ifndef HOLDFAST_HANDLER_FILES_CACHE_H
#define HOLDFAST_HANDLER_FILES_CACHE_H

#include "base/bytes.h"
#include "base/clock.h"
#include "core/worker.h"
#include "http/etag.h"

#include <sys/stat.h>

#define CACHE_ENTRIES 1024u
#define CACHE_CONTENT_MAX 8192u /* bytes of a file that is kept whole */

struct cached_file {
    uint32_t hash, site;
    uint64_t checked_ns, used_ns; /* when the file was opened or looked at; when it was last served */
    struct stat status;
    int fd;        /* one use of worker_file_use; -1: the content is all that is needed */
    char *content; /* owned; NULL: too large */
    char modified[CLOCK_HTTP_DATE_SIZE]; /* as Last-Modified says it */
    struct slice etag;                   /* in etag_memory */
    char etag_memory[ETAG_SIZE];
    size_t path_length;
    char *path; /* owned; NULL: the entry is free */
};

struct file_cache {
    struct worker *worker; /* borrowed */
    struct cached_file entries[CACHE_ENTRIES];
};

/* The entry of a path, or NULL. */
struct cached_file *cache_find(struct file_cache *cache, uint32_t site, struct slice path);
/* An empty entry for a path: whoever had its place is forgotten. NULL without memory. */
struct cached_file *cache_place(struct file_cache *cache, uint32_t site, struct slice path);
void cache_forget(struct file_cache *cache, struct cached_file *file);
/* Forgets what was not served since `before_ns`. How many are left. */
unsigned cache_trim(struct file_cache *cache, uint64_t before_ns);

#endif
