#include "handler/files/files.h"

#include "base/fd.h"
#include "base/log.h"
#include "handler/files/cache.h"
#include "handler/files/types.h"
#include "http/conditional.h"
#include "http/escape.h"
#include "http/etag.h"
#include "http/negotiate.h"
#include "http/range.h"

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
#define ALLOWED "Allow: GET, HEAD, OPTIONS\r\n"

struct files {
    struct http *http;
    int *roots; /* owned; by number of the folder in http_config.folders; -1: could not be opened yet */
    struct file_cache cache;
};

/* What is looked for: a path in a folder. */
struct wanted {
    uint32_t folder;
    struct slice path; /* decoded, beginning with '/'; points to memory, NUL-terminated */
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

/* Adds a piece; 0, or ERR_LIMIT. */
static int want_more(struct wanted *wanted, struct slice piece)
{
    if (wanted->path.length + piece.length >= PATH_LIMIT)
        return ERR_LIMIT;
    memcpy(wanted->memory + wanted->path.length, piece.at, piece.length);
    wanted->path.length += piece.length;
    wanted->memory[wanted->path.length] = '\0';
    return 0;
}

static int want(struct wanted *wanted, uint32_t folder, struct slice path)
{
    wanted->folder = folder;
    wanted->path = (struct slice){wanted->memory, 0};
    return want_more(wanted, path);
}

/* 0, or -1 with errno set. */
static int open_root(struct files *files, size_t folder)
{
    int fd = open(files->http->config->folders[folder], O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return -1;
    files->roots[folder] = fd;
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

static void describe(struct cached_file *file)
{
    const struct etag_source source = {.size = (uint64_t)file->status.st_size,
                                       .modified_s = file->status.st_mtim.tv_sec,
                                       .modified_ns = (uint32_t)file->status.st_mtim.tv_nsec,
                                       .inode = file->status.st_ino,
                                       .coding = CODING_IDENTITY};

    clock_http_date(file->status.st_mtim.tv_sec, file->modified);
    file->etag = etag_write(&source, file->etag_memory);
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
    if (files->roots[wanted->folder] < 0 && open_root(files, wanted->folder))
        return status_of_errno(errno, reason);
    fd = open_beneath(files->roots[wanted->folder], wanted->path.at + 1);

    if (fd < 0)
        return status_of_errno(errno, reason);
    if (fstat(fd, &status) || !S_ISREG(status.st_mode)) {
        close(fd);
        *reason = S_ISDIR(status.st_mode) ? SLICE_LITERAL("is_a_folder") : SLICE_LITERAL("no_such_file");
        return S_ISDIR(status.st_mode) ? 301 : 404;
    }
    worker_file_use(worker, fd);
    file = cache_place(&files->cache, wanted->folder, wanted->path);
    if (!file) {
        worker_file_drop(worker, fd);
        *reason = SLICE_LITERAL("no_memory");
        return 503;
    }
    file->fd = fd;
    file->status = status;
    file->checked_ns = worker->now_ns;
    describe(file);
    keep_content(worker, file);
    *found = file;
    return 0;
}

static int is_unchanged(struct files *files, struct wanted *wanted, const struct cached_file *file)
{
    struct stat status;

    return !fstatat(files->roots[wanted->folder], wanted->path.at + 1, &status, 0) &&
           status.st_ino == file->status.st_ino && status.st_dev == file->status.st_dev &&
           status.st_size == file->status.st_size && status.st_mtim.tv_sec == file->status.st_mtim.tv_sec &&
           status.st_mtim.tv_nsec == file->status.st_mtim.tv_nsec;
}

static int find(struct files *files, struct wanted *wanted, struct cached_file **found, struct slice *reason)
{
    uint64_t now_ns = files->http->worker->now_ns;
    struct cached_file *file = cache_find(&files->cache, wanted->folder, wanted->path);
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

/* A folder answers with the first of its index files that is there. */
static int find_index(struct exchange *exchange, struct wanted *wanted, struct cached_file **found,
                      struct slice *reason)
{
    const struct route_settings *settings = &exchange->route->settings;
    const size_t length = wanted->path.length;

    for (size_t i = 0; i < settings->index_count; i++) {
        int status;

        wanted->path.length = length;
        if (want_more(wanted, settings->index[i]))
            return 404;
        status = find(files_of(exchange), wanted, found, reason);
        if (status != 404)
            return status;
    }
    *reason = SLICE_LITERAL("no_index_file");
    return 404;
}

static int find_path(struct exchange *exchange, struct slice path, struct wanted *wanted,
                     struct cached_file **found, struct slice *reason)
{
    *reason = SLICE_LITERAL("no_such_file");
    if (want(wanted, exchange->route->folder, path))
        return 404;
    if (!exchange->route->settings.hidden && has_hidden_segment(path)) {
        *reason = SLICE_LITERAL("hidden_file");
        return 404;
    }
    if (path.at[path.length - 1] == '/')
        return find_index(exchange, wanted, found, reason);
    return find(files_of(exchange), wanted, found, reason);
}

static int find_or_fall_back(struct exchange *exchange, struct wanted *wanted, struct cached_file **found,
                             struct slice *reason)
{
    const char *fallback = exchange->route->settings.fallback;
    int status = find_path(exchange, exchange->path, wanted, found, reason);

    return status == 404 && fallback ? find_path(exchange, slice_of(fallback), wanted, found, reason)
                                     : status;
}

/* --- siblings: index.html.br for index.html --- */

/* The sibling in that coding, if it is there and not older than the file. */
static struct cached_file *find_sibling(struct exchange *exchange, struct wanted *wanted, enum coding coding,
                                        const struct timespec *modified)
{
    struct cached_file *sibling = NULL;
    const size_t length = wanted->path.length;
    struct slice reason;
    int status =
        want_more(wanted, coding_suffix(coding)) || find(files_of(exchange), wanted, &sibling, &reason);

    wanted->path.length = length;
    wanted->memory[length] = '\0';
    if (status || sibling->status.st_mtim.tv_sec < modified->tv_sec)
        return NULL;
    return sibling;
}

/* The representation to send. Looking for one may let go of an entry that was found before: the file is found again. */
static int choose_coding(struct exchange *exchange, struct wanted *wanted, struct cached_file **file,
                         enum coding *coding, struct slice *reason)
{
    const struct timespec modified = (*file)->status.st_mtim;
    unsigned available = CODING_BIT(CODING_IDENTITY);

    *coding = CODING_IDENTITY;
    if (!exchange->route->settings.precompressed)
        return 0;
    for (unsigned c = 0; c < CODING_COUNT; c++)
        if (c != CODING_IDENTITY && find_sibling(exchange, wanted, (enum coding)c, &modified))
            available |= CODING_BIT(c);
    if (negotiate_coding(exchange->request, available, coding))
        *coding =
            CODING_IDENTITY; /* what the client wants is not there: RFC 9110 section 12.5.3 lets us send it plain */
    if (*coding != CODING_IDENTITY)
        *file = find_sibling(exchange, wanted, *coding, &modified);
    if (*coding == CODING_IDENTITY || !*file)
        return find(files_of(exchange), wanted, file, reason);
    return 0;
}

/* --- answering --- */

/* A folder without its slash: relative links on its page would go wrong (RFC 9110 section 15.4.2). The Location is made
 * from the decoded path, so nothing of the request's own spelling gets into it. */
static void redirect_to_folder(struct exchange *exchange)
{
    char memory[EXCHANGE_FIELDS_MAX];
    struct text text;

    text_init(&text, memory, sizeof memory);
    text_add_c(&text, "Location: ");
    escape_add_path(&text, exchange->route_request->path);
    text_add_f(&text, "/%s%.*s\r\n", exchange->request->has_query ? "?" : "",
               (int)exchange->request->query.length, exchange->request->query.at);
    if (text.overflow)
        exchange_respond_error(exchange, 404, SLICE_LITERAL("is_a_folder"));
    else
        exchange_respond(exchange, 301, (struct slice){"", 0}, (struct slice){text.at, text.length},
                         (struct slice){"", 0});
}

static void add_validators(const struct exchange *exchange, struct text *text, const struct cached_file *file,
                           enum coding coding)
{
    char memory[512];

    text_add_f(text, "Last-Modified: %s\r\nETag: %.*s\r\n", file->modified, (int)file->etag.length,
               file->etag.at);
    if (exchange->route->settings.precompressed)
        text_add_c(text, "Vary: Accept-Encoding\r\n");
    if (coding != CODING_IDENTITY)
        text_add_f(text, "Content-Encoding: %.*s\r\n", (int)coding_token(coding).length,
                   coding_token(coding).at);
    text_add(text, exchange_cache_line(exchange, memory, sizeof memory));
}

static void send_bytes(struct exchange *exchange, const struct cached_file *file, struct slice type,
                       int status, struct text *fields, const struct range *range)
{
    const struct slice lines = {fields->at, fields->length};
    const uint64_t length = range_length(range);

    if (file->content)
        exchange_respond(exchange, status, type, lines, (struct slice){file->content + range->first, length});
    else
        exchange_respond_file(exchange, status, type, lines, file->fd, range->first, length);
}

/* One range; several are answered with the whole, which RFC 9110 section 14.2 permits. */
static void send_file(struct exchange *exchange, const struct cached_file *file, struct slice type,
                      struct text *fields, struct slice wanted)
{
    const uint64_t size = (uint64_t)file->status.st_size;
    struct range_set set;
    enum range_answer answer = range_select(wanted, size, &set);

    text_add_c(fields, "Accept-Ranges: bytes\r\n");
    if (answer == RANGE_UNSATISFIED) {
        fields->length = 0;
        range_add_unsatisfied(fields, size);
        exchange_respond_error_with(exchange, 416, SLICE_LITERAL("range_not_satisfiable"),
                                    (struct slice){fields->at, fields->length});
    } else if (answer == RANGE_PARTIAL && set.count == 1) {
        range_add_content_range(fields, &set.at[0], size);
        send_bytes(exchange, file, type, 206, fields, &set.at[0]);
    } else if (size == 0) {
        exchange_respond(exchange, 200, type, (struct slice){fields->at, fields->length},
                         (struct slice){"", 0});
    } else {
        send_bytes(exchange, file, type, 200, fields, &(struct range){0, size - 1});
    }
}

static void answer_file(struct exchange *exchange, const struct cached_file *file, struct slice type,
                        enum coding coding)
{
    const struct conditional_resource resource = {.etag = file->etag,
                                                  .modified_s = file->status.st_mtim.tv_sec};
    const struct conditional condition =
        conditional_evaluate(exchange->request, &resource, (int64_t)(clock_wall_ns() / NS_PER_S));
    char memory[EXCHANGE_FIELDS_MAX];
    struct text fields;

    text_init(&fields, memory, sizeof memory);
    if (condition.status == 412) {
        exchange_respond_error(exchange, 412, SLICE_LITERAL("precondition_failed"));
        return;
    }
    add_validators(exchange, &fields, file, coding);
    if (condition.status == 304)
        exchange_respond(exchange, 304, (struct slice){"", 0}, (struct slice){fields.at, fields.length},
                         (struct slice){"", 0});
    else
        send_file(exchange, file, type, &fields, condition.range);
}

static void files_begin(struct exchange *exchange)
{
    static struct wanted wanted;
    const enum h1_method method = exchange->request->method;
    struct cached_file *file = NULL;
    struct slice reason = {"", 0};
    enum coding coding = CODING_IDENTITY;
    int status;

    if (method == H1_OPTIONS) {
        exchange_respond(exchange, 204, (struct slice){"", 0}, SLICE_LITERAL(ALLOWED), (struct slice){"", 0});
        return;
    }
    if (method != H1_GET && method != H1_HEAD) {
        exchange_respond_error_with(exchange, 405, SLICE_LITERAL("method_not_allowed"),
                                    SLICE_LITERAL(ALLOWED));
        return;
    }
    status = find_or_fall_back(exchange, &wanted, &file, &reason);
    if (!status)
        status = choose_coding(exchange, &wanted, &file, &coding, &reason);
    if (status == 301)
        redirect_to_folder(exchange);
    else if (status)
        exchange_respond_error(exchange, status, reason);
    else
        answer_file(exchange, file, types_of_path(wanted.path), coding);
}

const struct handler files_handler = {.name = "files", .begin = files_begin};

/* --- start and stop --- */

static int open_roots(struct http *http, struct files *files)
{
    const struct http_config *config = http->config;

    files->roots = calloc(config->folder_count + 1, sizeof *files->roots);
    if (!files->roots)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < config->folder_count; i++)
        files->roots[i] = -1;
    for (size_t i = 0; i < config->folder_count; i++) {
        if (!open_root(files, i))
            continue;
        log_event(LOG_ERROR, LOG_EV_HANDLER_FAILED, "handler=files folder=\"%s\" error=\"%s\"%s",
                  config->folders[i], strerror(errno),
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
    for (size_t i = 0; files->roots && i < http->config->folder_count; i++)
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
