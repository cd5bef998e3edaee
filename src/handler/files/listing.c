#include "handler/files/listing.h"

#include "handler/files/internal.h"
#include "http/accept.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- reading --- */

/* Fills in what the entry is. 1; 0: it is not shown. */
static int look_at(struct listing_entry *entry, int root, int folder, const char *path, const char *name)
{
    struct stat status;

    if (fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT))
        return 0;
    if (S_ISLNK(status.st_mode)) {
        char whole[BENEATH_PATH_MAX];
        struct text text;
        int fd, failed;

        text_init(&text, whole, sizeof whole);
        text_add_f(&text, "%s%s%s", path, path[0] && path[strlen(path) - 1] != '/' ? "/" : "", name);
        fd = text.overflow ? -1 : beneath_open(root, whole, O_PATH);
        if (fd < 0)
            return 0;
        failed = fstat(fd, &status);
        close(fd);
        if (failed)
            return 0;
    }
    if (!S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode))
        return 0;
    entry->is_folder = S_ISDIR(status.st_mode);
    entry->size = entry->is_folder ? 0 : (uint64_t)status.st_size;
    entry->modified_s = status.st_mtim.tv_sec;
    return 1;
}

/* 0 or ERR_NO_MEMORY. */
static int add_entry(struct listing *listing, size_t *capacity, const struct listing_entry *entry,
                     const char *name)
{
    if (listing->count == *capacity) {
        const size_t more = *capacity ? *capacity * 2 : 64;
        struct listing_entry *entries = realloc(listing->entries, more * sizeof *entries);

        if (!entries)
            return ERR_NO_MEMORY;
        listing->entries = entries;
        *capacity = more;
    }
    listing->entries[listing->count] = *entry;
    listing->entries[listing->count].name = strdup(name);
    if (!listing->entries[listing->count].name)
        return ERR_NO_MEMORY;
    listing->count++;
    return 0;
}

static int read_entries(struct listing *listing, DIR *folder, int root, const char *path, int shows_hidden)
{
    const struct dirent *found;
    size_t capacity = 0;

    errno = 0;
    while ((found = readdir(folder))) {
        struct listing_entry entry = {0};
        const char *name = found->d_name;

        if (!strcmp(name, ".") || !strcmp(name, "..") || (name[0] == '.' && !shows_hidden) ||
            !look_at(&entry, root, dirfd(folder), path, name)) {
            errno = 0;
            continue;
        }
        if (listing->count == LISTING_ENTRIES_MAX) {
            listing->is_truncated = 1;
            return 0;
        }
        if (add_entry(listing, &capacity, &entry, name)) {
            errno = ENOMEM;
            return -1;
        }
        errno = 0;
    }
    return errno ? -1 : 0;
}

int listing_read(struct listing *listing, int root, const char *path, int shows_hidden)
{
    int fd = beneath_open(root, path, O_RDONLY | O_DIRECTORY | O_NONBLOCK), result, number;
    DIR *folder;

    *listing = (struct listing){.path = "/"};
    if (fd < 0)
        return -1;
    folder = fdopendir(fd);
    if (!folder) {
        close(fd);
        errno = ENOMEM;
        return -1;
    }
    result = read_entries(listing, folder, root, path, shows_hidden);
    number = errno;
    closedir(folder);
    errno = number;
    return result;
}

void listing_fini(struct listing *listing)
{
    for (size_t i = 0; i < listing->count; i++)
        free(listing->entries[i].name);
    free(listing->entries);
    listing->entries = NULL;
    listing->count = 0;
}

/* --- sorting --- */

static int by_name(const struct listing_entry *a, const struct listing_entry *b)
{
    const int folded = strcasecmp(a->name, b->name);

    return folded ? folded : strcmp(a->name, b->name);
}

static int compare(const void *left, const void *right, void *style_pointer)
{
    const struct listing_entry *a = left, *b = right;
    const struct listing_style *style = style_pointer;
    int result = 0;

    if (a->is_folder != b->is_folder)
        return b->is_folder - a->is_folder;
    if (style->order == LISTING_BY_SIZE)
        result = (a->size > b->size) - (a->size < b->size);
    else if (style->order == LISTING_BY_TIME)
        result = (a->modified_s > b->modified_s) - (a->modified_s < b->modified_s);
    if (!result)
        result = by_name(a, b);
    return style->is_descending ? -result : result;
}

void listing_sort(struct listing *listing, enum listing_order order, int is_descending)
{
    struct listing_style style = {.order = order, .is_descending = is_descending};

    if (listing->count)
        qsort_r(listing->entries, listing->count, sizeof *listing->entries, compare, &style);
}

struct listing_style listing_style_of(struct slice query)
{
    struct listing_style style = {.order = LISTING_BY_NAME};

    for (size_t at = 0; at < query.length;) {
        const char *end = memchr(query.at + at, '&', query.length - at);
        const struct slice pair = {query.at + at, (end ? (size_t)(end - query.at) : query.length) - at};

        if (slice_equals(pair, SLICE_LITERAL("sort=size")))
            style.order = LISTING_BY_SIZE;
        else if (slice_equals(pair, SLICE_LITERAL("sort=modified")))
            style.order = LISTING_BY_TIME;
        else if (slice_equals(pair, SLICE_LITERAL("sort=name")))
            style.order = LISTING_BY_NAME;
        else if (slice_equals(pair, SLICE_LITERAL("order=desc")))
            style.is_descending = 1;
        else if (slice_equals(pair, SLICE_LITERAL("order=asc")))
            style.is_descending = 0;
        at += pair.length + 1;
    }
    return style;
}

