/* Files that were opened lately, and representations that were made of them: by folder, path and form. Bounded; one worker's
 * private memory. */
#ifndef HOLDFAST_HANDLER_FILES_CACHE_H
#define HOLDFAST_HANDLER_FILES_CACHE_H

#include "base/bytes.h"
#include "base/clock.h"
#include "core/worker.h"
#include "http/etag.h"

#include <sys/stat.h>

#define CACHE_ENTRIES 1024u
#define CACHE_CONTENT_MAX 8192u           /* bytes of a file that is kept whole */
#define CACHE_MADE_MAX (64ull << 20)      /* bytes of all representations that were made, together */
#define CACHE_LINES_SIZE (ETAG_SIZE + 96) /* Last-Modified, ETag, Accept-Ranges */

/* What of a file: CACHE_FORM_FILE; an enum coding: made from it; from CACHE_FORM_LISTING on: lists of a folder. */
#define CACHE_FORM_FILE 0u
#define CACHE_FORM_LISTING 16u

struct cached_file {
    /* identity */
    uint32_t hash, folder;
    uint8_t form;
    size_t path_length;
    char *path; /* owned; NULL: the entry is free */

    /* state */
    uint64_t checked_ns, used_ns; /* when the file was opened or looked at; when it was last served */
    struct stat status;           /* of the file; of the one that a representation was made from */
    uint64_t siblings_ns;         /* when its precompressed siblings were looked for; 0: never */
    unsigned siblings;            /* CODING_BIT of those that were there */
    int is_vain;                  /* a representation that is no smaller than the file: there is none */

    /* content */
    uint64_t size; /* bytes of the representation */
    int fd;        /* one use of worker_file_use; -1: the content is all that is needed */
    char *content; /* owned; NULL: too large */
    uint64_t made; /* bytes that count towards CACHE_MADE_MAX */

    /* what is said of it */
    struct slice type;  /* static */
    struct slice etag;  /* in lines_memory */
    int64_t modified_s; /* as the lines say it; negative: they do not */
    struct slice lines; /* Last-Modified, ETag, Accept-Ranges, each with its CRLF; in lines_memory */
    char lines_memory[CACHE_LINES_SIZE];
};

struct file_cache {
    struct worker *worker; /* borrowed */
    uint64_t made;         /* bytes, of all entries */
    struct cached_file entries[CACHE_ENTRIES];
};

void cache_init(struct file_cache *cache, struct worker *worker);
/* The entry of a path, or NULL. */
struct cached_file *cache_find(struct file_cache *cache, uint32_t folder, struct slice path, uint8_t form);
/* An empty entry for a path that has none: whoever had its place is forgotten. NULL without memory. */
struct cached_file *cache_place(struct file_cache *cache, uint32_t folder, struct slice path, uint8_t form);
/* Counts `bytes` for an entry's content, forgetting other representations, those first that were not served for the longest
 * time. */
void cache_count_made(struct file_cache *cache, struct cached_file *file, uint64_t bytes);
/* Writes lines and etag; `modified_s`: seconds since 1970; negative: nothing is said of it. */
void cache_describe(struct cached_file *file, struct slice etag, int64_t modified_s);
/* Adds the lines to a response that is made at `now_s` (seconds since 1970): a later Last-Modified becomes that (RFC 9110
 * section 8.8.2.1). */
void cache_add_lines(const struct cached_file *file, int64_t now_s, struct text *text);
void cache_forget(struct file_cache *cache, struct cached_file *file);
/* Forgets all of a folder; its number is in the lower 16 bits of cached_file.folder. */
void cache_forget_folder(struct file_cache *cache, uint32_t folder);
/* Forgets the files that were not served since `before_ns`, and the representations not since `made_before_ns`. How many are
 * left. */
unsigned cache_trim(struct file_cache *cache, uint64_t before_ns, uint64_t made_before_ns);

/* 1 if both are one state of one file. */
int cache_is_same(const struct stat *a, const struct stat *b);

#endif
