#include "handler/files/files.h"

#include "base/fd.h"
#include "base/log.h"
#include "handler/files/cache.h"
#include "handler/files/types.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FRESH_NS NS_PER_S      /* a file is looked at again after this */
#define KEEP_NS (5 * NS_PER_S) /* and forgotten when nobody asked for this long */
#define PATH_LIMIT 4096u

struct files {
    struct http *http;
    int *roots; /* owned; by site */
    struct file_cache cache;
};

/* What a request asks for. */
struct wanted {
    uint32_t site;
    struct slice path; /* decoded, beginning with '/', an index name appended where it ends with one */
    char memory[PATH_LIMIT];
};

static struct files *files_of(const struct exchange *exchange)
{
    return exchange->http->handler_private[0];
}

/* --- finding --- */

static int has_hidden_segment(struct slice path)
{
    for (size_t i = 0; i + 1 < path.length; i++)
        if (path.at[i] == '/' && path.at[i + 1] == '.')
            return 1;
    return 0;
}

/* 0; or the HTTP status that refuses it, with a reason. */
static int want(struct exchange *exchange, struct wanted *wanted, struct slice *reason)
{
    const char *index = exchange->site->index;
    uint32_t length = 0;

    wanted->site = (uint32_t)(exchange->site - exchange->http->config->sites);
    if (h1_path_decode(exchange->request->path, wanted->memory, PATH_LIMIT - 256, &length)) {
        *reason = SLICE_LITERAL("bad_path");
        return 400;
    }
    wanted->path = (struct slice){wanted->memory, length};
    if (has_hidden_segment(wanted->path)) {
        *reason = SLICE_LITERAL("hidden_file");
        return 404;
    }
    if (wanted->memory[length - 1] == '/' && strlen(index) < 255) {
        memcpy(wanted->memory + length, index, strlen(index));
        length += (uint32_t)strlen(index);
    }
    wanted->memory[length] = '\0';
    wanted->path.length = length;
    return 0;
}