/* --- as a representation --- */

/* Bits of a form; the order is in the lowest two. */
#define FORM_HIDDEN 4u
#define FORM_DESCENDING 8u
#define FORM_JSON 32u

static uint8_t form_of(const struct listing_style *style, int shows_hidden)
{
    return (uint8_t)(CACHE_FORM_LISTING | (unsigned)style->order | (shows_hidden ? FORM_HIDDEN : 0) |
                     (style->is_descending ? FORM_DESCENDING : 0) | (style->is_json ? FORM_JSON : 0));
}

static struct listing_style style_of_form(uint8_t form)
{
    return (struct listing_style){.order = (enum listing_order)(form & 3),
                                  .is_descending = (form & FORM_DESCENDING) != 0,
                                  .is_json = (form & FORM_JSON) != 0};
}

/* FNV-1a over the page: the same page, the same tag. */
static void tag(struct task *task)
{
    uint64_t hash = 14695981039346656037ULL;
    struct text text;

    for (size_t i = 0; i < task->length; i++)
        hash = (hash ^ (unsigned char)task->bytes[i]) * 1099511628211ULL;
    text_init(&text, task->etag, sizeof task->etag);
    text_add_f(&text, "\"list-%zx-%016llx\"", task->length, (unsigned long long)hash);
}

/* In a pool thread. */
static void make(struct errand *errand)
{
    struct task *task = (struct task *)(void *)errand;
    const struct listing_style style = style_of_form(task->form);
    struct listing listing;
    struct slice reason;

    if (listing_read(&listing, task->root, task->path + 1, (task->form & FORM_HIDDEN) != 0)) {
        task->vain = find_status(errno, &reason);
    } else {
        listing.path = task->shown_path;
        listing_sort(&listing, style.order, style.is_descending);
        if (listing_write(&listing, &style, LISTING_BYTES_MAX, &task->bytes, &task->length))
            task->vain = 503;
    }
    listing_fini(&listing);
    if (task->vain)
        return;
    tag(task);
    task_pack(task);
}

/* FILES_LATER; 0: it cannot be. */
static int start(struct exchange *exchange, const struct wanted *wanted, uint8_t form, int is_json, int root)
{
    struct task *task = task_find(files_of(exchange), wanted, form);
    const struct slice shown = exchange->route_request->path;

    if (task)
        return task_wait(task, exchange);
    task = task_new(exchange, wanted, form, make);
    if (!task)
        return 0;
    task_use_root(task, root);
    task->type = is_json ? SLICE_LITERAL("application/json") : SLICE_LITERAL("text/html; charset=utf-8");
    task->shown_path = strndup(shown.at, shown.length);
    if (task->shown_path)
        return task_start(task, exchange);
    task_free(task);
    return 0;
}

/* A folder that cannot be opened at all is found out here: no thread is troubled for what is not there. */
static int check_folder(struct files *files, const struct wanted *wanted, struct slice *reason)
{
    const int root = find_root(files, wanted->folder);
    int fd;

    if (root < 0)
        return find_status(errno, reason);
    fd = beneath_open(root, wanted->path.at + 1, O_PATH | O_DIRECTORY);
    if (fd < 0)
        return find_status(errno, reason);
    close(fd);
    return 0;
}

/* The entry that is fresh, or NULL. */
static struct cached_file *find_fresh(struct file_cache *cache, const struct wanted *wanted, uint8_t form,
                                      uint64_t now_ns)
{
    struct cached_file *entry = cache_find(cache, wanted->folder, wanted->path, form);

    if (!entry || now_ns - entry->checked_ns <= FILES_FRESH_NS)
        return entry;
    cache_forget(cache, entry);
    return NULL;
}

int listing_find(struct exchange *exchange, struct wanted *wanted, struct cached_file **found,
                 struct slice *reason)
{
    struct files *files = files_of(exchange);
    struct listing_style style = listing_style_of(exchange->query);
    const uint32_t folder = wanted->folder;
    uint8_t form;
    int status = 0;

    style.is_json =
        accept_prefers(exchange->request, SLICE_LITERAL("application/json"), SLICE_LITERAL("text/html"));
    form = form_of(&style, exchange->route->settings.hidden);
    /* Two routes may show one folder under different paths. */
    wanted->folder = folder | (exchange->route->number + 1) << 16;
    *found = find_fresh(&files->cache, wanted, form, exchange->worker->now_ns);
    *reason = SLICE_LITERAL("folder_not_readable");
    if (*found) {
        (*found)->used_ns = exchange->worker->now_ns;
        wanted->folder = folder;
        return (*found)->is_vain;
    }
    wanted->folder = folder;
    status = check_folder(files, wanted, reason);
    if (status)
        return status;
    *reason = SLICE_LITERAL("no_thread_free");
    wanted->folder = folder | (exchange->route->number + 1) << 16;
    status = start(exchange, wanted, form, style.is_json, files->roots[folder].fd);
    wanted->folder = folder;
    return status ? status : 503;
}
