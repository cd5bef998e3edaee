/* What the files of this handler share. */
#ifndef HOLDFAST_HANDLER_FILES_INTERNAL_H
#define HOLDFAST_HANDLER_FILES_INTERNAL_H

#include "handler/files/beneath.h"
#include "handler/files/cache.h"
#include "http/errand.h"
#include "http/exchange.h"
#include "http/range.h"

#define FILES_FRESH_NS NS_PER_S /* a file is looked at again after this */

struct task;

struct files_root {
    int fd;              /* one use of worker_file_use; -1: could not be opened yet */
    uint64_t checked_ns; /* when the configured path was last found to lead to it */
};

struct files {
    struct http *http;
    struct files_root *roots; /* owned; by number of the folder in http_config.folders */
    struct task *tasks;       /* owned; those in the pool */
    struct file_cache cache;
};

static inline struct files *files_of(const struct exchange *exchange)
{
    return exchange->http->handler_private[0];
}

/* What is looked for: a path in a folder. */
struct wanted {
    uint32_t folder;
    struct slice path; /* decoded, beginning with '/'; points to memory, NUL-terminated */
    char memory[BENEATH_PATH_MAX];
};

/* Adds a piece; 0, or ERR_LIMIT. */
WARN_UNUSED int wanted_add(struct wanted *wanted, struct slice piece);
WARN_UNUSED int wanted_set(struct wanted *wanted, uint32_t folder, struct slice path);
void wanted_cut(struct wanted *wanted, size_t length);

/* --- finding: 0 and *found, borrowed until the next of these calls; a status and *reason; FILES_LATER: a pool thread looks,
 * the request was put off --- */

#define FILES_LATER (-1)

/* One file. find.c */
int find_file(struct exchange *exchange, struct wanted *wanted, struct cached_file **found,
              struct slice *reason);
/* A path as the route says: hidden names, index files, listing, fallback. */
int find_path(struct exchange *exchange, struct wanted *wanted, struct cached_file **found,
              struct slice *reason);
/* The descriptor of the folder of that number, borrowed until the next call; opened if it is not yet, and looked at again
 * after FILES_FRESH_NS: a deploy may have put a link elsewhere, and then all workers must follow, not those alone that are
 * revived. What the cache had of the old folder is forgotten. -1 with errno set. */
int find_root(struct files *files, size_t folder);
/* The status and reason for an errno of open(2). */
int find_status(int number, struct slice *reason);
/* 1 if a name may not be served; `.well-known` may (RFC 8615). */
int find_is_hidden(struct slice path);

/* The representation that the request accepts: *file changes to a sibling or to what was compressed. *varies: others may
 * get another one. coded.c */
int coded_choose(struct exchange *exchange, struct wanted *wanted, struct cached_file **file,
                 enum coding *coding, int *varies, struct slice *reason);

/* The list of a folder; wanted->path ends with a slash. listing.c */
int listing_find(struct exchange *exchange, struct wanted *wanted, struct cached_file **found,
                 struct slice *reason);

/* --- answering: ranges of a representation. `type` and `fields` are those of a 200. parts.c --- */

void parts_answer(struct exchange *exchange, const struct cached_file *file, struct slice type,
                  struct text *fields, struct slice wanted, int is_coded);
/* The handler's `more`. */
void parts_more(struct exchange *exchange);

/* --- tasks: errands that put something into the cache. task.c --- */

#define TASK_LOOK 255u /* as a form: nothing is kept but what the kernel keeps */

struct task {
    struct errand errand; /* first */
    struct task *next;
    struct files *files;

    /* What for. */
    uint32_t folder;
    uint8_t form; /* cached_file.form, or TASK_LOOK */
    size_t path_length;
    char path[BENEATH_PATH_MAX];

    /* In. */
    int root;           /* one use of worker_file_use; -1: none */
    int source_fd;      /* one use of worker_file_use; -1: none */
    char *source;       /* owned; NULL: none */
    struct stat status; /* of the source */
    struct slice type;  /* static */
    uint64_t limit;
    char *shown_path; /* owned; NULL: path */

    /* Out. */
    int vain; /* there is nothing to keep; cached_file.is_vain */
    char *bytes;
    size_t length;
    int fd; /* with the bytes, if they are too many for the cache; -1: none */
    char etag[ETAG_SIZE];
    int64_t modified_s; /* -1: nothing is said of it */
};

/* One that is in the pool for the same, or NULL. */
struct task *task_find(struct files *files, const struct wanted *wanted, uint8_t form);
/* NULL: no memory. task_start or task_free follows. */
struct task *task_new(struct exchange *exchange, const struct wanted *wanted, uint8_t form,
                      void (*run)(struct errand *errand));
/* Keeps the folder's descriptor open until the task is freed. */
void task_use_root(struct task *task, int root);
/* Starts it and puts the request off: FILES_LATER. 0: it cannot be, and is freed. */
int task_start(struct task *task, struct exchange *exchange);
/* Puts the request off until the task is done: FILES_LATER; 0: it cannot be. */
int task_wait(struct task *task, struct exchange *exchange);
void task_free(struct task *task);
/* At the end of `run`: bytes that are too many for the cache go into a descriptor. */
void task_pack(struct task *task);
/* The worker ends: those in the pool are forgotten. */
void tasks_forget(struct files *files);

#endif
