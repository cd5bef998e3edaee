#include "handler/files/internal.h"

#include "base/fd.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct task *task_find(struct files *files, const struct wanted *wanted, uint8_t form)
{
    for (struct task *task = files->tasks; task; task = task->next)
        if (task->folder == wanted->folder && task->form == form &&
            task->path_length == wanted->path.length &&
            !memcmp(task->path, wanted->path.at, task->path_length))
            return task;
    return NULL;
}

void task_free(struct task *task)
{
    if (task->source_fd >= 0)
        worker_file_drop(task->files->http->worker, task->source_fd);
    if (task->root >= 0)
        worker_file_drop(task->files->http->worker, task->root);
    if (task->fd >= 0)
        close(task->fd);
    errand_forget_waiters(&task->errand);
    free(task->source);
    free(task->shown_path);
    free(task->bytes);
    free(task);
}

static void remove_from_list(struct task *task)
{
    struct task **at = &task->files->tasks;

    while (*at != task)
        at = &(*at)->next;
    *at = task->next;
}

/* Moves the result into the cache. */
static void keep(struct task *task)
{
    struct files *files = task->files;
    struct file_cache *cache = &files->cache;
    const struct slice path = {task->path, task->path_length};
    struct cached_file *file = cache_find(cache, task->folder, path, task->form);

    if (file)
        cache_forget(cache, file);
    file = cache_place(cache, task->folder, path, task->form);
    if (!file)
        return;
    file->status = task->status;
    file->checked_ns = file->used_ns = files->http->worker->now_ns;
    file->is_vain = task->vain;
    file->type = task->type;
    if (task->vain)
        return;
    file->size = task->length;
    file->fd = task->fd;
    if (file->fd >= 0)
        worker_file_use(files->http->worker, file->fd);
    else
        file->content = task->bytes;
    task->fd = -1;
    task->bytes = file->content ? NULL : task->bytes;
    cache_describe(file, slice_of(task->etag), task->modified_s);
    cache_count_made(cache, file, task->length);
}

static void task_done(struct errand *errand)
{
    struct task *task = (struct task *)(void *)errand;

    remove_from_list(task);
    if (task->form != TASK_LOOK)
        keep(task);
    task_free(task);
}

struct task *task_new(struct exchange *exchange, const struct wanted *wanted, uint8_t form,
                      void (*run)(struct errand *errand))
{
    struct task *task = malloc(sizeof *task);

    if (!task)
        return NULL;
    memset(task, 0, offsetof(struct task, path));
    memset(&task->root, 0, sizeof *task - offsetof(struct task, root));
    task->errand.run = run;
    task->errand.done = task_done;
    task->files = files_of(exchange);
    task->folder = wanted->folder;
    task->form = form;
    task->path_length = wanted->path.length;
    memcpy(task->path, wanted->path.at, wanted->path.length + 1);
    task->root = task->source_fd = task->fd = -1;
    task->modified_s = -1;
    return task;
}

void task_use_root(struct task *task, int root)
{
    task->root = root;
    worker_file_use(task->files->http->worker, root);
}

int task_start(struct task *task, struct exchange *exchange)
{
    if (errand_start(&task->errand, exchange)) {
        task_free(task);
        return 0;
    }
    task->next = task->files->tasks;
    task->files->tasks = task;
    return FILES_LATER;
}

int task_wait(struct task *task, struct exchange *exchange)
{
    return errand_join(&task->errand, exchange) ? 0 : FILES_LATER;
}

void task_pack(struct task *task)
{
    if (task->length <= CACHE_CONTENT_MAX)
        return;
    task->fd = fd_memfd("made", 0, 0);
    if (task->fd < 0 || fd_write_all(task->fd, task->bytes, task->length))
        task->vain = 503;
    free(task->bytes);
    task->bytes = NULL;
}

void tasks_forget(struct files *files)
{
    while (files->tasks) {
        struct task *task = files->tasks;

        remove_from_list(task);
        task_free(task);
    }
}
