/* From a path to a file of the cache. */
#include "handler/files/internal.h"

#include "base/fd.h"
#include "handler/files/types.h"
#include "net/warm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TO_READ (O_RDONLY | O_NONBLOCK)

/* --- what is wanted --- */

int wanted_add(struct wanted *wanted, struct slice piece)
{
    if (wanted->path.length + piece.length >= sizeof wanted->memory)
        return ERR_LIMIT;
    memcpy(wanted->memory + wanted->path.length, piece.at, piece.length);
    wanted->path.length += piece.length;
    wanted->memory[wanted->path.length] = '\0';
    return 0;
}

int wanted_set(struct wanted *wanted, uint32_t folder, struct slice path)
{
    wanted->folder = folder;
    wanted->path = (struct slice){wanted->memory, 0};
    return wanted_add(wanted, path);
}

void wanted_cut(struct wanted *wanted, size_t length)
{
    wanted->path.length = length;
    wanted->memory[length] = '\0';
}

int find_is_hidden(struct slice path)
{
    static const struct slice known = {"/.well-known", 12};

    for (size_t i = 0; i + 1 < path.length; i++) {
        const struct slice rest = {path.at + i, path.length - i};

        if (path.at[i] != '/' || path.at[i + 1] != '.')
            continue;
        if (i || !slice_starts_with(rest, known) ||
            (rest.length > known.length && rest.at[known.length] != '/'))
            return 1;
    }
    return 0;
}

/* --- opening --- */

