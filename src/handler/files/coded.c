/* Which coding of a file is sent: a sibling that lies beside it (index.html.br for index.html), or one that is made here. */
#include "handler/files/compress.h"
#include "handler/files/internal.h"
#include "http/negotiate.h"
#include "net/warm.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define READ_PIECE 65536u

/* --- siblings --- */

/* The sibling in that coding, if it is there and not older than the file. 0 and *sibling, NULL if not; FILES_LATER. */
static int find_sibling(struct exchange *exchange, struct wanted *wanted, enum coding coding,
                        const struct timespec *modified, struct cached_file **sibling)
{
    const size_t length = wanted->path.length;
    struct slice reason;
    int status = 404;

    *sibling = NULL;
    if (!wanted_add(wanted, coding_suffix(coding)))
        status = find_file(exchange, wanted, sibling, &reason);
    wanted_cut(wanted, length);
    if (status || (*sibling)->status.st_mtim.tv_sec < modified->tv_sec)
        *sibling = NULL;
    return status == FILES_LATER ? FILES_LATER : 0;
}

/* Which siblings there are; asked of the file system once in a while. Looking for one may let go of the file's own entry:
 * it is found again. */
static int find_siblings(struct exchange *exchange, struct wanted *wanted, struct cached_file **file,
                         struct slice *reason)
{
    const struct timespec modified = (*file)->status.st_mtim;
    const uint64_t now_ns = exchange->worker->now_ns;
    unsigned there = 0;
    int status;

    if ((*file)->siblings_ns && now_ns - (*file)->siblings_ns <= FILES_FRESH_NS)
        return 0;
    for (unsigned c = CODING_IDENTITY + 1; c < CODING_COUNT; c++) {
        struct cached_file *sibling;

        if (find_sibling(exchange, wanted, (enum coding)c, &modified, &sibling))
            return FILES_LATER;
        there |= sibling ? CODING_BIT(c) : 0;
    }
    status = find_file(exchange, wanted, file, reason);
    if (!status) {
        (*file)->siblings = there;
        (*file)->siblings_ns = now_ns;
    }
    return status;
}

/* --- what is made --- */

/* In a pool thread. */
static int read_source(struct task *task)
{
    const size_t size = (size_t)task->status.st_size;
    size_t done = 0;

    task->source = malloc(size);
    while (task->source && done < size) {
        const size_t piece = size - done < READ_PIECE ? size - done : READ_PIECE;
        const ssize_t count = pread(task->source_fd, task->source + done, piece, (off_t)done);

        if (count <= 0)
            return ERR_IO; /* shorter by now: the next look at the file shows it */
        done += (size_t)count;
    }
    return task->source ? 0 : ERR_NO_MEMORY;
}

static void make(struct errand *errand)
{
    struct task *task = (struct task *)(void *)errand;
    const size_t size = (size_t)task->status.st_size;
    const enum coding coding = (enum coding)task->form;
    const struct etag_source source = {.size = size,
                                       .modified_s = task->status.st_mtim.tv_sec,
                                       .modified_ns = (uint32_t)task->status.st_mtim.tv_nsec,
                                       .inode = task->status.st_ino,
                                       .coding = coding,
                                       .maker = compress_version(coding)};

    task->vain = 1;
    if (!task->source && read_source(task))
        return;
    if (compress_bytes(coding, (struct slice){task->source, size}, size - 1, &task->bytes, &task->length))
        return;
    task->vain = 0;
    task->modified_s = task->status.st_mtim.tv_sec;
    (void)etag_write(&source, task->etag);
    task_pack(task);
}

static int start_making(struct exchange *exchange, const struct wanted *wanted,
                        const struct cached_file *file, enum coding coding)
{
    struct task *task = task_find(files_of(exchange), wanted, (uint8_t)coding);

    if (task)
        return task_wait(task, exchange);
    task = task_new(exchange, wanted, (uint8_t)coding, make);
    if (!task)
        return 0;
    task->status = file->status;
    task->type = file->type;
    if (file->content) {
        task->source = malloc(file->size);
        if (!task->source) {
            task_free(task);
            return 0;
        }
        memcpy(task->source, file->content, file->size);
    } else {
        worker_file_use(exchange->worker, file->fd);
        task->source_fd = file->fd;
    }
    return task_start(task, exchange);
}

/* 0 and *made, NULL: it is not worth it, or cannot be made now; FILES_LATER. */
static int find_made(struct exchange *exchange, const struct wanted *wanted, const struct cached_file *file,
                     enum coding coding, struct cached_file **made)
{
    struct file_cache *cache = &files_of(exchange)->cache;
    struct cached_file *entry = cache_find(cache, wanted->folder, wanted->path, (uint8_t)coding);

    *made = NULL;
    if (entry && !cache_is_same(&entry->status, &file->status)) {
        cache_forget(cache, entry);
        entry = NULL;
    }
    if (!entry)
        return start_making(exchange, wanted, file, coding);
    entry->used_ns = exchange->worker->now_ns;
    *made = entry->is_vain ? NULL : entry;
    return 0;
}

static int may_be_made(const struct exchange *exchange, const struct cached_file *file)
{
    const struct route_settings *settings = &exchange->route->settings;

    if (settings->compress == ROUTE_COMPRESS_OFF || file->size < settings->compress_min || file->size < 2 ||
        file->size > COMPRESS_SOURCE_MAX)
        return 0;
    return settings->compress == ROUTE_COMPRESS_ON
               ? compress_type_is_usual(file->type)
               : compress_type_is_listed(file->type, settings->compress_types, settings->compress_type_count);
}

/* --- choosing --- */

int coded_choose(struct exchange *exchange, struct wanted *wanted, struct cached_file **file,
                 enum coding *coding, int *varies, struct slice *reason)
{
    const struct route_settings *settings = &exchange->route->settings;
    const int may_make = may_be_made(exchange, *file);
    unsigned available = CODING_BIT(CODING_IDENTITY) | (may_make ? COMPRESS_CODINGS : 0);
    struct cached_file *coded = NULL;
    int status = 0;

    *coding = CODING_IDENTITY;
    *varies = may_make || settings->precompressed;
    if (!*varies)
        return 0;
    if (settings->precompressed) {
        status = find_siblings(exchange, wanted, file, reason);
        if (status)
            return status;
        available |= (*file)->siblings;
    }
    /* Nothing that is there is what the client wants: RFC 9110 section 12.5.3 lets us send it plain. */
    if (negotiate_coding(exchange->request, available, coding) || *coding == CODING_IDENTITY) {
        *coding = CODING_IDENTITY;
        return 0;
    }
    if ((*file)->siblings & CODING_BIT(*coding) && settings->precompressed) {
        const struct timespec modified = (*file)->status.st_mtim;

        status = find_sibling(exchange, wanted, *coding, &modified, &coded);
        if (!status && !coded)
            status = find_file(exchange, wanted, file, reason);
    } else {
        status = find_made(exchange, wanted, *file, *coding, &coded);
    }
    if (coded)
        *file = coded;
    else
        *coding = CODING_IDENTITY;
    return status;
}