/* 0, or -1 with errno set. */
static int open_root(struct files *files, size_t site)
{
    int fd = open(files->http->config->sites[site].root, O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return -1;
    files->roots[site] = fd;
    worker_file_use(files->http->worker, fd);
    return 0;
}

static int open_beneath(int root, const char *path)
{
    struct open_how how = {.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};

    return (int)syscall(SYS_openat2, root, path, &how, sizeof how);
}

static int status_of_errno(int number, struct slice *reason)
{
    if (number == ENOENT || number == ENOTDIR || number == ELOOP || number == EXDEV ||
        number == ENAMETOOLONG) {
        *reason = SLICE_LITERAL("no_such_file");
        return 404;
    }
    if (number == EACCES || number == EPERM) {
        *reason = SLICE_LITERAL("file_not_readable");
        return 403;
    }
    *reason = SLICE_LITERAL("file_open_failed");
    return number == EMFILE || number == ENFILE || number == ENOMEM ? 503 : 500;
}

static void describe(struct cached_file *file, struct slice path)
{
    char date[CLOCK_HTTP_DATE_SIZE];
    struct text text;

    clock_http_date(file->status.st_mtim.tv_sec, date);
    text_init(&text, file->fields, sizeof file->fields);
    text_add_f(&text, "Last-Modified: %s\r\nETag: \"%llx-%llx-%lx\"\r\n", date,
               (unsigned long long)file->status.st_size, (unsigned long long)file->status.st_mtim.tv_sec,
               (unsigned long)file->status.st_mtim.tv_nsec);
    file->type = types_of_path(path);
}

/* Small files are read whole; then their descriptor is not needed any more. */
static void keep_content(struct worker *worker, struct cached_file *file)
{
    size_t size = (size_t)file->status.st_size;

    if (size > CACHE_CONTENT_MAX)
        return;
    file->content = malloc(size ? size : 1);
    if (!file->content)
        return;
    if (pread(file->fd, file->content, size, 0) != (ssize_t)size) {
        free(file->content);
        file->content = NULL;
        return;
    }
    worker_file_drop(worker, file->fd);
    file->fd = -1;
}

/* Opens a file into a cache entry. 0, or a status and reason. */
static int open_wanted(struct files *files, struct wanted *wanted, struct cached_file **found,
                       struct slice *reason)
{
    struct worker *worker = files->http->worker;
    struct cached_file *file;
    struct stat status;
    int fd;

    if (!worker_may_open_file(worker)) {
        *reason = SLICE_LITERAL("out_of_descriptors");
        return 503;
    }
    if (files->roots[wanted->site] < 0 && open_root(files, wanted->site))
        return status_of_errno(errno, reason);
    fd = open_beneath(files->roots[wanted->site], wanted->path.at + 1);

    if (fd < 0)
        return status_of_errno(errno, reason);
    if (fstat(fd, &status) || !S_ISREG(status.st_mode)) {
        close(fd);
        *reason = S_ISDIR(status.st_mode) ? SLICE_LITERAL("is_a_folder") : SLICE_LITERAL("no_such_file");
        return S_ISDIR(status.st_mode) ? 301 : 404;
    }
    worker_file_use(worker, fd);
    file = cache_place(&files->cache, wanted->site, wanted->path);
    if (!file) {
        worker_file_drop(worker, fd);
        *reason = SLICE_LITERAL("no_memory");
        return 503;
    }
    file->fd = fd;
    file->status = status;
    file->checked_ns = worker->now_ns;
    describe(file, wanted->path);
    keep_content(worker, file);
    *found = file;
    return 0;
}

static int is_unchanged(struct files *files, struct wanted *wanted, const struct cached_file *file)
{
    struct stat status;

    return !fstatat(files->roots[wanted->site], wanted->path.at + 1, &status, 0) &&
           status.st_ino == file->status.st_ino && status.st_dev == file->status.st_dev &&
           status.st_size == file->status.st_size && status.st_mtim.tv_sec == file->status.st_mtim.tv_sec &&
           status.st_mtim.tv_nsec == file->status.st_mtim.tv_nsec;
}

static int find(struct files *files, struct wanted *wanted, struct cached_file **found, struct slice *reason)
{
    uint64_t now_ns = files->http->worker->now_ns;
    struct cached_file *file = cache_find(&files->cache, wanted->site, wanted->path);
    int status = 0;

    if (file && now_ns - file->checked_ns > FRESH_NS) {
        if (is_unchanged(files, wanted, file)) {
            file->checked_ns = now_ns;
        } else {
            cache_forget(&files->cache, file);
            file = NULL;
        }
    }
    *found = file;
    if (!file)
        status = open_wanted(files, wanted, found, reason);
    if (!status)
        (*found)->used_ns = now_ns;
    return status;
}

/* --- answering --- */

/* A folder without its slash: relative links on its page would go wrong (RFC 9110 section 15.4.2). */
static void redirect_to_folder(struct exchange *exchange)
{
    const struct h1_head *request = exchange->request;
    char memory[EXCHANGE_FIELDS_MAX];
    struct text text;

    text_init(&text, memory, sizeof memory);
    text_add_f(&text, "Location: %.*s/%s%.*s\r\n", (int)request->path.length, request->path.at,
               request->has_query ? "?" : "", (int)request->query.length, request->query.at);
    if (text.overflow || slice_starts_with(request->path, SLICE_LITERAL("//")))
        exchange_respond_error(exchange, 404, SLICE_LITERAL("is_a_folder"));
    else
        exchange_respond(exchange, 301, (struct slice){"", 0}, (struct slice){text.at, text.length},
                         (struct slice){"", 0});
}

static void files_begin(struct exchange *exchange)
{
    static struct wanted wanted;
    struct files *files = files_of(exchange);
    struct cached_file *file = NULL;
    struct slice reason = {"", 0}, fields;
    int status;

    if (exchange->request->method != H1_GET && exchange->request->method != H1_HEAD) {
        exchange_respond(exchange, 405, (struct slice){"", 0}, SLICE_LITERAL("Allow: GET, HEAD\r\n"),
                         (struct slice){"", 0});
        return;
    }
    status = want(exchange, &wanted, &reason);
    if (!status)
        status = find(files, &wanted, &file, &reason);
    if (status == 301) {
        redirect_to_folder(exchange);
        return;
    }
    if (status) {
        exchange_respond_error(exchange, status, reason);
        return;
    }
    fields = slice_of(file->fields);
    if (file->content)
        exchange_respond(exchange, 200, file->type, fields,
                         (struct slice){file->content, (size_t)file->status.st_size});
    else
        exchange_respond_file(exchange, 200, file->type, fields, file->fd, 0, (uint64_t)file->status.st_size);
}

const struct handler files_handler = {.name = "files", .begin = files_begin};

/* --- start and stop --- */

static int open_roots(struct http *http, struct files *files)
{
    const struct http_config *config = http->config;

    files->roots = calloc(config->site_count + 1, sizeof *files->roots);
    if (!files->roots)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < config->site_count; i++)
        files->roots[i] = -1;
    for (size_t i = 0; i < config->site_count; i++) {
        if (!open_root(files, i))
            continue;
        log_event(LOG_ERROR, LOG_EV_HANDLER_FAILED, "handler=files folder=\"%s\" error=\"%s\"%s",
                  config->sites[i].root, strerror(errno),
                  http->worker->is_revived ? " next=\"tried again with each request\"" : "");
        if (!http->worker->is_revived)
            return err_from_errno(errno);
    }
    return 0;
}

int files_start(struct http *http)
{
    struct files *files = calloc(1, sizeof *files);
    int result;

    if (!files)
        return ERR_NO_MEMORY;
    http->handler_private[0] = files;
    files->http = http;
    files->cache.worker = http->worker;
    for (unsigned i = 0; i < CACHE_ENTRIES; i++)
        files->cache.entries[i].fd = -1;
    result = open_roots(http, files);
    if (result)
        files_stop(http);
    return result;
}

void files_stop(struct http *http)
{
    struct files *files = http->handler_private[0];

    if (!files)
        return;
    (void)cache_trim(&files->cache, UINT64_MAX);
    for (size_t i = 0; files->roots && i < http->config->site_count; i++)
        if (files->roots[i] >= 0)
            worker_file_drop(http->worker, files->roots[i]);
    free(files->roots);
    free(files);
    http->handler_private[0] = NULL;
}

int files_housekeeping(struct http *http)
{
    struct files *files = http->handler_private[0];
    uint64_t now_ns = http->worker->now_ns;

    return cache_trim(&files->cache, now_ns > KEEP_NS ? now_ns - KEEP_NS : 0) > 0;
}
