#include "handler/files/files.h"

#include "base/fd.h"
#include "base/log.h"
#include "handler/files/internal.h"
#include "http/conditional.h"
#include "http/escape.h"
#include "http/negotiate.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KEEP_NS (5 * NS_PER_S)       /* a file is forgotten when nobody asked for it this long */
#define KEEP_MADE_NS (60 * NS_PER_S) /* and what was made of it, which costs more */

#define ALLOWED "Allow: GET, HEAD, OPTIONS\r\n"
#define NOTHING ((struct slice){"", 0})

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
        exchange_respond(exchange, 301, NOTHING, (struct slice){text.at, text.length}, NOTHING);
}

static int is_listing(const struct cached_file *file)
{
    return file->form >= CACHE_FORM_LISTING;
}

static void add_fields(const struct exchange *exchange, struct text *text, const struct cached_file *file,
                       enum coding coding, int varies)
{
    char memory[512];

    cache_add_lines(file, http_now_s(exchange->http), text);
    if (varies)
        text_add(text, SLICE_LITERAL("Vary: Accept-Encoding\r\n"));
    if (coding != CODING_IDENTITY) {
        text_add(text, SLICE_LITERAL("Content-Encoding: "));
        text_add(text, coding_token(coding));
        text_add(text, SLICE_LITERAL("\r\n"));
    }
    /* A name may look like anything; the page runs nothing. */
    if (is_listing(file))
        text_add(text,
                 SLICE_LITERAL("Vary: Accept\r\nX-Content-Type-Options: nosniff\r\n"
                               "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'\r\n"));
    if (exchange->route->settings.cache_control)
        text_add(text, exchange_cache_line(exchange, memory, sizeof memory));
}

/* What Last-Modified says is never in the future. */
static int64_t min_s(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static void answer_file(struct exchange *exchange, const struct cached_file *file, struct slice type,
                        enum coding coding, int varies)
{
    const int64_t now_s = http_now_s(exchange->http);
    const struct conditional_resource resource = {
        .etag = file->etag, .modified_s = is_listing(file) ? 0 : min_s(file->status.st_mtim.tv_sec, now_s)};
    const struct conditional condition = conditional_evaluate(exchange->request, &resource, now_s);
    char memory[EXCHANGE_FIELDS_MAX];
    struct text fields;

    text_init(&fields, memory, sizeof memory);
    if (condition.status == 412) {
        exchange_respond_error(exchange, 412, SLICE_LITERAL("precondition_failed"));
        return;
    }
    add_fields(exchange, &fields, file, coding, varies);
    if (condition.status == 304)
        exchange_respond(exchange, 304, NOTHING, (struct slice){fields.at, fields.length}, NOTHING);
    else
        parts_answer(exchange, file, type, &fields, condition.range, coding != CODING_IDENTITY);
}

static void files_begin(struct exchange *exchange)
{
    static struct wanted wanted;
    const enum h1_method method = exchange->request->method;
    struct cached_file *file = NULL;
    struct slice reason = NOTHING, type = NOTHING;
    enum coding coding = CODING_IDENTITY;
    int varies = 0, status;

    if (method == H1_OPTIONS) {
        exchange_respond(exchange, 204, NOTHING, SLICE_LITERAL(ALLOWED), NOTHING);
        return;
    }
    if (method != H1_GET && method != H1_HEAD) {
        exchange_respond_error_with(exchange, 405, SLICE_LITERAL("method_not_allowed"),
                                    SLICE_LITERAL(ALLOWED));
        return;
    }
    status = find_path(exchange, &wanted, &file, &reason);
    if (!status)
        type = file->type;
    if (!status && !is_listing(file))
        status = coded_choose(exchange, &wanted, &file, &coding, &varies, &reason);
    if (status == FILES_LATER)
        return;
    if (status == 301)
        redirect_to_folder(exchange);
    else if (status)
        exchange_respond_error(exchange, status, reason);
    else
        answer_file(exchange, file, type, coding, varies);
}

const struct handler files_handler = {.name = "files", .begin = files_begin, .more = parts_more};

/* --- start and stop --- */

static const char *what_next(const struct http *http, int number)
{
    if (http->worker->is_revived)
        return " next=\"tried again with each request\"";
    return number == EACCES
               ? " next=\"let the workers' user enter it and the folders above it, or change `user`\""
               : "";
}

static int open_roots(struct http *http, struct files *files)
{
    const struct http_config *config = http->config;

    files->roots = calloc(config->folder_count + 1, sizeof *files->roots);
    if (!files->roots)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < config->folder_count; i++)
        files->roots[i].fd = -1;
    for (size_t i = 0; i < config->folder_count; i++) {
        const int root = find_root(files, i);
        int cause;

        /* Opened it can be by who may not enter it: every request would be refused. */
        if (root >= 0 && !faccessat(root, ".", F_OK, 0))
            continue;
        cause = errno;
        log_event(LOG_ERROR, LOG_EV_HANDLER_FAILED, "handler=files folder=\"%s\" error=\"%s\"%s",
                  config->folders[i], strerror(cause), what_next(http, cause));
        if (!http->worker->is_revived)
            return err_from_errno(cause);
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
    cache_init(&files->cache, http->worker);
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
    tasks_forget(files);
    (void)cache_trim(&files->cache, UINT64_MAX, UINT64_MAX);
    for (size_t i = 0; files->roots && i < http->config->folder_count; i++)
        if (files->roots[i].fd >= 0)
            worker_file_drop(http->worker, files->roots[i].fd);
    free(files->roots);
    free(files);
    http->handler_private[0] = NULL;
}

static uint64_t before(uint64_t now_ns, uint64_t keep_ns)
{
    return now_ns > keep_ns ? now_ns - keep_ns : 0;
}

int files_housekeeping(struct http *http)
{
    struct files *files = http->handler_private[0];
    uint64_t now_ns = http->worker->now_ns;

    return cache_trim(&files->cache, before(now_ns, KEEP_NS), before(now_ns, KEEP_MADE_NS)) > 0;
}