/* The folder that was open stays so if there is none to take its place: who puts a link elsewhere may take it away first. */
static int open_root(struct files *files, size_t folder)
{
    struct files_root *root = &files->roots[folder];
    const int fd = open(files->http->config->folders[folder], O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return -1;
    worker_file_use(files->http->worker, fd);
    if (root->fd >= 0) {
        worker_file_drop(files->http->worker, root->fd);
        cache_forget_folder(&files->cache, (uint32_t)folder);
    }
    root->fd = fd;
    root->checked_ns = files->http->worker->now_ns;
    return 0;
}

static int is_another(const struct files *files, size_t folder)
{
    struct stat there, ours;

    return !stat(files->http->config->folders[folder], &there) && !fstat(files->roots[folder].fd, &ours) &&
           (there.st_dev != ours.st_dev || there.st_ino != ours.st_ino);
}

int find_root(struct files *files, size_t folder)
{
    struct files_root *root = &files->roots[folder];
    const uint64_t now_ns = files->http->worker->now_ns;

    if (root->fd < 0)
        return open_root(files, folder) ? -1 : root->fd;
    if (now_ns - root->checked_ns > FILES_FRESH_NS) {
        root->checked_ns = now_ns;
        if (is_another(files, folder))
            (void)open_root(files, folder);
    }
    return root->fd;
}

int find_status(int number, struct slice *reason)
{
    if (number == ENOENT || number == ENOTDIR || number == ELOOP || number == EXDEV ||
        number == ENAMETOOLONG || number == ENXIO) {
        *reason = SLICE_LITERAL("no_such_file");
        return 404;
    }
    if (number == EACCES || number == EPERM) {
        *reason = SLICE_LITERAL("file_not_readable");
        return 403;
    }
    if (number == EAGAIN) {
        *reason = SLICE_LITERAL("file_busy"); /* somebody's lease on it (fcntl(2)) is being ended */
        return 503;
    }
    *reason = SLICE_LITERAL("file_open_failed");
    return number == EMFILE || number == ENFILE || number == ENOMEM ? 503 : 500;
}

/* In a pool thread: what the loop will ask for is in the kernel's memory afterwards. */
static void look(struct errand *errand)
{
    struct task *task = (struct task *)(void *)errand;
    char content[CACHE_CONTENT_MAX];
    int fd = beneath_open(task->root, task->path + 1, TO_READ);

    if (fd < 0)
        return;
    (void)!pread(fd, content, sizeof content, 0);
    close(fd);
}

/* FILES_LATER, or 0: look at once, even if it takes a while. */
static int look_later(struct exchange *exchange, const struct wanted *wanted)
{
    struct task *task = task_find(files_of(exchange), wanted, TASK_LOOK);

    if (task)
        return task_wait(task, exchange);
    task = task_new(exchange, wanted, TASK_LOOK, look);
    if (!task)
        return 0;
    task_use_root(task, files_of(exchange)->roots[wanted->folder].fd);
    return task_start(task, exchange);
}

static void describe(struct cached_file *file, struct slice path)
{
    const struct etag_source source = {.size = file->size,
                                       .modified_s = file->status.st_mtim.tv_sec,
                                       .modified_ns = (uint32_t)file->status.st_mtim.tv_nsec,
                                       .inode = file->status.st_ino,
                                       .coding = CODING_IDENTITY};
    char etag[ETAG_SIZE];

    file->type = types_of_path(path);
    cache_describe(file, etag_write(&source, etag), file->status.st_mtim.tv_sec);
}

/* Small files are kept whole; then their descriptor is not needed any more. -EAGAIN: it lies on a disk. */
static int keep_content(struct worker *worker, struct cached_file *file, int may_wait)
{
    const size_t size = (size_t)file->size;
    ssize_t count;

    if (size > CACHE_CONTENT_MAX)
        return 0;
    file->content = malloc(size ? size : 1);
    if (!file->content)
        return 0;
    count = may_wait ? pread(file->fd, file->content, size, 0) : warm_read(file->fd, file->content, size, 0);
    if (count != (ssize_t)size) {
        free(file->content);
        file->content = NULL;
        return count == -EAGAIN ? -EAGAIN : 0;
    }
    worker_file_drop(worker, file->fd);
    file->fd = -1;
    return 0;
}

/* Takes the descriptor. 0, FILES_LATER, or a status. */
static int open_as(struct exchange *exchange, struct wanted *wanted, int fd, struct cached_file **found,
                   struct slice *reason)
{
    struct worker *worker = exchange->worker;
    struct file_cache *cache = &files_of(exchange)->cache;
    struct cached_file *file;
    struct stat status;

    if (fstat(fd, &status) || !S_ISREG(status.st_mode)) {
        close(fd);
        *reason = S_ISDIR(status.st_mode) ? SLICE_LITERAL("is_a_folder") : SLICE_LITERAL("no_such_file");
        return S_ISDIR(status.st_mode) ? 301 : 404;
    }
    worker_file_use(worker, fd);
    file = cache_place(cache, wanted->folder, wanted->path, CACHE_FORM_FILE);
    if (!file) {
        worker_file_drop(worker, fd);
        *reason = SLICE_LITERAL("no_memory");
        return 503;
    }
    file->fd = fd;
    file->status = status;
    file->size = (uint64_t)status.st_size;
    file->checked_ns = worker->now_ns;
    describe(file, wanted->path);
    if (keep_content(worker, file, 0) == -EAGAIN) {
        if (look_later(exchange, wanted) == FILES_LATER) {
            cache_forget(cache, file);
            return FILES_LATER;
        }
        (void)keep_content(worker, file, 1);
    }
    *found = file;
    return 0;
}

static int open_wanted(struct exchange *exchange, struct wanted *wanted, struct cached_file **found,
                       struct slice *reason)
{
    struct files *files = files_of(exchange);
    int root, fd;

    if (!worker_may_open_file(exchange->worker)) {
        *reason = SLICE_LITERAL("out_of_descriptors");
        return 503;
    }
    root = find_root(files, wanted->folder);
    if (root < 0)
        return find_status(errno, reason);
    fd = beneath_open_cached(root, wanted->path.at + 1, TO_READ);
    if (fd < 0 && errno == EAGAIN) {
        if (look_later(exchange, wanted) == FILES_LATER)
            return FILES_LATER;
        fd = beneath_open(root, wanted->path.at + 1, TO_READ);
    }
    return fd < 0 ? find_status(errno, reason) : open_as(exchange, wanted, fd, found, reason);
}

/* Through the same door as the first time: it may be reached over other links now. */
static int is_unchanged(struct files *files, struct wanted *wanted, const struct cached_file *file)
{
    const int root = find_root(files, wanted->folder);
    struct stat status;
    int fd, is_same;

    if (root < 0 || !file->path) /* forgotten with all of a folder that is another one now */
        return 0;
    fd = beneath_open_cached(root, wanted->path.at + 1, O_PATH);
    if (fd < 0)
        return 0;
    is_same = !fstat(fd, &status) && cache_is_same(&status, &file->status);
    close(fd);
    return is_same;
}

int find_file(struct exchange *exchange, struct wanted *wanted, struct cached_file **found,
              struct slice *reason)
{
    struct files *files = files_of(exchange);
    const uint64_t now_ns = exchange->worker->now_ns;
    struct cached_file *file = cache_find(&files->cache, wanted->folder, wanted->path, CACHE_FORM_FILE);
    int status = 0;

    if (file && now_ns - file->checked_ns > FILES_FRESH_NS) {
        if (is_unchanged(files, wanted, file)) {
            file->checked_ns = now_ns;
        } else {
            cache_forget(&files->cache, file);
            file = NULL;
        }
    }
    *found = file;
    if (!file)
        status = open_wanted(exchange, wanted, found, reason);
    if (!status)
        (*found)->used_ns = now_ns;
    return status;
}

/* --- as the route says --- */

/* A folder answers with the first of its index files that is there, or with the list of what is in it. */
static int find_index(struct exchange *exchange, struct wanted *wanted, struct cached_file **found,
                      struct slice *reason)
{
    const struct route_settings *settings = &exchange->route->settings;
    const size_t length = wanted->path.length;

    for (size_t i = 0; i < settings->index_count; i++) {
        int status =
            wanted_add(wanted, settings->index[i]) ? 404 : find_file(exchange, wanted, found, reason);

        if (status != 404 && status != 301)
            return status;
        wanted_cut(wanted, length);
    }
    if (settings->listing)
        return listing_find(exchange, wanted, found, reason);
    *reason = SLICE_LITERAL("no_index_file");
    return 404;
}

static int find_one_path(struct exchange *exchange, struct slice path, struct wanted *wanted,
                         struct cached_file **found, struct slice *reason)
{
    const struct slice asked = exchange->route_request->path;
    int status;

    *reason = SLICE_LITERAL("no_such_file");
    if (wanted_set(wanted, exchange->route->folder, path))
        return 404;
    if (!exchange->route->settings.hidden && find_is_hidden(path)) {
        *reason = SLICE_LITERAL("hidden_file");
        return 404;
    }
    if (path.at[path.length - 1] == '/')
        return find_index(exchange, wanted, found, reason);
    status = find_file(exchange, wanted, found, reason);
    /* A rewrite or a fallback led to a folder: who asked with a slash would be sent round in a circle. */
    if (status == 301 && asked.at[asked.length - 1] == '/')
        return wanted_add(wanted, SLICE_LITERAL("/")) ? 404 : find_index(exchange, wanted, found, reason);
    return status;
}

int find_path(struct exchange *exchange, struct wanted *wanted, struct cached_file **found,
              struct slice *reason)
{
    const char *fallback = exchange->route->settings.fallback;
    int status = find_one_path(exchange, exchange->path, wanted, found, reason);

    if (status != 404 || !fallback)
        return status;
    return find_one_path(exchange, slice_of(fallback), wanted, found, reason);
}
